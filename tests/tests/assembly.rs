//! An interface made of functions of two parts, composed and called.

use std::path::PathBuf;

use wadoo_tests::scratch::{Scratch, run};

/// Remembers one number, which it gives and takes. Two instances of it tell who was called.
const KEEPER: &str = r#"(component
  (core module $m
    (global $n (mut i32) (i32.const 7))
    (func (export "get") (result i32) (global.get $n))
    (func (export "put") (param i32) (global.set $n (local.get 0))))
  (core instance $i (instantiate $m))
  (func $get (result u32) (canon lift (core func $i "get")))
  (func $put (param "n" u32) (canon lift (core func $i "put")))
  (instance $api (export "get" (func $get)) (export "put" (func $put)))
  (export "acme:store/api@1.0.0" (instance $api)))"#;

/// Puts a number, gets one, and succeeds if it got what it put.
const MAIN: &str = r#"(component
  (import "acme:store/api@1.0.0" (instance $api
    (export "get" (func (result u32)))
    (export "put" (func (param "n" u32)))))
  (core func $get (canon lower (func $api "get")))
  (core func $put (canon lower (func $api "put")))
  (core module $m
    (import "api" "get" (func $get (result i32)))
    (import "api" "put" (func $put (param i32)))
    (func (export "run") (result i32)
      (call $put (i32.const 42))
      (i32.ne (call $get) (i32.const 42))))
  (core instance $i (instantiate $m
    (with "api" (instance (export "get" (func $get)) (export "put" (func $put))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"#;

/// A recipe whose `store` has its functions from two of the parts, which are both instances of the keeper.
fn recipe(scratch: &Scratch, get: &str, put: &str) -> PathBuf {
    for (name, text) in [("keeper", KEEPER), ("main", MAIN)] {
        scratch.write(&format!("{name}.wasm"), wat::parse_str(text).expect("a component"));
    }
    scratch.write(
        "recipe.toml",
        format!(
            "recipe = 1\n\n[app]\nname = \"tool\"\nversion = \"1.0.0\"\n\n\
             [components.main]\npath = \"main.wasm\"\nwith = {{ \"acme:store/api\" = \"store\" }}\n\n\
             [components.store]\nassemble = {{ \"acme:store/api@1.0.0\" = {{ get = \"{get}\", put = \"{put}\" }} }}\n\n\
             [components.one]\npath = \"keeper.wasm\"\n\n[components.two]\npath = \"keeper.wasm\"\n\n\
             [exports]\n\"wasi:cli/run\" = \"main\"\n\"acme:store/api\" = \"two\"\n"
        ),
    )
}

#[test]
fn each_function_of_an_assembled_interface_is_that_of_its_part() {
    let ended = |get: &str, put: &str| {
        let scratch = Scratch::new();
        let artifact = scratch.compose(&recipe(&scratch, get, put));
        run(scratch.launcher().arg(artifact)).code
    };
    assert_eq!(ended("one", "one"), 0, "one part remembers what it was given");
    assert_eq!(ended("one", "two"), 1, "what one was given the other does not give");
}

#[test]
fn the_lock_has_what_an_assembled_part_is_made_of() {
    let scratch = Scratch::new();
    let recipe = recipe(&scratch, "one", "two");
    let updated = run(scratch.wadoo().arg("update").arg(&recipe));
    assert_eq!(updated.code, 0, "{}", updated.stderr);
    let lock = std::fs::read_to_string(scratch.path("wadoo.lock")).expect("the lock");
    let names: Vec<&str> = lock.lines().filter_map(|line| Some(line.split_once(" = {")?.0)).collect();
    assert_eq!(names, ["\"main\"", "\"one\"", "\"two\""], "{lock}");
    let locked = run(scratch.wadoo().args(["compose", "--locked"]).arg(&recipe));
    assert_eq!(locked.code, 0, "{}", locked.stderr);
}
