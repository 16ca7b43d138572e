//! Instances of one's own, run: what one part counts, another does not see.

use wadoo_tests::scratch::{Scratch, run};

const COUNTER: &str = r#"(component
  (core module $m
    (global $n (mut i32) (i32.const 0))
    (func (export "bump") (result i32)
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (global.get $n)))
  (core instance $i (instantiate $m))
  (func $bump (result u32) (canon lift (core func $i "bump")))
  (instance $api (export "bump" (func $bump)))
  (export "acme:count/counter@1.0.0" (instance $api)))"#;

const CALLER: &str = r#"(component
  (import "acme:count/counter@1.0.0" (instance $c (export "bump" (func (result u32)))))
  (core func $bump (canon lower (func $c "bump")))
  (core module $m
    (import "c" "bump" (func $bump (result i32)))
    (func (export "call") (result i32) (call $bump)))
  (core instance $i (instantiate $m (with "c" (instance (export "bump" (func $bump))))))
  (func $call (result u32) (canon lift (core func $i "call")))
  (instance $api (export "call" (func $call)))
  (export "acme:count/caller@1.0.0" (instance $api)))"#;

/// Counts once, has the other part count once, and succeeds if that was its first.
const MAIN: &str = r#"(component
  (import "acme:count/counter@1.0.0" (instance $c (export "bump" (func (result u32)))))
  (import "acme:count/caller@1.0.0" (instance $d (export "call" (func (result u32)))))
  (core func $bump (canon lower (func $c "bump")))
  (core func $call (canon lower (func $d "call")))
  (core module $m
    (import "c" "bump" (func $bump (result i32)))
    (import "c" "call" (func $call (result i32)))
    (func (export "run") (result i32)
      (drop (call $bump))
      (i32.ne (call $call) (i32.const 1))))
  (core instance $i (instantiate $m
    (with "c" (instance (export "bump" (func $bump)) (export "call" (func $call))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $api (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $api)))"#;

#[test]
fn what_a_part_counts_in_an_instance_of_its_own_nobody_else_sees() {
    let scratch = Scratch::new();
    for (name, text) in [("counter", COUNTER), ("caller", CALLER), ("main", MAIN)] {
        scratch.write(&format!("{name}.wasm"), wat::parse_str(text).expect("a component"));
    }
    let ended = |provider: &str| {
        let recipe = format!(
            "recipe = 1\n\n[app]\nname = \"tool\"\nversion = \"1.0.0\"\n\n\
             [components.main]\npath = \"main.wasm\"\nwith = {{ \"acme:count/counter\" = {provider} }}\n\n\
             [components.caller]\npath = \"caller.wasm\"\n\n[components.counter]\npath = \"counter.wasm\"\n"
        );
        let artifact = scratch.compose(&scratch.write("recipe.toml", recipe));
        run(scratch.launcher().arg(artifact)).code
    };
    assert_eq!(ended("\"counter\""), 1, "both count in one");
    assert_eq!(ended("{ part = \"counter\", own = true }"), 0, "each counts in its own");
}
