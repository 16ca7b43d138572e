//! Generated implementations of denied imports: every call fails.
//!
//! A stub exports the denied interfaces with the types that the part's component gives them. Types that those
//! interfaces use of others are imported, and wired to where the part has them. What a call meets, an error or a trap,
//! is decided in `answer`; `module` writes the code.

mod answer;
mod module;
#[cfg(test)]
mod tests;

use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, embed_component_metadata};

/// Makes the stub for `denied`, full names of imports of `component`. Errors are one line of text.
pub(super) fn generate(component: &[u8], denied: &[&str]) -> Result<Vec<u8>, String> {
    let DecodedWasm::Component(mut resolve, _) = wit_component::decode(component).map_err(line)? else {
        return Err("its bytes are a WIT package".to_owned());
    };
    let mut text = String::from("package wadoo:generated;\nworld stub {\n");
    for name in denied {
        text.push_str(&format!("  export {};\n", escaped(name)));
    }
    text.push('}');
    let package = resolve.push_source("stub.wit", &text).map_err(line)?;
    let world = resolve.select_world(&[package], Some("stub")).map_err(line)?;
    let mut module = module::write(&resolve, world);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(line)?;
    let mut encoder = ComponentEncoder::default();
    encoder.merge_imports_based_on_semver(false).module(&module).map_err(line)?;
    encoder.encode().map_err(line)
}

/// `a:b/c@1.0.0` → `%a:%b/%c@1.0.0`: any of them may be a keyword of WIT.
pub(super) fn escaped(name: &str) -> String {
    let (id, version) = name.split_once('@').map_or((name, String::new()), |(id, v)| (id, format!("@{v}")));
    let escaped = id.replace(':', ":%").replace('/', "/%");
    format!("%{escaped}{version}")
}

/// An error with its causes in one line.
pub(super) fn line(error: impl std::fmt::Display) -> String {
    format!("{error:#}").replace('\n', " ")
}
