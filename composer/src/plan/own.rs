//! Instances that a part has for itself: `own = true` in its `with`.
//!
//! An instance of one's own is a part like any other from here on, called `cart/log`. It is decided as the part of the recipe
//! is that it is an instance of, so no rule is asked twice, and what that part has for itself, it has for itself too:
//! `cart/log/store`. A part of the recipe of which everybody has an instance of their own has none besides.
//!
//! Every part of the result is reached from an export.

use std::collections::{BTreeMap, BTreeSet};

use super::error::PlanError;
use super::{Decision, Problems, Wiring};
use crate::recipe::{Component, MAX_PARTS, PartName, Recipe};

/// Gives each part that asks for it an instance of its provider that no other part has. `wiring` has no circle. `None` if
/// something is wrong.
pub(super) fn separate(
    recipe: &Recipe,
    wiring: &Wiring,
    exports: &BTreeMap<String, PartName>,
    problems: &mut Problems,
) -> Option<Wiring> {
    let before = problems.len();
    let mut separate = Wiring::new();
    let mut open: Vec<PartName> = exports.values().cloned().collect();
    while let Some(part) = open.pop() {
        if separate.contains_key(&part) {
            continue;
        }
        // What has instances of its own can be one of them: without a limit, a few lines could give any number.
        if separate.len() == MAX_PARTS {
            let problem = PlanError::TooManyParts { app: recipe.app.name.to_string() };
            problems.push((Some(recipe.component(&part).span.clone()), problem));
            return None;
        }
        let mut decisions = wiring[part.in_recipe()].clone();
        for (import, decision) in &mut decisions {
            if let Decision::Wire { part: provider, .. } = decision {
                if is_own(recipe.component(&part), import) {
                    *provider = PartName::of_own(&part, provider);
                }
                open.push(provider.clone());
            }
        }
        separate.insert(part, decisions);
    }
    check_names(recipe, &separate, problems);
    (problems.len() == before).then_some(separate)
}

fn is_own(component: &Component, import: &str) -> bool {
    component.provider_of(import).is_some_and(|(_, provider)| provider.value.own)
}

/// How `link` calls what it generates for a part: `cart/denied`, `cart/baked`, `cart/open`, `cart/files`.
const GENERATED: [&str; 4] = ["denied", "baked", "open", "files"];

/// What is there for one part alone, or generated for it, is named after it, and such names have no slash.
fn check_names(recipe: &Recipe, wiring: &Wiring, problems: &mut Problems) {
    let mut names: BTreeSet<String> =
        wiring.keys().filter(|part| !part.is_own()).map(PartName::flat).collect();
    for part in wiring.keys().filter(|part| part.is_own()) {
        let generated = GENERATED.contains(&part.in_recipe());
        if generated || !names.insert(part.flat()) {
            let taken = if generated { part.to_string() } else { part.flat() };
            let span = recipe.component(part).span.clone();
            problems.push((Some(span), PlanError::OwnName { part: part.clone(), taken }));
        }
    }
}
