//! The machine-readable form of a plan.

use std::fs;

use crate::{component, run};

#[test]
fn a_plan_has_a_json_form_with_a_schema() {
    let folder = tempfile::tempdir().expect("folder");
    let recipe = "recipe = 1\n[app]\nname = \"shop\"\nversion = \"1.4.0\"\n[components.main]\npath = \"main.wasm\"\n\
                  allow = [\"wasi:cli/environment\"]\nwith = { \"acme:auth/check\" = { part = \"auth\", own = true } }\n\
                  [components.auth]\npath = \"auth.wasm\"\n[policy]\ndeny = [\"wasi:sockets/*\"]\n[grants]\n\"wasi:cli/environment\" = { keys = [\"HOME\"] }\n";
    let auth = "package acme:auth@0.1.0 { interface check { verify: func() -> bool; } }";
    let main = format!(
        "package test:main; {auth} world part {{ import acme:auth/check@0.1.0; import wasi:cli/environment@0.2.12; \
         import wasi:sockets/instance-network@0.2.12; export wasi:cli/run@0.2.12; }}"
    );
    let auth = format!("package test:auth; {auth} world part {{ export acme:auth/check@0.1.0; }}");
    fs::write(folder.path().join("recipe.toml"), recipe).expect("written");
    fs::write(folder.path().join("main.wasm"), component::from_wit(&main)).expect("written");
    fs::write(folder.path().join("auth.wasm"), component::from_wit(&auth)).expect("written");
    let (plan, linked) = run(&folder.path().join("recipe.toml")).expect("linked");
    let json = serde_json::to_value(&plan).expect("json");
    assert_eq!(json["schema"], 1);
    assert_eq!(json["trigger"], "command-0.2");
    assert_eq!(json["exports"]["wasi:cli/run@0.2.12"], "main");
    let imports = &json["parts"]["main"]["imports"];
    assert_eq!(imports["acme:auth/check@0.1.0"]["decision"], "wire");
    assert_eq!(imports["acme:auth/check@0.1.0"]["part"], "main/auth");
    assert_eq!(json["parts"]["main/auth"]["leftOver"].as_array().map(Vec::len), Some(0));
    assert!(json["parts"].get("auth").is_none());
    assert_eq!(imports["wasi:sockets/network@0.2.12"]["decision"], "deny");
    assert_eq!(imports["wasi:sockets/network@0.2.12"]["policy"], true);
    assert_eq!(imports["wasi:cli/environment@0.2.12"]["reason"], "granted");
    assert_eq!(json["launcher"]["wasi:cli/environment@0.2.12"]["grant"]["environment"]["keys"][0], "HOME");
    assert_eq!(linked.grants.keys().collect::<Vec<_>>(), ["wasi:cli/environment@0.2.12"]);
    assert_eq!(linked.imports.iter().collect::<Vec<_>>(), ["wasi:cli/environment@0.2.12"]);
    assert_eq!(linked.exports.iter().collect::<Vec<_>>(), ["wasi:cli/run@0.2.12"]);
}
