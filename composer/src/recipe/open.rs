//! `open` of a part: which of its values the device gives, as variables of the launcher's environment.
//!
//! It is a list where one of `config` and `env` stands beside it, and a table where both do: a list could then mean keys of either.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::manifest::{EnvironmentGrant, Grant};
use wadoo_signing::report::{Exit, Report};

use super::problems::{Problems, Table};
use super::source::Span;
use super::syntax::clipped;
use super::{InterfacePattern, Source, Spanned, grants};

/// What the device gives, by what it is for.
pub type Open = BTreeMap<Source, Spanned<Grant>>;

const GRANT: &str = "`grants = { \"wasi:cli/environment\" = { keys = [\"NAME\"] } }`";
const MIXED: &str = "it leaves some values to the device where others are baked";

/// Reads `open` of `part`; `granted` is what it is granted otherwise.
pub(super) fn read(
    part: &Table<'_>,
    granted: Option<&BTreeMap<InterfacePattern, Spanned<Grant>>>,
    problems: &mut Problems<'_>,
) -> Option<Open> {
    let Some((key, value)) = part.entries.get_key_value("open") else { return Some(Open::new()) };
    let beside: Vec<Source> =
        Source::ALL.into_iter().filter(|source| part.entries.contains_key(source.table())).collect();
    let open = match (value.get_ref(), beside.as_slice()) {
        (_, []) => {
            let what = format!("`open` has neither `config` nor `env` beside it, in {}", part.name);
            let hint = format!("add `config = {{}}` beside it; for variables alone, write {GRANT}");
            problems.add(&key.span(), Report::new(Exit::CouldNot, what).because(MIXED).hint(hint));
            return None;
        }
        (DeValue::Table(_), _) => of_each(part, &beside, key.span(), value, problems)?,
        (DeValue::Array(keys), [_, _]) => {
            problems.add(&key.span(), unclear(part, keys.iter().next()));
            return None;
        }
        (other, [_, _]) => {
            let what = format!("`open` of {}", part.name);
            return problems.wrong_type(&what, other, "a table", &value.span());
        }
        (_, [source, ..]) => {
            let keys = keys(&format!("`open` of {}", part.name), *source, value, problems)?;
            Open::from([(*source, grant(keys, key.span()))])
        }
    };
    if open.contains_key(&Source::Environment) && granted.is_some_and(grants_environment) {
        let what = format!("{} has `open`, and `wasi:cli/environment` in its `grants`", part.name);
        let report = Report::new(Exit::CouldNot, what).because("both say which variables the device gives");
        problems.add(&key.span(), report.hint("keep one of the two"));
        return None;
    }
    Some(open)
}

/// A table with a list for `config`, for `env` or for both, each of which stands `beside` it.
fn of_each(
    part: &Table<'_>,
    beside: &[Source],
    span: Span,
    value: &Node<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> Option<Open> {
    let table = problems.table(format!("`open` of {}", part.name), span.clone(), value)?;
    problems.check_keys(&table, &Source::ALL.map(Source::table), &[]);
    if table.entries.is_empty() {
        let report = Report::new(Exit::CouldNot, format!("{} names nothing", table.name));
        problems.add(&span, report.hint("list keys of `config`, of `env` or of both, or leave it out"));
        return None;
    }
    let mut open = Open::new();
    let mut whole = true;
    for source in Source::ALL {
        let name = source.table();
        let Some((key, value)) = table.entries.get_key_value(name) else { continue };
        if !beside.contains(&source) {
            let what = format!("{} has `{name}`, and no `{name}` stands beside it", table.name);
            let hint = match source {
                Source::Configuration => "add `config = {}` beside it".to_owned(),
                Source::Environment => format!("write {GRANT}"),
            };
            problems.add(&key.span(), Report::new(Exit::CouldNot, what).because(MIXED).hint(hint));
            whole = false;
            continue;
        }
        match keys(&format!("`{name}` in {}", table.name), source, value, problems) {
            Some(keys) => drop(open.insert(source, grant(keys, key.span()))),
            None => whole = false,
        }
    }
    whole.then_some(open)
}

/// Names of variables. An open key of a configuration is one too: the launcher finds it by its name.
fn keys(
    list: &str,
    source: Source,
    value: &Node<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> Option<BTreeSet<String>> {
    let entry = match source {
        Source::Configuration => "a key of `config` that is a variable of the device",
        Source::Environment => grants::VARIABLE,
    };
    grants::variables(list, entry, value, problems)
}

fn grant(keys: BTreeSet<String>, span: Span) -> Spanned<Grant> {
    Spanned { value: Grant::Environment(EnvironmentGrant { keys }), span }
}

/// A list beside both `config` and `env`.
fn unclear(part: &Table<'_>, first: Option<&Node<DeValue<'_>>>) -> Report {
    let key = first.and_then(|key| key.get_ref().as_str()).map_or("KEY".into(), clipped);
    let what = format!("`open` of {} is a list, expected a table", part.name);
    Report::new(Exit::CouldNot, what)
        .because("beside `config` and `env`, a list could mean keys of either")
        .hint(format!("say which is which: `open = {{ config = [\"{key}\"], env = [\"LANG\"] }}`"))
}

fn grants_environment(granted: &BTreeMap<InterfacePattern, Spanned<Grant>>) -> bool {
    let environment = |name: &InterfacePattern| {
        ["0.2.0", "0.3.0"].iter().any(|version| name.matches(&format!("wasi:cli/environment@{version}")))
    };
    granted.keys().any(environment)
}
