//! Attacks by connections alone.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;

use rustix::net::sockopt;

use super::{Scale, connect};

/// Many connections that say nothing.
pub fn idle(to: SocketAddr, scale: &Scale) -> String {
    hold(to, scale, b"")
}

/// Connections that begin as HTTP/2 does, and do nothing more.
pub fn half_prefaces(to: SocketAddr, scale: &Scale) -> String {
    hold(to, scale, b"P")
}

fn hold(to: SocketAddr, scale: &Scale, beginning: &[u8]) -> String {
    let open = |number| {
        let mut stream = connect(to, number).ok()?;
        stream.write_all(beginning).ok()?;
        Some(stream)
    };
    let mut held: Vec<_> = (0..scale.idle).filter_map(open).collect();
    thread::sleep(scale.lasting);
    let all = held.len();
    held.retain_mut(|stream| {
        let _ = stream.set_nonblocking(true);
        !matches!(stream.read(&mut [0]), Ok(0))
    });
    format!("{all} connections; {} closed by the server", all - held.len())
}

/// Connections that end in the midst of something: nothing sent, half a head, a whole request; in order or by a
/// reset.
pub fn early_closes(to: SocketAddr, scale: &Scale) -> String {
    const BEGINNINGS: [&[u8]; 4] = [
        b"",
        b"GET /ok HT",
        b"GET /ok HTTP/1.1\r\nHost: t\r\n\r\n",
        b"POST /body-size HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhe",
    ];
    let done = |number: &usize| -> bool {
        let Ok(mut stream) = connect(to, *number) else { return false };
        let _ = stream.write_all(BEGINNINGS[number % BEGINNINGS.len()]);
        // One in eight in order: each of those keeps a port of this machine for a minute.
        if !number.is_multiple_of(8) {
            let _ = sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO));
        }
        true
    };
    let made = thread::scope(|scope| {
        let part = |first: usize| scope.spawn(move || (first..scale.closes).step_by(4).filter(done).count());
        let threads: Vec<_> = (0..4).map(part).collect();
        threads.into_iter().map(|thread| thread.join().expect("closing does not panic")).sum::<usize>()
    });
    format!("{made} connections opened and closed")
}
