//! One part never gets what another was granted, even if the plan had said so.

use std::collections::BTreeSet;

use tempfile::TempDir;
use wadoo::plan::{LauncherImport, Plan};
use wadoo::{inputs, link, pipeline, plan, recipe};
use wadoo_signing::manifest::PartImport;

use super::{cases, prepare};

const SHARED: &str = "wasi:http/outgoing-handler@0.2.12";

fn two_parts() -> (TempDir, inputs::Inputs, Plan) {
    planned("grants-of-parts")
}

fn planned(case: &str) -> (TempDir, inputs::Inputs, Plan) {
    let folder = tempfile::tempdir().expect("folder");
    prepare(&cases().join(case), folder.path());
    let recipe = recipe::read(&folder.path().join("recipe.toml")).expect("a recipe");
    let (recipe, inputs) = pipeline::read(inputs::gather(recipe)).expect("inputs");
    let plan = plan::plan(&recipe, &inputs).expect("a plan");
    (folder, inputs, plan)
}

#[test]
fn each_part_has_an_import_and_the_portable_component_one_for_all() {
    let (_folder, inputs, plan) = two_parts();
    let linked = link::link(&plan, &inputs).expect("linked");
    let own: BTreeSet<&str> = linked.part_imports.keys().map(String::as_str).collect();
    let expected =
        ["front", "prices"].map(|part| format!("wadoo:part-{part}/wasi-http-outgoing-handler@0.2.12"));
    assert_eq!(own, expected.iter().map(String::as_str).collect());
    assert!(own.iter().all(|name| linked.grants.contains_key(*name)));
    assert!(!linked.imports.contains(SHARED));
    assert!(linked.portable_imports().contains(SHARED));
    let portable = wasmprinter::print_bytes(linked.portable()).expect("printed");
    assert!(portable.contains(SHARED) && !portable.contains("wadoo:part-"), "{portable}");
    assert_eq!(linked.shared_when_portable().len(), 1);
}

/// What the graph library does by itself where two imports have one interface: it makes one of them.
#[test]
fn an_import_that_feeds_two_parts_with_different_values_is_found_in_the_bytes() {
    let (_folder, inputs, mut plan) = two_parts();
    plan.launcher.retain(|_, import| import.interface != SHARED);
    let merged = LauncherImport {
        interface: SHARED.to_owned(),
        parts: plan.parts.keys().cloned().collect(),
        ..LauncherImport::default()
    };
    plan.launcher.insert(SHARED.to_owned(), merged);
    let reports = link::link(&plan, &inputs).expect_err("the audit");
    let text = reports[0].to_string();
    assert!(
        text.contains(&format!("`{SHARED}` feeds `prices` and `front`, which were granted different values")),
        "{text}"
    );
}

const OPEN: &str = "wadoo:open-main/wasi-cli-environment@0.2.0";

#[test]
fn the_configuration_of_a_part_has_variables_of_its_own_beside_those_of_the_part() {
    let (_folder, inputs, plan) = planned("baked-open-config-and-env");
    let linked = link::link(&plan, &inputs).expect("linked");
    let own =
        |part: &str, interface: &str| PartImport { part: part.to_owned(), interface: interface.to_owned() };
    assert_eq!(linked.part_imports[OPEN], own("main/open", "wasi:cli/environment@0.2.0"));
    let of_part = "wadoo:part-main/wasi-cli-environment@0.2.12";
    assert_eq!(linked.part_imports[of_part], own("main", "wasi:cli/environment@0.2.12"));
    assert_eq!(linked.grants[OPEN].to_string(), "variables: region");
    assert_eq!(linked.grants[of_part].to_string(), "variables: LANG");
    let names = linked.parts.iter().flat_map(|part| &part.names);
    assert_eq!(names.collect::<BTreeSet<_>>().len(), 3, "main, main/baked, main/open");
    // In the portable component both ask the one environment of the host.
    assert_eq!(linked.portable_imports().iter().filter(|name| name.contains("environment")).count(), 1);
    let portable = wasmprinter::print_bytes(linked.portable()).expect("printed");
    assert_eq!(portable.matches("\n  (import \"wasi:cli/environment@").count(), 1, "{portable}");
    assert!(!portable.contains("wadoo:open-"), "{portable}");
}

/// A part whose environment is empty, and whose configuration is not, would see what is open of that.
#[test]
fn an_import_that_feeds_a_part_and_its_configuration_is_found_in_the_bytes() {
    let (_folder, inputs, mut plan) = planned("baked-open-config-apart");
    let open = plan.launcher.remove(OPEN).expect("an import of its own");
    let shared = plan.launcher.get_mut("wasi:cli/environment@0.2.12").expect("that of the part");
    shared.config_of = open.config_of;
    shared.grant = open.grant;
    let text = link::link(&plan, &inputs).expect_err("the audit")[0].to_string();
    assert!(text.contains("which were granted different values"), "{text}");
    assert!(text.contains("`main/open`") && text.contains("`main`"), "{text}");
}

/// What has files stands between a part and its host in the portable component alone, and only where it can.
#[test]
fn files_are_in_the_portable_component_or_it_is_said_why_not() {
    let mut why = Vec::new();
    for case in ["files", "files-of-two-parts"] {
        let (_folder, inputs, plan) = planned(case);
        let linked = link::link(&plan, &inputs).expect("linked");
        let (part, because) = linked.unportable.first_key_value().expect("it cannot");
        why.push(format!("{part}: {because}"));
    }
    assert_eq!(
        why,
        [
            "service: it has the mount `/data` of the device as well, by the same interface",
            "service: `wasi:clocks/monotonic-clock@0.2.12` gives or takes `pollable`, of which the files bring a definition of their own",
        ]
    );

    let (_folder, inputs, plan) = planned("files-beside-a-host");
    let linked = link::link(&plan, &inputs).expect("linked");
    assert!(linked.unportable.is_empty(), "{:?}", linked.unportable);
    assert!(
        linked.imports.contains("wadoo:part-store/wasi-filesystem-preopens@0.2.12"),
        "{:?}",
        linked.imports
    );
    // The other part has no files, and its folders from the host.
    assert!(linked.portable_imports().contains("wasi:filesystem/preopens@0.2.12"));
    assert_eq!(linked.shared_when_portable(), Vec::<String>::new());
    let portable = wasmprinter::print_bytes(linked.portable()).expect("printed");
    assert!(portable.contains("(instance $store/files"), "{portable}");
    let artifact = wasmprinter::print_bytes(&linked.bytes).expect("printed");
    assert!(!artifact.contains("store/files"), "{artifact}");
}
