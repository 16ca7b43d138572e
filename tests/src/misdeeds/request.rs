//! A request for a misdeed, and what came back.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any time-out of the application, and than any answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is read of an answer before this client has had enough of it.
const ENOUGH: usize = 1 << 20;

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// An answer, to its end.
    Whole(u16),
    /// A head, and a body without its end.
    Cut(u16),
    /// More than this client wanted; it left.
    Left,
    /// No answer.
    Nothing,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(status) => write!(f, "{status}"),
            Self::Cut(status) => write!(f, "{status} cut"),
            Self::Left => f.write_str("200 left by the client"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

/// Asks for `path` on a connection of its own.
pub(super) fn ask(to: SocketAddr, path: &str) -> Seen {
    let mut answer = Vec::new();
    let read = TcpStream::connect_timeout(&to, PATIENCE).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: hostile\r\nConnection: close\r\n\r\n")?;
        stream.take(ENOUGH as u64).read_to_end(&mut answer)
    });
    if read.is_ok() && answer.len() == ENOUGH {
        return Seen::Left;
    }
    // A reset after the last byte is an end as well.
    let text = String::from_utf8_lossy(&answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Seen::Nothing };
    let Some(status) = head.split(' ').nth(1).and_then(|status| status.parse().ok()) else {
        return Seen::Nothing;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let whole = match length {
        Some(length) => body.len() == length,
        None => body.ends_with("0\r\n\r\n"),
    };
    if whole { Seen::Whole(status) } else { Seen::Cut(status) }
}
