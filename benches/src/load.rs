//! Load from this process: connections that each send one request after the other, and what was answered when.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Longest head of a response that the benches' servers send.
const HEAD_BYTES: usize = 16 << 10;

/// What one load saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// How long each answer took, in the order of answers.
    latencies: Vec<Duration>,
    /// From the first request to the last answer.
    took: Duration,
}

impl Seen {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// A quantile of the latencies, in microseconds.
    pub fn quantile(&mut self, share: f64) -> f64 {
        self.latencies.sort_unstable();
        let last = self.latencies.len().checked_sub(1).expect("a load has an answer");
        self.latencies[(last as f64 * share) as usize].as_secs_f64() * 1e6
    }
}

/// Keeps `connections` busy with `GET /` for `time`, after a fifth of it that is not counted.
///
/// # Panics
///
/// The server does not answer, or not with 200: such figures would mean nothing.
pub fn run(address: SocketAddr, connections: usize, time: Duration) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let begin = Instant::now();
        let (from, until) = (begin + time / 5, begin + time + time / 5);
        let clients: Vec<_> =
            (0..connections).map(|_| tokio::task::spawn_local(client(address, from, until))).collect();
        let mut seen = Seen { latencies: Vec::new(), took: time };
        for client in clients {
            seen.latencies.extend(client.await.expect("the server answers every request with 200"));
        }
        seen
    })
}

async fn client(address: SocketAddr, from: Instant, until: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a fresh connection takes options");
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut buffer = vec![0; HEAD_BYTES];
    let mut latencies = Vec::new();
    loop {
        let begin = Instant::now();
        if begin >= until {
            return latencies;
        }
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut read = 0;
        while !is_whole(&buffer[..read]) {
            let more = stream.read(&mut buffer[read..]).await.expect("the server answers");
            assert!(more > 0, "the server closed in the midst of an answer");
            read += more;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&buffer[..read]));
        if begin >= from {
            latencies.push(begin.elapsed());
        }
    }
}

/// Whether the bytes are a whole response, by its length or its last chunk.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let body = &bytes[head + 4..];
    match length(&bytes[..head]) {
        Some(length) => body.len() >= length,
        None => body.ends_with(b"0\r\n\r\n"),
    }
}

fn length(head: &[u8]) -> Option<usize> {
    let name = b"content-length:";
    let at = head.windows(name.len()).position(|field| field.eq_ignore_ascii_case(name))?;
    let value = head[at + name.len()..].split(|&byte| byte == b'\r').next()?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_by_its_length_or_its_last_chunk() {
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"));
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\n\r\n2\r\nok\r\n"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"));
    }
}
