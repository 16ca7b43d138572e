//! What one instance of an application reaches: the data of its store, and its calls into the host.
//!
//! Owns the WASI state, the resource table and the limits that the data of a store keeps, and every interface but HTTP and the
//! streams that bodies are written to. Those are linked by the launcher, which also decides what is linked at all.
//!
//! A package of its own, because a call is generated where it is linked: the calls here are a megabyte that few requests use,
//! and the `dist` profile compiles them for size. What each request uses stands in the launcher, and is compiled for speed.
//!
//! Invariants: deny by default. No sockets, no files, an empty environment and empty stdin, unless whoever made the
//! [`WasiCtx`] granted otherwise. What a guest makes the host hold is limited.

mod calls;
mod memory;
mod part;

pub use calls::{v02, v03};
pub use memory::MemoryLimit;
pub use part::PartIndex;

use wadoo_signing::manifest::Manifest;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks};

/// How the instance's own requests are sent, if they are.
pub type Outgoing = Box<dyn WasiHttpHooks>;

/// The most parts of one application that have values of their own: each needs functions of its own here.
pub const MAX_PARTS: usize = wadoo_signing::manifest::MAX_PARTS_WITH_OWN_IMPORTS;

/// What all parts reach, or one part alone.
pub struct Reached {
    /// Variables, folders, sockets; of all parts also everything else.
    pub wasi: WasiCtx,
    /// `wasi:http/outgoing-handler` 0.2.
    pub outgoing_02: Outgoing,
    /// `wasi:http/client` 0.3.
    pub outgoing_03: Outgoing,
}

/// The data of one store.
pub struct Host {
    all: Reached,
    /// The parts that have imports of their own, at most [`MAX_PARTS`].
    parts: Vec<Reached>,
    http: WasiHttpCtx,
    table: ResourceTable,
    memory: MemoryLimit,
}

// Small and used by every request: inlined, they are compiled for speed where they are called.
impl Host {
    /// The data of a store for the application of `manifest`.
    #[inline]
    pub fn new(all: Reached, parts: Vec<Reached>, manifest: &Manifest) -> Self {
        let limits = &manifest.limits;
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.fields as usize);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources as usize);
        let memory = MemoryLimit::new(limits.memory, &manifest.pool);
        Self { all, parts, http, table, memory }
    }

    /// What bounds memories and tables of the store.
    #[inline]
    pub fn memory(&mut self) -> &mut MemoryLimit {
        &mut self.memory
    }

    /// HTTP 0.2, with its own grant.
    #[inline]
    pub fn http_02(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut *self.all.outgoing_02, table: &mut self.table, ctx: &mut self.http }
    }

    /// HTTP 0.3, with its own grant.
    #[inline]
    pub fn http_03(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut *self.all.outgoing_03, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for Host {
    #[inline]
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.all.wasi, table: &mut self.table }
    }
}
