//! The inputs: the bytes of every part, read once, checked to be components that the engine can run, with
//! their types.
//!
//! This is the edge where the composer reads guests. Identical bytes are kept once, whatever their paths: what
//! counts is the digest. Whether the parts fit together is not decided here (see `plan`).

mod component;
mod depth;
mod error;
mod file;

use std::collections::BTreeMap;
use std::path::Path;

use wac_types::{InterfaceId, ItemKind, Package, Types, World};
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::report::Report;

pub use component::{MAX_IMPORTS_AND_EXPORTS, MAX_TYPE_DEPTH};
pub use error::InputError;
pub use file::MAX_COMPONENT_SIZE;

use crate::recipe::{PartName, Recipe};

/// Every part of a recipe with the component that it is an instance of.
pub struct Inputs {
    /// The types of all components; ids in the packages point into it.
    pub(crate) types: Types,
    /// Each component once.
    pub(crate) components: BTreeMap<Sha256Digest, Package>,
    /// Which component each part is an instance of.
    pub(crate) parts: BTreeMap<PartName, Sha256Digest>,
}

impl Inputs {
    /// The digest of the part's bytes, if the recipe has the part.
    pub fn digest(&self, part: &PartName) -> Option<&Sha256Digest> {
        self.parts.get(part)
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
        &self.components[&self.parts[part]]
    }

    /// What the part imports and exports.
    pub(crate) fn world(&self, part: &PartName) -> &World {
        &self.types[self.package(part).ty()]
    }

    /// The part's exports that are instances.
    pub(crate) fn exported_instances(&self, part: &PartName) -> impl Iterator<Item = (&str, InterfaceId)> {
        self.world(part).exports.iter().filter_map(|(name, kind)| match kind {
            ItemKind::Instance(id) => Some((name.as_str(), *id)),
            _ => None,
        })
    }
}

/// Reads every part of `recipe`, relative to the recipe's folder.
///
/// # Errors
///
/// One report for each part that cannot be used, in the order of the recipe.
pub fn read(recipe: &Recipe) -> Result<Inputs, Vec<Report>> {
    let folder = Path::new(recipe.source.file()).parent().unwrap_or(Path::new(""));
    let mut inputs = Inputs { types: Types::new(), components: BTreeMap::new(), parts: BTreeMap::new() };
    let mut reports = Vec::new();
    for (name, part) in &recipe.components {
        let read = file::read(folder, &part.path.value).and_then(|bytes| {
            let digest = Sha256Digest::of(&bytes);
            if let Some(pin) = &part.digest
                && pin.value != digest
            {
                return Err(InputError::Pin { found: digest, pinned: pin.value });
            }
            if !inputs.components.contains_key(&digest) {
                let package = component::decode(&digest, bytes, &mut inputs.types)?;
                inputs.components.insert(digest, package);
            }
            Ok(digest)
        });
        match read {
            Ok(digest) => {
                inputs.parts.insert(name.clone(), digest);
            }
            Err(error) => {
                let span = match (&error, &part.digest) {
                    (InputError::Pin { .. }, Some(pin)) => pin.span.clone(),
                    _ => part.path.span.clone(),
                };
                let report = error.report(name, &part.path.value, &folder.join(&part.path.value));
                reports.push((recipe.source.place(&span), report));
            }
        }
    }
    if reports.is_empty() {
        return Ok(inputs);
    }
    reports.sort_by_key(|(place, _)| (place.line, place.column));
    Err(reports.into_iter().map(|(place, report)| report.at(place)).collect())
}
