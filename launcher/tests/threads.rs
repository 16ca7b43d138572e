//! The threads that connections are served on: as many as are needed and allowed, and all of them drained.

mod binary;
mod guest;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use wadoo_signing::manifest::Trigger;

use crate::binary::{Place, Running};

/// A server that does not answer within this is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that many may ask at a time.
fn start(options: &[&str]) -> Running {
    Place::new(Trigger::Http02, &guest::hostile(), |manifest| manifest.limits.concurrency = 20)
        .start_with(options)
}

/// A connection that has had an answer, and is kept.
fn visit(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(&mut stream);
    stream
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET /o HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 1024]);
    while !text.ends_with("0\r\n\r\n") {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}

/// A request that has begun: the guest waits for a body of 5 bytes.
fn begin(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /r HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut line = [0; 25];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// The names of the threads beside the server's own that connections are served on.
fn workers(running: &Running) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.child.id())).unwrap();
    // A thread that ends meanwhile has no name.
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    let names = tasks.map(|task| name(task.unwrap()).trim().to_owned());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("worker")).collect();
    names.sort();
    names
}

#[test]
fn a_thread_is_started_when_those_that_there_are_have_something_to_do() {
    let running = start(&["--threads", "3"]);
    let first = visit(&running);
    assert!(workers(&running).is_empty(), "one connection needs no other thread");
    let second = visit(&running);
    assert_eq!(workers(&running), ["worker-1"]);
    drop(second);
    let mut many: Vec<_> = (0..12).map(|_| visit(&running)).collect();
    assert_eq!(workers(&running), ["worker-1", "worker-2"]);
    many.push(first);
    many.iter_mut().for_each(ask);

    let running = start(&["--threads", "1"]);
    let mut many: Vec<_> = (0..4).map(|_| visit(&running)).collect();
    assert!(workers(&running).is_empty());
    many.iter_mut().for_each(ask);
}

#[test]
fn a_drain_lets_the_requests_of_every_thread_finish() {
    let running = start(&["--threads", "4"]);
    let begun: Vec<_> = (0..8).map(|_| begin(&running)).collect();
    assert_eq!(workers(&running).len(), 3);
    running.signal(Signal::TERM);
    for mut stream in begun {
        stream.write_all(b"12345").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    }
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn a_drain_that_takes_too_long_cuts_the_requests_of_every_thread() {
    let running = start(&["--threads", "4", "--drain", "200ms"]);
    let begun: Vec<_> = (0..8).map(|_| begin(&running)).collect();
    running.signal(Signal::TERM);
    for mut stream in begun {
        let mut text = String::new();
        // Closed or reset, and in no case an answer.
        let _ = stream.read_to_string(&mut text);
        assert_eq!(text, "");
    }
    let (code, stderr) = running.end();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("stopped with"), "{stderr}");
}

/// A command of a user for whom the limit on threads counts. Root is above it, so for root it is somebody else.
fn as_anybody(program: impl AsRef<OsStr>) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=54321", "--regid=54321", "--clear-groups"]).arg(program);
    command
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn where_no_thread_can_be_had_those_that_there_are_serve() {
    let can_be_asked = as_anybody("prlimit").arg("--version").output();
    if !can_be_asked.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "skipped in CI, where nothing may be");
        eprintln!("skipped: `setpriv` and `prlimit` are not installed");
        return;
    }
    let place = Place::new(Trigger::Http02, &guest::hostile(), |manifest| manifest.limits.concurrency = 20);
    // Where somebody else sees them.
    let folder = place.folder.path();
    fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    let (launcher, binary) = (place.launcher(), folder.join("launcher"));
    fs::copy(launcher.get_program(), &binary).unwrap();
    let mut command = as_anybody(binary);
    command.env_clear().envs(launcher.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let options = ["--addr", "127.0.0.1:0", "--threads", "3"];
    let running = Running::spawn(command.arg(&place.artifact).args(options));
    let mut first = visit(&running);
    let process = format!("--pid={}", running.child.id());
    assert!(as_anybody("prlimit").args([&process, "--nproc=0:0"]).status().unwrap().success());
    let mut many: Vec<_> = (0..12).map(|_| visit(&running)).collect();
    many.iter_mut().for_each(ask);
    ask(&mut first);
    assert!(workers(&running).is_empty());
    running.signal(Signal::TERM);
    drop((first, many));
    let (code, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    // Once, and not for every connection.
    assert_eq!(stderr.matches("no further thread can be had, 1 must do").count(), 1, "{stderr}");
}
