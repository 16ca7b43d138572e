//! What one instance of an application can reach: the data of its store.
//!
//! Owns the WASI state, the resource table and the memory limit of one store. Deliberately absent: which
//! interfaces are linked to it (see `linker`).
//!
//! Invariant: deny by default. No sockets, no files, an empty environment and empty stdin, unless the
//! manifest grants otherwise.

use tokio::task::yield_now;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use crate::outgoing::Outgoing;

/// Bytes that the host allocates at most on behalf of one call from the guest.
pub(crate) const HOSTCALL_BYTES: usize = 16 << 20;

/// Handles that one instance may hold at a time.
pub(crate) const MAX_RESOURCES: usize = 16_384;

/// Bytes of one set of HTTP fields, with what the host needs to hold them.
pub(crate) const MAX_FIELDS_BYTES: usize = 128 << 10;

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
}

impl Host {
    pub(crate) fn new(wasi: WasiCtx, memory: u64, outgoing_02: Outgoing, outgoing_03: Outgoing) -> Self {
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let memory = MemoryLimit { left: usize::try_from(memory).unwrap_or(usize::MAX) };
        Self { wasi, http, table, memory, outgoing_02, outgoing_03 }
    }

    /// A store around this data, with every limit set. A guest in it yields at each tick of the epoch.
    pub(crate) fn into_store(self, engine: &Engine) -> Store<Self> {
        let mut store = Store::new(engine, self);
        store.limiter(|host| &mut host.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
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
}

/// What an element of a table costs the host.
const TABLE_ELEMENT_BYTES: usize = 16;

impl MemoryLimit {
    fn take(&mut self, current: usize, desired: usize) -> bool {
        let wanted = desired.saturating_sub(current);
        let granted = wanted <= self.left;
        if granted {
            self.left -= wanted;
        }
        granted
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.take(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self
            .take(current.saturating_mul(TABLE_ELEMENT_BYTES), desired.saturating_mul(TABLE_ELEMENT_BYTES)))
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
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limit = MemoryLimit { left: 200_000 };
        assert!(limit.memory_growing(0, 65_536, None).unwrap());
        assert!(limit.memory_growing(65_536, 131_072, None).unwrap());
        assert!(!limit.memory_growing(131_072, 262_144, None).unwrap());
        assert!(limit.table_growing(0, 4_000, None).unwrap());
        assert!(!limit.table_growing(4_000, 8_000, None).unwrap());
    }
}
