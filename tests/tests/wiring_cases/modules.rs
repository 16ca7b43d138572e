//! Core modules that carry their own world, damaged ones, and recipes within recipes without end.

use std::fs;

use wadoo::inputs::MAX_RECIPE_DEPTH;
use wadoo_signing::report::Exit;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::run;

const HEAD: &str = "recipe = 1\n[app]\nname = \"app\"\nversion = \"1.0.0\"\n";
const WIT: &str = "package acme:plugin@1.0.0;
world plugin { import log; export wasi:cli/run@0.2.12; }
interface log { write: func(line: list<u8>); }
package wasi:cli@0.2.12 { interface run { run: func() -> result; } }";

/// A module with metadata, as bindings make it: a command on preview 1.
fn module() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", WIT).expect("WIT");
    let world = resolve.select_world(&[package], Some("plugin")).expect("a world");
    let mut module = wat::parse_str(
        r#"(module
             (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
             (memory (export "memory") 1)
             (func (export "wasi:cli/run@0.2.12#run") (result i32)
               (call $random (i32.const 0) (i32.const 4))))"#,
    )
    .expect("a module");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    module
}

#[test]
fn a_module_with_metadata_is_the_same_component_each_time() {
    let mut first = None;
    for _ in 0..4 {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("plugin.wasm"), module()).expect("written");
        let recipe = folder.path().join("recipe.toml");
        fs::write(&recipe, format!("{HEAD}[components.plugin]\nmodule = \"plugin.wasm\"\n"))
            .expect("written");
        let (plan, linked) = run(&recipe).unwrap_or_else(|reports| panic!("{}", reports[0]));
        let exports: Vec<&String> = plan.exports.keys().collect();
        assert_eq!(exports, ["wasi:cli/run@0.2.12"]);
        assert!(linked.imports.contains("wasi:random/random@0.2.12"), "{:?}", linked.imports);
        assert!(*first.get_or_insert_with(|| linked.bytes.clone()) == linked.bytes, "it differs");
    }
}

#[test]
fn a_damaged_module_ends_with_a_component_or_a_report() {
    let folder = tempfile::tempdir().expect("folder");
    let recipe = folder.path().join("recipe.toml");
    fs::write(&recipe, format!("{HEAD}[components.plugin]\nmodule = \"plugin.wasm\"\n")).expect("written");
    let whole = module();
    let flipped = (8..whole.len()).map(|at| {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        damaged
    });
    let cut = (0..whole.len()).step_by(7).map(|length| whole[..length].to_vec());
    let mut refused = 0;
    for damaged in flipped.chain(cut) {
        fs::write(folder.path().join("plugin.wasm"), damaged).expect("written");
        if let Err(reports) = run(&recipe) {
            refused += 1;
            let bug = reports.iter().find(|report| report.exit == Exit::Bug);
            assert!(bug.is_none(), "{}", reports[0]);
        }
    }
    assert!(refused > 100, "only {refused} were refused");
}

#[test]
fn recipes_within_recipes_end() {
    let folder = tempfile::tempdir().expect("folder");
    for depth in 0..=MAX_RECIPE_DEPTH + 1 {
        let part = format!("[components.inner]\nrecipe = \"{}.toml\"\n", depth + 1);
        fs::write(folder.path().join(format!("{depth}.toml")), format!("{HEAD}{part}")).expect("written");
    }
    let reports = run(&folder.path().join("0.toml")).map(|_| ()).expect_err("refused");
    assert_eq!(reports.len(), 1);
    let file = format!("{}.toml", MAX_RECIPE_DEPTH + 1);
    assert_eq!(
        reports[0].what,
        format!(
            "cannot use `{file}` for `inner`: recipes are parts of recipes more than {MAX_RECIPE_DEPTH} deep"
        )
    );
    // A line for each recipe that brought the next one in.
    assert_eq!(reports[0].because.len(), MAX_RECIPE_DEPTH);
}
