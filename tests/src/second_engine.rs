//! An engine that is not wasmtime, for components that wadoo composed: what `tests/second-engine` starts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::binaries::workspace;
use crate::tools::skip;

/// How often a server that starts is asked, with a pause between.
const TRIES: u32 = 600;

/// `jco serve`, which starts a process of its own: both are one group.
#[derive(Debug)]
pub struct SecondEngine {
    child: Child,
    address: SocketAddr,
}

impl SecondEngine {
    /// Has it serve `component`; `None`, and a word of it, if it is not installed.
    ///
    /// # Panics
    ///
    /// `CI` is set, and it is not installed.
    pub fn start(component: &Path) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = address.expect("there is a free port");
        let mut command = Command::new(workspace().join("tests/second-engine"));
        command.arg("serve").arg(component).arg(address.port().to_string()).process_group(0);
        let child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
        let mut child = child.expect("`tests/second-engine` starts");
        thread::sleep(Duration::from_millis(200));
        let ended = child.try_wait().expect("a child can be asked for");
        if ended.is_some_and(|status| status.code() == Some(3)) {
            skip("`tests/second-engine install` was not run");
            return None;
        }
        Some(Self { child, address })
    }

    /// Status and body that it answers to a request, once it listens.
    ///
    /// # Panics
    ///
    /// It ends, or does not answer within a minute.
    pub fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        for _ in 0..TRIES {
            if let Ok(answer) = self.ask(method, path, body)
                && let Some((head, body)) = answer.split_once("\r\n\r\n")
                && let Some(status) = head.split(' ').nth(1).and_then(|status| status.parse().ok())
            {
                return (status, body.to_owned());
            }
            let ended = self.child.try_wait().expect("a child can be asked for");
            assert!(ended.is_none(), "the second engine ended");
            thread::sleep(Duration::from_millis(100));
        }
        panic!("the second engine does not answer");
    }

    /// HTTP/1.0, so that the answer has no chunks.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nhost: test\r\ncontent-length: {length}\r\n\r\n")?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for SecondEngine {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}
