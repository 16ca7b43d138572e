//! The clock of the guests: a thread that advances the engine's epoch, at which running guests yield.
//!
//! Without it a guest that spins would hold its thread for ever, and with it the timers that should end it.
//!
//! Invariant: while any [`Running`] exists the epoch advances every [`TICK`], whether its ticker does or not; it is
//! started before the first guest instruction, because a `Running` is made first. A launcher without work does not wake
//! up.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// How long a guest runs before others on its thread get their turn.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks without work after which the thread sleeps until there is some. Long enough that requests in a
/// row do not wake it each.
const IDLE_TICKS: u32 = 50;

/// The ticker of one engine. Dropping it ends the thread, once nothing runs.
pub(crate) struct Ticker(Ticks);

/// The means to make the epoch advance. Does not keep the thread.
#[derive(Clone)]
pub(crate) struct Ticks {
    shared: Arc<Shared>,
    thread: thread::Thread,
}

struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// Proof that the epoch of the engine advances. Exists whenever a guest of it may run.
pub(crate) struct Running {
    shared: Arc<Shared>,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread. The application must not be run then.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let (engine, ticking) = (engine.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("epoch".to_owned())
            .stack_size(64 << 10)
            .spawn(move || tick(&engine, &ticking))?
            .thread()
            .clone();
        Ok(Self(Ticks { shared, thread }))
    }

    /// Makes the epoch advance until the value is dropped.
    pub(crate) fn run(&self) -> Running {
        self.0.run()
    }

    /// For those that run guests without a request.
    pub(crate) fn ticks(&self) -> Ticks {
        self.0.clone()
    }
}

impl Ticks {
    /// Makes the epoch advance whenever `work` is polled, and not while it waits.
    pub(crate) async fn during<F: Future>(self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            let _running = self.run();
            work.as_mut().poll(context)
        })
        .await
    }

    fn run(&self) -> Running {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        // Both sides store first and look second (sequentially consistent), so one of them sees the other.
        if self.shared.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.shared.stop.store(true, Ordering::SeqCst);
        self.0.thread.unpark();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) || shared.running.load(Ordering::SeqCst) > 0 {
        if shared.running.load(Ordering::SeqCst) > 0 {
            idle = 0;
        } else if idle < IDLE_TICKS {
            idle += 1;
        } else {
            shared.asleep.store(true, Ordering::SeqCst);
            if shared.running.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            shared.asleep.store(false, Ordering::SeqCst);
            idle = 0;
            continue;
        }
        thread::sleep(TICK);
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_up_for_work_and_ends_with_its_owner() {
        let ticker = Ticker::start(&Engine::default()).expect("a thread");
        let shared = Arc::clone(&ticker.0.shared);
        while !shared.asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let running = ticker.run();
        while shared.asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        drop(ticker);
        thread::sleep(TICK * 20);
        assert_eq!(Arc::strong_count(&shared), 3, "it goes on for what still runs");
        drop(running);
        // The thread holds the other reference: it is gone when only ours is left.
        while Arc::strong_count(&shared) > 1 {
            thread::yield_now();
        }
    }
}
