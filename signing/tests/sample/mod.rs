//! A small artifact, and a folder to put things in.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::key::SigningKey;
use wadoo_signing::manifest::{
    App, ComponentDigests, EngineInfo, EngineProfile, Grant, Input, Limits, Manifest, OutgoingHttp,
    PayloadDigests, PoolNeeds, Reuse, Target, Trigger,
};
use wadoo_signing::statement::Statement;

/// An ELF64 file of `length` bytes with one section, which ends with the file.
pub(crate) fn elf(length: usize) -> Vec<u8> {
    const HEADERS: usize = 64 + 2 * 64;
    let mut bytes = vec![0; HEADERS];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[0x28..0x30].copy_from_slice(&64_u64.to_le_bytes());
    bytes[0x3a..0x3c].copy_from_slice(&64_u16.to_le_bytes());
    bytes[0x3c..0x3e].copy_from_slice(&2_u16.to_le_bytes());
    bytes[128 + 0x04] = 1;
    bytes[128 + 0x18..128 + 0x20].copy_from_slice(&(HEADERS as u64).to_le_bytes());
    bytes[128 + 0x20..128 + 0x28].copy_from_slice(&((length - HEADERS) as u64).to_le_bytes());
    bytes.extend((HEADERS..length).map(|at| (at % 251) as u8));
    bytes
}

/// A manifest in which every kind of field has a value.
pub(crate) fn manifest(payload: &[u8]) -> Manifest {
    let digest = Sha256Digest::of(b"component");
    let hosts = BTreeSet::from(["api.example.com:443".parse().expect("a destination")]);
    Manifest {
        app: App { name: "shop".to_owned(), version: "1.4.0".to_owned(), serial: 10_000_400_000 },
        development: false,
        not_after: Some(1_900_000_000),
        target: Target {
            triple: "x86_64-unknown-linux-gnu".to_owned(),
            cpu: "baseline".to_owned(),
            features: BTreeSet::from(["has_sse3".to_owned()]),
        },
        engine: EngineInfo {
            wasmtime: "48.0.8".to_owned(),
            profile: EngineProfile {
                name: "standard".to_owned(),
                concurrency: true,
                epoch_interruption: true,
                gc: false,
                memory_reservation: 4 << 30,
                memory_guard_size: 32 << 20,
                memory_init_cow: true,
                signals_based_traps: true,
                inlining: true,
            },
        },
        payload_size: payload.len() as u64,
        component: ComponentDigests { portable: digest, linked: digest },
        trigger: Trigger::Http03,
        imports: BTreeSet::from(["wasi:http/client@0.3.0".to_owned()]),
        exports: BTreeSet::from(["wasi:http/handler@0.3.0".to_owned()]),
        grants: BTreeMap::from([(
            "wasi:http/client@0.3.0".to_owned(),
            Grant::OutgoingHttp(OutgoingHttp { hosts, ..OutgoingHttp::default() }),
        )]),
        part_imports: BTreeMap::new(),
        limits: Limits {
            memory: 128 << 20,
            timeout_ms: Some(30_000),
            body_timeout_ms: 30_000,
            concurrency: 100,
            request_body: 16 << 20,
            request_headers: 64 << 10,
            resources: 1024,
            handles: 4096,
            host_call: 16 << 20,
            fields: 32 << 10,
            random: 1 << 20,
            cpu_quota_percent: Some(50),
        },
        reuse: Reuse::None { warm: 0 },
        pool: PoolNeeds { core_instances: 4, memories: 2, tables: 2, table_elements: 64 },
        inputs: BTreeMap::from([(
            "cart".to_owned(),
            Input { digest, source: "guests/cart.wasm".to_owned() },
        )]),
        recipe: digest,
        parts: Vec::new(),
        lock: None,
        attachments: Vec::new(),
    }
}

/// The statement of a payload.
pub(crate) fn statement(payload: &[u8]) -> Statement {
    Statement { manifest: manifest(payload), payload: PayloadDigests::of(payload) }
}

/// A new key.
pub(crate) fn key() -> SigningKey {
    SigningKey::generate().expect("the system has random numbers")
}

/// Says why a test proves nothing here.
#[expect(clippy::print_stderr, reason = "what was not tested must be seen")]
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Whether a tool is there; in CI it must be.
pub(crate) fn installed(tool: &str) -> bool {
    let there =
        Command::new(tool).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "`{tool}` is not installed, and CI must have it");
    if !there {
        skip(&format!("`{tool}` is not installed"));
    }
    there
}

/// A folder that only its owner may write, whatever the umask.
pub(crate) fn folder(path: PathBuf) -> PathBuf {
    fs::create_dir_all(&path).expect("a folder can be made");
    mode(&path, 0o755);
    path
}

/// A file that only its owner may write, whatever the umask.
pub(crate) fn file(path: PathBuf, content: impl AsRef<[u8]>) -> PathBuf {
    fs::write(&path, content).expect("a file can be written");
    mode(&path, 0o644);
    path
}

/// Sets the permissions of a file or folder.
pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions can be set");
}
