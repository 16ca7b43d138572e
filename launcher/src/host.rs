//! What one instance of an application can reach: the data of its store.
//!
//! Owns the WASI state, the resource table and the memory limit of one store. Deliberately absent: which
//! interfaces are linked to it (see `linker`).
//!
//! Invariant: deny by default. No sockets, no files, an empty environment and empty stdin, unless the
//! manifest grants otherwise (see `reach`).

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use tokio::task::yield_now;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, OutOfMemory, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use crate::outgoing::Outgoing;
use crate::output::Output;
use crate::request_id::RequestId;

/// Bytes that the host allocates at most on behalf of one call from the guest.
pub(crate) const HOSTCALL_BYTES: usize = 16 << 20;

/// Resources of the host (streams, bodies, sets of HTTP fields) that one store may hold at a time.
pub(crate) const MAX_RESOURCES: usize = 1024;

/// Bytes of one set of HTTP fields, with what the host needs to hold them. The most that a store costs the
/// host beside its memories is [`MAX_RESOURCES`] of them.
pub(crate) const MAX_FIELDS_BYTES: usize = 32 << 10;

/// Handles in the tables of one store's guests, and tasks, streams and futures between them. One is small.
pub(crate) const MAX_HANDLES: usize = 4096;

/// Random bytes that one call may ask for.
pub(crate) const MAX_RANDOM_BYTES: u64 = 1 << 20;

/// Core instances, memories and tables of one store: the composer counts them, this only stops nonsense.
pub(crate) const MAX_ITEMS: usize = 10_000;

/// The data of one store.
pub(crate) struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    memory: MemoryLimit,
    outgoing_02: Outgoing,
    outgoing_03: Outgoing,
    /// What it prints, if that goes to the log.
    output: Option<Arc<Output>>,
}

impl Host {
    pub(crate) fn new(wasi: WasiCtx, memory: u64, outgoing_02: Outgoing, outgoing_03: Outgoing) -> Self {
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let memory = MemoryLimit::new(usize::try_from(memory).unwrap_or(usize::MAX));
        Self { wasi, http, table, memory, outgoing_02, outgoing_03, output: None }
    }

    /// With `output` as what its streams print to, so that it learns which request runs.
    pub(crate) fn with_output(mut self, output: Arc<Output>) -> Self {
        self.output = Some(output);
        self
    }

    /// What is printed from here on belongs to `request`, or could be of several.
    pub(crate) fn prints_for(&self, request: Option<RequestId>) {
        if let Some(output) = &self.output {
            output.belongs_to(request);
        }
    }

    /// A store around this data, with every limit set. A guest in it yields at each tick of the epoch.
    pub(crate) fn into_store(self, engine: &Engine) -> Store<Self> {
        let mut store = Store::new(engine, self);
        store.limiter(|host| &mut host.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.set_max_component_handles(MAX_HANDLES);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(MAX_HANDLES);
        }
        store.set_epoch_deadline(1);
        // Not wasmtime's own yield, which wakes at once: tokio would then look at sockets and timers only
        // after 61 turns of a guest that spins.
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(yield_now()))));
        store
    }

    /// HTTP 0.2, with its own grant.
    pub(crate) fn http_02(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing_02, table: &mut self.table, ctx: &mut self.http }
    }

    /// HTTP 0.3, with its own grant.
    pub(crate) fn http_03(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing_03, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Linear memories and tables of one store, all parts together. A growth beyond it fails in the guest, as
/// the WebAssembly specification has it; the other stores do not notice.
struct MemoryLimit {
    left: usize,
    /// What was granted last, to be given back if the system then has no memory for it.
    granted: usize,
}

/// What an element of a table costs the host.
const TABLE_ELEMENT_BYTES: usize = 16;

impl MemoryLimit {
    fn new(left: usize) -> Self {
        Self { left, granted: 0 }
    }

    /// Charges a growth, unless it is beyond the limit or cannot succeed anyway: a guest may try that as often
    /// as it likes.
    fn take(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        let wanted = desired.saturating_sub(current);
        let granted = wanted <= self.left && maximum.is_none_or(|maximum| desired <= maximum);
        if granted {
            self.left -= wanted;
            self.granted = wanted;
        }
        granted
    }

    /// Gives back what was granted last, if it is the system that refused it. Other failures are told without
    /// a question before, so there is nothing to give back, and a guest could bring them about at will.
    fn failed(&mut self, error: &wasmtime::Error) {
        if error.is::<io::Error>() || error.is::<Errno>() || error.is::<OutOfMemory>() {
            self.left += std::mem::take(&mut self.granted);
        }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.take(current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(&error);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.take(bytes(current), bytes(desired), maximum.map(bytes)))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(&error);
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_ITEMS
    }

    fn tables(&self) -> usize {
        MAX_ITEMS
    }

    fn memories(&self) -> usize {
        MAX_ITEMS
    }
}

#[cfg(test)]
mod tests {
    use wadoo_signing::manifest::OutgoingHttp;

    use super::*;
    use crate::egress::Egress;
    use crate::upstream::Upstreams;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limit = MemoryLimit::new(200_000);
        assert!(limit.memory_growing(0, 65_536, None).unwrap());
        assert!(limit.memory_growing(65_536, 131_072, None).unwrap());
        assert!(!limit.memory_growing(131_072, 262_144, None).unwrap());
        assert!(limit.table_growing(0, 4_000, None).unwrap());
        assert!(!limit.table_growing(4_000, 8_000, None).unwrap());
    }

    #[test]
    fn a_growth_that_fails_is_not_charged() {
        let mut limit = MemoryLimit::new(131_072);
        for _ in 0..10 {
            assert!(!limit.memory_growing(0, 131_072, Some(65_536)).unwrap());
            assert!(!limit.table_growing(0, 100, Some(10)).unwrap());
            assert!(limit.memory_growing(0, 131_072, None).unwrap());
            limit.memory_grow_failed(io::Error::from(io::ErrorKind::OutOfMemory).into()).unwrap();
        }
        // What succeeded is never given back, whatever a guest asks for next.
        assert!(limit.memory_growing(0, 131_072, None).unwrap());
        limit.memory_grow_failed(wasmtime::format_err!("beyond the type")).unwrap();
        assert!(!limit.memory_growing(131_072, 196_608, None).unwrap());
    }

    #[test]
    fn a_store_costs_the_host_little_beside_its_memory() {
        const { assert!(MAX_RESOURCES * MAX_FIELDS_BYTES <= 32 << 20) };
        let none = || Outgoing::new(Arc::new(Upstreams::new(Egress::new(OutgoingHttp::default()))));
        let host = Host::new(WasiCtx::builder().build(), 0, none(), none());
        let mut store = host.into_store(&Engine::default());
        assert_eq!(store.max_component_handles(), MAX_HANDLES);
        for _ in 0..MAX_RESOURCES {
            store.data_mut().table.push(()).unwrap();
        }
        assert!(store.data_mut().table.push(()).is_err());
        let table = store.concurrent_resource_table().expect("concurrency is on");
        assert_eq!(table.max_capacity(), MAX_HANDLES);
    }
}
