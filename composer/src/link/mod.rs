//! From plan to one component: the graph, its encoding, and the audit of the encoded bytes.
//!
//! [`link`] decides nothing. It does what the plan says, and then reads the bytes as a stranger would: what
//! differs from the plan is a bug, told with the parts, and never a component that someone signs.

mod audit;
mod error;
mod pool;
mod stub;
mod traps;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};
use wac_types::Package;
use wadoo_launcher::compat::needs_concurrency;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::{Grant, PartSpan, PoolNeeds, Trigger};
use wadoo_signing::report::Report;

pub use error::LinkError;
pub use pool::{MAX_INSTANCES, MAX_NESTING};

use crate::features;
use crate::inputs::Inputs;
use crate::plan::{Decision, Plan};
use crate::recipe::PartName;

/// One component, made of all parts.
#[derive(Debug)]
pub struct Linked {
    /// The component.
    pub bytes: Vec<u8>,
    /// Its imports by full name, as they stand in the bytes.
    pub imports: BTreeSet<String>,
    /// Its exports by full name.
    pub exports: BTreeSet<String>,
    /// What starts a call into it.
    pub trigger: Trigger,
    /// The granted imports with their values.
    pub grants: BTreeMap<String, Grant>,
    /// Where the code of each part stands in the bytes, generated parts included.
    pub parts: Vec<PartSpan>,
    /// What one instance of it takes from the instance pool.
    pub pool: PoolNeeds,
    /// It uses what only an engine with concurrency has: asynchronous functions, streams, futures, or WASI 0.3.
    pub concurrent: bool,
}

/// Links the parts as `plan` says. The same plan and inputs give the same bytes.
///
/// # Errors
///
/// A denied interface that cannot be stubbed, a component that has more instances than is sane, and bugs.
pub fn link(plan: &Plan, inputs: &Inputs) -> Result<Linked, Vec<Report>> {
    build(plan, inputs, |stubs, bytes| finish(plan, inputs, stubs, bytes))
}

/// Links a recipe that is a part of another one: the component alone. What it takes from the instance pool and what it is
/// granted are counted where it is a part.
///
/// # Errors
///
/// Those of [`link`].
pub fn part(plan: &Plan, inputs: &Inputs) -> Result<Vec<u8>, Vec<Report>> {
    build(plan, inputs, |stubs, bytes| {
        audit::validate(&bytes, features::engine())?;
        audit::check(plan, inputs, stubs, &audit::read(&bytes)?)?;
        Ok(bytes)
    })
}

fn build<T>(
    plan: &Plan,
    inputs: &Inputs,
    finish: impl FnOnce(&Stubs, Vec<u8>) -> Result<T, LinkError>,
) -> Result<T, Vec<Report>> {
    let parts: Vec<String> = plan.parts.keys().map(ToString::to_string).collect();
    let linked = stubs(plan, inputs).and_then(|stubs| {
        // The graph library panics where its assumptions fail; that must be told with the parts.
        catch_unwind(AssertUnwindSafe(|| {
            let bytes = encode(plan, inputs, &stubs)?;
            finish(&stubs, bytes)
        }))
        .unwrap_or_else(|panic| Err(LinkError::Panic(panic_text(panic.as_ref()))))
    });
    linked.map_err(|error| vec![error.report(&plan.app, &parts)])
}

fn finish(plan: &Plan, inputs: &Inputs, stubs: &Stubs, bytes: Vec<u8>) -> Result<Linked, LinkError> {
    audit::validate(&bytes, features::engine())?;
    let found = audit::read(&bytes)?;
    let imports = audit::check(plan, inputs, stubs, &found)?;
    let grants = plan
        .launcher
        .iter()
        .filter_map(|(name, import)| {
            let actual = imports.get(&crate::interfaces::track(name))?;
            Some((actual.clone(), import.grant.clone()?))
        })
        .collect();
    let asynchronous = audit::validate(&bytes, features::synchronous()).is_err();
    Ok(Linked {
        pool: pool::needs(&bytes)?,
        concurrent: asynchronous || imports.values().any(|import| needs_concurrency(import)),
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

/// The generated components by the part whose imports they stand in for.
type Stubs = BTreeMap<PartName, Vec<u8>>;

fn stubs(plan: &Plan, inputs: &Inputs) -> Result<Stubs, LinkError> {
    let mut stubs = Stubs::new();
    for (part, planned) in &plan.parts {
        let denied: Vec<&str> = planned
            .imports
            .iter()
            .filter(|(_, decision)| matches!(decision, Decision::Deny { .. }))
            .map(|(import, _)| import.as_str())
            .collect();
        if !denied.is_empty() {
            let stub = catch_unwind(|| stub::generate(inputs.package(part).bytes(), &denied))
                .unwrap_or_else(|panic| Err(panic_text(panic.as_ref())));
            let stub = stub.map_err(|message| LinkError::Stub { part: part.clone(), message })?;
            stubs.insert(part.clone(), stub);
        }
    }
    Ok(stubs)
}

/// The name of a stub's instance. A part's name has no slash.
fn stub_name(part: &PartName) -> String {
    format!("{part}/denied")
}

/// Builds the graph and encodes it. Everything is added in one fixed order: it decides the bytes.
fn encode(plan: &Plan, inputs: &Inputs, stubs: &Stubs) -> Result<Vec<u8>, LinkError> {
    let mut graph = CompositionGraph::new();
    *graph.types_mut() = inputs.types.clone();
    let mut packages: HashMap<Sha256Digest, PackageId> = HashMap::new();
    let mut nodes: BTreeMap<&PartName, NodeId> = BTreeMap::new();
    for part in providers_first(plan) {
        let planned = &plan.parts[part];
        let stub = match stubs.get(part) {
            Some(bytes) => Some(add_stub(&mut graph, &mut packages, part, bytes)?),
            None => None,
        };
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
        nodes.insert(part, node);
        for import in inputs.world(part).imports.keys() {
            if let Some(argument) = argument(&mut graph, &nodes, stub, &planned.imports[import], import)? {
                graph.set_instantiation_argument(node, import, argument).map_err(LinkError::graph)?;
            }
        }
        if let Some(stub) = stub {
            connect_stub(&mut graph, &nodes, stub, &planned.imports)?;
        }
    }
    for (export, part) in &plan.exports {
        let alias = graph.alias_instance_export(nodes[part], export).map_err(LinkError::graph)?;
        graph.export(alias, export).map_err(LinkError::graph)?;
    }
    // Its own validation accepts what the engine does not; `audit::validate` replaces it.
    graph
        .encode(EncodeOptions { define_components: true, validate: false, processor: None })
        .map_err(LinkError::graph)
}

/// The node for an import; `None` leaves it to the root.
fn argument(
    graph: &mut CompositionGraph,
    nodes: &BTreeMap<&PartName, NodeId>,
    stub: Option<NodeId>,
    decision: &Decision,
    import: &str,
) -> Result<Option<NodeId>, LinkError> {
    let (instance, export) = match (decision, stub) {
        (Decision::Wire { part, export, .. }, _) => (nodes[part], export.as_str()),
        (Decision::Deny { .. }, Some(stub)) => (stub, import),
        (Decision::Deny { .. }, None) => {
            return Err(LinkError::Audit(format!("`{import}` is denied without a stub")));
        }
        (Decision::Launcher(_), _) => return Ok(None),
    };
    graph.alias_instance_export(instance, export).map(Some).map_err(LinkError::graph)
}

fn add_stub(
    graph: &mut CompositionGraph,
    packages: &mut HashMap<Sha256Digest, PackageId>,
    part: &PartName,
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
    graph.set_node_name(node, stub_name(part));
    Ok(node)
}

/// A stub takes the types that it does not define from where its part has them.
fn connect_stub(
    graph: &mut CompositionGraph,
    nodes: &BTreeMap<&PartName, NodeId>,
    stub: NodeId,
    decisions: &BTreeMap<String, Decision>,
) -> Result<(), LinkError> {
    let Some(package) = graph[stub].package() else { return Ok(()) };
    let imports: Vec<String> = graph.types()[graph[package].ty()].imports.keys().cloned().collect();
    for import in imports {
        let decision = decisions
            .get(&import)
            .ok_or_else(|| LinkError::Audit(format!("a stub imports `{import}`, which its part does not")))?;
        if let Some(argument) = argument(graph, nodes, None, decision, &import)? {
            graph.set_instantiation_argument(stub, &import, argument).map_err(LinkError::graph)?;
        }
    }
    Ok(())
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
