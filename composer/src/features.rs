//! The WebAssembly proposals that the engine has. Every validation in the composer uses exactly this set, so
//! that what the engine would refuse is refused with the name of the part that needs it.
//!
//! Kept equal by hand to what `wasmtime::Config` enables with the cargo features of `wadoo-launcher`
//! (wasmtime's crate does not tell its set): no `gc`, no `threads`.

use wasmparser::{Validator, WasmFeatures};

/// What wasmtime 48 accepts as the launcher builds it.
pub fn engine() -> WasmFeatures {
    let mut features = WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL | WasmFeatures::CM_ASYNC;
    // Cargo features of wasmtime that the launcher does without.
    features.remove(WasmFeatures::GC_TYPES | WasmFeatures::EXCEPTIONS | WasmFeatures::THREADS);
    features
}

/// The same for components that call nothing asynchronously. An engine without concurrency runs them, and each call
/// costs a third.
pub fn synchronous() -> WasmFeatures {
    engine() - WasmFeatures::CM_ASYNC
}

/// The proposal that `bytes` need beyond the engine's, if exactly one more makes them valid.
pub fn missing(bytes: &[u8]) -> Option<String> {
    let valid = |features| Validator::new_with_features(features).validate_all(bytes).is_ok();
    (WasmFeatures::all() - engine())
        .iter_names()
        .find(|(_, flag)| valid(engine() | *flag))
        .map(|(name, _)| title(name))
}

/// `CM_ERROR_CONTEXT` → `component-model error-context`.
fn title(flag: &str) -> String {
    let words = flag.to_lowercase().replace('_', "-");
    match words.strip_prefix("cm-") {
        Some(rest) => format!("component-model {rest}"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_readable_names() {
        assert_eq!(title("CM_ERROR_CONTEXT"), "component-model error-context");
        assert_eq!(title("THREADS"), "threads");
    }

    #[test]
    fn one_missing_proposal_is_named() {
        let mut module = wasm_encoder::Module::new();
        let mut memories = wasm_encoder::MemorySection::new();
        memories.memory(wasm_encoder::MemoryType {
            minimum: 1,
            maximum: Some(1),
            memory64: false,
            shared: true,
            page_size_log2: None,
        });
        module.section(&memories);
        assert_eq!(missing(&module.finish()).as_deref(), Some("threads"));
    }
}
