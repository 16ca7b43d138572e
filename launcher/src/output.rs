//! What the guests of a server print: each line of it becomes a line of the log, with the application, the stream and
//! the request that it belongs to.
//!
//! Owns the lines that are not finished yet, one of each stream of each instance. Deliberately absent: how lines look
//! and how many there may be (see `log`), and commands, which write to this process's own stdout and stderr.
//!
//! Invariants: a line is named after a request only if it can be no other's; what an instance printed is in the log when
//! the instance is gone, and soon ([`HELD_FOR`]) whether or not it ends its line; an instance holds at most
//! [`MAX_LINE_BYTES`] of each stream; printing never waits.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::log::{Event, Printed, Stream};
use crate::request_id::RequestId;

/// Length of a line that a guest prints. What is longer becomes several, each of which but the last says so.
pub(crate) const MAX_LINE_BYTES: usize = 8 << 10;

/// How long the beginning of a line waits for its end, if nothing says it before: this long, and less than twice as long.
pub(crate) const HELD_FOR: Duration = Duration::from_secs(1);

/// What a guest may write at once.
const CHUNK: usize = 16 << 10;

/// What one instance prints.
pub(crate) struct Output {
    state: Mutex<State>,
}

struct State {
    app: Arc<str>,
    /// Where lines go: the log, but for tests.
    say: fn(&Event<'_>, Stream),
    /// The instance's number, once it has printed something.
    instance: Option<u64>,
    /// The request that runs in it, if it is one.
    request: Option<RequestId>,
    /// The beginnings of lines, of stdout and stderr.
    held: [Vec<u8>; 2],
    /// Of each, a piece was said, and its end was not.
    begun: [bool; 2],
    /// Of each, the beginning was there when the watch last looked.
    waited: [bool; 2],
    /// What says the beginnings that wait for too long.
    watch: Option<AbortHandle>,
}

impl Output {
    /// For an instance of `app` that runs no request yet.
    pub(crate) fn new(app: Arc<str>) -> Arc<Self> {
        Arc::new(Self::with(app, |event, stream| event.say_on(stream)))
    }

    fn with(app: Arc<str>, say: fn(&Event<'_>, Stream)) -> Self {
        let (held, begun, waited) = Default::default();
        let state = State { app, say, instance: None, request: None, held, begun, waited, watch: None };
        Self { state: Mutex::new(state) }
    }

    /// One of its streams, as the guest has it.
    pub(crate) fn stream(self: &Arc<Self>, stream: Stream) -> GuestStream {
        GuestStream { output: Arc::clone(self), stream }
    }

    /// What is printed from here on belongs to `request`, or could be of several.
    pub(crate) fn belongs_to(&self, request: Option<RequestId>) {
        let mut state = self.lock();
        state.end();
        state.request = request;
    }

    /// Nothing runs any more that could end a line.
    pub(crate) fn end(&self) {
        self.lock().end();
    }

    fn print(self: &Arc<Self>, stream: Stream, bytes: &[u8]) {
        let mut state = self.lock();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            match piece.split_last() {
                Some((b'\n', text)) => {
                    state.hold(stream, text);
                    state.say(stream, false);
                }
                _ => state.hold(stream, piece),
            }
        }
        if state.holds() && state.watch.is_none() {
            state.watch = self.watch();
        }
    }

    /// Looks again and again for what was held for too long, until nothing is held.
    fn watch(self: &Arc<Self>) -> Option<AbortHandle> {
        let output = Arc::downgrade(self);
        let watch = async move {
            loop {
                sleep(HELD_FOR).await;
                let Some(output) = output.upgrade() else { return };
                let mut state = output.lock();
                if !state.holds() {
                    state.watch = None;
                    return;
                }
                state.look();
            }
        };
        // Guests run on a runtime; where there is none, nothing waits.
        Some(Handle::try_current().ok()?.spawn(watch).abort_handle())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.end();
        if let Some(watch) = &state.watch {
            watch.abort();
        }
    }
}

impl State {
    /// Adds to the line that is not finished.
    fn hold(&mut self, stream: Stream, mut text: &[u8]) {
        loop {
            let held = &mut self.held[stream as usize];
            let room = MAX_LINE_BYTES - held.len();
            if text.len() <= room {
                return held.extend_from_slice(text);
            }
            let (now, later) = text.split_at(room);
            held.extend_from_slice(now);
            self.say(stream, true);
            text = later;
        }
    }

    /// Says what is held. Of a `partial` line it keeps the bytes of a character that is not whole yet.
    fn say(&mut self, stream: Stream, partial: bool) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let instance = *self.instance.get_or_insert_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
        let mut line = mem::take(&mut self.held[stream as usize]);
        let begun = mem::replace(&mut self.begun[stream as usize], partial);
        self.waited[stream as usize] = false;
        if begun && line.is_empty() {
            // Only the end of what was said already.
            return;
        }
        let end = if partial { whole_characters(&line) } else { line.len() };
        let text = &line[..end];
        let text = if partial { text } else { text.strip_suffix(b"\r").unwrap_or(text) };
        let printed = Printed { stream, instance, partial };
        let event = Event::printed(String::from_utf8_lossy(text), &self.app, printed);
        (self.say)(&event.request(self.request), stream);
        line.drain(..end);
        self.held[stream as usize] = line;
    }

    fn holds(&self) -> bool {
        self.held.iter().any(|held| !held.is_empty())
    }

    /// Says the beginnings that were there the last time as well; they may still get an end.
    fn look(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            // The beginning of a character alone is nothing to be seen.
            let whole = whole_characters(&self.held[stream as usize]) > 0;
            if whole && mem::replace(&mut self.waited[stream as usize], true) {
                self.say(stream, true);
            }
        }
    }

    /// Says what has no end yet, and gets none any more.
    fn end(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.held[stream as usize].is_empty() {
                self.say(stream, false);
            }
            // What is printed next is no part of it, whether or not it was ended.
            self.begun[stream as usize] = false;
        }
    }
}

/// The length of `bytes` without the beginning of a character at its end.
fn whole_characters(bytes: &[u8]) -> usize {
    // Looked for in the last bytes only: what stands before may be no text at all.
    let tail = bytes.len().saturating_sub(4);
    let start = (tail..bytes.len()).rev().find(|&at| bytes[at] & 0b1100_0000 != 0b1000_0000);
    let Some(start) = start else { return bytes.len() };
    match std::str::from_utf8(&bytes[start..]) {
        Err(error) if error.error_len().is_none() => start,
        _ => bytes.len(),
    }
}

/// Stdout or stderr as a guest of a server has it. It always takes everything at once.
#[derive(Clone)]
pub(crate) struct GuestStream {
    output: Arc<Output>,
    stream: Stream,
}

impl IsTerminal for GuestStream {
    /// Whatever reads the log: nothing that moves a cursor gets there.
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

impl Pollable for GuestStream {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = bytes.get(..CHUNK).unwrap_or(bytes);
        self.output.print(self.stream, bytes);
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
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_character_is_not_cut_in_two() {
        for (bytes, end) in [
            (&b""[..], 0),
            (b"ab", 2),
            ("aä".as_bytes(), 3),
            (&"aä".as_bytes()[..2], 1),
            (&"a\u{1f600}".as_bytes()[..4], 1),
            ("a\u{1f600}".as_bytes(), 5),
            // No text: nothing to wait for.
            (b"a\xff", 2),
            (b"\x80\x80\x80\x80\x80", 5),
            (b"\xff\xe4b", 3),
        ] {
            assert_eq!(whole_characters(bytes), end, "{bytes:?}");
        }
    }

    thread_local! {
        static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn output() -> Arc<Output> {
        let say = |event: &Event<'_>, _| SAID.with_borrow_mut(|said| said.push(event.to_string()));
        Arc::new(Output::with("app".into(), say))
    }

    /// What was said on this thread since the last time, without the instances' numbers.
    fn said() -> Vec<String> {
        let without = |line: String| match line.split_once(']') {
            Some((name, rest)) if name.starts_with("app[#") => rest.to_owned(),
            _ => line,
        };
        SAID.take().into_iter().map(without).collect()
    }

    #[test]
    fn each_line_is_said_when_it_ends() {
        let output = output();
        output.print(Stream::Stdout, b"a\n\nb");
        output.print(Stream::Stderr, b"x\r\ny\rz\xff\n");
        assert_eq!(said(), [" stdout: a\n", " stdout: \n", " stderr: x\n", " stderr: y\\rz\u{fffd}\n"]);
        output.print(Stream::Stdout, b"c\n");
        assert_eq!(said(), [" stdout: bc\n"]);
        output.print(Stream::Stderr, b"last");
        drop(output);
        assert_eq!(said(), [" stderr: last\n"]);
    }

    #[test]
    fn a_line_is_named_after_the_request_that_printed_it() {
        let output = output();
        let (first, second) = (RequestId::next(), RequestId::next());
        output.belongs_to(Some(first));
        output.print(Stream::Stdout, b"a\nno end");
        output.belongs_to(Some(second));
        output.print(Stream::Stdout, b"b\n");
        output.belongs_to(None);
        output.print(Stream::Stdout, b"c\n");
        let named = |id, text| format!("app[{id}] stdout: {text}\n");
        assert_eq!(
            said(),
            [named(first, "a"), named(first, "no end"), named(second, "b"), " stdout: c\n".into()]
        );
    }

    /// Lets `quarters` of [`HELD_FOR`] pass.
    async fn pass(quarters: u32) {
        sleep(HELD_FOR / 4 * quarters).await;
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_beginning_is_said_when_its_end_is_long_in_coming() {
        let output = output();
        output.print(Stream::Stdout, b"loading");
        pass(3).await;
        assert_eq!(said(), [""; 0]);
        // What is said on the other stream, and in whole lines, keeps nothing back.
        for _ in 0..6 {
            output.print(Stream::Stderr, b"x\n");
            pass(1).await;
        }
        assert_eq!(
            said().iter().filter(|line| line.contains("stdout")).collect::<Vec<_>>(),
            [" stdout: loading…\n"]
        );
        output.print(Stream::Stdout, b" done\n");
        assert_eq!(said(), [" stdout:  done\n"]);

        // Nothing is said of an end alone, and what follows is a line of its own.
        output.print(Stream::Stdout, b"ready");
        pass(9).await;
        output.print(Stream::Stdout, b"\n\nnext\n");
        assert_eq!(said(), [" stdout: ready…\n", " stdout: \n", " stdout: next\n"]);
        output.print(Stream::Stdout, b"ready");
        pass(9).await;
        output.end();
        output.print(Stream::Stdout, b"\n");
        assert_eq!(said(), [" stdout: ready…\n", " stdout: \n"]);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn lines_that_come_in_pieces_are_not_torn() {
        let output = output();
        for _ in 0..40 {
            output.print(Stream::Stdout, b"one ");
            pass(3).await;
            output.print(Stream::Stdout, b"line\n");
        }
        assert_eq!(said(), [" stdout: one line\n"; 40]);
        output.print(Stream::Stdout, "ä".as_bytes().split_last().expect("two bytes").1);
        pass(20).await;
        assert_eq!(said(), [""; 0], "half a character");
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn an_instance_that_is_gone_leaves_nothing_behind() {
        let output = output();
        output.print(Stream::Stdout, b"last");
        let alive = || Handle::current().metrics().num_alive_tasks();
        assert_eq!(alive(), 1);
        drop(output);
        assert_eq!(said(), [" stdout: last\n"]);
        pass(1).await;
        assert_eq!(alive(), 0);
    }

    #[test]
    fn a_long_line_is_told_in_pieces_and_little_of_it_is_held() {
        let output = output();
        let text = "ä".repeat(10_000);
        // In pieces that cut characters.
        for piece in text.as_bytes().chunks(999) {
            output.print(Stream::Stdout, piece);
            assert!(output.lock().held.iter().all(|held| held.len() <= MAX_LINE_BYTES));
        }
        output.print(Stream::Stdout, b"\n");
        let said = said();
        assert_eq!(said.len(), text.len().div_ceil(MAX_LINE_BYTES));
        let (last, partial) = said.split_last().unwrap();
        assert!(partial.iter().all(|line| line.ends_with("ä…\n")) && last.ends_with("ä\n"));
        let count = said.iter().map(|line| line.matches('ä').count()).sum::<usize>();
        assert_eq!((count, said.concat().contains('\u{fffd}')), (10_000, false));
    }
}
