//! The plan's judgement of resource identity, against the validator's, over every wiring of a small shop.
//!
//! What the plan refuses as a split must be refused by the validator if it is linked all the same, and what
//! the plan accepts must link.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use wadoo::plan::{Decision, PartPlan, Plan};
use wadoo::recipe::Values;
use wadoo::{inputs, link, pipeline, plan, recipe};
use wadoo_signing::manifest::Trigger;

use crate::component;

const STORE: &str = "package test:part;
package acme:store@1.0.0 {
  interface types { resource item { name: func() -> string; } }
  interface shelf { use types.{item}; take: func() -> item; put: func(items: list<item>); }
  interface desk { use types.{item}; record bag { first: option<item> } sell: func(bag: bag) -> result<bag>; }
}
world part { ";
const PARTS: [(&str, &str); 5] = [
    ("types", "export acme:store/types@1.0.0; }"),
    ("shelf", "import acme:store/types@1.0.0; export acme:store/shelf@1.0.0; }"),
    ("store", "export acme:store/types@1.0.0; export acme:store/shelf@1.0.0; }"),
    ("desk", "import acme:store/types@1.0.0; import acme:store/shelf@1.0.0; export acme:store/desk@1.0.0; }"),
    (
        "front",
        "import acme:store/types@1.0.0; import acme:store/shelf@1.0.0; import acme:store/desk@1.0.0; \
         export wasi:cli/run@0.2.12; }",
    ),
];

/// Importer, import, provider.
type Wires = Vec<(&'static str, &'static str, &'static str)>;

/// Every way to wire the shop.
fn wirings() -> Vec<Wires> {
    let (types, shelves) = (["types-a", "types-b", "store"], ["shelf", "store"]);
    let mut all = Vec::new();
    for i in 0..3 * 3 * 3 * 2 * 2 {
        all.push(vec![
            ("shelf", "types", types[i % 3]),
            ("desk", "types", types[i / 3 % 3]),
            ("front", "types", types[i / 9 % 3]),
            ("desk", "shelf", shelves[i / 27 % 2]),
            ("front", "shelf", shelves[i / 54 % 2]),
            ("front", "desk", "desk"),
        ]);
    }
    all
}

/// The parts that `front` reaches: any other would be refused as unused.
fn used(wires: &Wires) -> Vec<&'static str> {
    let mut used = vec!["front"];
    let mut next = 0;
    while next < used.len() {
        for (part, _, provider) in wires {
            if *part == used[next] && !used.contains(provider) {
                used.push(provider);
            }
        }
        next += 1;
    }
    used
}

fn write_recipe(folder: &Path, wires: &Wires) {
    let mut text = String::from("recipe = 1\n[app]\nname = \"shop\"\nversion = \"1.0.0\"\n");
    for part in used(wires) {
        let file = part.split('-').next().expect("a name");
        let with: Vec<String> = wires
            .iter()
            .filter(|(importer, ..)| *importer == part)
            .map(|(_, import, provider)| format!("\"acme:store/{import}\" = \"{provider}\""))
            .collect();
        text.push_str(&format!("[components.{part}]\npath = \"{file}.wasm\"\n"));
        if !with.is_empty() {
            text.push_str(&format!("with = {{ {} }}\n", with.join(", ")));
        }
    }
    fs::write(folder.join("recipe.toml"), text).expect("written");
}

/// The plan without anybody's judgement.
fn forced(inputs: &inputs::Inputs, recipe: &recipe::Recipe, wires: &Wires) -> Plan {
    let name = |part: &str| {
        recipe.components.keys().find(|name| name.to_string() == part).expect("a part of the recipe").clone()
    };
    let parts = recipe.components.keys().map(|part| {
        let imports: BTreeMap<String, Decision> = wires
            .iter()
            .filter(|(importer, ..)| *importer == part.to_string())
            .map(|(_, import, provider)| {
                let full = format!("acme:store/{import}@1.0.0");
                (full.clone(), Decision::Wire { part: name(provider), export: full, explicit: true })
            })
            .collect();
        let digest = *inputs.digest(part).expect("an input");
        (
            part.clone(),
            PartPlan {
                digest,
                imports,
                grants: BTreeMap::new(),
                memory: None,
                values: Values::default(),
                left_over: Vec::new(),
            },
        )
    });
    Plan {
        app: "shop".into(),
        version: "1.0.0".into(),
        parts: parts.collect(),
        exports: BTreeMap::from([("wasi:cli/run@0.2.12".into(), name("front"))]),
        trigger: Some(Trigger::Command02),
        launcher: BTreeMap::new(),
    }
}

#[test]
fn the_plan_and_the_validator_agree_on_every_wiring() {
    let folder = tempfile::tempdir().expect("folder");
    for (part, world) in PARTS {
        let bytes = component::from_wit(&format!("{STORE}{world}"));
        fs::write(folder.path().join(part).with_extension("wasm"), bytes).expect("written");
    }
    let (mut accepted, mut refused) = (0, 0);
    for wires in wirings() {
        write_recipe(folder.path(), &wires);
        let recipe = recipe::read(&folder.path().join("recipe.toml")).expect("a recipe");
        let (recipe, inputs) = pipeline::read(inputs::gather(recipe)).expect("inputs");
        let planned = plan::plan(&recipe, &inputs);
        let linked = link::link(&forced(&inputs, &recipe, &wires), &inputs);
        match (&planned, &linked) {
            (Ok(_), Ok(_)) => accepted += 1,
            (Err(reports), Err(_)) => {
                refused += 1;
                assert!(
                    reports.iter().all(|report| report.what.contains("each has another")),
                    "{}",
                    reports[0]
                );
            }
            (Ok(_), Err(bugs)) => panic!("{wires:?} is accepted and cannot be linked: {}", bugs[0]),
            (Err(reports), Ok(_)) => panic!("{wires:?} is refused and can be linked: {}", reports[0]),
        }
    }
    assert!(accepted > 5 && refused > 50, "{accepted} accepted, {refused} refused");
}
