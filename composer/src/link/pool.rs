//! What one instance of a component takes from the instance pool: core instances, memories, tables; and what its memories
//! begin with.
//!
//! Counted by evaluating instantiation statically: a component that is instantiated twice counts twice.
//! Nothing is executed; component-level instantiation is decided by the bytes alone.

use std::collections::BTreeMap;
use std::rc::Rc;

use wadoo_signing::manifest::PoolNeeds;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Instance, Parser,
    Payload,
};

use super::error::LinkError;
use crate::recipe::MemorySize;

/// Core instances and component instances together; nesting can multiply a few bytes into any number.
pub const MAX_INSTANCES: u32 = 10_000;
/// Components in components.
pub const MAX_NESTING: usize = 64;
/// Values kept for nested components that reach out of themselves; language tools make none that do.
const MAX_CAPTURED: usize = 1 << 20;
/// A declared table maximum above this is not reserved; growing that far fails in the guest.
const MAX_TABLE_ELEMENTS: u64 = 1 << 16;

/// Counts what an instance of `bytes`, a valid component, needs.
pub(super) fn needs(bytes: &[u8]) -> Result<Needs, LinkError> {
    let root = parse(bytes)?;
    let mut count = Count::default();
    count.instantiate(&root, &BTreeMap::new(), None)?;
    // The engine puts functions that pass values between components into modules of its own. It starts a new
    // one only where a core instance that was made with the last one is needed, so there are at most as many.
    let adapters = if count.component_instances_with_code > 1 { count.core_instances } else { 0 };
    let pool = PoolNeeds {
        core_instances: count.core_instances + adapters,
        memories: count.memories,
        tables: count.tables,
        table_elements: count.table_elements,
    };
    Ok(Needs { pool, initial_memory: MemorySize::of_pages(count.initial_pages) })
}

/// What one instance needs.
#[derive(Debug)]
pub(super) struct Needs {
    pub(super) pool: PoolNeeds,
    /// What its memories have together before anything runs.
    pub(super) initial_memory: MemorySize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Module {
    memories: u32,
    initial_pages: u64,
    tables: u32,
    table_elements: u64,
}

/// A component's statements that matter, in order.
#[derive(Debug, Default)]
struct Component {
    items: Vec<Item>,
    /// How many components outwards its aliases reach.
    reach: u32,
}

#[derive(Debug)]
enum Item {
    Module(Module),
    Component(Rc<Component>),
    Import(ComponentExternalKind, String),
    CoreInstance { module: u32 },
    Instance { component: u32, arguments: Vec<(String, ComponentExternalKind, u32)> },
    Bag(Vec<(String, ComponentExternalKind, u32)>),
    Alias { kind: ComponentExternalKind, instance: u32, name: String },
    Outer { kind: ComponentExternalKind, count: u32, index: u32 },
    Export { kind: ComponentExternalKind, index: u32, name: String },
}

/// What an index can stand for, as far as it can be instantiated.
#[derive(Clone)]
enum Value<'a> {
    Module(Module),
    Component(&'a Rc<Component>, Option<Rc<Scope<'a>>>),
    Instance(Rc<BTreeMap<String, Value<'a>>>),
    /// The host's or a function or type: nothing that can be instantiated.
    Opaque,
}

/// The index spaces of one component instance, and those around it.
#[derive(Clone, Default)]
struct Scope<'a> {
    modules: Vec<Value<'a>>,
    components: Vec<Value<'a>>,
    instances: Vec<Value<'a>>,
    outer: Option<Rc<Scope<'a>>>,
}

impl<'a> Scope<'a> {
    fn space(&mut self, kind: ComponentExternalKind) -> Option<&mut Vec<Value<'a>>> {
        match kind {
            ComponentExternalKind::Module => Some(&mut self.modules),
            ComponentExternalKind::Component => Some(&mut self.components),
            ComponentExternalKind::Instance => Some(&mut self.instances),
            _ => None,
        }
    }

    fn get(&self, kind: ComponentExternalKind, index: u32) -> Value<'a> {
        let space = match kind {
            ComponentExternalKind::Module => &self.modules,
            ComponentExternalKind::Component => &self.components,
            ComponentExternalKind::Instance => &self.instances,
            _ => return Value::Opaque,
        };
        space.get(index as usize).cloned().unwrap_or(Value::Opaque)
    }

    fn push(&mut self, kind: ComponentExternalKind, value: Value<'a>) {
        if let Some(space) = self.space(kind) {
            space.push(value);
        }
    }

    fn exported(&self, instance: u32, name: &str) -> Value<'a> {
        match self.get(ComponentExternalKind::Instance, instance) {
            Value::Instance(exports) => exports.get(name).cloned().unwrap_or(Value::Opaque),
            _ => Value::Opaque,
        }
    }

    fn named(&self, items: &[(String, ComponentExternalKind, u32)]) -> BTreeMap<String, Value<'a>> {
        items.iter().map(|(name, kind, index)| (name.clone(), self.get(*kind, *index))).collect()
    }
}

#[derive(Default)]
struct Count {
    core_instances: u32,
    component_instances: u32,
    component_instances_with_code: u32,
    memories: u32,
    initial_pages: u64,
    tables: u32,
    table_elements: u64,
    captured: usize,
    /// Instances that are being evaluated, each within the one before.
    depth: usize,
}

impl Count {
    fn check(&self) -> Result<(), LinkError> {
        if self.core_instances + self.component_instances > MAX_INSTANCES {
            return Err(LinkError::TooManyInstances { app: String::new() });
        }
        Ok(())
    }

    fn core(&mut self, module: Module) -> Result<(), LinkError> {
        self.core_instances += 1;
        self.memories += module.memories;
        self.initial_pages = self.initial_pages.saturating_add(module.initial_pages);
        self.tables += module.tables;
        self.table_elements = self.table_elements.max(module.table_elements);
        self.check()
    }

    /// Keeps the scope for a nested component that reaches out of itself.
    fn capture<'a>(&mut self, scope: &Scope<'a>) -> Result<Rc<Scope<'a>>, LinkError> {
        self.captured += scope.modules.len() + scope.components.len() + scope.instances.len();
        if self.captured > MAX_CAPTURED {
            return Err(LinkError::TooManyInstances { app: String::new() });
        }
        Ok(Rc::new(scope.clone()))
    }

    /// Evaluates one instantiation and gives its exports. What instantiates need not be nested in what it instantiates, so
    /// that [`MAX_NESTING`] bounds the recursion here again.
    fn instantiate<'a>(
        &mut self,
        component: &'a Component,
        arguments: &BTreeMap<String, Value<'a>>,
        outer: Option<Rc<Scope<'a>>>,
    ) -> Result<BTreeMap<String, Value<'a>>, LinkError> {
        self.component_instances += 1;
        self.check()?;
        if self.depth == MAX_NESTING {
            return Err(LinkError::TooNested { app: String::new() });
        }
        self.depth += 1;
        let cores_before = self.core_instances;
        let mut own_cores = 0;
        let mut scope = Scope { outer, ..Scope::default() };
        let mut exports = BTreeMap::new();
        for item in &component.items {
            own_cores += u32::from(matches!(item, Item::CoreInstance { .. }));
            self.item(item, arguments, &mut scope, &mut exports)?;
        }
        if own_cores > 0 && self.core_instances > cores_before {
            self.component_instances_with_code += 1;
        }
        self.depth -= 1;
        Ok(exports)
    }

    /// Evaluates one statement of a component.
    fn item<'a>(
        &mut self,
        item: &'a Item,
        arguments: &BTreeMap<String, Value<'a>>,
        scope: &mut Scope<'a>,
        exports: &mut BTreeMap<String, Value<'a>>,
    ) -> Result<(), LinkError> {
        match item {
            Item::Module(module) => scope.modules.push(Value::Module(*module)),
            Item::Component(nested) => {
                let around = if nested.reach > 0 { Some(self.capture(scope)?) } else { None };
                scope.components.push(Value::Component(nested, around));
            }
            Item::Import(kind, name) => {
                scope.push(*kind, arguments.get(name).cloned().unwrap_or(Value::Opaque));
            }
            Item::CoreInstance { module } => {
                self.core(match scope.get(ComponentExternalKind::Module, *module) {
                    Value::Module(module) => module,
                    _ => Module::default(),
                })?;
            }
            Item::Instance { component, arguments } => {
                let arguments = scope.named(arguments);
                let exports = match scope.get(ComponentExternalKind::Component, *component) {
                    Value::Component(nested, around) => self.instantiate(nested, &arguments, around)?,
                    _ => BTreeMap::new(),
                };
                scope.instances.push(Value::Instance(Rc::new(exports)));
            }
            Item::Bag(items) => {
                let bag = scope.named(items);
                scope.instances.push(Value::Instance(Rc::new(bag)));
            }
            Item::Alias { kind, instance, name } => scope.push(*kind, scope.exported(*instance, name)),
            Item::Outer { kind, count, index } => {
                scope.push(*kind, outer_value(scope, *kind, *count, *index));
            }
            Item::Export { kind, index, name } => {
                let value = scope.get(*kind, *index);
                exports.insert(name.clone(), value.clone());
                scope.push(*kind, value);
            }
        }
        Ok(())
    }
}

fn outer_value<'a>(scope: &Scope<'a>, kind: ComponentExternalKind, count: u32, index: u32) -> Value<'a> {
    let mut around = scope.outer.clone();
    for _ in 1..count {
        around = around.and_then(|scope| scope.outer.clone());
    }
    match (count, around) {
        (0, _) => scope.get(kind, index),
        (_, Some(around)) => around.get(kind, index),
        (_, None) => Value::Opaque,
    }
}

/// What is being parsed.
enum Frame {
    Module(Module),
    Component(Component),
}

fn parse(bytes: &[u8]) -> Result<Component, LinkError> {
    let invalid = |error: wasmparser::BinaryReaderError| LinkError::Invalid(error.to_string());
    let mut frames: Vec<Frame> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        match (&payload, frames.last_mut()) {
            (Payload::Version { encoding, .. }, _) => {
                if frames.len() >= MAX_NESTING {
                    return Err(LinkError::TooNested { app: String::new() });
                }
                frames.push(match encoding {
                    wasmparser::Encoding::Module => Frame::Module(Module::default()),
                    wasmparser::Encoding::Component => Frame::Component(Component::default()),
                });
            }
            (Payload::End(_), _) => {
                let done = frames.pop();
                match (done, frames.last_mut()) {
                    (Some(Frame::Module(module)), Some(Frame::Component(parent))) => {
                        parent.items.push(Item::Module(module));
                    }
                    (Some(Frame::Component(nested)), Some(Frame::Component(parent))) => {
                        parent.reach = parent.reach.max(nested.reach.saturating_sub(1));
                        parent.items.push(Item::Component(Rc::new(nested)));
                    }
                    (Some(Frame::Component(root)), None) => return Ok(root),
                    _ => break,
                }
            }
            (payload, Some(Frame::Module(module))) => module.payload(payload).map_err(invalid)?,
            (payload, Some(Frame::Component(component))) => component.payload(payload).map_err(invalid)?,
            (_, None) => {}
        }
    }
    Err(LinkError::Invalid("it has no end".to_owned()))
}

impl Module {
    fn payload(&mut self, payload: &Payload) -> wasmparser::Result<()> {
        match payload {
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.memories += 1;
                    self.initial_pages = self.initial_pages.saturating_add(memory?.initial);
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    let table = table?.ty;
                    let declared = table.maximum.unwrap_or(table.initial).min(MAX_TABLE_ELEMENTS);
                    self.tables += 1;
                    self.table_elements = self.table_elements.max(declared.max(table.initial));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Component {
    fn payload(&mut self, payload: &Payload) -> wasmparser::Result<()> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import?;
                    self.items.push(Item::Import(import.ty.kind(), import.name.name.to_owned()));
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        self.items.push(Item::CoreInstance { module: module_index });
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    self.items.push(Item::of_instance(&instance?));
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias?);
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    let name = export.name.name.to_owned();
                    self.items.push(Item::Export { kind: export.kind, index: export.index, name });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias) {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index: instance, name } => {
                self.items.push(Item::Alias { kind, instance, name: name.to_owned() });
            }
            ComponentAlias::Outer { kind, count, index } => {
                let kind = match kind {
                    ComponentOuterAliasKind::CoreModule => ComponentExternalKind::Module,
                    ComponentOuterAliasKind::Component => ComponentExternalKind::Component,
                    _ => return,
                };
                self.reach = self.reach.max(count);
                self.items.push(Item::Outer { kind, count, index });
            }
            ComponentAlias::CoreInstanceExport { .. } => {}
        }
    }
}

impl Item {
    fn of_instance(instance: &ComponentInstance) -> Self {
        match instance {
            ComponentInstance::Instantiate { component_index, args } => Self::Instance {
                component: *component_index,
                arguments: args.iter().map(|arg| (arg.name.to_owned(), arg.kind, arg.index)).collect(),
            },
            ComponentInstance::FromExports(exports) => {
                Self::Bag(exports.iter().map(|e| (e.name.name.to_owned(), e.kind, e.index)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each instantiates the one before it, and none lies in another.
    fn chain(length: usize) -> Vec<u8> {
        let link = |number: usize| {
            let before = number - 1;
            format!(
                "(component $c{number} (alias outer 1 $c{before} (component $c)) (instance (instantiate $c)))"
            )
        };
        let links: String = (1..length).map(link).collect();
        let text = format!("(component (component $c0) {links} (instance (instantiate $c{})))", length - 1);
        wat::parse_str(text).expect("a component")
    }

    #[test]
    fn instances_within_instances_are_counted_to_a_limit() {
        // The root is one as well.
        assert!(needs(&chain(MAX_NESTING - 1)).is_ok());
        assert!(matches!(needs(&chain(MAX_NESTING)), Err(LinkError::TooNested { .. })));
        assert!(matches!(needs(&chain(1000)), Err(LinkError::TooNested { .. })));
    }
}
