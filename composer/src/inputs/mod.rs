//! The inputs: the bytes of every part, read once, made components where they are not, checked to be components that the
//! engine can run, with their types.
//!
//! This is the edge where the composer reads guests. It is done in two steps, [`gather`] and [`read`], so that `wadoo.lock`
//! is compared before anything is made of the bytes. Identical bytes are kept once, whatever their paths: what
//! counts is the digest. Whether the parts fit together is not decided here (see `plan`).

mod assembly;
mod component;
mod depth;
mod error;
mod file;
mod gather;
mod memory;
mod module;
mod pattern;
mod tree;
mod wit;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use wac_types::{InterfaceId, ItemKind, Package, Types, World, WorldId};
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest;
use wadoo_signing::report::Report;

pub use assembly::AssemblyError;
pub use component::{MAX_IMPORTS_AND_EXPORTS, MAX_TYPE_DEPTH};
pub use error::InputError;
pub use file::MAX_COMPONENT_SIZE;
pub use gather::{Gathered, MAX_RECIPE_DEPTH, MAX_TOTAL_PARTS, Watched, gather, watched};
pub use module::ModuleError;
pub use pattern::{MAX_FOLDER_ENTRIES, MatchError};
pub use tree::{MAX_CARRIED_SIZE, MAX_CARRIED_TREES, TreeError};
pub use wit::{MAX_WIT_FILES, MAX_WIT_NESTING, MAX_WIT_SIZE, WitError};

use crate::recipe::{
    Assembly, Component, Input, InterfaceName, MemorySize, PartName, Provider, Recipe, Spanned, WitWorld,
};
use component::Valid;
use error::{Failures, Subject};
use gather::Material;
use wit::Wit;

/// Every part of a recipe with the component that it is an instance of.
pub struct Inputs {
    /// The types of all components; ids in the packages point into it.
    pub(crate) types: Types,
    /// Each component once.
    pub(crate) components: BTreeMap<Sha256Digest, Package>,
    /// Which component each part is an instance of.
    pub(crate) parts: BTreeMap<PartName, Sha256Digest>,
    /// The world that a part must conform to, where the recipe says one.
    worlds: BTreeMap<PartName, WorldId>,
    /// The world that the application must conform to.
    pub(crate) app_world: Option<WorldId>,
    /// Digest and source of everything that the parts are made of, by name: what the manifest says.
    pub(crate) accounts: BTreeMap<String, manifest::Input>,
    /// Those of them that no file of the user is: adapters.
    pub(crate) adapters: BTreeMap<String, manifest::Input>,
    /// The trees of files that parts carry, by digest, as an artifact has them.
    pub(crate) trees: BTreeMap<Sha256Digest, Vec<u8>>,
    /// The imports for which the recipe of a part, where it is one, has values of its own.
    pub(crate) asked: BTreeMap<PartName, BTreeSet<String>>,
}

impl Inputs {
    /// The digest of the part's component, if the recipe has the part. That of its file is another one where something was
    /// made of it: a component of a module, or one with less memory.
    pub fn digest(&self, part: &PartName) -> Option<&Sha256Digest> {
        self.parts.get(part.in_recipe())
    }

    /// The bytes of a component, if it is one of the inputs.
    pub fn bytes(&self, digest: &Sha256Digest) -> Option<&[u8]> {
        self.components.get(digest).map(Package::bytes)
    }

    /// The part's component.
    ///
    /// # Panics
    ///
    /// If the part is not one of the recipe that was read.
    pub(crate) fn package(&self, part: &PartName) -> &Package {
        &self.components[&self.parts[part.in_recipe()]]
    }

    /// What the part imports and exports.
    pub(crate) fn world(&self, part: &PartName) -> &World {
        &self.types[self.package(part).ty()]
    }

    /// What the part must conform to.
    pub(crate) fn expected_world(&self, part: &PartName) -> Option<WorldId> {
        self.worlds.get(part).copied()
    }

    /// The part's exports that are instances.
    pub(crate) fn exported_instances(&self, part: &PartName) -> impl Iterator<Item = (&str, InterfaceId)> {
        self.world(part).exports.iter().filter_map(|(name, kind)| match kind {
            ItemKind::Instance(id) => Some((name.as_str(), *id)),
            _ => None,
        })
    }
}

/// A recipe that is a part of another, linked to one component.
#[derive(Debug)]
pub struct Composition {
    /// The component.
    pub bytes: Vec<u8>,
    /// The imports for which its own recipe has values: whoever uses it must grant or refuse them.
    pub asked: BTreeSet<String>,
    /// What wadoo put between its inputs and the engine, by part.
    pub adapters: BTreeMap<String, manifest::Input>,
}

/// How a recipe that is a part of another becomes a component.
pub type Compose<'a> = &'a dyn Fn(Gathered) -> Result<Composition, Vec<Report>>;

/// Makes a component with types of everything that was gathered.
///
/// # Errors
///
/// One report for each part that cannot be used, in the order of the recipe.
pub fn read(gathered: Gathered, compose: Compose<'_>) -> Result<(Recipe, Inputs), Vec<Report>> {
    let accounts = gathered.accounts().unwrap_or_default();
    let Gathered { mut recipe, parts, mut wits, wit, files, trees, mut failures } = gathered;
    let folder = gather::folder(recipe.source.file());
    let inputs = Inputs {
        types: Types::new(),
        components: BTreeMap::new(),
        parts: BTreeMap::new(),
        worlds: BTreeMap::new(),
        app_world: None,
        accounts,
        adapters: BTreeMap::new(),
        trees,
        asked: BTreeMap::new(),
    };
    let checked = check(&parts, &files);
    let mut reader = Reader { inputs, files, checked, compose };
    for (name, material) in parts {
        let component = &recipe.components[&name];
        match reader.part(&name, component, material, wits.remove(&name)) {
            Ok(()) => {}
            Err(Failure::Here(error, about)) => {
                let subject = match (about, &component.world) {
                    (About::World, Some(world)) => Subject::World(world),
                    _ => Subject::Input(component),
                };
                let report = error.report(name.as_str(), subject, &folder);
                failures.add(recipe.source.place(&error.span(subject)), report);
            }
            Err(Failure::There(reports)) => {
                failures.add_inner(recipe.source.place(&component.span), &name, reports);
            }
        }
    }
    if failures.is_empty() {
        reader.assemble(&mut recipe, &mut failures);
    }
    let Reader { mut inputs, .. } = reader;
    if let (Some(wit), Some(wanted)) = (&wit, &recipe.app.world) {
        match world::read(wit, &wanted.world.value, &mut inputs.types) {
            Ok(world) => inputs.app_world = Some(world),
            Err(error) => {
                let subject = Subject::World(wanted);
                let report = error.report(recipe.app.name.as_str(), subject, &folder);
                failures.add(recipe.source.place(&error.span(subject)), report);
            }
        }
    }
    if failures.is_empty() {
        // What only parts with less memory were made of is no part itself.
        let Inputs { components, parts, .. } = &mut inputs;
        components.retain(|digest, _| parts.values().any(|part| part == digest));
        inputs.accounts.extend(inputs.adapters.clone());
        Ok((recipe, inputs))
    } else {
        Err(failures.into_reports())
    }
}

/// Validates the files that are components, side by side.
fn check(
    parts: &BTreeMap<PartName, Material>,
    files: &BTreeMap<Sha256Digest, Vec<u8>>,
) -> BTreeMap<Sha256Digest, Result<Valid, InputError>> {
    let digest = |material: &Material| match material {
        Material::Component(digest) => Some(*digest),
        Material::Module(_) | Material::Composition(_) | Material::Assembly => None,
    };
    let digests: BTreeSet<Sha256Digest> = parts.values().filter_map(digest).collect();
    digests.into_par_iter().map(|digest| (digest, Valid::new(files[&digest].clone()))).collect()
}

/// Why a part cannot be used: one problem of this recipe, or those of another one.
enum Failure {
    Here(InputError, About),
    There(Vec<Report>),
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        let about = if matches!(error, InputError::Wit(_)) { About::World } else { About::Input };
        Self::Here(error, about)
    }
}

/// What of a part cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Input,
    World,
}

struct Reader<'a> {
    inputs: Inputs,
    files: BTreeMap<Sha256Digest, Vec<u8>>,
    /// What validating told of those that are components, until a part uses it.
    checked: BTreeMap<Sha256Digest, Result<Valid, InputError>>,
    compose: Compose<'a>,
}

impl Reader<'_> {
    fn part(
        &mut self,
        name: &PartName,
        component: &Component,
        material: Material,
        wit: Option<Wit>,
    ) -> Result<(), Failure> {
        let world = wit.as_ref().zip(component.world.as_ref());
        let digest = match material {
            Material::Component(digest) => {
                self.decode(digest, None)?;
                digest
            }
            Material::Module(digest) => {
                let world = world.map(|(wit, world)| (wit, &world.world.value));
                let encoded = module::encode(&self.files[&digest], world)?;
                if let Some(adapter) = encoded.adapter {
                    self.inputs.adapters.insert(format!("{name}/adapter"), adapter.account());
                }
                let digest = Sha256Digest::of(&encoded.bytes);
                self.decode(digest, Some(encoded.bytes))?;
                digest
            }
            // Made when all others have been read.
            Material::Assembly => return self.expect(name, world),
            Material::Composition(gathered) => {
                let composed = (self.compose)(*gathered).map_err(Failure::There)?;
                let adapters = composed.adapters.into_iter();
                self.inputs.adapters.extend(adapters.map(|(part, input)| (format!("{name}/{part}"), input)));
                self.inputs.asked.insert(name.clone(), composed.asked);
                let digest = Sha256Digest::of(&composed.bytes);
                self.decode(digest, Some(composed.bytes))?;
                digest
            }
        };
        let digest = match &component.memory {
            Some(most) => self.limit(digest, most.value)?,
            None => digest,
        };
        self.inputs.parts.insert(name.clone(), digest);
        // The encoder made a module's component of its world, and what an adapter imports is beside it.
        self.expect(name, world.filter(|_| !matches!(component.input, Input::Module(_))))
    }

    /// Reads the world that a part must conform to, if there is one.
    fn expect(&mut self, name: &PartName, world: Option<(&Wit, &WitWorld)>) -> Result<(), Failure> {
        if let Some((wit, world)) = world {
            let read = world::read(wit, &world.world.value, &mut self.inputs.types);
            let read = read.map_err(|error| Failure::Here(error, About::World))?;
            self.inputs.worlds.insert(name.clone(), read);
        }
        Ok(())
    }

    /// Makes the parts that are assembled from functions of the others, and adds the wires of their imports to the recipe.
    fn assemble(&mut self, recipe: &mut Recipe, failures: &mut Failures) {
        let assemblies = |(name, component): (&PartName, &Component)| match &component.input {
            Input::Assembly(assembly) => Some((name.clone(), assembly.clone())),
            _ => None,
        };
        let assemblies: BTreeMap<PartName, Assembly> =
            recipe.components.iter().filter_map(assemblies).collect();
        let names = assemblies.keys().cloned().collect();
        for (name, assembly) in &assemblies {
            match self.assembled(assembly, &recipe.components[name].with, &names) {
                Ok((digest, wires)) => {
                    self.inputs.parts.insert(name.clone(), digest);
                    recipe
                        .components
                        .get_mut(name)
                        .into_iter()
                        .for_each(|part| part.with.extend(wires.clone()));
                }
                Err(problems) => problems.into_iter().for_each(|(span, error)| {
                    failures.add(recipe.source.place(&span), error.report(name));
                }),
            }
        }
    }

    fn assembled(
        &mut self,
        assembly: &Assembly,
        with: &BTreeMap<InterfaceName, Spanned<Provider>>,
        names: &BTreeSet<PartName>,
    ) -> Result<(Sha256Digest, BTreeMap<InterfaceName, Spanned<Provider>>), assembly::Problems> {
        let assembly::Assembled { bytes, wires } = assembly::make(&self.inputs, assembly, with, names)?;
        let digest = Sha256Digest::of(&bytes);
        self.decode(digest, Some(bytes))
            .map_err(|error| vec![(assembly.span.clone(), AssemblyError::Encode(error.to_string()))])?;
        Ok((digest, wires))
    }

    /// Reads the types of a component, each once: one of the files, or one that was made.
    fn decode(&mut self, digest: Sha256Digest, made: Option<Vec<u8>>) -> Result<(), InputError> {
        if self.inputs.components.contains_key(&digest) {
            return Ok(());
        }
        let valid = match made {
            Some(bytes) => Valid::new(bytes),
            // Of the same file, a second part is told the same.
            None => self.checked.remove(&digest).unwrap_or_else(|| Valid::new(self.files[&digest].clone())),
        };
        let package = component::decode(&digest, valid?, &mut self.inputs.types)?;
        self.inputs.components.insert(digest, package);
        Ok(())
    }

    /// The digest of the same component with memories of at most `most`, which is one of the inputs from now on.
    fn limit(&mut self, digest: Sha256Digest, most: MemorySize) -> Result<Sha256Digest, InputError> {
        let bytes = memory::limit(self.inputs.components[&digest].bytes(), most)?;
        let limited = Sha256Digest::of(&bytes);
        self.decode(limited, Some(bytes))?;
        Ok(limited)
    }
}
