//! A part that is assembled from functions of other parts: a component without code, which imports the providers'
//! interfaces and exports their functions as one.
//!
//! Each interface is imported under a name that says from which part it is, `wadoo:from-reader/acme-store-api@1.0.0`, since two
//! parts may export the same; the wires of these imports are made with it. Where two interfaces of one part would have one such name, or
//! names on one track, the second has a number in its own: `wadoo:from-reader/acme-store-api-2@1.1.0`. Types that an interface uses of others are imported by
//! their own names and wired like those of any part, so whose resources they are is decided where it is for all (see
//! `plan`).

mod encode;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use thiserror::Error;
use wac_types::ItemKind;
use wadoo_signing::report::{Exit, Report};

use self::source::Source;
use super::Inputs;
use crate::interfaces::nearest;
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
        let sources = source::of(inputs, name, functions, assembled, &mut problems);
        check_types(inputs, &sources, &mut problems);
        interfaces.insert(name.to_string(), sources);
    }
    source::tell_apart(&mut interfaces);
    if !problems.is_empty() {
        return Err(problems);
    }
    // The graph library panics where its assumptions fail.
    let encoded = catch_unwind(AssertUnwindSafe(|| encode::component(&inputs.types, &interfaces)));
    let bytes = encoded
        .unwrap_or_else(|_| Err("the graph library cannot encode them".to_owned()))
        .map_err(|message| vec![(assembly.span.clone(), AssemblyError::Encode(message))])?;
    let wires = interfaces.values().flatten().filter_map(Source::wire);
    let wires: BTreeMap<_, _> = wires.collect();
    let repeated = with.iter().filter(|(name, _)| wires.keys().any(|import| import.overlaps(name)));
    let repeated: Problems = repeated
        .map(|(name, entry)| (entry.span.clone(), AssemblyError::With { name: name.clone() }))
        .collect();
    if repeated.is_empty() { Ok(Assembled { bytes, wires }) } else { Err(repeated) }
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
