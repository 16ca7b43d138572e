//! What one instance of an application can reach: the data of its store.
//!
//! Owns the WASI state, the resource table and every limit of one store. Deliberately absent: which interfaces are
//! linked to it (see `linker`).
//!
//! Invariants: deny by default. No sockets, no files, an empty environment and empty stdin, unless the manifest grants
//! otherwise (see `reach`). What a guest makes the host hold is limited, by the manifest's limits and by what the
//! composer counted; both are signed.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use tokio::task::yield_now;
use wadoo_signing::manifest::{Limits, Manifest, PoolNeeds};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, OutOfMemory, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use crate::outgoing::Outgoing;
use crate::output::Output;
use crate::request_id::RequestId;

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
    /// The data of a store for the application of `manifest`.
    pub(crate) fn new(
        wasi: WasiCtx,
        manifest: &Manifest,
        outgoing_02: Outgoing,
        outgoing_03: Outgoing,
    ) -> Self {
        let limits = &manifest.limits;
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.fields as usize);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources as usize);
        let memory = MemoryLimit::new(limits.memory, &manifest.pool);
        Self { wasi, http, table, memory, outgoing_02, outgoing_03, output: None }
    }

    /// `output` is what its streams print to, and learns which request runs.
    pub(crate) fn prints_to(&mut self, output: Arc<Output>) {
        self.output = Some(output);
    }

    /// What is printed from here on belongs to `request`, or could be of several.
    pub(crate) fn prints_for(&self, request: Option<RequestId>) {
        if let Some(output) = &self.output {
            output.belongs_to(request);
        }
    }

    /// Nothing runs any more that could end a line.
    pub(crate) fn printed(&self) {
        if let Some(output) = &self.output {
            output.end();
        }
    }

    /// A store around this data, with every limit set. A guest in it yields at each tick of the epoch.
    pub(crate) fn into_store(self, engine: &Engine, limits: &Limits) -> Store<Self> {
        let mut store = Store::new(engine, self);
        store.limiter(|host| &mut host.memory);
        store.set_hostcall_fuel(usize::try_from(limits.host_call).unwrap_or(usize::MAX));
        store.set_max_component_handles(limits.handles as usize);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(limits.handles as usize);
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
    /// Core instances, memories and tables of the store, as the composer counted them. A pool has room for no more;
    /// an instance that is made without one has no more either.
    counted: PoolNeeds,
}

/// What an element of a table costs the host.
const TABLE_ELEMENT_BYTES: usize = 16;

impl MemoryLimit {
    fn new(memory: u64, counted: &PoolNeeds) -> Self {
        let left = usize::try_from(memory).unwrap_or(usize::MAX);
        Self { left, granted: 0, counted: counted.clone() }
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
        let most = usize::try_from(self.counted.table_elements).unwrap_or(usize::MAX);
        let maximum = Some(maximum.map_or(most, |maximum| maximum.min(most)));
        Ok(self.take(bytes(current), bytes(desired), maximum.map(bytes)))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(&error);
        Ok(())
    }

    fn instances(&self) -> usize {
        self.counted.core_instances as usize
    }

    fn tables(&self) -> usize {
        self.counted.tables as usize
    }

    fn memories(&self) -> usize {
        self.counted.memories as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(memory: u64) -> MemoryLimit {
        let counted = PoolNeeds { core_instances: 3, memories: 1, tables: 2, table_elements: 5_000 };
        MemoryLimit::new(memory, &counted)
    }

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limit = limit(200_000);
        assert!(limit.memory_growing(0, 65_536, None).unwrap());
        assert!(limit.memory_growing(65_536, 131_072, None).unwrap());
        assert!(!limit.memory_growing(131_072, 262_144, None).unwrap());
        assert!(limit.table_growing(0, 4_000, None).unwrap());
        assert!(!limit.table_growing(0, 4_500, None).unwrap());
    }

    #[test]
    fn there_is_no_more_of_anything_than_the_composer_counted() {
        let mut limit = limit(1 << 30);
        assert_eq!((limit.instances(), limit.memories(), limit.tables()), (3, 1, 2));
        assert!(limit.table_growing(0, 5_000, None).unwrap());
        assert!(!limit.table_growing(0, 5_001, None).unwrap());
        assert!(!limit.table_growing(0, 5_000, Some(4_999)).unwrap());
    }

    #[test]
    fn a_growth_that_fails_is_not_charged() {
        let mut limit = limit(131_072);
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
}
