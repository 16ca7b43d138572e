//! The frames that an HTTP/2 client sends, as far as somebody must count them.
//!
//! Owns the count of frames that ask for nothing: priorities, pings, acknowledgements, windows, empty pieces of a
//! body, and kinds that nobody knows. Each costs the launcher little and the client less, and neither hyper nor h2 has
//! a limit for them, but h2 one of its own for pieces of bodies without or with little in them. Deliberately absent:
//! everything else about frames, which is theirs.
//!
//! Invariant: a connection has so many of these frames as its requests, the bytes of its responses and its age account
//! for, and not more: a client that acknowledges what it gets, and asks now and then whether the server is still there,
//! is never over it.

use std::time::Instant;

/// HTTP/2: frames that ask for nothing, for the connection and again for each of its requests.
pub(crate) const MAX_IDLE_FRAMES: u64 = 100;

/// Bytes written that account for one more: a client may answer each frame of a response, of 10 bytes or more, with
/// a window for the stream and one for the connection.
const BYTES_WRITTEN: u64 = 4;

/// Length of a frame's head (RFC 9113, 4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;

/// Bytes that a ping is answered with.
const PONG: u64 = HEAD as u64 + 8;

/// Follows the frames of one connection through the bytes that come.
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the next head that are there.
    known: usize,
    /// Bytes before the next head.
    skip: usize,
    idle: u64,
    accounted: u64,
    written: u64,
    /// Of what was or will be written, that which only answers such frames.
    answers: u64,
    /// Of what was written, that which was known to be more.
    responses: u64,
    begun: Instant,
}

impl Frames {
    /// The frames after `preface` bytes, on a connection that began at `begun`.
    pub(crate) fn after(preface: usize, begun: Instant) -> Self {
        let (head, accounted) = ([0; HEAD], MAX_IDLE_FRAMES);
        Self {
            head,
            known: 0,
            skip: preface,
            idle: 0,
            accounted,
            written: 0,
            answers: 0,
            responses: 0,
            begun,
        }
    }

    /// Follows them through what was read. Whether there are too many that ask for nothing.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let taken = (HEAD - self.known).min(bytes.len() - skipped);
            self.head[self.known..self.known + taken].copy_from_slice(&bytes[skipped..skipped + taken]);
            self.known += taken;
            bytes = &bytes[skipped + taken..];
            if self.known == HEAD {
                self.begin();
            }
        }
        let accounted = self.accounted + self.written.saturating_sub(self.answers) / BYTES_WRITTEN;
        // One for each second: the clock is asked only when it matters.
        self.idle > accounted && self.idle > accounted + self.begun.elapsed().as_secs()
    }

    /// So many bytes were written to the client. Whether more of them than ever were no answers to such frames.
    pub(crate) fn wrote(&mut self, bytes: usize) -> bool {
        self.written += bytes as u64;
        let responses = self.written.saturating_sub(self.answers);
        let more = responses > self.responses;
        self.responses = self.responses.max(responses);
        more
    }

    /// A head is complete.
    fn begin(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.known = 0;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        match kind {
            HEADERS => self.accounted += MAX_IDLE_FRAMES,
            DATA if self.skip > 0 || flags & END_STREAM != 0 => {}
            // h2 has limits of its own for these.
            RST_STREAM | CONTINUATION => {}
            _ => {
                self.idle += 1;
                self.answers += match kind {
                    PING if flags & ACK == 0 => PONG,
                    SETTINGS if flags & ACK == 0 => HEAD as u64,
                    _ => 0,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIORITY: u8 = 2;
    const PREFACE: usize = 24;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0xff; payload]].concat()
    }

    /// The frames of a connection that is never older than a second, however busy this machine is.
    fn frames(preface: usize) -> Frames {
        Frames::after(preface, Instant::now() + std::time::Duration::from_secs(3600))
    }

    /// How many frames are let through of many.
    fn let_through(frames: &mut Frames, frame: &[u8]) -> usize {
        (0..10_000).take_while(|_| !frames.read(frame)).count()
    }

    #[test]
    fn frames_that_ask_for_nothing_are_counted_wherever_reads_end() {
        let priority = frame(PRIORITY, 0, 5);
        let many = [vec![0; PREFACE], priority.repeat(MAX_IDLE_FRAMES as usize)].concat();
        for size in 1..40 {
            let mut frames = frames(PREFACE);
            assert!(!many.chunks(size).any(|bytes| frames.read(bytes)), "{size}");
            assert!(frames.read(&priority), "{size}");
        }
    }

    #[test]
    fn requests_and_what_is_written_account_for_more() {
        let priority = frame(PRIORITY, 0, 5);
        let mut frames = frames(0);
        assert!(!frames.read(&frame(HEADERS, END_STREAM, 40)));
        assert_eq!(let_through(&mut frames, &priority), 200);
        frames.wrote(4000);
        assert!(!frames.read(&[]));
        assert_eq!(let_through(&mut frames, &priority), 999);
        // A connection that began an hour and a minute before the one above.
        frames.begun -= std::time::Duration::from_secs(3660);
        assert!(let_through(&mut frames, &priority) >= 59);
    }

    #[test]
    fn what_only_answers_such_frames_accounts_for_none() {
        let mut frames = frames(0);
        for answer in [frame(PING, 0, 8), frame(SETTINGS, 0, 0)] {
            let sent = let_through(&mut frames, &answer);
            assert!(!frames.wrote(sent * (HEAD + if answer[3] == PING { 8 } else { 0 })));
        }
        assert!(frames.read(&frame(PING, ACK, 8)));
        assert!(frames.wrote(100));
    }

    #[test]
    fn bodies_may_have_any_number_of_pieces_with_something_in_them() {
        let mut frames = frames(0);
        for piece in [frame(DATA, 0, 1), frame(DATA, 0, 16384), frame(DATA, END_STREAM, 0)] {
            assert_eq!(let_through(&mut frames, &piece), 10_000);
        }
        assert_eq!(let_through(&mut frames, &frame(DATA, 0, 0)), 100);
    }
}
