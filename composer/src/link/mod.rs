//! From plan to one component: the graph, its encoding, and the audit of the encoded bytes.
//!
//! [`link`] decides nothing. It does what the plan says, and then reads the bytes as a stranger would: what
//! differs from the plan is a bug, told with the parts, and never a component that someone signs.

mod audit;
mod baked;
mod error;
mod files;
mod pool;
mod stub;
mod stubs;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};
use wac_types::{ItemKind, Package};
use wadoo_launcher::compat::needs_concurrency;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::{Grant, PartImport, PartSpan, PoolNeeds, Trigger};
use wadoo_signing::report::Report;

pub use error::LinkError;
pub use pool::{MAX_INSTANCES, MAX_NESTING};
use stubs::{Stubs, baked_name, files_name, open_name, stub_name, stubs};

use crate::features;
use crate::inputs::Inputs;
use crate::interfaces;
use crate::plan::{DEVICE, Decision, Plan, is_open_configuration};
use crate::recipe::{MemorySize, PREOPENS, PartName};

/// One component, made of all parts.
#[derive(Debug)]
pub struct Linked {
    /// The component that is compiled.
    pub bytes: Vec<u8>,
    /// The same for every host, where that is another one: with standard names only, and with the files that parts carry.
    pub portable: Option<Portable>,
    /// The parts whose files cannot be in a component for every host, and why.
    pub unportable: BTreeMap<String, String>,
    /// Its imports by full name, as they stand in the bytes.
    pub imports: BTreeSet<String>,
    /// Its exports by full name.
    pub exports: BTreeSet<String>,
    /// What starts a call into it.
    pub trigger: Trigger,
    /// The granted imports with their values.
    pub grants: BTreeMap<String, Grant>,
    /// The imports that are there for one part alone, which have other names than their interfaces.
    pub part_imports: BTreeMap<String, PartImport>,
    /// Where the code of each part stands in the bytes, generated parts included.
    pub parts: Vec<PartSpan>,
    /// What one instance of it takes from the instance pool.
    pub pool: PoolNeeds,
    /// What the memories of one instance have together before anything runs.
    pub initial_memory: MemorySize,
    /// It uses what only an engine with concurrency has: asynchronous functions, streams, futures, or WASI 0.3.
    pub concurrent: bool,
}

/// A component that every host can run.
#[derive(Debug)]
pub struct Portable {
    /// The component.
    pub bytes: Vec<u8>,
    /// Its imports by full name.
    pub imports: BTreeSet<String>,
    /// The parts that have their files with them.
    with_files: BTreeSet<String>,
}

impl Linked {
    /// The component that every host can run.
    pub fn portable(&self) -> &[u8] {
        self.portable.as_ref().map_or(&self.bytes, |portable| &portable.bytes)
    }

    /// The imports of the component that every host can run.
    pub fn portable_imports(&self) -> &BTreeSet<String> {
        self.portable.as_ref().map_or(&self.imports, |portable| &portable.imports)
    }

    /// What parts share in the component that every host can run, although they were granted different values: a line for
    /// each interface.
    pub fn shared_when_portable(&self) -> Vec<String> {
        let mut interfaces: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let with_files = self.portable.iter().flat_map(|portable| &portable.with_files);
        let with_files: BTreeSet<&str> = with_files.map(String::as_str).collect();
        let from_host = |own: &&PartImport| {
            !(own.interface.starts_with(PREOPENS) && with_files.contains(own.part.as_str()))
        };
        for own in self.part_imports.values().filter(from_host) {
            interfaces.entry(&own.interface).or_default().insert(&own.part);
        }
        let line = |(interface, parts): (&str, BTreeSet<&str>)| {
            let parts: Vec<String> = parts.into_iter().map(|part| format!("`{part}`")).collect();
            let has = if parts.len() == 1 { "has values of its own" } else { "have values of their own" };
            format!(
                "warning: {} {has} for `{interface}`; in the portable component all parts share what the host provides",
                parts.join(", ")
            )
        };
        interfaces.into_iter().map(line).collect()
    }
}

/// Links the parts as `plan` says. The same plan and inputs give the same bytes.
///
/// # Errors
///
/// A denied interface that cannot be stubbed, a component that has more instances than is sane, and bugs.
pub fn link(plan: &Plan, inputs: &Inputs) -> Result<Linked, Vec<Report>> {
    with_stubs(plan, inputs, |stubs| finish(plan, inputs, stubs))
}

/// Links a recipe that is a part of another one: the component alone. What it takes from the instance pool and what it is
/// granted are counted where it is a part.
///
/// # Errors
///
/// Those of [`link`].
pub fn part(plan: &Plan, inputs: &Inputs) -> Result<Vec<u8>, Vec<Report>> {
    with_stubs(plan, inputs, |stubs| Ok(portable(plan, inputs, stubs)?.bytes))
}

fn with_stubs<T>(
    plan: &Plan,
    inputs: &Inputs,
    make: impl FnOnce(&Stubs) -> Result<T, LinkError>,
) -> Result<T, Vec<Report>> {
    let parts: Vec<String> = plan.parts.keys().map(ToString::to_string).collect();
    let linked = stubs(plan, inputs).and_then(|stubs| {
        // The graph library panics where its assumptions fail; that must be told with the parts.
        catch_unwind(AssertUnwindSafe(|| make(&stubs)))
            .unwrap_or_else(|panic| Err(LinkError::Panic(panic_text(panic.as_ref()))))
    });
    linked.map_err(|error| vec![error.report(&plan.app, &parts)])
}

/// Which names the imports of the root have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Those of their interfaces: what every host knows. Parts share what the launcher provides.
    Portable,
    /// Where parts have different values of one interface, each has an import of its own.
    Linked,
}

impl Form {
    /// The name of what the launcher provides to `part` as `import`.
    fn name<'a>(self, plan: &'a Plan, part: &PartName, import: &str) -> Option<&'a str> {
        let (name, root) = plan.root_import(part, import)?;
        Some(match self {
            Self::Portable => &root.interface,
            Self::Linked => name,
        })
    }

    /// The name of what the launcher provides to the configuration of `part`.
    fn name_of_config<'a>(self, plan: &'a Plan, part: &PartName) -> Option<&'a str> {
        let (name, root) = plan.root_of_config(part)?;
        Some(match self {
            Self::Portable => &root.interface,
            Self::Linked => name,
        })
    }
}

/// The component that every host can run, checked like the one that is compiled.
fn portable(plan: &Plan, inputs: &Inputs, stubs: &Stubs) -> Result<Portable, LinkError> {
    let bytes = encode(plan, inputs, stubs, Form::Portable)?;
    audit::validate(&bytes, features::engine())?;
    let imports = audit::check(plan, inputs, stubs, &audit::read(&bytes)?, Form::Portable)?;
    let with_files = stubs.files.keys().map(ToString::to_string).collect();
    Ok(Portable { bytes, imports: imports.into_values().collect(), with_files })
}

fn finish(plan: &Plan, inputs: &Inputs, stubs: &Stubs) -> Result<Linked, LinkError> {
    let portable = match plan.tells_parts_apart() || !stubs.files.is_empty() {
        true => Some(portable(plan, inputs, stubs)?),
        false => None,
    };
    let bytes = encode(plan, inputs, stubs, Form::Linked)?;
    let (valid, (found, needs)) = rayon::join(
        || audit::validate(&bytes, features::engine()),
        || (audit::read(&bytes), pool::needs(&bytes)),
    );
    valid?;
    let (found, needs) = (found?, needs?);
    let imports = audit::check(plan, inputs, stubs, &found, Form::Linked)?;
    let (mut grants, mut part_imports) = (BTreeMap::new(), BTreeMap::new());
    for (name, import) in &plan.launcher {
        // The graph library may have chosen another version of the track.
        let Some(actual) = imports.get(&interfaces::track(name)) else { continue };
        grants.extend(import.grant.clone().map(|grant| (actual.clone(), grant)));
        if *name != import.interface {
            // The launcher has variables of its own for what is generated, beside those of the part.
            let part = import.parts.first().map(ToString::to_string);
            let part = part.or_else(|| import.config_of.first().map(open_name)).unwrap_or_default();
            part_imports.insert(actual.clone(), PartImport { part, interface: import.interface.clone() });
        }
    }
    let asynchronous = audit::validate(&bytes, features::synchronous()).is_err();
    let mut interfaces = plan.launcher.values().map(|import| import.interface.as_str());
    Ok(Linked {
        pool: needs.pool,
        initial_memory: needs.initial_memory,
        concurrent: asynchronous || interfaces.any(needs_concurrency),
        portable,
        unportable: stubs.unportable.iter().map(|(part, why)| (part.to_string(), why.clone())).collect(),
        part_imports,
        imports: imports.into_values().collect(),
        parts: found.parts(),
        exports: found.exports.into_keys().collect(),
        trigger: plan
            .trigger
            .clone()
            .ok_or_else(|| LinkError::Audit("it has nothing that starts it".to_owned()))?,
        grants,
        bytes,
    })
}

/// Builds the graph and encodes it. Everything is added in one fixed order: it decides the bytes.
fn encode(plan: &Plan, inputs: &Inputs, stubs: &Stubs, form: Form) -> Result<Vec<u8>, LinkError> {
    let mut graph = CompositionGraph::new();
    *graph.types_mut() = inputs.types.clone();
    let mut packages: HashMap<Sha256Digest, PackageId> = HashMap::new();
    let mut nodes = Nodes::default();
    for part in providers_first(plan) {
        let planned = &plan.parts[part];
        let mut add = |bytes: Option<&Vec<u8>>, name: String| {
            bytes.map(|bytes| add_stub(&mut graph, &mut packages, name, bytes)).transpose()
        };
        nodes.denied = add(stubs.denied.get(part), stub_name(part))?;
        nodes.baked = add(stubs.baked.get(part), baked_name(part))?;
        nodes.open = add(stubs.open.get(part), open_name(part))?;
        let files = stubs.files.get(part).filter(|_| form == Form::Portable);
        nodes.files = add(files.map(|files| &files.bytes), files_name(part))?
            .zip(files)
            .map(|(node, files)| (node, &files.imports));
        let package = match packages.get(&planned.digest) {
            Some(id) => *id,
            None => {
                let id = graph.register_package(inputs.package(part).clone()).map_err(LinkError::graph)?;
                packages.insert(planned.digest, id);
                id
            }
        };
        let node = graph.instantiate(package);
        graph.set_node_name(node, part.to_string());
        nodes.parts.insert(part, node);
        if form == Form::Linked {
            nodes.imports = import_for(&mut graph, plan, inputs, part)?;
        }
        for import in inputs.world(part).imports.keys() {
            if let Some(argument) = argument(&mut graph, &nodes, &planned.imports[import], import)? {
                graph.set_instantiation_argument(node, import, argument).map_err(LinkError::graph)?;
            }
        }
        connect_stub(&mut graph, &nodes, &planned.imports)?;
        connect_baked(&mut graph, &nodes)?;
        if form == Form::Linked {
            connect_open(&mut graph, &nodes, plan, part)?;
        }
    }
    for (export, part) in &plan.exports {
        let alias = graph.alias_instance_export(nodes.parts[part], export).map_err(LinkError::graph)?;
        graph.export(alias, export).map_err(LinkError::graph)?;
    }
    // Its own validation accepts what the engine does not; `audit::validate` replaces it.
    graph
        .encode(EncodeOptions { define_components: true, validate: false, processor: None })
        .map_err(LinkError::graph)
}

/// What arguments come from.
#[derive(Default)]
struct Nodes<'a> {
    /// The parts so far.
    parts: BTreeMap<&'a PartName, NodeId>,
    /// The imports that are there for the part at hand alone, by the names that it has for them.
    imports: BTreeMap<String, NodeId>,
    /// What stands in for the denied imports of the part at hand.
    denied: Option<NodeId>,
    /// What has the values of the part at hand.
    baked: Option<NodeId>,
    /// What has its configuration, where the device gives some of it.
    open: Option<NodeId>,
    /// What has its files, and which of its imports that is.
    files: Option<(NodeId, &'a BTreeSet<String>)>,
}

/// Imports at the root what is there for `part` alone.
fn import_for(
    graph: &mut CompositionGraph,
    plan: &Plan,
    inputs: &Inputs,
    part: &PartName,
) -> Result<BTreeMap<String, NodeId>, LinkError> {
    let mut imports = BTreeMap::new();
    let mut copies = HashMap::new();
    for (import, kind) in &inputs.world(part).imports {
        let own = plan.root_import(part, import).filter(|(name, root)| *name != root.interface);
        if let (Some((name, _)), ItemKind::Instance(interface)) = (own, kind) {
            // Under its own id, the library would make it one with the import of another part, and say nothing.
            let mut copy = graph.types()[*interface].clone();
            copy.id = Some(name.to_owned());
            // What it uses stands before it.
            for used in copy.uses.values_mut() {
                used.interface = copies.get(&used.interface).copied().unwrap_or(used.interface);
            }
            let copy = graph.types_mut().add_interface(copy);
            copies.insert(*interface, copy);
            let node = graph.import(name, ItemKind::Instance(copy)).map_err(LinkError::graph)?;
            imports.insert(import.clone(), node);
        }
    }
    Ok(imports)
}

/// The node for an import; `None` leaves it to the root.
fn argument(
    graph: &mut CompositionGraph,
    nodes: &Nodes,
    decision: &Decision,
    import: &str,
) -> Result<Option<NodeId>, LinkError> {
    if let Some((files, _)) = nodes.files.filter(|(_, imports)| imports.contains(import)) {
        return graph.alias_instance_export(files, import).map(Some).map_err(LinkError::graph);
    }
    let without = |what: &str| LinkError::Audit(format!("`{import}` is {what} without a component for it"));
    let (instance, export) = match decision {
        Decision::Wire { part, export, .. } => (nodes.parts[part], export.as_str()),
        Decision::Deny { .. } => (nodes.denied.ok_or_else(|| without("denied"))?, import),
        Decision::Baked { .. } if is_open_configuration(import, decision) => {
            (nodes.open.ok_or_else(|| without("open"))?, import)
        }
        Decision::Baked { .. } => (nodes.baked.ok_or_else(|| without("baked"))?, import),
        Decision::Launcher(_) => return Ok(nodes.imports.get(import).copied()),
    };
    graph.alias_instance_export(instance, export).map(Some).map_err(LinkError::graph)
}

fn add_stub(
    graph: &mut CompositionGraph,
    packages: &mut HashMap<Sha256Digest, PackageId>,
    name: String,
    bytes: &[u8],
) -> Result<NodeId, LinkError> {
    let digest = Sha256Digest::of(bytes);
    let package = match packages.get(&digest) {
        Some(id) => *id,
        None => {
            let package = Package::from_bytes(&format!("wadoo:{digest}"), None, bytes, graph.types_mut())
                .map_err(|error| LinkError::Graph(format!("{error:#}")))?;
            let id = graph.register_package(package).map_err(LinkError::graph)?;
            packages.insert(digest, id);
            id
        }
    };
    let node = graph.instantiate(package);
    graph.set_node_name(node, name);
    Ok(node)
}

/// The imports of a generated component.
fn imports_of(graph: &CompositionGraph, node: NodeId) -> Vec<String> {
    let Some(package) = graph[node].package() else { return Vec::new() };
    graph.types()[graph[package].ty()].imports.keys().cloned().collect()
}

/// A stub takes the types that it does not define from where its part has them.
fn connect_stub(
    graph: &mut CompositionGraph,
    nodes: &Nodes,
    decisions: &BTreeMap<String, Decision>,
) -> Result<(), LinkError> {
    let Some(stub) = nodes.denied else { return Ok(()) };
    for import in imports_of(graph, stub) {
        let decision =
            decisions.get(&import).filter(|decision| !matches!(decision, Decision::Deny { .. })).ok_or_else(
                || LinkError::Audit(format!("a stub imports `{import}`, which its part does not")),
            )?;
        if let Some(argument) = argument(graph, nodes, decision, &import)? {
            graph.set_instantiation_argument(stub, &import, argument).map_err(LinkError::graph)?;
        }
    }
    Ok(())
}

/// What has a part's values takes the rest from the launcher, by the import that is the part's own if it has one.
fn connect_baked(graph: &mut CompositionGraph, nodes: &Nodes) -> Result<(), LinkError> {
    let Some(baked) = nodes.baked else { return Ok(()) };
    for import in imports_of(graph, baked) {
        if let Some(argument) = nodes.imports.get(&import) {
            graph.set_instantiation_argument(baked, &import, *argument).map_err(LinkError::graph)?;
        }
    }
    Ok(())
}

/// What has a part's open configuration takes the variables from an import of its own, if it has one.
fn connect_open(
    graph: &mut CompositionGraph,
    nodes: &Nodes,
    plan: &Plan,
    part: &PartName,
) -> Result<(), LinkError> {
    let own = plan.root_of_config(part).filter(|(name, root)| *name != root.interface);
    let (Some(open), Some((name, _))) = (nodes.open, own) else { return Ok(()) };
    let package =
        graph[open].package().ok_or_else(|| LinkError::Audit(format!("`{name}` feeds no component")))?;
    let Some(ItemKind::Instance(interface)) = graph.types()[graph[package].ty()].imports.get(DEVICE).copied()
    else {
        return Err(LinkError::Audit(format!("what takes `{name}` does not import `{DEVICE}`")));
    };
    let mut copy = graph.types()[interface].clone();
    copy.id = Some(name.to_owned());
    let copy = graph.types_mut().add_interface(copy);
    let node = graph.import(name, ItemKind::Instance(copy)).map_err(LinkError::graph)?;
    graph.set_instantiation_argument(open, DEVICE, node).map_err(LinkError::graph)
}

/// Every part after the parts that it imports from, otherwise by name.
fn providers_first(plan: &Plan) -> Vec<&PartName> {
    fn visit<'a>(
        plan: &'a Plan,
        part: &'a PartName,
        seen: &mut BTreeSet<&'a PartName>,
        order: &mut Vec<&'a PartName>,
    ) {
        if !seen.insert(part) {
            return;
        }
        for decision in plan.parts[part].imports.values() {
            if let Decision::Wire { part: provider, .. } = decision {
                visit(plan, provider, seen, order);
            }
        }
        order.push(part);
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for part in plan.parts.keys() {
        visit(plan, part, &mut seen, &mut order);
    }
    order
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}
