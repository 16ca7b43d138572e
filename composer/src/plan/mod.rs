//! The plan: every import of every part decided, with the reason.
//!
//! [`plan`] is pure: it takes a recipe and inputs and says what `link` will do, or everything that is wrong.
//! It does not touch bytes. Nothing is dropped in silence: an import is wired, denied or left to the launcher
//! by a rule, and what the recipe says without effect is an error.
//!
//! The rules, first match wins: baked values; `deny`; `with`; the `deny` of `[policy]`; the one other part that exports a compatible name with a
//! fitting type; the base set; a grant that the part allows; an interface that has only types.

mod asked;
mod baked;
mod because;
mod conform;
mod cycle;
mod decide;
mod deny;
mod error;
mod exports;
mod hint;
mod launcher;
mod own;
mod resources;
mod show;
mod unused;

use std::collections::{BTreeMap, BTreeSet};

use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::{Grant, Trigger};
use wadoo_signing::report::Report;

pub(crate) use baked::{DEVICE, granted_variables, is_open_configuration};
pub use error::PlanError;
pub(crate) use launcher::carries_values;
pub use show::SCHEMA;

use crate::inputs::Inputs;
use crate::recipe::{MemorySize, PartName, Recipe, Span, Values};

/// What becomes of every import and export. Displayed by `wadoo plan`.
#[derive(Debug)]
pub struct Plan {
    /// The application's name.
    pub app: String,
    /// Its version.
    pub version: String,
    /// Every part of the recipe, and the instances that parts have for themselves; each is used.
    pub parts: BTreeMap<PartName, PartPlan>,
    /// What the application exports, by full name: the part whose export it is.
    pub exports: BTreeMap<String, PartName>,
    /// What starts a call into the application; `None` only for a composition that is a part of another.
    pub trigger: Option<Trigger>,
    /// The imports that the launcher must provide, by the name that they have in the linked component.
    pub launcher: BTreeMap<String, LauncherImport>,
}

/// One part.
#[derive(Debug)]
pub struct PartPlan {
    /// The component that it is an instance of.
    pub digest: Sha256Digest,
    /// Every import of that component.
    pub imports: BTreeMap<String, Decision>,
    /// What it may reach by those of them that are granted.
    pub grants: BTreeMap<String, Grant>,
    /// The most that each of its memories may have.
    pub memory: Option<MemorySize>,
    /// What is baked into it.
    pub values: Values,
    /// Exports that are neither wired nor exported.
    pub left_over: Vec<String>,
}

/// What becomes of one import of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Another part's export is bound to it.
    Wire {
        /// The provider.
        part: PartName,
        /// The provider's name for the interface; the import's own or one on its track.
        export: String,
        /// Named by `with`, and not found by type.
        explicit: bool,
    },
    /// An implementation whose every call fails is bound to it.
    Deny {
        /// The pattern of the recipe that says so.
        pattern: String,
        /// It stands in `[policy]`, and not in the part's own table.
        policy: bool,
    },
    /// A generated component that has the part's values is bound to it.
    Baked {
        /// What it has, by name.
        keys: Vec<String>,
        /// Why it may have the rest from the launcher; `None` if it needs nothing.
        rest: Option<LauncherReason>,
    },
    /// The launcher provides it.
    Launcher(LauncherReason),
}

impl PartPlan {
    /// What the device gives of its configuration.
    pub(crate) fn open_configuration(&self) -> Option<&Grant> {
        let mut imports = self.imports.iter();
        let (import, _) = imports.find(|(import, decision)| is_open_configuration(import, decision))?;
        self.grants.get(import)
    }
}

impl Decision {
    /// Why the launcher provides it, or what is not baked of it.
    pub fn launcher(&self) -> Option<LauncherReason> {
        match self {
            Self::Launcher(reason) => Some(*reason),
            Self::Baked { rest, .. } => *rest,
            Self::Wire { .. } | Self::Deny { .. } => None,
        }
    }
}

/// Why an import may be left to the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LauncherReason {
    /// Every launcher provides it.
    BaseSet,
    /// `[grants]` has it, and the part allows it.
    Granted,
    /// It has only types: there is nothing to provide.
    TypesOnly,
}

/// One import of the whole application.
#[derive(Debug, Default)]
pub struct LauncherImport {
    /// The interface by its full name. The import has another name if it is there for one part alone.
    pub interface: String,
    /// The parts that it is passed to. Empty if only types of it are used, by another import.
    pub parts: BTreeSet<PartName>,
    /// The parts whose configuration takes its open keys from it. It is not passed to the parts themselves.
    pub config_of: BTreeSet<PartName>,
    /// The imports whose types come from it, where no part imports it.
    pub used_by: BTreeSet<String>,
    /// The values, if it is granted.
    pub grant: Option<Grant>,
}

impl Plan {
    /// What the launcher provides to `part` as `import`, and its name at the root.
    pub fn root_import(&self, part: &PartName, import: &str) -> Option<(&str, &LauncherImport)> {
        launcher::root_import(&self.launcher, part, import)
    }

    /// What the launcher provides to the configuration of `part`, for its open keys, and its name at the root.
    pub fn root_of_config(&self, part: &PartName) -> Option<(&str, &LauncherImport)> {
        launcher::root_of_config(&self.launcher, part)
    }

    /// Whether parts are given different values of one capability, so that one import does not do for all.
    pub fn tells_parts_apart(&self) -> bool {
        self.launcher.iter().any(|(name, import)| *name != import.interface)
    }
}

/// Every decision, by part and import.
type Wiring = BTreeMap<PartName, BTreeMap<String, Decision>>;

/// What was found wrong, with its place in the recipe.
type Problems = Vec<(Option<Span>, PlanError)>;

/// What a recipe is composed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Something that a launcher starts.
    Application,
    /// A part of another recipe, which calls whatever it exports.
    Part,
}

/// Decides every import of an application.
///
/// # Errors
///
/// Every problem that does not follow from another one, in the order of the recipe.
pub fn plan(recipe: &Recipe, inputs: &Inputs) -> Result<Plan, Vec<Report>> {
    plan_as(Role::Application, recipe, inputs)
}

/// Decides every import of a recipe that is a part of another one. It may export anything, and what concerns a process of
/// its own does not hold.
///
/// # Errors
///
/// Those of [`plan`].
pub fn part(recipe: &Recipe, inputs: &Inputs) -> Result<Plan, Vec<Report>> {
    plan_as(Role::Part, recipe, inputs)
}

fn plan_as(role: Role, recipe: &Recipe, inputs: &Inputs) -> Result<Plan, Vec<Report>> {
    let mut problems = Problems::new();
    let wiring = decide::decide(recipe, inputs, &mut problems);
    let decided = problems.is_empty();
    conform::parts(recipe, inputs, &mut problems);
    unused::entries(recipe, inputs, &wiring, &mut problems);
    unused::policy(recipe, inputs, &wiring, &mut problems);
    baked::check(recipe, inputs, &wiring, &mut problems);
    cycle::check(recipe, &wiring, &mut problems);
    let acyclic = !problems.iter().any(|(_, problem)| matches!(problem, PlanError::Cycle { .. }));
    // Without every wire, the trigger, unused parts and resources would only repeat what is wrong.
    let exports = if acyclic && (decided || !recipe.exports.is_empty()) {
        exports::choose(role, recipe, inputs, &wiring, &mut problems)
    } else {
        None
    };
    asked::check(recipe, inputs, &wiring, &mut problems);
    let whole = exports.as_ref().filter(|_| decided && acyclic);
    if let Some(exports) = whole {
        if let Some(trigger) = &exports.trigger
            && role == Role::Application
        {
            exports::check_reuse(recipe, trigger, &exports.names, &mut problems);
        }
        unused::parts(recipe, inputs, &wiring, &exports.names, &mut problems);
    }
    let separate = match whole {
        Some(exports) if problems.is_empty() => own::separate(recipe, &wiring, &exports.names, &mut problems),
        _ => None,
    };
    let wiring = separate.unwrap_or(wiring);
    let launcher = launcher::imports(recipe, inputs, &wiring, decided, &mut problems);
    if role == Role::Part {
        launcher::refuse_apart(recipe, &launcher, &mut problems);
        launcher::refuse_files(recipe, &mut problems);
    }
    if let Some(exports) = whole {
        conform::application(recipe, inputs, &exports.names, &launcher, &mut problems);
        let before = problems.len();
        resources::check(recipe, inputs, &wiring, exports, &launcher, &mut problems);
        if problems.len() == before {
            deny::check(recipe, inputs, &wiring, &mut problems);
        }
    }
    match exports {
        Some(exports) if problems.is_empty() => Ok(assemble(recipe, inputs, wiring, exports, launcher)),
        _ => Err(reports(recipe, problems)),
    }
}

fn assemble(
    recipe: &Recipe,
    inputs: &Inputs,
    wiring: Wiring,
    exports: exports::Exports,
    launcher: BTreeMap<String, LauncherImport>,
) -> Plan {
    let wired: BTreeSet<(&PartName, &str)> = wiring
        .values()
        .flat_map(BTreeMap::values)
        .filter_map(|decision| match decision {
            Decision::Wire { part, export, .. } => Some((part, export.as_str())),
            _ => None,
        })
        .chain(exports.names.iter().map(|(name, part)| (part, name.as_str())))
        .collect();
    let left_over: BTreeMap<PartName, Vec<String>> = wiring
        .keys()
        .map(|part| {
            let names = inputs.world(part).exports.keys();
            (part.clone(), names.filter(|name| !wired.contains(&(part, name.as_str()))).cloned().collect())
        })
        .collect();
    let parts = wiring
        .into_iter()
        .map(|(part, imports)| {
            let left_over = left_over.get(&part).cloned().unwrap_or_default();
            let digest = inputs.parts[part.in_recipe()];
            let granted = imports.iter().filter(|(_, d)| d.launcher() == Some(LauncherReason::Granted));
            let grants = granted
                .filter_map(|(import, _)| Some((import.clone(), recipe.grant(&part, import)?.clone())))
                .collect();
            let part_recipe = recipe.component(&part);
            let memory = part_recipe.memory.as_ref().map(|memory| memory.value);
            let values = part_recipe.values.clone();
            (part, PartPlan { digest, imports, grants, memory, values, left_over })
        })
        .collect();
    Plan {
        app: recipe.app.name.to_string(),
        version: recipe.app.version.to_string(),
        parts,
        exports: exports.names,
        trigger: exports.trigger,
        launcher,
    }
}

/// A hint that names tables as the recipe has them: a file of a pattern has none of its own.
fn of_patterns(recipe: &Recipe, hint: String) -> String {
    recipe.components.iter().fold(hint, |hint, (part, component)| {
        let named = format!("`[components.{part}]`");
        match &component.pattern {
            Some(pattern) if hint.contains(&named) => format!(
                "{} (which holds for every file of its pattern: narrow that, or give this file a table of its own)",
                hint.replace(&named, &format!("`[components.{pattern}]`"))
            ),
            _ => hint,
        }
    })
}

fn reports(recipe: &Recipe, problems: Problems) -> Vec<Report> {
    let mut reports: Vec<Report> = problems
        .into_iter()
        .map(|(span, problem)| {
            let mut report = problem.report();
            report.hint = report.hint.map(|hint| of_patterns(recipe, hint));
            match span {
                Some(span) => report.at(recipe.source.place(&span)),
                None => report,
            }
        })
        .collect();
    let key = |report: &Report| {
        let place = report.place.as_ref().map_or((usize::MAX, 0), |place| (place.line, place.column));
        (place, report.what.clone())
    };
    reports.sort_by_key(key);
    // Two imports may have one problem with one cause.
    reports.dedup();
    reports
}
