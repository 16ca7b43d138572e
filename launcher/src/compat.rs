//! Whether this machine and this launcher can run what a manifest describes, decided before any code is mapped.
//!
//! wasmtime compares only its major version and the features that it knows; a miscompilation that a patch
//! release fixed would go unnoticed. The manifest says exactly what was used, and is compared exactly.

use wadoo_signing::manifest::{EngineInfo, EngineProfile, Grant, Manifest, Target, Trigger};
use wadoo_signing::report::{Exit, Report};

use crate::engine;

/// Why an artifact cannot run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incompatible {
    /// Compiled for another machine.
    #[error("it is compiled for `{found}`, this launcher runs `{expected}`")]
    Target {
        /// The artifact's target.
        found: String,
        /// The launcher's.
        expected: String,
    },
    /// This CPU lacks what the code uses.
    #[error("it needs the CPU feature `{0}`, which this CPU does not have")]
    Cpu(String),
    /// Compiled by another engine.
    #[error("it is compiled by wasmtime {found}, this launcher has wasmtime {}", engine::WASMTIME_VERSION)]
    Engine {
        /// The version that compiled it.
        found: String,
    },
    /// Compiled with other settings.
    #[error("its engine profile has `{field}` = {found}, this launcher has {expected}")]
    Profile {
        /// The setting.
        field: &'static str,
        /// The artifact's value.
        found: String,
        /// The launcher's.
        expected: String,
    },
}

/// Checks everything that must fit before the code is mapped.
///
/// # Errors
///
/// The first thing that does not fit.
pub fn check(manifest: &Manifest) -> Result<(), Incompatible> {
    let EngineInfo { wasmtime, profile } = &manifest.engine;
    check_target(&manifest.target)?;
    if wasmtime != engine::WASMTIME_VERSION {
        return Err(Incompatible::Engine { found: wasmtime.clone() });
    }
    let concurrency = profile.concurrency
        || matches!(manifest.trigger, Trigger::Http03 | Trigger::Command03)
        || manifest.imports.iter().any(|import| needs_concurrency(manifest.interface_of(import)));
    check_profile(profile, &engine::standard_profile(concurrency))?;
    // Exhaustive: a new kind of grant must be enforced by the linker before it is let through here.
    for grant in manifest.grants.values() {
        match grant {
            Grant::OutgoingHttp(_) | Grant::Environment(_) | Grant::Filesystem(_) | Grant::Sockets(_) => {}
        }
    }
    Ok(())
}

/// Architecture and operating system must be this launcher's; the C library is of no concern to the code.
fn check_target(target: &Target) -> Result<(), Incompatible> {
    let here = target_lexicon::HOST;
    let fits = target.triple.parse::<target_lexicon::Triple>().is_ok_and(|triple| {
        triple.architecture == here.architecture && triple.operating_system == here.operating_system
    });
    if !fits {
        return Err(Incompatible::Target { found: target.triple.clone(), expected: here.to_string() });
    }
    match target.features.iter().find(|feature| !cpu_has(feature)) {
        Some(missing) => Err(Incompatible::Cpu(missing.clone())),
        None => Ok(()),
    }
}

/// Whether this CPU has a feature, by Cranelift's name. A name that is not known here is not had.
#[cfg(target_arch = "x86_64")]
fn cpu_has(feature: &str) -> bool {
    use std::arch::is_x86_feature_detected as has;
    match feature {
        "has_sse3" => has!("sse3"),
        "has_ssse3" => has!("ssse3"),
        "has_cmpxchg16b" => has!("cmpxchg16b"),
        "has_sse41" => has!("sse4.1"),
        "has_sse42" => has!("sse4.2"),
        "has_popcnt" => has!("popcnt"),
        "has_avx" => has!("avx"),
        "has_avx2" => has!("avx2"),
        "has_bmi1" => has!("bmi1"),
        "has_bmi2" => has!("bmi2"),
        "has_fma" => has!("fma"),
        "has_lzcnt" => has!("lzcnt"),
        "has_avx_vnni" => has!("avxvnni"),
        "has_avx512bitalg" => has!("avx512bitalg"),
        "has_avx512dq" => has!("avx512dq"),
        "has_avx512f" => has!("avx512f"),
        "has_avx512vbmi" => has!("avx512vbmi"),
        "has_avx512vl" => has!("avx512vl"),
        "has_avx512vnni" => has!("avx512vnni"),
        _ => false,
    }
}

/// Whether this CPU has a feature, by Cranelift's name. A name that is not known here is not had.
#[cfg(target_arch = "aarch64")]
fn cpu_has(feature: &str) -> bool {
    use std::arch::is_aarch64_feature_detected as has;
    match feature {
        "has_lse" => has!("lse"),
        "has_pauth" => has!("paca"),
        "has_fp16" => has!("fp16"),
        "has_dotprod" => has!("dotprod"),
        "has_i8mm" => has!("i8mm"),
        _ => false,
    }
}

/// Whether this CPU has a feature, by Cranelift's name: only baselines run on other architectures.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_has(_feature: &str) -> bool {
    false
}

/// Whether an import, by full name, has asynchronous functions for the launcher to provide.
pub fn needs_concurrency(import: &str) -> bool {
    let version = import.rsplit_once('@').map(|(_, version)| version);
    import.starts_with("wasi:") && version.is_some_and(|version| !version.starts_with("0.2."))
}

/// Compares every setting that changes how code is compiled or where it may be loaded.
fn check_profile(found: &EngineProfile, expected: &EngineProfile) -> Result<(), Incompatible> {
    // Exhaustive: a new setting must be compared, or skipped with a reason.
    let EngineProfile {
        name,
        concurrency,
        epoch_interruption,
        gc,
        memory_reservation,
        memory_guard_size,
        memory_init_cow,
        signals_based_traps,
        inlining,
    } = found;
    let differs = |field, found: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
        let (found, expected) = (found.to_string(), expected.to_string());
        if found == expected { Ok(()) } else { Err(Incompatible::Profile { field, found, expected }) }
    };
    differs("name", name, &expected.name)?;
    differs("concurrency", concurrency, &expected.concurrency)?;
    differs("epochInterruption", epoch_interruption, &expected.epoch_interruption)?;
    differs("gc", gc, &expected.gc)?;
    differs("memoryReservation", memory_reservation, &expected.memory_reservation)?;
    differs("memoryGuardSize", memory_guard_size, &expected.memory_guard_size)?;
    differs("memoryInitCow", memory_init_cow, &expected.memory_init_cow)?;
    differs("signalsBasedTraps", signals_based_traps, &expected.signals_based_traps)?;
    differs("inlining", inlining, &expected.inlining)
}

impl Incompatible {
    /// What a user is told of the artifact called `name`.
    pub fn report(&self, name: &str) -> Report {
        let report = Report::new(Exit::Incompatible, format!("cannot run `{name}` here: {self}"));
        match self {
            Self::Target { expected, .. } => report.hint(format!(
                "compose it for this machine: `wadoo compose recipe.toml --target {expected}`"
            )),
            Self::Cpu(_) => {
                report.hint("compose it for an older CPU: a lower `cpu` under `[build]` in the recipe")
            }
            Self::Engine { .. } | Self::Profile { .. } => report.hint(
                "compose it with the `wadoo` of this launcher's version; `launcher --version` says which",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_profile_is_compared_by_name() {
        let standard = engine::standard_profile(true);
        assert_eq!(check_profile(&standard, &standard), Ok(()));
        let differing = |change: fn(&mut EngineProfile)| {
            let mut found = standard.clone();
            change(&mut found);
            match check_profile(&found, &standard) {
                Err(Incompatible::Profile { field, .. }) => field,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(differing(|p| p.name = "stock".to_owned()), "name");
        assert_eq!(differing(|p| p.concurrency ^= true), "concurrency");
        assert_eq!(differing(|p| p.epoch_interruption ^= true), "epochInterruption");
        assert_eq!(differing(|p| p.gc ^= true), "gc");
        assert_eq!(differing(|p| p.memory_reservation += 1), "memoryReservation");
        assert_eq!(differing(|p| p.memory_guard_size += 1), "memoryGuardSize");
        assert_eq!(differing(|p| p.memory_init_cow ^= true), "memoryInitCow");
        assert_eq!(differing(|p| p.signals_based_traps ^= true), "signalsBasedTraps");
        assert_eq!(differing(|p| p.inlining ^= true), "inlining");
    }

    #[test]
    fn only_wasi_0_2_does_without_concurrency() {
        for import in ["wasi:http/types@0.2.12", "acme:auth/check@0.3.0", "wasi:odd/name"] {
            assert!(!needs_concurrency(import), "{import}");
        }
        for import in ["wasi:http/types@0.3.0", "wasi:clocks/monotonic-clock@0.3.0-rc-2026-01-06"] {
            assert!(needs_concurrency(import), "{import}");
        }
    }

    #[test]
    fn target_and_features_must_be_here() {
        let target = |triple: &str, features: &[&str]| Target {
            triple: triple.to_owned(),
            cpu: String::new(),
            features: features.iter().map(|&name| name.to_owned()).collect(),
        };
        let here = target_lexicon::HOST.to_string();
        assert_eq!(check_target(&target(&here, &[])), Ok(()));
        // The C library of the build machine is of no concern.
        assert_eq!(check_target(&target(&here.replace("gnu", "musl"), &[])), Ok(()));
        let missing = check_target(&target(&here, &["has_teleport"]));
        assert_eq!(missing, Err(Incompatible::Cpu("has_teleport".to_owned())));
        for other in ["riscv64gc-unknown-linux-gnu", "x86_64-pc-windows-msvc", "", "nonsense"] {
            assert!(matches!(check_target(&target(other, &[])), Err(Incompatible::Target { .. })), "{other}");
        }
    }
}
