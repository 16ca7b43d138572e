//! The policy of a device: what it demands beyond a trusted signature.
//!
//! `/etc/wadoo/policy.toml` applies whatever the trust store. A `policy.toml` beside the store can only narrow
//! it. What this version does not know it cannot enforce, and refuses.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ownership::{self, OwnershipError};

/// Greatest length of a policy, in bytes.
pub const MAX_POLICY_SIZE: u64 = 64 * 1024;
/// Name of a policy's file.
pub const FILE_NAME: &str = "policy.toml";

/// What a device demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Only the system's trust folder counts.
    pub system_only: bool,
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
        Self { system_only: false, sealed: false, threshold: 1, present: false }
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
    /// Reads the policies of the device (`device/policy.toml`) and of the trust store (`store/policy.toml`);
    /// what is missing demands nothing.
    ///
    /// # Errors
    ///
    /// A policy that is there cannot be read or enforced.
    pub fn read(device: &Path, store: Option<&Path>) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        for folder in std::iter::once(device).chain(store) {
            policy = policy.narrowed(read(&folder.join(FILE_NAME))?);
        }
        Ok(policy)
    }

    /// Both policies at once.
    fn narrowed(self, other: Self) -> Self {
        Self {
            system_only: self.system_only || other.system_only,
            sealed: self.sealed || other.sealed,
            threshold: self.threshold.max(other.threshold),
            present: self.present || other.present,
        }
    }
}

fn read(path: &Path) -> Result<Policy, PolicyError> {
    let text = match ownership::read_text(path, MAX_POLICY_SIZE) {
        Ok(text) => text,
        Err(OwnershipError::Missing) => return Ok(Policy::default()),
        Err(source) => return Err(PolicyError::Unreadable { path: path.to_owned(), source }),
    };
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
        system_only: matches!(file.trust, Some(Trust::SystemOnly)),
        sealed: matches!(file.verify, Some(Verify::Sealed)),
        threshold,
        present: true,
    })
}
