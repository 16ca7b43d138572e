//! Opening an artifact, so that everything later is about one open file.
//!
//! Everything is checked on the opened inode, never again by path. Only the framing and the envelope are read
//! here, each under its limit. Where the payload is run from is decided in `place`, and whether its bytes are
//! worth running in `verify`.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use wadoo_signing::envelope::MAX_ENVELOPE_SIZE;
use wadoo_signing::framing::{AttachmentSpan, FramingError, Layout, MAX_FILE_SIZE};
use wadoo_signing::report::{shell, system_words};
use wadoo_signing::{elf, regular, report};

/// Name of the payload in the split form.
pub const SPLIT_PAYLOAD: &str = "payload";
/// Name of the envelope in the split form.
pub const SPLIT_ENVELOPE: &str = "manifest.dsse.json";

/// What the caller says about opening.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Run the file in place although this process could change it. A policy with `verify = "sealed"` is
    /// stronger.
    pub map_in_place: bool,
}

/// An opened artifact of which nothing is believed yet.
#[derive(Debug)]
pub struct UnverifiedArtifact {
    pub(crate) path: PathBuf,
    pub(crate) envelope: Vec<u8>,
    /// Begins with the payload; holds the attachments too, unless the form is split.
    pub(crate) file: File,
    /// Length of the payload.
    pub(crate) payload: u64,
    pub(crate) attachments: Vec<AttachmentSpan>,
    /// The split form, which has no place for attachments.
    pub(crate) split: bool,
    pub(crate) options: OpenOptions,
}

/// Why an artifact could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, or may not be read.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It is not what an artifact is.
    #[error("refusing to open `{}`: it is {found}, expected a regular file", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Others may write it.
    #[error("refusing to open `{}`: it is writable by its group or by others (mode {mode:04o})", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not framed as an artifact.
    #[error("refusing `{}`: {source}", path.display())]
    Framing {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FramingError,
    },
}

impl UnverifiedArtifact {
    /// Opens `path`: an artifact, or a folder in the split form.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, OpenError> {
        let (file, length) = match open_checked(path, MAX_FILE_SIZE) {
            // A folder may allow to look names up and not to be read.
            Err(OpenError::Kind { .. } | OpenError::Open { .. }) if path.is_dir() => {
                return Self::open_split(path, options);
            }
            opened => opened?,
        };
        let framing = |source| OpenError::Framing { path: path.to_owned(), source };
        let layout = Layout::read(&file, length).map_err(framing)?;
        let mut envelope = vec![0; layout.envelope as usize];
        file.read_exact_at(&mut envelope, layout.envelope_offset).map_err(|error| framing(error.into()))?;
        let (payload, attachments) = (layout.payload, layout.attachments);
        Ok(Self {
            path: path.to_owned(),
            envelope,
            file,
            payload,
            attachments,
            split: false,
            options: *options,
        })
    }

    /// The folder form, in which the payload is a file of its own that the kernel can measure.
    fn open_split(folder: &Path, options: &OpenOptions) -> Result<Self, OpenError> {
        let path = folder.join(SPLIT_ENVELOPE);
        if !path.exists() {
            return Err(OpenError::Kind {
                path: folder.to_owned(),
                found: "a folder without a split artifact",
            });
        }
        let (file, length) = open_checked(&path, MAX_ENVELOPE_SIZE)?;
        let mut envelope = vec![0; length as usize];
        file.read_exact_at(&mut envelope, 0)
            .map_err(|source| OpenError::Open { path: path.clone(), source })?;
        let path = folder.join(SPLIT_PAYLOAD);
        let (file, length) = open_checked(&path, MAX_FILE_SIZE)?;
        elf::check(&file, length).map_err(|source| OpenError::Framing { path: path.clone(), source })?;
        Ok(Self {
            path: folder.to_owned(),
            envelope,
            file,
            payload: length,
            attachments: Vec::new(),
            split: true,
            options: *options,
        })
    }

    /// The open file, whose first bytes are the payload.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The envelope's bytes, unverified.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }
}

/// Opens a regular file of at most `limit` bytes that nobody but its owner may write.
fn open_checked(path: &Path, limit: u64) -> Result<(File, u64), OpenError> {
    let kind = |found| OpenError::Kind { path: path.to_owned(), found };
    let (file, metadata) = regular::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::IsADirectory => kind("a folder"),
        // Never the system's: only `regular` makes an error of this kind.
        io::ErrorKind::Other => kind("a device, pipe or socket"),
        _ => OpenError::Open { path: path.to_owned(), source },
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(OpenError::Writable { path: path.to_owned(), mode });
    }
    if metadata.len() > limit {
        let source = FramingError::TooLarge { found: metadata.len() };
        return Err(OpenError::Framing { path: path.to_owned(), source });
    }
    Ok((file, metadata.len()))
}

impl From<OpenError> for report::Report {
    fn from(error: OpenError) -> Self {
        use report::Exit;
        let what = error.to_string();
        match error {
            OpenError::Open { path, source } => {
                let report = Self::new(Exit::CouldNot, what).because(match source.kind() {
                    io::ErrorKind::NotFound => "it does not exist".to_owned(),
                    io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
                    _ => system_words(&source),
                });
                match source.kind() {
                    io::ErrorKind::NotFound => report.hint("`wadoo compose recipe.toml` writes an artifact"),
                    io::ErrorKind::PermissionDenied => {
                        report.hint(format!("`ls -l {}` shows its permissions", shell(&path)))
                    }
                    _ => report,
                }
            }
            OpenError::Kind { .. } => Self::new(Exit::NotTrusted, what)
                .hint("name an artifact: `wadoo compose recipe.toml` writes one"),
            OpenError::Writable { path, .. } => {
                Self::new(Exit::NotTrusted, what).hint(format!("`chmod go-w {}`", shell(&path)))
            }
            OpenError::Framing { path, source } => {
                let hint = match source {
                    FramingError::Wasm(_) => {
                        "compose it into a signed artifact: `wadoo compose recipe.toml`".to_owned()
                    }
                    FramingError::Unsigned => format!(
                        "if `{}` was an artifact, it was cut or added to: copy it again; if not, compose one: \
                         `wadoo compose recipe.toml`",
                        path.display()
                    ),
                    _ => {
                        format!("copy `{}` again from where it was made, or compose it again", path.display())
                    }
                };
                Self::new(Exit::NotTrusted, what).hint(hint)
            }
        }
    }
}
