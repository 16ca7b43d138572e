//! Where a launcher listens: several addresses, Unix sockets, and sockets that are handed over.

mod binary;
mod guest;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use rustix::process::Signal;

use crate::binary::{Place, Running};

fn ask(mut stream: impl std::io::Read + std::io::Write) -> String {
    stream.write_all(b"GET /o HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn assert_answers(stream: impl std::io::Read + std::io::Write) {
    let text = ask(stream);
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}

#[test]
fn several_addresses_are_served_and_named() {
    let place = Place::server();
    let socket = place.folder.path().join("a.sock");
    let address = format!("unix:{}", socket.display());
    let running = place.start_with(&["--addr", "[::1]:0", "--addr", &address]);
    let (plain, second) = (running.address(), running.address_after("http://[::1]"));
    assert!(running.ready.contains(&format!("on http://{plain}, http://[::1]{second}, {address} (verify ")));
    assert_answers(TcpStream::connect(plain).unwrap());
    assert_answers(TcpStream::connect(format!("[::1]{second}")).unwrap());
    assert_answers(UnixStream::connect(&socket).unwrap());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    // Another one does not take it away.
    let output = place.launcher().arg(&place.artifact).args(["--addr", &address]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("another process listens there"), "{stderr}");
    assert_answers(UnixStream::connect(&socket).unwrap());

    running.signal(Signal::TERM);
    assert_eq!(running.end().0, Some(0));
    assert!(!socket.exists(), "it is removed at the end");
}

#[test]
fn a_socket_of_a_server_that_was_killed_is_replaced() {
    let place = Place::server();
    let socket = place.folder.path().join("a.sock");
    let address = format!("unix:{}?mode=0660", socket.display());
    let start = || Running::spawn(place.launcher().arg(&place.artifact).args(["--addr", &address]));
    let mut killed = start();
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert!(socket.exists());
    let running = start();
    assert_answers(UnixStream::connect(&socket).unwrap());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    running.signal(Signal::TERM);
    assert_eq!(running.end().0, Some(0));
}

/// A launcher that gets `socket` as a service manager hands it over: as descriptor 3.
fn activated(place: &Place, socket: OwnedFd, name: &str, options: &[&str]) -> Command {
    const SCRIPT: &str = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 </dev/null";
    let launcher = place.launcher();
    let mut command = Command::new("/bin/sh");
    command.env_clear().args(["-c", SCRIPT]).arg(launcher.get_program()).arg(&place.artifact).args(options);
    command.envs(launcher.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("LISTEN_FDNAMES", name).stdin(socket);
    command
}

#[test]
fn a_socket_that_is_handed_over_takes_the_place_of_the_default() {
    let place = Place::server();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A client that comes before the launcher waits in the socket's queue.
    let early = TcpStream::connect(address).unwrap();
    let running = Running::spawn(&mut activated(&place, listener.into(), "http", &[]));
    assert!(running.ready.contains(&format!(" on http://{address} (verify ")), "{}", running.ready);
    assert_answers(early);
    assert_answers(TcpStream::connect(address).unwrap());
    running.signal(Signal::TERM);
    assert_eq!(running.end().0, Some(0));

    let path = place.folder.path().join("manager.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let options = ["--addr", "127.0.0.1:0"];
    let running = Running::spawn(&mut activated(&place, listener.into(), "", &options));
    assert_answers(UnixStream::connect(&path).unwrap());
    assert_answers(TcpStream::connect(running.address()).unwrap());
    running.signal(Signal::TERM);
    assert_eq!(running.end().0, Some(0));
    assert!(path.exists(), "it belongs to the service manager");
}

#[test]
fn what_is_handed_over_and_cannot_be_served_is_refused() {
    let place = Place::server();
    let refusal = |socket: OwnedFd, name: &str| {
        let output = activated(&place, socket, name, &[]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let (code, stderr) = refusal(listener(), "tls-public");
    assert!(code == Some(2) && stderr.contains("add `--tls-cert`"), "{code:?} {stderr}");
    let (code, stderr) = refusal(fs::File::open("/dev/null").unwrap().into(), "http");
    assert!(code == Some(1) && stderr.contains("descriptor 3 was handed over"), "{code:?} {stderr}");
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (code, stderr) = refusal(udp.into(), "http");
    assert!(code == Some(1) && stderr.contains("descriptor 3 was handed over"), "{code:?} {stderr}");
}
