//! What is left to the launcher, merged as the root of the application will import it, and its grants.

use std::collections::{BTreeMap, BTreeSet};

use wac_types::{InterfaceId, ItemKind, Types, UsedType};
use wadoo_signing::manifest::{Grant, MAX_PARTS_WITH_OWN_IMPORTS, SocketsGrant};

use super::baked::{self, DEVICE};
use super::error::{MissingImport, Near, PlanError};
use super::{LauncherImport, LauncherReason, Problems, Wiring, decide};
use crate::inputs::Inputs;
use crate::interfaces::{self, Capability};
use crate::recipe::{PartName, Recipe};
use crate::signature::{self, Difference};

/// One use of an import by a part.
struct Use<'a> {
    part: &'a PartName,
    import: &'a str,
    /// The import as the part has it; `None` for what its configuration takes open keys from.
    interface: Option<InterfaceId>,
    /// What the part may reach by it, if it is granted.
    grant: Option<&'a Grant>,
}

impl Use<'_> {
    fn is_of_config(&self) -> bool {
        self.interface.is_none()
    }

    /// Its import of the root, where no other use has the same values.
    fn alone(&self) -> (String, LauncherImport) {
        let prefix = if self.is_of_config() { "wadoo:open-" } else { "wadoo:part-" };
        (own_name(prefix, self.part, self.import), root(self.import, &[self], self.grant.cloned()))
    }
}

/// An import of the root for `uses`.
fn root(interface: &str, uses: &[&Use], grant: Option<Grant>) -> LauncherImport {
    let parts = |of_config| {
        let uses = uses.iter().filter(move |used| used.is_of_config() == of_config);
        uses.map(|used| used.part.clone()).collect()
    };
    LauncherImport {
        interface: interface.to_owned(),
        parts: parts(false),
        config_of: parts(true),
        used_by: BTreeSet::new(),
        grant,
    }
}

/// The root imports by the highest version of each track; a use whose values are not those of the others has an import
/// of its own. Checks that types merge and that grants have an effect; the latter only if every import was `decided`.
pub(super) fn imports(
    recipe: &Recipe,
    inputs: &Inputs,
    wiring: &Wiring,
    decided: bool,
    problems: &mut Problems,
) -> BTreeMap<String, LauncherImport> {
    let tracks = tracks(recipe, inputs, wiring);
    let mut imports = BTreeMap::new();
    for uses in tracks.values() {
        let alike =
            |used: &&Use| carries_values(used.import) && is_one_capability(used.import, uses[0].import);
        let of_capability: Vec<&Use> = tracks.values().flatten().filter(alike).collect();
        let shared = shared_grant(recipe, &of_capability);
        let (together, apart): (Vec<&Use>, Vec<&Use>) =
            uses.iter().partition(|used| !carries_values(used.import) || used.grant == shared);
        check_types_merge(recipe, inputs, &together, problems);
        imports.extend(apart.into_iter().map(Use::alone));
        let names = together.iter().map(|used| used.import);
        if let Some(name) = names.max_by_key(|import| interfaces::version(import)) {
            let grant = if carries_values(name) { shared.cloned() } else { permission(&together) };
            imports.insert(name.to_owned(), root(name, &together, grant));
        }
    }
    check_apart(recipe, &imports, problems);
    add_used_types(recipe, inputs, &tracks, &mut imports, problems);
    if decided {
        check_grants_are_used(recipe, inputs, wiring, problems);
    }
    imports
}

/// The launcher has places for so many parts, and no more.
fn check_apart(recipe: &Recipe, imports: &BTreeMap<String, LauncherImport>, problems: &mut Problems) {
    let apart = imports.iter().filter(|(name, import)| **name != import.interface);
    let users = apart.flat_map(|(_, import)| {
        let parts = import.parts.iter().map(|part| (part, false));
        parts.chain(import.config_of.iter().map(|part| (part, true)))
    });
    let parts: BTreeSet<(&PartName, bool)> = users.collect();
    if let Some((part, _)) = parts.iter().nth(MAX_PARTS_WITH_OWN_IMPORTS) {
        let problem = PlanError::TooManyApart { app: recipe.app.name.to_string(), count: parts.len() };
        problems.push((Some(recipe.component(part).span.clone()), problem));
    }
}

/// A composition that is a part of another has one import for an interface: its own parts cannot be kept apart in it.
pub(super) fn refuse_apart(
    recipe: &Recipe,
    launcher: &BTreeMap<String, LauncherImport>,
    problems: &mut Problems,
) {
    for import in
        launcher.iter().filter(|(name, import)| **name != import.interface).map(|(_, import)| import)
    {
        for part in &import.parts {
            let problem = PlanError::Apart { part: part.clone(), import: import.interface.clone() };
            problems.push((Some(recipe.component(part).span.clone()), problem));
        }
        for part in &import.config_of {
            let problem = PlanError::ApartConfig { part: part.clone(), import: import.interface.clone() };
            problems.push((Some(recipe.component(part).span.clone()), problem));
        }
    }
}

/// What a recipe that is a part of another says of files would be lost: its composition is one component.
pub(super) fn refuse_files(recipe: &Recipe, problems: &mut Problems) {
    for (part, component) in &recipe.components {
        if let Some(folder) = component.files.values().next() {
            problems.push((Some(folder.span.clone()), PlanError::CarriedWithin { part: part.clone() }));
        }
    }
}

/// The import of the root that the configuration of `part` takes its open keys from, and its name.
pub(super) fn root_of_config<'a>(
    launcher: &'a BTreeMap<String, LauncherImport>,
    part: &PartName,
) -> Option<(&'a str, &'a LauncherImport)> {
    launcher.iter().find(|(_, root)| root.config_of.contains(part)).map(|(name, root)| (name.as_str(), root))
}

/// The import of the root that `part` gets as `import`, and its name.
pub(super) fn root_import<'a>(
    launcher: &'a BTreeMap<String, LauncherImport>,
    part: &PartName,
    import: &str,
) -> Option<(&'a str, &'a LauncherImport)> {
    let track = interfaces::track(import);
    let of_part = launcher.iter().filter(|(_, root)| root.parts.contains(part));
    let fitting = of_part.filter(|(_, root)| interfaces::track(&root.interface) == track);
    // A part may import two versions of one track, each by an import of its own.
    let (name, root) = fitting.max_by_key(|(_, root)| root.interface == import)?;
    Some((name, root))
}

/// Everything that is left to the launcher, by the track of its interface.
fn tracks<'a>(recipe: &'a Recipe, inputs: &'a Inputs, wiring: &'a Wiring) -> BTreeMap<String, Vec<Use<'a>>> {
    let mut tracks: BTreeMap<String, Vec<Use>> = BTreeMap::new();
    for (part, decisions) in wiring {
        for (import, decision) in decisions {
            if let (Some(reason), Some(ItemKind::Instance(interface))) =
                (decision.launcher(), inputs.world(part).imports.get(import))
            {
                let granted = reason == LauncherReason::Granted;
                let grant = if granted { recipe.grant(part, import) } else { None };
                let used = match baked::is_open_configuration(import, decision) {
                    true => Use { part, import: DEVICE, interface: None, grant },
                    false => Use { part, import, interface: Some(*interface), grant },
                };
                tracks.entry(interfaces::track(used.import)).or_default().push(used);
            }
        }
    }
    tracks
}

/// The values that the import of everybody has: none, if some part has none; else those of `[grants]`, which are
/// shared; else those of the parts, if all have the same.
fn shared_grant<'a>(recipe: &Recipe, uses: &[&Use<'a>]) -> Option<&'a Grant> {
    let first = uses.first()?.grant?;
    if uses.iter().all(|used| used.grant == Some(first)) {
        return Some(first);
    }
    if uses.iter().any(|used| used.grant.is_none()) {
        return None;
    }
    uses.iter().find(|used| recipe.allows(used.part, used.import))?.grant
}

/// Whether the launcher has one set of values for both imports, if they are there for all. It has one for outgoing HTTP of each
/// generation, and one for all versions and interfaces of everything else.
fn is_one_capability(a: &str, b: &str) -> bool {
    match interfaces::capability(a) {
        None | Some(Capability::OutgoingHttp) => interfaces::track(a) == interfaces::track(b),
        capability => capability == interfaces::capability(b),
    }
}

/// Whether what a part may reach is decided by this import. A socket may what it was made for, whoever uses it: of
/// `wasi:sockets` 0.2, only the interfaces that make them carry values.
pub(crate) fn carries_values(import: &str) -> bool {
    const MAKE_NONE: [&str; 5] = [
        "wasi:sockets/instance-network@0.2",
        "wasi:sockets/ip-name-lookup@0.2",
        "wasi:sockets/network@0.2",
        "wasi:sockets/tcp@0.2",
        "wasi:sockets/udp@0.2",
    ];
    !MAKE_NONE.contains(&interfaces::track(import).as_str())
}

/// The grant of an import that carries no values: that of its users, if they have the same, and else an empty one.
fn permission(uses: &[&Use]) -> Option<Grant> {
    let first = uses.first()?.grant?;
    let same = uses.iter().all(|used| used.grant == Some(first));
    Some(if same { first.clone() } else { Grant::Sockets(SocketsGrant { connect: BTreeSet::new() }) })
}

/// The name of an import that is there for one part alone: `wadoo:part-cart/wasi-http-client@0.3.0`.
fn own_name(prefix: &str, part: &PartName, import: &str) -> String {
    interfaces::renamed(prefix, &part.flat(), import)
}

/// One root import serves all uses of a track, so their types must fit each other.
fn check_types_merge(recipe: &Recipe, inputs: &Inputs, uses: &[&Use], problems: &mut Problems) {
    for (i, later) in uses.iter().enumerate() {
        for earlier in &uses[..i] {
            // What a configuration asks is known here, and not what others do by that name.
            let (earlier, later) = if later.is_of_config() { (later, earlier) } else { (earlier, later) };
            let differences = match (earlier.interface, later.interface) {
                (Some(earlier), Some(later)) => conflicts(inputs, earlier, later),
                (None, Some(later)) => baked::variables_differ(&inputs.types, later),
                (_, None) => Vec::new(),
            };
            if !differences.is_empty() {
                problems.push((
                    Some(recipe.component(later.part).span.clone()),
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

/// Items that both have, and of which neither type can stand in for the other, or which they use of different interfaces.
fn conflicts(inputs: &Inputs, a: InterfaceId, b: InterfaceId) -> Vec<Difference> {
    if a == b {
        return Vec::new();
    }
    let types = &inputs.types;
    let origins = origins(types, a, b);
    if !origins.is_empty() {
        return origins;
    }
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

/// The types that both use under one name, of different interfaces or under different names there.
fn origins(types: &Types, a: InterfaceId, b: InterfaceId) -> Vec<Difference> {
    let origin = |name: &str, used: &UsedType| {
        let interface = types[used.interface].id.as_deref().unwrap_or_default();
        (used.name.clone().unwrap_or_else(|| name.to_owned()), interface.to_owned())
    };
    let text = |(name, interface): &(String, String)| format!("`{name}` of `{interface}`");
    let both = types[b]
        .uses
        .iter()
        .filter_map(|(name, used)| Some((name, origin(name, types[a].uses.get(name)?), origin(name, used))));
    both.filter(|(_, a, b)| a.0 != b.0 || interfaces::track(&a.1) != interfaces::track(&b.1))
        .map(|(name, a, b)| Difference {
            item: format!("type `{name}`"),
            exported: Some(text(&a)),
            imported: text(&b),
            color: false,
        })
        .collect()
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
    let mut open: Vec<(&PartName, &str, InterfaceId)> = tracks
        .values()
        .flatten()
        .filter_map(|used| Some((used.part, used.import, used.interface?)))
        .collect();
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
                            export: None,
                        }),
                        allowed: false,
                        has_deny: !recipe.component(part).deny.is_empty(),
                        has_with: recipe.component(part).has_with(),
                        grantable: false,
                    });
                    continue;
                }
                added.insert(track.clone(), name.to_owned());
                let import = LauncherImport { interface: name.to_owned(), ..LauncherImport::default() };
                imports.insert(name.to_owned(), import);
                open.push((part, name, used.interface));
            }
            if let Some(import) = added.get(&track).and_then(|name| imports.get_mut(name)) {
                import.used_by.insert(user.to_owned());
            }
        }
    }
    if let Some(first) = missing.first() {
        let span = recipe.component(&first.part).span.clone();
        problems.push((Some(span), PlanError::Missing { app: recipe.app.name.to_string(), missing }));
    }
}

fn check_grants_are_used(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, problems: &mut Problems) {
    for (name, grant) in &recipe.grants {
        let used = wiring.iter().any(|(part, decisions)| {
            let shares = |import: &str| name.matches(import) && recipe.allows(part, import);
            decisions.iter().any(|(import, decision)| {
                decision.launcher() == Some(LauncherReason::Granted) && shares(import)
            })
        });
        if used {
            continue;
        }
        let importer = wiring.keys().find(|part| inputs.world(part).imports.keys().any(|i| name.matches(i)));
        let fate = importer.and_then(|part| {
            let (_, decision) = wiring[part].iter().find(|(import, _)| name.matches(import))?;
            Some((part.clone(), decision.clone()))
        });
        let has_allow = importer.is_some_and(|part| !recipe.component(part).allow.is_empty());
        let problem = PlanError::UnusedGrant { name: name.to_string(), fate, has_allow };
        problems.push((Some(grant.span.clone()), problem));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_of_one_part_says_which_and_what() {
        let part = "cart-api".parse().expect("a name");
        let name = own_name("wadoo:part-", &part, "wasi:http/outgoing-handler@0.2.3");
        assert_eq!(name, "wadoo:part-cart-api/wasi-http-outgoing-handler@0.2.3");
    }

    #[test]
    fn only_what_makes_sockets_decides_what_they_may() {
        for name in
            ["wasi:sockets/tcp-create-socket@0.2.0", "wasi:sockets/types@0.3.0", "wasi:http/client@0.3.0"]
        {
            assert!(carries_values(name), "{name}");
        }
        for name in
            ["wasi:sockets/tcp@0.2.0", "wasi:sockets/network@0.2.3", "wasi:sockets/ip-name-lookup@0.2.0"]
        {
            assert!(!carries_values(name), "{name}");
        }
    }
}
