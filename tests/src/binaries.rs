//! The binaries under test, each built as it ships.
//!
//! `cargo test --workspace` unites the features of all packages, so the `launcher` that it leaves behind
//! has the composer's compiler in it. The one tested here is built by itself, as a user would build it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("`tests` is a folder of the workspace")
}

/// The `wadoo` binary.
pub fn wadoo() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build("wadoo", "wadoo"))
}

/// The `launcher` binary, without a compiler.
pub fn launcher() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build("wadoo-launcher", "launcher"))
}

/// Builds one package alone and gives a link to its binary: a later build with other features replaces the
/// original, and a test may still run it then.
fn build(package: &str, binary: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args(["build", "--quiet", "--package", package, "--bin", binary, "--message-format", "json"])
        .output()
        .expect("cargo starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "`cargo build -p {package}` failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let built = text
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split_once('"'))
        .map(|(path, _)| PathBuf::from(path))
        .find(|path| path.file_name().is_some_and(|name| name == binary))
        .unwrap_or_else(|| panic!("cargo names no executable `{binary}`"));
    let links = built.parent().expect("a binary is in a folder").join("under-test");
    remove_stale(&links);
    let folder = links.join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    let link = folder.join(binary);
    // One may be there of an earlier process with the same number.
    let _ = std::fs::remove_file(&link);
    std::fs::hard_link(&built, &link)
        .unwrap_or_else(|error| panic!("cannot link {}: {error}", link.display()));
    link
}

/// Removes the links of processes that are gone. A link costs nothing until a new build replaces what it leads to; from
/// then on it keeps the old binary.
fn remove_stale(links: &Path) {
    let Ok(folders) = std::fs::read_dir(links) else { return };
    for folder in folders.flatten() {
        let process = folder.file_name().into_string().ok().and_then(|name| name.parse::<u32>().ok());
        if process.is_none_or(|process| !Path::new("/proc").join(process.to_string()).exists()) {
            // A parallel test may have been faster.
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

/// A command of `binary` that sees nothing of the tester's own keys, trust or configuration.
pub fn isolated(binary: &Path, home: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .env("HOME", home)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("WADOO_TRUST")
        .env_remove("CI")
        .env("NO_COLOR", "1");
    command
}
