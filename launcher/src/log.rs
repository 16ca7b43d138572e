//! What the launcher itself says while it runs: one line each on stderr, told from the guest's output by
//! its prefix.
//!
//! A line that cannot be written is lost: a broken pipe must not end a server.

use std::fmt;
use std::io::Write as _;

/// Prefix of every line that comes from the launcher and not from the application.
pub const PREFIX: &str = "launcher: ";

/// Writes one line. Line breaks within it are made visible, so that no text of a guest or a client can
/// look like a line of the launcher.
pub fn write(message: fmt::Arguments<'_>) {
    let text = format!("{PREFIX}{message}");
    let text = if text.contains(char::is_control) { text.escape_debug().to_string() } else { text };
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// `log::line!("served {n} requests")`
macro_rules! line {
    ($($arg:tt)*) => { $crate::log::write(format_args!($($arg)*)) };
}

pub(crate) use line;
