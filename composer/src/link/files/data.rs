//! The component that has the files of a part in its memory, as `wadoo:files/tree` tells of them.
//!
//! Everything lies there as the canonical ABI lays it out, the files first, so that each function returns an address.

use wadoo_signing::files::FileTree;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, FunctionSection,
    MemArg, MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::Mounts;
use crate::link::baked::{BASE, Memory};
use crate::link::stub::line;

pub(super) const TREE: &str = "wadoo:files/tree";

/// What of WASI the providers take a type from. It is given to them, so that what is made of them imports nothing.
const CLOCKS: [&str; 2] = [
    "package wasi:clocks@0.2.12;\ninterface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } }",
    "package wasi:clocks@0.3.0;\ninterface system-clock { record instant { seconds: s64, nanoseconds: u32 } }",
];

/// Files and what tells of them must fit into a memory of 32 bits. Half of one, because hosts have less than guests may ask for.
const MAX_MEMORY: u64 = 2 << 30;

/// Bytes that tell of a file, its path apart.
const FILE: u64 = 24;

/// Bytes of a page of memory.
const PAGE: u32 = 65536;

/// A component that exports the tree, and the types of `clocks`.
pub(super) fn component(mounts: &Mounts<'_>, clocks: &[&str]) -> Result<Vec<u8>, String> {
    check(mounts)?;
    let mut resolve = Resolve::default();
    for text in CLOCKS {
        resolve.push_source("clocks.wit", text).map_err(line)?;
    }
    resolve.push_source("files.wit", include_str!("../../../guests/wit/files.wit")).map_err(line)?;
    let exports = [TREE].into_iter().chain(clocks.iter().copied());
    let exports: String = exports.map(|name| format!("  export {name};\n")).collect();
    let text = format!("package wadoo:generated;\nworld files {{\n{exports}}}");
    let package = resolve.push_source("generated.wit", &text).map_err(line)?;
    let world = resolve.select_world(&[package], Some("files")).map_err(line)?;
    let mut module = module(mounts);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(line)?;
    ComponentEncoder::default().module(&module).map_err(line)?.encode().map_err(line)
}

/// That all fit.
fn check(mounts: &Mounts<'_>) -> Result<(), String> {
    let of_file = |(path, bytes): (&str, &[u8])| path.len() as u64 + FILE + bytes.len() as u64;
    let of_mount = |(mount, tree): (&&str, &FileTree<'_>)| {
        mount.len() as u64 + FILE + tree.files().map(of_file).sum::<u64>()
    };
    let size = u64::from(BASE) + mounts.iter().map(of_mount).sum::<u64>();
    if size > MAX_MEMORY {
        return Err(format!("the files have {size} bytes, and {MAX_MEMORY} can be in a memory"));
    }
    Ok(())
}

/// Where in memory the answers are.
struct Layout {
    memory: Memory,
    /// The bytes of all files.
    length: u32,
    mounts: u32,
    files: u32,
    /// Where a read puts the address and the length of what it gives.
    read: u32,
}

fn layout(mounts: &Mounts<'_>) -> Layout {
    let mut memory = Memory::default();
    for (_, bytes) in mounts.values().flat_map(FileTree::files) {
        memory.bytes.extend_from_slice(bytes);
    }
    let length = memory.bytes.len() as u32;
    let (mut mounted, mut told, mut offset) = (Vec::new(), Vec::new(), 0);
    for (mount, tree) in mounts {
        mounted.extend(memory.text(mount));
        mounted.push(tree.files().count() as u32);
        for (path, bytes) in tree.files() {
            let length = bytes.len() as u32;
            told.extend(memory.text(path));
            told.extend([offset, 0, length, 0]);
            offset += length;
        }
    }
    let mut list = |words: &[u32], count: usize| {
        let at = memory.words(words);
        memory.words(&[at, count as u32])
    };
    let mounted = list(&mounted, mounts.len());
    let told = list(&told, mounts.values().flat_map(FileTree::files).count());
    let read = memory.words(&[0; 2]);
    Layout { memory, length, mounts: mounted, files: told, read }
}

fn module(mounts: &Mounts<'_>) -> Vec<u8> {
    let layout = layout(mounts);
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I64, ValType::I32], [ValType::I32]);
    let (mut functions, mut exports, mut code) =
        (FunctionSection::new(), ExportSection::new(), CodeSection::new());
    let bodies = [
        ("mounts", 0, constant(layout.mounts)),
        ("files", 0, constant(layout.files)),
        ("read", 1, reading(&layout)),
    ];
    for (index, (name, ty, body)) in (0..).zip(bodies) {
        functions.function(ty);
        exports.export(&format!("{TREE}#{name}"), ExportKind::Func, index);
        code.function(&body);
    }
    exports.export("memory", ExportKind::Memory, 0);
    let pages = u64::from((BASE + layout.memory.bytes.len() as u32).div_ceil(PAGE));
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: pages,
        maximum: Some(pages),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(BASE as i32), layout.memory.bytes.iter().copied());
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&memories)
        .section(&exports)
        .section(&code)
        .section(&data);
    module.finish()
}

fn constant(at: u32) -> Function {
    let mut function = Function::new([]);
    function.instructions().i32_const(at as i32).end();
    function
}

/// Of an offset and a length; the files end where `length` says.
fn reading(layout: &Layout) -> Function {
    let (word, second) = (4, 2);
    let at = |offset| MemArg { offset, align: second, memory_index: 0 };
    let mut function = Function::new([]);
    let mut body = function.instructions();
    let end = i64::from(layout.length);
    body.local_get(0).i64_const(end).i64_gt_u().if_(BlockType::Empty).unreachable().end();
    body.local_get(1).i64_extend_i32_u().i64_const(end).local_get(0).i64_sub().i64_gt_u();
    body.if_(BlockType::Empty).unreachable().end();
    body.i32_const(layout.read as i32).local_get(0).i32_wrap_i64().i32_const(BASE as i32).i32_add();
    body.i32_store(at(0));
    body.i32_const(layout.read as i32).local_get(1).i32_store(at(word));
    body.i32_const(layout.read as i32).end();
    function
}
