//! Damaged components: whatever one flipped byte does, it ends with a component or a report.

use std::fs;

use wadoo_signing::report::Exit;

use crate::{component, run};

const RECIPE: &str = "recipe = 1\n[app]\nname = \"app\"\nversion = \"1.0.0\"\n[components.front]\npath = \"front.wasm\"\n\
                      [components.store]\npath = \"store.wasm\"\n";
const STORE: &str = "package test:part;
package acme:store@1.0.0 {
  interface types { resource item { name: func() -> string; } record size { x: u32, y: option<list<u8>> } }
  interface shelf { use types.{item, size}; take: func(size: size) -> result<item, string>; put: func(item: borrow<item>); }
}
world part { ";

#[test]
fn one_flipped_byte_never_ends_in_a_panic() {
    let folder = tempfile::tempdir().expect("folder");
    let store = component::from_wit(&format!(
        "{STORE} export acme:store/types@1.0.0; export acme:store/shelf@1.0.0; }}"
    ));
    let front = component::from_wit(&format!(
        "{STORE} import acme:store/shelf@1.0.0; export wasi:cli/run@0.2.12; }}"
    ));
    fs::write(folder.path().join("recipe.toml"), RECIPE).expect("written");
    fs::write(folder.path().join("front.wasm"), &front).expect("written");
    fs::write(folder.path().join("store.wasm"), &store).expect("written");
    run(&folder.path().join("recipe.toml")).expect("undamaged, it links");
    let mut refused = 0;
    for (name, bytes) in [("front.wasm", &front), ("store.wasm", &store)] {
        for i in (8..bytes.len()).step_by(11) {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1 << (i % 8);
            fs::write(folder.path().join(name), damaged).expect("written");
            if let Err(reports) = run(&folder.path().join("recipe.toml")) {
                refused += 1;
                let bug = reports.iter().find(|report| report.exit == Exit::Bug);
                assert!(bug.is_none(), "byte {i} of {name}:\n{}", reports[0]);
            }
        }
        fs::write(folder.path().join(name), bytes).expect("written");
    }
    assert!(refused > 50, "only {refused} were refused");
}
