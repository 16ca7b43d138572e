//! The engine settings that compiler and loader share, and the engine that serves one application.
//!
//! Owns the one place where an [`EngineProfile`] becomes a `wasmtime::Config`. Deliberately absent: the
//! target, the CPU features and the optimisation level, which only the composer sets, and any decision
//! whether a manifest's profile is acceptable (see `compat`).
//!
//! Invariant: every setting that wasmtime compares when it loads code is set here, never left to a default
//! that a cargo feature could move.

use wadoo_signing::manifest::{EngineProfile, Manifest};
use wasmtime::{
    Config, Enabled, Engine, Inlining, InstanceAllocationStrategy, Memory, MemoryType, ModuleVersionStrategy,
    PoolingAllocationConfig, Store, WasmBacktraceDetails, WasmFeatures,
};

/// The exact version of wasmtime in this build. Artifacts of any other are refused.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// Address space reserved for each linear memory. It covers every 32-bit address, which removes bounds
/// checks; it costs nothing but address space.
pub const MEMORY_RESERVATION: u64 = 4 << 30;

/// Guard region behind each linear memory: constant offsets up to this size need no bounds check either.
pub const MEMORY_GUARD: u64 = 32 << 20;

/// Stack of one guest call, host frames included.
pub const STACK_BYTES: usize = 2 << 20;

/// The part of [`STACK_BYTES`] that guest frames may use before the guest traps.
pub const GUEST_STACK_BYTES: usize = 1 << 20;

/// Stack slots beyond one for each concurrent request. A request needs a second stack only while two of
/// its tasks wait in blocking calls; making instances ahead needs one, and waiting ones need none.
pub const SPARE_STACKS: u32 = 4;

/// Memory that a pool slot keeps mapped between requests, so that the next one does not fault it in again.
pub const KEEP_RESIDENT_MEMORY: usize = 1 << 20;

/// Table space that a pool slot keeps mapped between requests.
pub const KEEP_RESIDENT_TABLE: usize = 64 << 10;

/// Address space that the pool may take at most. x86-64 and aarch64 give a process 128 TiB.
pub const POOL_ADDRESS_SPACE: u64 = 32 << 40;

/// Largest size of the runtime data of one core instance.
pub const CORE_INSTANCE_BYTES: usize = 4 << 20;

/// Largest size of the runtime data of one component instance.
pub const COMPONENT_INSTANCE_BYTES: usize = 4 << 20;

/// The profile that `wadoo compose` uses and that this launcher loads. Concurrency costs each call into a guest half a
/// microsecond and each instance more, so a component that needs none is compiled without.
pub fn standard_profile(concurrency: bool) -> EngineProfile {
    EngineProfile {
        name: "standard".to_owned(),
        concurrency,
        epoch_interruption: true,
        gc: false,
        memory_reservation: MEMORY_RESERVATION,
        memory_guard_size: MEMORY_GUARD,
        memory_init_cow: true,
        signals_based_traps: true,
        inlining: false,
    }
}

/// The wasmtime configuration of a profile, the same for compiling and for loading.
///
/// Allocation is on demand; a caller that serves adds a pool (see [`serving`]), a caller that compiles adds
/// its target. Neither changes what code is compatible with.
pub fn config(profile: &EngineProfile) -> Config {
    let EngineProfile {
        // A label for people; the settings below are what counts.
        name: _,
        concurrency,
        epoch_interruption,
        gc,
        memory_reservation,
        memory_guard_size,
        memory_init_cow,
        signals_based_traps,
        inlining,
    } = *profile;
    let mut config = Config::new();
    config
        .concurrency_support(concurrency)
        .wasm_component_model(true)
        .wasm_component_model_async(concurrency)
        .epoch_interruption(epoch_interruption)
        .gc_support(gc)
        // Off whatever cargo features the build has: the composer and the launcher differ in them.
        .wasm_features(WasmFeatures::EXCEPTIONS, gc)
        .wasm_features(WasmFeatures::THREADS, false)
        .shared_memory(false)
        .memory_reservation(memory_reservation)
        .memory_guard_size(memory_guard_size)
        .guard_before_linear_memory(true)
        .memory_may_move(true)
        .memory_init_cow(memory_init_cow)
        .table_lazy_init(true)
        .signals_based_traps(signals_based_traps)
        .compiler_inlining(if inlining { Inlining::InterModule } else { Inlining::No })
        .relaxed_simd_deterministic(false)
        .consume_fuel(false)
        .debug_info(false)
        // Otherwise a variable of the environment decides whether DWARF is in the payload: the composer attaches lines.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(true)
        // For the unwinders of others. Traps need none, and registering it costs every start.
        .native_unwind_info(false)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(STACK_BYTES);
    // Infallible for this strategy: only a custom version string can be too long.
    let _ = config.module_version(ModuleVersionStrategy::WasmtimeVersion);
    config
}

/// An engine to load and link an application in that will not be served: as [`serving`], for one request at a
/// time, so that the pool's own limits are checked and little is set up.
///
/// # Errors
///
/// Those of [`serving`].
pub fn checking(manifest: &Manifest) -> wasmtime::Result<Engine> {
    let mut manifest = manifest.clone();
    manifest.limits.concurrency = 1;
    manifest.reuse.lower_warm(0);
    serving(&manifest).map(|serving| serving.engine)
}

/// An engine for one application, and what an operator should know of it.
pub struct Serving {
    /// The engine, to load the application's payload with.
    pub engine: Engine,
    /// Why instances are not pooled, if they are not: a line for the log.
    pub unpooled: Option<String>,
}

/// Makes the engine that serves the application of `manifest`: its profile, and a pool just large enough
/// for its `concurrency` limit.
///
/// Where the pool's address space cannot be had (`ulimit -v`, a small machine), instances are allocated on
/// demand: slower, and otherwise the same.
///
/// # Errors
///
/// Those of [`unpooled`].
pub fn serving(manifest: &Manifest) -> wasmtime::Result<Serving> {
    match pooled(manifest) {
        Ok(engine) => Ok(Serving { engine, unpooled: None }),
        Err(because) => Ok(Serving { engine: unpooled(manifest)?, unpooled: Some(because) }),
    }
}

/// Makes an engine without a pool, in a fiftieth of the time: each instance is allocated when it is needed.
///
/// # Errors
///
/// When wasmtime cannot make an engine, or there is no address space for one memory.
pub fn unpooled(manifest: &Manifest) -> wasmtime::Result<Engine> {
    let mut config = config(&manifest.engine.profile);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    let engine = Engine::new(&config)?;
    // Where not even one memory can be reserved, every request would fail; that is told now.
    Memory::new(Store::new(&engine, ()), MemoryType::new(0, None))?;
    Ok(engine)
}

/// Makes an engine with a pool.
///
/// # Errors
///
/// Why there can be none: a line for the log.
pub fn pooled(manifest: &Manifest) -> Result<Engine, String> {
    let needed = pool_address_space(manifest);
    if needed > POOL_ADDRESS_SPACE {
        let instances = instances(manifest);
        return Err(format!("{} GiB of address space for {instances} instances at once", needed >> 30));
    }
    let mut config = config(&manifest.engine.profile);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(manifest)));
    Engine::new(&config).map_err(|error| error.root_cause().to_string())
}

/// Sizes the pool from the manifest. The defaults of wasmtime (1000 of everything) take 2 ms to set up.
fn pool(manifest: &Manifest) -> PoolingAllocationConfig {
    let needs = &manifest.pool;
    let requests = manifest.limits.concurrency;
    let instances = instances(manifest);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .max_component_instance_size(COMPONENT_INSTANCE_BYTES)
        .max_core_instances_per_component(needs.core_instances)
        .max_memories_per_component(needs.memories)
        .max_tables_per_component(needs.tables)
        .total_core_instances(instances.saturating_mul(needs.core_instances))
        .max_core_instance_size(CORE_INSTANCE_BYTES)
        .total_memories(instances.saturating_mul(needs.memories))
        .max_memories_per_module(needs.memories)
        .total_tables(instances.saturating_mul(needs.tables))
        .max_tables_per_module(needs.tables)
        .table_elements(usize::try_from(needs.table_elements).unwrap_or(usize::MAX))
        // The limit on memory is the store's, over all parts together; a slot only has to hold it.
        .max_memory_size(usize::try_from(MEMORY_RESERVATION).unwrap_or(usize::MAX))
        .total_stacks(requests.saturating_add(SPARE_STACKS));
    // Keeping pages without knowing which of them are dirty makes reuse slower than dropping them.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEEP_RESIDENT_MEMORY)
            .table_keep_resident(KEEP_RESIDENT_TABLE);
    }
    pool
}

/// Instances that there can be at a time: one for each request, and those that wait for one.
fn instances(manifest: &Manifest) -> u32 {
    manifest.limits.concurrency.saturating_add(manifest.reuse.warm())
}

fn pool_address_space(manifest: &Manifest) -> u64 {
    let memories = u64::from(instances(manifest)).saturating_mul(u64::from(manifest.pool.memories));
    let profile = &manifest.engine.profile;
    memories.saturating_mul(profile.memory_reservation.saturating_add(profile.memory_guard_size))
}
