//! The files that an artifact carries, where its guests can open them.
//!
//! wasmtime serves folders of the system and nothing else, so the signed trees are written, at the start, to a folder that is this
//! process's own, and removed with it. Deliberately absent: which part sees which tree, and as what (see `reach`).
//!
//! Invariants: what is written was compared with the signed digest before, and decoded after that; nobody but this user can
//! read the folder; one with files that a killed launcher left behind is removed by the next one that carries files.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use tempfile::TempDir;
use thiserror::Error;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::files::{FileTree, FileTreeError};
use wadoo_signing::report::{Exit, Report, system_words};

use crate::verify::VerifiedArtifact;

/// How the folders begin that trees are written to.
const PREFIX: &str = "wadoo-files-";

/// The first tree. A folder that has it was locked before.
const FIRST: &str = "0";

/// The variable by which a service manager names the folders that live as long as the service.
const OF_SERVICE: &str = "RUNTIME_DIRECTORY";

/// Entries of the folder for temporary files among which those of killed launchers are looked for.
const MAX_LOOKED_AT: usize = 10_000;

/// The trees of an artifact, in folders of this process. They are gone when it is dropped, or [removed](Self::remove).
#[derive(Debug, Default)]
pub struct CarriedFiles {
    trees: BTreeMap<Sha256Digest, PathBuf>,
    /// Locked for as long as the folder is used; closed after that is removed.
    folder: Mutex<Option<(TempDir, File)>>,
}

/// Why the files of an artifact cannot be served.
#[derive(Debug, Error)]
pub enum CarriedFilesError {
    /// An attachment that is signed and no tree of files.
    #[error("attachment {digest} is no tree of files")]
    Tree {
        /// The attachment.
        digest: Sha256Digest,
        /// What is wrong with it.
        source: FileTreeError,
    },
    /// There is nowhere to write them.
    #[error("the files cannot be written below `{}`", below.display())]
    Write {
        /// The folder for temporary files.
        below: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl From<CarriedFilesError> for Report {
    fn from(error: CarriedFilesError) -> Self {
        match error {
            CarriedFilesError::Tree { digest, source } => {
                Self::new(Exit::Incompatible, "cannot use the files that the artifact carries")
                    .because(format!("attachment {digest}: {source}"))
                    .hint("compose the application with the `wadoo` of this launcher's version")
            }
            CarriedFilesError::Write { below, source } => Self::new(
                Exit::HostResource,
                format!("cannot write the files that the artifact carries below `{}`", below.display()),
            )
            .because(system_words(&source))
            .hint(format!(
                "name a folder that this user may write, in memory if there is one: `{}=/dev/shm`",
                if folder_of_service().is_some() { OF_SERVICE } else { "TMPDIR" }
            )),
        }
    }
}

impl CarriedFiles {
    /// Writes the trees of `artifact`, if it has any.
    ///
    /// # Errors
    ///
    /// One of them cannot be decoded, or there is no room for it. See [`CarriedFilesError`].
    pub fn unpack(artifact: &VerifiedArtifact) -> Result<Self, CarriedFilesError> {
        Self::unpack_below(artifact, &temporary())
    }

    /// As [`unpack`](Self::unpack), to a folder below another one.
    ///
    /// # Errors
    ///
    /// Those of [`unpack`](Self::unpack).
    pub fn unpack_below(artifact: &VerifiedArtifact, below: &Path) -> Result<Self, CarriedFilesError> {
        if artifact.trees().is_empty() {
            return Ok(Self::default());
        }
        let wrong = |source| CarriedFilesError::Write { below: below.to_owned(), source };
        sweep(below);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(below)
            .map_err(wrong)?;
        let lock = File::open(folder.path()).map_err(wrong)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| wrong(error.into()))?;
        let mut trees = BTreeMap::new();
        for (index, (digest, bytes)) in artifact.trees().iter().enumerate() {
            let tree = FileTree::decode(bytes)
                .map_err(|source| CarriedFilesError::Tree { digest: *digest, source })?;
            let root = folder.path().join(index.to_string());
            write(&tree, &root).map_err(wrong)?;
            trees.insert(*digest, root);
        }
        Ok(Self { trees, folder: Mutex::new(Some((folder, lock))) })
    }

    /// Removes them, whoever still has them: at the end of a process threads are not waited for.
    pub fn remove(&self) {
        drop(self.folder.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The folder in which the tree with this digest lies.
    pub(crate) fn folder(&self, digest: &Sha256Digest) -> Option<&Path> {
        self.trees.get(digest).map(PathBuf::as_path)
    }
}

/// Where a service manager wants what lives as long as the service, or else where temporary files go.
fn temporary() -> PathBuf {
    folder_of_service().unwrap_or_else(std::env::temp_dir)
}

fn folder_of_service() -> Option<PathBuf> {
    let folders = std::env::var_os(OF_SERVICE).filter(|folders| !folders.is_empty())?;
    std::env::split_paths(&folders).next()
}

/// Writes `tree` to the new folder `root`.
fn write(tree: &FileTree<'_>, root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    for (path, bytes) in tree.files() {
        let file = root.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o400).open(&file)?.write_all(bytes)?;
    }
    Ok(())
}

/// Removes what launchers of this user left below `folder` that did not end by themselves.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_LOOKED_AT) {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_left_behind(&entry.path()) {
            // What cannot be removed is no reason not to start.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether it is a folder of this user that was locked once, and that nobody holds.
fn is_left_behind(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw())
        && folder.join(FIRST).exists()
        && File::open(folder).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_launcher_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str, root: &str| {
            let folder = place.path().join(name);
            fs::create_dir(&folder).unwrap();
            write(&FileTree::new([("a/b", &b"x"[..])]).unwrap(), &folder.join(root)).unwrap();
            let file = File::open(&folder).unwrap();
            (folder, file)
        };
        let (left, _) = make("wadoo-files-left", FIRST);
        let (held, lock) = make("wadoo-files-held", FIRST);
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let (young, _) = make("wadoo-files-young", "nothing yet");
        let (other, _) = make("others", FIRST);
        sweep(place.path());
        assert!(!left.exists());
        assert!(held.exists() && young.exists() && other.exists());
    }
}
