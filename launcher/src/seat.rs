//! What one connection is doing, as far as limits need to know.
//!
//! Owns whether requests run on it, since when none does, and what it waits for. `connection` and its socket tell it
//! what happens; `clients` asks it who may be closed.
//!
//! Invariant: a request runs exactly as long as its [`Busy`] is kept.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits::ConnectionLimits;

/// Requests that one connection may give up before their end. Beyond it, a client that gives up more than it
/// lets finish is only making work (rapid reset).
pub(crate) const MAX_GIVEN_UP: u32 = 100;

/// What one connection is doing.
pub(crate) struct Seat {
    /// Where the client is; its network for IPv6.
    pub(crate) address: Option<IpAddr>,
    /// The requests of its address that are running, and how many may.
    requests: Option<(Arc<AtomicU32>, u32)>,
    state: Mutex<State>,
    closed: Notify,
}

struct State {
    /// Since when it does what it does.
    since: Instant,
    running: u32,
    /// Requests that began.
    begun: u32,
    given_up: u32,
    /// Something is to be written, and the client takes nothing at the moment.
    unwritten: bool,
    /// Bytes of a head have come, and the head is not whole yet.
    head: bool,
}

impl State {
    fn is_busy(&self) -> bool {
        self.running > 0 || self.unwritten
    }

    fn gave_up(&self) -> bool {
        let finished = self.begun.saturating_sub(self.given_up);
        self.given_up > MAX_GIVEN_UP && self.given_up > finished
    }
}

impl Seat {
    pub(crate) fn new(address: Option<IpAddr>, requests: Option<(Arc<AtomicU32>, u32)>) -> Self {
        let state =
            State { since: Instant::now(), running: 0, begun: 0, given_up: 0, unwritten: false, head: false };
        Self { address, requests, state: Mutex::new(state), closed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the connection to leave.
    pub(crate) fn close(&self) {
        self.closed.notify_one();
    }

    /// Resolves when this connection is to end.
    pub(crate) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Whether requests were made, and since when there is none; `None` while one is running.
    pub(crate) fn idle(&self) -> Option<(bool, Instant)> {
        let state = self.lock();
        (!state.is_busy()).then_some((state.begun > 0, state.since))
    }

    /// Bytes have come, which can only be those of a head.
    pub(crate) fn heard(&self) {
        let mut state = self.lock();
        if state.running == 0 && !state.head {
            state.head = true;
            state.since = Instant::now();
        }
    }

    /// Whether something is to be written that the client does not take at the moment.
    pub(crate) fn unwritten(&self, unwritten: bool) {
        self.lock().unwritten = unwritten;
    }

    /// A piece of a response was written: its request may have ended before.
    pub(crate) fn responded(&self) {
        let mut state = self.lock();
        // A head that is being read has a time of its own.
        if state.running == 0 && !state.head {
            state.since = Instant::now();
        }
    }

    /// A head has come whole. The request runs as long as what is returned is kept.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        let mut state = self.lock();
        state.running += 1;
        state.begun = state.begun.saturating_add(1);
        state.head = false;
        if let Some((running, _)) = &self.requests {
            running.fetch_add(1, Ordering::Relaxed);
        }
        Busy { seat: Arc::clone(self), finished: false }
    }

    /// How many requests of this address may run, if more are running, those that have begun here included.
    pub(crate) fn crowded(&self) -> Option<u32> {
        let (running, most) = self.requests.as_ref()?;
        (running.load(Ordering::Relaxed) > *most).then_some(*most)
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.lock().begun == 0
    }

    /// Whether no request has been running, and nothing was written, for so long.
    pub(crate) fn is_quiet(&self, long: Duration) -> bool {
        self.idle().is_some_and(|(_, since)| since.elapsed() >= long)
    }

    /// Whether the client gave up more requests than a client may.
    pub(crate) fn gave_up(&self) -> bool {
        self.lock().gave_up()
    }

    /// When this connection has done nothing for too long; `None` while a request is running, or the client is slow to
    /// take a response.
    pub(crate) fn deadline(&self, limits: &ConnectionLimits) -> Option<(Instant, Waiting)> {
        let state = self.lock();
        if state.is_busy() {
            return None;
        }
        let (longest, waiting) = match (state.head, state.begun) {
            (true, _) => (limits.head_timeout, Waiting::Head),
            (false, 0) => (limits.head_timeout, Waiting::Anything),
            (false, _) => (limits.idle_timeout, Waiting::Anything),
        };
        Some((state.since + longest, waiting))
    }
}

/// What a connection without a running request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The rest of a head.
    Head,
    /// Anything at all.
    Anything,
}

/// A request that is running.
pub(crate) struct Busy {
    seat: Arc<Seat>,
    finished: bool,
}

impl Busy {
    /// The client got all of its response.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some((running, _)) = &self.seat.requests {
            running.fetch_sub(1, Ordering::Relaxed);
        }
        let mut state = self.seat.lock();
        state.running -= 1;
        if state.running == 0 {
            state.since = Instant::now();
        }
        if !self.finished {
            state.given_up += 1;
            if state.gave_up() {
                self.seat.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_counts_from_the_first_byte_of_a_head_or_from_the_last_response() {
        let limits = ConnectionLimits::default();
        let seat = Arc::new(Seat::new(None, None));
        let begin = Instant::now();
        assert_eq!(seat.deadline(&limits), Some((begin + limits.head_timeout, Waiting::Anything)));
        tokio::time::advance(Duration::from_secs(1)).await;
        seat.heard();
        tokio::time::advance(Duration::from_secs(1)).await;
        seat.heard();
        let expected = begin + Duration::from_secs(1) + limits.head_timeout;
        assert_eq!(seat.deadline(&limits), Some((expected, Waiting::Head)));
        let running = seat.begin();
        assert_eq!(seat.deadline(&limits), None);
        drop(running);
        let after_the_last = || Some((Instant::now() + limits.idle_timeout, Waiting::Anything));
        assert_eq!(seat.deadline(&limits), after_the_last());
        tokio::time::advance(Duration::from_secs(1)).await;
        seat.responded();
        assert_eq!(seat.deadline(&limits), after_the_last());
    }
}
