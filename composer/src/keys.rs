//! Signing keys: read from where the recipe says, or, without `[sign]`, the development key of this user.
//!
//! A `[sign]` whose key cannot be read is an error and never falls back to a development key; `--release` and
//! `CI=true` refuse development keys.

use std::path::{Path, PathBuf};

use wadoo_signing::key::{self, SigningKey};
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::trust::{Surroundings, UserFolder};

use crate::recipe::{KeySource, Recipe};

/// The keys that sign an artifact.
#[derive(Debug)]
pub struct Signers {
    /// At least one.
    pub keys: Vec<SigningKey>,
    /// They are this user's development key.
    pub development: bool,
    /// The development key's file, if it was made just now.
    pub made: Option<PathBuf>,
}

/// Whether development keys may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// On a developer's machine.
    Development,
    /// `--release`.
    Release,
    /// `CI=true` in the environment.
    Pipeline,
}

impl Purpose {
    /// What this process is run for.
    pub fn of_process(release: bool) -> Self {
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1");
        match (release, ci) {
            (true, _) => Self::Release,
            (false, true) => Self::Pipeline,
            (false, false) => Self::Development,
        }
    }
}

/// What a recipe says about its signers, read and checked; nothing is made yet.
#[derive(Debug)]
pub enum Declared {
    /// The keys of `[sign]`.
    Keys(Vec<SigningKey>),
    /// There is no `[sign]`, and a development key may sign.
    Development,
}

/// Reads the keys that `recipe` names.
///
/// # Errors
///
/// Every key that cannot be read or stands twice, or a development key where none may be used.
pub fn declared(recipe: &Recipe, purpose: Purpose) -> Result<Declared, Vec<Report>> {
    let Some(sign) = &recipe.sign else {
        return check_development(purpose).map(|()| Declared::Development).map_err(|report| vec![report]);
    };
    let folder = Path::new(recipe.source.file()).parent().unwrap_or(Path::new(""));
    let (mut keys, mut reports) = (Vec::<SigningKey>::new(), Vec::new());
    for source in &sign.keys {
        let report = match read(&source.value, folder) {
            Ok(key) if keys.iter().any(|other| other.public() == key.public()) => {
                Report::new(Exit::CouldNot, "the same key stands twice in `sign.keys`")
                    .because(format!("it is key {}", key.public().id().short()))
                    .hint("keep one of the two")
            }
            Ok(key) => {
                keys.push(key);
                continue;
            }
            Err(report) => report,
        };
        reports.push(report.at(recipe.source.place(&source.span)));
    }
    if reports.is_empty() { Ok(Declared::Keys(keys)) } else { Err(reports) }
}

impl Declared {
    /// The keys that sign: the declared ones, or this user's development key, made if it is not there.
    ///
    /// # Errors
    ///
    /// The development key cannot be read or made.
    pub fn signers(self) -> Result<Signers, Report> {
        match self {
            Self::Keys(keys) => Ok(Signers { keys, development: false, made: None }),
            Self::Development => development(),
        }
    }
}

/// This user's development key, made if it is not there.
///
/// # Errors
///
/// It cannot be read or made.
pub fn development() -> Result<Signers, Report> {
    let (key, made) = UserFolder::of(&Surroundings::of_process())?.development_key()?;
    Ok(Signers { keys: vec![key], development: true, made })
}

fn check_development(purpose: Purpose) -> Result<(), Report> {
    let because = match purpose {
        Purpose::Development => return Ok(()),
        Purpose::Release => "the recipe has no `[sign]`, and `--release` was asked for",
        Purpose::Pipeline => "the recipe has no `[sign]`, and the environment says `CI=true`",
    };
    Err(Report::new(Exit::NotTrusted, "refusing to sign with a development key").because(because).hint(
        "name a key in the recipe: `[sign] keys = [\"env:WADOO_SIGNING_KEY\"]`; `wadoo key new signing.pem` \
         makes one",
    ))
}

/// Reads one signing key; relative files are looked for in `folder`.
///
/// # Errors
///
/// The variable or file is missing, or holds no private Ed25519 key.
pub fn read(source: &KeySource, folder: &Path) -> Result<SigningKey, Report> {
    match source {
        KeySource::Env(name) => {
            let text = std::env::var(name).map_err(|error| {
                Report::new(Exit::CouldNot, format!("cannot read the signing key from `env:{name}`"))
                    .because(match error {
                        std::env::VarError::NotPresent => "the variable is not set",
                        std::env::VarError::NotUnicode(_) => "the variable is not text",
                    })
                    .hint(format!(
                        "set it to the PEM text of a private key: `export {name}=\"$(cat signing.pem)\"`"
                    ))
            })?;
            SigningKey::from_pem(&text).map_err(|error| error.report(&format!("env:{name}")))
        }
        KeySource::File(path) => key::read_private(&folder.join(path)),
    }
}
