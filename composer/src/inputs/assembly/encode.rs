//! The bytes of assembled interfaces.
//!
//! Each is a component that imports the providers' interfaces, as the graph library encodes them, and after that exports what the
//! library has no words for: types, and functions whose types are said in those. A provider's function speaks of the
//! provider's types; one that is exported beside types of its own interface must speak of these, or nothing could export the interface
//! that does not import the provider. So types are defined once more, and each function is exported with a type made of
//! them.

use std::collections::{BTreeMap, HashMap};

use wac_graph::{CompositionGraph, EncodeOptions};
use wac_types::{
    DefinedType, DefinedTypeId, FuncTypeId, ItemKind, Package, ResourceId, Type, Types, ValueType,
};
use wasm_encoder::{
    Alias, ComponentAliasSection, ComponentDefinedTypeEncoder, ComponentExportKind, ComponentExportSection,
    ComponentSection, ComponentTypeRef, ComponentTypeSection, ComponentValType,
};
use wasmparser::{ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, Parser, Payload};

use super::Source;

/// A component that exports the interfaces. Everything is added in one fixed order: it decides the bytes.
pub(super) fn component(
    types: &Types,
    interfaces: &BTreeMap<String, Vec<Source>>,
) -> Result<Vec<u8>, String> {
    let mut graph = CompositionGraph::new();
    for (number, (name, sources)) in interfaces.iter().enumerate() {
        // An instance of a component that exports the functions by themselves is the interface.
        let bytes = interface(types, sources)?;
        let package =
            Package::from_bytes(&format!("wadoo:assembled-{number}"), None, bytes, graph.types_mut())
                .map_err(|error| format!("{error:#}"))?;
        let package = graph.register_package(package).map_err(|error| error.to_string())?;
        let instance = graph.instantiate(package);
        graph.export(instance, name).map_err(|error| error.to_string())?;
    }
    finish(&graph)
}

/// A component that imports what is used of the providers' interfaces, and exports their types and functions.
fn interface(types: &Types, sources: &[Source]) -> Result<Vec<u8>, String> {
    let mut writer = Writer::after(types, imports(types, sources)?)?;
    let mut exported: HashMap<&str, u32> = HashMap::new();
    for source in sources {
        for (name, kind) in source.items(types) {
            let ItemKind::Type(ty) = kind else { continue };
            let index = match exported.get(name.as_str()) {
                Some(index) => *index,
                None => writer.export_type(source, name, ty)?,
            };
            exported.insert(name, index);
            // Whatever says this type says the exported one.
            writer.remember(ty, index);
        }
    }
    for source in sources {
        for (name, kind) in source.items(types) {
            if let ItemKind::Func(ty) = kind {
                writer.export_function(source, name, ty)?;
            }
        }
    }
    Ok(writer.bytes)
}

/// A component with the imports alone.
fn imports(types: &Types, sources: &[Source]) -> Result<Vec<u8>, String> {
    let mut graph = CompositionGraph::new();
    *graph.types_mut() = types.clone();
    for source in sources {
        let mut interface = types[source.interface].clone();
        interface.id = Some(source.import.clone());
        interface.exports = source.items(types).map(|(name, kind)| (name.clone(), kind)).collect();
        let exports = &interface.exports;
        interface.uses.retain(|name, _| exports.contains_key(name));
        let interface = graph.types_mut().add_interface(interface);
        graph.import(&source.import, ItemKind::Instance(interface)).map_err(|error| error.to_string())?;
    }
    finish(&graph)
}

fn finish(graph: &CompositionGraph) -> Result<Vec<u8>, String> {
    let options = EncodeOptions { define_components: true, validate: false, processor: None };
    // What it accepts the engine may not; whoever reads the component validates it.
    graph.encode(options).map_err(|error| format!("{error:#}"))
}

/// Adds sections to a component.
struct Writer<'a> {
    types: &'a Types,
    bytes: Vec<u8>,
    /// The instances that are imported.
    instances: HashMap<String, u32>,
    /// How many types and functions the component has.
    type_count: u32,
    function_count: u32,
    /// Where the types stand that functions speak of.
    defined: HashMap<DefinedTypeId, u32>,
    resources: HashMap<ResourceId, u32>,
}

impl<'a> Writer<'a> {
    /// Begins behind the last section of `bytes`.
    fn after(types: &'a Types, bytes: Vec<u8>) -> Result<Self, String> {
        let (mut instances, mut type_count, mut depth) = (HashMap::new(), 0, 0);
        for payload in Parser::new(0).parse_all(&bytes) {
            let failed = |error: wasmparser::BinaryReaderError| error.to_string();
            match payload.map_err(failed)? {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                _ if depth != 1 => {}
                Payload::ComponentTypeSection(section) => type_count += section.count(),
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        let import = import.map_err(failed)?;
                        if import.ty.kind() != ComponentExternalKind::Instance {
                            return Err(format!("`{}` is imported as no interface", import.name.name));
                        }
                        instances.insert(import.name.name.to_owned(), instances.len() as u32);
                    }
                }
                Payload::ComponentAliasSection(section) => {
                    for alias in section {
                        type_count += u32::from(is_type(&alias.map_err(failed)?));
                    }
                }
                _ => {}
            }
        }
        let (defined, resources) = (HashMap::new(), HashMap::new());
        Ok(Self { types, bytes, instances, type_count, function_count: 0, defined, resources })
    }

    fn alias(&mut self, source: &Source, name: &str, kind: ComponentExportKind) -> Result<u32, String> {
        let import = &source.import;
        let instance = *self.instances.get(import).ok_or_else(|| format!("`{import}` is not imported"))?;
        let mut section = ComponentAliasSection::new();
        section.alias(Alias::InstanceExport { instance, kind, name });
        section.append_to_component(&mut self.bytes);
        Ok(self.added(kind))
    }

    /// The index of what was just added.
    fn added(&mut self, kind: ComponentExportKind) -> u32 {
        let count = match kind {
            ComponentExportKind::Func => &mut self.function_count,
            _ => &mut self.type_count,
        };
        *count += 1;
        *count - 1
    }

    fn export(
        &mut self,
        name: &str,
        kind: ComponentExportKind,
        index: u32,
        ty: Option<ComponentTypeRef>,
    ) -> u32 {
        let mut section = ComponentExportSection::new();
        section.export(name, kind, index, ty);
        section.append_to_component(&mut self.bytes);
        self.added(kind)
    }

    fn export_type(&mut self, source: &Source, name: &str, ty: Type) -> Result<u32, String> {
        let used = self.types[source.interface].uses.contains_key(name);
        let index = match ty {
            Type::Value(ty) if !used => self.definition(ty)?,
            // Whoever defines it must be the same for all.
            _ => self.alias(source, name, ComponentExportKind::Type)?,
        };
        Ok(self.export(name, ComponentExportKind::Type, index, None))
    }

    fn export_function(&mut self, source: &Source, name: &str, ty: FuncTypeId) -> Result<(), String> {
        let index = self.alias(source, name, ComponentExportKind::Func)?;
        let types = self.types;
        let func = &types[ty];
        let mut params = Vec::new();
        for (name, ty) in &func.params {
            params.push((name.as_str(), self.value(*ty)?));
        }
        let result = func.result.map(|ty| self.value(ty)).transpose()?;
        let mut section = ComponentTypeSection::new();
        section.function().async_(func.is_async).params(params).result(result);
        section.append_to_component(&mut self.bytes);
        let ty = self.added(ComponentExportKind::Type);
        self.export(name, ComponentExportKind::Func, index, Some(ComponentTypeRef::Func(ty)));
        Ok(())
    }

    fn remember(&mut self, ty: Type, index: u32) {
        match ty {
            Type::Value(ValueType::Defined(id)) => {
                self.defined.insert(id, index);
            }
            Type::Resource(id) => {
                self.resources.insert(self.types.resolve_resource(id), index);
            }
            _ => {}
        }
    }

    /// Adds a type, for a name that stands for it.
    fn definition(&mut self, ty: ValueType) -> Result<u32, String> {
        Ok(match self.value(ty)? {
            ComponentValType::Type(index) => index,
            ComponentValType::Primitive(ty) => self.define(|encoder| encoder.primitive(ty)),
        })
    }

    fn define(&mut self, encode: impl FnOnce(ComponentDefinedTypeEncoder<'_>)) -> u32 {
        let mut section = ComponentTypeSection::new();
        encode(section.defined_type());
        section.append_to_component(&mut self.bytes);
        self.added(ComponentExportKind::Type)
    }

    fn value(&mut self, ty: ValueType) -> Result<ComponentValType, String> {
        Ok(ComponentValType::Type(match ty {
            ValueType::Primitive(ty) => return Ok(ComponentValType::Primitive(ty.into())),
            ValueType::Own(id) => {
                let resource = self.resource(id)?;
                self.define(|encoder| encoder.own(resource))
            }
            ValueType::Borrow(id) => {
                let resource = self.resource(id)?;
                self.define(|encoder| encoder.borrow(resource))
            }
            ValueType::Defined(id) => match (self.defined.get(&id), &self.types[id]) {
                (Some(index), _) => *index,
                (None, DefinedType::Alias(ty)) => return self.value(*ty),
                (None, ty) => {
                    let index = self.structure(ty)?;
                    self.defined.insert(id, index);
                    index
                }
            },
        }))
    }

    fn resource(&self, id: ResourceId) -> Result<u32, String> {
        let id = self.types.resolve_resource(id);
        let index = self.resources.get(&id).copied();
        index.ok_or_else(|| format!("nobody names the resource `{}`", self.types[id].name))
    }

    fn optional(&mut self, ty: &Option<ValueType>) -> Result<Option<ComponentValType>, String> {
        ty.map(|ty| self.value(ty)).transpose()
    }

    /// Recursion is bounded by the limit on the depth of types.
    fn structure(&mut self, ty: &DefinedType) -> Result<u32, String> {
        Ok(match ty {
            DefinedType::Tuple(items) => {
                let items = items.iter().map(|ty| self.value(*ty)).collect::<Result<Vec<_>, _>>()?;
                self.define(|encoder| encoder.tuple(items))
            }
            DefinedType::List(ty) => {
                let ty = self.value(*ty)?;
                self.define(|encoder| encoder.list(ty))
            }
            DefinedType::FixedSizeList(ty, length) => {
                let ty = self.value(*ty)?;
                self.define(|encoder| encoder.fixed_length_list(ty, *length))
            }
            DefinedType::Map(key, item) => {
                let (key, item) = (self.value(*key)?, self.value(*item)?);
                self.define(|encoder| encoder.map(key, item))
            }
            DefinedType::Option(ty) => {
                let ty = self.value(*ty)?;
                self.define(|encoder| encoder.option(ty))
            }
            DefinedType::Result { ok, err } => {
                let (ok, err) = (self.optional(ok)?, self.optional(err)?);
                self.define(|encoder| encoder.result(ok, err))
            }
            DefinedType::Variant(variant) => {
                let mut cases = Vec::new();
                for (name, ty) in &variant.cases {
                    cases.push((name.as_str(), self.optional(ty)?));
                }
                self.define(|encoder| encoder.variant(cases))
            }
            DefinedType::Record(record) => {
                let mut fields = Vec::new();
                for (name, ty) in &record.fields {
                    fields.push((name.as_str(), self.value(*ty)?));
                }
                self.define(|encoder| encoder.record(fields))
            }
            DefinedType::Flags(flags) => {
                self.define(|encoder| encoder.flags(flags.0.iter().map(String::as_str)))
            }
            DefinedType::Enum(cases) => {
                self.define(|encoder| encoder.enum_type(cases.0.iter().map(String::as_str)))
            }
            DefinedType::Alias(ty) => self.definition(*ty)?,
            DefinedType::Stream(ty) => {
                let ty = self.optional(ty)?;
                self.define(|encoder| encoder.stream(ty))
            }
            DefinedType::Future(ty) => {
                let ty = self.optional(ty)?;
                self.define(|encoder| encoder.future(ty))
            }
        })
    }
}

fn is_type(alias: &ComponentAlias) -> bool {
    match alias {
        ComponentAlias::InstanceExport { kind, .. } => *kind == ComponentExternalKind::Type,
        ComponentAlias::Outer { kind, .. } => *kind == ComponentOuterAliasKind::Type,
        ComponentAlias::CoreInstanceExport { .. } => false,
    }
}
