//! What is left to the launcher, merged as the root of the application will import it, and its grants.

use std::collections::{BTreeMap, BTreeSet};

use wac_types::{InterfaceId, ItemKind};
use wadoo_signing::manifest::Grant;

use super::error::{MissingImport, Near, PlanError};
use super::{Decision, LauncherImport, LauncherReason, Problems, Wiring, decide};
use crate::inputs::Inputs;
use crate::interfaces;
use crate::recipe::{PartName, Recipe};
use crate::signature::{self, Difference};

/// One use of an import by a part.
struct Use<'a> {
    part: &'a PartName,
    import: &'a str,
    interface: InterfaceId,
    reason: LauncherReason,
}

/// The root imports by the highest version of each track. Checks that types merge and that grants have an
/// effect; the latter only if every import was `decided`.
pub(super) fn imports(
    recipe: &Recipe,
    inputs: &Inputs,
    wiring: &Wiring,
    decided: bool,
    problems: &mut Problems,
) -> BTreeMap<String, LauncherImport> {
    let mut tracks: BTreeMap<String, Vec<Use>> = BTreeMap::new();
    for (part, decisions) in wiring {
        for (import, decision) in decisions {
            if let (Decision::Launcher(reason), Some(ItemKind::Instance(interface))) =
                (decision, inputs.world(part).imports.get(import))
            {
                let used = Use { part, import, interface: *interface, reason: *reason };
                tracks.entry(interfaces::track(import)).or_default().push(used);
            }
        }
    }
    let mut imports = BTreeMap::new();
    for uses in tracks.values() {
        check_types_merge(recipe, inputs, uses, problems);
        check_one_value(recipe, uses, problems);
        let name = uses.iter().map(|used| used.import).max_by_key(|import| interfaces::version(import));
        let granted = uses.iter().find(|used| used.reason == LauncherReason::Granted);
        imports.insert(
            name.unwrap_or_default().to_owned(),
            LauncherImport {
                parts: uses.iter().map(|used| used.part.clone()).collect(),
                used_by: BTreeSet::new(),
                grant: granted.and_then(|used| grant(recipe, used.import)),
            },
        );
    }
    add_used_types(recipe, inputs, &tracks, &mut imports, problems);
    if decided {
        check_grants_are_used(recipe, inputs, wiring, problems);
    }
    imports
}

/// The grant of the recipe for `import`.
fn grant(recipe: &Recipe, import: &str) -> Option<Grant> {
    // The parser sees to it that no two names mean the same.
    let (_, grant) = recipe.grants.iter().find(|(name, _)| name.matches(import))?;
    Some(grant.value.clone())
}

/// One root import serves all uses of a track, so their types must fit each other.
fn check_types_merge(recipe: &Recipe, inputs: &Inputs, uses: &[Use], problems: &mut Problems) {
    for (i, later) in uses.iter().enumerate() {
        for earlier in &uses[..i] {
            let differences = conflicts(inputs, earlier.interface, later.interface);
            if !differences.is_empty() {
                problems.push((
                    Some(recipe.components[later.part].span.clone()),
                    PlanError::LauncherTypes {
                        import: later.import.to_owned(),
                        part: later.part.clone(),
                        other: earlier.part.clone(),
                        differences,
                    },
                ));
                break;
            }
        }
    }
}

/// Items that both have, and of which neither type can stand in for the other.
fn conflicts(inputs: &Inputs, a: InterfaceId, b: InterfaceId) -> Vec<Difference> {
    if a == b {
        return Vec::new();
    }
    let types = &inputs.types;
    let clashes = |name: &str| match (types[a].exports.get(name), types[b].exports.get(name)) {
        (Some(a), Some(b)) => !signature::is_subtype(types, *a, *b) && !signature::is_subtype(types, *b, *a),
        _ => false,
    };
    if !types[b].exports.keys().any(|name| clashes(name)) {
        return Vec::new();
    }
    signature::differences(types, a, b)
        .into_iter()
        .filter(|difference| difference.exported.is_some())
        .collect()
}

/// All parts with one root import share its values; each part that does not allow them must not get them.
fn check_one_value(recipe: &Recipe, uses: &[Use], problems: &mut Problems) {
    let Some(granted) = uses.iter().find(|used| used.reason == LauncherReason::Granted) else { return };
    for empty in uses.iter().filter(|used| used.reason != LauncherReason::Granted) {
        problems.push((
            Some(recipe.components[empty.part].span.clone()),
            PlanError::DifferentValues {
                import: empty.import.to_owned(),
                granted: granted.part.clone(),
                other: empty.part.clone(),
                has_allow: !recipe.components[empty.part].allow.is_empty(),
            },
        ));
    }
}

/// The root imports an interface whole if another one uses only a type of it.
fn add_used_types(
    recipe: &Recipe,
    inputs: &Inputs,
    tracks: &BTreeMap<String, Vec<Use>>,
    imports: &mut BTreeMap<String, LauncherImport>,
    problems: &mut Problems,
) {
    let mut known: BTreeSet<String> = tracks.keys().cloned().collect();
    let mut added: BTreeMap<String, String> = BTreeMap::new();
    let mut open: Vec<(&PartName, &str, InterfaceId)> =
        tracks.values().flatten().map(|used| (used.part, used.import, used.interface)).collect();
    let mut missing = Vec::new();
    while let Some((part, user, interface)) = open.pop() {
        for used in inputs.types[interface].uses.values() {
            let Some(name) = inputs.types[used.interface].id.as_deref() else { continue };
            let track = interfaces::track(name);
            if known.insert(track.clone()) {
                if !interfaces::in_base_set(name) && !decide::is_types_only(inputs, used.interface) {
                    missing.push(MissingImport {
                        part: part.clone(),
                        import: name.to_owned(),
                        near: Some(Near {
                            note: format!("`{user}` comes from the launcher and uses its types"),
                            part: None,
                        }),
                        allowed: false,
                        has_deny: !recipe.components[part].deny.is_empty(),
                        grantable: false,
                    });
                    continue;
                }
                added.insert(track.clone(), name.to_owned());
                imports.insert(name.to_owned(), LauncherImport::default());
                open.push((part, name, used.interface));
            }
            if let Some(import) = added.get(&track).and_then(|name| imports.get_mut(name)) {
                import.used_by.insert(user.to_owned());
            }
        }
    }
    if let Some(first) = missing.first() {
        let span = recipe.components[&first.part].span.clone();
        problems.push((Some(span), PlanError::Missing { app: recipe.app.name.to_string(), missing }));
    }
}

fn check_grants_are_used(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, problems: &mut Problems) {
    for (name, grant) in &recipe.grants {
        let granted = |(import, decision): (&String, &Decision)| {
            *decision == Decision::Launcher(LauncherReason::Granted) && name.matches(import)
        };
        if wiring.values().any(|decisions| decisions.iter().any(granted)) {
            continue;
        }
        let importer =
            inputs.parts.keys().find(|part| inputs.world(part).imports.keys().any(|i| name.matches(i)));
        let fate = importer.and_then(|part| {
            let (_, decision) = wiring[part].iter().find(|(import, _)| name.matches(import))?;
            Some((part.clone(), decision.clone()))
        });
        let has_allow = importer.is_some_and(|part| !recipe.components[part].allow.is_empty());
        let problem = PlanError::UnusedGrant { name: name.to_string(), fate, has_allow };
        problems.push((Some(grant.span.clone()), problem));
    }
}
