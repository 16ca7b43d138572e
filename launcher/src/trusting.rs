//! Whom this process trusts: the one trust store and the policy, found together.
//!
//! The device's policy applies whatever the store, and can forbid every store but the system's.

use std::path::Path;

use wadoo_signing::policy::Policy;
use wadoo_signing::report::Report;
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
        let policy = Policy::read(&surroundings.system, place.folder())?;
        if let (Some(policy), false) = (&policy.system_only, matches!(place, TrustPlace::System(_))) {
            return Err(TrustError::SystemOnly {
                policy: policy.clone(),
                system: surroundings.system.clone(),
            }
            .into());
        }
        Ok(Self { store: TrustStore::read(&place)?, policy })
    }
}
