//! What a user is told when something could not be done, and with which exit code the process ends.
//!
//! Both binaries print their errors through [`Report`], so that they look and count the same. Libraries
//! return `thiserror` enums; each converts into a `Report` where a binary prints it.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;

/// Greatest length of one line that is printed, in characters; what is longer ends in `…`.
pub const MAX_LINE: usize = 1000;

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
        writeln!(f, "error: {}", Shown(&self.what))?;
        for line in &self.because {
            writeln!(f, "  {}", Shown(line))?;
        }
        if let Some(place) = &self.place {
            write!(f, "{place}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "hint: {}", Shown(hint))?;
        }
        Ok(())
    }
}

/// One line as a terminal may have it: much of what a report repeats was written by nobody we know, and
/// must neither move the cursor, nor begin a line of its own, nor push everything else out of sight.
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(MAX_LINE).map(|(at, _)| at);
        Printable(&self.0[..end.unwrap_or(self.0.len())]).fmt(f)?;
        if end.is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// As [`Shown`], for text whose length something else limits.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_unprintable(c)) {
            f.write_str(&rest[..at])?;
            write!(f, "{}", c.escape_default())?;
            rest = &rest[at + c.len_utf8()..];
        }
        f.write_str(rest)
    }
}

/// Control characters, and those that reorder or hide the text round them.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  in {}, line {}", Shown(&self.file), self.line)?;
        // One character for one, so that the line of carets still fits.
        let shown: String = self
            .text
            .chars()
            .map(|c| if c != '\t' && is_unprintable(c) { char::REPLACEMENT_CHARACTER } else { c })
            .collect();
        // A tab keeps its width under the caret line only if it is repeated there.
        let pad: String =
            self.text.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "    | {shown}")?;
        writeln!(f, "    | {pad}{}", "^".repeat(self.width))
    }
}

/// The system's words for an error, or ours where the library's mean nothing to a user.
pub fn system_words(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it became shorter while it was read",
        io::ErrorKind::NotFound => "it does not exist",
        io::ErrorKind::PermissionDenied => "permission is denied",
        io::ErrorKind::IsADirectory => "it is a folder",
        io::ErrorKind::NotADirectory => "a part of its path is not a folder",
        io::ErrorKind::AlreadyExists => "something else has that name",
        io::ErrorKind::StorageFull => "the file system is full",
        io::ErrorKind::QuotaExceeded => "this user's quota is used up",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => "its links lead in a circle",
        _ => return error.to_string(),
    };
    words.to_owned()
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
    fn the_systems_words_are_ours_where_a_user_meets_them() {
        let words = |errno: Errno| system_words(&errno.into());
        assert_eq!(words(Errno::NOENT), "it does not exist");
        assert_eq!(words(Errno::LOOP), "its links lead in a circle");
        assert_eq!(words(Errno::NOSPC), "the file system is full");
        assert!(words(Errno::IO).contains("os error 5"), "what nobody foresaw is told as it is");
    }

    #[test]
    fn foreign_text_keeps_to_its_line_and_is_cut() {
        let report = Report::new(Exit::NotTrusted, "refusing `a\nerror: b`")
            .because("\u{1b}[2J\u{202e}ä")
            .hint(format!("{}\r", "ü".repeat(MAX_LINE)));
        let expected = format!(
            "error: refusing `a\\nerror: b`\n  \\u{{1b}}[2J\\u{{202e}}ä\nhint: {}…\n",
            "ü".repeat(MAX_LINE)
        );
        assert_eq!(report.to_string(), expected);
        let whole = Report::new(Exit::CouldNot, "x".repeat(MAX_LINE));
        assert!(!whole.to_string().contains('…'), "as long as a line may be");
        let place =
            Place { file: "a\n".to_owned(), line: 1, column: 2, text: "\t\u{7}k".to_owned(), width: 1 };
        assert_eq!(place.to_string(), "  in a\\n, line 1\n    | \t\u{fffd}k\n    | \t^\n");
    }

    #[test]
    fn paths_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(shell(Path::new("out/shop-1.cwasm")), "out/shop-1.cwasm");
        assert_eq!(shell(Path::new("my out/a.cwasm")), "'my out/a.cwasm'");
        assert_eq!(shell(Path::new("it's")), "'it'\\''s'");
        assert_eq!(shell(Path::new("-f")), "'-f'");
    }
}
