//! What the application exports, and what starts it.

use std::collections::{BTreeMap, BTreeSet};

use wadoo_signing::manifest::{Reuse, Trigger};

use super::error::{Candidate, PlanError};
use super::{Decision, Problems, Role, Wiring};
use crate::inputs::Inputs;
use crate::interfaces;
use crate::recipe::{PartName, Recipe, Spanned};

/// The application's exports.
pub(super) struct Exports {
    /// By full name: the part.
    pub(super) names: BTreeMap<String, PartName>,
    /// The one export among them that starts a call; a part of another recipe needs none, and may have several.
    pub(super) trigger: Option<Trigger>,
}

/// What `[exports]` says, or the one obvious trigger.
pub(super) fn choose(
    role: Role,
    recipe: &Recipe,
    inputs: &Inputs,
    wiring: &Wiring,
    problems: &mut Problems,
) -> Option<Exports> {
    if recipe.exports.is_empty() {
        obvious(role, recipe, inputs, wiring, problems)
    } else {
        named(role, recipe, inputs, problems)
    }
}

fn named(role: Role, recipe: &Recipe, inputs: &Inputs, problems: &mut Problems) -> Option<Exports> {
    let mut names = BTreeMap::new();
    let before = problems.len();
    for (name, part) in &recipe.exports {
        let exported = || inputs.exported_instances(&part.value).map(|(export, _)| export);
        let found: Vec<&str> = exported().filter(|export| name.matches(export)).collect();
        match found.as_slice() {
            [one] => {
                names.insert((*one).to_owned(), part.value.clone());
            }
            [] => problems.push((
                Some(part.span.clone()),
                PlanError::NoSuchExport {
                    name: name.to_string(),
                    part: part.value.clone(),
                    exports: exported().map(str::to_owned).collect(),
                },
            )),
            several => problems.push((
                Some(part.span.clone()),
                PlanError::ExportUnclear {
                    name: name.to_string(),
                    part: part.value.clone(),
                    exports: several.iter().map(|export| (*export).to_owned()).collect(),
                },
            )),
        }
    }
    if problems.len() > before {
        return None;
    }
    let triggers: Vec<(&String, Trigger)> =
        names.keys().filter_map(|name| interfaces::trigger(name).map(|trigger| (name, trigger))).collect();
    let span = recipe.exports.values().next().map(|part| part.span.clone());
    match triggers.as_slice() {
        _ if role == Role::Part => Some(Exports { trigger: None, names }),
        [(_, trigger)] => Some(Exports { trigger: Some(trigger.clone()), names }),
        [] => {
            problems.push((span, PlanError::NoTriggerNamed { exports: names.keys().cloned().collect() }));
            None
        }
        several => {
            let candidates = several
                .iter()
                .map(|(name, _)| Candidate { part: names[*name].clone(), export: (*name).clone() })
                .collect();
            problems.push((span, PlanError::SeveralTriggersNamed { candidates }));
            None
        }
    }
}

fn obvious(
    role: Role,
    recipe: &Recipe,
    inputs: &Inputs,
    wiring: &Wiring,
    problems: &mut Problems,
) -> Option<Exports> {
    let consumed: BTreeSet<(&PartName, &str)> = wiring
        .values()
        .flat_map(BTreeMap::values)
        .filter_map(|decision| match decision {
            Decision::Wire { part, export, .. } => Some((part, export.as_str())),
            _ => None,
        })
        .collect();
    let mut candidates: Vec<(Candidate, Trigger)> = Vec::new();
    for part in recipe.components.keys() {
        for (export, _) in inputs.exported_instances(part) {
            if let Some(trigger) = interfaces::trigger(export)
                && !consumed.contains(&(part, export))
            {
                candidates.push((Candidate { part: part.clone(), export: export.to_owned() }, trigger));
            }
        }
    }
    let span = Some(recipe.app.span.clone());
    match candidates.as_slice() {
        [(one, trigger)] => Some(Exports {
            names: BTreeMap::from([(one.export.clone(), one.part.clone())]),
            trigger: Some(trigger.clone()),
        }),
        [] if role == Role::Part => {
            let parts = recipe.components.keys();
            let exports = parts
                .flat_map(|part| inputs.exported_instances(part).map(move |(export, _)| (part, export)))
                .filter(|(part, export)| !consumed.contains(&(*part, *export)))
                .map(|(part, export)| Candidate { part: part.clone(), export: export.to_owned() })
                .collect();
            problems.push((span, PlanError::NoPartExports { app: recipe.app.name.to_string(), exports }));
            None
        }
        [] => {
            let near = recipe
                .components
                .keys()
                .flat_map(|part| inputs.exported_instances(part).map(move |(export, _)| (part, export)))
                .filter(|(_, export)| is_like_a_trigger(export))
                .map(|(part, export)| Candidate { part: part.clone(), export: export.to_owned() })
                .collect();
            problems.push((span, PlanError::NoTrigger { app: recipe.app.name.to_string(), near }));
            None
        }
        several => {
            problems.push((
                span,
                PlanError::SeveralTriggers {
                    app: recipe.app.name.to_string(),
                    candidates: several.iter().map(|(candidate, _)| candidate.clone()).collect(),
                },
            ));
            None
        }
    }
}

/// The interface of a trigger, in a version that is none.
fn is_like_a_trigger(export: &str) -> bool {
    let id = export.split('@').next().unwrap_or(export);
    interfaces::trigger(export).is_none()
        && matches!(id, "wasi:http/incoming-handler" | "wasi:http/handler" | "wasi:cli/run")
}

/// Requests can only share what takes requests, and at once only what takes several.
pub(super) fn check_reuse(
    recipe: &Recipe,
    trigger: &Trigger,
    exports: &BTreeMap<String, PartName>,
    problems: &mut Problems,
) {
    let Some(Spanned { value, span }) = &recipe.reuse else { return };
    let command = match (trigger, value) {
        (_, Reuse::None { warm: 0 })
        | (Trigger::Http03, _)
        | (Trigger::Http02, Reuse::None { .. } | Reuse::Serial { .. }) => return,
        (Trigger::Http02, Reuse::Concurrent(_)) => false,
        (Trigger::Command02 | Trigger::Command03, _) => true,
    };
    let trigger = exports.keys().find(|export| interfaces::trigger(export).is_some());
    let problem = PlanError::Reuse { trigger: trigger.cloned().unwrap_or_default(), command };
    problems.push((Some(span.clone()), problem));
}
