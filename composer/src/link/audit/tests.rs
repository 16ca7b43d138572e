//! What the audit refuses that no plan could say.

use super::*;
use crate::plan::LauncherImport;

const OWN: &str = "wadoo:open-cart/wasi-cli-environment@0.2.0";
const ANOTHERS: &str = "wadoo:open-shop/wasi-cli-environment@0.2.0";

/// The graph library could wire anything; what the plan says of the same bytes cannot show it.
#[test]
fn an_open_configuration_has_the_variables_of_its_own_part_alone() {
    let part = |name: &str| name.parse::<PartName>().expect("a name");
    let open = |of: &str| LauncherImport {
        interface: DEVICE.to_owned(),
        config_of: BTreeSet::from([part(of)]),
        ..LauncherImport::default()
    };
    let plan = Plan {
        app: "shop".to_owned(),
        version: "1.0.0".to_owned(),
        parts: BTreeMap::new(),
        exports: BTreeMap::new(),
        trigger: None,
        launcher: [(OWN, "cart"), (ANOTHERS, "shop")].map(|(name, of)| (name.to_owned(), open(of))).into(),
    };
    let sources = [OWN, ANOTHERS, DEVICE].map(|name| Source::Import(name.to_owned()));
    let root = Root { instances: sources.into(), ..Root::default() };
    let fits = |form, arguments: &[(&str, u32)]| {
        let arguments = arguments.iter().map(|(name, index)| ((*name).to_owned(), *index)).collect();
        has_device_alone(&plan, form, &part("cart"), &root, &arguments)
    };
    assert!(fits(Form::Linked, &[(DEVICE, 0)]));
    assert!(!fits(Form::Linked, &[(DEVICE, 1)]), "those of another part");
    assert!(!fits(Form::Linked, &[(DEVICE, 2)]), "those of the application");
    assert!(!fits(Form::Linked, &[(DEVICE, 3)]), "nothing that there is");
    assert!(!fits(Form::Linked, &[]));
    assert!(!fits(Form::Linked, &[("wasi:cli/environment@0.2.12", 0)]));
    assert!(!fits(Form::Linked, &[(DEVICE, 0), ("wasi:cli/stdout@0.2.0", 0)]));
    // All parts share what the host has there.
    assert!(fits(Form::Portable, &[(DEVICE, 2)]));
    assert!(!fits(Form::Portable, &[(DEVICE, 0)]));
}
