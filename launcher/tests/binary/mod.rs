//! The launcher's binary as tests run it: an artifact that it trusts, and a process that is ready.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use wadoo_signing::manifest::{Manifest, Trigger};

use crate::guest;

/// An artifact on disk, and a trust store that has its key.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) artifact: PathBuf,
}

impl Place {
    pub(crate) fn new(trigger: Trigger, component: &[u8], adjust: impl FnOnce(&mut Manifest)) -> Self {
        let mut manifest = guest::manifest(trigger, BTreeSet::new());
        let (_, loaded) = guest::load(&manifest, component);
        manifest.imports = guest::imports(&loaded);
        adjust(&mut manifest);
        Self::of(&guest::artifact(manifest, component))
    }

    /// Trusts the artifact's key.
    pub(crate) fn of(artifact: &guest::Artifact) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path().join("trust");
        fs::create_dir(&trust).unwrap();
        fs::write(trust.join("key.pem"), artifact.key.to_pem().unwrap()).unwrap();
        let artifact = guest::write(folder.path(), artifact);
        Self { folder, artifact }
    }

    pub(crate) fn server() -> Self {
        Self::new(Trigger::Http02, &guest::hostile(), |_| {})
    }

    /// A launcher that sees nothing of this user's own.
    pub(crate) fn launcher(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_launcher"));
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("WADOO_TRUST", self.folder.path().join("trust"));
        command
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, options: &[&str]) -> Running {
        Running::spawn(self.launcher().arg(&self.artifact).args(["--addr", "127.0.0.1:0"]).args(options))
    }
}

/// A launcher that has said that it is ready.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdout: BufReader<ChildStdout>,
    pub(crate) ready: String,
}

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        stdout.read_line(&mut ready).unwrap();
        Self { child, stdout, ready }
    }

    pub(crate) fn address(&self) -> &str {
        self.address_after("http://")
    }

    /// The address that follows `scheme` in the ready line.
    pub(crate) fn address_after(&self, scheme: &str) -> &str {
        let address = self.ready.split_once(scheme).and_then(|(_, rest)| rest.split([' ', ',']).next());
        address.unwrap_or_else(|| panic!("no {scheme} in {:?}", self.ready))
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end: exit code, and what is left on stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut stderr = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_string(&mut stderr).unwrap();
        }
        (self.child.wait().unwrap().code(), stderr)
    }
}

impl Drop for Running {
    /// A test that fails leaves no launcher behind, which would hold what it inherited for ever.
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
