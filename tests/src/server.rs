//! A running server: started on a free port, known to be ready by its ready line, stopped at the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::scratch::Finished;

/// Longer than any start on a busy machine; only a server that hangs meets it.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longer than any answer on a busy machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A server process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// The ready line.
    pub ready: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, decoded.
    pub body: Vec<u8>,
}

impl Server {
    /// Starts `command` and waits for its ready line.
    ///
    /// # Panics
    ///
    /// It ends before it is ready, or is not ready within a minute.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let lines = read_lines(child.stdout.take().expect("stdout is piped"));
        loop {
            match lines.recv_timeout(READY_WITHIN) {
                // As text, or as an object of the log.
                Ok(line) if line.starts_with("serving ") || line.contains("\"event\":\"ready\"") => {
                    let address = address_in(&line);
                    return Self { child, lines, ready: line, address };
                }
                Ok(_) => {}
                Err(error) => {
                    let _ = child.kill();
                    let output = child.wait_with_output().expect("the process ends");
                    panic!("no ready line ({error}):\n{}", String::from_utf8_lossy(&output.stderr));
                }
            }
        }
    }

    /// Lets it start its second thread, which it does for a second connection.
    ///
    /// # Panics
    ///
    /// It does not answer.
    pub fn start_second_thread(&self, path: &str) {
        let _first = TcpStream::connect(self.address).expect("it listens");
        assert_eq!(self.get(path).status, 200);
    }

    /// The next line on stdout.
    ///
    /// # Panics
    ///
    /// None comes within the time of an answer.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(ANSWER_WITHIN).expect("another line on stdout")
    }

    /// Throws away what stdout has said so far.
    pub fn skip_lines(&self) {
        self.lines.try_iter().for_each(drop);
    }

    /// Sends one request without a body.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    /// Sends one request on a connection of its own and reads the whole answer.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).expect("the server reads");
        // A server that refuses a body early may close before all of it is sent.
        let _ = stream.write_all(body);
        Answer::read(stream, method == "HEAD")
    }

    /// A connection to the server.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(ANSWER_WITHIN)).expect("a time-out can be set");
        stream
    }

    /// The process, for signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status();
        assert!(status.expect("`kill` starts").success());
    }

    /// Waits for the process to end and gives what it left.
    pub fn wait(mut self) -> Finished {
        let mut stderr = String::new();
        self.child
            .stderr
            .take()
            .expect("stderr is piped")
            .read_to_string(&mut stderr)
            .expect("stderr is text");
        let status = self.child.wait().expect("the process ends");
        let stdout = self.lines.iter().map(|line| line + "\n").collect();
        use std::os::unix::process::ExitStatusExt;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().expect("ended by code or signal"));
        Finished { code, stdout, stderr }
    }

    /// Drains the server and waits for its end.
    pub fn stop(self) -> Finished {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// Reads an answer up to the end of the connection.
    pub fn read(mut stream: TcpStream, head_only: bool) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer is no matter of the answer.
        let _ = stream.read_to_end(&mut bytes);
        Self::parse(&bytes, head_only)
    }

    fn parse(bytes: &[u8], head_only: bool) -> Self {
        let end = find(bytes, b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let body = match (head_only, chunked) {
            (true, _) => Vec::new(),
            (false, true) => dechunk(rest),
            (false, false) => rest.to_vec(),
        };
        Self { status: status.parse().expect("a number"), headers, body }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Joins the chunks; an answer that was cut off gives what came.
fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = find(rest, b"\r\n") {
        let size =
            std::str::from_utf8(&rest[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size) = size.filter(|&size| size > 0 && rest.len() >= end + 2 + size) else { break };
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = rest.get(end + 2 + size + 2..).unwrap_or_default();
    }
    body
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn address_in(ready: &str) -> SocketAddr {
    ready
        .split_once("http://")
        .and_then(|(_, rest)| rest.split([' ', '"']).next())
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("no address in `{ready}`"))
}

/// Passes lines on from a thread, so that a full pipe never stops the server.
fn read_lines(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
