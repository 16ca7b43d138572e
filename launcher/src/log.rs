//! What is said while the launcher runs: its own lines on stderr, and what a server's guests print.
//!
//! Owns the queue between a server and the readers of its stdout and stderr. Until [`detach`] is called, and
//! for a command, everything is written directly.
//!
//! Invariants: a reader that stops reading never stops a server; at most [`QUEUE_BYTES`] wait for it, and what
//! is lost then is counted. A server that says nothing has no thread for it. A line that cannot be written at all is lost: a broken pipe must not end a server.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Prefix of every line that the launcher itself says.
pub const PREFIX: &str = "launcher: ";

/// Bytes that wait for the readers of stdout and stderr, both together.
pub const QUEUE_BYTES: usize = 1 << 20;

/// What a part costs beside its bytes, so that many small ones are limited as well.
const PART_BYTES: usize = 64;

/// How long the end of a server waits for the readers of its last words.
pub const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Pause before a descriptor that would block, because somebody made it non-blocking, is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What a guest may write at once.
const CHUNK: usize = 64 << 10;

/// Writes one line. Line breaks within it are made visible, so that no text of a guest or a client can
/// begin a line in the midst of one.
pub fn write(message: fmt::Arguments<'_>) {
    let text = format!("{PREFIX}{message}");
    let text = if text.contains(char::is_control) { text.escape_debug().to_string() } else { text };
    write_text(format!("{text}\n"));
}

/// Writes to stderr what is formatted already, a report for example.
pub fn write_text(text: String) {
    put(Stream::Stderr, text.into());
}

/// `log::line!("served {n} requests")`
macro_rules! line {
    ($($arg:tt)*) => { $crate::log::write(format_args!($($arg)*)) };
}

pub(crate) use line;

/// From here on nobody in this process waits for the readers of stdout and stderr: a thread does, from the first
/// line on.
pub fn detach() {
    QUEUE.get_or_init(Queue::default);
}

/// Waits until everything said is written, for at most `longest`.
pub fn flush(longest: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(longest);
    }
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Says `bytes`, without waiting for a reader once this process is [detached](detach).
fn put(stream: Stream, bytes: Bytes) {
    match (QUEUE.get(), stream) {
        (Some(queue), stream) => {
            queue.push(stream, bytes);
            queue.start();
        }
        (None, Stream::Stdout) => write_all(io::stdout(), &bytes),
        (None, Stream::Stderr) => write_all(io::stderr(), &bytes),
    }
}

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// What waits to be written, for one thread to write.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Condvar,
    written: Condvar,
    /// Its thread was started.
    writing: AtomicBool,
}

#[derive(Default)]
struct State {
    parts: VecDeque<(Stream, Bytes)>,
    /// Bytes in `parts`, and those that are being written.
    held: usize,
    lost: Option<Lost>,
}

#[derive(Clone, Copy, Default)]
struct Lost {
    lines: u64,
    bytes: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never waits for a reader.
    fn push(&self, stream: Stream, bytes: Bytes) {
        let mut state = self.lock();
        // Once something is lost, everything is until the notice of it is out: gaps are told, not scattered.
        let cost = bytes.len().saturating_add(PART_BYTES);
        if state.lost.is_none() && state.held.saturating_add(cost) <= QUEUE_BYTES {
            state.held += cost;
            state.parts.push_back((stream, bytes));
        } else {
            let lost = state.lost.get_or_insert_default();
            lost.lines += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            lost.bytes += bytes.len() as u64;
        }
        self.more.notify_one();
    }

    /// Starts the thread that writes, unless there is one. What waits is kept while the system has none to give:
    /// the next line asks again.
    fn start(&'static self) {
        if !self.writing.swap(true, Ordering::Relaxed) {
            let thread = thread::Builder::new().name("log".to_owned()).stack_size(64 << 10).spawn(|| {
                self.drain(|stream, bytes| match stream {
                    Stream::Stdout => write_all(io::stdout(), bytes),
                    Stream::Stderr => write_all(io::stderr(), bytes),
                });
            });
            self.writing.store(thread.is_ok(), Ordering::Relaxed);
        }
    }

    /// Writes for ever.
    fn drain(&self, mut write: impl FnMut(Stream, &[u8])) {
        loop {
            self.drain_some(&mut write);
        }
    }

    /// Waits for something to write, and writes it.
    fn drain_some(&self, write: &mut impl FnMut(Stream, &[u8])) {
        let idle = |state: &mut State| state.parts.is_empty() && state.lost.is_none();
        let mut state = self.more.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        if let Some((stream, bytes)) = state.parts.pop_front() {
            drop(state);
            write(stream, &bytes);
            self.lock().held -= bytes.len() + PART_BYTES;
        } else if let Some(lost) = state.lost.take() {
            let notice = format!(
                "{PREFIX}lost {} lines ({} bytes) of output: nobody read them in time\n",
                lost.lines, lost.bytes
            );
            state.held += notice.len();
            drop(state);
            write(Stream::Stderr, notice.as_bytes());
            self.lock().held -= notice.len();
        }
        self.written.notify_all();
    }

    fn flush(&self, longest: Duration) {
        let busy = |state: &mut State| state.held > 0 || state.lost.is_some();
        drop(self.written.wait_timeout_while(self.lock(), longest, busy));
    }
}

/// Writes past the standard library's own buffers and locks, which a blocked writer would hold.
fn write_all(descriptor: impl AsFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(&descriptor, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => thread::sleep(RETRY_PAUSE),
            Err(_) => return,
        }
    }
}

/// Stdout or stderr as a guest of a server has it. It always takes everything at once.
pub(crate) struct Output(pub(crate) Stream);

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        match self.0 {
            Stream::Stdout => io::IsTerminal::is_terminal(&io::stdout()),
            Stream::Stderr => io::IsTerminal::is_terminal(&io::stderr()),
        }
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Self(self.0))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self(self.0))
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        put(self.0, bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

impl Pollable for Output {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = bytes.get(..CHUNK).unwrap_or(bytes);
        put(self.0, Bytes::copy_from_slice(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_dropped_counted_and_told() {
        let queue = Queue::default();
        let line = Bytes::from([vec![b'x'; 1023], vec![b'\n']].concat());
        let room = QUEUE_BYTES / (line.len() + PART_BYTES);
        for _ in 0..room + 3 {
            queue.push(Stream::Stdout, line.clone());
        }
        let mut out = Vec::new();
        while queue.lock().held > 0 || queue.lock().lost.is_some() {
            queue.drain_some(&mut |stream, bytes: &[u8]| out.push((stream, bytes.to_vec())));
        }
        let (stream, notice) = out.pop().expect("a notice");
        assert_eq!(stream, Stream::Stderr);
        let notice = String::from_utf8(notice).unwrap();
        assert!(notice.contains("lost 3 lines (3072 bytes)"), "{notice}");
        assert_eq!(out.len(), room);
        // There is room again.
        queue.push(Stream::Stdout, line.clone());
        queue
            .drain_some(&mut |stream, bytes: &[u8]| assert_eq!((stream, bytes), (Stream::Stdout, &line[..])));
        queue.flush(FLUSH_TIME);
    }
}
