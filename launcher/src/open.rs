//! Opening an artifact, so that everything later is about one open file.
//!
//! Everything is checked on the opened inode, never again by path. Only the framing and the envelope are read
//! here, each under its limit. Where the payload is run from is decided in `place`, and whether its bytes are
//! worth running in `verify`.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wadoo_signing::envelope::MAX_ENVELOPE_SIZE;
use wadoo_signing::framing::{
    ATTACHMENT_HEADER_SIZE, FramingError, Layout, MAX_ATTACHMENTS, MAX_ATTACHMENTS_SIZE, MAX_FILE_SIZE,
};
use wadoo_signing::report::{shell, system_words};
use wadoo_signing::{elf, regular, report};

/// Name of the payload in the split form.
pub const SPLIT_PAYLOAD: &str = "payload";
/// Name of the envelope in the split form.
pub const SPLIT_ENVELOPE: &str = "manifest.dsse.json";

/// Name of an attachment in the split form, by its place in the manifest's list.
pub fn split_attachment(index: usize) -> String {
    format!("attachment-{index}")
}

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
    pub(crate) file: Arc<File>,
    /// Length of the payload.
    pub(crate) payload: u64,
    pub(crate) attachments: Vec<OpenAttachment>,
    pub(crate) options: OpenOptions,
}

/// An attachment of which nothing is believed yet.
#[derive(Debug)]
pub(crate) struct OpenAttachment {
    pub(crate) file: Arc<File>,
    /// What it is. A file of the split form does not say it; the manifest does.
    pub(crate) kind: Option<u32>,
    /// Where its bytes begin.
    pub(crate) offset: u64,
    pub(crate) length: u64,
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
        let file = Arc::new(file);
        let attachments = layout
            .attachments
            .iter()
            .map(|span| OpenAttachment {
                file: Arc::clone(&file),
                kind: Some(span.kind),
                offset: span.offset,
                length: span.length,
            })
            .collect();
        let (path, payload) = (path.to_owned(), layout.payload);
        Ok(Self { path, envelope, file, payload, attachments, options: *options })
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
            file: Arc::new(file),
            payload: length,
            attachments: open_split_attachments(folder)?,
            options: *options,
        })
    }

    /// The open file, whose first bytes are the payload.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// The attachments of the split form, under the limits of the other one: those up to the first that is not there.
fn open_split_attachments(folder: &Path) -> Result<Vec<OpenAttachment>, OpenError> {
    let mut attachments = Vec::new();
    let mut left = MAX_ATTACHMENTS_SIZE;
    loop {
        let path = folder.join(split_attachment(attachments.len()));
        let (file, length) = match open_checked(&path, MAX_ATTACHMENTS_SIZE) {
            Err(OpenError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(attachments);
            }
            opened => opened?,
        };
        match left.checked_sub(ATTACHMENT_HEADER_SIZE + length) {
            Some(rest) if attachments.len() < MAX_ATTACHMENTS => left = rest,
            _ => return Err(OpenError::Framing { path, source: FramingError::Attachments }),
        }
        attachments.push(OpenAttachment { file: Arc::new(file), kind: None, offset: 0, length });
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
