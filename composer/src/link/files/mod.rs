//! Generated providers of `wasi:filesystem` that have the files of one part: what the portable component has in place of a
//! read-only preopen.
//!
//! What paths lead to and what calls answer is decided in guests, which are prebuilt (`composer/guests`). Generated is the
//! component that has the files in its memory (`data`). The graph library makes one of them, which imports nothing and exports what a part
//! imports, by the part's own versions.

mod data;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use wac_graph::{CompositionGraph, EncodeOptions, NodeId};
use wac_types::Package;
use wadoo_signing::files::FileTree;
use wit_component::DecodedWasm;
use wit_parser::{InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldId, WorldItem};

use super::stub::line;
use crate::interfaces::FullName;

/// What a part sees: trees of files by where they are.
pub(super) type Mounts<'a> = BTreeMap<&'a str, FileTree<'a>>;

/// What provides files on one track of WASI.
struct Provider {
    /// Major and minor number.
    track: (u64, u64),
    /// The version that its exports have.
    version: &'static str,
    exports: &'static [&'static str],
    /// The interface that it takes a type from, and nothing else.
    clock: &'static str,
    component: &'static [u8],
    /// What writes its streams, where it cannot do so itself.
    streams: Option<&'static [u8]>,
}

const PROVIDERS: [Provider; 2] = [
    Provider {
        track: (0, 2),
        version: "0.2.12",
        exports: &[
            "wasi:filesystem/preopens",
            "wasi:filesystem/types",
            "wasi:io/error",
            "wasi:io/poll",
            "wasi:io/streams",
        ],
        clock: "wasi:clocks/wall-clock@0.2.12",
        component: include_bytes!("../../../guests/files-02.wasm"),
        streams: None,
    },
    Provider {
        track: (0, 3),
        version: "0.3.0",
        exports: &["wasi:filesystem/preopens", "wasi:filesystem/types"],
        clock: "wasi:clocks/system-clock@0.3.0",
        component: include_bytes!("../../../guests/files-03.wasm"),
        streams: Some(include_bytes!("../../../guests/streams-03.wasm")),
    },
];

impl Provider {
    fn of(import: &str) -> Option<&'static Self> {
        let name = FullName::new(import)?;
        let version = name.version.filter(|version| version.pre.is_empty())?;
        let mut all = PROVIDERS.iter();
        all.find(|known| known.track == (version.major, version.minor) && known.exports.contains(&name.id))
    }
}

/// The imports that `component` must have from the provider of its files: those of files, and those of the streams that they
/// are read by. A part on WASI 0.2 that reads without streams can have the host's for other things.
pub(super) fn imports(component: &[u8]) -> Result<Vec<String>, String> {
    let (resolve, part) = decode(component)?;
    let interfaces = resolve.worlds[part].imports.iter().filter_map(|(key, item)| match item {
        WorldItem::Interface { id, .. } => Some((*id, resolve.name_world_key(key))),
        _ => None,
    });
    let known: BTreeMap<InterfaceId, String> =
        interfaces.filter(|(_, name)| Provider::of(name).is_some()).collect();
    let mut found: BTreeSet<InterfaceId> = BTreeSet::new();
    let files = known.iter().filter(|(_, name)| name.starts_with("wasi:filesystem/"));
    let mut rest: Vec<InterfaceId> = files.map(|(id, _)| *id).collect();
    while let Some(id) = rest.pop() {
        if known.contains_key(&id) && found.insert(id) {
            rest.extend(resources(&resolve, id).into_iter().map(|(owner, _)| owner));
        }
    }
    Ok(known.into_iter().filter(|(id, _)| found.contains(id)).map(|(_, name)| name).collect())
}

/// Makes the provider of `imports`, full names of imports of `component` as [`imports`] gives them, and exports it by these names.
/// Errors are one line of text.
pub(super) fn generate(component: &[u8], imports: &[&str], mounts: &Mounts<'_>) -> Result<Vec<u8>, String> {
    let (resolve, part) = decode(component)?;
    let imports: BTreeSet<&str> = imports.iter().copied().collect();
    if let Some(unknown) = imports.iter().find(|import| Provider::of(import).is_none()) {
        return Err(format!("nothing provides `{unknown}` with files"));
    }
    undivided(&resolve, part, &imports)?;
    let mut used: Vec<&Provider> = Vec::new();
    for provider in imports.iter().filter_map(|import| Provider::of(import)) {
        if !used.iter().any(|known| known.track == provider.track) {
            used.push(provider);
        }
    }
    let clocks: Vec<&str> = used.iter().map(|provider| provider.clock).collect();
    let data = data::component(mounts, &clocks)?;
    compose(&data, &used, &imports)
}

fn decode(component: &[u8]) -> Result<(Resolve, WorldId), String> {
    match wit_component::decode(component).map_err(line)? {
        DecodedWasm::Component(resolve, part) => Ok((resolve, part)),
        DecodedWasm::WitPackage(..) => Err("its bytes are a WIT package".to_owned()),
    }
}

/// Components are made for one instance each, and named by what they are.
fn compose(data: &[u8], providers: &[&Provider], imports: &BTreeSet<&str>) -> Result<Vec<u8>, String> {
    let mut graph = CompositionGraph::new();
    let data = instance(&mut graph, "wadoo:files-data", data)?;
    for provider in providers {
        let (major, minor) = provider.track;
        let node = instance(&mut graph, &format!("wadoo:files-{major}{minor}"), provider.component)?;
        connect(&mut graph, data, node, data::TREE)?;
        connect(&mut graph, data, node, provider.clock)?;
        if let Some(streams) = provider.streams {
            let streams = instance(&mut graph, &format!("wadoo:streams-{major}{minor}"), streams)?;
            connect(&mut graph, data, streams, data::TREE)?;
            connect(&mut graph, streams, node, "wadoo:files/streams")?;
        }
        for import in imports {
            let Some(name) = FullName::new(import).filter(|_| is_of(provider, import)) else { continue };
            // A release of a track has what those before it had, so one serves them all; types are compared where it is wired.
            let export = format!("{}@{}", name.id, provider.version);
            let alias = graph.alias_instance_export(node, &export).map_err(line)?;
            graph.export(alias, *import).map_err(line)?;
        }
    }
    // What it accepts the engine may not; whoever reads the component validates it.
    graph
        .encode(EncodeOptions { define_components: true, validate: false, processor: None })
        .map_err(|error| format!("{error:#}"))
}

fn is_of(provider: &Provider, import: &str) -> bool {
    Provider::of(import).is_some_and(|known| known.track == provider.track)
}

fn instance(graph: &mut CompositionGraph, name: &str, bytes: &[u8]) -> Result<NodeId, String> {
    let package = Package::from_bytes(name, None, bytes, graph.types_mut()).map_err(line)?;
    let package = graph.register_package(package).map_err(line)?;
    Ok(graph.instantiate(package))
}

fn connect(graph: &mut CompositionGraph, from: NodeId, to: NodeId, name: &str) -> Result<(), String> {
    let alias = graph.alias_instance_export(from, name).map_err(line)?;
    graph.set_instantiation_argument(to, name, alias).map_err(line)
}

/// A resource has one definition for all of a part: what speaks of those of the provider must come from it too, or the graph
/// library fails when it encodes, with numbers of resources. So a part on WASI 0.2 that has host streams, of an HTTP body for one,
/// cannot have files of a provider.
fn undivided(resolve: &Resolve, part: WorldId, imports: &BTreeSet<&str>) -> Result<(), String> {
    let world = &resolve.worlds[part];
    let mut provided = BTreeSet::new();
    let mut others = Vec::new();
    for (imported, (key, item)) in
        world.imports.iter().map(|item| (true, item)).chain(world.exports.iter().map(|item| (false, item)))
    {
        let WorldItem::Interface { id, .. } = item else { continue };
        let name = resolve.name_world_key(key);
        if imported && imports.contains(name.as_str()) {
            provided.insert(*id);
        } else {
            others.push((name, *id));
        }
    }
    for (name, id) in &others {
        if let Some(resource) =
            resources(resolve, *id).into_iter().find(|(owner, _)| provided.contains(owner))
        {
            return Err(format!(
                "`{name}` gives or takes `{}`, of which the files bring a definition of their own",
                resource.1
            ));
        }
    }
    for id in &provided {
        let foreign = resources(resolve, *id).into_iter().find(|(owner, _)| !provided.contains(owner));
        if let Some((owner, resource)) = foreign {
            let owner = resolve.id_of(owner).unwrap_or_default();
            return Err(format!("the files need `{resource}` of `{owner}`, which is to come from elsewhere"));
        }
    }
    Ok(())
}

/// The resources that an interface names, each with whose it is.
fn resources(resolve: &Resolve, interface: InterfaceId) -> Vec<(InterfaceId, String)> {
    let types = resolve.interfaces[interface].types.values();
    types.filter_map(|id| resource(resolve, *id)).collect()
}

fn resource(resolve: &Resolve, mut id: TypeId) -> Option<(InterfaceId, String)> {
    loop {
        let ty = &resolve.types[id];
        match (&ty.kind, ty.owner) {
            (TypeDefKind::Type(Type::Id(other)), _) => id = *other,
            (TypeDefKind::Resource, TypeOwner::Interface(owner)) => {
                return Some((owner, ty.name.clone().unwrap_or_default()));
            }
            _ => return None,
        }
    }
}
