//! The manifest: the signed description of one artifact.
//!
//! Owns its shape. Decides nothing about its encoding (see `statement`, which carries it), nothing about trust (see
//! `trust`) and nothing about whether this machine can run the artifact (the launcher's `compat`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::destination::{Destination, Network};
use crate::digest::{Blake3Digest, FsVerityDigest, Sha256Digest};
use crate::files::FILES;
use crate::lines::SOURCE_LINES;
use crate::mount::{Access, MountPath};

/// `_type` of the in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of a wadoo manifest. Compared exactly: the same keys sign other kinds of statement.
pub const PREDICATE_TYPE: &str = "urn:wadoo:manifest:v1";

/// Everything that an artifact says of itself. Produced by `wadoo compose`, read by the launcher.
///
/// Unknown fields are refused: what a launcher does not know it cannot enforce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Who the application is.
    pub app: App,
    /// Signed by a development key: accepted from the development trust folder and nowhere else.
    pub development: bool,
    /// Seconds since the Unix epoch (UTC) after which no launcher starts this artifact.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_after: Option<u64>,
    /// The machine that the payload was compiled for.
    pub target: Target,
    /// The engine that compiled the payload, and the settings that it must be loaded with.
    pub engine: EngineInfo,
    /// Length of the payload in bytes. Its digests are the statement's subject.
    pub payload_size: u64,
    /// The WebAssembly components from which the payload was compiled.
    pub component: ComponentDigests,
    /// What starts a call into the application.
    pub trigger: Trigger,
    /// Every import that the launcher must provide, by full name (`wasi:http/types@0.3.0`), sorted.
    pub imports: BTreeSet<String>,
    /// Every export of the component, by full name, sorted.
    pub exports: BTreeSet<String>,
    /// Grants, by full import name; base-set imports need none and are not listed.
    pub grants: BTreeMap<String, Grant>,
    /// The imports that are there for one part alone, because it was granted other values than others that import the
    /// same interface. They are among `imports` and `grants` by the name that they have in the linked component.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub part_imports: BTreeMap<String, PartImport>,
    /// What the application may use at most.
    pub limits: Limits,
    /// How requests share instances.
    pub reuse: Reuse,
    /// What one instance of the application takes from the instance pool.
    pub pool: PoolNeeds,
    /// Where the code of each part stands in the linked component, so that a trap can be told with its part.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub parts: Vec<PartSpan>,
    /// Every input of the composition by its name in the recipe.
    pub inputs: BTreeMap<String, Input>,
    /// Digest of the recipe's bytes.
    pub recipe: Sha256Digest,
    /// Digest of `wadoo.lock`, if there was one and the inputs were those that it has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lock: Option<Sha256Digest>,
    /// The attachments of the file, in file order.
    pub attachments: Vec<AttachmentInfo>,
}

impl Manifest {
    /// The interface that an import is, by its full name.
    pub fn interface_of<'a>(&'a self, import: &'a str) -> &'a str {
        self.part_imports.get(import).map_or(import, |own| own.interface.as_str())
    }

    /// The parts that have imports of their own, sorted.
    pub fn parts_with_own_imports(&self) -> BTreeSet<&str> {
        self.part_imports.values().map(|own| own.part.as_str()).collect()
    }

    /// The grants of the imports that are there for `part` alone; without a part, of those that are there for all.
    pub fn grants_of(&self, part: Option<&str>) -> impl Iterator<Item = (&str, &Grant)> {
        self.grants.iter().filter_map(move |(import, grant)| {
            let own = self.part_imports.get(import);
            (own.map(|own| own.part.as_str()) == part).then(|| (self.interface_of(import), grant))
        })
    }

    /// The parts whose code stands at `offset` in the linked component.
    pub fn parts_at(&self, offset: u64) -> Option<&BTreeSet<String>> {
        self.parts.iter().find(|part| (part.start..part.end).contains(&offset)).map(|part| &part.names)
    }
}

/// The most parts of one application that have imports of their own.
pub const MAX_PARTS_WITH_OWN_IMPORTS: usize = 64;

/// An import that is there for one part alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartImport {
    /// The part; `cart/log` is the instance of `log` that `cart` has for itself.
    pub part: String,
    /// The interface by its full name.
    pub interface: String,
}

/// A component within the linked one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartSpan {
    /// Its first byte.
    pub start: u64,
    /// The byte after its last.
    pub end: u64,
    /// The parts that are instances of it. `cart/denied` is what the composer made for the imports that are denied to
    /// `cart`.
    pub names: BTreeSet<String>,
}

/// Name and version of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct App {
    /// Kebab-case name.
    pub name: String,
    /// Semantic version, as the recipe wrote it.
    pub version: String,
    /// Orders the artifacts of one application; a later one has a greater serial.
    pub serial: u64,
}

/// What the payload was compiled for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Target triple, `x86_64-unknown-linux-gnu`.
    pub triple: String,
    /// Named CPU level of the recipe, `x86-64-v3`, `baseline`.
    pub cpu: String,
    /// Cranelift's names of the CPU features that the code may use, sorted.
    pub features: BTreeSet<String>,
}

/// The engine of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineInfo {
    /// Exact version of wasmtime, `48.0.8`.
    pub wasmtime: String,
    /// The settings shared by compiler and loader.
    pub profile: EngineProfile,
}

/// Engine settings that both sides must agree on. `wadoo_launcher::engine` turns them into a
/// `wasmtime::Config`; nothing else does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineProfile {
    /// `standard`, until other profiles are supported.
    pub name: String,
    /// Component-model async is compiled in.
    pub concurrency: bool,
    /// Code checks the epoch at loop heads and function entries.
    pub epoch_interruption: bool,
    /// Garbage-collected types are compiled in.
    pub gc: bool,
    /// Address space reserved for each linear memory, in bytes.
    pub memory_reservation: u64,
    /// Guard region behind each linear memory, in bytes.
    pub memory_guard_size: u64,
    /// Data segments become copy-on-write images.
    pub memory_init_cow: bool,
    /// Out-of-bounds and null accesses trap by signal.
    pub signals_based_traps: bool,
    /// Calls between the modules of the component may be inlined.
    pub inlining: bool,
}

/// Digests of the two components that stand behind a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentDigests {
    /// The component that `--emit wasm` writes.
    pub portable: Sha256Digest,
    /// The component that was compiled.
    pub linked: Sha256Digest,
}

/// The export through which the launcher calls the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Trigger {
    /// `wasi:http/incoming-handler@0.2.x`
    #[serde(rename = "http-0.2")]
    Http02,
    /// `wasi:http/handler@0.3.x`
    #[serde(rename = "http-0.3")]
    Http03,
    /// `wasi:cli/run@0.2.x`
    #[serde(rename = "command-0.2")]
    Command02,
    /// `wasi:cli/run@0.3.x`
    #[serde(rename = "command-0.3")]
    Command03,
}

/// The values of one granted import. A launcher that cannot enforce a kind refuses the artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Grant {
    /// Outgoing HTTP to the listed hosts.
    OutgoingHttp(OutgoingHttp),
    /// Variables of the launcher's own environment, by name.
    Environment(EnvironmentGrant),
    /// Folders that the operator names at the start, and trees of files that the artifact carries.
    Filesystem(FilesystemGrant),
    /// TCP and UDP to the listed addresses.
    Sockets(SocketsGrant),
}

/// The values of a grant as a person reads them, with their title: `hosts: api.example.com:443`.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutgoingHttp(http) => {
                write!(f, "hosts: {}", listed(&http.hosts))?;
                if http.networks.is_empty() {
                    Ok(())
                } else {
                    write!(f, "; networks: {}", listed(&http.networks))
                }
            }
            Self::Environment(environment) => write!(f, "variables: {}", listed(&environment.keys)),
            Self::Sockets(sockets) if sockets.connect.is_empty() => {
                f.write_str("connect: what the sockets may that it is given")
            }
            Self::Sockets(sockets) => write!(f, "connect: {}", listed(&sockets.connect)),
            Self::Filesystem(FilesystemGrant { mounts, files }) => {
                let mounts: Vec<_> =
                    mounts.iter().map(|(path, access)| format!("{path} ({access})")).collect();
                let files = listed(files.keys());
                match (mounts.is_empty(), files.is_empty()) {
                    (_, true) => write!(f, "mounts: {}", mounts.join(", ")),
                    (true, false) => write!(f, "files: {files}"),
                    (false, false) => write!(f, "mounts: {}; files: {files}", mounts.join(", ")),
                }
            }
        }
    }
}

fn listed<'a, T: fmt::Display + 'a>(items: impl IntoIterator<Item = &'a T>) -> String {
    items.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Which hosts outgoing requests may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutgoingHttp {
    /// `host:port` or `scheme://host:port`; no wildcards.
    pub hosts: BTreeSet<Destination>,
    /// The networks that are not public and that names among `hosts` may lie in all the same.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub networks: BTreeSet<Network>,
}

/// Which variables of the launcher's environment an application sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentGrant {
    /// Names of variables, sorted.
    pub keys: BTreeSet<String>,
}

/// Which folders an application sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilesystemGrant {
    /// Folders that the operator names at the start: where each is seen, and what may be done there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub mounts: BTreeMap<MountPath, Access>,
    /// Trees of files that the artifact carries: where each is seen, and the digest of the attachment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub files: BTreeMap<MountPath, Sha256Digest>,
}

/// Which addresses an application may exchange data with. It cannot listen, nor look names up. Empty for the interfaces
/// that make no sockets, where parts have different addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SocketsGrant {
    /// Addresses with ports.
    pub connect: BTreeSet<SocketAddr>,
}

/// What the application may use at most. Durations in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Linear memory of one instance of the application, all parts together.
    pub memory: u64,
    /// From the request's head to the response's head; the whole run of a command if it is set for one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout_ms: Option<u64>,
    /// The longest pause of a body, in either direction.
    pub body_timeout_ms: u64,
    /// Requests that are handled at the same time.
    pub concurrency: u32,
    /// Length of a request's body.
    pub request_body: u64,
    /// Length of a request's head.
    pub request_headers: u32,
    /// Resources of the host that one instance holds at a time: streams, bodies, sets of HTTP fields, files, sockets.
    pub resources: u32,
    /// Handles in the tables of one instance's parts, and tasks, streams and futures between them.
    pub handles: u32,
    /// Bytes that the host copies for one call of a guest.
    pub host_call: u64,
    /// One set of HTTP fields, with what the host needs to hold them.
    pub fields: u32,
    /// Random bytes that one call asks for.
    pub random: u64,
    /// The share of one processor that all instances together use, in hundredths; unlimited if it is not there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu_quota_percent: Option<u32>,
}

/// How requests share the instances of an application, and with them what a guest keeps in its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Reuse {
    /// Each request has an instance of its own.
    None {
        /// Instances that are made before a request comes for them; 0 for none.
        warm: u32,
    },
    /// An instance answers one request after the other.
    Serial {
        /// When it is replaced.
        lifetime: Lifetime,
        /// Instances that are made before a request comes for them; 0 for none.
        warm: u32,
    },
    /// An instance answers several requests at once (WASI 0.3).
    Concurrent(Concurrent),
}

impl Reuse {
    /// Instances that are made before a request comes for them.
    pub fn warm(&self) -> u32 {
        match self {
            Self::None { warm } | Self::Serial { warm, .. } => *warm,
            Self::Concurrent(_) => 0,
        }
    }

    /// Allows no more than `most` of them.
    pub fn lower_warm(&mut self, most: u32) {
        match self {
            Self::None { warm } | Self::Serial { warm, .. } => *warm = most.min(*warm),
            Self::Concurrent(_) => {}
        }
    }
}

/// When an instance is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lifetime {
    /// After so many requests.
    pub requests: u32,
    /// After so many milliseconds without a request.
    pub idle_ms: u64,
}

/// How many requests an instance answers at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Concurrent {
    /// So many at most.
    pub at_once: u32,
    /// When it is replaced.
    pub lifetime: Lifetime,
}

/// What one instance of the application takes from the pool, counted at compose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolNeeds {
    /// Core instances of the component.
    pub core_instances: u32,
    /// Linear memories of the component.
    pub memories: u32,
    /// Tables of the component.
    pub tables: u32,
    /// Elements of its largest table.
    pub table_elements: u64,
}

/// One input of the composition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Digest of the input's bytes.
    pub digest: Sha256Digest,
    /// Where it came from, as the recipe wrote it.
    pub source: String,
}

/// One attachment of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttachmentInfo {
    /// What it is, by number.
    pub kind: u32,
    /// Length in bytes.
    pub length: u64,
    /// Digest of its bytes.
    pub sha256: Sha256Digest,
}

impl AttachmentInfo {
    /// What it is, for people.
    pub fn title(&self) -> String {
        match self.kind {
            SOURCE_LINES => "source lines".to_owned(),
            FILES => "files".to_owned(),
            kind => format!("kind {kind}"),
        }
    }
}

/// The digests of a payload. All three must match; one alone is never enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadDigests {
    /// blake3 tree hash, which the launcher checks at load.
    #[serde(with = "crate::digest::bare_hex")]
    pub blake3: Blake3Digest,
    /// fs-verity digest (SHA-256, 4 KiB blocks, no salt), which the kernel can measure.
    #[serde(with = "crate::digest::bare_hex")]
    pub fsverity: FsVerityDigest,
    /// sha256, which every other tool knows.
    #[serde(with = "crate::digest::bare_hex")]
    pub sha256: Sha256Digest,
}
