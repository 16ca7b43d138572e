//! Trust: which keys may have signed what runs here.
//!
//! Trust comes from exactly one place, and a place that is named is never fallen through. Development keys live
//! apart: they are read only where nobody named a place and the device is not configured, they verify
//! development artifacts only, and no other key verifies those.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::key::{KeyError, KeyId, MAX_PEM_SIZE, PublicKey, SigningKey};
use crate::ownership::{self, OwnershipError};
use crate::policy;
use crate::report::{Exit, Report, shell};

/// The device's configuration.
pub const SYSTEM_FOLDER: &str = "/etc/wadoo";
/// Trusted keys in a configuration folder.
const TRUSTED: &str = "trusted.d";
/// Trusted development keys in a user's configuration folder.
const DEV_TRUSTED: &str = "dev-trusted.d";
/// The development key in a user's configuration folder.
const DEV_KEY: &str = "dev-key.pem";
/// Greatest number of keys in a store.
pub const MAX_KEYS: usize = 1024;

/// The folders and variables that decide where trust comes from. Taken as values, so that tests need no
/// global state.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// `$WADOO_TRUST`.
    pub variable: Option<OsString>,
    /// `/etc/wadoo`.
    pub system: PathBuf,
    /// The user's configuration folder, if there is one.
    pub user: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let user = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| {
                std::env::var_os("HOME")
                    .filter(|home| !home.is_empty())
                    .map(|home| PathBuf::from(home).join(".config"))
            })
            .map(|config| config.join("wadoo"));
        Self { variable: std::env::var_os("WADOO_TRUST"), system: PathBuf::from(SYSTEM_FOLDER), user }
    }
}

/// The one place that trust comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustPlace {
    /// `--trust DIR`.
    Flag(PathBuf),
    /// `$WADOO_TRUST`.
    Variable(PathBuf),
    /// `/etc/wadoo/trusted.d`.
    System(PathBuf),
    /// The user's own folders.
    User {
        /// `trusted.d` in the user's configuration folder.
        trusted: PathBuf,
        /// `dev-trusted.d` beside it.
        development: PathBuf,
    },
}

/// Why nothing can be trusted here.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The device's policy allows the system's store only.
    #[error("the policy `{}` allows no other trust store than `{}`", policy.display(), system.display())]
    SystemOnly {
        /// The policy.
        policy: PathBuf,
        /// The store that it allows.
        system: PathBuf,
    },
    /// There is no home folder to look in.
    #[error("no trust store is named, and this user has no configuration folder")]
    NoUser,
    /// The place is not usable.
    #[error("the trust store `{}` cannot be used", path.display())]
    Place {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Why.
        source: OwnershipError,
    },
    /// A file in it is no key.
    #[error("the trust store's file `{}` is no public key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// No key in it.
    #[error("the trust store `{}` has no keys", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A policy among the keys, where nobody reads it.
    #[error("the policy `{}` is in the trust store, expected beside it", path.display())]
    MisplacedPolicy {
        /// The policy.
        path: PathBuf,
    },
    /// Too many keys in it.
    #[error("the trust store `{}` has more than {MAX_KEYS} keys", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

impl TrustPlace {
    /// Decides the place: the flag, else the variable, else the system's folder where the device is
    /// configured, else the user's.
    ///
    /// # Errors
    ///
    /// There is no place at all.
    pub fn resolve(flag: Option<&Path>, surroundings: &Surroundings) -> Result<Self, TrustError> {
        if let Some(path) = flag {
            return Ok(Self::Flag(path.to_owned()));
        }
        if let Some(path) = &surroundings.variable {
            return Ok(Self::Variable(path.into()));
        }
        // Only what is certainly not there is passed by: a configuration that cannot be reached is an error
        // of the device, not a reason to believe somebody else.
        if !ownership::is_absent(&surroundings.system) {
            return Ok(Self::System(surroundings.system.join(TRUSTED)));
        }
        let user = surroundings.user.as_ref().ok_or(TrustError::NoUser)?;
        Ok(Self::User { trusted: user.join(TRUSTED), development: user.join(DEV_TRUSTED) })
    }

    /// The folder with the keys.
    pub fn folder(&self) -> &Path {
        match self {
            Self::Flag(path)
            | Self::Variable(path)
            | Self::System(path)
            | Self::User { trusted: path, .. } => path,
        }
    }
}

/// The keys that are trusted.
#[derive(Clone, Debug)]
pub struct TrustStore {
    place: PathBuf,
    keys: BTreeMap<KeyId, PublicKey>,
    development: BTreeMap<KeyId, PublicKey>,
}

impl TrustStore {
    /// Reads the keys of a place.
    ///
    /// # Errors
    ///
    /// The place, or a key in it, is missing, unreadable, writable by others, or there is no key.
    pub fn read(place: &TrustPlace) -> Result<Self, TrustError> {
        let folder = place.folder().to_owned();
        let (keys, development) = match place {
            TrustPlace::Flag(path) | TrustPlace::Variable(path) | TrustPlace::System(path) => {
                (read_folder(path)?, BTreeMap::new())
            }
            // Nobody named these: either may be missing, as long as there is a key.
            TrustPlace::User { trusted, development } => {
                (read_optional(trusted)?, read_optional(development)?)
            }
        };
        if keys.is_empty() && development.is_empty() {
            return Err(TrustError::Empty { path: folder });
        }
        Ok(Self { place: folder, keys, development })
    }

    /// A store of these keys, for an artifact that was made a moment ago.
    pub fn of(keys: impl IntoIterator<Item = PublicKey>, development: bool) -> Self {
        let keys = keys.into_iter().map(|key| (key.id(), key)).collect();
        let place = PathBuf::from("the keys that signed it");
        match development {
            true => Self { place, keys: BTreeMap::new(), development: keys },
            false => Self { place, keys, development: BTreeMap::new() },
        }
    }

    /// The key, whichever kind of artifact it may sign.
    pub fn key(&self, id: &KeyId) -> Option<&PublicKey> {
        self.keys.get(id).or_else(|| self.development.get(id))
    }

    /// Whether the key may sign an artifact of this kind.
    pub fn may_sign(&self, id: &KeyId, development: bool) -> bool {
        if development { self.development.contains_key(id) } else { self.keys.contains_key(id) }
    }

    /// Where the keys came from.
    pub fn place(&self) -> &Path {
        &self.place
    }
}

fn read_optional(folder: &Path) -> Result<BTreeMap<KeyId, PublicKey>, TrustError> {
    match read_folder(folder) {
        Err(TrustError::Empty { .. } | TrustError::Place { source: OwnershipError::Missing, .. }) => {
            Ok(BTreeMap::new())
        }
        result => result,
    }
}

fn read_folder(folder: &Path) -> Result<BTreeMap<KeyId, PublicKey>, TrustError> {
    let unusable = |path: &Path, source: OwnershipError| TrustError::Place { path: path.to_owned(), source };
    ownership::check_folder(folder).map_err(|error| unusable(folder, error))?;
    let (mut keys, mut files) = (BTreeMap::new(), 0);
    for entry in fs::read_dir(folder).map_err(|error| unusable(folder, error.into()))? {
        let path = entry.map_err(|error| unusable(folder, error.into()))?.path();
        if path.file_name().is_some_and(|name| name == policy::FILE_NAME) {
            return Err(TrustError::MisplacedPolicy { path });
        }
        if path.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        files += 1;
        if files > MAX_KEYS {
            return Err(TrustError::TooMany { path: folder.to_owned() });
        }
        let text = ownership::read_text(&path, MAX_PEM_SIZE).map_err(|error| unusable(&path, error))?;
        let key =
            PublicKey::from_pem(&text).map_err(|source| TrustError::Key { path: path.clone(), source })?;
        keys.insert(key.id(), key);
    }
    if keys.is_empty() { Err(TrustError::Empty { path: folder.to_owned() }) } else { Ok(keys) }
}

impl From<TrustError> for Report {
    fn from(error: TrustError) -> Self {
        let report = Self::new(Exit::NotTrusted, error.to_string());
        match error {
            TrustError::SystemOnly { system, .. } => report.hint(format!(
                "leave out `--trust` and `$WADOO_TRUST`, and add the key to `{}`",
                system.display()
            )),
            TrustError::NoUser => report.hint("name a trust store: `--trust DIR`"),
            TrustError::Place { path, source } => {
                let hint = source.hint(&path).or_else(|| {
                    matches!(source, OwnershipError::Missing).then(|| {
                        format!(
                            "make it and add a public key: `wadoo key trust KEY.pem --trust {}`",
                            path.display()
                        )
                    })
                });
                let report = report.because(source.to_string());
                match hint {
                    Some(hint) => report.hint(hint),
                    None => report,
                }
            }
            TrustError::Key { path, source } => report
                .because(source.to_string())
                .hint(format!("remove `{}`, or replace it by a public key", path.display())),
            TrustError::Empty { path } => {
                report.hint(format!("add a public key: `wadoo key trust KEY.pem --trust {}`", shell(&path)))
            }
            TrustError::MisplacedPolicy { path } => {
                let store = path.parent().unwrap_or(Path::new("."));
                report.hint(format!(
                    "`mv {} {}`",
                    path.display(),
                    policy::beside(store).join(policy::FILE_NAME).display()
                ))
            }
            TrustError::TooMany { .. } => report.hint("remove the keys that no artifact needs"),
        }
    }
}

/// This user's configuration folder: where `wadoo` keeps what is this user's own.
#[derive(Clone, Debug)]
pub struct UserFolder(PathBuf);

impl UserFolder {
    /// The folder of the surroundings.
    ///
    /// # Errors
    ///
    /// The user has none.
    pub fn of(surroundings: &Surroundings) -> Result<Self, Report> {
        surroundings.user.clone().map(Self).ok_or_else(|| {
            Report::new(Exit::CouldNot, "cannot find this user's configuration folder")
                .because("neither `XDG_CONFIG_HOME` nor `HOME` is set")
                .hint("set `HOME`, or sign with a key that the recipe names")
        })
    }

    /// The trust store of this user.
    pub fn trusted(&self) -> PathBuf {
        self.0.join(TRUSTED)
    }

    /// The development key, and its file if it was made just now. Its public half is trusted for development
    /// artifacts.
    ///
    /// # Errors
    ///
    /// It cannot be read or made.
    pub fn development_key(&self) -> Result<(SigningKey, Option<PathBuf>), Report> {
        let path = self.0.join(DEV_KEY);
        let unusable = |place: &Path, error: &OwnershipError| {
            let report =
                Report::new(Exit::NotTrusted, format!("cannot use the development key `{}`", path.display()))
                    .because(format!("`{}`: {error}", place.display()));
            match error.hint(place) {
                Some(hint) => report.hint(hint),
                None => report,
            }
        };
        // Under `sudo`, the folder may be another user's: root must neither use nor make a key there.
        match ownership::check_folder(&self.0) {
            Ok(()) => {}
            // What is to be made is made where it may be.
            Err(OwnershipError::Missing) => {
                let place = nearest(&self.0);
                ownership::check_folder(place).map_err(|error| {
                    unusable(place, &error)
                        .hint("set `HOME` to a folder of your own, or sign with a key that the recipe names")
                })?;
            }
            Err(error) => return Err(unusable(&self.0, &error)),
        }
        let (key, made) = match ownership::read_text(&path, MAX_PEM_SIZE) {
            Ok(text) => (
                SigningKey::from_pem(&text).map_err(|error| error.report(&path.display().to_string()))?,
                None,
            ),
            Err(OwnershipError::Missing) => {
                let key =
                    SigningKey::generate().map_err(|error| error.report(&path.display().to_string()))?;
                write_private(&path, &key)?;
                (key, Some(path))
            }
            Err(error) => return Err(unusable(&path, &error)),
        };
        let public = key.public();
        let trusted = self.0.join(DEV_TRUSTED).join(format!("{}.pem", public.id()));
        if !trusted.exists() {
            write_public(&trusted, &public)?;
        }
        Ok((key, made))
    }
}

/// The nearest folder above `path` that is there.
fn nearest(path: &Path) -> &Path {
    let above = path.ancestors().find(|folder| !ownership::is_absent(folder));
    above.unwrap_or(Path::new("."))
}

/// Writes a private key, readable by its user only. An existing file is never replaced.
///
/// # Errors
///
/// The file exists, or cannot be written.
pub fn write_private(path: &Path, key: &SigningKey) -> Result<(), Report> {
    let text = key.to_pem().map_err(|error| error.report(&path.display().to_string()))?;
    write_new(path, &text, 0o600, 0o700)
}

/// Writes a public key. An existing file is never replaced.
///
/// # Errors
///
/// The file exists, or cannot be written.
pub fn write_public(path: &Path, key: &PublicKey) -> Result<(), Report> {
    let text = key.to_pem().map_err(|error| error.report(&path.display().to_string()))?;
    write_new(path, &text, 0o644, 0o755)
}

/// Writes a new file whole: under a temporary name first, then under its own.
fn write_new(path: &Path, text: &str, mode: u32, folder_mode: u32) -> Result<(), Report> {
    let failed = |error: io::Error| {
        let report = Report::new(Exit::CouldNot, format!("cannot write the key `{}`", path.display()));
        match error.kind() {
            io::ErrorKind::AlreadyExists => report
                .because("the file is there already, and a key is never replaced")
                .hint("name another file, or move that one away"),
            _ => report.because(error.to_string()),
        }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(folder_mode).create(folder).map_err(failed)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        // A link fails where the name exists; a rename would replace it.
        .and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    written.and(removed).map_err(failed)
}
