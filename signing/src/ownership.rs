//! Who may have written what is about to be believed.
//!
//! Folders and files that decide trust must belong to root or to the effective user, and nobody else may
//! write them. So root under `sudo` never believes a user's store. Files are checked once opened.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::regular;
use crate::report::{shell, system_words};

/// Why a file or folder is not believed.
#[derive(Debug, thiserror::Error)]
pub enum OwnershipError {
    /// It is not there.
    #[error("it does not exist")]
    Missing,
    /// It cannot be read.
    #[error("it cannot be read: {}", system_words(.0))]
    Io(io::Error),
    /// It is a folder where a file is needed, or the other way round.
    #[error("it is not a {0}")]
    Kind(&'static str),
    /// It belongs to somebody else.
    #[error("it belongs to user {0}, expected root or the user that runs this")]
    Owner(u32),
    /// Others may write it.
    #[error("it is writable by its group or by others (mode {0:04o})")]
    Writable(u32),
    /// Longer than is read.
    #[error("it is longer than {0} bytes")]
    TooLong(u64),
    /// Not UTF-8.
    #[error("it is not text")]
    NotText,
}

impl From<io::Error> for OwnershipError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::InvalidData => Self::NotText,
            io::ErrorKind::IsADirectory => Self::Kind("regular file"),
            _ => Self::Io(error),
        }
    }
}

fn check(metadata: &Metadata) -> Result<(), OwnershipError> {
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(OwnershipError::Owner(owner));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 { Err(OwnershipError::Writable(mode)) } else { Ok(()) }
}

/// Checks a folder.
///
/// # Errors
///
/// It is not there, no folder, or somebody else may have written it.
pub fn check_folder(path: &Path) -> Result<(), OwnershipError> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(OwnershipError::Kind("folder"));
    }
    check(&metadata)
}

/// Checks a folder out of which nobody else may take a file: as above, or sticky.
///
/// # Errors
///
/// It is not there, no folder, or somebody else may take away what is in it.
pub fn check_holder(path: &Path) -> Result<(), OwnershipError> {
    const STICKY: u32 = 0o1000;
    match check_folder(path) {
        Err(OwnershipError::Writable(mode)) if mode & STICKY != 0 => Ok(()),
        checked => checked,
    }
}

/// Reads a text file of at most `limit` bytes, checked on the opened file.
///
/// # Errors
///
/// It is not there, no regular file, too long, no text, or somebody else may have written it.
pub fn read_text(path: &Path, limit: u64) -> Result<String, OwnershipError> {
    let (file, metadata) = regular::open(path)?;
    check(&metadata)?;
    let mut text = String::new();
    let length = file.take(limit + 1).read_to_string(&mut text)? as u64;
    if length > limit { Err(OwnershipError::TooLong(limit)) } else { Ok(text) }
}

/// Whether nothing has this name. A link that leads nowhere is something, and so is what cannot be reached.
pub fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

impl OwnershipError {
    /// What to do about it, for `path`.
    pub fn hint(&self, path: &Path) -> Option<String> {
        let path = shell(path);
        match self {
            Self::Owner(_) => {
                Some(format!("`chown root {path}`, or name another trust store with `--trust`"))
            }
            Self::Writable(_) => Some(format!("`chmod go-w {path}`")),
            _ => None,
        }
    }
}
