//! The policy of a device: what it demands beyond a trusted signature.
//!
//! `/etc/wadoo/policy.toml` applies whatever the trust store. A `policy.toml` beside the store (in the folder
//! that the store is in, as the device's stands beside `trusted.d`) can only narrow it. What this version does
//! not know it cannot enforce, and refuses.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ownership::{self, OwnershipError};
use crate::report::{Exit, Report};

/// Greatest length of a policy, in bytes.
pub const MAX_POLICY_SIZE: u64 = 64 * 1024;
/// Name of a policy's file.
pub const FILE_NAME: &str = "policy.toml";

/// What a device demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Only the system's trust folder counts, and the file that says so.
    pub system_only: Option<PathBuf>,
    /// Every artifact is copied and sealed before it is hashed.
    pub sealed: bool,
    /// So many trusted keys must have signed.
    pub threshold: usize,
    /// There is a policy, and a policy refuses development artifacts.
    pub present: bool,
}

impl Default for Policy {
    /// What holds where no policy is written.
    fn default() -> Self {
        Self { system_only: None, sealed: false, threshold: 1, present: false }
    }
}

/// Why a policy cannot be enforced.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read, or others may write it.
    #[error("cannot read the policy `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: OwnershipError,
    },
    /// There may have been a policy: somebody else could have taken it away.
    #[error("cannot tell whether a policy belongs into `{}`", path.display())]
    Removable {
        /// The folder that the trust store is in.
        path: PathBuf,
        /// Why.
        source: OwnershipError,
    },
    /// It says what this version cannot enforce.
    #[error("cannot enforce the policy `{}`", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What it says.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    trust: Option<Trust>,
    verify: Option<Verify>,
    threshold: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Trust {
    SystemOnly,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verify {
    Sealed,
}

impl Policy {
    /// Reads the policies of the device (in `device`, which may be missing) and of the trust store `store`
    /// (beside it); what is missing demands nothing.
    ///
    /// # Errors
    ///
    /// A policy that is there cannot be read or enforced, or somebody could have taken one away.
    pub fn read(device: &Path, store: &Path) -> Result<Self, PolicyError> {
        if !ownership::is_absent(device) {
            ownership::check_folder(device)
                .map_err(|source| PolicyError::Unreadable { path: device.to_owned(), source })?;
        }
        let of_device = read(&device.join(FILE_NAME))?;
        let folder = beside(store);
        match ownership::check_holder(&folder) {
            // Then there is no store either.
            Ok(()) | Err(OwnershipError::Missing) => {}
            Err(source) => return Err(PolicyError::Removable { path: folder, source }),
        }
        Ok(of_device.narrowed(read(&folder.join(FILE_NAME))?))
    }

    /// Both policies at once.
    fn narrowed(self, other: Self) -> Self {
        Self {
            system_only: self.system_only.or(other.system_only),
            sealed: self.sealed || other.sealed,
            threshold: self.threshold.max(other.threshold),
            present: self.present || other.present,
        }
    }
}

/// The folder that a trust store's policy is in: the one that the store is in.
pub(crate) fn beside(store: &Path) -> PathBuf {
    // The store may be named `.`, or be a link: only the system knows what is beside it. One that is not
    // there has no keys; a user's may be missing, beside a policy that counts.
    let path = fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => path,
    }
}

fn read(path: &Path) -> Result<Policy, PolicyError> {
    if ownership::is_absent(path) {
        return Ok(Policy::default());
    }
    let text = ownership::read_text(path, MAX_POLICY_SIZE)
        .map_err(|source| PolicyError::Unreadable { path: path.to_owned(), source })?;
    let unknown = |message: String| PolicyError::Unknown { path: path.to_owned(), message };
    let file: File = toml::from_str(&text).map_err(|error| unknown(error.message().to_owned()))?;
    let threshold = file.threshold.unwrap_or(1);
    if threshold == 0 || threshold > crate::envelope::MAX_SIGNATURES {
        return Err(unknown(format!(
            "threshold {threshold} is not 1 to {}",
            crate::envelope::MAX_SIGNATURES
        )));
    }
    Ok(Policy {
        system_only: file.trust.map(|Trust::SystemOnly| path.to_owned()),
        sealed: matches!(file.verify, Some(Verify::Sealed)),
        threshold,
        present: true,
    })
}

impl From<PolicyError> for Report {
    fn from(error: PolicyError) -> Self {
        let report = Self::new(Exit::NotTrusted, error.to_string());
        match error {
            PolicyError::Unreadable { path, source } | PolicyError::Removable { path, source } => {
                let report = report.because(source.to_string());
                match source.hint(&path) {
                    Some(hint) => report.hint(hint),
                    None => report,
                }
            }
            PolicyError::Unknown { message, .. } => report.because(message).hint(
                "this version enforces `trust = \"system-only\"`, `verify = \"sealed\"` and `threshold = N`, \
                 and refuses what it cannot enforce",
            ),
        }
    }
}
