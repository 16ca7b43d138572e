//! From bytes to a component with types.
//!
//! The bytes are hostile until the validator has accepted them with the engine's features; only then are they
//! given to the graph library, which trusts its input.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;
use wac_types::{Package, Types};
use wadoo_signing::digest::Sha256Digest;
use wasmparser::{FuncValidatorAllocations, Parser, ValidPayload, Validator, WasmFeatures};

use super::depth;
use super::error::InputError;
use crate::features;

/// Imports and exports that one component may have at its root, together.
pub const MAX_IMPORTS_AND_EXPORTS: usize = 2000;

/// How deep types may nest; the engine has the same limit, and unlimited nesting overflows the stack.
pub const MAX_TYPE_DEPTH: u32 = 100;

const MAGIC: &[u8] = b"\0asm";
/// The version field of a core module, and of a component (version 13, layer 1).
const CORE_MODULE: u32 = 1;
const COMPONENT: u32 = 0x1_000d;

/// The bytes of a component that the engine can run, and the graph library can take.
#[derive(Debug)]
pub(super) struct Valid(Vec<u8>);

impl Valid {
    /// Validates the component `bytes`.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, InputError> {
        if check_preamble(&bytes)? == Kind::Module {
            return Err(InputError::CoreModule);
        }
        // The validator asserts that types nest less deep than its counter can hold.
        let validated = catch_unwind(|| validate(&bytes).map_err(|error| explain(&bytes, &error)))
            .map_err(|_| InputError::Types(VALIDATOR_FAILED.into()))??;
        let (imports, exports) = root_items(&bytes);
        let count = imports.len() + exports.len();
        if count > MAX_IMPORTS_AND_EXPORTS {
            return Err(InputError::TooManyItems { count });
        }
        if !depth::is_within(&validated, &imports, &exports, MAX_TYPE_DEPTH) {
            return Err(InputError::TooDeep);
        }
        Ok(Self(bytes))
    }
}

/// Reads the types of a component into `types`.
pub(super) fn decode(
    digest: &Sha256Digest,
    component: Valid,
    types: &mut Types,
) -> Result<Package, InputError> {
    let package = types_of(digest, component, types)?;
    if !package.definitions().is_empty() && types[package.ty()].imports.is_empty() {
        return Err(InputError::WitPackage);
    }
    Ok(package)
}

/// The same for what may have types and no code: WIT in binary form.
pub(super) fn types_of(
    digest: &Sha256Digest,
    component: Valid,
    types: &mut Types,
) -> Result<Package, InputError> {
    let name = format!("wadoo:{digest}");
    // The graph library panics on a few exotic types. What it leaves in `types` is unreachable.
    catch_unwind(AssertUnwindSafe(|| Package::from_bytes(&name, None, component.0, types)))
        .map_err(|_| InputError::Types("it has a type that cannot be composed yet".into()))?
        .map_err(|error| InputError::Types(error.to_string()))
}

/// What is said when the validator panics.
const VALIDATOR_FAILED: &str = "the validator fails on them";

/// Validates a core module, which is hostile until then like a component.
pub(super) fn validate_module(bytes: &[u8]) -> Result<(), InputError> {
    if check_preamble(bytes)? == Kind::Component {
        return Err(InputError::Component);
    }
    let validated = catch_unwind(|| validate(bytes));
    match validated.map_err(|_| InputError::Types(VALIDATOR_FAILED.into()))? {
        Ok(_) => Ok(()),
        Err(error) => Err(explain(bytes, &error)),
    }
}

/// Validates all of `bytes` with what the engine can run, the bodies of functions on all cores: they are most of the work.
fn validate(bytes: &[u8]) -> wasmparser::Result<wasmparser::types::Types> {
    let mut validator = Validator::new_with_features(features::engine());
    let (mut bodies, mut types) = (Vec::new(), None);
    for payload in Parser::new(0).parse_all(bytes) {
        match validator.payload(&payload?)? {
            ValidPayload::Func(function, body) => bodies.push((function, body)),
            ValidPayload::End(all) => types = Some(all),
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
        }
    }
    let problems = bodies.into_par_iter().map_init(
        FuncValidatorAllocations::default,
        |allocations, (function, body)| {
            let mut function = function.into_validator(mem::take(allocations));
            let valid = function.validate(&body);
            *allocations = function.into_allocations();
            valid.err()
        },
    );
    // The first in the file, whichever core finds one first.
    match problems.flatten().min_by_key(wasmparser::BinaryReaderError::offset) {
        Some(error) => Err(error),
        None => Ok(types.expect("the parser ends with the end of the component")),
    }
}

/// Checks the types in the metadata of a core module: a component of types, which the encoder trusts not to nest without
/// end. Whether the engine has these types is found out when the component is made.
pub(super) fn check_metadata(section: &[u8]) -> Result<(), InputError> {
    // An older form has a few bytes before the component.
    let Some(start) = section.windows(MAGIC.len()).position(|bytes| bytes == MAGIC) else {
        return Err(InputError::Types("its metadata has none".into()));
    };
    let bytes = &section[start..];
    let validated = catch_unwind(|| Validator::new_with_features(WasmFeatures::all()).validate_all(bytes))
        .map_err(|_| InputError::Types(VALIDATOR_FAILED.into()))?
        .map_err(|error| InputError::Types(format!("its metadata is damaged: {}", error.message())))?;
    let (imports, exports) = root_items(bytes);
    if depth::is_within(&validated, &imports, &exports, MAX_TYPE_DEPTH) {
        Ok(())
    } else {
        Err(InputError::TooDeep)
    }
}

/// The two kinds of WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Module,
    Component,
}

fn check_preamble(bytes: &[u8]) -> Result<Kind, InputError> {
    if bytes.is_empty() {
        return Err(InputError::Empty);
    }
    let start = &bytes[..bytes.len().min(8)];
    if !start.starts_with(&MAGIC[..start.len().min(4)]) {
        return Err(if is_text(bytes) {
            InputError::Text
        } else {
            InputError::NotWasm { start: hex(start) }
        });
    }
    let Some(version) = start.get(4..8) else {
        return Err(InputError::Truncated { size: bytes.len() as u64 });
    };
    match u32::from_le_bytes([version[0], version[1], version[2], version[3]]) {
        COMPONENT => Ok(Kind::Component),
        CORE_MODULE => Ok(Kind::Module),
        version => Err(InputError::UnknownVersion { version }),
    }
}

/// Whether this looks like the text format: an opening parenthesis after white space and comments.
fn is_text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let code = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with(";;"));
    code.is_some_and(|line| {
        line.starts_with("(component") || line.starts_with("(module") || line.starts_with("(;")
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn explain(bytes: &[u8], error: &wasmparser::BinaryReaderError) -> InputError {
    if error.message().contains("nesting is too deep") {
        return InputError::TooDeep;
    }
    if error.message().contains("unexpected end") {
        return InputError::Truncated { size: bytes.len() as u64 };
    }
    if let Some(proposal) = features::missing(bytes) {
        return InputError::Proposal { proposal };
    }
    InputError::Invalid { offset: error.offset(), message: error.message().to_lowercase() }
}

/// The names of the component's own imports and exports, not those of what is nested in it.
fn root_items(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut items = (Vec::new(), Vec::new());
    let mut depth = 0u32;
    // The validator has accepted these bytes; what it would not accept ends the loop.
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        use wasmparser::Payload::{ComponentExportSection, ComponentImportSection, End, Version};
        match payload {
            Version { .. } => depth += 1,
            End(_) => depth -= 1,
            ComponentImportSection(section) if depth == 1 => {
                items
                    .0
                    .extend(section.into_iter().filter_map(|import| Some(import.ok()?.name.name.to_owned())));
            }
            ComponentExportSection(section) if depth == 1 => {
                items
                    .1
                    .extend(section.into_iter().filter_map(|export| Some(export.ok()?.name.name.to_owned())));
            }
            _ => {}
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(digest: &Sha256Digest, bytes: Vec<u8>) -> Result<Package, InputError> {
        decode(digest, Valid::new(bytes)?, &mut Types::new())
    }

    fn refusal(bytes: &[u8]) -> String {
        let digest = Sha256Digest::of(bytes);
        read(&digest, bytes.to_vec()).expect_err("must be refused").to_string()
    }

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert_eq!(refusal(b""), "it is empty");
        assert_eq!(refusal(b"\0asm\x01\0\0\0"), "it is a core module, and a component is expected");
        assert_eq!(refusal(b"\0as"), "it ends in the middle of a section, after 3 bytes");
        assert_eq!(
            refusal(b"  ;; text\n(component)"),
            "it is WebAssembly text, and its binary form is expected"
        );
        assert_eq!(refusal(b"\x7fELF"), "it is not WebAssembly: it starts with 7f 45 4c 46");
        assert_eq!(refusal(b"\0asm\x0c\0\x01\0"), "it has the unknown WebAssembly version 0x1000c");
    }

    #[test]
    fn every_truncation_is_refused_without_a_panic() {
        let bytes = wasm_encoder_component();
        for length in 8..bytes.len() {
            let digest = Sha256Digest::of(&bytes[..length]);
            // Cut at the end of a section, the rest is a component: an empty one.
            let _ = read(&digest, bytes[..length].to_vec());
        }
        assert!(read(&Sha256Digest::of(&bytes), bytes).is_ok());
    }

    fn wasm_encoder_component() -> Vec<u8> {
        let mut component = wasm_encoder::ComponentBuilder::default();
        let (ty, mut encoder) = component.type_function(None);
        encoder
            .params([("a", wasm_encoder::ComponentValType::Primitive(wasm_encoder::PrimitiveValType::U32))])
            .result(None);
        component.import("f", wasm_encoder::ComponentTypeRef::Func(ty));
        component.finish()
    }

    #[test]
    fn value_types_nested_too_deep_are_refused() {
        let mut component = wasm_encoder::ComponentBuilder::default();
        let (mut ty, encoder) = component.type_defined(None);
        encoder.option(wasm_encoder::PrimitiveValType::U32);
        for _ in 0..50_000 {
            let (next, encoder) = component.type_defined(None);
            encoder.option(wasm_encoder::ComponentValType::Type(ty));
            ty = next;
        }
        assert_eq!(refusal(&component.finish()), "its types are nested deeper than 100");
    }

    /// The validator bounds the nesting of values, and not that of instances.
    #[test]
    fn instance_types_nested_too_deep_are_refused() {
        assert_eq!(refusal(&nested_instances(110)), "its types are nested deeper than 100");
        assert_eq!(
            refusal(&nested_instances(50_000)),
            "its types cannot be understood: the validator fails on them"
        );
    }

    /// Bodies are validated side by side.
    #[test]
    fn of_invalid_bodies_the_first_is_told() {
        use wasm_encoder::{CodeSection, Function, FunctionSection, Module, TypeSection, ValType};
        const BODIES: usize = 500;
        let (mut types, mut functions, mut code) =
            (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function([], [ValType::I32]);
        for _ in 0..BODIES {
            functions.function(0);
            let mut body = Function::new([]);
            body.instructions().end();
            code.function(&body);
        }
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&code);
        let bytes = module.finish();
        // Each has a length, no locals, and an end, where the value is missing.
        let first_end = bytes.len() - BODIES * 3 + 2;
        for _ in 0..20 {
            let Err(InputError::Invalid { offset, .. }) = validate_module(&bytes) else {
                panic!("it is invalid")
            };
            assert_eq!(offset, first_end as u64);
        }
    }

    #[test]
    fn metadata_nested_too_deep_is_refused() {
        let refusal = |bytes: &[u8]| check_metadata(bytes).expect_err("must be refused").to_string();
        assert_eq!(refusal(&nested_instances(110)), "its types are nested deeper than 100");
        assert_eq!(
            refusal(&nested_instances(50_000)),
            "its types cannot be understood: the validator fails on them"
        );
        assert_eq!(refusal(b"\x03\x00"), "its types cannot be understood: its metadata has none");
        assert!(check_metadata(&wasm_encoder_component()).is_ok());
    }

    fn nested_instances(depth: usize) -> Vec<u8> {
        let mut component = wasm_encoder::ComponentBuilder::default();
        let mut ty = component.type_instance(None, &wasm_encoder::InstanceType::new());
        for _ in 0..depth {
            let mut outer = wasm_encoder::InstanceType::new();
            outer.alias(wasm_encoder::Alias::Outer {
                kind: wasm_encoder::ComponentOuterAliasKind::Type,
                count: 1,
                index: ty,
            });
            outer.export("a", wasm_encoder::ComponentTypeRef::Instance(0));
            ty = component.type_instance(None, &outer);
        }
        component.import("a", wasm_encoder::ComponentTypeRef::Instance(ty));
        component.finish()
    }
}
