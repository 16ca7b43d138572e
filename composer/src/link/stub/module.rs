//! The core module of a stub: a function for each denied one, which answers or traps.
//!
//! What is answered stands in the module's memory from the start and never changes. What a call passes is written behind it, and never read.
//! Every function has the synchronous ABI, which is valid for asynchronous types too, as none of them waits.
//! One that traps has the name of its call, which is what the launcher tells.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, ImportSection, InstructionSink, MemorySection, MemoryType, Module, NameMap, NameSection,
    TypeSection, ValType,
};
use wit_parser::abi::WasmType;
use wit_parser::{
    LiftLowerAbi, ManglingAndAbi, Resolve, ResourceIntrinsic, TypeId, WasmExport, WasmExportKind, WasmImport,
    WorldId, WorldItem, WorldKey,
};

use super::answer::{Answer, Answers, Area, Passed, Returned, TEXT};

const ABI: ManglingAndAbi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
/// Where the answers begin, and how what stands behind them is aligned.
const ALIGN: usize = 16;
const PAGE: usize = 64 * 1024;

/// Writes the module that implements the exports of `world`.
pub(super) fn write(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let answers = Answers::new(resolve, world);
    let mut calls = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else { continue };
        for func in resolve.interfaces[*id].functions.values() {
            let signature = resolve.wasm_signature(ABI.export_variant(), func);
            let export = WasmExport::Func { interface: Some(key), func, kind: WasmExportKind::Normal };
            calls.push(Call {
                name: resolve.wasm_export_name(ABI, export),
                params: signature.params.iter().map(value_type).collect(),
                results: signature.results.iter().map(value_type).collect(),
                answer: answers.to(func, !signature.indirect_params),
            });
        }
    }
    let intrinsics = Intrinsics::of(resolve, &answers, &calls);
    encode(&calls, &intrinsics)
}

/// One denied function.
struct Call {
    /// The name of its export.
    name: String,
    params: Vec<ValType>,
    results: Vec<ValType>,
    /// `None` traps.
    answer: Option<Answer>,
}

fn value_type(ty: &WasmType) -> ValType {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
    }
}

/// What the module imports: functions that drop handles, and that make them.
#[derive(Default)]
struct Intrinsics {
    /// Module and name, and whether a handle is made. In the order of their indices.
    imports: Vec<(String, String, bool)>,
    /// Whose they are, in the same order.
    of: Vec<(TypeId, bool)>,
}

impl Intrinsics {
    fn of(resolve: &Resolve, answers: &Answers, calls: &[Call]) -> Self {
        let mut intrinsics = Self::default();
        for answer in calls.iter().filter_map(|call| call.answer.as_ref()) {
            for passed in &answer.passed {
                intrinsics.add(resolve, answers, passed.resource, false);
            }
            if let Returned::Resource(resource) = answer.result {
                intrinsics.add(resolve, answers, resource, true);
            }
        }
        intrinsics
    }

    fn add(&mut self, resolve: &Resolve, answers: &Answers, resource: TypeId, makes: bool) {
        if self.of.contains(&(resource, makes)) {
            return;
        }
        let owner: Option<WorldKey> = answers.owner(resource);
        let intrinsic = match (makes, answers.is_denied(resource)) {
            (true, _) => ResourceIntrinsic::ExportedNew,
            (false, true) => ResourceIntrinsic::ExportedDrop,
            (false, false) => ResourceIntrinsic::ImportedDrop,
        };
        let import = WasmImport::ResourceIntrinsic { interface: owner.as_ref(), resource, intrinsic };
        let (module, name) = resolve.wasm_import_name(ABI, import);
        self.imports.push((module, name, makes));
        self.of.push((resource, makes));
    }

    fn section(&self) -> ImportSection {
        let mut imports = ImportSection::new();
        for (module, name, makes) in &self.imports {
            imports.import(module, name, EntityType::Function(if *makes { MAKES } else { DROPS }));
        }
        imports
    }

    /// The index of an import that was added.
    fn index(&self, resource: TypeId, makes: bool) -> u32 {
        let index = self.of.iter().position(|of| *of == (resource, makes));
        index.unwrap_or_default() as u32
    }
}

/// The answers, as they stand in memory.
struct Answered {
    bytes: Vec<u8>,
}

impl Answered {
    /// The address of `bytes`, which are added if they are not there.
    fn place(&mut self, bytes: &[u8], align: usize) -> u32 {
        let mut places = (0..self.bytes.len().saturating_sub(bytes.len() - 1)).step_by(align);
        let place = places.find(|place| self.bytes[*place..].starts_with(bytes));
        let place = place.unwrap_or_else(|| {
            self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
            self.bytes.extend(bytes);
            self.bytes.len() - bytes.len()
        });
        (ALIGN + place) as u32
    }

    fn area(&mut self, area: &Area) -> u32 {
        let mut bytes = area.bytes.clone();
        if let Some(at) = area.text {
            let text = self.place(TEXT.as_bytes(), 1);
            bytes[at..at + 4].copy_from_slice(&text.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&(TEXT.len() as u32).to_le_bytes());
        }
        self.place(&bytes, area.align)
    }

    /// Where what calls pass is written.
    fn end(&self) -> usize {
        (ALIGN + self.bytes.len()).next_multiple_of(ALIGN)
    }

    /// None of it where nothing is answered.
    fn memory(&self) -> MemorySection {
        let pages = if self.bytes.is_empty() { 0 } else { self.end().div_ceil(PAGE) as u64 };
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: pages,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        memories
    }

    fn data(&self) -> DataSection {
        let mut data = DataSection::new();
        if !self.bytes.is_empty() {
            data.active(0, &ConstExpr::i32_const(ALIGN as i32), self.bytes.iter().copied());
        }
        data
    }
}

/// Types of functions that do not come from a signature, by their indices.
const DROPS: u32 = 0;
const MAKES: u32 = 1;
const REALLOC: u32 = 2;

fn encode(calls: &[Call], intrinsics: &Intrinsics) -> Vec<u8> {
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    let (mut exports, mut code, mut names) = (ExportSection::new(), CodeSection::new(), NameMap::new());
    types.ty().function([ValType::I32], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    let first = intrinsics.imports.len() as u32;
    let realloc = first + calls.len() as u32;
    let mut answered = Answered { bytes: Vec::new() };
    for (index, call) in (first..).zip(calls) {
        functions.function(types.len());
        types.ty().function(call.params.iter().copied(), call.results.iter().copied());
        exports.export(&call.name, ExportKind::Func, index);
        code.function(&function(|body| match &call.answer {
            Some(answer) => give(body, answer, intrinsics, &mut answered),
            None => {
                names.append(index, &call.name);
                body.unreachable();
            }
        }));
    }
    functions.function(REALLOC);
    exports.export("cabi_realloc", ExportKind::Func, realloc);
    code.function(&function(|body| reallocate(body, answered.end())));
    exports.export("memory", ExportKind::Memory, 0);
    let mut naming = NameSection::new();
    naming.functions(&names);
    let mut module = Module::new();
    module.section(&types).section(&intrinsics.section()).section(&functions).section(&answered.memory());
    module.section(&exports).section(&code).section(&answered.data()).section(&naming);
    module.finish()
}

fn function(write: impl FnOnce(&mut InstructionSink)) -> Function {
    let mut function = Function::new([]);
    write(&mut function.instructions());
    function.instructions().end();
    function
}

/// Gives back the handles that were passed, and answers.
fn give(body: &mut InstructionSink, answer: &Answer, intrinsics: &Intrinsics, answered: &mut Answered) {
    for Passed { parameter, resource, if_some } in &answer.passed {
        for some in if_some {
            body.local_get(*some).if_(BlockType::Empty);
        }
        body.local_get(*parameter).call(intrinsics.index(*resource, false));
        for _ in if_some {
            body.end();
        }
    }
    match &answer.result {
        Returned::Error(area) => body.i32_const(answered.area(area) as i32),
        // Every number does to stand for what nothing is known of.
        Returned::Resource(resource) => body.i32_const(0).call(intrinsics.index(*resource, true)),
    };
}

/// The same place for all that a call passes: nothing reads it. The fourth parameter is how long it is to be.
fn reallocate(body: &mut InstructionSink, place: usize) {
    const PAGE_BITS: i64 = PAGE.trailing_zeros() as i64;
    let needed = |body: &mut InstructionSink| {
        let beyond = (place + PAGE - 1) as i64;
        body.local_get(3).i64_extend_i32_u().i64_const(beyond).i64_add();
        body.i64_const(PAGE_BITS).i64_shr_u().i32_wrap_i64();
    };
    needed(body);
    body.memory_size(0).i32_gt_u().if_(BlockType::Empty);
    needed(body);
    body.memory_size(0).i32_sub().memory_grow(0).i32_const(-1).i32_eq();
    body.if_(BlockType::Empty).unreachable().end().end();
    body.i32_const(place as i32);
}
