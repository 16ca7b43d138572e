//! What a live instance costs in memory: requests that wait in a body, each in an instance of its own.
//!
//! `cargo bench -p wadoo-benches --bench memory`. What is resident at the first response the start-up bench prints.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use wadoo_benches::artifacts::Workshop;
use wadoo_benches::build::{self, Linkage};
use wadoo_benches::process::{self, memory_kib};

/// Instances that live at the same time.
const INSTANCES: u32 = 200;
/// The launcher makes its pool in this time, and gives up the engine that it began with.
const SETTLE: Duration = Duration::from_millis(500);
/// No answer of these benches takes as long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(20);

/// Memory of a process, in KiB.
#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    anonymous: u64,
}

impl Memory {
    fn of(server: &Child) -> Self {
        let figure = |name| memory_kib(server.id(), name);
        Self { resident: figure("VmRSS:"), anonymous: figure("RssAnon:") }
    }
}

fn main() {
    let workshop = Workshop::new();
    let launcher = workshop.install("wadoo-launcher", "launcher", Linkage::Static);
    println!("memory of the launcher, static, in KiB; {INSTANCES} instances that wait in a body\n");
    println!("{:<12} {:>10} {:>10} {:>14} {:>14}", "", "resident", "anonymous", "an instance", "anonymous");
    for guest in ["hostile-02", "hostile-03"] {
        let path = build::workspace().join("tests/guests").join(guest).with_extension("wasm");
        let artifact = workshop.compose_guest(&path, &format!("[limits]\nconcurrency = {INSTANCES}"));
        let [idle, busy] = measure(&launcher, &artifact, &workshop.home());
        let each = |busy: u64, idle: u64| busy.saturating_sub(idle) as f64 / f64::from(INSTANCES);
        println!(
            "{guest:<12} {:>10} {:>10} {:>14.1} {:>14.1}",
            idle.resident,
            idle.anonymous,
            each(busy.resident, idle.resident),
            each(busy.anonymous, idle.anonymous)
        );
    }
}

/// Memory after a first answer from the pool, and with all instances live.
fn measure(launcher: &Path, artifact: &PathBuf, home: &Path) -> [Memory; 2] {
    let address = process::free_address();
    let mut server = Command::new(launcher)
        .arg(artifact)
        .args(["--addr", &address.to_string(), "--map-in-place"])
        .env("HOME", home)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("WADOO_TRUST")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the launcher starts");
    while TcpStream::connect(address).is_err() {
        assert!(server.try_wait().expect("the process is ours").is_none(), "the launcher ended");
        sleep(Duration::from_millis(5));
    }
    sleep(SETTLE);
    drop(begin(address, "/echo"));
    sleep(SETTLE);
    let idle = Memory::of(&server);
    let live: Vec<TcpStream> = (0..INSTANCES).map(|_| begin(address, "/echo")).collect();
    let busy = Memory::of(&server);
    drop(live);
    server.kill().and_then(|()| server.wait()).expect("the launcher can be ended");
    [idle, busy]
}

/// A request whose guest sends back what it reads, and waits for the rest of it.
fn begin(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(GIVE_UP_AFTER)).expect("a fresh connection takes options");
    let head = format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: 100\r\n\r\nbegin");
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut seen = Vec::new();
    while !seen.ends_with(b"begin") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the guest sends back what it got");
        seen.push(byte[0]);
    }
    stream
}
