//! What a part that is a recipe has values for in its own recipe. Those values do not hold where it is a part: the recipe
//! of the application grants its own, or refuses the import in so many words.
//!
//! An import outside the base set cannot be overlooked, because it has no provider; this is about the rest.

use super::error::PlanError;
use super::{Decision, LauncherReason, Problems, Wiring};
use crate::inputs::Inputs;
use crate::interfaces::track;
use crate::recipe::Recipe;

pub(super) fn check(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, problems: &mut Problems) {
    for (part, asked) in &inputs.asked {
        let Some(decisions) = wiring.get(part) else { continue };
        for (import, decision) in decisions {
            let is_asked = asked.iter().any(|name| track(name) == track(import));
            let has_nothing = match decision {
                Decision::Launcher(reason) => *reason == LauncherReason::BaseSet,
                // Arguments alone answer nobody who asks for variables.
                Decision::Baked { rest, .. } => {
                    *rest != Some(LauncherReason::Granted) && recipe.components[part].values.env.is_none()
                }
                _ => false,
            };
            if is_asked && has_nothing {
                let problem = PlanError::NotGranted { part: part.clone(), import: import.clone() };
                problems.push((Some(recipe.components[part].span.clone()), problem));
            }
        }
    }
}
