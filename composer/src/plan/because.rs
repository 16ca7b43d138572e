//! Why a plan fails: the lines below the title of a [`PlanError`].

use wadoo_signing::manifest::MAX_PARTS_WITH_OWN_IMPORTS;

use super::conform::{Side, Violation};
use super::error::{
    Allowed, Candidate, Edge, Entry, Fate, MissingImport, Origin, PlanError, PolicyUse, View, bare, count,
    listed,
};
use super::{Decision, LauncherReason};
use crate::interfaces;
use crate::recipe::{MAX_PARTS, PartName};
use crate::signature::Difference;

/// Differences of one interface that are printed; more are counted.
const MAX_DIFFERENCES: usize = 4;
/// Those of one interface and a world: there the list is what was asked for.
const MAX_VIOLATIONS: usize = 64;

impl PlanError {
    /// Why, a line each.
    pub(super) fn because(&self) -> Vec<String> {
        match self {
            Self::Mismatch { part, import, provider, export, differences, .. } => {
                let mut lines = Vec::new();
                if interfaces::compatible(export, import) && export != import {
                    lines.push(format!("`{provider}` exports `{export}`, on the same version track"));
                } else if export != import {
                    lines.push(format!("`with` says that its `{export}` is meant"));
                }
                let sides = Sides::of(provider, "exports", part);
                lines.extend(difference_lines(differences, &sides, MAX_DIFFERENCES));
                lines
            }
            Self::RootItem { name, kind, exporters, .. } => exporters
                .iter()
                .map(|exporter| format!("`{exporter}` exports a {kind} `{name}`, and not in an interface"))
                .collect(),
            Self::IdleAllow { import, decision: Decision::Launcher(LauncherReason::BaseSet), .. } => {
                vec![match interfaces::capability(import) {
                    Some(_) => {
                        format!("`{import}` is in the base set, empty, and `[grants]` has nothing for it")
                    }
                    None => format!("`{import}` is in the base set: every part may use it"),
                }]
            }
            Self::OwnName { part, taken } if *taken == part.to_string() => {
                vec!["what is generated for a part is called so".to_owned()]
            }
            Self::OwnName { .. } => {
                vec!["imports that are there for one part alone are named after it".to_owned()]
            }
            Self::TooManyApart { .. } => vec![format!("expected at most {MAX_PARTS_WITH_OWN_IMPORTS}")],
            Self::TooManyParts { .. } => vec![format!("expected at most {MAX_PARTS}")],
            Self::IdlePolicy { used: None, .. } => vec!["no part imports it".to_owned()],
            Self::IdlePolicy { entry, used: Some(used), .. } => vec![idle_line(*entry, used)],
            Self::IdleAllow { import, decision, .. } => vec![format!("`{import}`: {}", fate(decision))],
            Self::LauncherTypes { part, other, differences, .. } => {
                difference_lines(differences, &Sides::of(other, "imports", part), MAX_DIFFERENCES)
            }
            Self::Ambiguous { import, candidates, .. } => candidates
                .iter()
                .map(|candidate| match candidate.export == *import {
                    true => format!("candidate  `{}`", candidate.part),
                    false => format!("candidate  `{}`, which exports `{}`", candidate.part, candidate.export),
                })
                .collect(),
            Self::NamedExportUnclear { exports, .. } => {
                exports.iter().map(|export| format!("`{export}`")).collect()
            }
            Self::WithoutExport { provider, exports, .. }
            | Self::NoNamedExport { provider, exports, .. }
            | Self::NoSuchExport { part: provider, exports, .. } => {
                vec![format!("`{provider}` exports {}", listed(exports))]
            }
            Self::WithUnclear { imports, .. } => imports.iter().map(|import| format!("`{import}`")).collect(),
            Self::ExportUnclear { exports, .. } => {
                exports.iter().map(|export| format!("`{export}`")).collect()
            }
            Self::Apart { .. } => {
                vec!["all parts of a recipe that is a part share what that part is granted".to_owned()]
            }
            Self::CarriedWithin { .. } => {
                vec!["the artifact carries files for the parts of its own recipe".to_owned()]
            }
            Self::ApartConfig { import, .. } => vec![format!(
                "they are variables, and other imports of `{}` in this recipe are not to show them",
                bare(import)
            )],
            Self::Missing { missing, .. } => missing_lines(missing),
            Self::Reuse { trigger, command: true } => {
                vec![format!(
                    "the application starts with `{trigger}`: it is a command and answers no requests"
                )]
            }
            Self::Reuse { trigger, command: false } => {
                vec![format!(
                    "`{trigger}` takes one request at a time; `wasi:http/handler@0.3` takes several"
                )]
            }
            Self::UnusedPart {
                part: unused, fate: Some(Fate { part, import, decision, fits, .. }), ..
            } => {
                let mut lines = vec![format!("`{part}` imports `{import}`, and {}", fate(decision))];
                if !fits {
                    lines.push(format!("what `{unused}` exports by that name has a different type"));
                }
                lines
            }
            Self::UnusedPart { exports, .. } if exports.is_empty() => vec!["it exports nothing".to_owned()],
            Self::UnusedPart { exports, .. } => {
                vec![format!("it exports {}, and no other part imports that", listed(exports))]
            }
            Self::UnusedGrant { fate: Some((part, decision)), .. } => {
                vec![format!("`{part}` imports it, and {}", fate(decision))]
            }
            Self::NoPartExports { exports, .. } => exports
                .iter()
                .take(MAX_DIFFERENCES)
                .map(|candidate| format!("`{}` exports `{}`", candidate.part, candidate.export))
                .collect(),
            Self::NotGranted { .. } => vec![
                "what a part may reach is for the recipe to say that the application is made of".to_owned(),
            ],
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
            Self::World { who, violations, .. } => violation_lines(who, violations),
            Self::BakedElsewhere { other, .. } => vec![other.clone()],
            Self::BakedTypes { part, differences, .. } => {
                let sides = Sides {
                    theirs: "values are baked as".to_owned(),
                    ours: format!("`{part}` imports"),
                    lacks: "no values can be baked for it".to_owned(),
                };
                difference_lines(differences, &sides, MAX_DIFFERENCES)
            }
            Self::Split { edge, resource, first, second } => split_lines(edge, resource, first, second),
            _ => Vec::new(),
        }
    }
}

/// How the two sides of a comparison are called.
struct Sides {
    /// Who has what is compared: "`auth` exports".
    theirs: String,
    /// Who needs it: "`api` imports".
    ours: String,
    /// That the first lacks it.
    lacks: String,
}

impl Sides {
    /// Of two parts.
    fn of(provider: &PartName, exports: &str, part: &PartName) -> Self {
        Self {
            theirs: format!("`{provider}` {exports}"),
            ours: format!("`{part}` imports"),
            lacks: format!("`{provider}` does not export it"),
        }
    }
}

/// Every violation of a world: a line, and those of its differences.
fn violation_lines(who: &str, violations: &[Violation]) -> Vec<String> {
    let mut lines = Vec::new();
    for Violation { side, owner, name, lacking, differences } in violations {
        let owner = owner.as_ref().map_or(who, PartName::as_str);
        let verb = match side {
            Side::Import => "import",
            Side::Export => "export",
        };
        let world = format!("the world {verb}s");
        let sides = match side {
            Side::Import => Sides {
                theirs: world,
                ours: format!("`{owner}` imports"),
                lacks: "the world does not import it".to_owned(),
            },
            Side::Export => Sides {
                theirs: format!("`{owner}` exports"),
                ours: world,
                lacks: format!("`{owner}` does not export it"),
            },
        };
        lines.push(match (side, lacking) {
            (Side::Import, true) => format!("`{owner}` imports `{name}`, and the world does not"),
            (Side::Export, true) => format!("the world exports `{name}`, and `{owner}` does not"),
            (_, false) => format!("both {verb} `{name}`, with different types"),
        });
        lines.extend(difference_lines(differences, &sides, MAX_VIOLATIONS));
    }
    lines
}

/// Two lines for each difference, types aligned.
fn difference_lines(differences: &[Difference], sides: &Sides, most: usize) -> Vec<String> {
    let Sides { theirs, ours, lacks } = sides;
    let mut lines = Vec::new();
    for difference in differences.iter().take(most) {
        let above = difference.exported.as_ref().map_or(0, |_| theirs.chars().count());
        let width = above.max(ours.chars().count());
        let label = format!("{}: ", difference.item);
        let pad = " ".repeat(label.chars().count());
        let exported = match &difference.exported {
            Some(exported) => format!("{theirs:width$}  {exported}"),
            None => lacks.clone(),
        };
        lines.push(format!("{label}{exported}"));
        lines.push(format!("{pad}{ours:width$}  {}", difference.imported));
    }
    if let Some(more @ 1..) = differences.len().checked_sub(most) {
        lines.push(format!("and {}", count(more, "more difference", "more differences")));
    }
    lines
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

/// Why a policy says nothing new of an import.
fn idle_line(entry: Entry, used: &PolicyUse) -> String {
    let PolicyUse { part, import, decision, allowed } = used;
    match decision {
        Decision::Wire { explicit: true, .. } if entry == Entry::Deny => {
            format!("`{part}` imports `{import}`, and its own `with` names a provider")
        }
        Decision::Wire { .. } | Decision::Launcher(_) | Decision::Baked { rest: Some(_), .. }
            if entry == Entry::Deny =>
        {
            format!("`{part}` imports `{import}`, and its own table allows it")
        }
        Decision::Launcher(LauncherReason::BaseSet) if interfaces::capability(import).is_none() => {
            format!("`{import}` is in the base set: every part may use it")
        }
        Decision::Launcher(LauncherReason::BaseSet) => {
            format!(
                "`{part}` imports `{import}`, which is in the base set, empty, and `[grants]` has nothing for it"
            )
        }
        decision if decision.launcher() == Some(LauncherReason::Granted) => match allowed {
            Allowed::Itself => format!("`{part}` imports `{import}`, and its own table allows it"),
            Allowed::Values => format!("`{part}` imports `{import}`, and its own table grants it"),
            Allowed::Policy(other) => format!("`{part}` imports `{import}`, which `{other}` allows"),
        },
        decision => format!("`{part}` imports `{import}`, and {}", fate(decision)),
    }
}

fn fate(decision: &Decision) -> String {
    match decision {
        Decision::Wire { part, .. } => format!("`{part}` provides it"),
        Decision::Deny { pattern, policy: false } => format!("`deny` has `{pattern}`"),
        Decision::Deny { pattern, policy: true } => format!("`[policy]` denies `{pattern}`"),
        Decision::Baked { .. } => "its values are baked".to_owned(),
        Decision::Launcher(LauncherReason::BaseSet) => "does not allow it".to_owned(),
        Decision::Launcher(LauncherReason::Granted) => "has values of its own".to_owned(),
        Decision::Launcher(LauncherReason::TypesOnly) => {
            "the launcher provides it without a grant".to_owned()
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
        (Origin::LauncherAlone, _) => format!("{who} has it from the launcher, with values of its own"),
        (Origin::Launcher, Some(_)) => format!("{who} has it from the launcher"),
        (Origin::Part(origin), Some(part)) if origin == part => format!("{who} defines its own"),
        (Origin::Part(origin), _) => format!("{who} has it from `{origin}`"),
        (Origin::Stub { part, import }, Some(viewer)) if part == viewer => {
            format!("{who} is denied `{}`", bare(import))
        }
        (Origin::Stub { part, .. }, _) => format!("{who} has the denied one of `{part}`"),
    }
}
