//! The text of a recipe, and places in it.
//!
//! Invariant: what a place shows can be printed and logged: no control characters, no endless lines, no line
//! of a private key.

use std::iter;
use std::ops::Range;

use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::report::Place;

/// Bytes of a recipe's text, from and to.
pub type Span = Range<usize>;

/// A value with its place in the recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// The most characters of one source line that a message shows.
pub const MAX_SHOWN_LINE: usize = 400;

/// What opens a private key in PEM, in whatever format: `-----BEGIN PRIVATE KEY-----`.
const KEY_BEGIN: &str = "-----BEGIN ";
/// What every private key's first line says, and no public key's.
const KEY_KIND: &str = "PRIVATE KEY";
/// What closes it.
const KEY_END: &str = "-----END ";

/// The text of a recipe under the name that the user gave it.
#[derive(Clone, Debug)]
pub struct SourceText {
    file: String,
    text: String,
    /// Where each line starts, so that a place costs no walk through the text.
    lines: Vec<usize>,
    /// Private keys in the text. No message shows a line of one: messages end in logs.
    keys: Vec<Span>,
}

impl SourceText {
    /// A text and its name.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let keys = private_keys(&text);
        Self { file: file.into(), text, lines, keys }
    }

    /// The file as the user named it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Digest of the text's bytes.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(self.text.as_bytes())
    }

    /// The private keys that stand in the text.
    pub(super) fn private_keys(&self) -> &[Span] {
        &self.keys
    }

    /// The line of a byte, from 0.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// The line and column of a span; one that reaches over several lines ends with the first.
    pub fn place(&self, span: &Span) -> Place {
        self.place_without(span, &[])
    }

    /// The same, with the lines of `hidden` left out.
    pub(super) fn place_without(&self, span: &Span, hidden: &[Span]) -> Place {
        let start = floor(&self.text, span.start);
        let end = floor(&self.text, span.end.max(span.start));
        let line = self.line_of(start);
        let line_start = self.lines[line];
        let line_end = self.lines.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let column = self.text[line_start..start].chars().count() + 1;
        let width = self.text[start..end.clamp(start, line_end)].chars().count().max(1);
        let file = self.file.clone();
        let holds = |spans: &[Span]| spans.iter().any(|span| span.start < line_end && line_start < span.end);
        let instead = match (holds(&self.keys), holds(hidden)) {
            (true, _) => Some("(a private key, not shown)"),
            (false, true) => Some("(not shown: it may be a secret)"),
            (false, false) => None,
        };
        if let Some(text) = instead {
            let text = text.to_owned();
            return Place { file, line: line + 1, column: 1, width: text.chars().count(), text };
        }
        let (text, width) = shown(&self.text[line_start..line_end], column, width);
        Place { file, line: line + 1, column, text, width }
    }
}

/// What is shown of a line: nothing that steers a terminal, and no more than [`MAX_SHOWN_LINE`].
fn shown(line: &str, column: usize, width: usize) -> (String, usize) {
    let clean = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    let mut line = line.trim_end_matches('\r').chars().map(clean);
    let mut text: String = line.by_ref().take(MAX_SHOWN_LINE).collect();
    if line.next().is_none() {
        return (text, width);
    }
    if column > MAX_SHOWN_LINE {
        return ("… (the line is too long to be shown)".to_owned(), 1);
    }
    text.push('…');
    (text, width.min(MAX_SHOWN_LINE + 1 - column))
}

/// How the base64 of an Ed25519 private key begins, in PKCS#8 versions 1 and 2, where PEM's lines are missing.
const KEY_BASE64: [&str; 2] = ["MC4CAQAwBQYDK2Vw", "MFECAQEwBQYDK2Vw"];

/// Whether a value is, or has in it, a private key.
pub(super) fn holds_private_key(text: &str) -> bool {
    text.contains(KEY_KIND) || KEY_BASE64.iter().any(|begin| text.contains(begin))
}

/// Every private key in the text.
fn private_keys(text: &str) -> Vec<Span> {
    let mut keys = pem_keys(text);
    for begin in KEY_BASE64 {
        for (start, _) in text.match_indices(begin) {
            if !keys.iter().any(|key| key.contains(&start)) {
                let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
                let end = text[start..].find(|c| !base64(c)).map_or(text.len(), |at| start + at);
                keys.push(start..end);
            }
        }
    }
    keys
}

/// Every private key in PEM, from its first line to its last; without a last line, to the end of the text.
fn pem_keys(text: &str) -> Vec<Span> {
    let mut keys = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(KEY_BEGIN).map(|found| from + found) {
        let kind = start + KEY_BEGIN.len();
        from = kind;
        let Some(kind_end) = text[kind..].find("-----").map(|found| kind + found) else { break };
        if !text[kind..kind_end].contains(KEY_KIND) {
            continue;
        }
        let end = text[kind_end..].find(KEY_END).map_or(text.len(), |found| {
            let last = kind_end + found;
            text[last..].find('\n').map_or(text.len(), |newline| last + newline)
        });
        keys.push(start..end);
        from = end;
    }
    keys
}

/// The nearest boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_stay_in_their_line() {
        let source = SourceText::new("r.toml", "a = 1\nb = \"ä\" # x\r\nc");
        let place = source.place(&(10..14));
        assert_eq!((place.line, place.column, place.width), (2, 5, 3));
        assert_eq!(place.text, "b = \"ä\" # x");
        let beyond = source.place(&(10..99));
        assert_eq!(beyond.line, 2);
        assert_eq!(source.place(&(99..120)).line, 3);
        assert_eq!(source.place(&(12..12)).width, 1);
        assert_eq!(SourceText::new("r.toml", "").place(&(0..1)).line, 1);
    }

    #[test]
    fn what_is_shown_of_a_line_is_safe_to_print() {
        let control = SourceText::new("r.toml", "a = \"\u{1b}[2J\tb\"");
        assert_eq!(control.place(&(0..1)).text, "a = \"\u{fffd}[2J\tb\"");
        let long = SourceText::new("r.toml", "x".repeat(1000));
        assert_eq!(long.place(&(10..900)).text.chars().count(), MAX_SHOWN_LINE + 1);
        assert_eq!(long.place(&(10..900)).width, MAX_SHOWN_LINE - 10);
        let beyond = long.place(&(900..901));
        assert_eq!((beyond.column, beyond.width), (901, 1));
        assert!(beyond.text.starts_with('…'));
    }

    #[test]
    fn no_line_of_a_private_key_is_shown() {
        let text =
            "a = 1\nk = \"\"\"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\"\"\"\nb = 2";
        let source = SourceText::new("r.toml", text);
        for at in 0..text.len() {
            let shown = source.place(&(at..at + 1)).text;
            assert!(!shown.contains("c2VjcmV0") && !shown.contains("BEGIN"), "{shown}");
        }
        assert_eq!(source.place(&(0..1)).text, "a = 1");
        assert_eq!(source.place(&(text.len() - 1..text.len())).text, "b = 2");
        let one_line = SourceText::new("r.toml", "k = \"-----BEGIN EC PRIVATE KEY-----\\nc2VjcmV0\"");
        assert!(!one_line.place(&(0..1)).text.contains("c2VjcmV0"));
        let bare = SourceText::new("r.toml", "keys = [\"MC4CAQAwBQYDK2VwBCIEIc2VjcmV0\"]");
        assert!(!bare.place(&(0..1)).text.contains("c2VjcmV0"));
        assert_eq!(bare.private_keys().first(), Some(&(9..38)));
        let public = SourceText::new("r.toml", "# -----BEGIN PUBLIC KEY-----");
        assert!(public.private_keys().is_empty());
    }
}
