//! `wadoo.lock`: the digest of every input of a recipe, beside the recipe.
//!
//! `wadoo update` alone writes it, in one form: sorted, a line for each input. Every other command compares. With `--locked`
//! a difference is an error; without, it is said, and the composition goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::Input;
use wadoo_signing::report::{Exit, Report, shell, system_words};

use crate::recipe::SourceText;

/// What it is called, beside the recipe.
pub const FILE: &str = "wadoo.lock";
/// Greatest length of a lock, in bytes.
pub const MAX_LOCK_SIZE: u64 = 4 << 20;
/// The one format that this version reads and writes.
const FORMAT: u32 = 1;

/// Digest and source of every input, by name: `auth`, `auth/check` of a recipe that is a part, `plugin.world`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    inputs: BTreeMap<String, Input>,
}

/// A lock that was read.
#[derive(Clone, Debug)]
pub struct Locked {
    /// What it says.
    pub lock: Lock,
    /// Digest of its bytes.
    pub digest: Sha256Digest,
}

/// The form in TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    lock: u32,
    #[serde(default)]
    inputs: BTreeMap<String, TextInput>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextInput {
    source: String,
    digest: Sha256Digest,
}

/// One difference between a lock and the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// An input that the lock does not have.
    Missing(String, Input),
    /// An entry of which there is no input.
    Surplus(String, Input),
    /// Another digest, or another source.
    Changed {
        /// The input's name.
        name: String,
        /// What the lock has.
        locked: Input,
        /// What there is.
        found: Input,
    },
}

impl Lock {
    /// The lock of these inputs.
    pub fn of(inputs: BTreeMap<String, Input>) -> Self {
        Self { inputs }
    }

    /// How many inputs it has.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Its one form.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# The digest of every input, written by `wadoo update`. `wadoo compose --locked` accepts no others.\n",
        );
        let _ = write!(text, "lock = {FORMAT}\n\n[inputs]\n");
        let string = |text: &str| toml::Value::String(text.to_owned()).to_string();
        for (name, Input { digest, source }) in &self.inputs {
            let (name, source) = (format!("\"{name}\""), string(source));
            let _ = writeln!(text, "{name} = {{ source = {source}, digest = \"{digest}\" }}");
        }
        text
    }

    /// Reads the text of a lock that is called `file`.
    ///
    /// # Errors
    ///
    /// It is not one, or of another format.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Report> {
        let read: Text = toml::from_str(text).map_err(|error| {
            let report = unreadable(file).because(error.message().replace('\n', " "));
            match error.span() {
                Some(span) => report.at(SourceText::new(file.display().to_string(), text).place(&span)),
                None => report,
            }
        })?;
        if read.lock != FORMAT {
            let because = format!("it has format {}, and this version reads format {FORMAT}", read.lock);
            return Err(unreadable(file).because(because));
        }
        let inputs = read.inputs.into_iter();
        let inputs = inputs.map(|(name, TextInput { source, digest })| (name, Input { digest, source }));
        Ok(Self { inputs: inputs.collect() })
    }

    /// What differs if `found` is what there is, by name.
    pub fn differences(&self, found: &Self) -> Vec<Difference> {
        let names: BTreeSet<&String> = self.inputs.keys().chain(found.inputs.keys()).collect();
        let differences =
            names.into_iter().map(|name| match (self.inputs.get(name), found.inputs.get(name)) {
                (None, Some(found)) => Some(Difference::Missing(name.clone(), found.clone())),
                (Some(locked), None) => Some(Difference::Surplus(name.clone(), locked.clone())),
                (Some(locked), Some(found)) if locked != found => {
                    let (locked, found) = (locked.clone(), found.clone());
                    Some(Difference::Changed { name: name.clone(), locked, found })
                }
                _ => None,
            });
        differences.flatten().collect()
    }
}

impl Difference {
    /// For people, a line or two.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Missing(name, input) => vec![format!("`{name}` ({}) is not in the lock", input.source)],
            Self::Surplus(name, input) => {
                vec![format!("`{name}` ({}) is in the lock, and no input", input.source)]
            }
            Self::Changed { name, locked, found } if locked.source != found.source => {
                vec![format!("`{name}` is `{}`, and `{}` in the lock", found.source, locked.source)]
            }
            Self::Changed { name, locked, found } => vec![
                format!("`{name}` ({}) found   {}", found.source, found.digest),
                format!("`{name}` ({}) locked  {}", found.source, locked.digest),
            ],
        }
    }
}

/// The lock's place beside a recipe.
pub fn path(recipe: &Path) -> PathBuf {
    recipe.with_file_name(FILE)
}

/// The lock beside `recipe`, if there is one.
///
/// # Errors
///
/// It cannot be read, or is not a lock.
pub fn read(recipe: &Path) -> Result<Option<Locked>, Report> {
    let file = path(recipe);
    let failed = |error: std::io::Error| unreadable(&file).because(system_words(&error));
    // Before opening: a pipe would block the open.
    match fs::metadata(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_file() => {
            return Err(unreadable(&file).because("it is not a regular file"));
        }
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(&file)
        .and_then(|open| open.take(MAX_LOCK_SIZE + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_LOCK_SIZE {
        return Err(unreadable(&file).because(format!("it is longer than {MAX_LOCK_SIZE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| unreadable(&file).because("it is not UTF-8"))?;
    let lock = Lock::parse(&file, &text)?;
    Ok(Some(Locked { lock, digest: Sha256Digest::of(text.as_bytes()) }))
}

fn unreadable(file: &Path) -> Report {
    Report::new(Exit::CouldNot, format!("cannot read the lock `{}`", file.display()))
}

/// How strictly a command takes the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// `--locked`: it must be there, and hold.
    Locked,
    /// A lock that does not hold is said.
    Lenient,
}

/// What became of the comparison with a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It holds; its digest.
    Holds(Sha256Digest),
    /// There is no lock.
    Absent,
    /// It does not hold, and need not: one line that says so.
    Differs(String),
}

/// Compares the lock beside `recipe` with its inputs.
///
/// # Errors
///
/// The lock is missing or does not hold, and must.
pub fn compare(recipe: &Path, inputs: &Lock, strictness: Strictness) -> Result<Comparison, Report> {
    let update = format!("`wadoo update {}`", shell(recipe));
    let file = path(recipe);
    let locked = match (read(recipe), strictness) {
        (Ok(locked), _) => locked,
        (Err(report), Strictness::Locked) => {
            return Err(report.hint(format!("write it anew: {update}")));
        }
        (Err(report), Strictness::Lenient) => {
            let why = report.because.join(", ");
            return Ok(Comparison::Differs(format!(
                "warning: {}: {why}; {update} writes it anew",
                report.what
            )));
        }
    };
    let Some(locked) = locked else {
        return match strictness {
            Strictness::Lenient => Ok(Comparison::Absent),
            Strictness::Locked => {
                Err(Report::new(Exit::CouldNot, format!("there is no lock `{}`", file.display()))
                    .because("`--locked` accepts the inputs that the lock has, and no others")
                    .hint(format!("write it: {update}")))
            }
        };
    };
    let differences = locked.lock.differences(inputs);
    if differences.is_empty() {
        return Ok(Comparison::Holds(locked.digest));
    }
    let count = match differences.len() {
        1 => "1 input differs".to_owned(),
        count => format!("{count} inputs differ"),
    };
    if strictness == Strictness::Lenient {
        let line = format!("warning: `{}` does not hold: {count}; {update} writes it anew", file.display());
        return Ok(Comparison::Differs(line));
    }
    let mut report = Report::new(Exit::CouldNot, format!("`{}` does not hold: {count}", file.display()));
    report.because = differences.iter().flat_map(Difference::lines).collect();
    Err(report.hint(format!("if these inputs are the right ones: {update}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(entries: &[(&str, &str, &str)]) -> Lock {
        let inputs = entries.iter().map(|(name, source, bytes)| {
            let digest = Sha256Digest::of(bytes.as_bytes());
            ((*name).to_owned(), Input { digest, source: (*source).to_owned() })
        });
        Lock::of(inputs.collect())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = lock(&[("b", "it's \"b\".wasm", "b"), ("a/check", "a\\b.wasm", "a"), ("a", "ä", "")]);
        let text = written.text();
        assert_eq!(Lock::parse(Path::new("wadoo.lock"), &text).expect("read"), written);
        assert!(text.find("\"a\"").expect("a") < text.find("\"a/check\"").expect("check"), "{text}");
        assert_eq!(Lock::parse(Path::new("l"), &lock(&[]).text()).expect("read"), lock(&[]));
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        let digest = Sha256Digest::of(b"");
        for text in [
            "",
            "lock = 2\n",
            "lock = 1\nmore = 1\n",
            "lock = 1\n[inputs]\na = { source = \"a\" }\n",
            "lock = 1\n[inputs]\na = { source = \"a\", digest = \"sha256:00\" }\n",
            &format!("lock = 1\n[inputs]\na = {{ source = \"a\", digest = \"{digest}\", more = 1 }}\n"),
            "<<<<<<< ours\nlock = 1\n",
        ] {
            let report = Lock::parse(Path::new("wadoo.lock"), text).expect_err(text);
            assert_eq!(report.what, "cannot read the lock `wadoo.lock`");
            assert!(!report.because.is_empty(), "{report}");
        }
    }

    #[test]
    fn every_difference_is_found() {
        let old = lock(&[("a", "a.wasm", "1"), ("b", "b.wasm", "1"), ("c", "c.wasm", "1")]);
        let new = lock(&[("b", "b.wasm", "2"), ("c", "elsewhere.wasm", "1"), ("d", "d.wasm", "1")]);
        let lines: Vec<String> = old.differences(&new).iter().flat_map(Difference::lines).collect();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[0], "`a` (a.wasm) is in the lock, and no input");
        assert!(lines[1].starts_with("`b` (b.wasm) found   sha256:"));
        assert!(lines[2].starts_with("`b` (b.wasm) locked  sha256:"));
        assert_eq!(lines[3], "`c` is `elsewhere.wasm`, and `c.wasm` in the lock");
        assert_eq!(lines[4], "`d` (d.wasm) is not in the lock");
        assert!(old.differences(&old).is_empty());
    }
}
