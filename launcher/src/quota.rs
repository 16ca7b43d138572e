//! The share of a processor that the guests of one application use together.
//!
//! Owns the account of their time, and the pause of those that have used it up. What is measured is the processor time of
//! the thread while a guest is polled, which includes what the host does on its behalf. A guest yields at each tick of
//! the epoch, so no turn is long, and the pause is between two turns. Deliberately absent: everything else that the
//! launcher does (accepting, TLS, reading heads, refusing) is never paused.
//!
//! Invariants: without a quota nothing is measured; in any time the guests use no more than their share of it, of
//! [`SAVED`], and one turn for each request that is running; whoever has paused has a turn, so nobody starves.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep_until};
use wadoo_signing::manifest::Limits;

/// Guests that were idle may run for their share of this time without a pause.
pub(crate) const SAVED: Duration = Duration::from_millis(100);

/// What the guests of an application may use of a processor.
pub(crate) struct Quota {
    percent: u32,
    /// When the time that was used is paid for.
    paid: Mutex<Instant>,
}

impl Quota {
    pub(crate) fn of(limits: &Limits) -> Option<Arc<Self>> {
        limits.cpu_quota_percent.map(|percent| Arc::new(Self::new(percent)))
    }

    fn new(percent: u32) -> Self {
        Self { percent, paid: Mutex::new(Instant::now()) }
    }

    /// Runs `work` to its end, with a pause wherever the quota is used up.
    pub(crate) async fn meter<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            if let Some(paid) = self.used_up() {
                sleep_until(paid).await;
            }
            let mut had_its_turn = false;
            let output = poll_fn(|context| {
                // It was woken for another turn.
                if std::mem::replace(&mut had_its_turn, true) {
                    return Poll::Ready(None);
                }
                let begin = thread_time();
                let poll = work.as_mut().poll(context);
                self.charge(thread_time().saturating_sub(begin));
                poll.map(Some)
            });
            if let Some(output) = output.await {
                return output;
            }
        }
    }

    /// When the next turn may begin, if that is not now.
    fn used_up(&self) -> Option<Instant> {
        let paid = *self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        (paid > Instant::now()).then_some(paid)
    }

    fn charge(&self, used: Duration) {
        let now = Instant::now();
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(SAVED).unwrap_or(now);
        *paid = (*paid).max(earliest) + used * 100 / self.percent.max(1);
    }
}

/// The processor time that this thread has used.
fn thread_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn whoever_always_wants_more_gets_its_share_and_what_was_saved() {
        for percent in [1, 20, 50, 100, 250] {
            let quota = Quota::new(percent);
            let (begin, whole, mut turns) = (Instant::now(), Duration::from_secs(20), 0_u32);
            while begin.elapsed() < whole {
                match quota.used_up() {
                    Some(paid) => sleep_until(paid).await,
                    None => {
                        quota.charge(TURN);
                        turns += 1;
                        // On so many processors at once.
                        if turns.is_multiple_of(percent.div_ceil(100)) {
                            tokio::time::advance(TURN).await;
                        }
                    }
                }
            }
            let (used, share) = (TURN * turns, whole * percent / 100);
            assert!(used <= share + SAVED * percent / 100 + TURN * 4, "{percent} %: {used:?}");
            assert!(used >= share * 9 / 10, "{percent} %: {used:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_saved_than_said() {
        let quota = Quota::new(50);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let mut turns = 0;
        while quota.used_up().is_none() {
            quota.charge(TURN);
            turns += 1;
        }
        assert_eq!(TURN * turns, SAVED / 2 + TURN);
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_pause_have_their_turn() {
        let quota = Arc::new(Quota::new(10));
        let work = || async {
            for _ in 0..10 {
                quota.charge(TURN);
                tokio::task::yield_now().await;
            }
        };
        let begin = Instant::now();
        futures::future::join_all((0..20).map(|_| Arc::clone(&quota).meter(work()))).await;
        // 200 turns of 1 ms at a tenth of a processor.
        assert!(begin.elapsed() > Duration::from_millis(1500), "{:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_millis(2500), "{:?}", begin.elapsed());
    }
}
