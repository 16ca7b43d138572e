//! What a process holds: memory and descriptors, looked at while others are at it.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// A thread that watches a process.
pub struct Meter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Most>,
}

/// The most that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    /// Resident memory in KiB.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Most {
    /// What the process holds now; nothing if it is gone.
    pub fn now(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
        Self { memory, descriptors }
    }

    fn grow(&mut self, other: Self) {
        self.memory = self.memory.max(other.memory);
        self.descriptors = self.descriptors.max(other.descriptors);
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} MiB resident, {} descriptors", self.memory / 1024, self.descriptors)
    }
}

impl Meter {
    /// Begins to look.
    pub fn start(process: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut most = Most::now(process);
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(PAUSE);
                most.grow(Most::now(process));
            }
            most
        });
        Self { stop, thread }
    }

    /// Ends, and says what was seen.
    ///
    /// # Panics
    ///
    /// The thread panicked.
    pub fn stop(self) -> Most {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("looking does not panic")
    }
}
