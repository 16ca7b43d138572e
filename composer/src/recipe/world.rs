//! `world` and `wit` of a part or of the application: what it must conform to, and where that is described.
//!
//! Deliberately absent: whether the WIT is there, has the world, and whether anything conforms to it (see `inputs` and `plan`).

use std::path::PathBuf;

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::report::{Exit, Report};

use super::problems::{Problems, Table};
use super::{InterfaceName, Spanned, input};

/// A world, by name, and its WIT.
#[derive(Clone, Debug)]
pub struct WitWorld {
    /// A folder of WIT, or one file, relative to the recipe's folder.
    pub path: Spanned<PathBuf>,
    /// The world's name, `acme:plugin/decoder`.
    pub world: Spanned<InterfaceName>,
}

/// What `table` says of a world; the outer `None` is a problem that was added.
pub(super) fn read(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Option<WitWorld>> {
    let entries = table.entries;
    match (entries.get("wit"), entries.get("world")) {
        (None, None) => Some(None),
        (Some(_), Some(world)) => {
            let path = input::read_path(table, "wit", problems);
            let world = read_world(world, problems);
            path.zip(world).map(|(path, world)| Some(WitWorld { path, world }))
        }
        (Some(wit), None) => {
            problems.add(&wit.span(), lacks(table, "wit", "world", "\"acme:plugin/decoder\""));
            None
        }
        (None, Some(world)) => {
            problems.add(&world.span(), lacks(table, "world", "wit", "\"wit\""));
            None
        }
    }
}

/// A world is called like an interface.
fn read_world(value: &Node<DeValue<'_>>, problems: &mut Problems<'_>) -> Option<Spanned<InterfaceName>> {
    let text = problems.string("`world`", value)?;
    if let Ok(world) = text.parse() {
        return Some(Spanned { value: world, span: value.span() });
    }
    let because =
        "expected a world's full name, like `acme:plugin/decoder`, with `@1.0.0` where the version matters";
    problems.refuse("`world`", text, because, None, &value.span());
    None
}

/// `wit` and `world` say something together only.
fn lacks(table: &Table<'_>, there: &str, lacking: &str, example: &str) -> Report {
    Report::new(Exit::CouldNot, format!("{} has `{there}` and no `{lacking}`", table.name))
        .because("`wit` is where the world is described, and `world` is its name")
        .hint(format!("add `{lacking} = {example}`"))
}
