//! The instances of an application that answer one request at a time.
//!
//! Owns their making, those that wait for a request, and when they are given up. Deliberately absent: what a
//! request does in an instance (see `guest`), and instances that answer several requests at once (see `shared`).
//!
//! Invariants: an instance in which anything failed, or whose request was given up, is never used again; none that
//! answered a request waits longer than twice its `idle` time, and none answers more than its `requests`. A request makes an
//! instance only when none waits, so that there are never more than requests were running at a time, and beside them
//! the `warm` ones that no request has used yet. The pool has room for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use tokio::time::sleep;
use wadoo_host::Host;
use wadoo_signing::manifest::Lifetime;
use wasmtime::Store;
use wasmtime_wasi_http::handler::Proxy;

use crate::app::App;
use crate::output::Output;

/// A store and the handler in it.
pub(crate) struct Instance {
    pub(crate) store: Store<Host>,
    pub(crate) proxy: Proxy,
    /// What it prints, and for which request.
    pub(crate) output: Arc<Output>,
    /// Requests that it has answered.
    served: u32,
}

impl Instance {
    /// Makes one that nothing has happened in yet.
    pub(crate) async fn new(app: &App) -> wasmtime::Result<Self> {
        let begin = Instant::now();
        let (mut store, output) = app.store();
        let proxy = app.proxy.instantiate_async(&mut store).await?;
        app.instance_made(begin);
        Ok(Self { store, proxy, output, served: 0 })
    }
}

/// Instances that wait for a request.
pub(crate) struct Idle {
    /// Of those that answered one; without it, an instance answers one only.
    lifetime: Option<Lifetime>,
    /// So many are made before a request comes for them.
    warm: usize,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    /// Those that have answered requests, the one that waits longest first.
    used: Vec<(Instance, Instant)>,
    /// A task looks after those that wait too long.
    watched: bool,
    /// Those that nothing has happened in yet.
    warm: Vec<Instance>,
    filling: Filling,
}

/// Whether `warm` instances are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filling {
    /// Not yet: the application is about to be replaced by itself on an engine with a pool.
    Never,
    /// When some are missing.
    Ready,
    /// A task makes them.
    Running,
}

impl Idle {
    /// Keeps instances for as long as `lifetime` says, and `warm` new ones.
    pub(crate) fn new(lifetime: Option<Lifetime>, warm: u32) -> Self {
        let waiting = Waiting { used: Vec::new(), watched: false, warm: Vec::new(), filling: Filling::Never };
        Self { lifetime, warm: warm as usize, waiting: Mutex::new(waiting) }
    }

    /// The one that was used last: its memory is the likeliest to be in a cache. Otherwise one that was made ahead, in
    /// whose place another is made.
    pub(crate) fn take(&self, app: &Arc<App>) -> Option<Instance> {
        let mut waiting = self.lock();
        let used = waiting.used.pop().map(|(instance, _)| instance);
        let taken = used.or_else(|| waiting.warm.pop());
        self.fill(&mut waiting, app);
        drop(waiting);
        let mut instance = taken?;
        // The epoch went on while it waited, and its guest would yield at once.
        instance.store.set_epoch_deadline(1);
        Some(instance)
    }

    /// Keeps an instance of `app` that has answered its request, unless that was its last.
    pub(crate) fn keep(&self, mut instance: Instance, app: &Arc<App>) {
        let Some(lifetime) = &self.lifetime else { return };
        instance.served += 1;
        if instance.served >= lifetime.requests {
            return;
        }
        // What its request printed is said now, and not with its next one.
        instance.output.belongs_to(None);
        let mut waiting = self.lock();
        waiting.used.push((instance, Instant::now()));
        if !waiting.watched {
            waiting.watched = true;
            tokio::spawn(watch(Arc::downgrade(app), longest(lifetime)));
        }
    }

    /// Ends those that waited too long. Whether others still wait.
    fn sweep(&self, longest: Duration) -> bool {
        let mut waiting = self.lock();
        let ended = waiting.used.iter().take_while(|(_, since)| since.elapsed() >= longest).count();
        let ended: Vec<_> = waiting.used.drain(..ended).collect();
        waiting.watched = !waiting.used.is_empty();
        let left = waiting.watched;
        // Under the lock: whoever finds none waiting makes one, and the pool must have room for it.
        drop(ended);
        drop(waiting);
        left
    }

    /// From now on `warm` instances wait. Must be called within a tokio runtime.
    pub(crate) fn warm_up(&self, app: &Arc<App>) {
        let mut waiting = self.lock();
        if waiting.filling == Filling::Never {
            waiting.filling = Filling::Ready;
        }
        self.fill(&mut waiting, app);
    }

    /// Makes the instances that are missing, soon.
    fn fill(&self, waiting: &mut Waiting, app: &Arc<App>) {
        if waiting.filling == Filling::Ready && waiting.warm.len() < self.warm {
            waiting.filling = Filling::Running;
            tokio::spawn(fill(Arc::downgrade(app)));
        }
    }

    /// Puts one in that was made ahead. Whether more are missing.
    fn put(&self, made: Option<Instance>) -> bool {
        let mut waiting = self.lock();
        // What failed here fails again when a request needs it, and is told there.
        let failed = made.is_none();
        waiting.warm.extend(made);
        let more = !failed && waiting.warm.len() < self.warm;
        if !more {
            waiting.filling = Filling::Ready;
        }
        more
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn longest(lifetime: &Lifetime) -> Duration {
    Duration::from_millis(lifetime.idle_ms)
}

/// Looks after the waiting instances until there are none, or their application is gone.
async fn watch(app: Weak<App>, idle: Duration) {
    loop {
        sleep(idle).await;
        match app.upgrade() {
            Some(app) if app.idle().is_some_and(|instances| instances.sweep(idle)) => {}
            _ => return,
        }
    }
}

/// Makes instances ahead until enough wait. Everything else that could run comes before each of them.
async fn fill(app: Weak<App>) {
    loop {
        yield_now().await;
        let Some(app) = app.upgrade() else { return };
        let made = app.make_ahead().await;
        if !app.idle().is_some_and(|instances| instances.put(made)) {
            return;
        }
    }
}
