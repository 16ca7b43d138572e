//! Problems of a recipe's text, collected in one run, and the questions that every table asks of its values.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wadoo_signing::digest::{DigestError, Sha256Digest};
use wadoo_signing::report::{Exit, Report};

use super::source::{SourceText, Span};
use super::syntax::{self, clipped, quoted};
use crate::interfaces;

/// The most problems that are reported of one recipe. What a text of noise would give is noise.
pub const MAX_REPORTS: usize = 100;

/// Everything wrong that was found so far.
pub(super) struct Problems<'a> {
    source: &'a SourceText,
    found: Vec<(Span, Report)>,
    /// Lines that are not TOML. What they seem to say, and what they fail to say, is not reported again.
    damaged: BTreeSet<usize>,
    /// What looks like a secret: no message shows a line of it.
    hidden: Vec<Span>,
}

/// Why a text is not what was expected.
pub(super) trait Refusal {
    /// What was expected.
    fn because(&self) -> String;

    /// What `text` was probably meant to be.
    fn meant(&self, text: &str) -> Option<String>;
}

impl Refusal for DigestError {
    fn because(&self) -> String {
        "expected `sha256:` and 64 lower-case hexadecimal digits".to_owned()
    }

    fn meant(&self, text: &str) -> Option<String> {
        let hex = text.rsplit(':').next().unwrap_or(text).trim().to_ascii_lowercase();
        let algorithm = text.split_once(':').is_none_or(|(name, _)| name.eq_ignore_ascii_case("sha256"));
        let meant = format!("sha256:{hex}");
        (algorithm && meant.parse::<Sha256Digest>().is_ok()).then_some(meant)
    }
}

/// A table of the recipe and how it is called in messages: `[app]`.
pub(super) struct Table<'t> {
    pub(super) name: String,
    pub(super) entries: &'t DeTable<'t>,
    pub(super) span: Span,
    pub(super) is_root: bool,
}

/// A key that the format has and this version cannot enforce.
pub(super) type Unsupported = (&'static str, &'static str);

impl<'a> Problems<'a> {
    pub(super) fn new(source: &'a SourceText) -> Self {
        Self { source, found: Vec::new(), damaged: BTreeSet::new(), hidden: Vec::new() }
    }

    /// Adds what the TOML parser found, one problem a line: the first is the cause of the others.
    pub(super) fn add_syntax(&mut self, span: &Span, message: &str) {
        if self.damaged.insert(self.source.line_of(span.start)) {
            self.found.push(syntax::explain(self.source.text(), span, message));
        }
    }

    /// Adds a problem at `span`.
    pub(super) fn add(&mut self, span: &Span, report: Report) {
        // The parser stands in an empty value for one that it could not read.
        let invented = span.is_empty() || self.damaged.contains(&self.source.line_of(span.start));
        if self.damaged.is_empty() || !invented {
            self.found.push((span.clone(), report));
        }
    }

    /// Adds that a private key stands in the recipe, wherever and however it does.
    pub(super) fn add_secret(&mut self, span: &Span) {
        let report = Report::new(Exit::CouldNot, "a private key stands in the recipe")
            .because("a recipe is copied, committed and printed: from now on the key is not a secret")
            .hint("make a new one with `wadoo key new signing.pem`, and name it: `keys = [\"file:signing.pem\"]`");
        self.found.push((span.clone(), report));
    }

    /// Keeps the lines of `span` out of every message.
    pub(super) fn hide(&mut self, span: Span) {
        self.hidden.push(span);
    }

    /// Adds that something is missing, unless it may stand in a line that is not TOML.
    pub(super) fn add_missing(&mut self, span: &Span, report: Report) {
        if self.damaged.is_empty() {
            self.found.push((span.clone(), report));
        }
    }

    /// Adds that `table` lacks `key`, unless it has a key that was probably meant to be this one: that one is
    /// reported, and two messages for one cause would be one too many.
    pub(super) fn add_absent(&mut self, table: &Table<'_>, key: &str, report: Report) {
        if !table.entries.keys().any(|other| nearest(other.get_ref(), [key]).is_some()) {
            self.add_missing(&table.span, report);
        }
    }

    /// Everything, in the order of the text.
    pub(super) fn into_reports(mut self) -> Vec<Report> {
        self.found.sort_by(|(a, x), (b, y)| (a.start, &x.what).cmp(&(b.start, &y.what)));
        let hidden = self.found.len().saturating_sub(MAX_REPORTS);
        let shown = self.found.into_iter().take(MAX_REPORTS);
        let mut reports: Vec<Report> =
            shown.map(|(span, report)| report.at(self.source.place_without(&span, &self.hidden))).collect();
        if hidden > 0 {
            let what = format!("`{}` has more problems: {hidden} are not shown", self.source.file());
            reports.push(Report::new(Exit::CouldNot, what));
        }
        reports
    }

    /// Refuses every key of `table` that is not known, with the nearest that is.
    pub(super) fn check_keys(&mut self, table: &Table<'_>, known: &[&str], unsupported: &[Unsupported]) {
        for (key, value) in table.entries {
            let (name, span) = (key.get_ref().as_ref(), key.span());
            if known.contains(&name) {
                continue;
            }
            // At the root, most keys are the names of tables.
            let called = match (table.is_root, value.get_ref()) {
                (true, DeValue::Table(_) | DeValue::Array(_)) => quoted(&format!("[{name}]")),
                (true, _) => quoted(name),
                _ => format!("{} in {}", quoted(name), table.name),
            };
            if let Some((_, why)) = unsupported.iter().find(|(unsupported, _)| *unsupported == name) {
                self.add(&span, not_supported(&called, why));
                continue;
            }
            let kind = if called.starts_with("`[") { "table" } else { "key" };
            let report = Report::new(Exit::CouldNot, format!("unknown {kind} {called}"));
            let all = known.iter().chain(unsupported.iter().map(|(name, _)| name)).copied();
            let hint = match (belongs(name), nearest(name, all)) {
                (Some(table), _) => format!("`{name}` belongs {table}"),
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => format!("{} knows {}", table.name, listed(known)),
            };
            self.add(&span, report.hint(hint));
        }
    }

    /// Refuses a table with more than `most` entries.
    pub(super) fn check_length(&mut self, table: &Table<'_>, most: usize) -> Option<()> {
        let count = table.entries.len();
        if count > most {
            let report = Report::new(Exit::CouldNot, format!("{} has {count} entries", table.name));
            self.add(&table.span, report.because(format!("expected at most {most}")));
            return None;
        }
        Some(())
    }

    /// The value of a required key.
    pub(super) fn required<'t>(
        &mut self,
        table: &Table<'t>,
        key: &str,
        example: &str,
    ) -> Option<&'t Spanned<DeValue<'t>>> {
        let value = table.entries.get(key);
        if value.is_none() {
            let report = Report::new(Exit::CouldNot, format!("{} has no `{key}`", table.name));
            self.add_absent(table, key, report.hint(format!("add `{key} = {example}`")));
        }
        value
    }

    /// A string, not empty.
    pub(super) fn string<'t>(&mut self, what: &str, value: &'t Spanned<DeValue<'t>>) -> Option<&'t str> {
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => Some(text.as_ref()),
            DeValue::String(_) => {
                self.add(&value.span(), Report::new(Exit::CouldNot, format!("{what} is empty")));
                None
            }
            other => self.wrong_type(what, other, "a string", &value.span()),
        }
    }

    /// A string that is parsed.
    pub(super) fn parsed<'t, T: std::str::FromStr<Err: Refusal>>(
        &mut self,
        what: &str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<super::Spanned<T>> {
        let text = self.string(what, value)?;
        self.parse_text(what, text, &value.span())
            .map(|parsed| super::Spanned { value: parsed, span: value.span() })
    }

    /// Parses a text that stands at `span`.
    pub(super) fn parse_text<T: std::str::FromStr<Err: Refusal>>(
        &mut self,
        what: &str,
        text: &str,
        span: &Span,
    ) -> Option<T> {
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.refuse(what, text, error.because(), error.meant(text), span);
                None
            }
        }
    }

    /// Refuses a text: what it is for, what was expected, and what was probably meant.
    pub(super) fn refuse(
        &mut self,
        what: &str,
        text: &str,
        because: impl Into<String>,
        meant: Option<String>,
        span: &Span,
    ) {
        let report =
            Report::new(Exit::CouldNot, format!("{what} cannot be {}", quoted(text))).because(because);
        let report = match meant {
            Some(meant) => report.hint(format!("did you mean `{meant}`?")),
            None => report,
        };
        self.add(span, report);
    }

    /// A whole number from `least` to `most`.
    pub(super) fn number(
        &mut self,
        what: &str,
        value: &Spanned<DeValue<'_>>,
        least: u64,
        most: u64,
    ) -> Option<u64> {
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_type(what, value.get_ref(), "a whole number", &value.span());
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let fitting = number.filter(|number| (least..=most).contains(number));
        if fitting.is_none() {
            let report =
                Report::new(Exit::CouldNot, format!("{what} cannot be {}", quoted(&integer.to_string())));
            self.add(&value.span(), report.because(format!("expected a number from {least} to {most}")));
        }
        fitting
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, what: &str, value: &Spanned<DeValue<'_>>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            other => self.wrong_type(what, other, "`true` or `false`", &value.span()),
        }
    }

    /// A table.
    pub(super) fn table<'t>(
        &mut self,
        name: impl Into<String>,
        span: Span,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<Table<'t>> {
        let name = name.into();
        match value.get_ref() {
            DeValue::Table(entries) => Some(Table { name, entries, span, is_root: false }),
            other => self.wrong_type(&name, other, "a table", &value.span()),
        }
    }

    /// A list that is not empty.
    pub(super) fn list<'t>(
        &mut self,
        what: &str,
        value: &'t Spanned<DeValue<'t>>,
        most: usize,
    ) -> Option<Vec<&'t Spanned<DeValue<'t>>>> {
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_type(what, value.get_ref(), "a list", &value.span());
        };
        let items: Vec<_> = items.iter().collect();
        if items.is_empty() {
            let report = Report::new(Exit::CouldNot, format!("{what} is empty"));
            self.add(&value.span(), report.hint("list at least one entry, or leave it out"));
            return None;
        }
        if items.len() > most {
            let report = Report::new(Exit::CouldNot, format!("{what} has {} entries", items.len()));
            self.add(&value.span(), report.because(format!("expected at most {most}")));
            return None;
        }
        Some(items)
    }

    /// Refuses a value of another type than `expected`, which is a noun: `a list`.
    pub(super) fn wrong_type<T>(
        &mut self,
        what: &str,
        found: &DeValue<'_>,
        expected: &str,
        span: &Span,
    ) -> Option<T> {
        let noun = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let report = Report::new(Exit::CouldNot, format!("{what} is {noun}, expected {expected}"));
        let written = self.source.text().get(span.clone()).unwrap_or_default();
        let hint = match (found, expected) {
            (DeValue::Array(_), "a table") if written.starts_with("[[") => {
                Some("write the table's name in single brackets, `[…]`".to_owned())
            }
            (DeValue::String(text), "a list") => Some(format!("write `[\"{}\"]`", clipped(text))),
            (DeValue::String(text), "a whole number") if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(format!("write `{}`, without quotes", clipped(text)))
            }
            _ => None,
        };
        let report = match hint {
            Some(hint) => report.hint(hint),
            None => report,
        };
        self.add(span, report);
        None
    }
}

/// A longer word is no misspelling of anything that a recipe knows.
const LONGEST_WORD: usize = 64;

fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() <= LONGEST_WORD { interfaces::nearest(word, candidates) } else { None }
}

/// Every key and where it belongs, for one that stands in the wrong table.
const HOMES: &[(&str, &[&str])] = &[
    ("at the top, before the first table", &["recipe"]),
    ("in `[app]`", &["name", "version", "serial", "world"]),
    (
        "in a part's table, `[components.NAME]`",
        &[
            "path",
            "module",
            "recipe",
            "wit",
            "digest",
            "with",
            "allow",
            "deny",
            "config",
            "env",
            "args",
            "open",
            "not-secret",
        ],
    ),
    ("in `[limits]`", &super::settings::LIMITS),
    ("in `[instances]`", &["reuse", "max-requests", "max-concurrent", "idle", "warm"]),
    ("in `[build]`", &["targets", "cpu"]),
    ("in `[sign]`", &["keys"]),
    ("in a grant's line, `{ hosts = [\"…\"] }`", &["hosts"]),
];

fn belongs(key: &str) -> Option<&'static str> {
    HOMES.iter().find(|(_, keys)| keys.contains(&key)).map(|(home, _)| *home)
}

/// What the format has and this version cannot enforce is never ignored.
pub(super) fn not_supported(what: &str, why: &str) -> Report {
    Report::new(Exit::CouldNot, format!("{what} is not supported by this version yet"))
        .because(why)
        .hint("leave it out: nothing in a recipe is accepted and ignored")
}

/// `` `a`, `b` and `c` ``
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "no keys".to_owned(),
    }
}
