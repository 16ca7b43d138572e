//! A part that is assembled from functions of other parts: a component without code, which imports the providers'
//! interfaces and exports their functions as one.
//!
//! Each interface is imported under a name that says from which part it is, `wadoo:from-reader/acme-store-api@1.0.0`, since two
//! parts may export the same; the wires of these imports are made with it. Types that an interface uses of others are imported by
//! their own names and wired like those of any part, so whose resources they are is decided where it is for all (see
//! `plan`).

mod encode;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use thiserror::Error;
use wac_types::{Interface, InterfaceId, ItemKind, ResourceId, Type, Types};
use wadoo_signing::report::{Exit, Report};

use super::Inputs;
use crate::interfaces::{self, FullName, nearest};
use crate::recipe::{Assembly, FunctionName, InterfaceName, PartName, Provider, Span, Spanned};
use crate::signature;

/// A component that was assembled.
pub(super) struct Assembled {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// Who provides its imports.
    pub(super) wires: BTreeMap<InterfaceName, Spanned<Provider>>,
}

/// Why a part cannot be assembled.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum AssemblyError {
    #[error("`{provider}` gives `{function}`, and is assembled itself")]
    Assembled { provider: PartName, function: FunctionName },
    #[error("`{provider}` does not export `{export}`")]
    NoExport { provider: PartName, export: String, exports: Vec<String> },
    #[error("`{provider}` exports no function `{function}`")]
    NoFunction { provider: PartName, function: FunctionName, exports: Vec<String>, functions: Vec<String> },
    #[error("{} exports of `{provider}` have a function `{function}`", exports.len())]
    Unclear { provider: PartName, function: FunctionName, exports: Vec<String> },
    #[error("`{function}` of `{provider}` passes the resource `{resource}`, which `{export}` defines")]
    OwnResource { provider: PartName, export: String, function: FunctionName, resource: String },
    #[error("`{first}` and `{second}` have different types `{name}`")]
    Types { first: PartName, second: PartName, name: String, texts: Option<(String, String)> },
    #[error("its `with` has `{name}`, and `assemble` says who provides that")]
    With { name: InterfaceName },
    #[error("its types cannot be put together: {0}")]
    Encode(String),
}

impl AssemblyError {
    /// The report for the part.
    pub(super) fn report(&self, part: &PartName) -> Report {
        let mut report = Report::new(Exit::CouldNot, format!("cannot assemble `{part}`: {self}"));
        report.because = self.because();
        match self.hint() {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }

    fn because(&self) -> Vec<String> {
        match self {
            Self::NoExport { provider, exports, .. } | Self::NoFunction { provider, exports, .. } => {
                vec![match exports.is_empty() {
                    true => format!("`{provider}` exports no interfaces"),
                    false => format!("`{provider}` exports {}", listed(exports)),
                }]
            }
            Self::Unclear { exports, .. } => exports.iter().map(|export| format!("`{export}`")).collect(),
            Self::Types { first, second, texts: Some((a, b)), .. } => {
                let (first, second) = (format!("`{first}` exports"), format!("`{second}` exports"));
                let width = first.len().max(second.len());
                vec![format!("{first:width$}  {a}"), format!("{second:width$}  {b}")]
            }
            _ => Vec::new(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Assembled { .. } => "name the part that it has the function from".into(),
            Self::NoExport { export, exports, .. } => {
                let bare = |name: &'_ str| name.split('@').next().unwrap_or_default().to_owned();
                let exports: Vec<String> = exports.iter().map(|export| bare(export)).collect();
                format!("did you mean `{}`?", nearest(&bare(export), exports.iter().map(String::as_str))?)
            }
            Self::NoFunction { function, functions, .. } => {
                match nearest(function.as_str(), functions.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if functions.is_empty() => return None,
                    None => format!("what it has is {}", listed(functions)),
                }
            }
            Self::Unclear { provider, function, exports } => {
                let export = exports.first()?;
                format!("say which: `{function} = {{ part = \"{provider}\", export = \"{export}\" }}`")
            }
            Self::OwnResource { .. } => {
                "move the resource into an interface of its own, which all of them use".into()
            }
            Self::Types { .. } => "rebuild one of them, so that both use the same WIT".into(),
            Self::With { .. } => "remove the entry from `with`".into(),
            Self::Encode(_) => return None,
        })
    }
}

/// "`a`, `b`", as far as a line can hold them.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len() {
        count if count > SHOWN => format!("{} and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

/// What is wrong, each with where the recipe has it.
pub(super) type Problems = Vec<(Span, AssemblyError)>;

/// Assembles a part from the others, which have been read. None of `assembled` is among them. `with` is what the recipe says of
/// the part's imports.
pub(super) fn make(
    inputs: &Inputs,
    assembly: &Assembly,
    with: &BTreeMap<InterfaceName, Spanned<Provider>>,
    assembled: &BTreeSet<PartName>,
) -> Result<Assembled, Problems> {
    let mut problems = Problems::new();
    let mut interfaces = BTreeMap::new();
    for (name, functions) in &assembly.interfaces {
        let sources = sources(inputs, name, functions, assembled, &mut problems);
        check_types(inputs, &sources, &mut problems);
        interfaces.insert(name.to_string(), sources);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // The graph library panics where its assumptions fail.
    let encoded = catch_unwind(AssertUnwindSafe(|| encode::component(&inputs.types, &interfaces)));
    let bytes = encoded
        .unwrap_or_else(|_| Err("the graph library cannot encode them".to_owned()))
        .map_err(|message| vec![(assembly.span.clone(), AssemblyError::Encode(message))])?;
    let wires = interfaces.values().flatten().filter_map(|source| Some((source.import()?, source.wire()?)));
    let wires: BTreeMap<_, _> = wires.collect();
    let repeated = with.iter().filter(|(name, _)| wires.keys().any(|import| import.overlaps(name)));
    let repeated: Problems = repeated
        .map(|(name, entry)| (entry.span.clone(), AssemblyError::With { name: name.clone() }))
        .collect();
    if repeated.is_empty() { Ok(Assembled { bytes, wires }) } else { Err(repeated) }
}

/// One interface of a provider, and what is taken from it.
struct Source<'a> {
    part: &'a Spanned<PartName>,
    export: &'a str,
    interface: InterfaceId,
    functions: BTreeSet<&'a str>,
}

impl Source<'_> {
    /// The name that it is imported by.
    fn import_name(&self) -> String {
        interfaces::renamed(interfaces::FROM, self.part.value.as_str(), self.export)
    }

    fn import(&self) -> Option<InterfaceName> {
        self.import_name().parse().ok()
    }

    fn wire(&self) -> Option<Spanned<Provider>> {
        let provider =
            Provider { part: self.part.clone(), export: Some(self.export.parse().ok()?), own: false };
        Some(Spanned { value: provider, span: self.part.span.clone() })
    }

    /// What of the interface is taken: the functions, and the types that do not need a resource which it defines.
    fn items<'t>(&self, types: &'t Types) -> impl Iterator<Item = (&'t String, ItemKind)> {
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
fn sources<'a>(
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
            false => find(inputs, name, function, &provider.value),
        };
        match found {
            Ok((export, interface)) => {
                let source = Source { part, export, interface, functions: BTreeSet::new() };
                sources.entry((&part.value, export)).or_insert(source).functions.insert(function.as_str());
            }
            Err(error) => problems.push((provider.span.clone(), error)),
        }
    }
    sources.into_values().collect()
}

/// The export of a provider that has the function: the one that the recipe names, the only one, or the one of the same name.
fn find<'a>(
    inputs: &'a Inputs,
    name: &InterfaceName,
    function: &FunctionName,
    provider: &'a Provider,
) -> Result<(&'a str, InterfaceId), AssemblyError> {
    let part = &provider.part.value;
    let exports = || inputs.exported_instances(part).filter(|(export, _)| FullName::new(export).is_some());
    let names = || exports().map(|(export, _)| export.to_owned()).collect();
    let meant = |export: &str| provider.export.as_ref().is_none_or(|name| name.matches(export));
    let named: Vec<_> = exports().filter(|(export, _)| meant(export)).collect();
    if let (true, Some(export)) = (named.is_empty(), &provider.export) {
        let export = export.to_string();
        return Err(AssemblyError::NoExport { provider: part.clone(), export, exports: names() });
    }
    let functions = |interface: InterfaceId| {
        let exports = inputs.types[interface].exports.iter();
        let functions = exports.filter(|(_, kind)| matches!(kind, ItemKind::Func(_)));
        functions.map(|(name, _)| name.as_str()).filter(|name| !name.starts_with('['))
    };
    let having: Vec<_> =
        named.iter().filter(|(_, interface)| functions(*interface).any(|f| f == function.as_str())).collect();
    let same_name = || having.iter().find(|(export, _)| name.matches(export));
    let (export, interface) = match (having.as_slice(), same_name()) {
        ([one], _) => **one,
        ([_, _, ..], Some(one)) if provider.export.is_none() => **one,
        ([], _) => {
            let functions = named.iter().flat_map(|(_, interface)| functions(*interface)).map(str::to_owned);
            return Err(AssemblyError::NoFunction {
                provider: part.clone(),
                function: function.clone(),
                exports: names(),
                functions: functions.collect(),
            });
        }
        (several, _) => {
            return Err(AssemblyError::Unclear {
                provider: part.clone(),
                function: function.clone(),
                exports: several.iter().map(|(export, _)| (*export).to_owned()).collect(),
            });
        }
    };
    let types = &inputs.types;
    let defined = defined_resources(types, &types[interface]);
    match own_resource(types, &defined, types[interface].exports[function.as_str()]) {
        None => Ok((export, interface)),
        Some(resource) => Err(AssemblyError::OwnResource {
            provider: part.clone(),
            export: export.to_owned(),
            function: function.clone(),
            resource: types[resource].name.clone(),
        }),
    }
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

/// Two providers that have a type of one name must have the same.
fn check_types(inputs: &Inputs, sources: &[Source], problems: &mut Problems) {
    let types = &inputs.types;
    let mut seen: BTreeMap<&str, (&Source, ItemKind)> = BTreeMap::new();
    for source in sources {
        for (name, kind) in source.items(types).filter(|(_, kind)| matches!(kind, ItemKind::Type(_))) {
            let (first, other) = *seen.entry(name).or_insert((source, kind));
            if signature::is_subtype(types, other, kind) && signature::is_subtype(types, kind, other) {
                continue;
            }
            let differences = signature::differences(types, first.interface, source.interface);
            let label = format!("type `{name}`");
            let told = differences.into_iter().find(|difference| difference.item == label);
            let error = AssemblyError::Types {
                first: first.part.value.clone(),
                second: source.part.value.clone(),
                name: name.clone(),
                texts: told.and_then(|told| Some((told.exported?, told.imported))),
            };
            problems.push((source.part.span.clone(), error));
        }
    }
}
