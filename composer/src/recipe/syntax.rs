//! What is wrong with a text that is not TOML, in wadoo's words.
//!
//! The parser's messages are written for those who know TOML's grammar; a recipe is often the first TOML that
//! its author writes. This module knows the parser's phrases, and nothing of recipes.

use wadoo_signing::report::{Exit, Report};

use super::source::{self, Span};

/// How the parser's message begins, what it is called here, and what to do.
type Phrase = (&'static str, &'static str, Option<&'static str>);

const PHRASES: &[Phrase] = &[
    ("unclosed array table", "a table's name is not closed", Some("end it with `]]`")),
    ("unclosed array", "a list is not closed", Some("end it with `]`")),
    ("unclosed inline table", "an inline table is not closed", Some("end it with `}`")),
    ("unclosed table", "a table's name is not closed", Some("end it with `]`")),
    ("missing opening", "a string is not closed", Some("strings begin and end with `\"`")),
    ("missing array opening", "a `]` closes nothing", None),
    ("missing inline table opening", "a `}` closes nothing", None),
    ("missing table open", "a `]` closes nothing", None),
    ("invalid basic string", "a string is not closed", Some("strings begin and end with `\"`, in one line")),
    ("invalid literal string", "a string is not closed", Some("strings begin and end with `'`, in one line")),
    ("invalid multi-line basic string", "a string is not closed", Some("end it with `\"\"\"`")),
    ("invalid multi-line literal string", "a string is not closed", Some("end it with `'''`")),
    ("key with no value", "a `=` is missing", Some("write `key = value`")),
    ("missing value", "a key has no value", Some("write `key = value`")),
    ("missing assignment", "a key has no value", Some("write `key = value`")),
    ("missing key", "a value has no key", Some("write `key = value`")),
    ("unquoted keys cannot be empty", "a key is missing", Some("write `key = value`")),
    ("keys cannot be multi-line", "a key reaches over several lines", None),
    ("extra comma", "there is a comma too many", Some("remove it")),
    ("missing comma", "a comma is missing", Some("separate entries with `,`")),
    ("extra `=`", "there is a `=` too many", Some("remove it")),
    ("extra assignment", "there is a `=` too many", Some("separate entries with `,`")),
    ("unexpected `=` in array", "a list has a key in it", Some("write a table: `{ key = value }`")),
    (
        "unexpected content",
        "there is more than one thing in the line",
        Some("write one `key = value` a line"),
    ),
    (
        "unexpected key or value",
        "there is more than one thing in the line",
        Some("write one `key = value` a line"),
    ),
    ("carriage return", "a line ends with a carriage return alone", Some("end lines with a newline")),
    ("invalid comment character", "a comment has a control character in it", Some("remove it")),
    ("missing escaped value", BAD_ESCAPE, Some("write `\\\\` for a backslash, or put the string in `'`")),
    ("too few unicode", BAD_ESCAPE, Some("write `\\u` and four hexadecimal digits")),
    ("invalid value, expected unicode", BAD_ESCAPE, Some("write `\\u` and four hexadecimal digits")),
    ("cannot recurse", "it is nested too deeply", Some("a recipe needs no more than four levels")),
    ("recursion limit", "it is nested too deeply", Some("a recipe needs no more than four levels")),
    ("unexpected leading zero", BAD_NUMBER, Some("leave the leading zeros out")),
    ("redundant", BAD_NUMBER, Some("write digits only")),
    ("integers with a radix", BAD_NUMBER, Some("write digits only")),
    ("radix must be", BAD_NUMBER, Some("write digits only")),
    ("unexpected sign", BAD_NUMBER, Some("write digits only")),
    ("`_` may only", BAD_NUMBER, Some("write digits only")),
];

const BAD_ESCAPE: &str = "a `\\` in a string begins no escape";
const BAD_NUMBER: &str = "a number is not written as TOML writes it";

/// The parser's `message` about `span` of `text`, and where it is shown.
pub(super) fn explain(text: &str, span: &Span, message: &str) -> (Span, Report) {
    if message.starts_with("duplicate key") {
        let key = text.get(span.clone()).unwrap_or_default();
        return (
            span.clone(),
            Report::new(Exit::CouldNot, format!("{} stands twice", quoted(key))).hint("keep one of the two"),
        );
    }
    if message.starts_with("cannot extend value") {
        let key = text.get(span.clone()).unwrap_or_default();
        let what = format!("{} has a value already, and cannot be a table as well", quoted(key));
        return (span.clone(), Report::new(Exit::CouldNot, what).hint("write all of it in one place"));
    }
    if message.starts_with("invalid unquoted key") {
        return unquoted_key(text, span);
    }
    if message.starts_with("string values must be quoted") {
        return unquoted_string(text, span);
    }
    let phrase = PHRASES.iter().find(|(begins, ..)| message.starts_with(begins));
    let (said, hint) =
        phrase.map_or(("it cannot be understood here", None), |(_, said, hint)| (*said, *hint));
    let report = Report::new(Exit::CouldNot, format!("the recipe is not TOML: {said}"));
    (
        span.clone(),
        match hint {
            Some(hint) => report.hint(hint),
            None => report,
        },
    )
}

/// `wasi:http/types = …`: the whole key, not only the character that the parser stopped at.
fn unquoted_key(text: &str, span: &Span) -> (Span, Report) {
    let word = word(text, span, |c| c.is_whitespace() || "=[]{},\"'#".contains(c));
    let report = Report::new(Exit::CouldNot, "the recipe is not TOML: a key is not in quotes")
        .because("a key without quotes has letters, digits, `-` and `_` only");
    let hint = match &text[word.clone()] {
        "" => "put it in quotes".to_owned(),
        key => format!("put it in quotes: `\"{}\"`", clipped(key)),
    };
    (word, report.hint(hint))
}

/// `path = guests/cart.wasm`: the rest of the line, up to what can end a value.
fn unquoted_string(text: &str, span: &Span) -> (Span, Report) {
    let word = word(text, span, |c| c.is_whitespace() || "=[]{},\"'#".contains(c));
    if word.is_empty() {
        let report = Report::new(Exit::CouldNot, "the recipe is not TOML: a key has no value");
        return (word, report.hint("write `key = value`"));
    }
    let report = Report::new(Exit::CouldNot, "the recipe is not TOML: a value is not in quotes");
    let hint = format!("put it in quotes: `\"{}\"`", clipped(&text[word.clone()]));
    (word, report.hint(hint))
}

/// The word round the start of `span`: from one `end`ing character to the next.
fn word(text: &str, span: &Span, end: impl Fn(char) -> bool) -> Span {
    let (Some(before), Some(after)) = (text.get(..span.start), text.get(span.start..)) else {
        return span.clone();
    };
    let start = before.char_indices().rev().find(|(_, c)| end(*c)).map_or(0, |(at, c)| at + c.len_utf8());
    let stop = after.find(&end).map_or(text.len(), |at| span.start + at);
    start..stop
}

/// What the user wrote, between back quotes, in a form that can be printed.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", clipped(text))
}

/// At most [`MAX_QUOTED`] characters of `text`, control characters escaped, private keys left out.
pub(super) fn clipped(text: &str) -> String {
    if source::holds_private_key(text) {
        return "(a private key)".to_owned();
    }
    let mut escaped = String::new();
    for c in text.chars().take(MAX_QUOTED) {
        match c.is_control() {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    if text.chars().nth(MAX_QUOTED).is_some() {
        escaped.push('…');
    }
    escaped
}

/// The most characters of a value that a message repeats.
const MAX_QUOTED: usize = 80;
