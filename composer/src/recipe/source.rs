//! The text of a recipe, and places in it.

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

/// The text of a recipe under the name that the user gave it.
#[derive(Clone, Debug)]
pub struct SourceText {
    file: String,
    text: String,
}

impl SourceText {
    /// A text and its name.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into() }
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

    /// The line and column of a span; one that reaches over several lines ends with the first.
    pub fn place(&self, span: &Span) -> Place {
        let start = floor(&self.text, span.start);
        let end = floor(&self.text, span.end.max(span.start));
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |newline| start + newline);
        Place {
            file: self.file.clone(),
            line: self.text[..start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            text: self.text[line_start..line_end].trim_end_matches('\r').to_owned(),
            width: self.text[start..end.clamp(start, line_end)].chars().count().max(1),
        }
    }
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
    }
}
