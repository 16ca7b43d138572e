//! Where the functions of an assembled interface come from: which interface of which part, and the name that it is imported by.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wac_types::{Interface, InterfaceId, ItemKind, ResourceId, Type, Types};

use super::{AssemblyError, Problems};
use crate::inputs::Inputs;
use crate::interfaces::{self, FullName, track};
use crate::recipe::{FunctionName, InterfaceName, PartName, Provider, Spanned};
use crate::signature;

/// One interface of a provider, and what is taken from it.
pub(super) struct Source<'a> {
    pub(super) part: &'a Spanned<PartName>,
    pub(super) export: &'a str,
    pub(super) interface: InterfaceId,
    functions: BTreeSet<&'a str>,
    /// The name that it is imported by.
    pub(super) import: String,
}

impl Source<'_> {
    /// The import, and who provides it. Both names are those of components: what the text of a recipe may have does not
    /// bound them.
    pub(super) fn wire(&self) -> Option<(InterfaceName, Spanned<Provider>)> {
        let name = |full: &str| FullName::new(full).map(InterfaceName::of_component);
        let provider = Provider { part: self.part.clone(), export: Some(name(self.export)?), own: false };
        Some((name(&self.import)?, Spanned { value: provider, span: self.part.span.clone() }))
    }

    /// What of the interface is taken: the functions, and the types that do not need a resource which it defines.
    pub(super) fn items<'t>(&self, types: &'t Types) -> impl Iterator<Item = (&'t String, ItemKind)> {
        let defined = defined_resources(types, &types[self.interface]);
        types[self.interface].exports.iter().map(|(name, kind)| (name, *kind)).filter(move |(name, kind)| {
            match kind {
                ItemKind::Func(_) => self.functions.contains(name.as_str()),
                ItemKind::Type(_) => own_resource(types, &defined, *kind).is_none(),
                _ => false,
            }
        })
    }
}

/// The interfaces that the functions come from, by provider and name.
pub(super) fn of<'a>(
    inputs: &'a Inputs,
    name: &InterfaceName,
    functions: &'a BTreeMap<FunctionName, Spanned<Provider>>,
    assembled: &BTreeSet<PartName>,
    problems: &mut Problems,
) -> Vec<Source<'a>> {
    let mut sources: BTreeMap<(&PartName, &str), Source> = BTreeMap::new();
    for (function, provider) in functions {
        let Provider { part, .. } = &provider.value;
        let found = match assembled.contains(&part.value) {
            true => {
                Err(AssemblyError::Assembled { provider: part.value.clone(), function: function.clone() })
            }
            false => find(inputs, name, function, &provider.value)
                .and_then(|export| check_resources(inputs, export, function, &provider.value)),
        };
        match found {
            Ok(Export { name: export, interface }) => {
                let (functions, import) = (BTreeSet::new(), import_name(&part.value, export, 1));
                let source = Source { part, export, interface, functions, import };
                sources.entry((&part.value, export)).or_insert(source).functions.insert(function.as_str());
            }
            Err(error) => problems.push((provider.span.clone(), error)),
        }
    }
    sources.into_values().collect()
}

/// The name of the import that an export of `part` is bound to, with a number if it is not the first of that name.
fn import_name(part: &PartName, export: &str, number: usize) -> String {
    let (id, version) = export.split_at(export.find('@').unwrap_or(export.len()));
    match number {
        1 => interfaces::renamed(interfaces::FROM, part.as_str(), export),
        _ => interfaces::renamed(interfaces::FROM, part.as_str(), &format!("{id}-{number}{version}")),
    }
}

/// Gives each export an import of its own. `acme:store-log/x` and `acme:store/log-x` differ in what joins their words alone, for
/// which the name of an import has no room; of two names on one track the graph library makes one import; and upper case does
/// not make a name another one.
pub(super) fn tell_apart<'a>(interfaces: &mut BTreeMap<String, Vec<Source<'a>>>) {
    let key = |source: &Source<'a>| (&source.part.value, source.export);
    let exports: BTreeSet<_> = interfaces.values().flatten().map(key).collect();
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for (part, export) in exports {
        let mut numbered = (1..).map(|number| import_name(part, export, number));
        let free = numbered.find(|name| taken.insert(track(name).to_ascii_lowercase()));
        names.extend(free.map(|name| ((part, export), name)));
    }
    for source in interfaces.values_mut().flatten() {
        source.import.clone_from(&names[&key(source)]);
    }
}

/// An interface that a part exports.
#[derive(Clone, Copy)]
struct Export<'a> {
    name: &'a str,
    interface: InterfaceId,
}

impl Export<'_> {
    /// The functions that can be taken out of it by name.
    fn functions<'t>(&self, types: &'t Types) -> impl Iterator<Item = &'t str> {
        let exports = types[self.interface].exports.iter();
        let functions = exports.filter(|(_, kind)| matches!(kind, ItemKind::Func(_)));
        functions.map(|(name, _)| name.as_str()).filter(|name| !name.starts_with('['))
    }
}

/// The export of a provider that has the function: the one that the recipe names, the only one, or the one of the same name.
fn find<'a>(
    inputs: &'a Inputs,
    name: &InterfaceName,
    function: &FunctionName,
    provider: &Provider,
) -> Result<Export<'a>, AssemblyError> {
    let types = &inputs.types;
    let part = &provider.part.value;
    let exports: Vec<Export> = inputs
        .exported_instances(part)
        .filter(|(name, _)| FullName::new(name).is_some())
        .map(|(name, interface)| Export { name, interface })
        .collect();
    let named: Vec<Export> = match &provider.export {
        Some(export) => exports.iter().copied().filter(|other| export.matches(other.name)).collect(),
        None => exports.clone(),
    };
    let names = |exports: &[Export]| exports.iter().map(|export| export.name.to_owned()).collect();
    if let (true, Some(export)) = (named.is_empty(), &provider.export) {
        let (export, exports) = (export.to_string(), names(&exports));
        return Err(AssemblyError::NoExport { provider: part.clone(), export, exports });
    }
    let has = |export: &Export| export.functions(types).any(|other| other == function.as_str());
    let having: Vec<Export> = named.iter().copied().filter(has).collect();
    if having.is_empty() {
        let functions = named.iter().flat_map(|export| export.functions(types)).map(str::to_owned).collect();
        let (provider, function, exports) = (part.clone(), function.clone(), names(&exports));
        return Err(AssemblyError::NoFunction { provider, function, exports, functions });
    }
    choose(&having, provider.export.as_ref().unwrap_or(name)).ok_or_else(|| {
        let (provider, function, exports) = (part.clone(), function.clone(), names(&having));
        AssemblyError::Unclear { provider, function, exports }
    })
}

/// Refuses a function that passes a resource which its own interface defines: nobody could have that resource without the interface.
fn check_resources<'a>(
    inputs: &Inputs,
    export: Export<'a>,
    function: &FunctionName,
    provider: &Provider,
) -> Result<Export<'a>, AssemblyError> {
    let types = &inputs.types;
    let interface = &types[export.interface];
    match own_resource(types, &defined_resources(types, interface), interface.exports[function.as_str()]) {
        None => Ok(export),
        Some(resource) => Err(AssemblyError::OwnResource {
            provider: provider.part.value.clone(),
            export: export.name.to_owned(),
            function: function.clone(),
            resource: types[resource].name.clone(),
        }),
    }
}

/// The one of several exports that is meant by `name`. On one track it is the one that has the name in full, or else the
/// highest version, as for any wire; names on several tracks leave open which is meant.
fn choose<'a>(exports: &[Export<'a>], name: &InterfaceName) -> Option<Export<'a>> {
    if let [one] = exports {
        return Some(*one);
    }
    let full = name.to_string();
    let mut named: Vec<&Export> = exports.iter().filter(|export| name.matches(export.name)).collect();
    named.sort_by_key(|export| (export.name != full, std::cmp::Reverse(interfaces::version(export.name))));
    let first = **named.first()?;
    named.iter().all(|export| track(export.name) == track(first.name)).then_some(first)
}

/// The resources that an interface defines, and does not use of another.
fn defined_resources(types: &Types, interface: &Interface) -> HashSet<ResourceId> {
    let of = |(name, kind): (&String, &ItemKind)| match kind {
        ItemKind::Type(Type::Resource(id)) if !interface.uses.contains_key(name) => {
            Some(types.resolve_resource(*id))
        }
        _ => None,
    };
    interface.exports.iter().filter_map(of).collect()
}

/// A resource of `defined` that the item needs.
fn own_resource(types: &Types, defined: &HashSet<ResourceId>, kind: ItemKind) -> Option<ResourceId> {
    let resources = signature::resources(types, kind).into_iter();
    resources.map(|resource| types.resolve_resource(resource)).find(|resource| defined.contains(resource))
}
