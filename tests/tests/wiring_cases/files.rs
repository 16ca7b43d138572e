//! Inputs that cannot be written down as a golden case: file kinds and sizes.

use std::fs;
use std::path::Path;

use crate::run;

fn refusal(make: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let recipe =
        "recipe = 1\n[app]\nname = \"app\"\nversion = \"1.0.0\"\n[components.cart]\npath = \"cart.wasm\"\n";
    fs::write(folder.path().join("recipe.toml"), recipe).expect("written");
    make(folder.path());
    let reports = run(&folder.path().join("recipe.toml")).expect_err("refused");
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].place.as_ref().map(|place| (place.line, place.column)), Some((6, 8)));
    reports[0].what.clone()
}

#[test]
fn a_file_of_a_gibibyte_is_refused_unread() {
    let what = refusal(|folder| {
        let file = fs::File::create(folder.join("cart.wasm")).expect("created");
        file.set_len(1 << 30).expect("sparse");
    });
    assert_eq!(
        what,
        "cannot use `cart.wasm` for `cart`: it has 1073741824 bytes, and 268435456 are the most"
    );
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_are_refused() {
    let what = refusal(|folder| {
        std::os::unix::fs::symlink("other.wasm", folder.join("cart.wasm")).expect("link");
        std::os::unix::fs::symlink("cart.wasm", folder.join("other.wasm")).expect("link");
    });
    assert_eq!(what, "cannot use `cart.wasm` for `cart`: its symbolic links lead in a circle");
}

#[cfg(unix)]
#[test]
fn a_socket_is_refused_without_reading() {
    let what = refusal(|folder| {
        std::os::unix::net::UnixListener::bind(folder.join("cart.wasm")).expect("bound");
    });
    assert_eq!(what, "cannot use `cart.wasm` for `cart`: it is not a regular file");
}

#[test]
fn every_truncation_of_a_component_ends_without_a_panic() {
    let text = "package test:a; world part { export wasi:http/incoming-handler@0.2.12; }";
    let bytes = crate::component::from_wit(text);
    let folder = tempfile::tempdir().expect("folder");
    let recipe =
        "recipe = 1\n[app]\nname = \"app\"\nversion = \"1.0.0\"\n[components.cart]\npath = \"cart.wasm\"\n";
    fs::write(folder.path().join("recipe.toml"), recipe).expect("written");
    for length in (0..bytes.len()).step_by(97) {
        fs::write(folder.path().join("cart.wasm"), &bytes[..length]).expect("written");
        assert!(run(&folder.path().join("recipe.toml")).is_err(), "{length} of {} bytes", bytes.len());
    }
}
