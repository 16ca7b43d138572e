//! What the launcher refuses, by the binary: exit code, words, and that nothing was run.
//!
//! The dense part, every bit and every length, is tested where the reader is (`signing`, `launcher`); here
//! each kind of refusal is shown once, as an operator meets it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Finished, Scratch, run};

/// `hello` signed by a key of its own, and a trust store that has it.
struct Signed {
    scratch: Scratch,
    artifact: PathBuf,
    trust: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let scratch = Scratch::new();
        assert_eq!(run(scratch.wadoo().args(["key", "new", "signing.pem"])).code, 0);
        let recipe = fs::read_to_string(workspace().join("recipes/hello/recipe.toml")).unwrap();
        let recipe = scratch.write("recipe.toml", recipe + "\n[sign]\nkeys = [\"file:signing.pem\"]\n");
        let guest = fs::read(workspace().join("recipes/hello/guests/hello.wasm")).unwrap();
        scratch.write("guests/hello.wasm", guest);
        let artifact = scratch.compose(&recipe);
        let trust = scratch.path("trust");
        fs::create_dir(&trust).unwrap();
        fs::copy(scratch.path("signing.pub.pem"), trust.join("signing.pub.pem")).unwrap();
        Self { scratch, artifact, trust }
    }

    fn check(&self) -> Finished {
        run(self.scratch.launcher().arg("check").arg(&self.artifact).arg("--trust").arg(&self.trust))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(&self.artifact).unwrap();
        change(&mut bytes);
        fs::write(&self.artifact, bytes).unwrap();
    }
}

#[track_caller]
fn refused(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, code, "{}", finished.stderr);
    assert!(finished.stderr.contains("error: "), "{}", finished.stderr);
    for word in words {
        assert!(finished.stderr.contains(word), "`{word}` is not in:\n{}", finished.stderr);
    }
    for library in ["panicked", "RUST_BACKTRACE", "Error {", "Some(", "Os {"] {
        assert!(!finished.stderr.contains(library), "a library speaks:\n{}", finished.stderr);
    }
}

#[test]
fn a_signed_artifact_is_accepted() {
    let signed = Signed::new();
    let finished = signed.check();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

#[test]
fn an_unknown_key_is_refused_and_the_hint_says_what_to_add() {
    let signed = Signed::new();
    assert_eq!(run(signed.scratch.wadoo().args(["key", "new", "other.pem"])).code, 0);
    fs::remove_file(signed.trust.join("signing.pub.pem")).unwrap();
    fs::copy(signed.scratch.path("other.pub.pem"), signed.trust.join("other.pub.pem")).unwrap();
    refused(&signed.check(), 3, &["not in the trust store", "wadoo key trust SIGNER.pub.pem --trust "]);
}

#[test]
fn a_changed_payload_is_refused() {
    let signed = Signed::new();
    signed.change(|bytes| bytes[5000] ^= 1);
    refused(&signed.check(), 3, &["payload"]);
}

#[test]
fn a_trailer_is_refused() {
    let signed = Signed::new();
    signed.change(|bytes| bytes.push(0));
    refused(&signed.check(), 3, &["does not end with the footer", "copy it again"]);
}

#[test]
fn a_truncated_file_is_refused() {
    let signed = Signed::new();
    signed.change(|bytes| bytes.truncate(bytes.len() - 1));
    refused(&signed.check(), 3, &["does not end with the footer", "copy it again"]);
    signed.change(Vec::clear);
    refused(&signed.check(), 3, &["does not end with the footer", "copy"]);
}

#[test]
fn a_component_is_refused_with_the_command_that_makes_an_artifact() {
    let signed = Signed::new();
    let guest = fs::read(workspace().join("recipes/hello/guests/hello.wasm")).unwrap();
    fs::write(&signed.artifact, guest).unwrap();
    refused(&signed.check(), 3, &["wadoo compose"]);
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    let signed = Signed::new();
    for mode in [0o664, 0o646] {
        fs::set_permissions(&signed.artifact, Permissions::from_mode(mode)).unwrap();
        refused(&signed.check(), 3, &["writable", "chmod"]);
    }
}

#[test]
fn a_named_trust_place_is_never_fallen_through() {
    let signed = Signed::new();
    let empty = signed.scratch.path("empty");
    fs::create_dir(&empty).unwrap();
    for place in [empty, signed.scratch.path("absent")] {
        let finished =
            run(signed.scratch.launcher().arg("check").arg(&signed.artifact).arg("--trust").arg(&place));
        refused(&finished, 3, &[place.file_name().unwrap().to_str().unwrap()]);
        let finished =
            run(signed.scratch.launcher().env("WADOO_TRUST", &place).arg("check").arg(&signed.artifact));
        refused(&finished, 3, &[place.file_name().unwrap().to_str().unwrap()]);
    }
}

#[test]
fn a_development_artifact_is_refused_by_every_named_trust_place() {
    let signed = Signed::new();
    let recipe = workspace().join("recipes/hello");
    let finished = run(signed.scratch.wadoo().arg("compose").arg(recipe));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let check =
        || run(signed.scratch.launcher().args(["check", "hello.cwasm", "--trust"]).arg(&signed.trust));
    refused(&check(), 3, &["not in the trust store"]);
    // Not even where somebody put the development key: it is trusted for nothing else, and nowhere else.
    let own = fs::read_dir(signed.scratch.home().join(".config/wadoo/dev-trusted.d")).unwrap();
    for key in own.map(|entry| entry.unwrap().path()) {
        fs::copy(&key, signed.trust.join(key.file_name().unwrap())).unwrap();
    }
    refused(&check(), 3, &["development"]);
    let finished = run(signed.scratch.launcher().args(["check", "hello.cwasm"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

#[test]
fn missing_files_and_folders_are_named() {
    let signed = Signed::new();
    let check =
        |name: &str| run(signed.scratch.launcher().args(["check", name, "--trust"]).arg(&signed.trust));
    refused(&check("absent.cwasm"), 1, &["absent.cwasm"]);
    refused(&check("home"), 3, &["home"]);
}

#[test]
fn wrong_usage_exits_with_2() {
    let scratch = Scratch::new();
    assert_eq!(run(&mut scratch.launcher()).code, 2);
    assert_eq!(run(scratch.launcher().arg("--no-such-flag")).code, 2);
    assert_eq!(run(scratch.wadoo().arg("frobnicate")).code, 2);
}

#[test]
fn both_binaries_name_the_engine() {
    let scratch = Scratch::new();
    for mut command in [scratch.launcher(), scratch.wadoo()] {
        let finished = run(command.arg("--version"));
        assert_eq!(finished.code, 0);
        assert!(finished.stdout.contains("wasmtime 48.0.8"), "{}", finished.stdout);
    }
}

#[test]
fn the_launcher_has_no_compiler() {
    let bytes = fs::read(wadoo_tests::binaries::launcher()).unwrap();
    let name = b"cranelift_codegen";
    assert!(!bytes.windows(name.len()).any(|window| window == name), "cranelift is linked into the launcher");
    let bytes = fs::read(wadoo_tests::binaries::wadoo()).unwrap();
    assert!(bytes.windows(name.len()).any(|window| window == name), "the check above proves nothing");
}
