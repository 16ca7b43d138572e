//! How much may be said in a time: the limit `log-rate`.
//!
//! Owns the counting; the clock is the caller's. Invariant: what is refused is counted until it is told, and it is told
//! at most once in each [`PAUSE`].

use std::time::{Duration, Instant};

use super::Lost;

/// A rate is saved up for so many seconds in which less was said.
pub(crate) const BURST_SECONDS: u64 = 10;

/// How long nothing more is let through once something was refused: a gap is told, not scattered.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// What is left of a rate.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes a second.
    rate: u64,
    /// Bytes that may be said at once, in thousandths, so that short times count as well.
    left: u64,
    filled: Instant,
    /// What was refused, and since when.
    refused: Option<(Instant, Lost)>,
}

impl Budget {
    /// A full one.
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        let mut budget = Self { rate, left: 0, filled: now, refused: None };
        budget.left = budget.most();
        budget
    }

    fn most(&self) -> u64 {
        self.rate.saturating_mul(BURST_SECONDS * 1000)
    }

    /// Whether `bytes` more may be said, which are taken off then. `cost` is what they count.
    pub(super) fn take(&mut self, bytes: u64, cost: u64, now: Instant) -> bool {
        let millis = now.saturating_duration_since(self.filled).as_millis() as u64;
        if millis > 0 {
            self.left = self.left.saturating_add(self.rate.saturating_mul(millis)).min(self.most());
            self.filled += Duration::from_millis(millis);
        }
        let cost = cost.saturating_mul(1000);
        if self.refused.is_none() && cost <= self.left {
            self.left -= cost;
            return true;
        }
        let (_, lost) = self.refused.get_or_insert((now, Lost::default()));
        lost.lines += 1;
        lost.bytes += bytes;
        false
    }

    /// When what was refused is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.refused.map(|(since, _)| since + PAUSE)
    }

    /// What was refused, to be told now: its pause is over, or `ending` leaves no time for it.
    pub(super) fn tell(&mut self, now: Instant, ending: bool) -> Option<Lost> {
        self.due().filter(|due| ending || *due <= now)?;
        self.refused.take().map(|(_, lost)| lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_holds_and_what_is_over_it_is_counted_and_told_once() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut budget = Budget::new(1000, start);
        // What was saved up, and not a byte more.
        assert!((0..10).all(|_| budget.take(900, 1000, start)));
        assert!(!budget.take(900, 1000, start));
        assert_eq!(budget.due(), Some(at(1000)));
        // Within the pause everything is refused, whatever was saved up since.
        assert!(!budget.take(1, 1, at(999)));
        assert!(budget.tell(at(999), false).is_none());
        let lost = budget.tell(at(1000), false).expect("the pause is over");
        assert_eq!((lost.lines, lost.bytes), (2, 901));
        assert!(budget.tell(at(1000), false).is_none(), "told once");
        // One second's worth, in small steps.
        assert!((0..10).all(|step| budget.take(100, 100, at(1000 + step))));
        assert!(!budget.take(100, 100, at(1010)));
        assert!(budget.tell(at(1010), true).is_some(), "nothing is kept back at the end");
        // It saves up again, and only so much.
        assert!(budget.take(1, 10_000, at(3_600_000)));
        assert!(!budget.take(1, 100, at(3_600_000)));
    }

    #[test]
    fn no_number_overflows() {
        let start = Instant::now();
        let mut budget = Budget::new(u64::MAX, start);
        assert!(budget.take(u64::MAX, u64::MAX, start));
        assert!(budget.take(1, 1, start + Duration::from_secs(3600)));
    }
}
