//! Which cores a server runs on, and which its client.

use std::thread;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use; one and the same on a machine with a single core.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    all: CpuSet,
    server: usize,
    client: usize,
}

/// What a server has of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// One, and its client another, so that neither takes the other's time.
    One,
    /// All, which its client leaves to it while it waits.
    All,
}

impl Cores {
    /// Reads what the process may use now. Call it before anything is pinned.
    ///
    /// # Panics
    ///
    /// The system does not say.
    pub fn of_process() -> Self {
        let all = sched_getaffinity(None).expect("the system tells the affinity");
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core));
        let server = allowed.next().expect("this process runs on a core");
        Self { all, server, client: allowed.next_back().unwrap_or(server) }
    }

    /// Runs `spawn` on the server's core, which its children inherit, and goes on on the client's.
    ///
    /// # Panics
    ///
    /// The system refuses.
    pub fn on_server<T>(self, spawn: impl FnOnce() -> T) -> T {
        pin(&one(self.server));
        let spawned = spawn();
        pin(&one(self.client));
        spawned
    }

    /// Runs `spawn` on as many cores as `share` says.
    ///
    /// # Panics
    ///
    /// The system refuses.
    pub fn on_share<T>(self, share: Share, spawn: impl FnOnce() -> T) -> T {
        match share {
            Share::One => self.on_server(spawn),
            Share::All => {
                pin(&self.all);
                spawn()
            }
        }
    }
}

impl Share {
    /// Passes the time until a server may be there.
    pub fn wait(self) {
        match self {
            Self::One => thread::yield_now(),
            Self::All => thread::sleep(Duration::from_micros(20)),
        }
    }
}

fn one(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}

fn pin(set: &CpuSet) {
    sched_setaffinity(None, set).expect("a thread may choose among its cores");
}
