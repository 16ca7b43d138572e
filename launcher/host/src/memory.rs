//! What linear memories and tables one store may have.
//!
//! Invariant: nothing grows beyond the manifest's limit, nor beyond what the composer counted; both are signed.

use std::io;

use rustix::io::Errno;
use wadoo_signing::manifest::PoolNeeds;
use wasmtime::{OutOfMemory, ResourceLimiter};

/// Linear memories and tables of one store, all parts together. A growth beyond it fails in the guest, as
/// the WebAssembly specification has it; the other stores do not notice.
pub struct MemoryLimit {
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
    pub(crate) fn new(memory: u64, counted: &PoolNeeds) -> Self {
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
