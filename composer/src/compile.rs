//! Ahead-of-time compilation: a linked component becomes native code for one named target and CPU level.
//!
//! The engine's settings come from the launcher's library, so that what is compiled here loads there. Target
//! and CPU features are always explicit: without a target, Cranelift would use whatever the building machine
//! has, and two machines would give different bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wadoo_launcher::engine;
use wadoo_signing::manifest::{self, EngineInfo};
use wadoo_signing::report::{Exit, Report};
use wasmtime::{Config, Engine};

use crate::target::Target;

/// Native code and what it needs.
#[derive(Debug)]
pub struct Precompiled {
    /// The ELF file, byte for byte as the engine returned it.
    pub payload: Vec<u8>,
    /// The machine it was compiled for.
    pub target: manifest::Target,
    /// The engine that compiled it.
    pub engine: EngineInfo,
}

/// Why a component could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The engine has no code generator for the target, or refuses its flags.
    #[error("cannot compile for `{target}`: the engine refuses the target")]
    Target {
        /// The target's triple.
        target: String,
        /// The engine's words.
        source: wasmtime::Error,
    },
    /// The component passed validation and still does not compile.
    #[error("cannot compile the composed component for `{target}`")]
    Component {
        /// The target's triple.
        target: String,
        /// The engine's words.
        source: wasmtime::Error,
    },
    /// The compiler met a bug of its own.
    #[error("cannot compile the composed component for `{target}`: the compiler failed")]
    Panic {
        /// The target's triple.
        target: String,
    },
}

/// Compiles `component` for `target`. `concurrent` says whether it uses anything asynchronous.
///
/// # Errors
///
/// See [`CompileError`]; the component's own faults are found earlier, by `inputs` and `link`.
pub fn precompile(component: &[u8], concurrent: bool, target: &Target) -> Result<Precompiled, CompileError> {
    let profile = engine::standard_profile(concurrent);
    let mut config = engine::config(&profile);
    let refused = |source| CompileError::Target { target: target.triple().to_owned(), source };
    config.target(target.triple()).map_err(refused)?;
    enable_cpu_features(&mut config, target);
    let engine = Engine::new(&config).map_err(refused)?;
    // Cranelift asserts where its assumptions fail; that must be told with the target.
    let payload = catch_unwind(AssertUnwindSafe(|| engine.precompile_component(component)))
        .map_err(|_| CompileError::Panic { target: target.triple().to_owned() })?
        .map_err(|source| CompileError::Component { target: target.triple().to_owned(), source })?;
    Ok(Precompiled {
        payload,
        target: manifest::Target {
            triple: target.triple().to_owned(),
            cpu: target.cpu().name().to_owned(),
            features: target.cpu().features().iter().map(|&name| name.to_owned()).collect(),
        },
        engine: EngineInfo { wasmtime: engine::WASMTIME_VERSION.to_owned(), profile },
    })
}

/// Turns the CPU level's features on, and nothing else.
#[allow(unsafe_code)] // The only way to name a CPU feature; see "Changes to the first design" in docs/architecture.md.
fn enable_cpu_features(config: &mut Config, target: &Target) {
    for feature in target.cpu().features() {
        // SAFETY: every name is a CPU feature flag of the target's own level (`target::CpuLevel::features`);
        // such a flag only widens the choice of instructions, and the launcher refuses an artifact whose
        // manifest lists a feature that the CPU lacks before the code is mapped (`compat::check`).
        unsafe { config.cranelift_flag_enable(feature) };
    }
}

impl From<CompileError> for Report {
    fn from(error: CompileError) -> Self {
        let what = error.to_string();
        match error {
            CompileError::Target { source, .. } => Self::new(Exit::CouldNot, what)
                .because(format!("{source:#}"))
                .hint("choose another target with `--target`"),
            CompileError::Component { source, .. } => {
                Self::new(Exit::CouldNot, what).because(format!("{source:#}")).hint(PARTS)
            }
            CompileError::Panic { .. } => Self::new(Exit::Bug, what).hint(PARTS),
        }
    }
}

const PARTS: &str =
    "`wadoo plan` says which parts it is made of; leave one out to find which does not compile";
