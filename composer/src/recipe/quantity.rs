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
    Err(Wrong { because: SIZE, meant: size_meant(text) })
}

/// `64 MB`, `64M`, `64mib`, `64 MiB`, `1.5GiB`.
fn size_meant(text: &str) -> Option<String> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (&text[..at], text[at..].trim().to_ascii_lowercase());
    let (unit, smaller) = match unit.as_str() {
        "k" | "kb" | "kib" => ("KiB", ""),
        "m" | "mb" | "mib" => ("MiB", "KiB"),
        "g" | "gb" | "gib" => ("GiB", "MiB"),
        _ => return None,
    };
    let meant = match number.split_once('.') {
        None => format!("{}{unit}", digits(number)?),
        // Only halves and quarters and such have a short whole number of the smaller unit.
        Some(_) => {
            let small = number.parse::<f64>().ok()? * 1024.0;
            if small.fract() != 0.0 || small > 1e9 {
                return None;
            }
            format!("{small}{smaller}")
        }
    };
    size(&meant).is_ok().then_some(meant)
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
    Err(Wrong { because: DURATION, meant: duration_meant(text) })
}

/// `30`, `30 s`, `30sec`, `5min`, `100 milliseconds`.
fn duration_meant(text: &str) -> Option<String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = digits(&text[..at])?;
    let unit = match text[at..].trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "millis" | "milliseconds" => "ms",
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hour" | "hours" => "h",
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

/// A size as a recipe would write it, in the largest unit of which it is a whole number.
pub(super) fn written(bytes: u64) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
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
        for (text, meant) in [
            ("64MB", "64MiB"),
            ("64 mb", "64MiB"),
            ("64M", "64MiB"),
            ("64mib", "64MiB"),
            ("64 MiB", "64MiB"),
            ("1.5GiB", "1536MiB"),
            ("2k", "2KiB"),
            ("1.5KiB", "1536"),
        ] {
            assert_eq!(size(text).unwrap_err().meant.as_deref(), Some(meant), "{text}");
        }
        for none in ["64TiB", "", "1.2.3MiB", "MiB", "1.0001MiB"] {
            assert_eq!(size(none).unwrap_err().meant, None, "{none}");
        }
        for bad in ["", "MiB", "-1MiB", "1.5GiB", " 1MiB", "1 MiB", "0x10", "1e3", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for (text, meant) in
            [("30", "30s"), ("30 s", "30s"), ("30sec", "30s"), ("5min", "5m"), ("9 MS", "9ms")]
        {
            assert_eq!(duration(text).unwrap_err().meant.as_deref(), Some(meant), "{text}");
        }
        assert_eq!(duration("never").unwrap_err().meant, None);
        for bad in ["", "s", "-1s", "1.5s", "1 s", "forever", "18446744073709551615h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
