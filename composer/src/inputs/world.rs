//! The world that a part must conform to: from WIT to types that can be compared with those of its component.
//!
//! Deliberately absent: the comparison (see `plan`).

use std::panic::{AssertUnwindSafe, catch_unwind};

use wac_types::{ItemKind, Type, Types, WorldId};
use wadoo_signing::digest::Sha256Digest;
use wit_parser::{PackageId, Resolve};

use super::component::{self, Valid};
use super::error::InputError;
use super::wit::Wit;
use crate::recipe::InterfaceName;

/// Adds the types of the world that is called `wanted` to `types`.
pub(super) fn read(wit: &Wit, wanted: &InterfaceName, types: &mut Types) -> Result<WorldId, InputError> {
    let (resolve, world) = wit.world(wanted)?;
    let name = &resolve.worlds[world].name;
    let Some(package) = resolve.worlds[world].package else {
        return Err(unreadable());
    };
    let bytes = encode(&resolve, package)?;
    let package = component::types_of(&Sha256Digest::of(&bytes), Valid::new(bytes)?, types)?;
    match package.definitions().get(name) {
        Some(ItemKind::Type(Type::World(id))) => Ok(*id),
        _ => Err(unreadable()),
    }
}

fn encode(resolve: &Resolve, package: PackageId) -> Result<Vec<u8>, InputError> {
    let encoded = catch_unwind(AssertUnwindSafe(|| wit_component::encode(resolve, package)));
    let encoded = encoded.map_err(|_| InputError::Types("the encoder fails on them".to_owned()))?;
    encoded.map_err(|error| InputError::Types(format!("{error:#}").replace('\n', " ")))
}

fn unreadable() -> InputError {
    InputError::Types("its world has no types that can be compared".to_owned())
}

#[cfg(test)]
mod tests {
    use wadoo_signing::report::Exit;

    use super::super::error::Subject;
    use super::*;
    use crate::recipe::{self, Recipe};

    /// A recipe whose one part must conform to `test:deep/part`.
    fn recipe() -> Recipe {
        let text = "recipe = 1\n[app]\nname = \"app\"\nversion = \"1.0.0\"\n\
                    [components.part]\npath = \"part.wasm\"\nwit = \"part.wit\"\nworld = \"test:deep/part\"\n";
        recipe::parse("recipe.toml", text.to_owned()).expect("a recipe")
    }

    fn refusal(wit: &str) -> String {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("part.wit"), wit).expect("written");
        let recipe = recipe();
        let (name, part) = recipe.components.iter().next().expect("a part");
        let wanted = part.world.as_ref().expect("a world");
        let wit = Wit::read(folder.path(), &wanted.path.value).expect("WIT");
        let error = read(&wit, &wanted.world.value, &mut Types::new()).expect_err("refused");
        let report = error.report(name.as_str(), Subject::World(wanted), folder.path());
        assert_eq!(report.exit, Exit::CouldNot);
        report.what
    }

    /// No bracket nests deeper than another, and the encoder would overflow its stack.
    #[test]
    fn a_long_chain_of_types_is_refused() {
        let mut wit = String::from("package test:deep;\ninterface deep {\n  type t0 = u8;\n");
        for i in 0..20_000 {
            wit.push_str(&format!("  type t{} = option<t{i}>;\n", i + 1));
        }
        wit.push_str("  f: func() -> t20000;\n}\nworld part { import deep; }\n");
        assert_eq!(refusal(&wit), "cannot use `part.wit` for `part`: its types are nested deeper than 100");
    }

    #[test]
    fn what_the_engine_does_not_have_is_named() {
        let wit = "package test:deep;\nworld part { import f: func(a: map<string, u8>); }\n";
        assert_eq!(
            refusal(wit),
            "cannot use `part.wit` for `part`: it needs component-model map, which the engine does not have"
        );
    }
}
