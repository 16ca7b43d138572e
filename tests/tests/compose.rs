//! `wadoo compose` as a user meets it: what is written, what is said, what is refused.

use std::fs;
use std::process::Command;

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Finished, Scratch, run};
use wadoo_tests::tools::skip;

/// A copy of the smallest recipe, with `more` at its end.
fn hello(scratch: &Scratch, more: &str) {
    let recipe = fs::read_to_string(workspace().join("recipes/hello/recipe.toml")).unwrap();
    scratch.write("recipe.toml", recipe + more);
    scratch
        .write("guests/hello.wasm", fs::read(workspace().join("recipes/hello/guests/hello.wasm")).unwrap());
}

#[test]
fn the_last_lines_say_what_was_made_and_how_to_run_it() {
    let scratch = Scratch::new();
    hello(&scratch, "");
    let finished = run(scratch.wadoo().args(["compose", "recipe.toml"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    for word in ["hello.cwasm", "sha256:", "development key", "wasi:http/types@0.3", "launcher "] {
        assert!(finished.stdout.contains(word), "`{word}` is not in:\n{}", finished.stdout);
    }
    assert!(finished.stdout.contains("verified, loaded and pre-linked"), "{}", finished.stdout);
}

#[test]
fn another_target_is_verified_but_not_loaded() {
    let scratch = Scratch::new();
    hello(&scratch, "");
    let finished =
        run(scratch.wadoo().args(["compose", "recipe.toml", "--target", "aarch64-unknown-linux-gnu"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("verified; not loaded"), "{}", finished.stdout);

    let refused = run(scratch.launcher().arg("hello.cwasm"));
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("aarch64-unknown-linux-gnu"), "{}", refused.stderr);
}

#[test]
fn several_targets_give_several_files() {
    let scratch = Scratch::new();
    hello(&scratch, "\n[build]\ntargets = [\"x86_64-unknown-linux-gnu\", \"aarch64-unknown-linux-gnu\"]\n");
    let finished = run(scratch.wadoo().args(["compose", "recipe.toml"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(scratch.path("hello-x86_64-unknown-linux-gnu.cwasm").exists(), "{}", finished.stdout);
    assert!(scratch.path("hello-aarch64-unknown-linux-gnu.cwasm").exists(), "{}", finished.stdout);
}

#[test]
fn emit_wasm_keeps_the_portable_component_alone() {
    let scratch = Scratch::new();
    hello(&scratch, "");
    let finished = run(scratch.wadoo().args(["compose", "recipe.toml", "--emit", "wasm"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(fs::read(scratch.path("hello.wasm")).unwrap().starts_with(b"\0asm\x0d\0\x01\0"));
    assert!(!scratch.path("hello.cwasm").exists());
    assert!(finished.stdout.contains("\nrun           wasmtime serve "), "{}", finished.stdout);
}

#[test]
fn a_dry_run_writes_nothing_and_makes_no_key() {
    let scratch = Scratch::new();
    hello(&scratch, "");
    let finished = run(scratch.wadoo().args(["compose", "recipe.toml", "--dry-run"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(!scratch.path("hello.cwasm").exists());
    assert_eq!(fs::read_dir(scratch.home()).unwrap().count(), 0, "the home folder was touched");
}

#[test]
fn a_missing_output_folder_is_named() {
    let scratch = Scratch::new();
    hello(&scratch, "");
    let finished = run(scratch.wadoo().args(["compose", "recipe.toml", "-o", "absent"]));
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("the folder `absent` does not exist"), "{}", finished.stderr);
    assert!(finished.stderr.contains("mkdir -p absent"), "{}", finished.stderr);
    assert!(!scratch.path("absent").exists());
}

/// Composes into a folder that is a file system of its own, mounted with `options`, and lists what is in it then.
/// `None` where the machine allows no mount.
fn compose_into_mounted(options: &str) -> Option<Finished> {
    let scratch = Scratch::new();
    hello(&scratch, "");
    fs::create_dir(scratch.path("out")).unwrap();
    let script = "mount -t tmpfs -o \"$1\" none out && \"$0\" compose recipe.toml -o out; code=$?; ls -A out; exit $code";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script]).arg(wadoo_tests::binaries::wadoo());
    command.arg(options).current_dir(scratch.path("")).env("HOME", scratch.home()).env_remove("CI");
    let finished = run(&mut command);
    if finished.stderr.contains("unshare:") || finished.stderr.contains("mount:") {
        skip(&format!("this machine allows no mount of one's own: {}", finished.stderr));
        return None;
    }
    assert_eq!(finished.stdout.trim(), "", "something was left behind");
    Some(finished)
}

#[test]
fn a_full_output_folder_keeps_nothing_half_written() {
    let Some(finished) = compose_into_mounted("size=64k") else { return };
    assert_eq!(finished.code, 5, "{}", finished.stderr);
    assert!(finished.stderr.contains("cannot write `out/hello.cwasm`"), "{}", finished.stderr);
}

#[test]
fn a_read_only_output_folder_is_refused_before_anything_is_compiled() {
    let Some(finished) = compose_into_mounted("ro") else { return };
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("cannot write `out`"), "{}", finished.stderr);
    assert!(finished.stderr.contains("hint: choose a folder that you may write to"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("compiling"), "{}", finished.stderr);
}

#[test]
fn ci_and_release_refuse_a_development_key() {
    let scratch = Scratch::new();
    hello(&scratch, "");
    for change in [("CI", "true", None), ("WADOO_TEST", "", Some("--release"))] {
        let mut command = scratch.wadoo();
        command.args(["compose", "recipe.toml"]).args(change.2).env(change.0, change.1);
        let finished = run(&mut command);
        assert_eq!(finished.code, 3, "{}", finished.stderr);
        assert!(finished.stderr.contains("development key"), "{}", finished.stderr);
        assert!(finished.stderr.contains("[sign]"), "{}", finished.stderr);
        assert!(!scratch.path("hello.cwasm").exists());
    }
}

#[test]
fn a_key_that_cannot_be_read_is_never_replaced_by_another() {
    let scratch = Scratch::new();
    hello(&scratch, "\n[sign]\nkeys = [\"env:WADOO_ABSENT_KEY\"]\n");
    let finished = run(scratch.wadoo().args(["compose", "recipe.toml"]));
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("WADOO_ABSENT_KEY"), "{}", finished.stderr);
    assert!(!scratch.path("hello.cwasm").exists());
}
