//! Types as WIT text, and how two interfaces of one name differ, for people who must fix it.
//!
//! The text is for reading, not for parsing: a type that the interface names is printed as that name, any
//! other in full, and what is longer than [`MAX_TEXT`] is cut.

use std::collections::HashMap;

use wac_types::{
    DefinedType, DefinedTypeId, FuncTypeId, Interface, InterfaceId, ItemKind, ResourceId, SubtypeChecker,
    Type, Types, ValueType,
};

/// Characters of one printed type.
pub const MAX_TEXT: usize = 240;

/// One item of an interface that the provider has otherwise than the importer needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// ``function `verify` ``, ``type `user` ``
    pub item: String,
    /// What the provider has; `None` if it lacks the item.
    pub exported: Option<String>,
    /// What the importer needs.
    pub imported: String,
    /// One of them is an async function and the other is not.
    pub color: bool,
}

/// What keeps `exported` from standing in for `imported`, in the order of the importer's interface.
/// Empty if the types fit.
pub fn differences(types: &Types, exported: InterfaceId, imported: InterfaceId) -> Vec<Difference> {
    let (theirs, ours) = (Names::new(types, exported), Names::new(types, imported));
    let mut found = Vec::new();
    for (name, ours_kind) in &types[imported].exports {
        let imported = ours.item(*ours_kind);
        let Some(theirs_kind) = types[exported].exports.get(name) else {
            found.push(Difference { item: label(name, *ours_kind), exported: None, imported, color: false });
            continue;
        };
        if is_subtype(types, *theirs_kind, *ours_kind) {
            continue;
        }
        let color = match (theirs_kind, ours_kind) {
            (ItemKind::Func(a), ItemKind::Func(b)) => types[*a].is_async != types[*b].is_async,
            _ => false,
        };
        let exported = theirs.item(*theirs_kind);
        found.push(Difference { item: label(name, *ours_kind), exported: Some(exported), imported, color });
    }
    // A function differs where a type that it names differs; then the type says more.
    let telling = |d: &Difference| d.exported.as_ref() != Some(&d.imported);
    if found.iter().any(telling) {
        found.retain(telling);
    }
    found
}

/// The functions of an interface that the other side lacks altogether.
pub fn functions(types: &Types, imported: InterfaceId) -> Vec<Difference> {
    let names = Names::new(types, imported);
    let functions = types[imported].exports.iter().filter(|(_, kind)| matches!(kind, ItemKind::Func(_)));
    functions
        .map(|(name, kind)| Difference {
            item: label(name, *kind),
            exported: None,
            imported: names.item(*kind),
            color: false,
        })
        .collect()
}

/// How two items differ that are no interfaces.
pub fn difference(types: &Types, name: &str, exported: Option<ItemKind>, imported: ItemKind) -> Difference {
    let names = Names { types, defined: HashMap::new(), resources: HashMap::new() };
    Difference {
        item: label(name, imported),
        exported: exported.map(|kind| names.item(kind)),
        imported: names.item(imported),
        color: false,
    }
}

/// Whether `a` can stand in for `b`, by the rules that the graph library wires by.
pub fn is_subtype(types: &Types, a: ItemKind, b: ItemKind) -> bool {
    SubtypeChecker::new(&mut Default::default()).is_subtype(a, types, b, types).is_ok()
}

/// Everything that an interface has, by name, as text.
pub fn items(types: &Types, interface: InterfaceId) -> Vec<(&str, String)> {
    let names = Names::new(types, interface);
    types[interface].exports.iter().map(|(name, kind)| (name.as_str(), names.item(*kind))).collect()
}

/// The resources that an item defines, uses or passes.
pub(crate) fn resources(types: &Types, kind: ItemKind) -> Vec<ResourceId> {
    let mut resources = Vec::new();
    let mut open = Vec::new();
    match kind {
        ItemKind::Func(id) => open.extend(types[id].params.values().chain(&types[id].result).copied()),
        ItemKind::Type(Type::Resource(id)) => resources.push(id),
        ItemKind::Type(Type::Value(ty)) | ItemKind::Value(ty) => open.push(ty),
        _ => {}
    }
    // Bounded by the validator's limits on the depth and the size of types.
    while let Some(ty) = open.pop() {
        match types.resolve_value_type(ty) {
            ValueType::Own(id) | ValueType::Borrow(id) => resources.push(id),
            ValueType::Defined(id) => open.extend(children(&types[id])),
            ValueType::Primitive(_) => {}
        }
    }
    resources
}

/// The types that a type is made of, in the order in which it has them.
pub(crate) fn children(ty: &DefinedType) -> Vec<ValueType> {
    match ty {
        DefinedType::Tuple(items) => items.clone(),
        DefinedType::List(ty)
        | DefinedType::FixedSizeList(ty, _)
        | DefinedType::Option(ty)
        | DefinedType::Alias(ty) => {
            vec![*ty]
        }
        DefinedType::Map(key, item) => vec![*key, *item],
        DefinedType::Result { ok, err } => ok.iter().chain(err).copied().collect(),
        DefinedType::Variant(variant) => variant.cases.values().flatten().copied().collect(),
        DefinedType::Record(record) => record.fields.values().copied().collect(),
        DefinedType::Stream(ty) | DefinedType::Future(ty) => ty.iter().copied().collect(),
        DefinedType::Flags(_) | DefinedType::Enum(_) => Vec::new(),
    }
}

/// ``function `verify` ``, ``method `read` of `stream` ``
fn label(name: &str, kind: ItemKind) -> String {
    let of = |what: &str, rest: &str| match rest.split_once('.') {
        Some((resource, function)) => format!("{what} `{function}` of `{resource}`"),
        None => format!("{what} of `{rest}`"),
    };
    if let Some(rest) = name.strip_prefix("[method]") {
        return of("method", rest);
    }
    if let Some(rest) = name.strip_prefix("[static]") {
        return of("static function", rest);
    }
    if let Some(rest) = name.strip_prefix("[constructor]") {
        return of("constructor", rest);
    }
    match kind {
        ItemKind::Func(_) => format!("function `{name}`"),
        ItemKind::Type(Type::Resource(_)) => format!("resource `{name}`"),
        ItemKind::Type(_) => format!("type `{name}`"),
        _ => format!("item `{name}`"),
    }
}

/// The names that an interface gives to types.
struct Names<'a> {
    types: &'a Types,
    defined: HashMap<DefinedTypeId, &'a str>,
    resources: HashMap<ResourceId, &'a str>,
}

impl<'a> Names<'a> {
    fn new(types: &'a Types, interface: InterfaceId) -> Self {
        let mut names = Self { types, defined: HashMap::new(), resources: HashMap::new() };
        let Interface { exports, .. } = &types[interface];
        for (name, kind) in exports {
            match kind {
                ItemKind::Type(Type::Value(ValueType::Defined(id))) => {
                    names.defined.entry(*id).or_insert(name);
                }
                ItemKind::Type(Type::Resource(id)) => {
                    names.resources.entry(types.resolve_resource(*id)).or_insert(name);
                }
                _ => {}
            }
        }
        names
    }

    fn item(&self, kind: ItemKind) -> String {
        let text = match kind {
            ItemKind::Func(id) => self.func(id),
            ItemKind::Type(Type::Value(ValueType::Defined(id))) => self.structure(id),
            ItemKind::Type(Type::Value(ty)) | ItemKind::Value(ty) => self.value(ty),
            other => other.desc(self.types).to_owned(),
        };
        clip(text)
    }

    fn func(&self, id: FuncTypeId) -> String {
        let func = &self.types[id];
        let params: Vec<String> =
            func.params.iter().map(|(name, ty)| format!("{name}: {}", self.value(*ty))).collect();
        let result = func.result.map(|ty| format!(" -> {}", self.value(ty))).unwrap_or_default();
        let color = if func.is_async { "async " } else { "" };
        format!("{color}func({}){result}", params.join(", "))
    }

    fn value(&self, ty: ValueType) -> String {
        match ty {
            ValueType::Primitive(ty) => ty.desc().to_owned(),
            ValueType::Own(id) => self.resource(id).to_owned(),
            ValueType::Borrow(id) => format!("borrow<{}>", self.resource(id)),
            ValueType::Defined(id) => match self.defined.get(&id) {
                Some(name) => (*name).to_owned(),
                None => self.structure(id),
            },
        }
    }

    fn resource(&self, id: ResourceId) -> &str {
        let id = self.types.resolve_resource(id);
        self.resources.get(&id).copied().unwrap_or(&self.types[id].name)
    }

    fn structure(&self, id: DefinedTypeId) -> String {
        let list = |items: Vec<String>| items.join(", ");
        let optional = |ty: &Option<ValueType>| ty.map(|ty| self.value(ty));
        match &self.types[id] {
            DefinedType::Tuple(items) => {
                format!("tuple<{}>", list(items.iter().map(|ty| self.value(*ty)).collect()))
            }
            DefinedType::List(ty) => format!("list<{}>", self.value(*ty)),
            DefinedType::FixedSizeList(ty, length) => format!("list<{}, {length}>", self.value(*ty)),
            DefinedType::Map(key, item) => format!("map<{}, {}>", self.value(*key), self.value(*item)),
            DefinedType::Option(ty) => format!("option<{}>", self.value(*ty)),
            DefinedType::Result { ok, err } => match (optional(ok), optional(err)) {
                (None, None) => "result".to_owned(),
                (Some(ok), None) => format!("result<{ok}>"),
                (ok, Some(err)) => format!("result<{}, {err}>", ok.as_deref().unwrap_or("_")),
            },
            DefinedType::Variant(variant) => {
                let case = |(name, ty): (&String, &Option<ValueType>)| match optional(ty) {
                    Some(ty) => format!("{name}({ty})"),
                    None => name.clone(),
                };
                format!("variant {{ {} }}", list(variant.cases.iter().map(case).collect()))
            }
            DefinedType::Record(record) => {
                let field = |(name, ty): (&String, &ValueType)| format!("{name}: {}", self.value(*ty));
                format!("record {{ {} }}", list(record.fields.iter().map(field).collect()))
            }
            DefinedType::Flags(flags) => format!("flags {{ {} }}", list(flags.0.iter().cloned().collect())),
            DefinedType::Enum(cases) => format!("enum {{ {} }}", list(cases.0.iter().cloned().collect())),
            DefinedType::Alias(ty) => self.value(*ty),
            DefinedType::Stream(ty) => optional(ty).map_or("stream".to_owned(), |ty| format!("stream<{ty}>")),
            DefinedType::Future(ty) => optional(ty).map_or("future".to_owned(), |ty| format!("future<{ty}>")),
        }
    }
}

fn clip(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
