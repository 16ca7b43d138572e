//! An application that answers HTTP requests: linked, pre-instantiated, with its limits.
//!
//! Owns what all requests of one artifact share. Deliberately absent: sockets (see `server`), the life of a
//! single request (see `exchange` and `guest`) and commands (see `command`).
//!
//! Invariant: at most `limits.concurrency` requests have a store at a time, by a `Slot`; beside those stores there are
//! the ones that wait for a request (see `instances`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use wadoo_host::Host;
use wadoo_signing::manifest::{Limits, Manifest, Reuse, Trigger};
use wadoo_signing::report::{Exit, Report};
use wasmtime::component::Component;
use wasmtime::{Engine, Store};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use crate::instances::{Idle, Instance};
use crate::lines::SourceLines;
use crate::linker::{self, LinkError};
use crate::log::{self, Stream};
use crate::output::Output;
use crate::quota::Quota;
use crate::reach::Reach;
use crate::shared::Shared;
use crate::ticker::{Running, Ticker, Ticks};

/// How long a request waits for a slot before it is refused.
pub const QUEUE_WAIT: Duration = Duration::from_secs(1);

/// Requests that may wait for a slot unless the operator says otherwise. Each holds a connection and a head; its
/// body is not read yet.
pub const MAX_WAITING: u32 = 1024;

/// How long making an instance ahead of requests takes at most where requests have no limit.
pub const AHEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an application cannot be started although it was verified.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its imports or exports do not fit this launcher.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// One instance needs more memory than its manifest allows.
    #[error("the memory limit is less than the application starts with")]
    Memory {
        /// The application.
        app: String,
        /// What its largest memory starts with, in bytes.
        needs: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The system has no thread to spare for the epoch ticker, and without it no guest may run.
    #[error("no thread for the epoch ticker")]
    Ticker(#[source] std::io::Error),
}

impl From<StartError> for Report {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Link(error) => error.into(),
            StartError::Memory { app, needs, limit } => {
                Self::new(Exit::Incompatible, format!("cannot run `{app}`: its memory limit is too small"))
                    .because(format!("a memory of the payload starts with {needs} bytes"))
                    .because(format!("`limits.memory` is {limit} bytes"))
                    .hint("raise `memory` under `[limits]` in the recipe and compose again, and `--limit memory` if it is given")
            }
            StartError::Ticker(error) => Self::new(Exit::HostResource, "cannot start a thread")
                .because(error.to_string())
                .hint("raise the limit on processes: `ulimit -u`"),
        }
    }
}

/// An HTTP application that fits its manifest and this launcher. Nothing of it has run, and no thread was started.
pub struct LinkedApp {
    manifest: Manifest,
    engine: Engine,
    proxy: ProxyPre<Host>,
    queue: u32,
    lines: SourceLines,
}

/// An HTTP application, ready to answer.
pub struct App {
    manifest: Manifest,
    /// Its name, for what its instances print.
    name: Arc<str>,
    engine: Engine,
    pub(crate) proxy: ProxyPre<Host>,
    /// Before the ticker, which they need to their end.
    instances: Instances,
    ticker: Ticker,
    places: Places,
    reach: Reach,
    quota: Option<Arc<Quota>>,
    lines: SourceLines,
    /// The time of the next instance is to be told.
    tell_instance: AtomicBool,
}

impl LinkedApp {
    /// Links `component` as `manifest` says and prepares its instances. `engine` is what it was loaded with.
    ///
    /// # Errors
    ///
    /// When the component does not fit its manifest or this launcher. See [`StartError`].
    pub fn new(engine: Engine, component: &Component, manifest: Manifest) -> Result<Self, StartError> {
        check_memory(component, &manifest)?;
        let linker = linker::link(&engine, component, &manifest)?;
        let mismatch = |error: wasmtime::Error| linker::mismatch(&manifest, &error);
        let pre = linker.instantiate_pre(component).map_err(mismatch)?;
        let missing = |expected| LinkError::NoTrigger { app: manifest.app.name.clone(), expected };
        let proxy = match manifest.trigger {
            Trigger::Http02 => p2::bindings::ProxyPre::new(pre)
                .map(ProxyPre::P2)
                .map_err(|_| missing("wasi:http/incoming-handler@0.2"))?,
            Trigger::Http03 => p3::bindings::ServicePre::new(pre)
                .map(ProxyPre::P3)
                .map_err(|_| missing("wasi:http/handler@0.3"))?,
            Trigger::Command02 | Trigger::Command03 => {
                return Err(missing("wasi:http/handler@0.3").into());
            }
        };
        Ok(Self { manifest, engine, proxy, queue: MAX_WAITING, lines: SourceLines::default() })
    }

    /// Tells traps with the source lines of its artifact.
    pub fn with_lines(self, lines: SourceLines) -> Self {
        Self { lines, ..self }
    }

    /// Lets `most` requests wait for a slot.
    pub fn with_queue(mut self, most: u32) -> Self {
        self.queue = most;
        self
    }

    /// Starts the ticker, without which no guest may run. `reach` is of this application's manifest.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(self, reach: Reach) -> Result<App, StartError> {
        let places = Places::new(self.manifest.limits.concurrency, self.queue);
        let quota = Quota::of(&self.manifest.limits);
        self.start_with(places, reach, quota)
    }

    /// As [`start`](Self::start), in the place of `predecessor`, the same application on another engine: both
    /// reach the same and have the same source lines, and their requests share its `concurrency` and its `cpu-quota`.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn succeed(self, predecessor: &App) -> Result<App, StartError> {
        let this = self.with_lines(predecessor.lines.clone());
        this.start_with(predecessor.places.clone(), predecessor.reach.clone(), predecessor.quota.clone())
    }

    fn start_with(self, places: Places, reach: Reach, quota: Option<Arc<Quota>>) -> Result<App, StartError> {
        let Self { manifest, engine, proxy, lines, queue: _ } = self;
        let ticker = Ticker::start(&engine).map_err(StartError::Ticker)?;
        let instances = match &manifest.reuse {
            Reuse::None { warm: 0 } => Instances::Fresh,
            Reuse::None { warm } => Instances::Waiting(Idle::new(None, *warm)),
            Reuse::Serial { lifetime, warm } => Instances::Waiting(Idle::new(Some(*lifetime), *warm)),
            Reuse::Concurrent(limits) => Instances::Shared(Shared::new(limits.clone())),
        };
        let tell_instance = AtomicBool::new(false);
        let name = manifest.app.name.as_str().into();
        Ok(App {
            manifest,
            name,
            engine,
            proxy,
            ticker,
            places,
            instances,
            reach,
            quota,
            lines,
            tell_instance,
        })
    }
}

impl App {
    /// Decides whether a line of the log tells how long the first instance took to make.
    pub fn tell_first_instance(&mut self, tell: bool) {
        *self.tell_instance.get_mut() = tell;
    }

    /// An instance was made since `begin`.
    pub(crate) fn instance_made(&self, begin: Instant) {
        if self.tell_instance.load(Ordering::Relaxed) && self.tell_instance.swap(false, Ordering::Relaxed) {
            log::line!(Timing: "first instance {:.3} ms", begin.elapsed().as_secs_f64() * 1000.0);
        }
    }

    /// The signed description of the application.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the lines of its traps are found.
    pub(crate) fn lines(&self) -> &SourceLines {
        &self.lines
    }

    /// Makes the instances that its manifest wants ahead of requests, from now on. Must be called within a tokio
    /// runtime.
    pub fn warm_up(self: &Arc<Self>) {
        if let Some(idle) = self.idle() {
            idle.warm_up(self);
        }
    }

    /// An instance for a request that is still to come.
    pub(crate) async fn make_ahead(&self) -> Option<Instance> {
        // A guest may loop before it is asked anything.
        let _running = self.ticker.run();
        let longest = self.timeout().unwrap_or(AHEAD_TIMEOUT);
        let made = async {
            match self.quota() {
                None => Instance::new(self).await,
                Some(quota) => quota.meter(Instance::new(self)).await,
            }
        };
        timeout(longest, made).await.ok()?.ok()
    }

    /// Its instances that wait for a request, if any do.
    pub(crate) fn idle(&self) -> Option<&Idle> {
        match &self.instances {
            Instances::Waiting(idle) => Some(idle),
            Instances::Fresh | Instances::Shared(_) => None,
        }
    }

    /// Its instances that answer several requests at once, if they do.
    pub(crate) fn shared(&self) -> Option<&Shared> {
        match &self.instances {
            Instances::Shared(shared) => Some(shared),
            Instances::Fresh | Instances::Waiting(_) => None,
        }
    }

    /// What makes its guests yield.
    pub(crate) fn ticks(&self) -> Ticks {
        self.ticker.ticks()
    }

    /// What its guests may use of a processor, if that is limited.
    pub(crate) fn quota(&self) -> Option<Arc<Quota>> {
        self.quota.clone()
    }

    /// Whether its guests see scheme and authority of a request's target: those of 0.2 are told the scheme apart, and
    /// find the host among the fields.
    pub(crate) fn asks_for_target(&self) -> bool {
        matches!(self.proxy, ProxyPre::P3(_))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.manifest.limits
    }

    /// From a request's head to its response's head.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.limits().timeout_ms.map(Duration::from_millis)
    }

    /// The longest pause of a body.
    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.limits().body_timeout_ms)
    }

    /// A store for one request, every limit set, and what it prints.
    pub(crate) fn store(&self) -> (Store<Host>, Arc<Output>) {
        let mut wasi = WasiCtx::builder();
        let output = Output::new(Arc::clone(&self.name));
        wasi.stdout(output.stream(Stream::Stdout)).stderr(output.stream(Stream::Stderr));
        (self.reach.store(&mut wasi, &[], &self.manifest, &self.engine), output)
    }

    /// Waits for the right to have a store; `None` when too many wait already, or none became free soon.
    pub(crate) async fn admit(&self) -> Option<Slot> {
        let permit = self.places.take(queue_wait(self.timeout())).await?;
        Some(Slot { _running: self.ticker.run(), _permit: permit })
    }
}

/// The instances that there are before a request or after it.
enum Instances {
    /// None.
    Fresh,
    /// Those that wait for a request, which they answer one at a time.
    Waiting(Idle),
    /// They answer several at once.
    Shared(Shared),
}

/// The places for the requests of an application: those that run, and those that wait to.
#[derive(Clone)]
struct Places {
    slots: Arc<Semaphore>,
    waiting: Arc<AtomicU32>,
    queue: u32,
}

impl Places {
    fn new(concurrency: u32, queue: u32) -> Self {
        Self { slots: Arc::new(Semaphore::new(concurrency as usize)), waiting: Arc::default(), queue }
    }

    async fn take(&self, longest: Duration) -> Option<OwnedSemaphorePermit> {
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let _waiting = Waiting::enter(&self.waiting, self.queue)?;
                timeout(longest, Arc::clone(&self.slots).acquire_owned()).await.ok()?.ok()
            }
        }
    }
}

/// A request that may take less than [`QUEUE_WAIT`] altogether does not wait longer than that either.
fn queue_wait(timeout: Option<Duration>) -> Duration {
    timeout.map_or(QUEUE_WAIT, |timeout| timeout.min(QUEUE_WAIT))
}

/// The right to have one store, and the epoch that makes it yield. Dropped after the store.
pub(crate) struct Slot {
    _running: Running,
    _permit: OwnedSemaphorePermit,
}

/// A place in the queue of waiting requests, given back when the wait ends in any way.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicU32, most: u32) -> Option<Self> {
        let place = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Refuses at the start what would fail at every request.
pub(crate) fn check_memory(component: &Component, manifest: &Manifest) -> Result<(), StartError> {
    /// A page of WebAssembly. Custom page sizes are off.
    const PAGE: u64 = 65_536;
    let pages = component.resources_required().and_then(|needs| needs.max_initial_memory_size).unwrap_or(0);
    let needs = pages.saturating_mul(PAGE);
    if needs <= manifest.limits.memory {
        return Ok(());
    }
    Err(StartError::Memory { app: manifest.app.name.clone(), needs, limit: manifest.limits.memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_wait() {
        let count = AtomicU32::new(0);
        let first = Waiting::enter(&count, 1).expect("there is a place");
        assert!(Waiting::enter(&count, 1).is_none());
        drop(first);
        assert!(Waiting::enter(&count, 1).is_some(), "a refusal takes no place");
    }

    #[test]
    fn nobody_waits_longer_for_a_slot_than_for_an_answer() {
        let short = Duration::from_millis(100);
        assert_eq!(queue_wait(Some(short)), short);
        assert_eq!(queue_wait(Some(Duration::from_secs(30))), QUEUE_WAIT);
        assert_eq!(queue_wait(None), QUEUE_WAIT);
    }
}
