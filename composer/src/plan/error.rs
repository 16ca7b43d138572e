//! What can be wrong with how parts fit together, and how that is told.

use thiserror::Error;
use wadoo_signing::report::{Exit, Report};

use super::Decision;
use super::conform::Violation;
use crate::recipe::{Component, PartName, Source};
use crate::signature::Difference;

/// Names that are listed in one line; more are counted.
const MAX_NAMES: usize = 8;

/// One problem of a plan.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum PlanError {
    #[error("cannot wire `{part}`: it imports the {kind} `{name}`, and only interfaces can be wired")]
    RootItem { part: PartName, name: String, kind: &'static str, exporters: Vec<PartName> },
    #[error("cannot wire `{provider}` into `{part}`: `{import}` has a different type")]
    Mismatch {
        part: PartName,
        import: String,
        provider: PartName,
        export: String,
        differences: Vec<Difference>,
        assembled: bool,
    },
    #[error("cannot wire `{part}`: {} parts export `{import}`", candidates.len())]
    Ambiguous {
        part: PartName,
        import: String,
        candidates: Vec<Candidate>,
        advised: Option<PartName>,
        has_with: bool,
    },
    #[error("cannot wire `{provider}` into `{part}`: it does not export `{import}`")]
    WithoutExport {
        part: PartName,
        import: String,
        name: String,
        provider: PartName,
        exports: Vec<String>,
        same_shape: Option<String>,
    },
    #[error("cannot wire `{provider}` into `{part}`: it does not export `{export}`")]
    NoNamedExport { part: PartName, provider: PartName, export: String, exports: Vec<String> },
    #[error("cannot wire `{provider}` into `{part}`: it exports `{export}` in {} versions", exports.len())]
    NamedExportUnclear { part: PartName, provider: PartName, export: String, exports: Vec<String> },
    #[error("cannot wire `{part}`: `{name}` in its `with` may mean {} imports", imports.len())]
    WithUnclear { part: PartName, name: String, imports: Vec<String> },
    #[error("the `with` entry `{name}` of `{part}` has no effect: `deny` has `{pattern}`")]
    WithDenied { part: PartName, name: String, pattern: String },
    #[error("`{app}` has {count} parts with values of their own")]
    TooManyApart { app: String, count: usize },
    #[error("`{part}` has values of its own for `{import}`, and its recipe is a part of another")]
    Apart { part: PartName, import: String },
    #[error("`{part}` carries files, and its recipe is a part of another")]
    CarriedWithin { part: PartName },
    #[error("`{part}` leaves keys of its `config` to the device, and its recipe is a part of another")]
    ApartConfig { part: PartName, import: String },
    #[error("`{part}` imports `{import}` and does not allow it")]
    NotAllowed { part: PartName, import: String, has_allow: bool, has_deny: bool },
    #[error("cannot plan `{app}`: {}", count(missing.len(), "import has no provider", "imports have no provider"))]
    Missing { app: String, missing: Vec<MissingImport> },
    #[error("cannot provide `{}` to `{other}` and `{part}`: they need different types of it", bare(import))]
    LauncherTypes { import: String, part: PartName, other: PartName, differences: Vec<Difference> },
    #[error("cannot share instances as `[instances]` says")]
    Reuse { trigger: String, command: bool },
    #[error("`{}` of `{part}` has `{text}`, which `{part}` does not import", entry.key())]
    UnusedEntry { part: PartName, entry: Entry, text: String, near: Option<String>, imports: Vec<String> },
    #[error("`{part}` {} `{text}`, and nothing comes of it", if *granted { "is granted" } else { "allows" })]
    IdleAllow { part: PartName, text: String, import: String, decision: Decision, granted: bool },
    #[error("`[policy]` {} `{text}`, and nothing comes of it", if *entry == Entry::Deny { "denies" } else { "allows" })]
    IdlePolicy { entry: Entry, text: String, near: Option<String>, used: Option<PolicyUse> },
    #[error("there cannot be an instance `{part}`: the name `{taken}` is taken")]
    OwnName { part: PartName, taken: String },
    #[error("`{app}` has too many parts, with those that parts have for themselves")]
    TooManyParts { app: String },
    #[error("no part uses the grant `{name}`")]
    UnusedGrant { name: String, fate: Option<(PartName, Decision)>, has_allow: bool },
    #[error("nothing uses `{part}`")]
    UnusedPart { part: PartName, exports: Vec<String>, fate: Option<Fate> },
    #[error("cannot export `{name}`: `{part}` does not export it")]
    NoSuchExport { name: String, part: PartName, exports: Vec<String> },
    #[error("cannot export `{name}`: `{part}` exports it in {} versions", exports.len())]
    ExportUnclear { name: String, part: PartName, exports: Vec<String> },
    #[error("nothing starts `{app}`: no part exports an HTTP handler or a command that no other part uses")]
    NoTrigger { app: String, near: Vec<Candidate> },
    #[error("`{app}` exports nothing that another recipe could use")]
    NoPartExports { app: String, exports: Vec<Candidate> },
    #[error("`{part}` has values for `{}` in its own recipe, and gets none here", bare(import))]
    NotGranted { part: PartName, import: String },
    #[error("`[exports]` has nothing that starts the application")]
    NoTriggerNamed { exports: Vec<String> },
    #[error("cannot tell what starts `{app}`: {} exports could", candidates.len())]
    SeveralTriggers { app: String, candidates: Vec<Candidate> },
    #[error("`[exports]` has {} exports that start the application, and one is expected", candidates.len())]
    SeveralTriggersNamed { candidates: Vec<Candidate> },
    #[error("cannot wire {}: {}", quoted(steps.iter().map(|step| &step.part)), circle(steps.len()))]
    Cycle { steps: Vec<Step> },
    #[error("`{who}` does not conform to the world `{world}`")]
    World { who: String, world: String, violations: Vec<Violation>, assembled: bool },
    #[error("cannot deny `{denied}` for `{part}` alone")]
    DenyGap { part: PartName, denied: String, through: String, policy: bool },
    #[error("`{key}` of `{part}` has no effect: it does not import {what}")]
    IdleValues { part: PartName, key: &'static str, what: &'static str },
    #[error("`{}` of `{part}` cannot be baked and come from elsewhere", bare(import))]
    BakedElsewhere { part: PartName, import: String, other: String },
    #[error("cannot bake values into `{part}`: `{import}` has another type than is known here")]
    BakedTypes { part: PartName, import: String, differences: Vec<Difference> },
    #[error("the {} `{key}` of `{part}` is both baked and left to the device", entry(*of))]
    BakedAndOpen { part: PartName, of: Source, key: String, open: bool },
    #[error("{}", split_title(edge, first, second))]
    Split { edge: Edge, resource: String, first: View, second: View },
}

/// A part's export that could be meant.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The part.
    pub part: PartName,
    /// Full name of its export.
    pub export: String,
}

/// An import without a provider.
#[derive(Debug)]
pub struct MissingImport {
    /// The importer.
    pub part: PartName,
    /// Full name of the import.
    pub import: String,
    /// What there is instead.
    pub near: Option<Near>,
    /// The part's `allow` has it.
    pub allowed: bool,
    /// The part has a `deny`.
    pub has_deny: bool,
    /// The part has a `with`.
    pub has_with: bool,
    /// `[grants]` can have it.
    pub grantable: bool,
}

/// What there is instead of a missing provider.
#[derive(Debug)]
pub struct Near {
    /// Why it does not do.
    pub note: String,
    /// The part that has it.
    pub part: Option<PartName>,
    /// Its export, if that would do under its own name.
    pub export: Option<String>,
}

/// What became of an import that an unused part could provide.
#[derive(Debug)]
pub struct Fate {
    /// The importer.
    pub part: PartName,
    /// Full name of the import.
    pub import: String,
    /// What was decided instead.
    pub decision: Decision,
    /// What the importer's `with` says.
    pub with: With,
    /// The unused part's export has a type that the importer can use.
    pub fits: bool,
}

/// What a part's `with` says of an import: a line that a hint proposes must not give a key twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With {
    /// The part has no `with`.
    Absent,
    /// It has one, without this import.
    Others,
    /// It has an entry of this name, which means the import.
    Entry(String),
}

impl With {
    /// What the `with` of `component` says of `import`.
    pub(super) fn of(component: &Component, import: &str) -> Self {
        match component.provider_of(import) {
            Some((name, _)) => Self::Entry(name.to_string()),
            None if !component.has_with() => Self::Absent,
            None => Self::Others,
        }
    }
}

/// A list or table of a part in the recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `with`
    With,
    /// `allow`
    Allow,
    /// `deny`
    Deny,
    /// `grants`
    Grants,
}

impl Entry {
    fn key(self) -> &'static str {
        match self {
            Self::With => "with",
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Grants => "grants",
        }
    }
}

/// An import that a pattern of `[policy]` matches, where another rule decides.
#[derive(Debug)]
pub struct PolicyUse {
    /// The importer.
    pub part: PartName,
    /// Full name of the import.
    pub import: String,
    /// What was decided.
    pub decision: Decision,
    /// What allows it, if it is granted.
    pub allowed: Allowed,
}

/// Why a part may have what is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Its own `allow` has it.
    Itself,
    /// It has values of its own.
    Values,
    /// An entry of `[policy]` has it.
    Policy(String),
}

/// One wire of a circle.
#[derive(Clone, Debug)]
pub struct Step {
    /// The importer.
    pub part: PartName,
    /// What it imports.
    pub import: String,
    /// From whom.
    pub provider: PartName,
}

/// Over what a handle would pass.
#[derive(Debug)]
pub enum Edge {
    /// From part to part.
    Wire {
        /// The importer.
        part: PartName,
        /// The provider.
        provider: PartName,
        /// The import.
        import: String,
    },
    /// Into an import that the launcher provides.
    Launcher {
        /// The importer.
        part: PartName,
        /// The import.
        import: String,
    },
    /// Into the export that the launcher calls.
    Trigger {
        /// The exporter.
        part: PartName,
        /// The export.
        export: String,
    },
}

/// How one side of an edge sees a resource type.
#[derive(Debug)]
pub struct View {
    /// The side; `None` for the launcher.
    pub part: Option<PartName>,
    /// The import by which it gets the type; `None` if it defines the type itself.
    pub import: Option<String>,
    /// What the side's `with` says of that import.
    pub with: With,
    /// Who defines it.
    pub origin: Origin,
}

impl View {
    /// The launcher's view of its own resources.
    pub(super) fn of_launcher() -> Self {
        Self { part: None, import: None, with: With::Absent, origin: Origin::Launcher }
    }
}

/// Who defines a resource type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The launcher.
    Launcher,
    /// The launcher, by an import that is there for one part alone.
    LauncherAlone,
    /// A part.
    Part(PartName),
    /// The stub of a denied import.
    Stub {
        /// The part that is denied it.
        part: PartName,
        /// The import.
        import: String,
    },
}

impl PlanError {
    /// The report, without its place.
    pub(super) fn report(&self) -> Report {
        let mut report = Report::new(Exit::CouldNot, self.to_string());
        report.because = self.because();
        match self.hint() {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

/// `wasi:http/types@0.2.3` → `wasi:http/types`
pub(super) fn bare(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

pub(super) fn package(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// How one of the values is called.
fn entry(source: Source) -> &'static str {
    match source {
        Source::Configuration => "key",
        Source::Environment => "variable",
    }
}

/// "`a`, `b` and `c`"
pub(super) fn quoted(names: impl IntoIterator<Item = impl ToString>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", name.to_string())).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// Like `quoted`, with a limit.
pub(super) fn listed(names: &[String]) -> String {
    match names.len().checked_sub(MAX_NAMES) {
        None | Some(0) => quoted(names),
        Some(more) => {
            let first: Vec<String> = names[..MAX_NAMES].iter().map(|name| format!("`{name}`")).collect();
            format!("{} and {more} more", first.join(", "))
        }
    }
}

fn circle(length: usize) -> &'static str {
    if length == 1 { "it would provide for itself" } else { "each needs the next one first" }
}

/// The interface whose resource has two definitions.
pub(super) fn split_interface<'a>(first: &'a View, second: &'a View) -> &'a str {
    bare(first.import.as_deref().or(second.import.as_deref()).unwrap_or("resource"))
}

fn split_title(edge: &Edge, first: &View, second: &View) -> String {
    let interface = split_interface(first, second);
    match edge {
        Edge::Wire { part, provider, .. } => {
            format!("cannot wire `{provider}` into `{part}`: each has another `{interface}`")
        }
        Edge::Launcher { part, import } => {
            format!(
                "cannot leave `{}` of `{part}` to the launcher: it has another `{interface}`",
                bare(import)
            )
        }
        Edge::Trigger { part, export } => {
            format!("cannot export `{}` of `{part}`: the launcher has another `{interface}`", bare(export))
        }
    }
}
