//! Where a part comes from: a file or a pattern of files (`path`), a core module (`module`, with `wit` and `world`), or
//! another recipe (`recipe`). Exactly one of them; what belongs to another is refused here.
//!
//! Deliberately absent: whether the files exist, and which files a pattern matches (see `inputs`).

use std::path::PathBuf;

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::report::{Exit, Report};

use super::parse::MAX_PATH;
use super::pattern::PathPattern;
use super::problems::{Problems, Table};
use super::{InterfaceName, Spanned};

/// Where a part comes from.
#[derive(Clone, Debug)]
pub enum Input {
    /// `path`: a component.
    Component(Spanned<PathBuf>),
    /// `path` with a pattern: a part for each file that it matches.
    Pattern(Spanned<PathPattern>),
    /// `module`: a core module, which is made a component.
    Module {
        /// Its file.
        path: Spanned<PathBuf>,
        /// `wit` and `world`, for a module that does not carry its own world.
        world: Option<WitWorld>,
    },
    /// `recipe`: a composition.
    Recipe(Spanned<PathBuf>),
}

/// `wit` and `world` of a core module.
#[derive(Clone, Debug)]
pub struct WitWorld {
    /// A folder of WIT, or one file.
    pub path: Spanned<PathBuf>,
    /// The world's name, `acme:plugin/decoder`.
    pub world: Spanned<InterfaceName>,
}

/// The keys of which a part has exactly one.
const SOURCES: [&str; 3] = ["path", "module", "recipe"];

/// Whether the table describes a core module, of which `world` is a part.
pub(super) fn is_module(table: &Table<'_>) -> bool {
    table.entries.contains_key("module") || table.entries.contains_key("wit")
}

/// Reads the one source of the part in `table`.
pub(super) fn read(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Input> {
    let found: Vec<&str> = SOURCES.into_iter().filter(|key| table.entries.contains_key(*key)).collect();
    if let [first, second, ..] = found[..] {
        let report = Report::new(Exit::CouldNot, format!("{} has both `{first}` and `{second}`", table.name));
        let span = table.entries.get(second).map_or(table.span.clone(), Node::span);
        problems.add(&span, report.because("a part comes from one of them").hint("keep one of the two"));
        return None;
    }
    let input = match (found.first(), table.entries.contains_key("oci")) {
        // It explains itself; a missing `path` beside it would be a second message for one cause.
        (None, true) => None,
        (None, false) if is_module(table) => {
            problems.required(table, "module", "\"guests/part.wasm\"");
            None
        }
        (Some(&"module"), _) => read_module(table, problems),
        (Some(&"recipe"), _) => read_path(table, "recipe", problems).map(Input::Recipe),
        _ => {
            problems.required(table, "path", "\"guests/part.wasm\"")?;
            read_component(table, problems)
        }
    }?;
    belongs_to_another(table, &input, problems).then_some(input)
}

fn read_component(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Input> {
    let path = read_path(table, "path", problems)?;
    let text = path.value.to_str().unwrap_or_default();
    if !PathPattern::is_pattern(text) {
        return Some(Input::Component(path));
    }
    match text.parse() {
        Ok(value) => Some(Input::Pattern(Spanned { value, span: path.span })),
        Err(error) => {
            problems.add(&path.span, error.report(text));
            None
        }
    }
}

fn read_module(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Input> {
    let path = read_path(table, "module", problems);
    let entries = table.entries;
    let world = match (entries.get("wit"), entries.get("world")) {
        (None, None) => Some(None),
        (Some(_), Some(world)) => {
            let path = read_path(table, "wit", problems);
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
    };
    Some(Input::Module { path: path?, world: world? })
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
        .because("`wit` is where the world of a core module is described, and `world` is its name")
        .hint(format!("add `{lacking} = {example}`"))
}

/// Refuses keys that say nothing of this kind of input.
fn belongs_to_another(table: &Table<'_>, input: &Input, problems: &mut Problems<'_>) -> bool {
    if let (Some(wit), false) = (table.entries.get("wit"), matches!(input, Input::Module { .. })) {
        let report = Report::new(Exit::CouldNot, format!("`wit` of {} has no use", table.name))
            .because("it is for a core module, and a component has its world in it")
            .hint("leave `wit` and `world` out");
        problems.add(&wit.span(), report);
        return false;
    }
    let because = match input {
        Input::Component(_) | Input::Module { .. } => return true,
        Input::Pattern(_) => "one digest cannot pin several files",
        Input::Recipe(_) => "a recipe's digest says nothing of its parts",
    };
    let Some(digest) = table.entries.get("digest") else { return true };
    let kind = if matches!(input, Input::Recipe(_)) { "a recipe" } else { "a pattern" };
    let report =
        Report::new(Exit::CouldNot, format!("`digest` of {} cannot be used with {kind}", table.name));
    let hint = "leave it out: `wadoo update` writes every digest into `wadoo.lock`";
    problems.add(&digest.span(), report.because(because).hint(hint));
    false
}

/// The path under `key`, of which the caller knows that it is there.
fn read_path(table: &Table<'_>, key: &str, problems: &mut Problems<'_>) -> Option<Spanned<PathBuf>> {
    let value: &Node<DeValue<'_>> = table.entries.get(key)?;
    let what = format!("`{key}`");
    let text = problems.string(&what, value)?;
    if text.len() > MAX_PATH || text.contains(char::is_control) {
        let because =
            format!("expected the path of a file, of at most {MAX_PATH} bytes, without control characters");
        problems.refuse(&what, text, because, None, &value.span());
        return None;
    }
    if text.contains("://") {
        let report = Report::new(
            Exit::CouldNot,
            format!("an address in `{key}` is not supported by this version yet"),
        );
        problems.add(&value.span(), report.hint("download it, and name the file"));
        return None;
    }
    Some(Spanned { value: PathBuf::from(text), span: value.span() })
}
