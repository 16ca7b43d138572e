//! What the recipe says without effect. Nothing is accepted and ignored.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Entry, Fate, PlanError, With};
use super::{Decision, LauncherReason, Problems, Wiring};
use crate::inputs::Inputs;
use crate::interfaces::{compatible, in_base_set, nearest};
use crate::recipe::{InterfacePattern, PartName, Recipe, Span};
use crate::signature;

/// Entries of `with`, `allow`, `deny` and `grants` that match no import of their part, and those of `allow` and
/// `grants` that match only what needs no leave.
pub(super) fn entries(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, problems: &mut Problems) {
    for (part, component) in &recipe.components {
        let imports: Vec<&str> = inputs.world(part).imports.keys().map(String::as_str).collect();
        let mut report = |entry: Entry, text: String, span: &Span| {
            let near = nearest(&text, imports.iter().map(|import| bare(import, &text))).map(str::to_owned);
            let imports =
                imports.iter().filter(|import| !in_base_set(import)).map(|i| (*i).to_owned()).collect();
            let problem = PlanError::UnusedEntry { part: part.clone(), entry, text, near, imports };
            problems.push((Some(span.clone()), problem));
        };
        for (name, provider) in &component.with {
            if !imports.iter().any(|import| name.matches(import)) {
                report(Entry::With, name.to_string(), &provider.span);
            }
        }
        for pattern in &component.allow {
            if !imports.iter().any(|import| pattern.value.matches(import)) {
                report(Entry::Allow, pattern.value.to_string(), &pattern.span);
            }
        }
        for pattern in &component.deny {
            if !imports.iter().any(|import| pattern.value.matches(import)) {
                report(Entry::Deny, pattern.value.to_string(), &pattern.span);
            }
        }
        for (pattern, grant) in &component.grants {
            if !imports.iter().any(|import| pattern.matches(import)) {
                report(Entry::Grants, pattern.to_string(), &grant.span);
            }
        }
        let allowed = component.allow.iter().map(|pattern| (&pattern.value, &pattern.span, false));
        let granted = component.grants.iter().map(|(pattern, grant)| (pattern, &grant.span, true));
        for (pattern, span, granted) in allowed.chain(granted) {
            if let Some((import, decision)) = idle(pattern, &imports, wiring.get(part)) {
                let text = pattern.to_string();
                let problem = PlanError::IdleAllow { part: part.clone(), text, import, decision, granted };
                problems.push((Some(span.clone()), problem));
            }
        }
        for (name, provider) in &component.with {
            let matching: Vec<&&str> = imports.iter().filter(|import| name.matches(import)).collect();
            let denied = |import: &str| component.deny.iter().find(|pattern| pattern.value.matches(import));
            if let Some(first) = matching.first()
                && let Some(pattern) = denied(first)
                && matching.iter().all(|import| denied(import).is_some())
            {
                let problem = PlanError::WithDenied {
                    part: part.clone(),
                    name: name.to_string(),
                    pattern: pattern.value.to_string(),
                };
                problems.push((Some(provider.span.clone()), problem));
            }
        }
    }
}

/// The first import that an `allow` pattern matches, if none of those that it matches needs it. An import that is
/// not decided is reported where that failed.
fn idle(
    pattern: &InterfacePattern,
    imports: &[&str],
    decisions: Option<&BTreeMap<String, Decision>>,
) -> Option<(String, Decision)> {
    let mut first = None;
    for import in imports.iter().filter(|import| pattern.matches(import)) {
        match decisions.and_then(|decisions| decisions.get(*import)) {
            None | Some(Decision::Launcher(LauncherReason::Granted)) => return None,
            Some(decision) => {
                first.get_or_insert_with(|| ((*import).to_owned(), decision.clone()));
            }
        }
    }
    first
}

/// The import as the entry would write it: without a version, if the entry has none.
fn bare<'a>(import: &'a str, entry: &str) -> &'a str {
    if entry.contains('@') { import } else { import.split('@').next().unwrap_or(import) }
}

/// Parts that no export of the application reaches over wires.
pub(super) fn parts(
    recipe: &Recipe,
    inputs: &Inputs,
    wiring: &Wiring,
    exports: &BTreeMap<String, PartName>,
    problems: &mut Problems,
) {
    let mut used: BTreeSet<&PartName> = BTreeSet::new();
    let mut open: Vec<&PartName> = exports.values().collect();
    while let Some(part) = open.pop() {
        if used.insert(part) {
            open.extend(wiring[part].values().filter_map(|decision| match decision {
                Decision::Wire { part, .. } => Some(part),
                _ => None,
            }));
        }
    }
    for (part, component) in &recipe.components {
        if !used.contains(part) {
            let exports: Vec<String> = inputs.world(part).exports.keys().cloned().collect();
            let fates = exports.iter().filter_map(|export| fate(recipe, inputs, wiring, part, export));
            let fate = fates.min_by_key(|fate| !fate.fits);
            problems.push((
                Some(component.span.clone()),
                PlanError::UnusedPart { part: part.clone(), exports, fate },
            ));
        }
    }
}

/// An import of another part that an unused export has the name for: one that it fits, if there is one.
fn fate(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, part: &PartName, export: &str) -> Option<Fate> {
    let others = wiring.iter().filter(|(other, _)| *other != part);
    let imports = others.flat_map(|(other, decisions)| decisions.iter().map(move |(i, d)| (other, i, d)));
    let named = imports.filter(|(_, import, decision)| {
        let wired_here = matches!(decision, Decision::Wire { part: provider, .. } if provider == part);
        compatible(import, export) && !wired_here
    });
    let fates = named.map(|(other, import, decision)| {
        let (wanted, offered) = (inputs.world(other).imports[import], inputs.world(part).exports[export]);
        Fate {
            part: other.clone(),
            import: import.clone(),
            decision: decision.clone(),
            with: With::of(&recipe.components[other], import),
            fits: signature::is_subtype(&inputs.types, offered, wanted),
        }
    });
    fates.min_by_key(|fate| !fate.fits)
}
