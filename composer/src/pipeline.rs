//! The line from a recipe to an artifact, as the commands walk it.
//!
//! Each step consumes the noun before it; this module only keeps what later steps still need of earlier
//! ones, and loads every finished artifact back through the launcher's own reader.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use wadoo_launcher::app::LinkedApp;
use wadoo_launcher::command::Command;
use wadoo_launcher::compat::{self, Incompatible};
use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::{engine, load};
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::envelope::Envelope;
use wadoo_signing::files::{FILES, FileTree};
use wadoo_signing::framing::{self, Attachment};
use wadoo_signing::key::{KeyId, SigningKey};
use wadoo_signing::lines::{LineTable, SOURCE_LINES};
use wadoo_signing::manifest::{Input, Manifest, PayloadDigests, Trigger};
use wadoo_signing::policy::Policy;
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::statement::Statement;
use wadoo_signing::trust::TrustStore;

use crate::compile;
use crate::describe::{self, Facts};
use crate::inputs::{self, Composition, Gathered, Inputs};
use crate::keys::Signers;
use crate::lines::{self, Lines};
use crate::link::{self, Linked};
use crate::plan::{self, Plan};
use crate::recipe::Recipe;
use crate::target::Target;

/// A recipe whose every import is decided.
pub struct Planned {
    /// The recipe.
    pub recipe: Recipe,
    /// The bytes of its parts.
    pub inputs: Inputs,
    /// What was decided.
    pub plan: Plan,
    /// Digest of the lock, where it held.
    pub lock: Option<Sha256Digest>,
}

/// A recipe whose parts are one component.
#[derive(Debug)]
pub struct Composed {
    /// The recipe.
    pub recipe: Recipe,
    /// Digest and source of every input, by name.
    pub inputs: BTreeMap<String, Input>,
    /// The component.
    pub linked: Linked,
    /// Its source lines, if the recipe does not leave them out.
    pub lines: Lines,
    /// The trees of files that its parts carry, in the order of their digests.
    pub trees: Vec<Vec<u8>>,
    /// Digest of the lock, where it held.
    pub lock: Option<Sha256Digest>,
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
    /// The keys that signed it.
    pub signers: Vec<KeyId>,
    /// How long the engine took to compile.
    pub compile_time: Duration,
}

/// How far a finished artifact was checked on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadedBack {
    /// Verified, loaded and pre-linked.
    Loaded,
    /// Verified; this machine cannot load it, and why.
    VerifiedOnly(String),
}

impl fmt::Display for LoadedBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded => f.write_str("verified, loaded and pre-linked on this machine"),
            Self::VerifiedOnly(why) => write!(f, "verified; not loaded: {why}"),
        }
    }
}

/// Reads a recipe's parts. The recipe has a part for each file of a pattern then.
///
/// # Errors
///
/// Everything that is wrong with the inputs.
pub fn read(gathered: Gathered) -> Result<(Recipe, Inputs), Vec<Report>> {
    inputs::read(gathered, &compose_part)
}

/// Makes components of what was gathered and decides every import. `lock` is the digest of a lock that held.
///
/// # Errors
///
/// Everything that is wrong with the inputs or their wiring.
pub fn plan(gathered: Gathered, lock: Option<Sha256Digest>) -> Result<Planned, Vec<Report>> {
    let (recipe, inputs) = read(gathered)?;
    let plan = plan::plan(&recipe, &inputs)?;
    Ok(Planned { recipe, inputs, plan, lock })
}

/// The line from recipe to component, for a recipe that is a part of another one.
fn compose_part(gathered: Gathered) -> Result<Composition, Vec<Report>> {
    let (recipe, inputs) = read(gathered)?;
    let plan = plan::part(&recipe, &inputs)?;
    let bytes = link::part(&plan, &inputs)?;
    let granted = plan.launcher.into_iter().filter(|(_, import)| import.grant.is_some());
    Ok(Composition { bytes, asked: granted.map(|(name, _)| name).collect(), adapters: inputs.adapters })
}

/// Links the parts of a plan into one component.
///
/// # Errors
///
/// The component cannot be encoded, is not what the plan says, or could never start.
pub fn link(planned: Planned) -> Result<Composed, Vec<Report>> {
    let Planned { recipe, inputs, plan, lock } = planned;
    let linked = link::link(&plan, &inputs)?;
    check_memory(&recipe, &linked)?;
    let lines =
        if recipe.build.source_lines { lines::read(&linked.bytes, &linked.parts) } else { Lines::default() };
    let trees = inputs.trees.into_values().collect();
    Ok(Composed { recipe, inputs: inputs.accounts, linked, lines, trees, lock })
}

/// Refuses an application of which no instance could ever be made.
fn check_memory(recipe: &Recipe, linked: &Linked) -> Result<(), Vec<Report>> {
    let initial = linked.initial_memory;
    if initial.bytes() <= recipe.limits.memory {
        return Ok(());
    }
    let name = &recipe.app.name;
    let what = format!("no instance of `{name}` could start: its parts need more memory than it may have");
    let (file, limit) = (recipe.source.file(), recipe.limits.memory_text());
    let report = Report::new(Exit::CouldNot, what)
        .because(format!("their {} memories begin with `{initial}` together", linked.pool.memories))
        .because(format!("`[limits] memory` of {file} is `{limit}`"))
        .hint(format!("write `memory = \"{initial}\"` under `[limits]`, or more if parts are to grow"));
    Err(vec![report])
}

/// Compiles, describes, signs and packages a composed component for one target.
///
/// # Errors
///
/// The target is refused, or the result is larger than a reader accepts.
pub fn build(composed: &Composed, target: &Target, signers: &Signers) -> Result<Artifact, Vec<Report>> {
    let begin = Instant::now();
    let precompiled = compile::precompile(&composed.linked.bytes, composed.linked.concurrent, target)
        .map_err(|error| vec![error.into()])?;
    let compile_time = begin.elapsed();
    let trees = composed.trees.iter().map(|tree| Attachment { kind: FILES, bytes: tree.clone() });
    let lines =
        composed.lines.table.iter().map(|table| Attachment { kind: SOURCE_LINES, bytes: table.clone() });
    let attachments: Vec<Attachment> = trees.chain(lines).collect();
    let manifest = describe::describe(&Facts {
        recipe: &composed.recipe,
        inputs: &composed.inputs,
        linked: &composed.linked,
        precompiled: &precompiled,
        attachments: &attachments,
        lock: composed.lock,
        development: signers.development,
    });
    let statement = Statement { manifest, payload: PayloadDigests::of(&precompiled.payload) };
    let encoded = statement.encode();
    let identity = Statement::identity(&encoded);
    let too_large = |error: &dyn fmt::Display| {
        vec![
            Report::new(Exit::CouldNot, format!("cannot package `{}`", composed.recipe.app.name))
                .because(error.to_string()),
        ]
    };
    let envelope = Envelope::sign(encoded, &signers.keys).map_err(|error| too_large(&error))?;
    let bytes = framing::package(&precompiled.payload, &envelope.encode(), &attachments)
        .map_err(|error| too_large(&error))?;
    Ok(Artifact {
        bytes,
        manifest: statement.manifest,
        payload: statement.payload,
        identity,
        signers: envelope.signatures().iter().map(|signature| signature.key).collect(),
        compile_time,
    })
}

/// Reads a finished artifact as the launcher will: framing, signature, digests, and, where its target can run
/// here, the code itself.
///
/// # Errors
///
/// The launcher would refuse what was just written; nothing that a user did leads here.
pub fn load_back(path: &Path, signers: &Signers) -> Result<LoadedBack, Report> {
    let store = TrustStore::of(signers.keys.iter().map(SigningKey::public), signers.development);
    // Nobody else knows the file yet: a copy would prove nothing more.
    let options = OpenOptions { map_in_place: true };
    let artifact = UnverifiedArtifact::open(path, &options)?;
    let artifact = artifact.authenticate(&store, &Policy::default(), SystemTime::now())?;
    let artifact = artifact.hash()?;
    artifact.check_all_digests()?;
    if let Some(lines) = artifact.lines() {
        LineTable::decode(&lines.read()?).map_err(|error| {
            Report::new(Exit::Bug, "cannot read the table of source lines back").because(error.to_string())
        })?;
    }
    for (_, tree) in artifact.trees() {
        FileTree::decode(tree).map_err(|error| {
            Report::new(Exit::Bug, "cannot read the files that parts carry back").because(error.to_string())
        })?;
    }
    let manifest = artifact.manifest().clone();
    match compat::check(&manifest) {
        Ok(()) => {}
        Err(reason @ (Incompatible::Target { .. } | Incompatible::Cpu(_))) => {
            return Ok(LoadedBack::VerifiedOnly(reason.to_string()));
        }
        Err(reason) => return Err(reason.report(&path.display().to_string())),
    }
    let engine = engine::checking(&manifest).map_err(|error| {
        Report::new(Exit::HostResource, "cannot make an engine to load the artifact back")
            .because(format!("{error:#}"))
    })?;
    let component = load::load(&engine, &artifact)?;
    match manifest.trigger {
        Trigger::Http02 | Trigger::Http03 => drop(LinkedApp::new(engine, &component, manifest)?),
        Trigger::Command02 | Trigger::Command03 => drop(Command::new(engine, &component, manifest)?),
    }
    Ok(LoadedBack::Loaded)
}
