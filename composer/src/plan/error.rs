//! What can be wrong with how parts fit together, and how that is told.

use std::collections::BTreeSet;

use thiserror::Error;
use wadoo_signing::report::{Exit, Report};

use super::{Decision, LauncherReason};
use crate::interfaces::{self, nearest};
use crate::recipe::{Component, PartName};
use crate::signature::Difference;

/// Differences of one interface that are printed; more are counted.
const MAX_DIFFERENCES: usize = 4;
/// Names that are listed in one line; more are counted.
const MAX_NAMES: usize = 8;

/// One problem of a plan.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum PlanError {
    #[error("cannot wire `{part}`: it imports the {kind} `{name}`, and only interfaces can be wired")]
    RootItem { part: PartName, name: String, kind: &'static str },
    #[error("cannot wire `{provider}` into `{part}`: `{import}` has a different type")]
    Mismatch {
        part: PartName,
        import: String,
        provider: PartName,
        export: String,
        differences: Vec<Difference>,
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
    WithoutExport { part: PartName, import: String, provider: PartName, exports: Vec<String> },
    #[error("cannot wire `{part}`: `{name}` in its `with` may mean {} imports", imports.len())]
    WithUnclear { part: PartName, name: String, imports: Vec<String> },
    #[error("the `with` entry `{name}` of `{part}` has no effect: `deny` has `{pattern}`")]
    WithDenied { part: PartName, name: String, pattern: String },
    #[error("`{part}` imports `{import}` and does not allow it")]
    NotAllowed { part: PartName, import: String, has_allow: bool, has_deny: bool },
    #[error("cannot plan `{app}`: {}", count(missing.len(), "import has no provider", "imports have no provider"))]
    Missing { app: String, missing: Vec<MissingImport> },
    #[error("cannot give `{granted}` another `{}` than `{other}`", bare(import))]
    DifferentValues { import: String, granted: PartName, other: PartName, has_allow: bool },
    #[error("cannot provide `{}` to `{other}` and `{part}`: they need different types of it", bare(import))]
    LauncherTypes { import: String, part: PartName, other: PartName, differences: Vec<Difference> },
    #[error("cannot grant `wasi:cli/environment` to a server")]
    EnvironmentForServer { trigger: String },
    #[error("`{}` of `{part}` has `{text}`, which `{part}` does not import", entry.key())]
    UnusedEntry { part: PartName, entry: Entry, text: String, near: Option<String>, imports: Vec<String> },
    #[error("`{part}` allows `{text}`, and nothing comes of it")]
    IdleAllow { part: PartName, text: String, import: String, decision: Decision },
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
    #[error("`[exports]` has nothing that starts the application")]
    NoTriggerNamed { exports: Vec<String> },
    #[error("cannot tell what starts `{app}`: {} exports could", candidates.len())]
    SeveralTriggers { app: String, candidates: Vec<Candidate> },
    #[error("`[exports]` has {} exports that start the application, and one is expected", candidates.len())]
    SeveralTriggersNamed { candidates: Vec<Candidate> },
    #[error("cannot wire {}: {}", quoted(steps.iter().map(|step| &step.part)), circle(steps.len()))]
    Cycle { steps: Vec<Step> },
    #[error("cannot deny `{denied}` for `{part}` alone")]
    DenyGap { part: PartName, denied: String, through: String },
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
        match component.with.keys().find(|name| name.matches(import)) {
            Some(name) => Self::Entry(name.to_string()),
            None if component.with.is_empty() => Self::Absent,
            None => Self::Others,
        }
    }

    /// How to have `interface` from `provider` in `part`.
    fn line(&self, part: &PartName, interface: &str, provider: &PartName) -> String {
        let value = format!("\"{interface}\" = \"{provider}\"");
        match self {
            Self::Absent => entry_line(part, false, "with", &value),
            Self::Others => entry_line(part, true, "with", &value),
            Self::Entry(name) => {
                format!(
                    "in the `with` of `[components.{part}]`, change the entry to `\"{name}\" = \"{provider}\"`"
                )
            }
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
}

impl Entry {
    fn key(self) -> &'static str {
        match self {
            Self::With => "with",
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
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

    /// Why, a line each.
    fn because(&self) -> Vec<String> {
        match self {
            Self::Mismatch { part, import, provider, export, differences } => {
                let mut lines = Vec::new();
                if export != import {
                    lines.push(format!("`{provider}` exports `{export}`, on the same version track"));
                }
                lines.extend(difference_lines(differences, (provider, "exports"), (part, "imports")));
                lines
            }
            Self::IdleAllow { import, decision: Decision::Launcher(LauncherReason::BaseSet), .. } => {
                vec![match interfaces::capability(import) {
                    Some(_) => {
                        format!("`{import}` is in the base set, empty, and `[grants]` has nothing for it")
                    }
                    None => format!("`{import}` is in the base set: every part may use it"),
                }]
            }
            Self::IdleAllow { import, decision, .. } => vec![format!("`{import}`: {}", fate(decision))],
            Self::LauncherTypes { part, other, differences, .. } => {
                difference_lines(differences, (other, "imports"), (part, "imports"))
            }
            Self::Ambiguous { import, candidates, .. } => candidates
                .iter()
                .map(|candidate| match candidate.export == *import {
                    true => format!("candidate  `{}`", candidate.part),
                    false => format!("candidate  `{}`, which exports `{}`", candidate.part, candidate.export),
                })
                .collect(),
            Self::WithoutExport { provider, exports, .. }
            | Self::NoSuchExport { part: provider, exports, .. } => {
                vec![format!("`{provider}` exports {}", listed(exports))]
            }
            Self::WithUnclear { imports, .. } => imports.iter().map(|import| format!("`{import}`")).collect(),
            Self::ExportUnclear { exports, .. } => {
                exports.iter().map(|export| format!("`{export}`")).collect()
            }
            Self::Missing { missing, .. } => missing_lines(missing),
            Self::DifferentValues { granted, other, .. } => vec![
                format!("`{granted}` allows it and gets the values in `[grants]`"),
                format!("`{other}` imports it too and does not allow it, and would get the same values"),
            ],
            Self::EnvironmentForServer { trigger } => {
                vec![format!(
                    "the application starts with `{trigger}`, and only a command gets variables of the launcher"
                )]
            }
            Self::UnusedPart { fate: Some(Fate { part, import, decision, .. }), .. } => {
                vec![format!("`{part}` imports `{import}`, and {}", fate(decision))]
            }
            Self::UnusedPart { exports, .. } if exports.is_empty() => vec!["it exports nothing".to_owned()],
            Self::UnusedPart { exports, .. } => {
                vec![format!("it exports {}, and no other part imports that", listed(exports))]
            }
            Self::UnusedGrant { fate: Some((part, decision)), .. } => {
                vec![format!("`{part}` imports it, and {}", fate(decision))]
            }
            Self::NoTrigger { near, .. } => {
                let line = |candidate: &Candidate| {
                    format!("`{}` exports `{}`, which no launcher calls", candidate.part, candidate.export)
                };
                near.iter().map(line).collect()
            }
            Self::NoTriggerNamed { exports } => vec![format!("found {}", listed(exports))],
            Self::SeveralTriggers { candidates, .. } | Self::SeveralTriggersNamed { candidates } => {
                candidates
                    .iter()
                    .map(|candidate| format!("`{}` of `{}`", candidate.export, candidate.part))
                    .collect()
            }
            Self::Cycle { steps } => steps
                .iter()
                .map(|step| format!("`{}` imports `{}` from `{}`", step.part, step.import, step.provider))
                .collect(),
            Self::DenyGap { denied, through, .. } => {
                vec![format!("`{denied}` uses `{through}`, which is not denied and uses what is denied")]
            }
            Self::Split { edge, resource, first, second } => split_lines(edge, resource, first, second),
            _ => Vec::new(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::RootItem { part, kind, .. } => {
                format!("move the {kind} into an interface of a WIT package, and build `{part}` to import that")
            }
            Self::Mismatch { part, provider, differences, import, .. } => mismatch_hint(part, provider, differences, import),
            Self::Ambiguous { part, import, candidates, advised, has_with } => {
                let provider = advised.as_ref().unwrap_or(&candidates.first()?.part);
                let line = entry_line(part, *has_with, "with", &format!("\"{}\" = \"{provider}\"", bare(import)));
                format!("choose one: {line}")
            }
            Self::WithoutExport { import, exports, .. } => match nearest(bare(import), exports.iter().map(|e| bare(e))) {
                Some(near) if near == bare(import) => {
                    "rebuild one of them so that both have the same version of the interface".into()
                }
                Some(near) => format!("`{near}` is near; rebuild one of them so that both have the same name"),
                None => "name another part, or remove the entry so that the provider is found by type".into(),
            },
            Self::WithUnclear { imports, .. } => {
                format!("write the version: `\"{}\"`", imports.first()?)
            }
            Self::WithDenied { .. } => "remove one of the two".into(),
            Self::NotAllowed { part, import, has_allow, has_deny } => {
                let allow = entry_line(part, *has_allow, "allow", &format!("\"{}\"", bare(import)));
                let deny = entry_line(part, *has_deny, "deny", &format!("\"{}\"", bare(import)));
                format!("{allow}; if it does not need it, {deny}")
            }
            Self::Missing { missing, .. } => missing_hint(missing),
            Self::DifferentValues { import, other, has_allow, .. } => format!(
                "this is not supported until parts can have different values; {}, or deny it there",
                entry_line(other, *has_allow, "allow", &format!("\"{}\"", bare(import)))
            ),
            Self::LauncherTypes { part, other, import, .. } => {
                format!("rebuild `{part}` or `{other}`, so that both use the same WIT of `{}`", package(import))
            }
            Self::EnvironmentForServer { .. } => "remove the grant; `wasi:config` values will do this in a later version".into(),
            Self::IdleAllow { import, decision: Decision::Launcher(LauncherReason::BaseSet), .. }
                if interfaces::capability(import).is_some() =>
            {
                format!("remove it; or, in a command, {}", grant_line(import))
            }
            Self::IdleAllow { .. } => "remove it".into(),
            Self::UnusedEntry { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::UnusedEntry { part, imports, .. } => {
                format!("remove it; beyond the base set, `{part}` imports {}", listed(imports))
            }
            Self::UnusedGrant { name, fate: Some((part, Decision::Launcher(LauncherReason::BaseSet))), has_allow } => {
                let allow = entry_line(part, *has_allow, "allow", &format!("\"{}\"", bare(name)));
                format!("{allow}, or remove the grant")
            }
            Self::UnusedGrant { .. } => "remove it, or correct its name".into(),
            Self::UnusedPart { part, exports, .. } if exports.is_empty() => format!("remove `[components.{part}]`"),
            Self::UnusedPart { part, fate: Some(Fate { part: importer, decision: Decision::Deny { pattern }, .. }), .. } => {
                format!("remove `[components.{part}]`, or take `{pattern}` out of the `deny` of `[components.{importer}]`")
            }
            Self::UnusedPart { part, fate: Some(Fate { part: importer, import, with, .. }), .. } => {
                format!("remove `[components.{part}]`, or choose it: {}", with.line(importer, bare(import), part))
            }
            Self::UnusedPart { part, .. } => {
                format!("remove `[components.{part}]`, or name it in the `with` of the part that should use it")
            }
            Self::NoSuchExport { name, exports, .. } => match nearest(bare(name), exports.iter().map(|e| bare(e))) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name the part that exports it, or remove the line".into(),
            },
            Self::ExportUnclear { exports, .. } => format!("write the version: `\"{}\"`", exports.first()?),
            Self::NoTrigger { .. } => {
                "add a component that exports `wasi:http/handler@0.3.x`, `wasi:http/incoming-handler@0.2.x` or `wasi:cli/run`"
                    .into()
            }
            Self::NoTriggerNamed { .. } => {
                "add a line for `wasi:http/handler`, `wasi:http/incoming-handler` or `wasi:cli/run`".into()
            }
            Self::SeveralTriggers { candidates, .. } => {
                let one = candidates.first()?;
                format!("choose one: add `\"{}\" = \"{}\"` to `[exports]`", bare(&one.export), one.part)
            }
            Self::SeveralTriggersNamed { .. } => "keep one of them; the launcher starts an application in one way".into(),
            Self::Cycle { steps } if steps.len() == 1 => "let another part provide it".into(),
            Self::Cycle { .. } => {
                "instantiation must start somewhere: name another part in one `with`, or `deny` one of the imports".into()
            }
            Self::DenyGap { part, through, .. } => {
                format!("add `\"{}\"` to the `deny` of `[components.{part}]`", bare(through))
            }
            Self::Split { edge, first, second, .. } => split_hint(edge, first, second)?,
        })
    }
}

/// `wasi:http/types@0.2.3` → `wasi:http/types`
fn bare(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

fn package(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// "`a`, `b` and `c`"
fn quoted(names: impl IntoIterator<Item = impl ToString>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", name.to_string())).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// Like `quoted`, with a limit.
fn listed(names: &[String]) -> String {
    match names.len().checked_sub(MAX_NAMES) {
        None | Some(0) => quoted(names),
        Some(more) => {
            let first: Vec<String> = names[..MAX_NAMES].iter().map(|name| format!("`{name}`")).collect();
            format!("{} and {more} more", first.join(", "))
        }
    }
}

/// "add `deny = ["x"]` to `[components.p]`", or to the list that is there.
fn entry_line(part: &PartName, exists: bool, key: &str, value: &str) -> String {
    let (open, close) = if key == "with" { ("{ ", " }") } else { ("[", "]") };
    match exists {
        true => format!("add `{value}` to the `{key}` of `[components.{part}]`"),
        false => format!("add `{key} = {open}{value}{close}` to `[components.{part}]`"),
    }
}

/// Two lines for each difference, types aligned.
fn difference_lines(
    differences: &[Difference],
    (provider, exports): (&PartName, &str),
    (part, imports): (&PartName, &str),
) -> Vec<String> {
    let (theirs, ours) = (format!("`{provider}` {exports}"), format!("`{part}` {imports}"));
    let width = theirs.chars().count().max(ours.chars().count());
    let mut lines = Vec::new();
    for difference in differences.iter().take(MAX_DIFFERENCES) {
        let label = format!("{}: ", difference.item);
        let pad = " ".repeat(label.chars().count());
        let exported = match &difference.exported {
            Some(exported) => format!("{theirs:width$}  {exported}"),
            None => format!("`{provider}` does not export it"),
        };
        lines.push(format!("{label}{exported}"));
        lines.push(format!("{pad}{ours:width$}  {}", difference.imported));
    }
    if let Some(more @ 1..) = differences.len().checked_sub(MAX_DIFFERENCES) {
        lines.push(format!("and {}", count(more, "more difference", "more differences")));
    }
    lines
}

fn mismatch_hint(part: &PartName, provider: &PartName, differences: &[Difference], import: &str) -> String {
    if differences.iter().any(|difference| difference.color) {
        return format!(
            "an `async` function and one that is not never fit: rebuild `{provider}` or `{part}`, so that both use the same WIT of `{}`",
            package(import)
        );
    }
    format!("rebuild `{provider}` or `{part}`, so that both use the same WIT of `{}`", package(import))
}

/// "add `"x" = { hosts = ["example.com:443"] }` to `[grants]`"
fn grant_line(import: &str) -> String {
    let values = match interfaces::capability(import) {
        Some(interfaces::Capability::Environment) => "keys = [\"NAME\"]",
        _ => "hosts = [\"example.com:443\"]",
    };
    format!("add `\"{}\" = {{ {values} }}` to `[grants]`", bare(import))
}

fn missing_lines(missing: &[MissingImport]) -> Vec<String> {
    let part_width = missing.iter().map(|import| import.part.to_string().chars().count()).max().unwrap_or(0);
    let width = missing.iter().map(|import| import.import.chars().count()).max().unwrap_or(0);
    let line = |missing: &MissingImport| {
        let (part, import) = (missing.part.to_string(), &missing.import);
        let note = match (&missing.near, missing.allowed) {
            (Some(near), _) => Some(near.note.clone()),
            (None, true) if missing.grantable => Some("allowed, and not in `[grants]`".to_owned()),
            (None, true) => Some("allowed, but it cannot be granted yet".to_owned()),
            (None, false) => None,
        };
        match note {
            Some(note) => format!("{part:part_width$}  imports  {import:width$}  ({note})"),
            None => format!("{part:part_width$}  imports  {import}"),
        }
    };
    missing.iter().map(line).collect()
}

fn missing_hint(missing: &[MissingImport]) -> String {
    let is_wanted = |import: &MissingImport| import.allowed && import.grantable;
    let by_habit: Vec<&MissingImport> = missing
        .iter()
        .filter(|import| interfaces::is_imported_by_habit(&import.import) && !is_wanted(import))
        .collect();
    if let Some(first) = by_habit.first() {
        // A pattern of the whole package could mean the same as one that stands in the `deny`, and is refused then.
        let patterns: BTreeSet<String> = by_habit
            .iter()
            .filter(|import| import.part == first.part)
            .map(|import| match package(&import.import) {
                "wasi:sockets" if !first.has_deny => "\"wasi:sockets/*\"".to_owned(),
                _ => format!("\"{}\"", bare(&import.import)),
            })
            .collect();
        let patterns: Vec<String> = patterns.into_iter().collect();
        let deny = entry_line(&first.part, first.has_deny, "deny", &patterns.join(", "));
        if first.allowed {
            return format!(
                "the launcher cannot provide them yet; if `{}` does not need them, remove the `allow` and {deny}",
                first.part
            );
        }
        return format!(
            "language runtimes import these whether they use them or not; if `{}` does not, {deny}",
            first.part
        );
    }
    if let Some(import) = missing.iter().find(|import| import.grantable) {
        let grant = grant_line(&import.import);
        return match import.allowed {
            true => grant,
            false => format!("{grant} and allow it for `{}`", import.part),
        };
    }
    if let Some((import, part)) =
        missing.iter().find_map(|import| Some((import, import.near.as_ref()?.part.as_ref()?)))
    {
        let (importer, name) = (&import.part, bare(&import.import));
        return format!(
            "rebuild `{importer}` or `{part}`, so that both use one version of `{name}`, or add a component that exports it"
        );
    }
    match missing {
        [_] => "add a component that exports it".to_owned(),
        _ => "add components that export them".to_owned(),
    }
}

fn fate(decision: &Decision) -> String {
    match decision {
        Decision::Wire { part, .. } => format!("`{part}` provides it"),
        Decision::Deny { pattern } => format!("`deny` has `{pattern}`"),
        Decision::Launcher(LauncherReason::BaseSet) => "does not allow it".to_owned(),
        Decision::Launcher(_) => "the launcher provides it without a grant".to_owned(),
    }
}

fn circle(length: usize) -> &'static str {
    if length == 1 { "it would provide for itself" } else { "each needs the next one first" }
}

/// The interface whose resource has two definitions.
fn split_interface<'a>(first: &'a View, second: &'a View) -> &'a str {
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

fn split_lines(edge: &Edge, resource: &str, first: &View, second: &View) -> Vec<String> {
    let label = format!("resource `{resource}`: ");
    let pad = " ".repeat(label.chars().count());
    let passes = match edge {
        Edge::Wire { part, provider, import } => format!("`{part}` and `{provider}` pass it in `{import}`"),
        Edge::Launcher { part, import } => format!("`{part}` and the launcher pass it in `{import}`"),
        Edge::Trigger { part, export } => format!("the launcher and `{part}` pass it in `{export}`"),
    };
    vec![format!("{label}{}", view_line(first)), format!("{pad}{}", view_line(second)), passes]
}

fn view_line(view: &View) -> String {
    let who = view.part.as_ref().map_or("the launcher".to_owned(), |part| format!("`{part}`"));
    match (&view.origin, &view.part) {
        (Origin::Launcher, None) => format!("{who} has its own"),
        (Origin::Launcher, Some(_)) => format!("{who} has it from the launcher"),
        (Origin::Part(origin), Some(part)) if origin == part => format!("{who} defines its own"),
        (Origin::Part(origin), _) => format!("{who} has it from `{origin}`"),
        (Origin::Stub { part, import }, Some(viewer)) if part == viewer => {
            format!("{who} is denied `{}`", bare(import))
        }
        (Origin::Stub { part, .. }, _) => format!("{who} has the denied one of `{part}`"),
    }
}

fn split_hint(edge: &Edge, first: &View, second: &View) -> Option<String> {
    let interface = split_interface(first, second);
    if let Some(Origin::Stub { part, import }) =
        [&first.origin, &second.origin].into_iter().find(|origin| matches!(origin, Origin::Stub { .. }))
    {
        return Some(match edge {
            Edge::Launcher { part: user, import: used } if user == part => {
                format!("deny `{}` too: its functions use `{}`; or deny neither", bare(used), bare(import))
            }
            Edge::Wire { part: user, import: used, .. } if user == part => {
                format!("deny `{}` too: its functions use `{}`; or deny neither", bare(used), bare(import))
            }
            _ => format!("do not deny `{}` for `{part}`, or do not use `{part}` here", bare(import)),
        });
    }
    let line = |part: &PartName, with: &With, provider: &PartName| {
        let line = with.line(part, interface, provider);
        format!("let `{part}` have it from `{provider}` too: {line}")
    };
    match edge {
        Edge::Launcher { import, .. } => {
            let Origin::Part(provider) = &first.origin else { return None };
            Some(format!("let `{provider}` provide `{}` as well, or do without `{provider}`", bare(import)))
        }
        Edge::Trigger { .. } => {
            let Origin::Part(provider) = &first.origin else { return None };
            Some(format!(
                "do without `{provider}`: what the launcher calls must have `{interface}` from the launcher"
            ))
        }
        Edge::Wire { .. } => {
            match (first, second) {
                // Whoever imports the interface can have it from where the other has it.
                (
                    View { part: Some(part), import: Some(_), with, .. },
                    View { origin: Origin::Part(provider), .. },
                ) if part != provider => Some(line(part, with, provider)),
                (
                    View { origin: Origin::Part(provider), .. },
                    View { part: Some(part), import: Some(_), with, .. },
                ) if part != provider => Some(line(part, with, provider)),
                _ => Some(format!("both must have `{interface}` from one provider")),
            }
        }
    }
}
