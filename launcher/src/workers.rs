//! The threads that connections are served on.
//!
//! Owns which connection goes where. The server's own thread is the first; another one is started when a connection
//! comes and all that there are have one already, up to the number that the operator or the machine allows. So a
//! start, and a server with one client, have no thread that they do not need. Each thread has a runtime of its own,
//! and a connection stays where it was put, with its requests.
//!
//! Invariant: a connection goes to a thread that has the fewest.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::clients::Seated;
use crate::connection::{self, Common};
use crate::log;
use crate::server::{self, Phase};
use crate::socket::{Moving, Socket};
use crate::tls::Tls;

/// Threads that an operator can ask for.
pub const MAX_THREADS: usize = 1024;

/// What a connection that was accepted is served with.
pub(crate) struct Visit {
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) seated: Seated,
    pub(crate) common: Common,
}

/// The threads of one server, its own the first.
pub(crate) struct Workers {
    threads: Mutex<Threads>,
}

struct Threads {
    list: Vec<Worker>,
    /// How many there may be. Unless the operator says so it is the number of processors, which is asked for when it
    /// matters first.
    most: Option<NonZeroUsize>,
}

/// One thread.
struct Worker {
    connections: Arc<AtomicUsize>,
    /// Where its connections are given to it; `None`: it is the one that accepts them.
    visits: Option<mpsc::UnboundedSender<(Moving, Visit, Share)>>,
}

impl Workers {
    pub(crate) fn new(most: Option<NonZeroUsize>) -> Self {
        let list = vec![Worker { connections: Arc::default(), visits: None }];
        Self { threads: Mutex::new(Threads { list, most }) }
    }

    /// Serves `socket` on the thread with the fewest connections. Must be called on the server's own.
    pub(crate) fn serve(&self, socket: Socket, visit: Visit) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.list.iter().all(Worker::is_busy) && threads.may_grow() {
            threads.grow(&visit.common.phase);
        }
        // There is always one.
        if let Some(worker) = threads.list.iter().min_by_key(|worker| worker.connections()) {
            worker.serve(socket, visit);
        }
    }
}

impl Threads {
    fn may_grow(&mut self) -> bool {
        let processors = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.list.len() < self.most.get_or_insert_with(processors).get()
    }

    /// Starts one more. Where the system has none to give, those that there are must do.
    fn grow(&mut self, phase: &watch::Receiver<Phase>) {
        match Worker::start(self.list.len(), phase.clone()) {
            Ok(worker) => self.list.push(worker),
            Err(error) => {
                self.most = NonZeroUsize::new(self.list.len());
                log::line!("no further thread can be had, {} must do: {error}", self.list.len());
            }
        }
    }
}

impl Worker {
    fn start(number: usize, phase: watch::Receiver<Phase>) -> io::Result<Self> {
        let runtime = server::runtime()?;
        let (visits, arriving) = mpsc::unbounded_channel();
        // Given to the thread only when there is one: a runtime must not be dropped within another.
        let (give, given) = std::sync::mpsc::channel();
        let run = move || {
            if let Ok(runtime) = given.recv() {
                run(runtime, arriving, phase);
            }
        };
        if let Err(error) = thread::Builder::new().name(format!("worker-{number}")).spawn(run) {
            runtime.shutdown_background();
            return Err(error);
        }
        // The thread waits for it.
        let _ = give.send(runtime);
        Ok(Self { connections: Arc::default(), visits: Some(visits) })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn is_busy(&self) -> bool {
        self.connections() > 0
    }

    fn serve(&self, socket: Socket, visit: Visit) {
        let share = Share::of(&self.connections);
        match &self.visits {
            // Its thread ends after the server, which is what calls this. A socket that cannot be moved is closed.
            Some(visits) => drop(socket.leave().map(|moving| visits.send((moving, visit, share)))),
            None => drop(tokio::spawn(serve(socket, visit, share))),
        }
    }
}

/// Serves a connection to its end.
async fn serve(socket: Socket, visit: Visit, _share: Share) {
    let Visit { tls, seated, common } = visit;
    connection::serve(socket, tls, seated, common).await;
}

/// Serves what arrives until the server stops.
fn run(
    runtime: Runtime,
    mut arriving: mpsc::UnboundedReceiver<(Moving, Visit, Share)>,
    mut phase: watch::Receiver<Phase>,
) {
    runtime.block_on(async {
        while let Some((moving, visit, share)) = arriving.recv().await {
            // Without a descriptor to watch it by nobody can be told: it is closed.
            if let Ok(socket) = moving.arrive() {
                tokio::spawn(serve(socket, visit, share));
            }
        }
        // Nothing more arrives: what is there may finish. A lost sender is a stop as well.
        let _ = phase.wait_for(|phase| *phase == Phase::Stopped).await;
    });
    runtime.shutdown_background();
}

/// A connection's share in the load of its thread.
struct Share(Arc<AtomicUsize>);

impl Share {
    fn of(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
