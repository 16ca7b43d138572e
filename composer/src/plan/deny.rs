//! Denied interfaces must be denied together with what comes back to them.
//!
//! A stub defines the denied interfaces and imports what they use of others. If such another one uses a denied
//! interface in turn, the stub would define that and import it. For resources `resources` finds the same; this
//! finds it for plain types, which have no identity.

use std::collections::BTreeSet;

use wac_types::{InterfaceId, ItemKind};

use super::error::PlanError;
use super::{Decision, Problems, Wiring};
use crate::inputs::Inputs;
use crate::recipe::Recipe;

/// Reports each denied import that needs a denied one through one that is not.
pub(super) fn check(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, problems: &mut Problems) {
    for (part, decisions) in wiring {
        let is_denied = |name: &str| matches!(decisions.get(name), Some(Decision::Deny { .. }));
        let gap = decisions.iter().find_map(|(import, decision)| {
            let Decision::Deny { policy, .. } = decision else { return None };
            let Some(ItemKind::Instance(interface)) = inputs.world(part).imports.get(import) else {
                return None;
            };
            let through = gap(inputs, *interface, &is_denied, &mut BTreeSet::new())?;
            let component = recipe.component(part);
            let list = if *policy { &recipe.policy.deny } else { &component.deny };
            let span = list.first().map_or(&component.span, |pattern| &pattern.span);
            let (part, denied) = (part.clone(), import.clone());
            Some((Some(span.clone()), PlanError::DenyGap { part, denied, through, policy: *policy }))
        });
        problems.extend(gap);
    }
}

/// An interface that `interface` uses, that is not denied, and that uses a denied one, directly or not.
fn gap(
    inputs: &Inputs,
    interface: InterfaceId,
    is_denied: &impl Fn(&str) -> bool,
    seen: &mut BTreeSet<String>,
) -> Option<String> {
    for used in inputs.types[interface].uses.values() {
        let Some(name) = inputs.types[used.interface].id.as_deref() else { continue };
        if !is_denied(name) && seen.insert(name.to_owned()) && reaches(inputs, used.interface, is_denied) {
            return Some(name.to_owned());
        }
    }
    None
}

/// Whether `interface` uses a denied one, directly or not. `use` never leads in a circle.
fn reaches(inputs: &Inputs, interface: InterfaceId, is_denied: &impl Fn(&str) -> bool) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![interface];
    while let Some(interface) = open.pop() {
        for used in inputs.types[interface].uses.values() {
            let Some(name) = inputs.types[used.interface].id.as_deref() else { continue };
            if is_denied(name) {
                return true;
            }
            if seen.insert(name.to_owned()) {
                open.push(used.interface);
            }
        }
    }
    false
}
