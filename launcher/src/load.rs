//! Loading: the one place where verified bytes become code, and the one place with `unsafe`.
//!
//! Invariant: the only `unsafe` block that reaches wasmtime's deserialiser stands here, and takes a
//! [`VerifiedArtifact`]. The other one maps bytes to be hashed.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};
use wadoo_signing::report::{Exit, Report};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::place::{Bytes, descriptor_path};
use crate::verify::VerifiedArtifact;

/// Why verified code could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot load `{app}`")]
pub struct LoadError {
    app: String,
    source: wasmtime::Error,
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
    //   root could change (or that the operator vouches for with `--map-in-place`). wasmtime keeps its
    //   mapping, not the descriptor.
    // - What follows the payload in the file is not reached: `elf::check` bounds every section by its length.
    let component = unsafe {
        match path {
            Some(path) => Component::deserialize_file(engine, path),
            None => Component::deserialize(engine, bytes),
        }
    };
    component.map_err(|source| LoadError { app: artifact.manifest().app.name.clone(), source })
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
        Self::new(Exit::Incompatible, error.to_string())
            .because(format!("{:#}", error.source))
            .hint("compose it with the `wadoo` of this launcher's version; `launcher --version` says which")
    }
}
