//! The binaries under test, each built as it ships.
//!
//! `cargo test --workspace` unites the features of all packages, so the `launcher` that it leaves behind
//! has the composer's compiler in it. The one tested here is built by itself, as a user would build it.

use std::os::unix::fs::MetadataExt;
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
    let inode = std::fs::metadata(&built).expect("the binary is there").ino();
    let folder = built.parent().expect("a binary is in a folder").join("under-test").join(inode.to_string());
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    let link = folder.join(binary);
    // A parallel test may have been faster.
    if let Err(error) = std::fs::hard_link(&built, &link) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::AlreadyExists,
            "cannot link {}: {error}",
            link.display()
        );
    }
    link
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
