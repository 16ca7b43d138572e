//! Loading: the one place where verified bytes become code, and the one place with `unsafe`.
//!
//! Invariant: the only `unsafe` block that reaches wasmtime's deserialiser stands here, and takes a
//! [`VerifiedArtifact`]. The other one maps bytes to be hashed.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};
use rustix::io::Errno;
use wadoo_signing::report::{Exit, Report};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::place::{Bytes, descriptor_path};
use crate::verify::VerifiedArtifact;

/// Why verified code could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The system has no memory for it, or lets none become executable.
    #[error("cannot load `{app}`")]
    Host {
        /// The application.
        app: String,
        /// The system's words.
        source: io::Error,
    },
    /// wasmtime refuses it.
    #[error("cannot load `{app}`")]
    Refused {
        /// The application.
        app: String,
        /// wasmtime's words.
        source: wasmtime::Error,
    },
}

impl LoadError {
    /// Tells what the system refused from what wasmtime refuses.
    fn of(app: String, source: wasmtime::Error) -> Self {
        let code = source.chain().find_map(|cause| {
            let errno = cause.downcast_ref::<Errno>().map(|errno| errno.raw_os_error());
            errno.or_else(|| cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error))
        });
        match code {
            Some(code) => Self::Host { app, source: io::Error::from_raw_os_error(code) },
            None => Self::Refused { app, source },
        }
    }
}

/// Maps the payload's code into `engine`.
///
/// # Errors
///
/// wasmtime refuses it, although the manifest fits: it was compiled with settings that the manifest does not
/// tell; or the system has no memory for it.
#[allow(unsafe_code)] // Native code cannot be loaded otherwise.
pub fn load(engine: &Engine, artifact: &VerifiedArtifact) -> Result<Component, LoadError> {
    let (path, bytes) = match &artifact.payload.bytes {
        Bytes::File(file) => (Some(descriptor_path(file)), &[][..]),
        Bytes::Memory(bytes) => (None, bytes.as_slice()),
    };
    // SAFETY: the bytes must be what `Engine::precompile_component` returned, and must not change while the
    // component lives.
    // - A `VerifiedArtifact` is only made by `AuthenticArtifact::hash`, after a trusted key's signature of the
    //   statement held and the blake3 hash of exactly the payload's bytes was the signed one; what a trusted
    //   composer signs, it compiled.
    // - The bytes hashed are the bytes mapped: the same open file through its descriptor, or the same memory.
    // - They do not change: `Why::decide` chose between private memory, a sealed memfd, and a file that only
    //   root could change (or that the operator vouches for with `--map-in-place`). They stay so
    //   while the component lives: wasmtime keeps its mapping, and the file for the images of linear memory
    //   that instances are made of, whose pages are read when a guest first touches them.
    // - What follows the payload in the file is not reached: `elf::check` bounds every section by its length.
    let component = unsafe {
        match path {
            Some(path) => Component::deserialize_file(engine, path),
            None => Component::deserialize(engine, bytes),
        }
    };
    component.map_err(|source| LoadError::of(artifact.manifest().app.name.clone(), source))
}

/// Maps the first `length` bytes of a payload's file, to be hashed: half the time of reading them.
///
/// # Errors
///
/// The file cannot be mapped.
#[allow(unsafe_code)] // A mapping is only sound while nobody changes the file.
pub(crate) fn map(file: &File, length: u64) -> io::Result<Mmap> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    // SAFETY: the file must not change while the mapping lives.
    // - Only `Payload::view` calls this, with the file of a `Bytes::File`: as above, a sealed memfd, or a file
    //   that only root could change, or that the operator vouches for. The mapping ends with that call.
    // - Its length was `length` or more when it was opened, so no page of the mapping is behind its end.
    unsafe { MmapOptions::new().len(length).map(file) }
}

impl From<LoadError> for Report {
    fn from(error: LoadError) -> Self {
        let what = error.to_string();
        match error {
            LoadError::Host { source, .. } => {
                let report = Self::new(Exit::HostResource, what);
                match source.kind() {
                    io::ErrorKind::PermissionDenied => report
                        .because("the system does not let memory become executable")
                        .hint("remove `MemoryDenyWriteExecute=yes` from the service's unit"),
                    io::ErrorKind::OutOfMemory => report
                        .because("the system has no memory for it")
                        .hint("free memory, or raise the limit on address space: `ulimit -v unlimited`"),
                    _ => report.because(source.to_string()),
                }
            }
            LoadError::Refused { source, .. } => {
                Self::new(Exit::Incompatible, what).because(format!("{source:#}")).hint(
                    "compose it with the `wadoo` of this launcher's version; `launcher --version` says which",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_not_the_artifacts_fault() {
        let report = |source| Report::from(LoadError::of("shop".to_owned(), source));
        let denied = report(wasmtime::Error::from(Errno::ACCESS).context("unable to make memory executable"));
        assert_eq!(denied.exit, Exit::HostResource);
        assert_eq!(denied.because, ["the system does not let memory become executable"]);
        assert!(denied.hint.expect("a hint").contains("`MemoryDenyWriteExecute=yes`"));
        let full = report(wasmtime::Error::from(io::Error::from(Errno::NOMEM)).context("mmap failed"));
        assert_eq!(full.exit, Exit::HostResource);
        assert!(full.hint.expect("a hint").contains("free memory"));
        let refused = report(wasmtime::Error::msg("built with another setting"));
        assert_eq!(
            (refused.exit, refused.because),
            (Exit::Incompatible, vec!["built with another setting".to_owned()])
        );
    }
}
