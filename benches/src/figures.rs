//! Figures: the median and the 99th percentile of a series, and ratios between series of one run.

use std::time::Duration;

/// A series of durations, in the order of measuring.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<Duration>);

impl Series {
    /// Adds one.
    pub fn push(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// The middle one, in milliseconds.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The 99th percentile, in milliseconds; of fewer than 100 runs, the greatest.
    pub fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1).expect("a series has a run");
        sorted[(last as f64 * share).ceil() as usize].as_secs_f64() * 1000.0
    }
}
