//! The line from a recipe to an artifact, as the commands walk it.
//!
//! Each step consumes the noun before it; this module only keeps what later steps still need of earlier
//! ones, and loads every finished artifact back through the launcher's own reader.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use wadoo_launcher::{compat, engine, load, open, verify};
use wadoo_signing::digest::{PayloadDigestsOf as _, Sha256Digest};
use wadoo_signing::envelope::Envelope;
use wadoo_signing::manifest::{Input, Manifest, PayloadDigests};
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::statement::Statement;

use crate::compile::{self, Precompiled};
use crate::describe::{self, Facts};
use crate::inputs::{self, Inputs};
use crate::keys::Signers;
use crate::link::{self, Linked};
use crate::plan::{self, Plan};
use crate::recipe::{self, Recipe};
use crate::target::Target;

/// A recipe whose every import is decided.
#[derive(Debug)]
pub struct Planned {
    /// The recipe.
    pub recipe: Recipe,
    /// The bytes of its parts.
    pub inputs: Inputs,
    /// What was decided.
    pub plan: Plan,
}

/// A recipe whose parts are one component.
#[derive(Debug)]
pub struct Composed {
    /// The recipe.
    pub recipe: Recipe,
    /// Digest and source of every input, by part.
    pub inputs: BTreeMap<String, Input>,
    /// The component.
    pub linked: Linked,
}

/// A signed artifact, not yet a file.
#[derive(Debug)]
pub struct Artifact {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The digests of its payload.
    pub payload: PayloadDigests,
    /// Its identity: the digest of the statement.
    pub identity: Sha256Digest,
    /// How long the engine took to compile.
    pub compile_time: Duration,
}

/// Reads a recipe and its parts and decides every import.
///
/// # Errors
///
/// Everything that is wrong with the recipe, its inputs or their wiring.
pub fn plan(file: &Path) -> Result<Planned, Vec<Report>> {
    let recipe = recipe::read(file)?;
    let inputs = inputs::read(&recipe)?;
    let plan = plan::plan(&recipe, &inputs)?;
    Ok(Planned { recipe, inputs, plan })
}

/// Links the parts of a plan into one component.
///
/// # Errors
///
/// The component cannot be encoded, or is not what the plan says.
pub fn link(planned: Planned) -> Result<Composed, Vec<Report>> {
    let Planned { recipe, inputs, plan } = planned;
    let described = inputs.describe();
    let linked = link::link(plan, inputs)?;
    Ok(Composed { recipe, inputs: described, linked })
}
