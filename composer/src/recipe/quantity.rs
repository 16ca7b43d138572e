//! Sizes and durations as a user writes them: `"64MiB"`, `"30s"`.

use std::time::Duration;

/// Reads a size in bytes: `"512"`, `"64KiB"`, `"128MiB"`, `"1GiB"`.
///
/// # Errors
///
/// What is wrong, and where it helps, what was probably meant.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
    for (unit, bytes) in UNITS {
        if let Some(number) = text.strip_suffix(unit).and_then(digits) {
            return number.checked_mul(bytes).ok_or(Wrong::new("it is too large"));
        }
    }
    for (unit, meant) in
        [("KB", "KiB"), ("MB", "MiB"), ("GB", "GiB"), ("K", "KiB"), ("M", "MiB"), ("G", "GiB")]
    {
        if let Some(number) = text.strip_suffix(unit).map(str::trim).filter(|number| digits(number).is_some())
        {
            return Err(Wrong { because: SIZE, meant: Some(format!("{number}{meant}")) });
        }
    }
    Err(Wrong::new(SIZE))
}

/// Reads a duration: `"500ms"`, `"30s"`, `"2m"`, `"1h"`.
///
/// # Errors
///
/// What is wrong.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    for (unit, milliseconds) in UNITS {
        if let Some(number) = text.strip_suffix(unit).and_then(digits) {
            let total = number.checked_mul(milliseconds).ok_or(Wrong::new("it is too long"))?;
            return Ok(Duration::from_millis(total));
        }
    }
    let meant = digits(text).map(|number| format!("{number}s"));
    Err(Wrong { because: DURATION, meant })
}

const SIZE: &str = "expected a size like `512KiB`, `64MiB` or `1GiB`";
const DURATION: &str = "expected a duration like `500ms`, `30s` or `2m`";

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Found and expected.
    pub because: &'static str,
    /// What was probably meant.
    pub meant: Option<String>,
}

impl Wrong {
    fn new(because: &'static str) -> Self {
        Self { because, meant: None }
    }
}

/// A number of ASCII digits only: no sign, no space, no separator.
fn digits(text: &str) -> Option<u64> {
    let only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    only.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("128MiB"), Ok(134_217_728));
        assert_eq!(size("1GiB"), Ok(1_073_741_824));
        assert_eq!(size("64MB").unwrap_err().meant.as_deref(), Some("64MiB"));
        for bad in ["", "MiB", "-1MiB", "1.5GiB", " 1MiB", "1 MiB", "0x10", "1e3", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("30").unwrap_err().meant.as_deref(), Some("30s"));
        for bad in ["", "s", "-1s", "1.5s", "1 s", "forever", "18446744073709551615h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
