//! Builds of what ships, by cargo, and what they are called.

use std::path::{Path, PathBuf};
use std::process::Command;

/// How a binary is built for a bench.
#[derive(Clone, Copy, Debug)]
pub enum Linkage {
    /// As `cargo build --profile dist` links it.
    Dynamic,
    /// With the C library in it, as `docs/operations.md` says; and with the profile that `launcher/optimize` took, if the
    /// variable `OPTIMIZED` names the configuration that it wrote.
    Static,
}

/// What `docs/operations.md` builds a static launcher with.
const STATIC: &str = "launcher/static.toml";

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("`benches` is a folder of the workspace")
}

/// Builds one binary of one package with the `dist` profile and gives its path.
///
/// # Panics
///
/// cargo fails; its words are on stderr.
pub fn dist(package: &str, binary: &str, linkage: Linkage) -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(workspace())
        .args([
            "build",
            "--package",
            package,
            "--bin",
            binary,
            "--profile",
            "dist",
            "--message-format",
            "json",
        ])
        .stderr(std::process::Stdio::inherit());
    if let Linkage::Static = linkage {
        // With an explicit target the flags reach the binary and not the build scripts.
        command
            .args(["--config", STATIC, "--target", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)])
            .env_remove("RUSTFLAGS");
        // In the order of `launcher/optimize`: flags in another one are another build.
        if let Some(optimized) = std::env::var_os("OPTIMIZED") {
            command.arg("--config").arg(optimized);
        }
    }
    executable(&mut command, binary)
}

/// Builds one binary of one package with the `release` profile and gives its path.
///
/// # Panics
///
/// cargo fails; its words are on stderr.
pub fn release(package: &str, binary: &str) -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(workspace())
        .args(["build", "--package", package, "--bin", binary, "--release", "--message-format", "json"])
        .stderr(std::process::Stdio::inherit());
    executable(&mut command, binary)
}

fn executable(command: &mut Command, binary: &str) -> PathBuf {
    let output = command.output().expect("cargo starts");
    assert!(output.status.success(), "cargo could not build `{binary}`");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split_once('"'))
        .map(|(path, _)| PathBuf::from(path))
        .find(|path| path.file_name().is_some_and(|name| name == binary))
        .unwrap_or_else(|| panic!("cargo names no executable `{binary}`"))
}
