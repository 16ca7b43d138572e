//! `assemble` of a part: interfaces that are put together from functions of other parts.
//!
//! Deliberately absent: whether those parts export the functions, and which types they have (see `inputs`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use wadoo_signing::report::{Exit, Report};

use super::components::PartNames;
use super::parse::{MAX_LIST, Names};
use super::problems::{Problems, Refusal, Table};
use super::source::{Span, Spanned};
use super::syntax::quoted;
use super::{InterfaceName, MAX_NAME, Provider, provider};

/// What `assemble` says.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// Where it stands.
    pub span: Span,
    /// By the interface's full name, who gives each of its functions.
    pub interfaces: BTreeMap<InterfaceName, BTreeMap<FunctionName, Spanned<Provider>>>,
}

impl Assembly {
    /// Everybody who gives a function.
    pub fn providers(&self) -> impl Iterator<Item = &Spanned<Provider>> {
        self.interfaces.values().flat_map(BTreeMap::values)
    }
}

/// The name of a function, `get-row`; those of resources have none that can be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionName(String);

impl FunctionName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not the name of a function.
pub struct NotAFunction;

impl FromStr for FunctionName {
    type Err = NotAFunction;

    fn from_str(text: &str) -> Result<Self, NotAFunction> {
        let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let letter = text.starts_with(|first: char| first.is_ascii_alphabetic());
        let fits = text.len() <= MAX_NAME && letter && text.split('-').all(word);
        if fits { Ok(Self(text.to_owned())) } else { Err(NotAFunction) }
    }
}

impl Refusal for NotAFunction {
    fn because(&self) -> String {
        format!("expected the name of a function as WIT has it, like `get-row`, of at most {MAX_NAME} bytes")
    }

    fn meant(&self, text: &str) -> Option<String> {
        let text = text.trim().replace('_', "-");
        text.parse::<FunctionName>().is_ok().then_some(text)
    }
}

/// Reads `assemble`, of which the caller knows that it is there.
pub(super) fn read(
    table: &Table<'_>,
    names: &PartNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<Assembly> {
    let value = table.entries.get("assemble")?;
    let assemble = problems.table(format!("`assemble` of {}", table.name), value.span(), value)?;
    let mut interfaces = Names::new("`assemble`", InterfaceName::overlaps);
    not_empty(&assemble, "\"acme:store/api@1.0.0\" = { get = \"reader\" }", problems)?;
    problems.check_length(&assemble, MAX_LIST)?;
    for (key, value) in assemble.entries {
        let name = problems.parse_text("an interface's name", key.get_ref(), &key.span());
        let title = format!("{} in `assemble`", quoted(key.get_ref()));
        let functions = problems
            .table(title, value.span(), value)
            .and_then(|functions| read_functions(&functions, names, problems));
        interfaces.add(name, functions, key.span(), problems);
    }
    Some(Assembly { span: value.span(), interfaces: interfaces.finish()? })
}

fn read_functions(
    table: &Table<'_>,
    names: &PartNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<FunctionName, Spanned<Provider>>> {
    not_empty(table, "get = \"reader\"", problems)?;
    problems.check_length(table, MAX_LIST)?;
    let mut functions = BTreeMap::new();
    let mut whole = true;
    for (key, value) in table.entries {
        let name = problems.parse_text("a function's name", key.get_ref(), &key.span());
        let title = format!("{} of {}", quoted(key.get_ref()), table.name);
        match (name, provider::read(value, title, &["part", "export"], names, problems)) {
            (Some(name), Some(provider)) => {
                functions.insert(name, provider);
            }
            _ => whole = false,
        }
    }
    whole.then_some(functions)
}

fn not_empty(table: &Table<'_>, example: &str, problems: &mut Problems<'_>) -> Option<()> {
    if table.entries.is_empty() {
        let report = Report::new(Exit::CouldNot, format!("{} is empty", table.name));
        problems.add(&table.span, report.hint(format!("say who gives each function: `{example}`")));
        return None;
    }
    Some(())
}
