//! Opening an artifact so that the bytes that are verified are the bytes that are executed.
//!
//! Everything is checked on the opened inode, never again by path. A file that this process or another user
//! could change between hashing and running is copied into sealed memory first, and the copy is what is
//! hashed and run. Whether the bytes are worth running is not decided here (see `verify`).

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, MemfdFlags, OFlags, SealFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use wadoo_signing::envelope::MAX_ENVELOPE_SIZE;
use wadoo_signing::framing::{AttachmentSpan, FramingError, Layout, MAX_FILE_SIZE};
use wadoo_signing::{elf, report};

/// Name of the payload in the split form.
pub const SPLIT_PAYLOAD: &str = "payload";
/// Name of the envelope in the split form.
pub const SPLIT_ENVELOPE: &str = "manifest.dsse.json";

/// What the caller says about opening.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Run the file in place although this process could change it.
    pub map_in_place: bool,
    /// Copy and seal in every case (the policy's `verify = "sealed"`).
    pub sealed: bool,
}

/// An opened artifact of which nothing is believed yet.
#[derive(Debug)]
pub struct UnverifiedArtifact {
    pub(crate) path: PathBuf,
    pub(crate) envelope: Vec<u8>,
    pub(crate) payload: Payload,
    pub(crate) attachments: Vec<AttachmentSpan>,
    /// The file that holds the attachments.
    pub(crate) file: File,
}

/// The payload's bytes, where they will be executed from.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    pub(crate) length: u64,
    pub(crate) why: Why,
}

/// Where the payload's bytes are.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// The first bytes of this file: the artifact itself, or a sealed copy of its payload.
    File(File),
    /// Private memory: there is no `/proc` through which a descriptor could be mapped.
    Memory(Vec<u8>),
}

/// Why the payload is run from where it is; one line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// In place: the file system is mounted read-only.
    ReadOnlyMount,
    /// In place: the kernel guards the content of the file.
    Verity,
    /// In place: it and every folder above belong to root, and nobody else may write them.
    RootOwned,
    /// In place: asked for by `--map-in-place`.
    Asked,
    /// A sealed copy: the policy demands it.
    Policy,
    /// A sealed copy: the file system is mounted `noexec`.
    NoExec,
    /// A sealed copy: this process, or another user, could change the file.
    Changeable,
    /// A copy in private memory: there is no `/proc`.
    NoProc,
}

impl Why {
    /// Whether the file itself is executed.
    pub fn in_place(self) -> bool {
        matches!(self, Self::ReadOnlyMount | Self::Verity | Self::RootOwned | Self::Asked)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnlyMount => "in place: mounted read-only",
            Self::Verity => "in place: fs-verity",
            Self::RootOwned => "in place: owned by root, with every folder above",
            Self::Asked => {
                "in place, because `--map-in-place` says so, although this process could change it"
            }
            Self::Policy => "sealed copy: the policy demands it",
            Self::NoExec => "sealed copy: mounted noexec",
            Self::Changeable => "sealed copy: the file could be changed while it runs",
            Self::NoProc => "copy in private memory: there is no /proc",
        })
    }
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
    /// The sealed copy could not be made.
    #[error("cannot copy `{}` into sealed memory", path.display())]
    Seal {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl UnverifiedArtifact {
    /// Opens `path`: an artifact, or a folder in the split form.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, OpenError> {
        if path.is_dir() {
            return Self::open_split(path, options);
        }
        let (file, length) = open_checked(path, MAX_FILE_SIZE)?;
        let framing = |source| OpenError::Framing { path: path.to_owned(), source };
        let layout = Layout::read(&file, length).map_err(framing)?;
        let mut envelope = vec![0; layout.envelope as usize];
        file.read_exact_at(&mut envelope, layout.envelope_offset).map_err(|error| framing(error.into()))?;
        let payload = Payload::place(path, &file, layout.payload, options)?;
        Ok(Self { path: path.to_owned(), envelope, payload, attachments: layout.attachments, file })
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
        let payload = Payload::place(&path, &file, length, options)?;
        Ok(Self { path: folder.to_owned(), envelope, payload, attachments: Vec::new(), file })
    }

    /// Why the payload is run from where it is.
    pub fn why(&self) -> Why {
        self.payload.why
    }

    /// The envelope's bytes, unverified.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }
}

/// Opens a regular file of at most `limit` bytes that nobody but its owner may write.
fn open_checked(path: &Path, limit: u64) -> Result<(File, u64), OpenError> {
    let failed = |source| OpenError::Open { path: path.to_owned(), source };
    // Without O_NONBLOCK, opening a named pipe would wait for a writer.
    let flags = (OFlags::CLOEXEC | OFlags::NONBLOCK).bits() as i32;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "a device, pipe or socket" };
        return Err(OpenError::Kind { path: path.to_owned(), found });
    }
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

impl Payload {
    /// Decides where the first `length` bytes of `file` are executed from, and copies them if need be.
    fn place(path: &Path, file: &File, length: u64, options: &OpenOptions) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Seal { path: path.to_owned(), source };
        let why = decide(file, options);
        let bytes = match why {
            Why::NoProc => {
                let mut bytes = vec![0; length as usize];
                file.read_exact_at(&mut bytes, 0).map_err(failed)?;
                Bytes::Memory(bytes)
            }
            _ if why.in_place() => Bytes::File(file.try_clone().map_err(failed)?),
            _ => Bytes::File(sealed_copy(file, length).map_err(failed)?),
        };
        Ok(Self { bytes, length, why })
    }
}

fn decide(file: &File, options: &OpenOptions) -> Why {
    if !Path::new("/proc/self/fd").exists() {
        return Why::NoProc;
    }
    if options.sealed {
        return Why::Policy;
    }
    let mount = rustix::fs::fstatvfs(file).map_or(StatVfsMountFlags::NOEXEC, |stat| stat.f_flag);
    if mount.contains(StatVfsMountFlags::NOEXEC) {
        return Why::NoExec;
    }
    if mount.contains(StatVfsMountFlags::RDONLY) {
        return Why::ReadOnlyMount;
    }
    let statx = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::empty());
    if statx.is_ok_and(|stat| {
        StatxAttributes::from_bits_retain(stat.stx_attributes.bits()).contains(StatxAttributes::VERITY)
    }) {
        return Why::Verity;
    }
    if root_owned(file) {
        return Why::RootOwned;
    }
    if options.map_in_place { Why::Asked } else { Why::Changeable }
}

/// Whether the file and every folder above it belong to root and nobody else may write them.
fn root_owned(file: &File) -> bool {
    let safe = |metadata: fs::Metadata| metadata.uid() == 0 && metadata.permissions().mode() & 0o022 == 0;
    let path = fs::read_link(descriptor_path(file));
    file.metadata().is_ok_and(safe)
        && path.is_ok_and(|path| {
            path.ancestors().skip(1).all(|folder| fs::symlink_metadata(folder).is_ok_and(safe))
        })
}

/// A path that leads to the opened file itself, whatever happened to its name.
pub(crate) fn descriptor_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Copies exactly `length` bytes into memory that nobody can change any more.
fn sealed_copy(file: &File, length: u64) -> io::Result<File> {
    let copy = File::from(rustix::fs::memfd_create(
        c"wadoo-payload",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?);
    let mut offset = 0;
    while offset < length {
        let rest = usize::try_from(length - offset).unwrap_or(usize::MAX);
        if rustix::fs::sendfile(copy.as_fd(), file.as_fd(), Some(&mut offset), rest)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    Ok(copy)
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
                    _ => source.to_string(),
                });
                match source.kind() {
                    io::ErrorKind::NotFound => report.hint("`wadoo compose recipe.toml` writes an artifact"),
                    io::ErrorKind::PermissionDenied => {
                        report.hint(format!("`ls -l {}` shows its permissions", path.display()))
                    }
                    _ => report,
                }
            }
            OpenError::Kind { .. } => Self::new(Exit::NotTrusted, what)
                .hint("name an artifact: `wadoo compose recipe.toml` writes one"),
            OpenError::Writable { path, .. } => {
                Self::new(Exit::NotTrusted, what).hint(format!("`chmod go-w {}`", path.display()))
            }
            OpenError::Framing { path, source } => {
                let hint = match source {
                    FramingError::Wasm(_) | FramingError::Unsigned => {
                        "compose it into a signed artifact: `wadoo compose recipe.toml`".to_owned()
                    }
                    _ => {
                        format!("copy `{}` again from where it was made, or compose it again", path.display())
                    }
                };
                Self::new(Exit::NotTrusted, what).hint(hint)
            }
            OpenError::Seal { source, .. } => Self::new(Exit::HostResource, what)
                .because(source.to_string())
                .hint("free memory, or keep the artifact on a read-only mount, where it is run in place"),
        }
    }
}
