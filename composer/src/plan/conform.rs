//! The world check: whether a part, or the application, conforms to the world that the recipe says.
//!
//! The rule is that of `wac targets`: it imports at most what the world imports, with types that the world's fit, and
//! exports at least what the world exports. Nothing is excused: what every launcher provides, and interfaces that have only types, a
//! world must have too, since other hosts read it as the whole truth. Versions on one track are one name.

use std::collections::BTreeMap;

use wac_types::{ItemKind, Types, World, WorldId};

use super::error::PlanError;
use super::{LauncherImport, Problems};
use crate::inputs::Inputs;
use crate::interfaces::{self, track};
use crate::recipe::{Input, PartName, Recipe, WitWorld};
use crate::signature::{self, Difference};

/// One way in which something does not conform to a world.
#[derive(Debug)]
pub struct Violation {
    /// Which side of the component it is on.
    pub side: Side,
    /// The part whose import or export it is; `None` where the application has it from no part.
    pub owner: Option<PartName>,
    /// Name of the import or export, as the owner has it, or else the world.
    pub name: String,
    /// Whether only one of the two has it.
    pub lacking: bool,
    /// Each item of it that the two have otherwise, or that one of them lacks.
    pub differences: Vec<Difference>,
}

/// Which side of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What it imports.
    Import,
    /// What it exports.
    Export,
}

/// Compares every part that has a `world` with it.
pub(super) fn parts(recipe: &Recipe, inputs: &Inputs, problems: &mut Problems) {
    for (part, component) in &recipe.components {
        let (Some(wanted), Some(world)) = (&component.world, inputs.expected_world(part)) else { continue };
        let mut check = Check::new(inputs, world, part.as_str());
        let World { imports, exports, .. } = inputs.world(part);
        // The imports that `assemble` wires are no business of a world: whose functions they are is for the recipe to say.
        let assembled = matches!(component.input, Input::Assembly(_));
        let wired = |name: &str| assembled && name.starts_with(interfaces::FROM);
        for (name, kind) in imports.iter().filter(|(name, _)| !wired(name)) {
            check.import(part, name, *kind);
        }
        for (name, kind) in &check.world.exports {
            let ours = named(exports.iter(), name).map(|(_, kind)| *kind);
            check.export(Some(part), name, ours, *kind);
        }
        check.finish(wanted, assembled, problems);
    }
}

/// Compares the application with its `world`: what is left to the launcher, as the parts import it, and what is exported.
pub(super) fn application(
    recipe: &Recipe,
    inputs: &Inputs,
    exports: &BTreeMap<String, PartName>,
    launcher: &BTreeMap<String, LauncherImport>,
    problems: &mut Problems,
) {
    let (Some(wanted), Some(world)) = (&recipe.app.world, inputs.app_world) else { return };
    let mut check = Check::new(inputs, world, recipe.app.name.as_str());
    for root in launcher.values() {
        // An open key is asked for by a function that whoever has the interface has.
        if root.parts.is_empty() {
            check.types_of(&root.interface);
        }
        for part in &root.parts {
            let imports = inputs.world(part).imports.iter();
            for (name, kind) in imports.filter(|(name, _)| track(name) == track(&root.interface)) {
                check.import(part, name, *kind);
            }
        }
    }
    for (name, kind) in &check.world.exports {
        let ours = named(exports.iter(), name);
        let kind_of = |(export, part): (&String, &PartName)| inputs.world(part).exports.get(export).copied();
        check.export(ours.map(|(_, part)| part), name, ours.and_then(kind_of), *kind);
    }
    check.finish(wanted, false, problems);
}

/// A comparison with one world.
struct Check<'a> {
    types: &'a Types,
    world: &'a World,
    /// Who is to conform to it.
    who: &'a str,
    violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    fn new(inputs: &'a Inputs, world: WorldId, who: &'a str) -> Self {
        Self { types: &inputs.types, world: &inputs.types[world], who, violations: Vec::new() }
    }

    fn import(&mut self, part: &PartName, name: &str, needed: ItemKind) {
        let provided = named(self.world.imports.iter(), name).map(|(_, kind)| kind.promote());
        self.compare(Side::Import, Some(part), name, provided, needed);
    }

    fn export(&mut self, owner: Option<&PartName>, name: &str, provided: Option<ItemKind>, needed: ItemKind) {
        self.compare(Side::Export, owner, name, provided, needed.promote());
    }

    /// An interface that is imported for its types alone, by no part itself: the world has it, or not.
    fn types_of(&mut self, name: &str) {
        if named(self.world.imports.iter(), name).is_none() {
            self.violations.push(Violation {
                side: Side::Import,
                owner: None,
                name: name.to_owned(),
                lacking: true,
                differences: Vec::new(),
            });
        }
    }

    /// Whether `provided` can stand in for `needed`.
    fn compare(
        &mut self,
        side: Side,
        owner: Option<&PartName>,
        name: &str,
        provided: Option<ItemKind>,
        needed: ItemKind,
    ) {
        let types = self.types;
        if provided.is_some_and(|provided| signature::is_subtype(types, provided, needed)) {
            return;
        }
        let differences = match (provided, needed) {
            (Some(ItemKind::Instance(provided)), ItemKind::Instance(needed)) => {
                signature::differences(types, provided, needed)
            }
            (None, ItemKind::Instance(needed)) => signature::functions(types, needed),
            (provided, needed) => vec![signature::difference(types, name, provided, needed)],
        };
        let (owner, name) = (owner.cloned(), name.to_owned());
        self.violations.push(Violation { side, owner, name, lacking: provided.is_none(), differences });
    }

    /// `assembled` says that it is made of functions of other parts, and cannot be built again.
    fn finish(self, wanted: &WitWorld, assembled: bool, problems: &mut Problems) {
        if !self.violations.is_empty() {
            let (who, world) = (self.who.to_owned(), wanted.world.value.to_string());
            let problem = PlanError::World { who, world, violations: self.violations, assembled };
            problems.push((Some(wanted.world.span.clone()), problem));
        }
    }
}

/// The item of that name, or else one on its version track.
fn named<'a, T>(
    items: impl Iterator<Item = (&'a String, &'a T)> + Clone,
    name: &str,
) -> Option<(&'a String, &'a T)> {
    let exact = items.clone().find(|(other, _)| *other == name);
    exact.or_else(|| items.clone().find(|(other, _)| interfaces::compatible(other, name)))
}
