//! Stock tools that tests compare with. One that is not there skips its test; in CI it must be there.

use std::path::PathBuf;
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

/// What stands between a process and the system's clock, by `LD_PRELOAD`, from Debian's package `faketime`.
///
/// # Panics
///
/// It is not there, and `CI` is set.
pub fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|file| file.exists());
    if library.is_none() {
        skip("`faketime` is not installed");
    }
    library
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
