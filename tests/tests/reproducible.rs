//! The same recipe and inputs give the same bytes, signature included.

use std::fs;
use std::path::Path;
use std::process::Command;

use wadoo_tests::binaries::{isolated, wadoo, workspace};
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::tools::faketime;

/// Composes a copy of `recipes/wadoocore` in a folder of its own.
fn compose(scratch: &Scratch, folder: &str, key: &Path, change: impl FnOnce(&mut Command)) -> Vec<u8> {
    let from = workspace().join("recipes/wadoocore");
    let mut recipe = fs::read_to_string(from.join("recipe.toml")).unwrap();
    recipe.push_str(
        "\n[build]\ntargets = [\"x86_64-unknown-linux-gnu\"]\n\n[sign]\nkeys = [\"env:WADOO_TEST_KEY\"]\n",
    );
    scratch.write(&format!("{folder}/recipe.toml"), recipe);
    for guest in fs::read_dir(from.join("guests")).unwrap() {
        let path = guest.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let name = path.file_name().unwrap().to_str().unwrap();
            scratch.write(&format!("{folder}/guests/{name}"), fs::read(&path).unwrap());
        }
    }
    let mut command = isolated(wadoo(), &scratch.home());
    command.current_dir(scratch.path(folder)).args(["compose", "recipe.toml"]);
    command.env("WADOO_TEST_KEY", fs::read_to_string(key).unwrap());
    change(&mut command);
    let finished = run(&mut command);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    fs::read(scratch.path(folder).join("wadoocore.cwasm")).unwrap()
}

#[test]
fn folder_time_zone_locale_threads_and_umask_do_not_matter() {
    let scratch = Scratch::new();
    let key = scratch.path("signing.pem");
    assert_eq!(run(scratch.wadoo().args(["key", "new"]).arg(&key)).code, 0);

    let first = compose(&scratch, "a", &key, |_| {});
    let second = compose(&scratch, "another/folder with a space", &key, |command| {
        command.env("TZ", "Pacific/Kiritimati").env("LC_ALL", "tr_TR.UTF-8").env("RAYON_NUM_THREADS", "1");
        // wasmtime's own: DWARF in the payload.
        command.env("WASMTIME_BACKTRACE_DETAILS", "1");
    });
    assert!(first == second, "two composes differ");

    // A umask belongs to a process: a shell sets it for one.
    let third = compose(&scratch, "b", &key, |command| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "umask 0077; exec \"$0\" \"$@\""])
            .arg(command.get_program())
            .args(command.get_args());
        shell.current_dir(command.get_current_dir().unwrap());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        *command = shell;
    });
    assert!(first == third, "the umask changes the artifact");
}

#[test]
fn the_date_does_not_matter() {
    let Some(library) = faketime() else { return };
    let scratch = Scratch::new();
    let key = scratch.path("signing.pem");
    assert_eq!(run(scratch.wadoo().args(["key", "new"]).arg(&key)).code, 0);
    let now = compose(&scratch, "now", &key, |_| {});
    let later = compose(&scratch, "later", &key, |command| {
        command.env("LD_PRELOAD", library).env("FAKETIME", "+3650d");
    });
    assert!(now == later, "the date changes the artifact");
}
