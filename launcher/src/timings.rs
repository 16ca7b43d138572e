//! How long each step of a start took, for `--timings`.

use std::fmt;
use std::time::{Duration, Instant};

/// A step of a start. Each is named by what it ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Arguments,
    Open,
    Trust,
    Signature,
    Bind,
    Hash,
    Engine,
    Load,
    Link,
    Listen,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Open => "open",
            Self::Trust => "trust",
            Self::Signature => "signature",
            Self::Bind => "bind",
            Self::Hash => "hash",
            Self::Engine => "engine",
            Self::Load => "load",
            Self::Link => "link",
            Self::Listen => "listen",
        }
    }
}

/// The steps of one start, in their order.
pub(crate) struct Timings {
    last: Instant,
    steps: Vec<(Step, Duration)>,
}

impl Timings {
    /// The first step begins at `start`.
    pub(crate) fn new(start: Instant) -> Self {
        Self { last: start, steps: Vec::with_capacity(16) }
    }

    /// A step ends here, and the next one begins.
    pub(crate) fn end(&mut self, step: Step) {
        let now = Instant::now();
        self.steps.push((step, now - self.last));
        self.last = now;
    }

    /// What these steps took together.
    pub(crate) fn of(&self, steps: &[Step]) -> Duration {
        self.steps.iter().filter(|(step, _)| steps.contains(step)).map(|(_, took)| *took).sum()
    }

    /// What all steps took together.
    pub(crate) fn total(&self) -> Duration {
        self.steps.iter().map(|(_, took)| *took).sum()
    }
}

/// `open 0.05 ms, trust 0.09 ms`
impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (step, took)) in self.steps.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {:.3} ms", step.name(), took.as_secs_f64() * 1000.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_without_a_gap() {
        let start = Instant::now();
        let mut timings = Timings::new(start);
        timings.end(Step::Open);
        timings.end(Step::Hash);
        assert_eq!(timings.total(), timings.last - start);
        assert_eq!(timings.of(&[Step::Open]) + timings.of(&[Step::Hash]), timings.total());
        let text = timings.to_string();
        assert!(text.starts_with("open ") && text.contains(" ms, hash ") && text.ends_with(" ms"), "{text}");
    }
}
