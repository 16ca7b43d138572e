//! Problems of a recipe's text, collected in one run, and the questions that every table asks of its values.

use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wadoo_signing::report::{Exit, Report};

use super::source::{SourceText, Span};
use crate::interfaces;

/// Everything wrong that was found so far.
pub(super) struct Problems<'a> {
    source: &'a SourceText,
    found: Vec<(Span, Report)>,
}

/// A table of the recipe and how it is called in messages: `[app]`.
pub(super) struct Table<'t> {
    pub(super) name: String,
    pub(super) entries: &'t DeTable<'t>,
    pub(super) span: Span,
}

/// A key that the format has and this version cannot enforce.
pub(super) type Unsupported = (&'static str, &'static str);

impl<'a> Problems<'a> {
    pub(super) fn new(source: &'a SourceText) -> Self {
        Self { source, found: Vec::new() }
    }

    /// Adds a problem at `span`.
    pub(super) fn add(&mut self, span: &Span, report: Report) {
        let report = report.at(self.source.place(span));
        self.found.push((span.clone(), report));
    }

    /// Everything, in the order of the text.
    pub(super) fn into_reports(mut self) -> Vec<Report> {
        self.found.sort_by(|(a, x), (b, y)| (a.start, &x.what).cmp(&(b.start, &y.what)));
        self.found.into_iter().map(|(_, report)| report).collect()
    }

    /// Refuses every key of `table` that is not known, with the nearest that is.
    pub(super) fn check_keys(&mut self, table: &Table<'_>, known: &[&str], unsupported: &[Unsupported]) {
        for (key, _) in table.entries {
            let (name, span) = (key.get_ref().as_ref(), key.span());
            if known.contains(&name) {
                continue;
            }
            if let Some((_, why)) = unsupported.iter().find(|(unsupported, _)| *unsupported == name) {
                self.add(&span, not_supported(&format!("`{name}` in {}", table.name), why));
                continue;
            }
            let report = Report::new(Exit::CouldNot, format!("unknown key `{name}` in {}", table.name));
            let all = known.iter().chain(unsupported.iter().map(|(name, _)| name)).copied();
            let report = match interfaces::nearest(name, all) {
                Some(near) => report.hint(format!("did you mean `{near}`?")),
                None => report.hint(format!("{} knows {}", table.name, listed(known))),
            };
            self.add(&span, report);
        }
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
            self.add(&table.span, report.hint(format!("add a line: `{key} = {example}`")));
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
    pub(super) fn parsed<'t, T: std::str::FromStr<Err: Display>>(
        &mut self,
        what: &str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<super::Spanned<T>> {
        let text = self.string(what, value)?;
        self.parse_text(what, text, &value.span())
            .map(|parsed| super::Spanned { value: parsed, span: value.span() })
    }

    /// Parses a text that stands at `span`.
    pub(super) fn parse_text<T: std::str::FromStr<Err: Display>>(
        &mut self,
        what: &str,
        text: &str,
        span: &Span,
    ) -> Option<T> {
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let text: String = text.chars().take(80).collect();
                let report = Report::new(Exit::CouldNot, format!("{what} cannot be `{text}`"));
                self.add(span, report.because(error.to_string()));
                None
            }
        }
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
            let report = Report::new(Exit::CouldNot, format!("{what} cannot be {integer}"));
            self.add(&value.span(), report.because(format!("expected a number from {least} to {most}")));
        }
        fitting
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
            DeValue::Table(entries) => Some(Table { name, entries, span }),
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
            self.add(&value.span(), report.hint("leave the line out, or add to the list"));
            return None;
        }
        if items.len() > most {
            let report = Report::new(Exit::CouldNot, format!("{what} has {} entries", items.len()));
            self.add(&value.span(), report.because(format!("expected at most {most}")));
            return None;
        }
        Some(items)
    }

    fn wrong_type<T>(&mut self, what: &str, found: &DeValue<'_>, expected: &str, span: &Span) -> Option<T> {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.add(span, Report::new(Exit::CouldNot, format!("{what} is {found}, expected {expected}")));
        None
    }
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
