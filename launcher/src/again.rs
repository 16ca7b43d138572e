//! A request that begins again, because the instance that it shared with others failed under it.
//!
//! Owns which requests may, and what is kept of one for that. Deliberately absent: where it begins (see `shared`).
//! That it does is what a proxy would do with it (RFC 9110, 9.2.2), and what `upstream` does with requests of guests.
//!
//! Invariants: a request begins again only if its method is safe (RFC 9110, 9.2.1), it has no body, and nothing of an
//! answer was given out; once only, and in an instance that no other request enters: if it was itself what ended the
//! first one, it takes nobody with it a second time.

use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures::channel::oneshot;
use http::{Method, Request};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};

use crate::app::{App, Slot};
use crate::guest::{Answer, Call};
use crate::request_id::RequestId;
use crate::server::Alive;
use crate::title::Title;

/// What remains of a request whose instance failed.
pub(crate) struct Left {
    pub(crate) held: (Slot, Alive),
    pub(crate) body_ended: oneshot::Receiver<()>,
    pub(crate) failed: Arc<AtomicBool>,
}

/// A request that runs for the first time, and may begin again.
pub(crate) struct Again {
    id: RequestId,
    head: Request<()>,
    /// What the first time answers.
    answered: oneshot::Receiver<Answer>,
    /// Where the answer is waited for, until there is one.
    answer: Option<oneshot::Sender<Answer>>,
}

impl Again {
    /// Keeps what is needed of `call`, if it may begin again.
    pub(crate) fn of(call: &mut Call) -> Option<Self> {
        let request = &call.request;
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if !is_safe || !request.body().is_end_stream() {
            return None;
        }
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = request.headers().clone();
        let (answer, answered) = oneshot::channel();
        let answer = Some(mem::replace(&mut call.answer, answer));
        Some(Self { id: call.id, head, answered, answer })
    }

    /// Runs the first time to its end, and gives its answer out as soon as there is one.
    pub(crate) async fn first<E>(&mut self, run: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let mut run = pin!(run);
        poll_fn(|context| {
            let result = run.as_mut().poll(context);
            // An answer that comes together with a failure is not given out: what follows it would be cut.
            if !matches!(result, Poll::Ready(Err(_)))
                && self.answer.is_some()
                && let Poll::Ready(Ok(answer)) = Pin::new(&mut self.answered).poll(context)
                && let Some(waiting) = self.answer.take()
            {
                // The receiver is gone when the client is; the guest will be in a moment.
                let _ = waiting.send(answer);
            }
            result
        })
        .await
    }

    /// The call that begins again after `error`, unless something of the first answer is out already.
    pub(crate) fn call(self, app: &Arc<App>, left: Left, error: &wasmtime::Error) -> Option<AgainCall> {
        let answer = self.answer?;
        Title::of(&self.head, self.id, Some(Arc::clone(app))).begins_again(error);
        let Left { held, body_ended, failed } = left;
        failed.store(false, Ordering::Release);
        let request =
            self.head.map(|()| Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync());
        Some((Call { id: self.id, request, answer, body_ended, failed }, held))
    }
}

/// A call, and what it holds.
pub(crate) type AgainCall = (Call, (Slot, Alive));
