//! How deep types nest: those of a component, measured without recursing deeper than the limit, and those of WIT, without
//! recursing at all. The validator bounds the nesting of values; this bounds that of instances and components as well.

use std::collections::HashMap;

use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentValType,
};
use wasmparser::types::Types;
use wit_parser::{Handle, Resolve, Type, TypeDef, TypeDefKind};

/// Whether no import or export has types nested deeper than `limit`.
pub(super) fn is_within(types: &Types, imports: &[String], exports: &[String], limit: u32) -> bool {
    let mut walk = Walk { types, heights: HashMap::new(), limit };
    let imports = imports.iter().filter_map(|name| types.component_item_for_import(name));
    let exports = exports.iter().filter_map(|name| types.component_item_for_export(name));
    imports.chain(exports).all(|item| walk.entity(item.ty, 0).is_some())
}

/// Heights are remembered, so every type is walked once; a walk that passes the limit ends everything.
struct Walk<'a> {
    types: &'a Types,
    heights: HashMap<ComponentAnyTypeId, u32>,
    limit: u32,
}

impl Walk<'_> {
    /// The height of the entity's type, or `None` if `depth` and it together pass the limit.
    fn entity(&mut self, entity: ComponentEntityType, depth: u32) -> Option<u32> {
        match entity {
            ComponentEntityType::Module(_) => Some(0),
            ComponentEntityType::Func(id) => self.any(id.into(), depth),
            ComponentEntityType::Value(ty) => self.value(ty, depth),
            ComponentEntityType::Type { created, .. } => self.any(created, depth),
            ComponentEntityType::Instance(id) => self.any(id.into(), depth),
            ComponentEntityType::Component(id) => self.any(id.into(), depth),
        }
    }

    fn value(&mut self, ty: ComponentValType, depth: u32) -> Option<u32> {
        match ty {
            ComponentValType::Primitive(_) => Some(0),
            ComponentValType::Type(id) => self.any(id.into(), depth),
        }
    }

    fn any(&mut self, id: ComponentAnyTypeId, depth: u32) -> Option<u32> {
        if let Some(height) = self.heights.get(&id) {
            return (depth + height <= self.limit).then_some(*height);
        }
        if depth >= self.limit {
            return None;
        }
        let mut height = 0;
        for child in self.children(id) {
            height = height.max(self.entity(child, depth + 1)? + 1);
        }
        self.heights.insert(id, height);
        Some(height)
    }

    fn children(&self, id: ComponentAnyTypeId) -> Vec<ComponentEntityType> {
        let value = |ty: ComponentValType| ComponentEntityType::Value(ty);
        match id {
            ComponentAnyTypeId::Resource(_) => Vec::new(),
            ComponentAnyTypeId::Func(id) => {
                let func = &self.types[id];
                func.params.iter().map(|(_, ty)| *ty).chain(func.result).map(value).collect()
            }
            ComponentAnyTypeId::Instance(id) => self.types[id].exports.values().map(|item| item.ty).collect(),
            ComponentAnyTypeId::Component(id) => {
                let component = &self.types[id];
                component.imports.values().chain(component.exports.values()).map(|item| item.ty).collect()
            }
            ComponentAnyTypeId::Defined(id) => match &self.types[id] {
                ComponentDefinedType::Primitive(_)
                | ComponentDefinedType::Flags(_)
                | ComponentDefinedType::Enum(_)
                | ComponentDefinedType::Own(_)
                | ComponentDefinedType::Borrow(_) => Vec::new(),
                ComponentDefinedType::Record(record) => record.fields.values().copied().map(value).collect(),
                ComponentDefinedType::Variant(variant) => {
                    variant.cases.values().filter_map(|case| case.ty).map(value).collect()
                }
                ComponentDefinedType::Tuple(tuple) => tuple.types.iter().copied().map(value).collect(),
                ComponentDefinedType::List { element, .. }
                | ComponentDefinedType::FixedLengthList { element, .. } => {
                    vec![value(*element)]
                }
                ComponentDefinedType::Map { key, value: item, .. } => vec![value(*key), value(*item)],
                ComponentDefinedType::Option { ty, .. } => vec![value(*ty)],
                ComponentDefinedType::Result { ok, err, .. } => {
                    ok.iter().chain(err).copied().map(value).collect()
                }
                ComponentDefinedType::Future { ty, .. } | ComponentDefinedType::Stream { ty, .. } => {
                    ty.iter().copied().map(value).collect()
                }
            },
        }
    }
}

/// Whether no type of WIT is made of types nested deeper than `limit`. A type stands after those that it is made of.
pub(super) fn wit_is_within(resolve: &Resolve, limit: u32) -> bool {
    let mut heights = HashMap::new();
    resolve.types.iter().all(|(id, definition)| {
        let below = parts(definition).into_iter().filter_map(|ty| match ty {
            Type::Id(id) => heights.get(&id).copied(),
            _ => None,
        });
        let height = below.max().map_or(0, |height: u32| height + 1);
        heights.insert(id, height);
        height <= limit
    })
}

/// The types that a type is made of.
fn parts(definition: &TypeDef) -> Vec<Type> {
    match &definition.kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| field.ty).collect(),
        TypeDefKind::Tuple(tuple) => tuple.types.clone(),
        TypeDefKind::Variant(variant) => variant.cases.iter().filter_map(|case| case.ty).collect(),
        TypeDefKind::Result(result) => result.ok.into_iter().chain(result.err).collect(),
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => vec![Type::Id(*id)],
        TypeDefKind::Option(ty)
        | TypeDefKind::List(ty)
        | TypeDefKind::FixedLengthList(ty, _)
        | TypeDefKind::Type(ty) => vec![*ty],
        TypeDefKind::Map(key, value) => vec![*key, *value],
        TypeDefKind::Future(ty) | TypeDefKind::Stream(ty) => ty.iter().copied().collect(),
        TypeDefKind::Resource | TypeDefKind::Flags(_) | TypeDefKind::Enum(_) | TypeDefKind::Unknown => {
            Vec::new()
        }
    }
}
