//! An artifact through every command that takes one: made, shown, signed again, verified, taken apart, checked.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Finished, Scratch, run};

/// A scratch folder with `hello`'s recipe, signed by `signing.pem`.
fn with_recipe() -> Scratch {
    let scratch = Scratch::new();
    wadoo(&scratch, &["key", "new", "signing.pem"]);
    let recipe = fs::read_to_string(workspace().join("recipes/hello/recipe.toml")).unwrap();
    scratch.write("recipe.toml", recipe + "\n[sign]\nkeys = [\"file:signing.pem\"]\n");
    scratch
        .write("guests/hello.wasm", fs::read(workspace().join("recipes/hello/guests/hello.wasm")).unwrap());
    scratch
}

/// What a command that succeeds prints.
#[track_caller]
fn wadoo(scratch: &Scratch, arguments: &[&str]) -> String {
    let finished = run(scratch.wadoo().args(arguments));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    finished.stdout
}

#[track_caller]
fn json(scratch: &Scratch, arguments: &[&str]) -> Value {
    let value: Value = serde_json::from_str(&wadoo(scratch, arguments)).expect("JSON");
    assert_eq!(value["schema"], 1, "{value}");
    value
}

/// The key id that `wadoo key show` tells.
fn key_id(scratch: &Scratch, file: &str) -> String {
    json(scratch, &["key", "show", file, "--json"])["id"].as_str().expect("a key id").to_owned()
}

#[test]
fn a_key_is_shown_and_trusted_under_its_id() {
    let scratch = with_recipe();
    let id = key_id(&scratch, "signing.pub.pem");
    assert_eq!(id, key_id(&scratch, "signing.pem"), "a pair has one id");
    assert!(wadoo(&scratch, &["key", "show", "signing.pub.pem"]).contains(&id));
    wadoo(&scratch, &["key", "trust", "signing.pub.pem", "--trust", "trust"]);
    let trusted = fs::read(scratch.path(format!("trust/{id}.pem"))).unwrap();
    assert_eq!(trusted, fs::read(scratch.path("signing.pub.pem")).unwrap());
}

#[test]
fn compose_tells_machines_what_it_would_make_and_what_it_made() {
    let scratch = with_recipe();
    let planned = json(&scratch, &["compose", "recipe.toml", "--emit", "both", "--dry-run", "--json"]);
    assert_eq!(planned["wouldWrite"].as_array().expect("a list").len(), 2, "{planned}");
    assert!(!scratch.path("hello.cwasm").exists() && !scratch.path("hello.wasm").exists());

    let made = json(&scratch, &["compose", "recipe.toml", "--emit", "both", "--json"]);
    let artifact = &made["artifacts"][0];
    assert_eq!(artifact["loaded"], true, "{made}");
    assert_eq!(artifact["size"], fs::metadata(scratch.path("hello.cwasm")).unwrap().len());
    assert_eq!(made["component"]["size"], fs::metadata(scratch.path("hello.wasm")).unwrap().len());
}

#[test]
fn an_artifact_is_shown_signed_again_verified_and_taken_apart() {
    let scratch = with_recipe();
    wadoo(&scratch, &["compose", "recipe.toml"]);
    let text = wadoo(&scratch, &["inspect", "hello.cwasm"]);
    assert!(text.contains("hello 0.1.0") && text.contains("wasi:http/types@0.3.0"), "{text}");
    let shown = json(&scratch, &["inspect", "hello.cwasm", "--json"]);
    assert_eq!(shown["manifest"]["app"]["name"], "hello");

    wadoo(&scratch, &["key", "new", "second.pem"]);
    wadoo(&scratch, &["sign", "hello.cwasm", "--key", "file:second.pem"]);
    // Each of the two keys alone is enough, and a second signature is no other artifact.
    for key in ["signing", "second"] {
        let (public, trust) = (format!("{key}.pub.pem"), format!("trust-{key}"));
        wadoo(&scratch, &["key", "trust", &public, "--trust", &trust]);
        let verified = json(&scratch, &["verify", "hello.cwasm", "--trust", &trust, "--json"]);
        assert_eq!(verified["signers"], serde_json::json!([key_id(&scratch, &public)]));
        assert_eq!(verified["identity"], shown["identity"]);
    }

    wadoo(&scratch, &["extract", "hello.cwasm", "--split", "-o", "split"]);
    // What stood there before could be taken for a part of it.
    let again = run(scratch.wadoo().args(["extract", "hello.cwasm", "-o", "split"]));
    assert_eq!(again.code, 1, "{}", again.stderr);
    assert!(again.stderr.contains("the folder is not empty"), "{}", again.stderr);
    let check = run(scratch.launcher().args(["check", "split", "--trust", "trust-second"]));
    assert_eq!(check.code, 0, "{}", check.stderr);
    assert!(check.stdout.contains(shown["identity"].as_str().expect("an identity")), "{}", check.stdout);
}

#[test]
fn no_signature_is_put_under_what_the_launcher_would_refuse() {
    let scratch = with_recipe();
    wadoo(&scratch, &["compose", "recipe.toml"]);
    wadoo(&scratch, &["key", "new", "second.pem"]);
    wadoo(&scratch, &["key", "trust", "signing.pub.pem", "--trust", "trust"]);
    let artifact = scratch.path("hello.cwasm");
    let sound = fs::read(&artifact).unwrap();
    let sign = |bytes: &[u8], mode: u32| -> Finished {
        fs::write(&artifact, bytes).unwrap();
        fs::set_permissions(&artifact, Permissions::from_mode(mode)).unwrap();
        let mut command = scratch.wadoo();
        command.args(["sign", "hello.cwasm", "--key", "file:second.pem"]);
        run(command.env("WADOO_TRUST", scratch.path("trust")))
    };
    let refused = |bytes: &[u8], mode: u32, word: &str| {
        let finished = sign(bytes, mode);
        assert_eq!(finished.code, 3, "{}", finished.stderr);
        assert!(finished.stderr.contains(word), "{}", finished.stderr);
        assert_eq!(fs::read(&artifact).unwrap(), bytes, "it is as it was");
    };
    refused(&sound, 0o666, "writable");
    refused(&sound[..sound.len() - 1], 0o644, "footer");
    let mut payload = sound.clone();
    payload[5000] ^= 1;
    refused(&payload, 0o644, "payload");
    let mut signature = sound.clone();
    let at = find(&sound, b"\"sig\":\"") + 7;
    signature[at] = if sound[at] == b'A' { b'B' } else { b'A' };
    refused(&signature, 0o644, "is wrong");
    assert_eq!(sign(&sound, 0o644).code, 0);
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).expect("it is there")
}

#[test]
fn a_component_for_another_cpu_level_says_so() {
    let scratch = with_recipe();
    let recipe = fs::read_to_string(scratch.path("recipe.toml")).unwrap();
    scratch.write(
        "recipe.toml",
        recipe + "\n[build]\ncpu = \"x86-64-v3\"\ntargets = [\"x86_64-unknown-linux-gnu\"]\n",
    );
    wadoo(&scratch, &["compose", "recipe.toml"]);
    let shown = json(&scratch, &["inspect", "hello.cwasm", "--json"]);
    assert_eq!(shown["manifest"]["target"]["cpu"], "x86-64-v3");
    let features = shown["manifest"]["target"]["features"].as_array().expect("a list");
    assert!(features.iter().any(|feature| feature == "has_avx2"), "{features:?}");
    // Whether this machine runs it, it tells by its CPU alone.
    wadoo(&scratch, &["key", "trust", "signing.pub.pem", "--trust", "trust"]);
    let check = run(scratch.launcher().args(["check", "hello.cwasm", "--trust", "trust"]));
    assert_eq!(check.code, if has_level_3() { 0 } else { 4 }, "{}", check.stderr);
}

#[cfg(target_arch = "x86_64")]
fn has_level_3() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("bmi1") && has!("bmi2") && has!("fma") && has!("lzcnt")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_level_3() -> bool {
    false
}
