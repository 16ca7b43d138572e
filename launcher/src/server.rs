//! The server: listening sockets, the application behind them, and how all of them end.
//!
//! Owns accepting, the switch from one application to the next, and the drain. Deliberately absent: protocols (see
//! `connection`) and the threads that connections are served on (see `workers`).
//!
//! Invariants: a request runs on the application that was current when its head came, to its end; after
//! the drain began no connection is accepted, and no request later than HTTP/2 needs to tell its client; the drain
//! ends in a bounded time.

use std::convert::Infallible;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::clients::Clients;
use crate::connection::Common;
use crate::limits::{ConnectionLimits, MAX_CONNECTIONS};
use crate::listen::Listener;
use crate::log;
use crate::socket::Socket;
use crate::tls::Tls;
use crate::workers::{Visit, Workers};

/// How long a drain takes at most unless it is told otherwise.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// Pause after a failed accept: out of file descriptors or memory, and trying at once would not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Descriptors that connections leave to everything else: the log, the artifact, what guests open.
const KEPT_DESCRIPTORS: u64 = 128;

/// What a thread beside the first needs.
const THREAD_DESCRIPTORS: u64 = 4;

/// What the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Requests are accepted.
    Serving,
    /// No request is accepted; running ones finish.
    Draining,
    /// What still runs is dropped.
    Stopped,
}

/// A runtime for one thread of a server. It has no other until a guest works with files.
///
/// # Errors
///
/// When the system gives no file descriptors.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Follows this process's signals: the first SIGTERM or SIGINT drains, the second stops.
///
/// # Errors
///
/// When the signals cannot be watched. Must be called within a tokio runtime.
pub fn signals() -> io::Result<watch::Receiver<Phase>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(Phase::Serving);
    tokio::spawn(async move {
        for phase in [Phase::Draining, Phase::Stopped] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if phase == Phase::Draining {
                log::line!(Draining: "draining; a second signal stops at once");
            }
            sender.send_replace(phase);
        }
        // The receiver takes a lost sender for a stop, and it is one.
    });
    Ok(receiver)
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request finished.
    Clean,
    /// So many requests and connections did not, and were dropped.
    Cut(usize),
}

/// Held by everything that a drain waits for.
#[derive(Clone)]
pub(crate) struct Alive {
    _sender: mpsc::Sender<Infallible>,
}

/// Changes the application behind a running server.
#[derive(Clone)]
pub struct Switch {
    current: Arc<RwLock<Arc<App>>>,
}

impl Switch {
    fn new(app: App) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(app))) }
    }

    /// The application that answers the next request.
    pub fn current(&self) -> Arc<App> {
        // Nothing panics while it holds the lock; if it did, the value would still be whole.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets `app` answer from the next request on, and returns its predecessor, on which running requests
    /// finish.
    pub fn swap(&self, app: App) -> Arc<App> {
        let app = Arc::new(app);
        std::mem::replace(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), app)
    }
}

/// A socket that a server accepts connections on.
pub struct Door {
    /// The socket.
    pub listener: Listener,
    /// What its clients are answered with, if that is TLS.
    pub tls: Option<Arc<Tls>>,
}

impl From<Listener> for Door {
    fn from(listener: Listener) -> Self {
        Self { listener, tls: None }
    }
}

/// An application behind listening sockets.
pub struct Server {
    doors: Vec<Door>,
    switch: Switch,
    limits: ConnectionLimits,
    drain: Duration,
    threads: Option<NonZeroUsize>,
    log_rate: u64,
}

impl Server {
    /// Puts `app` behind `doors`. `drain` is how long running requests may take to finish at the end. As many
    /// threads serve it as there are processors, unless [`with_threads`](Self::with_threads) says otherwise.
    pub fn new(doors: Vec<Door>, app: App, limits: ConnectionLimits, drain: Duration) -> Self {
        Self { doors, switch: Switch::new(app), limits, drain, threads: None, log_rate: log::LOG_RATE }
    }

    /// Serves on at most `threads` threads, the one that [`run`](Self::run) is called on included.
    pub fn with_threads(self, threads: Option<NonZeroUsize>) -> Self {
        Self { threads, ..self }
    }

    /// Lets clients and guests cause so many bytes a second of the log each, instead of [`log::LOG_RATE`].
    pub fn with_log_rate(self, log_rate: u64) -> Self {
        Self { log_rate, ..self }
    }

    /// The means to change the application while the server runs.
    pub fn switch(&self) -> Switch {
        self.switch.clone()
    }

    /// Serves until `phase` says otherwise, then drains. Ends when all requests are finished, the drain took
    /// too long, or `phase` became [`Phase::Stopped`] (or lost its sender).
    ///
    /// What is logged and printed from here on is written by a thread of its own; see [`log::flush`].
    pub async fn run(self, mut phase: watch::Receiver<Phase>) -> Drained {
        let Self { doors, switch, mut limits, drain, threads, log_rate } = self;
        log::detach(log_rate);
        fit_descriptors(&mut limits, threads);
        let (sender, mut finished) = mpsc::channel::<Infallible>(1);
        let alive = Alive { _sender: sender };
        // Connections follow a phase of their own: it ends with this function, in whatever way that is.
        let (connections, connection_phase) = watch::channel(Phase::Serving);
        let clients = Clients::new(&limits);
        let workers = Workers::new(threads);
        let common = Common { switch, alive, phase: connection_phase, limits: Arc::new(limits) };
        let running = common.alive._sender.downgrade();

        tokio::select! {
            _ = join_all(doors.iter().map(|door| accept(door, &clients, &workers, &common))) => {}
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
        }
        drop((doors, workers));
        connections.send_replace(Phase::Draining);

        drop(common);
        let clean = tokio::select! {
            // Nothing is ever sent: this is the moment when the last sender is gone.
            _ = timeout(drain, finished.recv()) => running.strong_count() == 0,
            _ = phase.wait_for(|phase| *phase == Phase::Stopped) => running.strong_count() == 0,
        };
        let left = running.strong_count();
        connections.send_replace(Phase::Stopped);
        if clean { Drained::Clean } else { Drained::Cut(left) }
    }
}

/// Allows as many descriptors as can be, and no more connections than those are enough for.
fn fit_descriptors(limits: &mut ConnectionLimits, threads: Option<NonZeroUsize>) {
    let Some(descriptors) = raise_descriptors() else { return };
    // At least as many as there will be, and sooner known: what a cgroup allows stands in files.
    let processors = || rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize);
    let others = threads.map_or_else(processors, NonZeroUsize::get).saturating_sub(1) as u64;
    // Where there are few, half of them.
    let kept = (KEPT_DESCRIPTORS + others * THREAD_DESCRIPTORS).min(descriptors / 2);
    let room = u32::try_from(descriptors - kept).unwrap_or(u32::MAX).max(1);
    if room < limits.connections {
        if limits.connections != MAX_CONNECTIONS {
            log::line!(
                Connections: "limit `connections` is {room} and not {}: there are {descriptors} descriptors (`ulimit -Hn`)",
                limits.connections
            );
        }
        limits.connections = room;
    }
}

/// The number of descriptors that this process may have from now on; `None` if there is no limit.
fn raise_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit.current == limit.maximum || setrlimit(Resource::Nofile, raised).is_ok() {
        return limit.maximum;
    }
    limit.current
}

/// Accepts connections for ever.
async fn accept(door: &Door, clients: &Arc<Clients>, workers: &Workers, common: &Common) {
    loop {
        let socket = next(&door.listener, clients).await;
        // In this order: a door that nobody comes to must not keep a place.
        let permit = clients.room().await;
        // Closing it is all the answer there is: a client that has too many connections has one that is busy.
        let Ok(seated) = clients.seat(socket.peer(), permit) else { continue };
        workers.serve(socket, Visit { tls: door.tls.clone(), seated, common: common.clone() });
    }
}

async fn next(listener: &Listener, clients: &Clients) -> Socket {
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok(socket) => return socket,
            // The client was gone before it was its turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !told {
                    log::line!(Accept: "cannot accept connections: {error}");
                    told = true;
                }
                // Idle connections hold what is missing.
                clients.make_room(1, "descriptors");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
