//! Who provides each resource type to each part, followed through wires and `use`s.
//!
//! The graph library compares resources by name while it wires, and finds only when it encodes that two parts
//! that pass a handle to each other have its type from two providers. Here that is found first and told in the
//! recipe's words. Wires must not lead in a circle when this runs.

use std::collections::{BTreeMap, HashMap};

use wac_types::{ItemKind, ResourceId, Type, Types, ValueType};
use wadoo_signing::digest::Sha256Digest;

use super::error::{Edge, Origin, PlanError, View, With};
use super::exports::Exports;
use super::launcher::root_import;
use super::{Decision, LauncherImport, Problems, Wiring};
use crate::inputs::Inputs;
use crate::interfaces;
use crate::recipe::{PartName, Recipe};
use crate::signature::children;

/// The one thing in a running application that a resource type is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// The launcher's, by the track of the import that it comes from and its name there.
    Launcher { track: String, name: String, alone: bool },
    /// Defined by a part. Two parts of one component have a type each.
    Part { part: PartName, resource: ResourceId },
    /// Defined by the stub of a denied import.
    Stub { part: PartName, import: String, name: String },
}

/// Reports every wire, launcher import and trigger over which a handle of two types would pass.
pub(super) fn check(
    recipe: &Recipe,
    inputs: &Inputs,
    wiring: &Wiring,
    exports: &Exports,
    launcher: &BTreeMap<String, LauncherImport>,
    problems: &mut Problems,
) {
    let resources = Resources { recipe, inputs, wiring, launcher, origins: origins(inputs) };
    for (part, decisions) in wiring {
        for (import, decision) in decisions {
            let split = match decision {
                Decision::Wire { part: provider, export, .. } => {
                    resources.over_wire(part, import, provider, export)
                }
                Decision::Launcher(_) => resources.with_launcher(part, import),
                // A stub takes the types that it does not define from the part's own providers; what is baked has no resources.
                Decision::Deny { .. } | Decision::Baked { .. } => None,
            };
            let component = recipe.component(part);
            let span = component.provider_of(import).map_or(&component.span, |(_, provider)| &provider.span);
            problems.extend(split.map(|split| (Some(span.clone()), split)));
        }
    }
    for (export, part) in &exports.names {
        if interfaces::trigger(export).is_some() {
            let split = resources.at_trigger(part, export);
            problems.extend(split.map(|split| (Some(recipe.component(part).span.clone()), split)));
        }
    }
}

/// For each component, the import and name by which it first gets a resource type.
type Origins<'a> = BTreeMap<&'a Sha256Digest, HashMap<ResourceId, (&'a str, &'a str)>>;

/// Imports stand in an order in which a type is defined before another import uses it, so first seen is origin.
fn origins(inputs: &Inputs) -> Origins<'_> {
    let types = &inputs.types;
    let of = |package: &wac_types::Package| {
        let mut origins = HashMap::new();
        for (import, kind) in &types[package.ty()].imports {
            let ItemKind::Instance(interface) = kind else { continue };
            // The names must outlive this closure, so they are borrowed from the types, not from `package`.
            for (name, kind) in &types[*interface].exports {
                if let ItemKind::Type(Type::Resource(id)) = kind {
                    origins.entry(types.resolve_resource(*id)).or_insert((import.as_str(), name.as_str()));
                }
            }
        }
        origins
    };
    inputs.components.iter().map(|(digest, package)| (digest, of(package))).collect()
}

struct Resources<'a> {
    recipe: &'a Recipe,
    inputs: &'a Inputs,
    wiring: &'a Wiring,
    launcher: &'a BTreeMap<String, LauncherImport>,
    origins: Origins<'a>,
}

impl Resources<'_> {
    /// Where `part` gets the resource; `None` if it defines it.
    fn origin(&self, part: &PartName, resource: ResourceId) -> Option<(&str, &str)> {
        let resource = self.inputs.types.resolve_resource(resource);
        self.origins[&self.inputs.parts[part.in_recipe()]].get(&resource).copied()
    }

    /// Follows wires to the definition; as deep as there are parts.
    fn identity(&self, part: &PartName, resource: ResourceId) -> Identity {
        let types = &self.inputs.types;
        let own = || Identity::Part { part: part.clone(), resource: types.resolve_resource(resource) };
        let Some((import, name)) = self.origin(part, resource) else { return own() };
        match self.wiring[part].get(import) {
            Some(Decision::Launcher(_)) => {
                let root = root_import(self.launcher, part, import).map_or(import, |(root, _)| root);
                let alone = interfaces::track(root) != interfaces::track(import);
                Identity::Launcher { track: interfaces::track(root), name: name.to_owned(), alone }
            }
            Some(Decision::Deny { .. }) => {
                Identity::Stub { part: part.clone(), import: import.to_owned(), name: name.to_owned() }
            }
            Some(Decision::Wire { part: provider, export, .. }) => {
                let exported = match self.inputs.world(provider).exports.get(export) {
                    Some(ItemKind::Instance(interface)) => types[*interface].exports.get(name),
                    _ => None,
                };
                match exported {
                    Some(ItemKind::Type(Type::Resource(theirs))) => self.identity(provider, *theirs),
                    _ => own(),
                }
            }
            Some(Decision::Baked { .. }) | None => own(),
        }
    }

    fn view(&self, part: &PartName, resource: ResourceId) -> View {
        let origin = match self.identity(part, resource) {
            Identity::Launcher { alone: true, .. } => Origin::LauncherAlone,
            Identity::Launcher { .. } => Origin::Launcher,
            Identity::Part { part, .. } => Origin::Part(part),
            Identity::Stub { part, import, .. } => Origin::Stub { part, import },
        };
        let import = self.origin(part, resource).map(|(import, _)| import.to_owned());
        let component = self.recipe.component(part);
        let with = import.as_deref().map_or(With::Absent, |import| With::of(component, import));
        View { part: Some(part.clone()), import, with, origin }
    }

    fn name(&self, resource: ResourceId) -> String {
        let types = &self.inputs.types;
        types[types.resolve_resource(resource)].name.clone()
    }

    fn over_wire(
        &self,
        part: &PartName,
        import: &str,
        provider: &PartName,
        export: &str,
    ) -> Option<PlanError> {
        let types = &self.inputs.types;
        let ours = *self.inputs.world(part).imports.get(import)?;
        let theirs = *self.inputs.world(provider).exports.get(export)?;
        let mut pairs = Vec::new();
        pair_items(types, ours, theirs, &mut pairs);
        let (ours, theirs) =
            pairs.into_iter().find(|(a, b)| self.identity(part, *a) != self.identity(provider, *b))?;
        Some(PlanError::Split {
            edge: Edge::Wire { part: part.clone(), provider: provider.clone(), import: import.to_owned() },
            resource: self.name(ours),
            first: self.view(part, ours),
            second: self.view(provider, theirs),
        })
    }

    /// What the launcher provides speaks of the launcher's resources only.
    fn with_launcher(&self, part: &PartName, import: &str) -> Option<PlanError> {
        let kind = *self.inputs.world(part).imports.get(import)?;
        let resource = self.first_foreign(part, kind)?;
        Some(PlanError::Split {
            edge: Edge::Launcher { part: part.clone(), import: import.to_owned() },
            resource: self.name(resource),
            first: self.view(part, resource),
            second: View::of_launcher(),
        })
    }

    /// What calls a trigger is the launcher, with its own resources.
    fn at_trigger(&self, part: &PartName, export: &str) -> Option<PlanError> {
        let kind = *self.inputs.world(part).exports.get(export)?;
        let resource = self.first_foreign(part, kind)?;
        Some(PlanError::Split {
            edge: Edge::Trigger { part: part.clone(), export: export.to_owned() },
            resource: self.name(resource),
            first: self.view(part, resource),
            second: View::of_launcher(),
        })
    }

    /// A resource in `kind` that is not the launcher's.
    fn first_foreign(&self, part: &PartName, kind: ItemKind) -> Option<ResourceId> {
        let mut pairs = Vec::new();
        pair_items(&self.inputs.types, kind, kind, &mut pairs);
        let foreign = |id: &ResourceId| !matches!(self.identity(part, *id), Identity::Launcher { .. });
        pairs.into_iter().map(|(id, _)| id).find(foreign)
    }
}

/// The resources at the same places of two items, of which the second can stand in for the first.
fn pair_items(types: &Types, a: ItemKind, b: ItemKind, pairs: &mut Vec<(ResourceId, ResourceId)>) {
    match (a, b) {
        (ItemKind::Instance(a), ItemKind::Instance(b)) => {
            for (name, a) in &types[a].exports {
                if let Some(b) = types[b].exports.get(name) {
                    pair_items(types, *a, *b, pairs);
                }
            }
        }
        (ItemKind::Func(a), ItemKind::Func(b)) => {
            let (a, b) = (&types[a], &types[b]);
            for (a, b) in a.params.values().chain(&a.result).zip(b.params.values().chain(&b.result)) {
                pair_values(types, *a, *b, pairs);
            }
        }
        (ItemKind::Type(Type::Resource(a)), ItemKind::Type(Type::Resource(b))) => pairs.push((a, b)),
        (ItemKind::Type(Type::Value(a)), ItemKind::Type(Type::Value(b)))
        | (ItemKind::Value(a), ItemKind::Value(b)) => {
            pair_values(types, a, b, pairs);
        }
        _ => {}
    }
}

/// Bounded by the validator's limits on the depth and the size of types.
fn pair_values(types: &Types, a: ValueType, b: ValueType, pairs: &mut Vec<(ResourceId, ResourceId)>) {
    let (a, b) = match (types.resolve_value_type(a), types.resolve_value_type(b)) {
        (ValueType::Own(a) | ValueType::Borrow(a), ValueType::Own(b) | ValueType::Borrow(b)) => {
            return pairs.push((a, b));
        }
        (ValueType::Defined(a), ValueType::Defined(b)) => (&types[a], &types[b]),
        _ => return,
    };
    let (a, b) = (children(a), children(b));
    for (a, b) in a.into_iter().zip(b) {
        pair_values(types, a, b, pairs);
    }
}
