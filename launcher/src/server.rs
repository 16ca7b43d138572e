//! The server: a listening socket, the application behind it, and how both end.
//!
//! Owns accepting, the switch from one application to the next, and the drain. Deliberately absent: TLS and
//! HTTP/2 towards clients, and more than one thread; both belong to later steps.
//!
//! Invariants: a request runs on the application that was current when its head came, to its end; after
//! the drain began no request is accepted; the drain ends in a bounded time.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use wadoo_signing::report::{Exit, Report};

use crate::app::App;
use crate::connection;
use crate::log;

/// Connections that are open at a time; further ones wait in the listen queue.
pub const MAX_CONNECTIONS: usize = 8192;

/// Length of the queue of connections that are not accepted yet.
pub const LISTEN_QUEUE: i32 = 1024;

/// Where the launcher listens unless it is told otherwise: this machine only.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";

/// How long a drain takes at most unless it is told otherwise.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// Pause after a failed accept: out of file descriptors or memory, and trying at once would not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the server cannot listen.
#[derive(Debug, Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

impl BindError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let free = SocketAddr::new(self.address.ip(), 0);
        match self.source.kind() {
            io::ErrorKind::AddrInUse => Some(format!(
                "stop what listens there (`ss -ltnp 'sport = :{}'` names it), or choose another port: `--addr {free}` \
                 takes a free one",
                self.address.port()
            )),
            io::ErrorKind::PermissionDenied => {
                Some("choose a port above 1023: `--addr 127.0.0.1:8080`".to_owned())
            }
            io::ErrorKind::AddrNotAvailable => {
                Some("choose an address of this machine: `ip -brief address` lists them".to_owned())
            }
            _ => None,
        }
    }
}

impl From<BindError> for Report {
    fn from(error: BindError) -> Self {
        let because = match error.source.kind() {
            io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
            io::ErrorKind::PermissionDenied => "this user may not use that port".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => error.source.to_string(),
        };
        let mut report =
            Self::new(Exit::HostResource, format!("cannot listen on `{}`", error.address)).because(because);
        report.hint = error.hint();
        report
    }
}

/// An address that is taken but not listened on yet: nobody can connect before there is an answer.
pub struct Bound {
    socket: std::os::fd::OwnedFd,
    address: SocketAddr,
}

impl Bound {
    /// Takes `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// When the address is in use, not allowed, or not of this machine.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source: io::Error| BindError { address, source };
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let bind = || -> io::Result<Self> {
            let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
            // Connections of a server that just ended do not keep the next one from the address.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            rustix::net::bind(&socket, &address)?;
            let bound = rustix::net::getsockname(&socket)?;
            let address = SocketAddr::try_from(bound)?;
            Ok(Self { socket, address })
        };
        bind().map_err(failed)
    }

    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to listen: from here on clients are heard.
    ///
    /// # Errors
    ///
    /// When the system refuses. Must be called within a tokio runtime.
    pub fn listen(self) -> Result<Listener, BindError> {
        let address = self.address;
        let listen = || -> io::Result<TcpListener> {
            rustix::net::listen(&self.socket, LISTEN_QUEUE)?;
            TcpListener::from_std(self.socket.into())
        };
        match listen() {
            Ok(listener) => Ok(Listener { listener, address }),
            Err(source) => Err(BindError { address, source }),
        }
    }
}

/// A listening socket.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

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

/// A runtime for a server: one thread, and none of its own besides until somebody looks up a name.
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
                log::line!("draining; a second signal stops at once");
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

/// An application behind a listening socket.
pub struct Server {
    listener: Listener,
    switch: Switch,
    drain: Duration,
}

impl Server {
    /// Puts `app` behind `listener`. `drain` is how long running requests may take to finish at the end.
    pub fn new(listener: Listener, app: App, drain: Duration) -> Self {
        Self { listener, switch: Switch::new(app), drain }
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
        log::detach();
        let (sender, mut finished) = mpsc::channel::<Infallible>(1);
        let alive = Alive { _sender: sender };
        // Connections follow a phase of their own: it ends with this function, in whatever way that is.
        let (connections, connection_phase) = watch::channel(Phase::Serving);

        tokio::select! {
            () = accept(&self.listener.listener, &self.switch, &alive, &connection_phase) => {}
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
        }
        drop(self.listener);
        connections.send_replace(Phase::Draining);

        let running = alive._sender.downgrade();
        drop(alive);
        let clean = tokio::select! {
            // Nothing is ever sent: this is the moment when the last sender is gone.
            _ = timeout(self.drain, finished.recv()) => running.strong_count() == 0,
            _ = phase.wait_for(|phase| *phase == Phase::Stopped) => running.strong_count() == 0,
        };
        let left = running.strong_count();
        connections.send_replace(Phase::Stopped);
        if clean { Drained::Clean } else { Drained::Cut(left) }
    }
}

/// Accepts connections for ever.
async fn accept(listener: &TcpListener, switch: &Switch, alive: &Alive, phase: &watch::Receiver<Phase>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = next(listener).await;
        let (switch, alive, phase) = (switch.clone(), alive.clone(), phase.clone());
        tokio::spawn(async move {
            connection::serve(stream, switch, alive, phase).await;
            drop(permit);
        });
    }
}

async fn next(listener: &TcpListener) -> TcpStream {
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it the last part of an answer waits for the acknowledgement of the part before.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // The client was gone before it was its turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !told {
                    log::line!("cannot accept connections: {error}");
                    told = true;
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
