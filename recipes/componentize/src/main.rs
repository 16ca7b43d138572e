//! `componentize CORE COMPONENT`: turns a core module with a `component-type` section into a component.
//!
//! Owns the last step of `recipes/build-guests` and no more. It prints what the component imports and
//! exports, so that a new import is seen when a guest is rebuilt.

use std::env;
use std::fs;

use anyhow::{Context as _, Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [core, component] = arguments.as_slice() else {
        bail!("usage: componentize CORE.wasm COMPONENT.wasm");
    };
    let module = fs::read(core).with_context(|| format!("cannot read `{core}`"))?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(ComponentEncoder::encode)
        .with_context(|| format!("cannot make a component of `{core}`"))?;
    fs::write(component, &bytes).with_context(|| format!("cannot write `{component}`"))?;

    let DecodedWasm::Component(resolve, world) = wit_component::decode(&bytes)? else {
        bail!("`{component}` is not a component");
    };
    let world = &resolve.worlds[world];
    for (direction, items) in [("imports", &world.imports), ("exports", &world.exports)] {
        for name in items.keys() {
            println!("  {direction}  {}", resolve.name_world_key(name));
        }
    }
    Ok(())
}
