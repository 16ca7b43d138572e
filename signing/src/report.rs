//! What a user is told when something could not be done, and with which exit code the process ends.
//!
//! Both binaries print their errors through [`Report`], so that they look and count the same. Libraries
//! return `thiserror` enums; each converts into a `Report` where a binary prints it.

use std::fmt;
use std::path::Path;

/// Exit codes, the same in `wadoo` and `launcher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// It could not be done: wrong input, a file that cannot be read, a failed test.
    CouldNot = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Refused: framing, signature, key, policy or ownership does not hold.
    NotTrusted = 3,
    /// Refused: made for another target, CPU, engine or launcher.
    Incompatible = 4,
    /// The host ran out of something, or refuses something.
    HostResource = 5,
    /// A bug in wadoo.
    Bug = 70,
}

/// One problem, in the words of its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What could not be done, to what; lower case, no final period, the user's words in back quotes.
    pub what: String,
    /// Why, a line each: found, then expected. Printed indented by two spaces.
    pub because: Vec<String>,
    /// Where the user would change something.
    pub place: Option<Place>,
    /// What to do, one sentence, with a command that works as pasted.
    pub hint: Option<String>,
    /// How the process ends if this is the worst that happened.
    pub exit: Exit,
}

/// A place in a text file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line's text, without its end.
    pub text: String,
    /// Characters to underline, at least 1.
    pub width: usize,
}

impl Report {
    /// A report that says only what could not be done.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { what: what.into(), because: Vec::new(), place: None, hint: None, exit }
    }

    /// Adds a line that says why.
    #[must_use]
    pub fn because(mut self, line: impl Into<String>) -> Self {
        self.because.push(line.into());
        self
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        for line in &self.because {
            writeln!(f, "  {line}")?;
        }
        if let Some(place) = &self.place {
            write!(f, "{place}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "hint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  in {}, line {}", self.file, self.line)?;
        // A tab keeps its width under the caret line only if it is repeated there.
        let pad: String =
            self.text.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "    | {}", self.text)?;
        writeln!(f, "    | {pad}{}", "^".repeat(self.width))
    }
}

/// A path as it can be pasted into a shell: in single quotes where it needs them.
pub fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&byte);
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(shell(Path::new("out/shop-1.cwasm")), "out/shop-1.cwasm");
        assert_eq!(shell(Path::new("my out/a.cwasm")), "'my out/a.cwasm'");
        assert_eq!(shell(Path::new("it's")), "'it'\\''s'");
        assert_eq!(shell(Path::new("-f")), "'-f'");
    }
}
