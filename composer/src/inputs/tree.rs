//! A folder that a part carries with it: every file below it, read once. What is digested is what the artifact carries.
//!
//! Regular files only, whatever their names, and the folders between them: a link, a pipe or a device among them is refused and
//! not passed over. Modes and times are not read, so that the same files give the same bytes everywhere.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::files::{FileTree, FileTreeError, MAX_FILE_DEPTH, MAX_FILES};
use wadoo_signing::report::{shell, system_words};

use super::error::InputError;
use super::file;

/// Length of all files that the parts of an application carry, as the artifact has them, in bytes.
pub const MAX_CARRIED_SIZE: usize = 8 << 20;
/// Different trees of files that the parts of an application carry.
pub const MAX_CARRIED_TREES: usize = 8;

/// Why a folder cannot be carried.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum TreeError {
    #[error("it is no folder")]
    NoFolder,
    #[error("it has no files")]
    Empty,
    #[error("`{file}` in it is {kind}, and only regular files are carried")]
    Kind { file: String, kind: &'static str },
    #[error("`{file}` in it has a name that is not UTF-8")]
    Name { file: String },
    #[error("`{file}` in it cannot be read: {}", system_words(source))]
    Read { file: String, source: io::Error },
    #[error("it is deeper than {MAX_FILE_DEPTH} folders")]
    TooDeep,
    #[error("it has more than {MAX_FILES} files")]
    TooMany,
    #[error("what the parts carry has more than {MAX_CARRIED_SIZE} bytes with it")]
    TooLarge,
    #[error("the parts carry more than {MAX_CARRIED_TREES} different folders with it")]
    TooManyTrees,
    #[error(transparent)]
    Path(#[from] FileTreeError),
}

impl TreeError {
    /// What to do; `folder` is the one that is carried, as the recipe has it.
    pub(super) fn hint(&self, folder: &Path) -> Option<String> {
        let path = |file: &String| shell(&folder.join(file));
        match self {
            Self::NoFolder => Some("name the folder that it lies in".into()),
            Self::Empty => Some("put the files there first, or remove the entry".into()),
            Self::Kind { kind: "a symbolic link", file } => {
                let file = path(file);
                Some(format!(
                    "put the file itself there: `cp --remove-destination \"$(realpath {file})\" {file}`"
                ))
            }
            Self::Kind { file, .. } => Some(format!("remove it: `rm {}`", path(file))),
            Self::TooLarge | Self::TooManyTrees => Some(
                "give the part a folder of the device instead: `grants = { \"wasi:filesystem/preopens\" = { mounts = [{ path = \
                 \"/data\" }] } }`"
                    .into(),
            ),
            Self::Name { .. } | Self::Path(_) => Some("rename it".into()),
            Self::Read { .. } | Self::TooDeep | Self::TooMany => None,
        }
    }
}

/// The files below a folder.
#[derive(Debug)]
pub(super) struct Tree {
    /// As the artifact has them.
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Sha256Digest,
}

impl Tree {
    /// Reads `path` relative to `folder`.
    pub(super) fn read(folder: &Path, path: &Path) -> Result<Self, InputError> {
        let root = folder.join(path);
        let found = fs::metadata(&root).map_err(|error| file::explain(error, &root, path))?;
        if !found.is_dir() {
            return Err(TreeError::NoFolder.into());
        }
        let mut walk = Walk { root: &root, written: path, files: Vec::new(), left: MAX_CARRIED_SIZE as u64 };
        walk.folder("", 0)?;
        if walk.files.is_empty() {
            return Err(TreeError::Empty.into());
        }
        let files = walk.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
        let bytes = FileTree::new(files).map_err(TreeError::from)?.encode();
        Ok(Self { digest: Sha256Digest::of(&bytes), bytes })
    }
}

struct Walk<'a> {
    root: &'a Path,
    /// How the recipe calls it.
    written: &'a Path,
    /// By their paths below the root.
    files: Vec<(String, Vec<u8>)>,
    /// Bytes that may still be read.
    left: u64,
}

impl Walk<'_> {
    /// Reads the files below one folder; `prefix` is empty or ends with a slash. In whatever order the system lists them: a
    /// tree has its own.
    fn folder(&mut self, prefix: &str, depth: usize) -> Result<(), InputError> {
        if depth == MAX_FILE_DEPTH {
            return Err(TreeError::TooDeep.into());
        }
        let folder = self.root.join(prefix);
        let failed = |source| match prefix {
            "" => file::explain(source, &folder, self.written),
            _ => TreeError::Read { file: prefix.to_owned(), source }.into(),
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| TreeError::Name { file: format!("{prefix}{}", name.to_string_lossy()) })?;
            let path = format!("{prefix}{name}");
            // Of the entry itself, and not of what it leads to.
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                self.folder(&format!("{path}/"), depth + 1)?;
            } else if kind.is_file() {
                let bytes = self.file(&path)?;
                self.files.push((path, bytes));
            } else {
                let kind = if kind.is_symlink() { "a symbolic link" } else { "a pipe, a socket or a device" };
                return Err(TreeError::Kind { file: path, kind }.into());
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str) -> Result<Vec<u8>, InputError> {
        if self.files.len() == MAX_FILES {
            return Err(TreeError::TooMany.into());
        }
        let file = self.root.join(path);
        let failed = |source| TreeError::Read { file: path.to_owned(), source };
        let mut bytes = Vec::new();
        // It may be longer than is read, and may grow while it is.
        File::open(&file).map_err(failed)?.take(self.left + 1).read_to_end(&mut bytes).map_err(failed)?;
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(TreeError::TooLarge)?;
        Ok(bytes)
    }
}

/// The folders of a tree, itself first, whose entries decide what it has. What cannot be read is left out.
pub(super) fn folders(root: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    let mut next = 0;
    while next < folders.len() && folders.len() <= MAX_FILES {
        let entries = fs::read_dir(&folders[next]).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let below: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
        folders.extend(below);
        next += 1;
    }
    folders
}
