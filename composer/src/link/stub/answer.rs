//! What a denied call answers, decided by the types of its function alone.
//!
//! A function whose result has an error that says "denied" answers that error. One without parameters whose result is
//! a resource of a denied interface, and nothing else, answers a new one, with which nothing can be done: `wasi:sockets`
//! 0.2 has `instance-network` like that, and the error comes from what is called with it. Everything else has no answer, and traps.

use wit_parser::{
    Case, Function, Handle, Int, Resolve, SizeAlign, Type, TypeDefKind, TypeId, TypeOwner, WorldId, WorldKey,
    abi::{FlatTypes, WasmType},
};

/// Cases of an error that say "denied", the plainest first.
const CASES: [&str; 8] = [
    "access-denied",
    "permission-denied",
    "HTTP-request-denied",
    "request-denied",
    "denied",
    "not-permitted",
    "access",
    "forbidden",
];

/// What is said where an error is a string.
pub(super) const TEXT: &str = "denied";

/// How a call is answered.
pub(super) struct Answer {
    /// Handles that were passed. Who keeps them holds what they stand for, and must not keep those that are borrowed.
    pub passed: Vec<Passed>,
    pub result: Returned,
}

/// One handle among the parameters.
pub(super) struct Passed {
    /// The parameter that holds it, after flattening.
    pub parameter: u32,
    pub resource: TypeId,
    /// The parameters that say whether it is there, after flattening.
    pub if_some: Vec<u32>,
}

pub(super) enum Returned {
    Error(Area),
    Resource(TypeId),
}

/// A result as it stands in memory.
pub(super) struct Area {
    pub bytes: Vec<u8>,
    pub align: usize,
    /// Where the address and the length of [`TEXT`] belong.
    pub text: Option<usize>,
}

/// The functions of one world.
pub(super) struct Answers<'a> {
    resolve: &'a Resolve,
    world: WorldId,
    sizes: SizeAlign,
}

impl<'a> Answers<'a> {
    pub(super) fn new(resolve: &'a Resolve, world: WorldId) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        Self { resolve, world, sizes }
    }

    /// How a call of `function` is answered. `flat` says whether parameters are passed as such, and not in memory.
    pub(super) fn to(&self, function: &Function, flat: bool) -> Option<Answer> {
        let result = function.result.as_ref()?;
        let result = match self.definition(result)? {
            TypeDefKind::Result(_) => Returned::Error(self.error(result)?),
            TypeDefKind::Handle(Handle::Own(id)) if function.params.is_empty() => {
                Returned::Resource(Some(self.resource(*id)).filter(|id| self.is_denied(*id))?)
            }
            _ => return None,
        };
        let types = function.params.iter().map(|param| &param.ty);
        let passed = match flat {
            true => self.passed(types)?,
            false if types.clone().any(|ty| self.has_handles(ty)) => return None,
            false => Vec::new(),
        };
        Some(Answer { passed, result })
    }

    /// Whether the resource is of an interface that is denied, and so defined by the stub.
    pub(super) fn is_denied(&self, resource: TypeId) -> bool {
        self.owner(resource).is_some_and(|owner| self.resolve.worlds[self.world].exports.contains_key(&owner))
    }

    /// The interface of a resource.
    pub(super) fn owner(&self, resource: TypeId) -> Option<WorldKey> {
        match self.resolve.types[resource].owner {
            TypeOwner::Interface(id) => Some(WorldKey::Interface(id)),
            _ => None,
        }
    }

    /// A `result` with an error that says "denied".
    fn error(&self, ty: &Type) -> Option<Area> {
        let Some(TypeDefKind::Result(result)) = self.definition(ty) else { return None };
        let error = result.err.as_ref()?;
        let mut area = Area {
            bytes: vec![0; self.sizes.size(ty).size_wasm32()],
            align: self.sizes.align(ty).align_wasm32(),
            text: None,
        };
        area.bytes[0] = 1;
        let payload = self.sizes.payload_offset(Int::U8, [result.ok.as_ref(), Some(error)]).size_wasm32();
        let aliased = matches!(self.definition(error), Some(TypeDefKind::Type(Type::String)));
        if *error == Type::String || aliased {
            area.text = Some(payload);
            return Some(area);
        }
        // A payload can only be a `none`, which is all zeros.
        let (case, tag) = match self.definition(error)? {
            TypeDefKind::Enum(cases) => {
                (plainest(cases.cases.iter().map(|case| Some(case.name.as_str())))?, cases.tag())
            }
            TypeDefKind::Variant(cases) => {
                let fits = |ty: &Type| matches!(self.definition(ty), Some(TypeDefKind::Option(_)));
                let name = |case: &'a Case| case.ty.as_ref().is_none_or(fits).then_some(case.name.as_str());
                (plainest(cases.cases.iter().map(name))?, cases.tag())
            }
            _ => return None,
        };
        let tag = match tag {
            Int::U8 => 1,
            Int::U16 => 2,
            Int::U32 | Int::U64 => 4,
        };
        area.bytes[payload..payload + tag].copy_from_slice(&case.to_le_bytes()[..tag]);
        Some(area)
    }

    /// The handles among parameters; `None` where some stand in lists, or are of streams and futures.
    fn passed<'t>(&self, types: impl IntoIterator<Item = &'t Type>) -> Option<Vec<Passed>> {
        let (mut found, mut next) = (Vec::new(), 0);
        for ty in types {
            self.add_passed(ty, &mut next, &mut Vec::new(), &mut found)?;
        }
        Some(found)
    }

    fn add_passed(
        &self,
        ty: &Type,
        next: &mut u32,
        if_some: &mut Vec<u32>,
        found: &mut Vec<Passed>,
    ) -> Option<()> {
        match self.definition(ty) {
            Some(TypeDefKind::Handle(handle)) => {
                let (Handle::Own(id) | Handle::Borrow(id)) = handle;
                let resource = self.resource(*id);
                // Of its own resources, a component is lent what they stand for, and no handle.
                if matches!(handle, Handle::Own(_)) || !self.is_denied(resource) {
                    found.push(Passed { parameter: *next, resource, if_some: if_some.clone() });
                }
                *next += 1;
            }
            Some(TypeDefKind::Record(record)) => {
                for field in &record.fields {
                    self.add_passed(&field.ty, next, if_some, found)?;
                }
            }
            Some(TypeDefKind::Tuple(tuple)) => {
                for ty in &tuple.types {
                    self.add_passed(ty, next, if_some, found)?;
                }
            }
            Some(TypeDefKind::Option(some)) => {
                if_some.push(*next);
                *next += 1;
                self.add_passed(some, next, if_some, found)?;
                if_some.pop();
            }
            _ if self.has_handles(ty) => return None,
            _ => {
                let mut storage = [WasmType::I32; Resolve::MAX_FLAT_PARAMS];
                let mut flat = FlatTypes::new(&mut storage);
                self.resolve.push_flat(ty, &mut flat);
                *next += u32::try_from(flat.to_vec().len()).ok()?;
            }
        }
        Some(())
    }

    /// Whether values of the type hold handles, also those of streams and futures.
    fn has_handles(&self, ty: &Type) -> bool {
        let any = |types: &[Option<&Type>]| types.iter().flatten().any(|ty| self.has_handles(ty));
        match self.definition(ty) {
            None => *ty == Type::ErrorContext,
            Some(kind) => match kind {
                TypeDefKind::Handle(_) | TypeDefKind::Future(_) | TypeDefKind::Stream(_) => true,
                TypeDefKind::Record(record) => record.fields.iter().any(|field| self.has_handles(&field.ty)),
                TypeDefKind::Tuple(tuple) => tuple.types.iter().any(|ty| self.has_handles(ty)),
                TypeDefKind::Variant(variant) => variant.cases.iter().any(|case| any(&[case.ty.as_ref()])),
                TypeDefKind::Option(ty) | TypeDefKind::List(ty) | TypeDefKind::FixedLengthList(ty, _) => {
                    self.has_handles(ty)
                }
                TypeDefKind::Result(result) => any(&[result.ok.as_ref(), result.err.as_ref()]),
                TypeDefKind::Map(key, value) => any(&[Some(key), Some(value)]),
                TypeDefKind::Flags(_)
                | TypeDefKind::Enum(_)
                | TypeDefKind::Resource
                | TypeDefKind::Type(_)
                | TypeDefKind::Unknown => false,
            },
        }
    }

    /// What a type is under all its names; `None` for one that needs no definition.
    fn definition(&self, ty: &Type) -> Option<&'a TypeDefKind> {
        let Type::Id(mut id) = *ty else { return None };
        while let TypeDefKind::Type(Type::Id(of)) = self.resolve.types[id].kind {
            id = of;
        }
        Some(&self.resolve.types[id].kind)
    }

    /// The resource under all its names.
    fn resource(&self, mut id: TypeId) -> TypeId {
        while let TypeDefKind::Type(Type::Id(of)) = self.resolve.types[id].kind {
            id = of;
        }
        id
    }
}

/// The number of the plainest case that says "denied", of those that have a name here.
fn plainest<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Option<usize> {
    let names: Vec<Option<&str>> = names.collect();
    CASES.into_iter().find_map(|case| names.iter().position(|name| *name == Some(case)))
}
