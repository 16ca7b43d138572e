//! Which core a server runs on, and which its client: on one core each, so that neither takes the other's time.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use, first and last; one and the same on a machine with a single core.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    server: usize,
    client: usize,
}

impl Cores {
    /// Reads what the process may use now. Call it before anything is pinned.
    ///
    /// # Panics
    ///
    /// The system does not say.
    pub fn of_process() -> Self {
        let set = sched_getaffinity(None).expect("the system tells the affinity");
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core));
        let server = allowed.next().expect("this process runs on a core");
        Self { server, client: allowed.next_back().unwrap_or(server) }
    }

    /// Runs `spawn` on the server's core, which its children inherit, and goes on on the client's.
    ///
    /// # Panics
    ///
    /// The system refuses.
    pub fn on_server<T>(self, spawn: impl FnOnce() -> T) -> T {
        pin(self.server);
        let spawned = spawn();
        pin(self.client);
        spawned
    }
}

fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("a thread may choose among its cores");
}
