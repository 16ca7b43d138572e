//! Numbers as JSON has them: finite, and whole ones without a point.

use std::fmt;
use std::str::FromStr;

/// A finite number.
#[derive(Clone, Copy)]
pub struct Number(f64);

impl Number {
    /// `None` for an infinity and for what is not a number.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number, finite.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl FromStr for Number {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The library also reads words, such as `inf`.
        if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
            return Err("is not a number");
        }
        let value: f64 = text.parse().map_err(|_| "is not a number")?;
        Self::new(value).ok_or("is too large")
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size == 0.0 {
            // Not `-0`.
            f.write_str("0")
        } else if (1e-6..1e21).contains(&size) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:e}", self.0)
        }
    }
}
