//! The instances of an application that answer one request at a time.
//!
//! Owns their making, those that wait for another request, and when they are given up. Deliberately absent: what a
//! request does in an instance (see `guest`), and instances that answer several requests at once (see `shared`).
//!
//! Invariants: an instance in which anything failed, or whose request was given up, is never used again; none waits
//! longer than its `idle` time, and none answers more than its `requests`; a new one is made only when none waits,
//! so that there are never more than requests were running at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use wadoo_signing::manifest::Lifetime;
use wasmtime::Store;
use wasmtime_wasi_http::handler::Proxy;

use crate::app::App;
use crate::host::Host;

/// A store and the handler in it.
pub(crate) struct Instance {
    pub(crate) store: Store<Host>,
    pub(crate) proxy: Proxy,
    /// Requests that it has answered.
    served: u32,
}

impl Instance {
    /// Makes one that nothing has happened in yet.
    pub(crate) async fn new(app: &App) -> wasmtime::Result<Self> {
        let begin = Instant::now();
        let mut store = app.store();
        let proxy = app.proxy.instantiate_async(&mut store).await?;
        app.instance_made(begin);
        Ok(Self { store, proxy, served: 0 })
    }
}

/// Instances that wait for their next request.
pub(crate) struct Idle {
    lifetime: Lifetime,
    /// The one that waits longest first.
    instances: Mutex<Vec<(Instance, Instant)>>,
    /// A task looks after those that wait too long.
    watched: AtomicBool,
}

impl Idle {
    pub(crate) fn new(lifetime: Lifetime) -> Self {
        Self { lifetime, instances: Mutex::default(), watched: AtomicBool::new(false) }
    }

    /// The one that was used last: its memory is the likeliest to be in a cache.
    pub(crate) fn take(&self) -> Option<Instance> {
        let (mut instance, _) = self.lock().pop()?;
        // The epoch went on while it waited, and its guest would yield at once.
        instance.store.set_epoch_deadline(1);
        Some(instance)
    }

    /// Keeps an instance of `app` that has answered its request, unless that was its last.
    pub(crate) fn keep(&self, mut instance: Instance, app: &Arc<App>) {
        instance.served += 1;
        if instance.served >= self.lifetime.requests {
            return;
        }
        self.lock().push((instance, Instant::now()));
        if !self.watched.swap(true, Ordering::AcqRel) {
            tokio::spawn(watch(Arc::downgrade(app), self.longest()));
        }
    }

    /// Ends those that waited too long. Whether others still wait.
    fn sweep(&self) -> bool {
        let mut instances = self.lock();
        let longest = self.longest();
        let ended = instances.iter().take_while(|(_, since)| since.elapsed() >= longest).count();
        let ended: Vec<_> = instances.drain(..ended).collect();
        let left = !instances.is_empty();
        if !left {
            self.watched.store(false, Ordering::Release);
        }
        drop(instances);
        // Not under the lock: it takes a while.
        drop(ended);
        left
    }

    fn longest(&self) -> Duration {
        Duration::from_millis(self.lifetime.idle_ms)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Instance, Instant)>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after the waiting instances until there are none, or their application is gone.
async fn watch(app: Weak<App>, idle: Duration) {
    loop {
        sleep(idle).await;
        match app.upgrade() {
            Some(app) if app.idle().is_some_and(Idle::sweep) => {}
            _ => return,
        }
    }
}
