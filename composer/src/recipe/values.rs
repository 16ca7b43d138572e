//! `config`, `env` and `args` of a part: what is baked into it. What is left to the device beside them is in `open`.
//!
//! Whether the part imports what the values are for is not decided here (see `plan`). No message repeats a value, and no
//! value that looks like a secret is accepted unless `not-secret` names it.

use std::collections::BTreeMap;

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::manifest::Grant;
use wadoo_signing::report::{Exit, Report};

use super::parse::MAX_LIST;
use super::problems::{Problems, Table};
use super::source::Span;
use super::syntax::{clipped, quoted};
use super::{InterfacePattern, MAX_NAME, Open, Spanned, grants, open, secret};

/// Greatest length of one baked value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;
/// Greatest length of all names and values that are baked into one part, in bytes.
pub const MAX_VALUES: usize = 512 * 1024;

/// What a part can be given by its recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `config`: what `wasi:config` has.
    Configuration,
    /// `env` and `args`: what `wasi:cli/environment` has.
    Environment,
}

impl Source {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Configuration, Self::Environment];

    /// Whose values an import has, if it is one of those that can be baked.
    pub fn of(import: &str) -> Option<Self> {
        match import.split('@').next() {
            Some("wasi:config/store" | "wasi:config/runtime") => Some(Self::Configuration),
            Some("wasi:cli/environment") => Some(Self::Environment),
            _ => None,
        }
    }

    /// The table of a part that has its values by name.
    pub fn table(self) -> &'static str {
        match self {
            Self::Configuration => "config",
            Self::Environment => "env",
        }
    }
}

/// What is baked into a part.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// `config`: what `wasi:config` has.
    pub config: Option<Spanned<BTreeMap<String, String>>>,
    /// `env`: variables of the environment.
    pub env: Option<Spanned<BTreeMap<String, String>>>,
    /// `args`: arguments, without the name of the program.
    pub args: Option<Spanned<Vec<String>>>,
    /// `open`: what the device gives beside them.
    pub open: Open,
}

impl Values {
    /// What the device gives of an import.
    pub fn open(&self, import: &str) -> Option<&Grant> {
        self.open.get(&Source::of(import)?).map(|open| &open.value)
    }
}

/// Reads the keys of `part`; `granted` is what it is granted otherwise.
pub(super) fn read(
    part: &Table<'_>,
    granted: Option<&BTreeMap<InterfacePattern, Spanned<Grant>>>,
    problems: &mut Problems<'_>,
) -> Option<Values> {
    let mut secrets = Secrets::new(part, problems);
    let config = entries(part, "config", &mut secrets, problems);
    let env = entries(part, "env", &mut secrets, problems);
    let args = arguments(part, &mut secrets, problems);
    secrets.finish(problems);
    let open = open::read(part, granted, problems);
    let values = Values { config: config?, env: env?, args: args?, open: open? };
    check_length(part, &values, problems)?;
    Some(values)
}

/// A table of texts.
fn entries(
    part: &Table<'_>,
    key: &str,
    secrets: &mut Secrets,
    problems: &mut Problems<'_>,
) -> Option<Option<Spanned<BTreeMap<String, String>>>> {
    let Some((name, value)) = part.entries.get_key_value(key) else { return Some(None) };
    let table = problems.table(format!("`{key}` of {}", part.name), name.span(), value)?;
    problems.check_length(&table, MAX_LIST)?;
    let mut entries = BTreeMap::new();
    let mut whole = true;
    for (name, value) in table.entries {
        let what = format!("{} in `{key}`", quoted(name.get_ref()));
        let named = check_name(key, name, problems);
        if named.is_none() {
            problems.hide(value.span());
        }
        match (named, text(&what, value, problems)) {
            (Some(()), Some(text)) => {
                let place = Place { what, key: name.get_ref(), span: name.span(), value: value.span() };
                let source = Source::ALL.into_iter().find(|source| source.table() == key);
                secrets.check(&place, source, text, problems);
                entries.insert(name.get_ref().to_string(), text.to_owned());
            }
            _ => whole = false,
        }
    }
    whole.then(|| Some(Spanned { value: entries, span: name.span() }))
}

/// A variable's name is one that `grants` could have; a key of the configuration is any text.
fn check_name(
    table: &str,
    name: &Node<std::borrow::Cow<'_, str>>,
    problems: &mut Problems<'_>,
) -> Option<()> {
    let (text, span) = (name.get_ref(), name.span());
    if table == "env" {
        return grants::variable_name(text, &span, problems).map(drop);
    }
    if text.is_empty() || text.len() > MAX_NAME || text.contains(char::is_control) {
        let because = format!("expected 1 to {MAX_NAME} bytes without control characters");
        problems.refuse(&format!("a key of `{table}`"), text, because, None, &span);
        return None;
    }
    Some(())
}

/// A text that may be empty. It is not repeated in messages.
fn text<'t>(what: &str, value: &'t Node<DeValue<'t>>, problems: &mut Problems<'_>) -> Option<&'t str> {
    let report =
        |because: &str| Report::new(Exit::CouldNot, format!("{what} cannot be baked")).because(because);
    let report = match value.get_ref() {
        DeValue::String(text) if text.len() > MAX_VALUE => {
            report(&format!("it has {} bytes, expected at most {MAX_VALUE}", text.len()))
        }
        DeValue::String(text) if text.contains('\0') => report("it has a zero byte, which ends texts in C"),
        DeValue::String(text) => return Some(text),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
            Report::new(Exit::CouldNot, format!("{what} is no string"))
                .because("the part gets a text, whatever it means")
                .hint("put the value in quotes")
        }
        other => {
            problems.hide(value.span());
            return problems.wrong_type(what, other, "a string", &value.span());
        }
    };
    // It may be a secret all the same.
    problems.hide(value.span());
    problems.add(&value.span(), report);
    None
}

fn arguments(
    part: &Table<'_>,
    secrets: &mut Secrets,
    problems: &mut Problems<'_>,
) -> Option<Option<Spanned<Vec<String>>>> {
    let Some((key, value)) = part.entries.get_key_value("args") else { return Some(None) };
    let mut arguments: Vec<String> = Vec::new();
    let mut whole = true;
    // None is something else than those of the command line.
    let items = match value.get_ref() {
        DeValue::Array(none) if none.is_empty() => Vec::new(),
        _ => problems.list(&format!("`args` of {}", part.name), value, MAX_LIST)?,
    };
    for item in items {
        let Some(text) = text("an argument", item, problems) else {
            whole = false;
            continue;
        };
        // `--token=x`, or `--token` and `x` after it.
        let before = arguments.last().filter(|before| before.starts_with('-') && !before.contains('='));
        let (name, value) = match (text.split_once('='), before) {
            (Some((name, value)), _) if name.starts_with('-') => (name, value),
            (_, Some(before)) if !text.starts_with('-') => (before.as_str(), text),
            _ => ("", text),
        };
        // An argument without a name is told, and excused, by its place.
        let name = match name.trim_start_matches('-') {
            "" => format!("args[{}]", arguments.len()),
            name => name.to_owned(),
        };
        let what = format!("the argument {}", quoted(&name));
        let place = Place { what, key: &name, span: item.span(), value: item.span() };
        secrets.check(&place, None, value, problems);
        arguments.push(text.to_owned());
    }
    whole.then(|| Some(Spanned { value: arguments, span: key.span() }))
}

fn check_length(part: &Table<'_>, values: &Values, problems: &mut Problems<'_>) -> Option<()> {
    let tables = values.config.iter().chain(&values.env);
    let entries: usize =
        tables.flat_map(|table| &table.value).map(|(key, value)| key.len() + value.len()).sum();
    let arguments: usize = values.args.iter().flat_map(|args| &args.value).map(String::len).sum();
    let length = entries + arguments;
    if length > MAX_VALUES {
        let what = format!("{} has {length} bytes of values", part.name);
        let report = Report::new(Exit::CouldNot, what).because(format!("expected at most {MAX_VALUES}"));
        problems.add(&part.span, report.hint("put what is long into a file that the part reads"));
        return None;
    }
    Some(())
}

/// Where a value stands.
struct Place<'a> {
    what: String,
    key: &'a str,
    span: Span,
    value: Span,
}

/// The values that look like secrets, against `not-secret`.
struct Secrets {
    /// Names of `not-secret` and whether one had an effect.
    excused: BTreeMap<String, (Span, bool)>,
    /// The part has `config` and `env`: its `open` says which it means.
    has_both: bool,
}

impl Secrets {
    fn new(part: &Table<'_>, problems: &mut Problems<'_>) -> Self {
        let mut excused = BTreeMap::new();
        let list = part.entries.get("not-secret");
        let items =
            list.and_then(|list| problems.list(&format!("`not-secret` of {}", part.name), list, MAX_LIST));
        for item in items.into_iter().flatten() {
            if let Some(name) = problems.string("an entry of `not-secret`", item) {
                excused.insert(name.to_owned(), (item.span(), false));
            }
        }
        let has_both = Source::ALL.iter().all(|source| part.entries.contains_key(source.table()));
        Self { excused, has_both }
    }

    /// Refuses `value` if it looks like a secret; `source` has it by name, so that it could be left to the device.
    fn check(&mut self, place: &Place<'_>, source: Option<Source>, value: &str, problems: &mut Problems<'_>) {
        let Some(why) = secret::suspicion(place.key, value) else { return };
        if let Some((_, used)) = self.excused.get_mut(place.key) {
            *used = true;
            return;
        }
        problems.hide(place.value.clone());
        let report = Report::new(Exit::CouldNot, format!("{} looks like a secret", place.what))
            .because(why)
            .because("what is baked can be read in the recipe, in the artifact and in every copy of them");
        let key = clipped(place.key);
        let instead = match source.filter(|_| grants::is_variable_name(place.key)) {
            Some(source) if self.has_both => {
                format!("leave it to the device: `open = {{ {} = [\"{key}\"] }}`", source.table())
            }
            Some(_) => format!("leave it to the device: `open = [\"{key}\"]`"),
            None => "leave a variable of the environment to the device instead".to_owned(),
        };
        let hint = format!("{instead}; if it is none, add `not-secret = [\"{key}\"]`");
        problems.add(&place.span, report.hint(hint));
    }

    /// Reports what `not-secret` says without effect.
    fn finish(self, problems: &mut Problems<'_>) {
        for (name, (span, used)) in self.excused {
            if !used {
                let what = format!("`not-secret` has {}, and nothing comes of it", quoted(&name));
                let report = Report::new(Exit::CouldNot, what)
                    .because("no key of that name has a value that looks like a secret");
                problems.add(&span, report.hint("remove it"));
            }
        }
    }
}
