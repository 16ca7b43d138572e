//! What the recipe says without effect. Nothing is accepted and ignored.

use std::collections::{BTreeMap, BTreeSet};

use wac_types::{ItemKind, World};

use super::baked;
use super::error::{Allowed, Entry, Fate, PlanError, PolicyUse, With};
use super::{Decision, LauncherReason, Problems, Wiring};
use crate::inputs::Inputs;
use crate::interfaces::{compatible, in_base_set, nearest};
use crate::recipe::{Component, InterfaceName, InterfacePattern, PartName, Recipe, Span, Spanned};
use crate::signature;

/// Entries of `with`, `allow`, `deny` and `grants` that match no import of their part, and those of `allow` and
/// `grants` that match only what needs no leave.
pub(super) fn entries(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, problems: &mut Problems) {
    for (part, component) in &recipe.components {
        let table = Table::of(recipe, inputs, wiring, part, component);
        let Some(table) = table else { continue };
        for (entry, text, span) in table.unused() {
            let imports: Vec<&str> = table.imports().collect();
            let near = nearest(&text, imports.iter().map(|import| bare(import, &text))).map(str::to_owned);
            let imports =
                imports.iter().filter(|import| !in_base_set(import)).map(|i| (*i).to_owned()).collect();
            let part = component.pattern.as_ref().unwrap_or(part).clone();
            let problem = PlanError::UnusedEntry { part, entry, text, near, imports };
            problems.push((Some(span.clone()), problem));
        }
        let allowed = component.allow.iter().map(|pattern| (&pattern.value, &pattern.span, false));
        let granted = component.grants.iter().map(|(pattern, grant)| (pattern, &grant.span, true));
        for (pattern, span, granted) in allowed.chain(granted) {
            // What the part has by its `open`, it has not because it was allowed.
            let is_open = |import: &str| !granted && component.values.open(import).is_some();
            let needed = |import: &str, decision: &Decision| {
                (is_granted(decision) && !is_open(import))
                    || (!granted && is_lifted(recipe, import, decision))
            };
            if let Some((import, decision)) = table.idle(pattern, needed) {
                let text = pattern.to_string();
                let problem = PlanError::IdleAllow { part: part.clone(), text, import, decision, granted };
                problems.push((Some(span.clone()), problem));
            }
        }
        for (name, provider) in &component.with {
            if let Some(pattern) = table.denied_whole(name) {
                let problem = PlanError::WithDenied { part: part.clone(), name: name.to_string(), pattern };
                problems.push((Some(provider.span.clone()), problem));
            }
        }
    }
}

/// A table of the recipe and the parts that it is of: one, or all files of a pattern. What one of them uses has a use.
struct Table<'a> {
    component: &'a Component,
    /// Imports of each part, with what was decided.
    parts: Vec<(&'a World, Option<&'a BTreeMap<String, Decision>>)>,
}

impl<'a> Table<'a> {
    /// The table of `part`; `None` if it is not the first of its pattern's files: a table is looked at once.
    fn of(
        recipe: &'a Recipe,
        inputs: &'a Inputs,
        wiring: &'a Wiring,
        part: &'a PartName,
        component: &'a Component,
    ) -> Option<Self> {
        let parts: Vec<&PartName> = match &component.pattern {
            None => vec![part],
            pattern => recipe
                .components
                .iter()
                .filter(|(_, other)| other.pattern == *pattern)
                .map(|(part, _)| part)
                .collect(),
        };
        let first = parts.first() == Some(&part);
        let parts = parts.into_iter().map(|part| (inputs.world(part), wiring.get(part))).collect();
        first.then_some(Self { component, parts })
    }

    fn imports(&self) -> impl Iterator<Item = &'a str> {
        self.parts.iter().flat_map(|(world, _)| world.imports.keys().map(String::as_str))
    }

    /// Entries that match no import.
    fn unused(&self) -> Vec<(Entry, String, &'a Span)> {
        let Component { with, allow, deny, grants, .. } = self.component;
        let unused = |pattern: &&Spanned<InterfacePattern>| {
            !self.imports().any(|import| pattern.value.matches(import))
        };
        let with = with.iter().filter(|(name, _)| !self.imports().any(|import| name.matches(import)));
        let with = with.map(|(name, provider)| (Entry::With, name.to_string(), &provider.span));
        let listed = |entry| {
            move |pattern: &'a Spanned<InterfacePattern>| (entry, pattern.value.to_string(), &pattern.span)
        };
        let allow = allow.iter().filter(unused).map(listed(Entry::Allow));
        let deny = deny.iter().filter(unused).map(listed(Entry::Deny));
        let grants = grants.iter().filter(|(name, _)| !self.imports().any(|import| name.matches(import)));
        let grants = grants.map(|(name, grant)| (Entry::Grants, name.to_string(), &grant.span));
        with.chain(allow).chain(deny).chain(grants).collect()
    }

    /// The first import that is matched in vain, if no part needs the entry.
    fn idle(
        &self,
        pattern: &InterfacePattern,
        needed: impl Fn(&str, &Decision) -> bool,
    ) -> Option<(String, Decision)> {
        let mut first = None;
        for (world, decisions) in &self.parts {
            let imports: Vec<&str> = world.imports.keys().map(String::as_str).collect();
            if imports.iter().any(|import| pattern.matches(import)) {
                first = first.or(Some(idle(pattern, &imports, *decisions, &needed)?));
            }
        }
        first
    }

    /// The pattern of `deny` that takes every import which `name` means, where one does.
    fn denied_whole(&self, name: &InterfaceName) -> Option<String> {
        let denied = |import: &str| self.component.deny.iter().find(|pattern| pattern.value.matches(import));
        let meant: Vec<&str> = self.imports().filter(|import| name.matches(import)).collect();
        let pattern = denied(meant.first()?)?;
        meant.iter().all(|import| denied(import).is_some()).then(|| pattern.value.to_string())
    }
}

/// Entries of `[policy]` that decide nothing about any part.
pub(super) fn policy(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, problems: &mut Problems) {
    let allow = recipe.policy.allow.iter().map(|pattern| (Entry::Allow, pattern));
    let deny = recipe.policy.deny.iter().map(|pattern| (Entry::Deny, pattern));
    for (entry, pattern) in allow.chain(deny) {
        let imports = inputs
            .parts
            .keys()
            .flat_map(|part| inputs.world(part).imports.keys().map(move |import| (part, import.as_str())));
        let matching = imports.clone().filter(|(_, import)| pattern.value.matches(import));
        let decided = matching
            .map(|(part, import)| Some((part, import, wiring.get(part)?.get(import)?)))
            .collect::<Option<Vec<_>>>();
        // An import that is not decided is reported where that failed.
        let Some(decided) = decided else { continue };
        let decides = |(part, import, decision): &(&PartName, &str, &Decision)| match entry {
            Entry::Deny => policy_denies(recipe, inputs, &pattern.value, part, import, decision),
            _ => is_granted(decision) && recipe.policy_allows(part, import) == Some(&pattern.value),
        };
        if decided.iter().any(decides) {
            continue;
        }
        // What is granted says more of an `allow` than what needs no leave.
        let told = decided.iter().find(|(.., decision)| is_granted(decision)).or(decided.first());
        let used = told.map(|(part, import, decision)| PolicyUse {
            part: (*part).clone(),
            import: (*import).to_owned(),
            decision: (*decision).clone(),
            allowed: allowed(recipe, part, import),
        });
        let text = pattern.value.to_string();
        let near = nearest(&text, imports.map(|(_, import)| bare(import, &text))).map(str::to_owned);
        let near = near.filter(|_| used.is_none());
        problems.push((Some(pattern.span.clone()), PlanError::IdlePolicy { entry, text, near, used }));
    }
}

/// Whether it is this pattern of `[policy]` that denies a part an import, or what its baked values leave of it.
fn policy_denies(
    recipe: &Recipe,
    inputs: &Inputs,
    pattern: &InterfacePattern,
    part: &PartName,
    import: &str,
    decision: &Decision,
) -> bool {
    match (decision, inputs.world(part).imports[import]) {
        (Decision::Deny { pattern: by, policy }, _) => *policy && *by == pattern.to_string(),
        (Decision::Baked { .. }, ItemKind::Instance(interface)) => {
            recipe.policy_denies(part, import) == Some(pattern)
                && baked::has_rest(recipe, inputs, part, import, interface)
        }
        _ => false,
    }
}

fn is_granted(decision: &Decision) -> bool {
    decision.launcher() == Some(LauncherReason::Granted)
}

/// What allows a part an import that is granted.
fn allowed(recipe: &Recipe, part: &PartName, import: &str) -> Allowed {
    match recipe.policy_allows(part, import) {
        Some(pattern) => Allowed::Policy(pattern.to_string()),
        None if recipe.allows(part, import) => Allowed::Itself,
        None => Allowed::Values,
    }
}

/// What `[policy]` denies to everybody, an own `allow` gives back: where the policy would have decided, and not a rule before it.
fn is_lifted(recipe: &Recipe, import: &str, decision: &Decision) -> bool {
    let decides = match decision {
        Decision::Wire { explicit, .. } => !explicit,
        Decision::Baked { rest, .. } => rest.is_some(),
        Decision::Launcher(_) => true,
        Decision::Deny { .. } => false,
    };
    decides && recipe.policy.deny.iter().any(|denied| denied.value.matches(import))
}

/// The first import that an `allow` pattern matches, if none of those that it matches needs it. An import that is
/// not decided is reported where that failed.
fn idle(
    pattern: &InterfacePattern,
    imports: &[&str],
    decisions: Option<&BTreeMap<String, Decision>>,
    needed: impl Fn(&str, &Decision) -> bool,
) -> Option<(String, Decision)> {
    let mut first = None;
    for import in imports.iter().filter(|import| pattern.matches(import)) {
        match decisions.and_then(|decisions| decisions.get(*import)) {
            None => return None,
            Some(decision) if needed(import, decision) => return None,
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
