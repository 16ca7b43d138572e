//! Whom this process trusts: the one trust store and the policy, found together.
//!
//! The device's policy applies whatever the store, and can forbid every store but the system's.

use std::path::Path;

use wadoo_signing::ownership::OwnershipError;
use wadoo_signing::policy::{FILE_NAME, Policy, PolicyError};
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::trust::{Surroundings, TrustError, TrustPlace, TrustStore};

/// A trust store and the policy that applies to it.
#[derive(Clone, Debug)]
pub struct Trusting {
    /// The keys.
    pub store: TrustStore,
    /// What the device and the store demand beyond a trusted signature.
    pub policy: Policy,
}

impl Trusting {
    /// What this process trusts; `flag` is its `--trust`.
    ///
    /// # Errors
    ///
    /// The store or a policy cannot be used.
    pub fn of_process(flag: Option<&Path>) -> Result<Self, Report> {
        Self::of(flag, &Surroundings::of_process())
    }

    /// What a process in these surroundings trusts.
    ///
    /// # Errors
    ///
    /// The store or a policy cannot be used.
    pub fn of(flag: Option<&Path>, surroundings: &Surroundings) -> Result<Self, Report> {
        let place = TrustPlace::resolve(flag, surroundings)?;
        let policy = Policy::read(&surroundings.system, Some(place.folder())).map_err(unenforceable)?;
        if policy.system_only && !matches!(place, TrustPlace::System(_)) {
            return Err(TrustError::SystemOnly {
                policy: surroundings.system.join(FILE_NAME),
                system: surroundings.system.clone(),
            }
            .into());
        }
        Ok(Self { store: TrustStore::read(&place)?, policy })
    }
}

fn unenforceable(error: PolicyError) -> Report {
    let report = Report::new(Exit::NotTrusted, error.to_string());
    match error {
        PolicyError::Unreadable { path, source } => {
            let hint = match source {
                OwnershipError::Missing => None,
                _ => source.hint(&path),
            };
            let report = report.because(source.to_string());
            match hint {
                Some(hint) => report.hint(hint),
                None => report,
            }
        }
        PolicyError::Unknown { message, .. } => report.because(message).hint(
            "a policy of this version knows `trust = \"system-only\"`, `verify = \"sealed\"` and `threshold`",
        ),
    }
}
