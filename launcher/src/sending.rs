//! Responses on their way to a client.
//!
//! Owns the bodies as hyper sees them: they say when a request has ended, and they are taken from a client of HTTP/2
//! that makes no room for them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use wasmtime_wasi_http::Error;

use crate::exchange::ResponseBody;
use crate::seat::Busy;

/// HTTP/2: how often a connection is looked at.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// The body of a response of HTTP/1.1: while it is there, the connection is not idle.
pub(crate) struct Counted {
    body: ResponseBody,
    _busy: Busy,
}

impl Counted {
    pub(crate) fn new(body: ResponseBody, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The responses that an HTTP/2 connection is sending. Where the client has no room for what a body gave, hyper asks it
/// for no more, and a client that never makes room would keep the guest for ever: here somebody else counts.
#[derive(Clone, Default)]
pub(crate) struct Sending(Arc<Mutex<Vec<Weak<Mutex<Held>>>>>);

/// A response's body, and since when nobody asked for more of it.
struct Held {
    /// Gone when it is finished, or was taken from a client that does not take it.
    body: Option<(ResponseBody, Busy)>,
    handed: Option<Instant>,
    longest: Duration,
}

impl Sending {
    /// `head`: the request asks for no body. `longest`: how long the client may take none of it.
    pub(crate) fn take(
        &self,
        response: Response<ResponseBody>,
        head: bool,
        mut busy: Busy,
        longest: Duration,
    ) -> Response<HeldBody> {
        // hyper does not ask a body for what it says it does not have.
        let bodiless = head
            || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || response.body().is_end_stream();
        if bodiless {
            busy.finish();
        }
        response.map(|body| {
            let held = Held { body: Some((body, busy)), handed: Some(Instant::now()), longest };
            let held = Arc::new(Mutex::new(held));
            let mut list = lock(&self.0);
            list.retain(|held| held.strong_count() > 0);
            list.push(Arc::downgrade(&held));
            HeldBody { held, bodiless }
        })
    }

    /// Ends the guests whose responses nobody takes, and says when to look again.
    pub(crate) fn end_stalled(&self) -> Duration {
        let mut next = TICK;
        for held in lock(&self.0).iter().filter_map(Weak::upgrade) {
            let mut held = lock(&held);
            next = next.min(held.longest);
            if held.handed.is_some_and(|handed| handed.elapsed() >= held.longest) {
                held.body = None;
            }
        }
        next
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of a response of HTTP/2.
pub(crate) struct HeldBody {
    held: Arc<Mutex<Held>>,
    /// The response has no body, by its nature or in fact. hyper leaves that to whoever makes it.
    bodiless: bool,
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut held = lock(&self.held);
        let Some((body, busy)) = &mut held.body else {
            return Poll::Ready(Some(Err(Error::ConnectionWriteTimeout)));
        };
        let poll = Pin::new(&mut *body).poll_frame(context);
        if matches!(poll, Poll::Ready(None)) || body.is_end_stream() {
            busy.finish();
        }
        held.handed = matches!(poll, Poll::Ready(Some(Ok(_)))).then(Instant::now);
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.bodiless || lock(&self.held).body.as_ref().is_some_and(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.held).body.as_ref().map(|(body, _)| body.size_hint()).unwrap_or_default()
    }
}
