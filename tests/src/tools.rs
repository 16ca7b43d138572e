//! Stock tools that tests compare with. One that is not there skips its test; in CI it must be there.

use std::process::{Command, Stdio};

/// Whether the tool can be started.
///
/// # Panics
///
/// It cannot, and `CI` is set.
pub fn installed(tool: &str) -> bool {
    let there =
        Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        skip(&format!("`{tool}` is not installed"));
    }
    there
}

/// Says that a test, or a part of it, is skipped.
///
/// # Panics
///
/// `CI` is set: there, everything must be tested.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn skip(because: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI, where nothing may be: {because}");
    eprintln!("skipped: {because}");
}
