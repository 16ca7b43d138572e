//! Instantiation has to start somewhere: wires must not lead in a circle.

use std::collections::BTreeSet;

use super::error::{PlanError, Step};
use super::{Decision, Problems, Wiring};
use crate::recipe::{PartName, Recipe};

/// Reports each circle once, whole, from its first part by name.
pub(super) fn check(recipe: &Recipe, wiring: &Wiring, problems: &mut Problems) {
    let mut finished = BTreeSet::new();
    for start in wiring.keys() {
        let mut path = Vec::new();
        if let Some(steps) = search(start, wiring, &mut finished, &mut path) {
            let first = steps.iter().map(|step| &step.part).min().unwrap_or(start);
            problems.push((Some(recipe.components[first].span.clone()), PlanError::Cycle { steps }));
        }
    }
}

/// Depth first; recursion is bounded by the number of parts.
fn search(
    part: &PartName,
    wiring: &Wiring,
    finished: &mut BTreeSet<PartName>,
    path: &mut Vec<Step>,
) -> Option<Vec<Step>> {
    if finished.contains(part) {
        return None;
    }
    if let Some(start) = path.iter().position(|step| step.part == *part) {
        let mut steps = path[start..].to_vec();
        let first = (0..steps.len()).min_by_key(|i| &steps[*i].part).unwrap_or(0);
        steps.rotate_left(first);
        // Each of them has been seen; none starts a second report.
        finished.extend(steps.iter().map(|step| step.part.clone()));
        return Some(steps);
    }
    for (import, decision) in wiring.get(part).into_iter().flatten() {
        if let Decision::Wire { part: provider, .. } = decision {
            path.push(Step { part: part.clone(), import: import.clone(), provider: provider.clone() });
            let found = search(provider, wiring, finished, path);
            path.pop();
            if found.is_some() {
                return found;
            }
        }
    }
    finished.insert(part.clone());
    None
}
