//! Where a part comes from: a file or a pattern of files (`path`), a core module (`module`),
//! another recipe (`recipe`), or functions of other parts (`assemble`). Exactly one of them; what belongs to another is
//! refused here.
//!
//! Deliberately absent: whether the files exist, and which files a pattern matches (see `inputs`).

use std::path::PathBuf;

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::report::{Exit, Report};

use super::Spanned;
use super::assembly::{self, Assembly};
use super::components::PartNames;
use super::parse::MAX_PATH;
use super::pattern::PathPattern;
use super::problems::{Problems, Table};

/// Where a part comes from.
#[derive(Clone, Debug)]
pub enum Input {
    /// `path`: a component.
    Component(Spanned<PathBuf>),
    /// `path` with a pattern: a part for each file that it matches.
    Pattern(Spanned<PathPattern>),
    /// `module`: a core module, which is made a component; of the part's `world`, where it does not carry its own.
    Module(Spanned<PathBuf>),
    /// `recipe`: a composition.
    Recipe(Spanned<PathBuf>),
    /// `assemble`: functions of other parts.
    Assembly(Assembly),
}

/// The keys of which a part has exactly one.
const SOURCES: [&str; 4] = ["path", "module", "recipe", "assemble"];

/// Reads the one source of the part in `table`.
pub(super) fn read(table: &Table<'_>, names: &PartNames<'_>, problems: &mut Problems<'_>) -> Option<Input> {
    let found: Vec<&str> = SOURCES.into_iter().filter(|key| table.entries.contains_key(*key)).collect();
    if let [first, second, ..] = found[..] {
        let report = Report::new(Exit::CouldNot, format!("{} has both `{first}` and `{second}`", table.name));
        let span = table.entries.get(second).map_or(table.span.clone(), Node::span);
        problems.add(&span, report.because("a part comes from one of them").hint("keep one of the two"));
        return None;
    }
    let belongs = found.first().is_none_or(|kind| belongs(table, kind, problems));
    let input = match (found.first(), table.entries.contains_key("oci")) {
        // It explains itself; a missing `path` beside it would be a second message for one cause.
        (None, true) => None,
        (Some(&"module"), _) => read_path(table, "module", problems).map(Input::Module),
        (Some(&"recipe"), _) => read_path(table, "recipe", problems).map(Input::Recipe),
        (Some(&"assemble"), _) => assembly::read(table, names, problems).map(Input::Assembly),
        _ => {
            problems.required(table, "path", "\"guests/part.wasm\"")?;
            read_component(table, problems)
        }
    }?;
    let belongs = belongs && (!matches!(input, Input::Pattern(_)) || self::belongs(table, PATTERN, problems));
    belongs.then_some(input)
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

/// What `path` is called where it is the pattern of several files.
const PATTERN: &str = "pattern";

/// A key that says nothing of a kind of input, why, and what to do.
type Foreign = (&'static str, &'static str, &'static str);

const LOCK: &str = "leave it out: `wadoo update` writes every digest into `wadoo.lock`";
const GIVERS: &str = "write it in the table of each part that gives a function and is to have it";

const OF_PATTERN: &[Foreign] = &[("digest", "one digest cannot pin several files", LOCK)];
const OF_RECIPE: &[Foreign] = &[("digest", "a recipe's digest says nothing of its parts", LOCK)];
/// `open` and `not-secret` have a meaning beside other keys only, which are among these.
const OF_ASSEMBLY: &[Foreign] = &[
    ("digest", "it is made of other parts, which have their own", LOCK),
    ("memory", "it has no code and no memory: the parts that give the functions have theirs", GIVERS),
    ("config", "it has no code that could read values", GIVERS),
    ("env", "it has no code that could read values", GIVERS),
    ("args", "it has no code that could read values", GIVERS),
];

/// Refuses keys that say nothing of this kind of input.
fn belongs(table: &Table<'_>, kind: &str, problems: &mut Problems<'_>) -> bool {
    let (kind, foreign) = match kind {
        PATTERN => ("a pattern", OF_PATTERN),
        "recipe" => ("a recipe", OF_RECIPE),
        "assemble" => ("`assemble`", OF_ASSEMBLY),
        _ => return true,
    };
    let mut belongs = true;
    for (key, because, hint) in foreign {
        let Some(value) = table.entries.get(*key) else { continue };
        let what = format!("`{key}` of {} cannot be used with {kind}", table.name);
        problems.add(&value.span(), Report::new(Exit::CouldNot, what).because(*because).hint(*hint));
        belongs = false;
    }
    belongs
}

/// The path under `key`, of which the caller knows that it is there.
pub(super) fn read_path(
    table: &Table<'_>,
    key: &str,
    problems: &mut Problems<'_>,
) -> Option<Spanned<PathBuf>> {
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
