//! Attacks by HTTP/1.1: slowly, without an end, or without a reader.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{Scale, connect, floods};

/// Pause between two pieces of something slow.
const SLOW: Duration = Duration::from_millis(300);

/// Heads that never end, a field at a time.
pub fn slow_heads(to: SocketAddr, scale: &Scale) -> String {
    slow(to, scale, "GET /ok HTTP/1.1\r\nHost: t\r\n", "X: y\r\n")
}

/// Bodies that never end, a byte at a time.
pub fn slow_bodies(to: SocketAddr, scale: &Scale) -> String {
    slow(to, scale, "POST /body-size HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n", "x")
}

fn slow(to: SocketAddr, scale: &Scale, begin: &str, piece: &str) -> String {
    let open = |number| {
        let mut stream = connect(to, number).ok()?;
        stream.write_all(begin.as_bytes()).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(stream)
    };
    let mut held: Vec<TcpStream> = (0..scale.slow).filter_map(open).collect();
    let (all, mut pieces) = (held.len(), 0);
    let begin = Instant::now();
    while begin.elapsed() < scale.lasting {
        held.retain_mut(|stream| {
            let answered =
                !matches!(stream.read(&mut [0; 512]), Err(error) if error.kind() == ErrorKind::WouldBlock);
            !answered && stream.write_all(piece.as_bytes()).is_ok()
        });
        pieces += held.len();
        thread::sleep(SLOW);
    }
    format!("{all} connections, {pieces} pieces; {} answered or closed by the server", all - held.len())
}

/// A head with field after field.
pub fn endless_head(to: SocketAddr, scale: &Scale) -> String {
    floods(to, scale, b"GET /ok HTTP/1.1\r\nHost: t\r\n", |index| format!("X-{index}: y\r\n").into_bytes())
}

/// A field with byte after byte.
pub fn endless_field(to: SocketAddr, scale: &Scale) -> String {
    floods(to, scale, b"GET /ok HTTP/1.1\r\nHost: t\r\nX: ", |_| vec![b'x'; 128])
}

/// A request line that does not end.
pub fn endless_uri(to: SocketAddr, scale: &Scale) -> String {
    floods(to, scale, b"GET /", |_| vec![b'x'; 128])
}

/// A body that does not end.
pub fn endless_body(to: SocketAddr, scale: &Scale) -> String {
    let chunk = [b"400\r\n".to_vec(), vec![b'x'; 0x400], b"\r\n".to_vec()].concat();
    floods(to, scale, b"POST /body-size HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n", |_| {
        chunk.clone()
    })
}

/// Chunks of one byte with much to say about each.
pub fn endless_extension(to: SocketAddr, scale: &Scale) -> String {
    let head = b"POST /body-size HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1;x=";
    floods(to, scale, head, |_| vec![b'x'; 128])
}

/// Trailers without an end.
pub fn endless_trailers(to: SocketAddr, scale: &Scale) -> String {
    let head = b"POST /body-size HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
    floods(to, scale, head, |index| format!("X-{index}: y\r\n").into_bytes())
}

/// Requests behind each other, whose answers nobody reads.
pub fn pipelining(to: SocketAddr, scale: &Scale) -> String {
    floods(to, scale, b"", |_| b"GET /ok HTTP/1.1\r\nHost: t\r\n\r\n".to_vec())
}
