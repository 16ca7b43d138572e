//! `memory` of a part, from the recipe to the page that a guest does not get.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wadoo_signing::digest::Sha256Digest;
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, UnresolvedPackageGroup};

const WIT: &str = "package test:memory;
package wasi:cli@0.2.0 { interface run { run: func() -> result; } }
package acme:grow@1.0.0 { interface pages { grow: func(pages: u32) -> s32; } }
package acme:grow@2.0.0 { interface pages { grow: func(pages: u32) -> s32; } }
world main { import acme:grow/pages@1.0.0; import acme:grow/pages@2.0.0; export wasi:cli/run@0.2.0; }
world plugin { export acme:grow/pages@1.0.0; export acme:grow/pages@2.0.0; }";

/// A memory of one page, and calls that grow it.
const PLUGIN: &str = r#"(module
  (memory (export "memory") 1)
  (func $grow (param i32) (result i32) (memory.grow (local.get 0)))
  (export "acme:grow/pages@1.0.0#grow" (func $grow))
  (export "acme:grow/pages@2.0.0#grow" (func $grow)))"#;

/// Ends well only if it and `small` get 16 pages and not the 17th, and `large` gets more.
const MAIN: &str = r#"(module
  (import "acme:grow/pages@1.0.0" "grow" (func $small (param i32) (result i32)))
  (import "acme:grow/pages@2.0.0" "grow" (func $large (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "wasi:cli/run@0.2.0#run") (result i32)
    (if (i32.ne (memory.grow (i32.const 15)) (i32.const 1)) (then (return (i32.const 1))))
    (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (return (i32.const 1))))
    (if (i32.ne (call $small (i32.const 15)) (i32.const 1)) (then (return (i32.const 1))))
    (if (i32.ne (call $small (i32.const 1)) (i32.const -1)) (then (return (i32.const 1))))
    (if (i32.ne (call $large (i32.const 100)) (i32.const 1)) (then (return (i32.const 1))))
    (i32.const 0)))"#;

fn component(module: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let group = UnresolvedPackageGroup::parse("memory.wit", WIT).unwrap_or_else(|(_, e)| panic!("{e:?}"));
    let package = resolve.push_group(group).unwrap_or_else(|error| panic!("{error:#}"));
    let world = resolve.select_world(&[package], Some(world)).expect("the world");
    let mut module = wat::parse_str(module).expect("text");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    let mut encoder = ComponentEncoder::default();
    encoder.merge_imports_based_on_semver(false).module(&module).expect("module");
    encoder.encode().expect("component")
}

/// A command and two instances of one component, with these lines in their tables and at the end.
fn recipe(scratch: &Scratch, main: &str, small: &str, more: &str) -> PathBuf {
    scratch.write("main.wasm", component(MAIN, "main"));
    scratch.write("plugin.wasm", component(PLUGIN, "plugin"));
    let wires = "with = { \"acme:grow/pages@1.0.0\" = \"small\", \"acme:grow/pages@2.0.0\" = \"large\" }";
    scratch.write(
        "recipe.toml",
        format!(
            "recipe = 1\n[app]\nname = \"grow\"\nversion = \"1.0.0\"\n\
             [components.main]\npath = \"main.wasm\"\n{wires}\n{main}\n\
             [components.small]\npath = \"plugin.wasm\"\n{small}\n\
             [components.large]\npath = \"plugin.wasm\"\n{more}\n"
        ),
    )
}

fn manifest(scratch: &Scratch, artifact: &Path) -> Value {
    let finished = run(scratch.wadoo().arg("inspect").arg(artifact).arg("--json"));
    let shown: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    shown["manifest"].clone()
}

#[test]
fn a_part_gets_its_last_page_and_not_the_next_one() {
    let limited = "memory = \"1MiB\"";
    // Without either of the limits, the memory that should not grow does, and the command fails.
    for (main, small, code) in [(limited, limited, 0), (limited, "", 1), ("", limited, 1)] {
        let scratch = Scratch::new();
        let artifact = scratch.compose(&recipe(&scratch, main, small, ""));
        let finished = run(scratch.launcher().arg(artifact));
        assert_eq!(finished.code, code, "{main:?}, {small:?}: {}", finished.stderr);
    }
}

/// What the manifest says of inputs is what lies in the recipe's folder.
#[test]
fn one_file_is_two_components_and_one_input() {
    let spans = |manifest: &Value| {
        let spans = manifest["parts"].as_array().expect("parts").clone();
        let mut names: Vec<Value> = spans.iter().map(|span| span["names"].clone()).collect();
        names.sort_by_key(Value::to_string);
        names
    };
    for (small, parts) in [
        ("memory = \"1MiB\"", serde_json::json!([["large"], ["main"], ["small"]])),
        ("", serde_json::json!([["large", "small"], ["main"]])),
    ] {
        let scratch = Scratch::new();
        let artifact = scratch.compose(&recipe(&scratch, "", small, ""));
        let manifest = manifest(&scratch, &artifact);
        let file = Sha256Digest::of(&component(PLUGIN, "plugin")).to_string();
        assert_eq!(manifest["inputs"]["small"]["digest"], file);
        assert_eq!(manifest["inputs"]["large"]["digest"], file);
        assert_eq!(serde_json::json!(spans(&manifest)), parts);
    }
}

#[test]
fn a_rust_guest_is_denied_what_its_part_may_not_have() {
    let scratch = Scratch::new();
    for guest in ["relay-02", "hostile-02"] {
        scratch.copy(&format!("tests/guests/{guest}.wasm"));
    }
    let recipe = scratch.write(
        "recipe.toml",
        "recipe = 1\n[app]\nname = \"hog\"\nversion = \"1.0.0\"\n[exports]\n\"wasi:http/incoming-handler\" = \"relay\"\n\
         [components.relay]\npath = \"tests/guests/relay-02.wasm\"\ndeny = [\"wasi:http/outgoing-handler\"]\n\
         [components.hostile]\npath = \"tests/guests/hostile-02.wasm\"\nmemory = \"8MiB\"\n",
    );
    let artifact = scratch.compose(&recipe);
    let server = Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]));
    assert_eq!(server.get("/hog?mib=4").text(), "touched 4 MiB\n");
    assert_eq!(server.get("/hog?mib=8").text(), "denied 8 MiB\n");
}

/// It would be refused at each request, for ever.
#[test]
fn an_application_that_could_never_start_is_refused() {
    let scratch = Scratch::new();
    let recipe = recipe(&scratch, "", "", "[limits]\nmemory = \"128KiB\"");
    let finished = run(scratch.wadoo().arg("compose").arg(recipe));
    assert_eq!(finished.code, 1);
    let expected = [
        "error: no instance of `grow` could start: its parts need more memory than it may have\n",
        "  their 3 memories begin with `192KiB` together\n",
        "recipe.toml is `128KiB`\nhint: write `memory = \"192KiB\"` under `[limits]`, or more if parts are to grow\n",
    ];
    for text in expected {
        assert!(finished.stderr.contains(text), "{}", finished.stderr);
    }
}
