//! Server processes, timed from exec to the first byte of the first answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cores::{Cores, Share};

/// No server of these benches needs as long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(20);

/// One start of a server.
#[derive(Debug)]
pub struct Start {
    /// From just before the process is made to the first byte of its first answer.
    pub first_byte: Duration,
    /// Its resident memory then, in KiB.
    pub resident_kib: u64,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// An address on which nothing listens.
///
/// # Panics
///
/// The loopback interface has no free port.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Starts a server, asks it once, and ends it.
///
/// # Panics
///
/// The command does not start, or does not answer in time.
pub fn start(command: &mut Command, address: SocketAddr, cores: Cores, share: Share) -> Start {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begin = Instant::now();
    let mut child = cores.on_share(share, || command.spawn().expect("the command starts"));
    let mut stream = connect(&mut child, address, share, begin);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n").expect("the server reads");
    stream.read_exact(&mut [0]).expect("the server answers");
    let first_byte = begin.elapsed();
    let resident_kib = memory_kib(child.id(), "VmRSS:");
    drop(stream);
    // Asked, not killed, so that what it has to say of its start is written.
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("the server can be ended");
    let mut stderr = String::new();
    let mut pipe = child.stderr.take().expect("stderr is piped");
    // What is not text is of no use to a reader.
    let _ = pipe.read_to_string(&mut stderr);
    child.wait().expect("the server ends");
    Start { first_byte, resident_kib, stderr }
}

/// Tries until the server listens: the time to be measured ends with an answer, not with a sleep.
fn connect(child: &mut Child, address: SocketAddr, share: Share, begin: Instant) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(address) {
            stream.set_nodelay(true).expect("a fresh connection takes options");
            return stream;
        }
        assert!(begin.elapsed() < GIVE_UP_AFTER, "the server does not listen");
        assert!(child.try_wait().expect("the process is ours").is_none(), "the server ended");
        share.wait();
    }
}

/// Waits until the server listens.
///
/// # Panics
///
/// It ends before.
pub fn wait_for(child: &mut Child, address: SocketAddr) {
    while TcpStream::connect(address).is_err() {
        assert!(child.try_wait().expect("the process is ours").is_none(), "the server ended");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks a server to end, as an operator would, and waits for it.
///
/// # Panics
///
/// It has ended already.
pub fn end(child: &mut Child) -> std::process::ExitStatus {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM)
        .expect("the server can be ended");
    child.wait().expect("the process is ours")
}

/// A figure of a process's memory, in KiB: `VmRSS:` for all that is resident, `RssAnon:` for what is its own.
pub fn memory_kib(id: u32, name: &str) -> u64 {
    std::fs::read_to_string(format!("/proc/{id}/status"))
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with(name))?.to_owned();
            line.split_whitespace().nth(1)?.parse().ok()
        })
        .unwrap_or(0)
}
