//! Instances that answer several requests at once (WASI 0.3).
//!
//! Owns who runs where. An instance has a task of its own, in which all its requests run; a request waits there
//! for its turn and here, in its exchange, for its end.
//!
//! Invariants: a request that was given up (its time is over, its client left) takes its instance out of use, because a
//! call cannot be ended alone: the other requests there finish, new ones go elsewhere. What fails in an instance ends the
//! requests that had begun in it, but for those that may begin again (see `again`); those that had not begun begin
//! elsewhere. A request holds its place in `concurrency` until its instance has really let go of it.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, sleep_until};
use wadoo_host::Host;
use wadoo_signing::manifest::Concurrent;
use wasmtime::AsContextMut as _;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::handler::{Prepared, Proxy};

use crate::again::{Again, Left};
use crate::app::{App, Slot};
use crate::guest::{self, Call, Failure, Guest};
use crate::instances::Instance;
use crate::server::Alive;

/// Instances that a request is given to before it counts as failed. Several failing before it began are no accident.
const MAX_TRIES: u32 = 3;

/// How long a request waits for its turn in an instance before it is given to another: a guest that computes, or
/// spins, keeps everything else in its instance waiting.
const BEGIN_WITHIN: Duration = Duration::from_millis(10);

/// The shared instances of one application.
pub(crate) struct Shared {
    limits: Concurrent,
    instances: Mutex<Vec<Arc<Place>>>,
}

/// One shared instance, as requests see it.
struct Place {
    /// The thread that it runs on. It takes the requests of that thread, unless there is no room for another: one
    /// instance does not keep two processors busy, and a request that changes threads pays for it.
    thread: ThreadId,
    jobs: mpsc::UnboundedSender<Job>,
    state: Mutex<State>,
    /// The state changed in a way that may end the instance.
    changed: Notify,
    /// A request waited too long for its turn, and the instance has not taken one since.
    stuck: AtomicBool,
    /// Why the instance ended, once it has.
    over: watch::Sender<Option<End>>,
}

/// Why an instance ended.
#[derive(Clone)]
struct End {
    failure: Failure,
    /// There was none: the pool or the system had no room for it.
    no_room: bool,
}

struct State {
    /// Requests that somebody waits for.
    running: u32,
    /// Requests that it was ever given.
    served: u32,
    /// No further request is given to it.
    retired: bool,
    /// When the last request ended.
    idle_since: Instant,
}

impl State {
    fn has_room(&self, limits: &Concurrent) -> bool {
        !self.retired && self.running < limits.at_once
    }

    /// Counts one more request. The instance may have been retired since it was chosen, on another thread.
    fn enter(&mut self, limits: &Concurrent) {
        self.running += 1;
        self.served += 1;
        self.retired |= self.served >= limits.lifetime.requests;
    }
}

/// A request on its way into an instance: the instance takes what is in it, or its exchange takes it back.
#[derive(Clone)]
struct Job(Arc<Mutex<Option<Begin>>>);

/// What a request begins with.
struct Begin {
    call: Call,
    held: (Slot, Alive),
    done: oneshot::Sender<Result<(), Left>>,
}

/// Tells how a request that had begun ended: its instance failed with it, or not.
type Done = oneshot::Receiver<Result<(), Left>>;

/// Why a request has no end.
struct Failed {
    error: wasmtime::Error,
    /// It had begun, in an instance that others had used as well.
    left: Option<Left>,
}

impl Job {
    fn take(&self) -> Option<Begin> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Shared {
    pub(crate) fn new(limits: Concurrent) -> Self {
        Self { limits, instances: Mutex::default() }
    }

    /// Runs one request in an instance that has room, or in a new one; and once more, alone, if that instance failed
    /// and the request may begin again.
    pub(crate) fn start(app: Arc<App>, slot: Slot, alive: Alive, mut call: Call) -> Guest {
        Box::pin(async move {
            let again = Again::of(&mut call);
            let first = Self::run(&app, call, (slot, alive));
            let Some(mut again) = again else { return first.await.map_err(|failed| failed.error) };
            let Err(Failed { error, left }) = again.first(first).await else { return Ok(()) };
            let again = left.and_then(|left| again.call(&app, left, &error));
            let (Some((call, held)), Some(shared)) = (again, app.shared()) else { return Err(error) };
            let Some((stay, mut done)) = shared.enter_alone(&app, call, held) else { return Err(error) };
            tokio::select! {
                biased;
                done = &mut done => stay.end(done).await.map_err(|failed| failed.error),
                // There was no room for the instance.
                error = stay.place.failure() => Err(error),
            }
        })
    }

    /// Runs a request in one instance after the other, until it has begun in one.
    async fn run(app: &Arc<App>, call: Call, held: (Slot, Alive)) -> Result<(), Failed> {
        let mut next = Some((call, held));
        let mut failure = None;
        for left in (0..MAX_TRIES).rev() {
            let (Some((call, held)), Some(shared)) = (next.take(), app.shared()) else { break };
            let (stay, mut done) = shared.enter(app, call, held);
            let taken_back = tokio::select! {
                biased;
                done = &mut done => return stay.end(done).await,
                error = stay.place.failure() => {
                    failure = Some(error);
                    stay.job.take()
                }
                () = sleep(BEGIN_WITHIN), if left > 0 => {
                    stay.job.take().inspect(|_| stay.place.keep_away())
                }
            };
            match taken_back {
                Some(Begin { call, held, .. }) => {
                    stay.leave();
                    next = Some((call, held));
                }
                // It had begun: it ends here, however long that takes.
                None => return stay.end(done.await).await,
            }
        }
        let error = failure.unwrap_or_else(|| wasmtime::Error::msg("no instance took it"));
        Err(Failed { error, left: None })
    }

    /// Gives a request to the first instance with room. First and not emptiest: others then stay idle and can end.
    fn enter(&self, app: &Arc<App>, call: Call, held: (Slot, Alive)) -> (Stay, Done) {
        let mut instances = self.living();
        let here = thread::current().id();
        let has_room = |place: &&Arc<Place>| place.state().has_room(&self.limits);
        // Where there are as many as the pool has room for, one of another thread or one that is busy does as well.
        let full = instances.len() >= app.limits().concurrency as usize;
        let anywhere =
            || instances.iter().filter(has_room).min_by_key(|place| place.is_stuck()).filter(|_| full);
        let handy = |place: &&Arc<Place>| place.thread == here && !place.is_stuck() && has_room(place);
        let found = instances.iter().find(handy).or_else(anywhere);
        let place = match found {
            Some(place) => Arc::clone(place),
            None => {
                let place = self.open(app);
                instances.push(Arc::clone(&place));
                place
            }
        };
        place.state().enter(&self.limits);
        Stay::begin(place, call, held)
    }

    /// Gives a request to a new instance that no other enters. `None` where the pool has no room for one.
    fn enter_alone(&self, app: &Arc<App>, call: Call, held: (Slot, Alive)) -> Option<(Stay, Done)> {
        let mut instances = self.living();
        if instances.len() >= app.limits().concurrency as usize {
            return None;
        }
        let place = self.open(app);
        instances.push(Arc::clone(&place));
        *place.state() = State { running: 1, served: 1, retired: true, idle_since: Instant::now() };
        Some(Stay::begin(place, call, held))
    }

    /// The instances that have not ended.
    fn living(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.retain(|place| !place.is_over());
        instances
    }

    /// A new instance, in a task of its own.
    fn open(&self, app: &Arc<App>) -> Arc<Place> {
        let (jobs, mut given) = mpsc::unbounded_channel();
        let state = State { running: 0, served: 0, retired: false, idle_since: Instant::now() };
        let over = watch::Sender::new(None);
        let place = Arc::new(Place {
            thread: thread::current().id(),
            jobs,
            state: Mutex::new(state),
            changed: Notify::new(),
            stuck: AtomicBool::new(false),
            over,
        });
        let (idle, app, task) =
            (Duration::from_millis(self.limits.lifetime.idle_ms), Arc::clone(app), Arc::clone(&place));
        let (quota, ticks) = (app.quota(), app.ticks());
        let life = async move {
            let made = Instance::new(&app).await;
            // An application that was replaced must not live as long as its instances.
            drop(app);
            let end = match made {
                Ok(instance) => task.run(instance, &mut given, idle).await,
                Err(error) => Err(error),
            };
            task.state().retired = true;
            let ended = Failure::nowhere("its instance was ended");
            let end = match end {
                Ok(()) => End { failure: ended, no_room: false },
                Err(error) => End { failure: Failure::of(&error), no_room: guest::no_room(&error) },
            };
            task.over.send_replace(Some(end));
        };
        // What a guest left to do may run when there is no request, and with it no slot that makes it yield.
        let life = ticks.during(life);
        match quota {
            None => tokio::spawn(life),
            Some(quota) => tokio::spawn(quota.meter(life)),
        };
        place
    }
}

impl Drop for Shared {
    /// The application was replaced: its instances end with their last requests.
    fn drop(&mut self) {
        for place in self.instances.get_mut().unwrap_or_else(PoisonError::into_inner) {
            place.state().retired = true;
            place.changed.notify_one();
        }
    }
}

impl Place {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs requests in `instance` until it fails, or is out of use and empty, or idle for too long.
    async fn run(
        &self,
        mut instance: Instance,
        jobs: &mut mpsc::UnboundedReceiver<Job>,
        idle: Duration,
    ) -> wasmtime::Result<()> {
        let Instance { store, proxy, output, .. } = &mut instance;
        let Proxy::P3(service) = &*proxy else {
            return Err(wasmtime::Error::msg("WASI 0.2 takes one at a time"));
        };
        let handler = *service.wasi_http_handler().func_handle().func();
        // Whether the instance has done what it could do without waiting since it took a request. Taking the next one
        // only then keeps requests that were answered, and have something left to do, from piling up behind new ones.
        let settled = AtomicBool::new(true);
        let mut run = pin!(store.run_concurrent(async |accessor: &Accessor<Host>| {
            let mut running = FuturesUnordered::new();
            loop {
                let next = poll_fn(|context| {
                    self.stuck.store(false, Ordering::Relaxed);
                    ready!(accessor.poll_ready_for_concurrent_call(handler, context));
                    if !settled.load(Ordering::Relaxed) {
                        return Poll::Pending;
                    }
                    let job = ready!(jobs.poll_recv(context));
                    settled.store(false, Ordering::Relaxed);
                    // Nothing is left of any other request, so that what is printed is this one's, until the next.
                    let alone = accessor.poll_no_interesting_tasks(context).is_ready();
                    Poll::Ready(job.map(|job| (job, alone)))
                });
                tokio::select! {
                    Some(result) = running.next(), if !running.is_empty() => {
                        result?;
                        if running.is_empty() {
                            output.end();
                        }
                    }
                    Some((job, alone)) = next => running.extend(job.take().map(|begin| {
                        output.belongs_to(alone.then_some(begin.call.id));
                        handle(accessor, proxy, begin)
                    })),
                }
            }
        }));
        let run = poll_fn(|context| match run.as_mut().poll(context) {
            Poll::Pending if !settled.swap(true, Ordering::Relaxed) => run.as_mut().poll(context),
            poll => poll,
        });
        tokio::select! {
            biased;
            // Beside the instance and not in it: a guest that spins keeps everything in its store waiting. First, because
            // what is left of an application that was replaced has nothing any more that makes it yield.
            () = self.ended(idle) => Ok(()),
            result = run => result?,
        }
    }

    /// Resolves when nobody waits for a request in it and none will come, or none came for `idle`.
    async fn ended(&self, idle: Duration) {
        loop {
            let deadline = {
                let state = self.state();
                match (state.running, state.retired) {
                    (0, true) => return,
                    (0, false) => state.idle_since.checked_add(idle),
                    _ => None,
                }
            };
            let over = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = over => {
                    let mut state = self.state();
                    // A request may have come in the meantime.
                    state.retired = state.retired || state.running == 0;
                }
            }
        }
    }

    /// Why the instance ended; waits until it has.
    async fn failure(&self) -> wasmtime::Error {
        let mut over = self.over.subscribe();
        match over.wait_for(Option::is_some).await.ok().and_then(|end| end.clone()) {
            Some(End { failure, no_room: true }) => {
                io::Error::new(io::ErrorKind::OutOfMemory, failure).into()
            }
            Some(End { failure, no_room: false }) => failure.into(),
            None => wasmtime::Error::msg("its instance is gone"),
        }
    }

    /// Nothing is left of it.
    fn is_over(&self) -> bool {
        self.over.borrow().is_some()
    }

    /// Requests go elsewhere until it takes one again.
    fn keep_away(&self) {
        self.stuck.store(true, Ordering::Relaxed);
    }

    fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }
}

/// A request's stay in an instance. Dropped before it is over, it takes the instance out of use.
struct Stay {
    place: Arc<Place>,
    job: Job,
    /// Nothing of the request is left in the instance.
    whole: bool,
}

impl Stay {
    /// Gives the request to an instance that counts it already.
    fn begin(place: Arc<Place>, call: Call, held: (Slot, Alive)) -> (Self, Done) {
        let (done, is_done) = oneshot::channel();
        let job = Job(Arc::new(Mutex::new(Some(Begin { call, held, done }))));
        // Its receiver lives as long as the instance, whose end every stay looks for.
        let _ = place.jobs.send(job.clone());
        (Self { place, job, whole: false }, is_done)
    }

    /// The request had begun and is over: it is `done`, or the instance failed with it.
    async fn end(mut self, done: Result<Result<(), Left>, oneshot::Canceled>) -> Result<(), Failed> {
        let left = match done {
            Ok(Ok(())) => {
                self.whole = true;
                return Ok(());
            }
            Ok(Err(left)) => Some(left),
            Err(oneshot::Canceled) => None,
        };
        let error = self.place.failure().await;
        let shared = self.place.state().served > 1;
        Err(Failed { error, left: left.filter(|_| shared) })
    }

    /// The request has not begun here.
    fn leave(mut self) {
        self.whole = true;
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let whole = self.whole || self.job.take().is_some();
        let mut state = self.place.state();
        state.running -= 1;
        state.idle_since = Instant::now();
        state.retired = state.retired || !whole;
        if state.running == 0 {
            self.place.changed.notify_one();
        }
    }
}

/// One request in an instance, from its head to the end of its body.
async fn handle(accessor: &Accessor<Host>, proxy: &Proxy, begin: Begin) -> wasmtime::Result<()> {
    let Begin { call: Call { id: _, request, answer, body_ended, failed }, held, done } = begin;
    let mut unfinished = Unfinished(Some((done, Left { held, body_ended, failed })));
    let prepared = accessor
        .with(|mut access| Prepared::new(access.as_context_mut(), proxy, request, Host::http_03, answer))?;
    prepared.run(accessor, pending()).await?;
    unfinished.finish().await;
    Ok(())
}

/// A request that has begun. Dropped before its end it says so, because a body whose store is gone looks finished, and
/// gives back what is left.
struct Unfinished(Option<(oneshot::Sender<Result<(), Left>>, Left)>);

impl Unfinished {
    /// Waits until nobody wants more of the response's body.
    async fn finish(&mut self) {
        if let Some((_, left)) = &mut self.0 {
            let _ = (&mut left.body_ended).await;
        }
        if let Some((done, left)) = self.0.take() {
            drop(left);
            let _ = done.send(Ok(()));
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some((done, left)) = self.0.take() {
            left.failed.store(true, Ordering::Release);
            // Nobody waits for it any more when its client is gone.
            let _ = done.send(Err(left));
        }
    }
}

#[cfg(test)]
mod tests {
    use wadoo_signing::manifest::Lifetime;

    use super::*;

    #[test]
    fn an_instance_takes_its_requests_and_no_more_and_stays_retired() {
        let limits = Concurrent { at_once: 2, lifetime: Lifetime { requests: 3, idle_ms: 1000 } };
        let mut state = State { running: 0, served: 0, retired: false, idle_since: Instant::now() };
        state.enter(&limits);
        assert!(state.has_room(&limits));
        state.enter(&limits);
        assert!(!state.has_room(&limits), "two at once");
        state.running = 0;
        assert!(state.has_room(&limits));
        state.enter(&limits);
        assert!(state.retired && !state.has_room(&limits), "the third is the last");

        // One of its requests was given up after another had chosen it.
        let mut state = State { running: 1, served: 1, retired: true, idle_since: Instant::now() };
        state.enter(&limits);
        assert!(state.retired && !state.has_room(&limits));
    }
}
