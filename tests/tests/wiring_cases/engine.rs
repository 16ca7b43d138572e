//! What the composer says of the engine, against the engine: which proposals it has, and what an instance takes
//! from its pool.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wadoo::features;
use wadoo_launcher::engine::{config, standard_profile};
use wasmparser::{Validator, WasmFeatures};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::{component, run};

/// One component a proposal, with whether the engine is expected to have it.
const PROPOSALS: &[(&str, bool, &str)] = &[
    ("simd", true, "(component (core module (func (result v128) v128.const i64x2 0 0)))"),
    (
        "relaxed simd",
        true,
        "(component (core module (func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))))",
    ),
    ("tail calls", true, "(component (core module (func return_call 0)))"),
    ("multiple memories", true, "(component (core module (memory 1) (memory 1)))"),
    ("memory64", true, "(component (core module (memory i64 1)))"),
    (
        "extended constants",
        true,
        "(component (core module (global i32 (i32.add (i32.const 1) (i32.const 2)))))",
    ),
    ("async functions", true, "(component (import \"a:b/c\" (instance (export \"f\" (func async)))))"),
    ("streams", true, "(component (type (stream u8)))"),
    ("shared memory", false, "(component (core module (memory 1 1 shared)))"),
    ("structs", false, "(component (core module (type (struct)) (func (param (ref null 0)))))"),
    ("exceptions", false, "(component (core module (tag)))"),
    (
        "wide arithmetic",
        false,
        "(component (core module (func (param i64 i64 i64 i64) (result i64 i64) (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))))",
    ),
    ("custom page sizes", false, "(component (core module (memory 1 (pagesize 1))))"),
    ("error contexts", false, "(component (type error-context))"),
    ("fixed-length lists", false, "(component (type (list u8 4)))"),
    ("maps", false, "(component (type (map string u8)))"),
    ("implements", false, "(component (import \"a\" (implements \"b:c/d\") (instance)))"),
];

#[test]
fn composer_and_engine_have_the_same_proposals() {
    let engine = Engine::new(&config(&standard_profile(true))).expect("engine");
    for (name, expected, text) in PROPOSALS {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let everything = Validator::new_with_features(WasmFeatures::all()).validate_all(&bytes);
        assert!(everything.is_ok(), "{name}: {:?}", everything.err());
        let composer = Validator::new_with_features(features::engine()).validate_all(&bytes).is_ok();
        let compiled = Component::new(&engine, &bytes);
        assert_eq!(composer, *expected, "{name} in the composer");
        assert_eq!(compiled.is_ok(), *expected, "{name} in the engine: {:?}", compiled.err());
    }
}

const STEP: &str = "package test:part;
package acme:chain@1.0.0 { interface step { go: func(words: list<string>, n: u32) -> result<string>; } }
world part { ";

/// A command before `length` parts, the last of which denies a socket; no imports remain.
fn chain(folder: &Path, length: usize) {
    let mut recipe = String::from("recipe = 1\n[app]\nname = \"chain\"\nversion = \"1.0.0\"\n");
    let main = format!("{STEP} import acme:chain/step@1.0.0; export wasi:cli/run@0.2.12; }}");
    let middle = format!("{STEP} import acme:chain/step@1.0.0; export acme:chain/step@1.0.0; }}");
    let last = format!("{STEP} import wasi:random/random@0.2.12; export acme:chain/step@1.0.0; }}");
    for i in 0..=length {
        let (text, line) = match i {
            0 => (&main, "with = { \"acme:chain/step\" = \"p1\" }".to_owned()),
            i if i == length => (&last, "deny = [\"wasi:random/*\"]".to_owned()),
            i => (&middle, format!("with = {{ \"acme:chain/step\" = \"p{}\" }}", i + 1)),
        };
        recipe.push_str(&format!("[components.p{i}]\npath = \"p{i}.wasm\"\n{line}\n"));
        fs::write(folder.join(format!("p{i}.wasm")), component::from_wit(text)).expect("written");
    }
    fs::write(folder.join("recipe.toml"), recipe).expect("written");
}

#[test]
fn an_instance_fits_the_pool_that_was_counted() {
    for length in [1, 2, 5] {
        let folder = tempfile::tempdir().expect("folder");
        chain(folder.path(), length);
        let (_, linked) = run(&folder.path().join("recipe.toml")).expect("linked");
        assert!(linked.imports.is_empty());
        let needs = &linked.pool;
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(1)
            .max_core_instances_per_component(needs.core_instances)
            .total_core_instances(needs.core_instances)
            .max_memories_per_component(needs.memories)
            .total_memories(needs.memories)
            .max_tables_per_component(needs.tables)
            .total_tables(needs.tables)
            .table_elements(usize::try_from(needs.table_elements).expect("a size"))
            .total_stacks(1);
        let mut config = config(&standard_profile(true));
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("engine");
        let component = Component::new(&engine, &linked.bytes).expect("compiled");
        let resources = component.resources_required().expect("no imports of modules");
        // One memory for each part and the stub: exact, and not only enough.
        assert_eq!(resources.num_memories, needs.memories);
        assert_eq!(resources.num_tables, needs.tables);
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let linker = Linker::new(&engine);
        let instance = pin!(linker.instantiate_async(&mut store, &component));
        // Nothing in it waits, so one poll is all.
        match instance.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => panic!("{length}: {error:?} with {needs:?}"),
            Poll::Pending => panic!("instantiation waits"),
        }
    }
}
