//! Guests for the launcher's tests, made from WAT and WIT, and the manifests that go with them.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::{engine, load};
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::envelope::Envelope;
use wadoo_signing::framing;
use wadoo_signing::key::{PublicKey, SigningKey};
use wadoo_signing::manifest::{
    App, ComponentDigests, EngineInfo, Limits, Manifest, PayloadDigests, PoolNeeds, Reuse, Target, Trigger,
};
use wadoo_signing::policy::Policy;
use wadoo_signing::statement::Statement;
use wadoo_signing::trust::TrustStore;
use wasmtime::Engine;
use wasmtime::component::Component;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, UnresolvedPackageGroup};

const WIT: &str = include_str!("hostile.wit");

/// The component of a core module in the given world of `hostile.wit`.
pub(crate) fn component(world: &str, wat: &str) -> Vec<u8> {
    encode(WIT, world, wat)
}

fn encode(wit: &str, world: &str, wat: &str) -> Vec<u8> {
    let group = UnresolvedPackageGroup::parse("guest.wit", wit).expect("the WIT parses");
    let mut resolve = Resolve::default();
    let package = resolve.push_group(group).expect("the WIT resolves");
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

/// The guest of `age.wat`.
pub(crate) fn age() -> Vec<u8> {
    component("age", include_str!("age.wat"))
}

/// The guest of `hostile-03.wat`.
pub(crate) fn hostile_03() -> Vec<u8> {
    encode(include_str!("hostile-03.wit"), "hostile", include_str!("hostile-03.wat"))
}

/// The guest of `command.wat`.
pub(crate) fn command() -> Vec<u8> {
    component("command", include_str!("command.wat"))
}

/// A manifest with small sizes and long times, so that only a test that asks for a time-out meets one, for a
/// component that imports `imports`.
pub(crate) fn manifest(trigger: Trigger, imports: BTreeSet<String>) -> Manifest {
    let none = Sha256Digest::of(b"");
    Manifest {
        app: App { name: "hostile".to_owned(), version: "1.2.3".to_owned(), serial: 1 },
        development: false,
        not_after: None,
        target: Target {
            triple: target_lexicon::HOST.to_string(),
            cpu: String::new(),
            features: BTreeSet::new(),
        },
        engine: EngineInfo {
            wasmtime: engine::WASMTIME_VERSION.to_owned(),
            profile: engine::standard_profile(true),
        },
        payload_size: 0,
        component: ComponentDigests { portable: none, linked: none },
        trigger,
        imports,
        exports: BTreeSet::new(),
        grants: BTreeMap::new(),
        part_imports: BTreeMap::new(),
        limits: Limits {
            memory: 32 << 20,
            timeout_ms: Some(20_000),
            body_timeout_ms: 20_000,
            concurrency: 4,
            request_body: 10_000,
            request_headers: 8192,
            resources: 1024,
            handles: 4096,
            host_call: 16 << 20,
            fields: 32 << 10,
            random: 1 << 20,
            cpu_quota_percent: None,
        },
        reuse: Reuse::None { warm: 0 },
        pool: PoolNeeds { core_instances: 8, memories: 1, tables: 2, table_elements: 1000 },
        parts: Vec::new(),
        inputs: BTreeMap::new(),
        recipe: none,
        lock: None,
        attachments: Vec::new(),
    }
}

/// A signed artifact and the key that a launcher must trust to run it.
pub(crate) struct Artifact {
    pub(crate) bytes: Vec<u8>,
    pub(crate) key: PublicKey,
}

/// Compiles, signs and packages as the composer does.
pub(crate) fn artifact(manifest: Manifest, component: &[u8]) -> Artifact {
    signed(manifest, &precompile(component))
}

/// Native code for this machine.
pub(crate) fn precompile(component: &[u8]) -> Vec<u8> {
    let compiler = Engine::new(&engine::config(&engine::standard_profile(true))).expect("a compiling engine");
    compiler.precompile_component(component).expect("the component compiles")
}

/// Signs and packages a payload.
pub(crate) fn signed(mut manifest: Manifest, payload: &[u8]) -> Artifact {
    manifest.payload_size = payload.len() as u64;
    let key = SigningKey::generate().expect("random bytes");
    let statement = Statement { manifest, payload: PayloadDigests::of(payload) };
    let envelope = Envelope::sign(statement.encode(), std::slice::from_ref(&key)).expect("one signature");
    let bytes = framing::package(payload, &envelope.encode(), &[]).expect("within every limit");
    Artifact { bytes, key: key.public() }
}

/// Writes an artifact so that nobody else may write it.
pub(crate) fn write(folder: &Path, artifact: &Artifact) -> PathBuf {
    let path = folder.join("app.cwasm");
    fs::write(&path, &artifact.bytes).expect("the folder is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("the file is ours");
    path
}

/// Loads as the launcher does: verified, and into an engine of its own.
pub(crate) fn load(manifest: &Manifest, component: &[u8]) -> (Engine, Component) {
    let artifact = artifact(manifest.clone(), component);
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = write(folder.path(), &artifact);
    let verified = UnverifiedArtifact::open(&path, &OpenOptions::default())
        .expect("the artifact opens")
        .authenticate(&TrustStore::of([artifact.key], false), &Policy::default(), SystemTime::now())
        .expect("the signature holds")
        .hash()
        .expect("the payload is what was signed");
    let serving = engine::serving(manifest).expect("a serving engine");
    assert_eq!(serving.unpooled, None, "instances are pooled");
    let component = load::load(&serving.engine, &verified).expect("the payload loads");
    (serving.engine, component)
}

/// The names of everything that a component imports.
pub(crate) fn imports(component: &Component) -> BTreeSet<String> {
    component.component_type().imports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}
