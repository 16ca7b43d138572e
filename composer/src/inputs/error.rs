//! Why a part's file cannot be used, and how that is told.

use std::io;
use std::path::Path;

use thiserror::Error;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::report::{Exit, Report, shell};

use super::component::{MAX_IMPORTS_AND_EXPORTS, MAX_TYPE_DEPTH};
use super::file::MAX_COMPONENT_SIZE;

/// Why a part's file cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum InputError {
    #[error("there is no such file")]
    Missing { near: Option<String>, folder_missing: bool },
    #[error("it is a directory")]
    Directory,
    #[error("it is not a regular file")]
    NotRegular,
    #[error("its symbolic links lead in a circle")]
    SymlinkLoop,
    #[error("it may not be read by this user")]
    Permission,
    #[error("reading it failed: {0}")]
    Io(io::Error),
    #[error("it has {size} bytes, and a component may have at most {MAX_COMPONENT_SIZE}")]
    TooLarge { size: u64 },
    #[error("found {found}, expected {pinned}")]
    Pin { found: Sha256Digest, pinned: Sha256Digest },
    #[error("it is empty")]
    Empty,
    #[error("it is WebAssembly text, and a binary component is expected")]
    Text,
    #[error("it is a core module, and a component is expected")]
    CoreModule,
    #[error("it is a WIT package, which has types and no code")]
    WitPackage,
    #[error("it is not WebAssembly: it starts with {start}")]
    NotWasm { start: String },
    #[error("it has the unknown WebAssembly version {version:#x}")]
    UnknownVersion { version: u32 },
    #[error("it ends in the middle of a section, after {size} bytes")]
    Truncated { size: u64 },
    #[error("it needs {proposal}, which the engine does not have")]
    Proposal { proposal: String },
    #[error("it is damaged at byte {offset}: {message}")]
    Invalid { offset: u64, message: String },
    #[error("it has {count} imports and exports, and {MAX_IMPORTS_AND_EXPORTS} are the most")]
    TooManyItems { count: usize },
    #[error("its types are nested deeper than {MAX_TYPE_DEPTH}")]
    TooDeep,
    #[error("its types cannot be understood: {0}")]
    Types(String),
}

impl InputError {
    /// What to do about it; `path` from where the user works, so that a command works as pasted.
    pub fn hint(&self, path: &Path) -> Option<String> {
        let text = path.display().to_string();
        let stem = text.strip_suffix(".wasm").or(text.strip_suffix(".wat")).unwrap_or(&text);
        let beside = |extension: &str| shell(Path::new(&format!("{stem}.{extension}")));
        let path = shell(path);
        match self {
            Self::Missing { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::Missing { folder_missing: true, .. } => {
                Some("its folder does not exist either; `path` is relative to the recipe's folder".into())
            }
            Self::Missing { .. } => Some(
                "build the component first, or correct `path`, which is relative to the recipe's folder"
                    .into(),
            ),
            Self::Directory => Some("name the `.wasm` file in it".into()),
            Self::TooLarge { .. } => {
                Some("check that `path` names a component and not an image or an archive".into())
            }
            Self::Pin { found, .. } => {
                Some(format!("if the new file is the right one, write `digest = \"{found}\"`"))
            }
            Self::Empty => {
                Some("build the component again; an interrupted build leaves an empty file".into())
            }
            Self::Text => Some(format!("convert it: `wasm-tools parse {path} -o {}`", beside("wasm"))),
            Self::CoreModule => Some(format!(
                "build it for `wasm32-wasip2`, or wrap it: `wasm-tools component new {path} -o {}`",
                beside("component.wasm")
            )),
            Self::WitPackage => Some("name the component that was built against this WIT package".into()),
            Self::Truncated { .. } => Some("build or download the component again".into()),
            Self::Proposal { .. } => Some("build the component without this proposal".into()),
            Self::Invalid { .. } => Some(format!("see what is wrong: `wasm-tools validate {path}`")),
            _ => None,
        }
    }

    /// The report for the part that has this file.
    pub(super) fn report(&self, part: &crate::recipe::PartName, written: &Path, path: &Path) -> Report {
        let written = written.display();
        let what = match self {
            Self::Pin { .. } => {
                format!("cannot use `{written}` for `{part}`: its digest is not the one that the recipe pins")
            }
            _ => format!("cannot use `{written}` for `{part}`: {self}"),
        };
        let mut report = Report::new(Exit::CouldNot, what);
        if let Self::Pin { found, pinned } = self {
            report = report.because(format!("found     {found}")).because(format!("expected  {pinned}"));
        }
        match self.hint(path) {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}
