//! The operator's own certificate authorities, for the TLS of outgoing requests.
//!
//! Owns the reading of their file and what is refused of it. Deliberately absent: who is connected to (see `egress`)
//! and the roots that are compiled in (see `upstream`).
//!
//! Invariants: a file that somebody else could have written is refused, because whoever writes it can pass for every
//! granted host; a file of which anything cannot be used is refused whole; nothing of this is loaded or run where it
//! was not asked for.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;
use wadoo_signing::regular;
use wadoo_signing::report::{Exit, Report, shell, system_words};

use crate::tls::MAX_PEM_BYTES;

/// Certificates in one file.
pub const MAX_AUTHORITIES: usize = 256;

/// Authorities that outgoing requests believe beside those that are compiled in. A copy is cheap.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<RootCertStore>);

/// Why a file of authorities is not believed.
#[derive(Debug, Error)]
#[error("cannot believe the authorities in `{}`", path.display())]
pub struct AuthoritiesError {
    path: PathBuf,
    because: Because,
}

#[derive(Debug)]
enum Because {
    Unread(io::Error),
    TooLong,
    TooMany,
    Empty,
    Malformed(String),
    Owner(u32),
    Mode(u32),
}

impl From<AuthoritiesError> for Report {
    fn from(error: AuthoritiesError) -> Self {
        let exit = match error.because {
            Because::Owner(_) | Because::Mode(_) => Exit::NotTrusted,
            _ => Exit::CouldNot,
        };
        let report = Self::new(exit, error.to_string());
        let file = shell(&error.path);
        match error.because {
            Because::Unread(error) => report.because(system_words(&error)),
            Because::TooLong => report.because(format!("it is longer than {MAX_PEM_BYTES} bytes")),
            Because::TooMany => report.because(format!("there are more than {MAX_AUTHORITIES} in it")),
            Because::Empty => report
                .because("there is no `BEGIN CERTIFICATE` in it")
                .hint(format!("it is PEM: `openssl x509 -in {file}` reads it")),
            Because::Malformed(because) => {
                report.because(because).hint(format!("it is PEM: `openssl x509 -in {file}` reads it"))
            }
            Because::Owner(owner) => report
                .because(format!("it belongs to user {owner}, expected root or the user that runs this"))
                .hint(format!("`chown root {file}`")),
            Because::Mode(mode) => report
                .because(format!("its mode is {mode:04o}: others may write it"))
                .hint(format!("`chmod go-w {file}`")),
        }
    }
}

impl Authorities {
    /// Reads certificates in PEM.
    ///
    /// # Errors
    ///
    /// The file cannot be read, others may write it, or something in it is no certificate.
    pub fn load(path: &Path) -> Result<Self, AuthoritiesError> {
        let pem = read(path)
            .and_then(|pem| parse(&pem))
            .map_err(|because| AuthoritiesError { path: path.to_owned(), because })?;
        Ok(Self(Arc::new(pem)))
    }

    /// Adds them to `roots`.
    pub(crate) fn join(&self, roots: &mut RootCertStore) {
        roots.roots.extend(self.0.roots.iter().cloned());
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Because> {
    let (file, metadata) = regular::open(path).map_err(Because::Unread)?;
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(Because::Owner(owner));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(Because::Mode(mode));
    }
    let mut pem = Vec::new();
    let length = file.take(MAX_PEM_BYTES + 1).read_to_end(&mut pem).map_err(Because::Unread)? as u64;
    if length > MAX_PEM_BYTES { Err(Because::TooLong) } else { Ok(pem) }
}

fn parse(pem: &[u8]) -> Result<RootCertStore, Because> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| Because::Malformed(error.to_string()))?;
        if roots.len() == MAX_AUTHORITIES {
            return Err(Because::TooMany);
        }
        let number = roots.len() + 1;
        roots
            .add(certificate)
            .map_err(|error| Because::Malformed(format!("certificate {number} cannot be used: {error}")))?;
    }
    if roots.is_empty() { Err(Because::Empty) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(pem: &str, mode: u32) -> Result<Authorities, Report> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, pem).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        Authorities::load(&path).map_err(Report::from)
    }

    fn authority() -> String {
        rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn a_file_holds_certificates_and_nothing_that_cannot_be_used() {
        let pem = authority();
        assert_eq!(load(&(pem.clone() + &authority()), 0o644).unwrap().0.len(), 2);
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, because) in [
            (String::new(), "there is no `BEGIN CERTIFICATE` in it"),
            (pem.clone() + garbage, "certificate 2 cannot be used"),
            (pem.repeat(MAX_AUTHORITIES + 1), "there are more than 256 in it"),
            ("x".repeat(MAX_PEM_BYTES as usize + 1), "it is longer than 1048576 bytes"),
        ] {
            let report = load(&text, 0o644).unwrap_err();
            assert_eq!(report.exit, Exit::CouldNot);
            assert!(report.because[0].starts_with(because), "{:?}", report.because);
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_not_believed() {
        for mode in [0o664, 0o646] {
            let report = load(&authority(), mode).unwrap_err();
            assert_eq!(report.exit, Exit::NotTrusted);
        }
    }
}
