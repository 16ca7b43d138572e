//! Guests for the launcher's tests, made from WAT and WIT, and the manifests that go with them.

use std::collections::{BTreeMap, BTreeSet};

use wadoo_launcher::engine;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::{
    App, ComponentDigests, EngineInfo, Limits, Manifest, PoolNeeds, Target, Trigger,
};
use wasmtime::Engine;
use wasmtime::component::Component;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, UnresolvedPackageGroup};

const WIT: &str = include_str!("hostile.wit");

/// The component of a core module in the given world of `hostile.wit`.
pub(crate) fn component(world: &str, wat: &str) -> Vec<u8> {
    let group = UnresolvedPackageGroup::parse("hostile.wit", WIT).expect("hostile.wit parses");
    let mut resolve = Resolve::default();
    let package = resolve.push_group(group).expect("hostile.wit resolves");
    let world = resolve.select_world(&[package], Some(world)).expect("the world is there");
    let mut module = wat::parse_str(wat).expect("the WAT parses");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata fits");
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).expect("the module fits its world");
    encoder.encode().expect("the component is valid")
}

/// The guest of `hostile.wat`.
pub(crate) fn hostile() -> Vec<u8> {
    component("hostile", include_str!("hostile.wat"))
}

/// The guest of `command.wat`.
#[allow(dead_code, reason = "each test binary uses its own guests")]
pub(crate) fn command() -> Vec<u8> {
    component("command", include_str!("command.wat"))
}

/// A manifest with small limits for a component that imports `imports`.
pub(crate) fn manifest(trigger: Trigger, imports: BTreeSet<String>) -> Manifest {
    let none = Sha256Digest::of(b"");
    Manifest {
        app: App { name: "hostile".to_owned(), version: "1.2.3".to_owned(), serial: 1 },
        development: false,
        not_after: None,
        target: Target { triple: String::new(), cpu: String::new(), features: BTreeSet::new() },
        engine: EngineInfo {
            wasmtime: engine::WASMTIME_VERSION.to_owned(),
            profile: engine::standard_profile(),
        },
        payload_size: 0,
        component: ComponentDigests { portable: none.clone(), linked: none.clone() },
        trigger,
        imports,
        exports: BTreeSet::new(),
        grants: BTreeMap::new(),
        limits: Limits {
            memory: 32 << 20,
            timeout_ms: Some(400),
            body_timeout_ms: 400,
            concurrency: 4,
            request_body: 10_000,
            request_headers: 8192,
        },
        pool: PoolNeeds { core_instances: 8, memories: 1, tables: 2, table_elements: 64 },
        inputs: BTreeMap::new(),
        recipe: none,
        attachments: Vec::new(),
    }
}

/// Compiles as the composer does, and loads as the launcher does: two engines, made of one profile.
pub(crate) fn load(manifest: &Manifest, component: &[u8]) -> (Engine, Component) {
    let compiler = Engine::new(&engine::config(&manifest.engine.profile)).expect("a compiling engine");
    let payload = compiler.precompile_component(component).expect("the component compiles");
    let serving = engine::serving(manifest).expect("a serving engine");
    assert_eq!(serving.unpooled, None, "instances are pooled");
    #[allow(unsafe_code, reason = "the bytes were compiled three lines above")]
    // SAFETY: `payload` comes unchanged from `precompile_component` of this very version of wasmtime.
    let component = unsafe { Component::deserialize(&serving.engine, payload) }.expect("the payload loads");
    (serving.engine, component)
}

/// The names of everything that a component imports.
pub(crate) fn imports(component: &Component) -> BTreeSet<String> {
    component.component_type().imports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}
