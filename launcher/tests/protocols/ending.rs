//! How a connection of HTTP/2 ends.

use std::time::Duration;

use http::StatusCode;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::binary::Running;

use crate::client::*;

#[tokio::test]
async fn a_drain_says_goodbye_and_waits_for_requests_only() {
    let running = place_02(|_| {}).start();
    let mut idle = http2(&running).await;
    assert_healthy(&mut idle).await;
    let mut busy = http2(&running).await;
    let slow = busy.send_request(get("/q"));
    assert_healthy(&mut busy).await;
    running.signal(Signal::TERM);
    assert_eq!(text(slow.await.unwrap()).await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(running.end().0, Some(0));
    assert!(idle.ready().await.is_err(), "it was told");
}

/// What the guest gave is in the server's hands, and the client makes room for it byte by byte.
#[tokio::test]
async fn a_drain_waits_until_an_answer_has_arrived() {
    let running = place_02(|_| {}).start();
    let stream = TcpStream::connect(running.address()).await.unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1);
    let (mut client, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = send(&mut client, get("/o")).await;
    running.signal(Signal::TERM);
    // The drain has begun when nobody listens any more; a connection that it cuts is gone soon after.
    while TcpStream::connect(running.address()).await.is_ok() {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(200)).await;
    assert_eq!(text(response).await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(running.end().0, Some(0));
}

/// Frames of HTTP/2, as no client library would send them (RFC 9113, 4.1).
struct Frames(TcpStream);

impl Frames {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;

    async fn connect(running: &Running) -> Self {
        let mut stream = TcpStream::connect(running.address()).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut client = Self(stream);
        client.send(Self::SETTINGS, 0, 0, b"").await;
        client
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    /// The payload of the next frame of a kind on a stream that has one.
    async fn next(&mut self, kind: u8, stream: u32) -> Vec<u8> {
        let find = async {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await.expect("another frame");
                let [a, b, c, found, _, of @ ..] = head;
                let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
                self.0.read_exact(&mut payload).await.expect("a whole frame");
                if (found, u32::from_be_bytes(of)) == (kind, stream) && !payload.is_empty() {
                    return payload;
                }
            }
        };
        timeout(PATIENCE, find).await.expect("in time")
    }
}

/// A client that neither answers the announcement of its connection's end nor heeds it would keep a drain from its end.
#[tokio::test]
async fn requests_long_after_the_goodbye_are_refused() {
    // By their numbers in the static table: the method, the scheme `http`; then `/r` or `/o`, and the authority.
    let (post, get) = (b"\x83\x86\x04\x02/r\x01\x01t", b"\x82\x86\x04\x02/o\x01\x01t");
    let running = place_02(|_| {}).start();
    let mut client = Frames::connect(&running).await;
    client.send(Frames::HEADERS, Frames::END_HEADERS, 1, post).await;
    client.send(Frames::HEADERS, Frames::END_HEADERS | Frames::END_STREAM, 3, get).await;
    assert_eq!(client.next(Frames::DATA, 3).await, b"ok\n");
    running.signal(Signal::TERM);
    client.next(Frames::GOAWAY, 0).await;
    let refused = async {
        for stream in (5..).step_by(2) {
            client.send(Frames::HEADERS, Frames::END_HEADERS | Frames::END_STREAM, stream, get).await;
            let answer = client.next(Frames::DATA, stream).await;
            if answer != b"ok\n" {
                return answer;
            }
            sleep(Duration::from_millis(50)).await;
        }
        unreachable!("numbers do not end");
    };
    let refused = timeout(PATIENCE, refused).await.expect("some time");
    let refused = String::from_utf8_lossy(&refused);
    assert!(refused.contains("\"status\":503") && refused.contains("connection is ending"), "{refused}");
    // What began in time has all its time.
    client.send(Frames::DATA, Frames::END_STREAM, 1, b"hello").await;
    assert_eq!(client.next(Frames::DATA, 1).await, b"ok\n");
    assert_eq!(running.end().0, Some(0));
}
