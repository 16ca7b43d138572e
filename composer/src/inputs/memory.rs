//! `memory` of a part, written into its component: the maximum of every linear memory that a core module of it defines,
//! however deep in it the module stands.
//!
//! Deliberately absent: memory that a module imports. Another module defines it, and is limited there.
//!
//! Invariants: everything but memory sections, and the lengths of what they stand in, is copied byte for byte. The result is
//! as valid as the original: a memory with a smaller maximum is a subtype of the same one with a larger.

use wasm_encoder::{Encode, MemorySection};
use wasmparser::{BinaryReader, FromReader, MemoryType};

use super::error::InputError;
use crate::link::MAX_NESTING;
use crate::recipe::MemorySize;

/// Magic number and version.
const PREAMBLE: usize = 8;
/// Its first byte that tells a core module (0) from a component.
const LAYER: usize = 6;

/// Sections of a core module and of a component.
mod section {
    pub(super) const MEMORY: u8 = 5;
    pub(super) const CORE_MODULE: u8 = 1;
    pub(super) const COMPONENT: u8 = 4;
}

/// The same component, none of whose memories has a maximum above `most`. Smaller ones stay.
///
/// # Errors
///
/// A memory has more than `most` from the start, or components are nested deeper than they could be linked.
pub(super) fn limit(component: &[u8], most: MemorySize) -> Result<Vec<u8>, InputError> {
    let mut output = Vec::with_capacity(component.len());
    copy(component, 0, most, &mut output)?;
    Ok(output)
}

/// Copies a module or component to the end of `output`.
fn copy(binary: &[u8], depth: usize, most: MemorySize, output: &mut Vec<u8>) -> Result<(), InputError> {
    if depth >= MAX_NESTING {
        return Err(InputError::TooNested);
    }
    let is_module = binary.get(LAYER) == Some(&0);
    let mut reader = BinaryReader::new(binary, 0);
    output.extend_from_slice(reader.read_bytes(PREAMBLE).map_err(damaged)?);
    while !reader.eof() {
        let start = reader.original_position() as usize;
        let id = reader.read_u8().map_err(damaged)?;
        let size = reader.read_var_u32().map_err(damaged)?;
        let content = reader.read_bytes(size as usize).map_err(damaged)?;
        // With its length as it was written, which may be longer than it needs to be.
        let whole = &binary[start..reader.original_position() as usize];
        match (is_module, id) {
            (true, section::MEMORY) => match memories(content, most)? {
                Some(lower) => {
                    output.push(id);
                    lower.encode(output);
                }
                None => output.extend_from_slice(whole),
            },
            (false, section::CORE_MODULE | section::COMPONENT) => {
                let mut nested = Vec::with_capacity(content.len());
                copy(content, depth + 1, most, &mut nested)?;
                if nested == content {
                    output.extend_from_slice(whole);
                } else {
                    output.push(id);
                    nested.as_slice().encode(output);
                }
            }
            _ => output.extend_from_slice(whole),
        }
    }
    Ok(())
}

/// The section with lower maxima; `None` if none had to be lowered.
fn memories(content: &[u8], most: MemorySize) -> Result<Option<MemorySection>, InputError> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32().map_err(damaged)?;
    let mut section = MemorySection::new();
    let mut changed = false;
    for _ in 0..count {
        let memory = MemoryType::from_reader(&mut reader).map_err(damaged)?;
        if memory.initial > most.pages() {
            return Err(InputError::Memory { initial: MemorySize::of_pages(memory.initial), most });
        }
        let lower = memory.maximum.is_none_or(|maximum| maximum > most.pages());
        changed |= lower;
        section.memory(wasm_encoder::MemoryType {
            minimum: memory.initial,
            maximum: if lower { Some(most.pages()) } else { memory.maximum },
            memory64: memory.memory64,
            shared: memory.shared,
            page_size_log2: memory.page_size_log2,
        });
    }
    Ok(changed.then_some(section))
}

/// The bytes were validated, so nobody can read this.
fn damaged(error: wasmparser::BinaryReaderError) -> InputError {
    InputError::Invalid { offset: error.offset(), message: error.message().to_lowercase() }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use wasmparser::{Parser, Payload};

    use super::*;

    /// A component whose modules stand one and two components deep, one of them with two memories.
    const NESTED: &str = r#"(component
        (core module (memory 1) (memory 2 30) (func (export "f") i32.const 7 drop) (data (i32.const 0) "kept") (@custom "note" "kept too"))
        (component (core module (memory 3 5)) (component (core module (memory i64 1 400) (func nop))))
        (core module (func nop)))"#;

    fn parse(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("text")
    }

    fn limited(component: &[u8], pages: u64) -> Vec<u8> {
        limit(component, MemorySize::of_pages(pages)).expect("limited")
    }

    /// Initial size and maximum of every memory, in the order of the bytes.
    fn memories_of(component: &[u8]) -> Vec<(u64, Option<u64>)> {
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(component) {
            if let Payload::MemorySection(section) = payload.expect("valid") {
                found.extend(section.into_iter().map(|memory| {
                    let memory = memory.expect("valid");
                    (memory.initial, memory.maximum)
                }));
            }
        }
        found
    }

    /// The bytes of everything but memory sections, modules and components, in order.
    fn others(component: &[u8]) -> Vec<Vec<u8>> {
        let contains = |payload: &Payload| {
            matches!(
                payload,
                Payload::MemorySection(_) | Payload::ModuleSection { .. } | Payload::ComponentSection { .. }
            )
        };
        let bytes = |range: Range<u64>| component[range.start as usize..range.end as usize].to_vec();
        Parser::new(0)
            .parse_all(component)
            .map(|payload| payload.expect("valid"))
            .filter(|payload| !contains(payload))
            .filter_map(|payload| payload.as_section().map(|(_, range)| bytes(range)))
            .collect()
    }

    #[test]
    fn every_memory_is_limited_and_the_rest_is_what_it_was() {
        let original = parse(NESTED);
        assert_eq!(memories_of(&original), [(1, None), (2, Some(30)), (3, Some(5)), (1, Some(400))]);
        let limited = limited(&original, 16);
        assert_eq!(memories_of(&limited), [(1, Some(16)), (2, Some(16)), (3, Some(5)), (1, Some(16))]);
        assert_eq!(others(&limited), others(&original));
        wasmparser::Validator::new_with_features(crate::features::engine())
            .validate_all(&limited)
            .expect("valid");
    }

    #[test]
    fn nothing_changes_where_every_maximum_is_small_enough() {
        let mut component = parse("(component (core module (memory 1 2)))");
        assert_eq!(limited(&component, 2), component);
        // A length that is written in more bytes than it takes, as tool chains do that fill it in afterwards.
        assert_eq!(component[9] as usize, component.len() - 10);
        component.splice(9..10, [component[9] | 0x80, 0x80, 0x00]);
        assert_eq!(limited(&component, 2), component);
        assert_eq!(memories_of(&limited(&component, 1_000)), [(1, Some(2))]);
    }

    /// The length of what a memory stands in grows by a byte, and so do the lengths of the lengths.
    #[test]
    fn lengths_that_pass_a_power_of_128_are_written_anew() {
        for padding in 90..130 {
            let text = format!("(component (core module (memory 1) (data \"{}\")))", "x".repeat(padding));
            let original = parse(&text);
            let limited = limited(&original, 65_536);
            assert_eq!(memories_of(&limited), [(1, Some(65_536))], "{padding}");
            assert_eq!(others(&limited), others(&original), "{padding}");
        }
    }

    #[test]
    fn a_memory_that_begins_larger_is_refused() {
        let component = parse(NESTED);
        let error = limit(&component, MemorySize::of_pages(2)).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "a memory of it has `192KiB` from the start, and `memory` allows `128KiB`"
        );
    }

    #[test]
    fn endless_nesting_is_refused() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for _ in 0..2 * MAX_NESTING {
            let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
            component.as_slice().encode(&mut outer);
            component = outer;
        }
        assert!(matches!(limit(&component, MemorySize::of_pages(1)), Err(InputError::TooNested)));
    }
}
