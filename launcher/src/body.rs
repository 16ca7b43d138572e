//! Bodies on their way through the launcher: with a limit on their length and on their pauses.
//!
//! Owns what is the same in both directions. What a stalled or too long body means is for `exchange` to
//! decide, which learns of it through [`Breach`].

use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

/// A timer that runs only while something waits. Making and resetting it costs nothing until then.
pub(crate) struct Pause {
    longest: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Pause {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, timer: None, waiting: false }
    }

    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    /// Something moved: the next wait is counted from its own beginning.
    pub(crate) fn moved(&mut self) {
        self.waiting = false;
    }

    /// Nothing moved. Ready when that has lasted too long.
    pub(crate) fn poll_exceeded(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let longest = self.longest;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(longest)));
        if !self.waiting {
            self.waiting = true;
            // A wait too long for the clock is a wait without end.
            if let Some(deadline) = Instant::now().checked_add(longest) {
                timer.as_mut().reset(deadline);
            }
        }
        timer.as_mut().poll(context)
    }
}

/// A body whose pauses are limited: a pause that is too long ends it with an error.
pub(crate) struct Paced<B> {
    body: B,
    pause: Pause,
}

impl<B> Paced<B> {
    pub(crate) fn new(body: B, longest: Duration) -> Self {
        Self { body, pause: Pause::new(longest) }
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.pause.moved();
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                self.pause.poll_exceeded(context).map(|()| Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that holds something until it is dropped, a place in a queue for example.
pub(crate) struct Held<B, T> {
    body: B,
    _held: T,
}

impl<B, T> Held<B, T> {
    pub(crate) fn new(body: B, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<B: Body + Unpin, T: Unpin> Body for Held<B, T> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that can be sent again for as long as nothing of it was taken. Its copies are one body.
#[derive(Clone)]
pub(crate) struct Repeatable(Arc<Mutex<Source>>);

struct Source {
    body: WasiBody,
    is_taken: bool,
    is_ended: bool,
}

impl Repeatable {
    pub(crate) fn new(body: WasiBody) -> Self {
        Self(Arc::new(Mutex::new(Source { body, is_taken: false, is_ended: false })))
    }

    /// Whether nothing of it was taken.
    pub(crate) fn is_whole(&self) -> bool {
        !self.source().is_taken
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        // A panic while it is polled ends the process.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Repeatable {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let source = &mut *self.source();
        if source.is_ended {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut source.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(_)) => source.is_taken = true,
            Poll::Ready(None) => source.is_ended = true,
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source();
        source.is_ended || source.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source().body.size_hint()
    }
}

/// How a client broke the limits of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Breach {
    /// It sent nothing for too long.
    Stalled = 1,
    /// It sent too much.
    TooLarge = 2,
}

/// Where a request's body reports a [`Breach`], and the exchange looks for it. The guest is told as well,
/// but what it makes of it is its own business.
#[derive(Default)]
pub(crate) struct BreachCell {
    breach: AtomicU8,
    waker: AtomicWaker,
}

impl BreachCell {
    fn set(&self, breach: Breach) {
        self.breach.store(breach as u8, Ordering::Release);
        self.waker.wake();
    }

    /// Ready when there was one; otherwise wakes when there is.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Breach> {
        self.waker.register(context.waker());
        match self.breach.load(Ordering::Acquire) {
            1 => Poll::Ready(Breach::Stalled),
            2 => Poll::Ready(Breach::TooLarge),
            _ => Poll::Pending,
        }
    }
}

/// The body of a request: at most `left` bytes, with limited pauses.
pub(crate) struct RequestBody {
    body: Incoming,
    left: u64,
    pause: Pause,
    breach: Arc<BreachCell>,
    broken: bool,
}

impl RequestBody {
    pub(crate) fn new(body: Incoming, most: u64, longest: Duration, breach: Arc<BreachCell>) -> Self {
        Self { body, left: most, pause: Pause::new(longest), breach, broken: false }
    }

    fn breach(&mut self, breach: Breach, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.broken = true;
        self.breach.set(breach);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.broken {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause.moved();
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                match self.left.checked_sub(length) {
                    Some(left) => {
                        self.left = left;
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => self.breach(Breach::TooLarge, Error::HttpRequestBodySize(None)),
                }
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match self.pause.poll_exceeded(context) {
                Poll::Ready(()) => self.breach(Breach::Stalled, Error::ConnectionReadTimeout),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
