//! The same recipe and inputs give the same bytes.

use std::fs;
use std::path::Path;

use crate::{cases, component, prepare, run};

const SERVICE: &str = "// wasi: 0.3.0\npackage test:service; world part { export wasi:http/handler@0.3.0; }";
const MIDDLEWARE: &str = "// wasi: 0.3.0\npackage test:middleware; world part { import wasi:http/handler@0.3.0; export wasi:http/handler@0.3.0; }";
const DENIED: &str = "// wasi: 0.3.0\npackage test:denied; world part { import wasi:http/handler@0.3.0; \
                      import wasi:sockets/types@0.3.0; export wasi:http/handler@0.3.0; }";

/// A chain of `length` middlewares before a service, files written in the order of `order`.
fn chain(folder: &Path, length: usize, reversed: bool) {
    let mut recipe = String::from("recipe = 1\n[app]\nname = \"chain\"\nversion = \"1.0.0\"\n");
    let mut files = vec![("service.wasm".to_owned(), SERVICE)];
    for i in 0..length {
        let next = if i + 1 == length { "service".to_owned() } else { format!("m{}", i + 1) };
        let deny = if i % 5 == 2 { "deny = [\"wasi:sockets/*\"]\n" } else { "" };
        recipe.push_str(&format!(
            "[components.m{i}]\npath = \"m{i}.wasm\"\nwith = {{ \"wasi:http/handler\" = \"{next}\" }}\n{deny}"
        ));
        files.push((format!("m{i}.wasm"), if i % 5 == 2 { DENIED } else { MIDDLEWARE }));
    }
    recipe.push_str("[components.service]\npath = \"service.wasm\"\n");
    if reversed {
        files.reverse();
    }
    for (name, text) in files {
        fs::write(folder.join(name), component::from_wit(text)).expect("written");
    }
    fs::write(folder.join("recipe.toml"), recipe).expect("written");
}

#[test]
fn twenty_encodings_are_equal() {
    let mut first = None;
    for i in 0..20 {
        let folder = tempfile::tempdir().expect("folder");
        chain(folder.path(), 6, i % 2 == 1);
        let (_, linked) = run(&folder.path().join("recipe.toml")).expect("linked");
        let first = first.get_or_insert_with(|| linked.bytes.clone());
        assert!(*first == linked.bytes, "encoding {i} differs");
    }
}

#[test]
fn twenty_assemblies_are_equal() {
    let mut first = None;
    for i in 0..20 {
        let folder = tempfile::tempdir().expect("folder");
        prepare(&cases().join("assemble-resources"), folder.path());
        let (_, linked) = run(&folder.path().join("recipe.toml")).expect("linked");
        let first = first.get_or_insert_with(|| linked.bytes.clone());
        assert!(*first == linked.bytes, "assembly {i} differs");
    }
}

#[test]
fn twenty_parts_are_linked_and_counted() {
    let folder = tempfile::tempdir().expect("folder");
    chain(folder.path(), 19, false);
    let (plan, linked) = run(&folder.path().join("recipe.toml")).expect("linked");
    assert_eq!(plan.parts.len(), 20);
    // 20 parts and 4 stubs have a memory each.
    assert_eq!(linked.pool.memories, 24);
    assert!(linked.pool.core_instances >= 48, "{:?}", linked.pool);
    assert_eq!(linked.grants.len(), 0);
}
