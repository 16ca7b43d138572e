//! A path with a pattern in it, `plugins/*.wasm`: its form. What it matches is found where files are read (`inputs`).
//!
//! Invariant: no pattern reaches over a `/`, so how many folders are read is seen in the recipe.

use std::str::FromStr;

use glob::{MatchOptions, Pattern};
use thiserror::Error;
use wadoo_signing::report::{Exit, Report};

use super::syntax::quoted;

/// A path of which at least one step is a pattern.
#[derive(Clone, Debug)]
pub struct PathPattern {
    text: String,
    steps: Vec<Step>,
}

/// What stands between two `/` of a path.
#[derive(Clone, Debug)]
pub enum Step {
    /// A name.
    Name(String),
    /// A pattern of names: `*`, `?`, `[abc]`, `[!a-c]`.
    Names(Pattern),
}

impl Step {
    /// Whether a file of this name is meant. Hidden ones are only if the pattern begins with a dot.
    pub fn matches(&self, name: &str) -> bool {
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        match self {
            Self::Name(own) => own == name,
            Self::Names(pattern) => pattern.matches_with(name, options),
        }
    }
}

impl PathPattern {
    /// Whether a path has a character that makes it a pattern.
    pub fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    /// As the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// From the first folder to the file.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What all that it matches lies in: `/` or the recipe's folder, which is written as nothing.
    pub fn root(&self) -> &'static str {
        if self.text.starts_with('/') { "/" } else { "" }
    }
}

/// Why a text is not a pattern.
#[derive(Debug, Error)]
pub enum PatternError {
    /// `**`
    #[error("`**` is not supported: a pattern stays within one folder")]
    Recursive,
    /// An unfinished `[`.
    #[error("a `[` in it is not closed")]
    Syntax,
    /// It ends with `/`.
    #[error("it names folders, and files are expected")]
    Folder,
}

impl PatternError {
    /// The report for a pattern that a recipe has.
    pub(super) fn report(&self, text: &str) -> Report {
        let report = Report::new(Exit::CouldNot, format!("`path` cannot be {}", quoted(text)))
            .because(self.to_string());
        match self {
            Self::Recursive => report.hint("write a `*` for each folder: `plugins/*/*.wasm`"),
            Self::Syntax => report.hint("close it: `[abc]`; the character itself is `[[]`"),
            Self::Folder => report.hint("name the files in them: `plugins/*/plugin.wasm`"),
        }
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.ends_with('/') {
            return Err(PatternError::Folder);
        }
        let steps = text.split('/').filter(|step| !step.is_empty()).map(|step| {
            if !Self::is_pattern(step) {
                return Ok(Step::Name(step.to_owned()));
            }
            if step.contains("**") {
                return Err(PatternError::Recursive);
            }
            Pattern::new(step).map(Step::Names).map_err(|_| PatternError::Syntax)
        });
        Ok(Self { text: text.to_owned(), steps: steps.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_matches_within_one_folder_and_nothing_hidden() {
        let pattern: PathPattern = "plugins/*.wasm".parse().unwrap();
        let [folder, files] = pattern.steps() else { panic!("two steps") };
        assert!(folder.matches("plugins") && !folder.matches("plugin"));
        assert!(files.matches("a.wasm") && !files.matches(".a.wasm") && !files.matches("a.wat"));
        assert_eq!("/srv/[ab].wasm".parse::<PathPattern>().unwrap().root(), "/");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["**/a.wasm", "plugins/[a.wasm", "plugins/*/"] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
    }
}
