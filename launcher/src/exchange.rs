//! One request and its response: the limits that end it, and what the client is told then.
//!
//! Owns the timers, the refusals and the order in which they win. The guest is polled here, inside the
//! connection's own task, first until its head is there and then while its body is taken: most guests never
//! need a task of their own. Whatever drops the exchange (client gone, time-out, drain) drops the guest.
//!
//! Invariant: from the request's head to the response's head `timeout` counts, whatever the guest does;
//! after that no pause in either direction is longer than `body-timeout`.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::OptionFuture;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::app::App;
use crate::body::{Breach, BreachCell, Pause, RequestBody};
use crate::guest::{self, Answer, Call, Guest};
use crate::log::{Event, Kind};
use crate::problem::{Problem, seconds};
use crate::request_id::RequestId;
use crate::server::Alive;
use crate::target;
use crate::title::Title;

/// Turns that what was made of a response has to be written out when the rest of it fails.
const ABORT_TURNS: u8 = 2;

/// What a guest may take after its response where the manifest names no `timeout`.
pub(crate) const POST_RETURN: Duration = Duration::from_secs(30);

/// Answers one request, which may be refused already; `behind` all that is ready on this thread. Never fails: what goes wrong becomes an answer of the launcher's
/// own.
pub(crate) fn answer(
    app: Arc<App>,
    alive: Alive,
    request: Request<Incoming>,
    settled: Result<(), Problem>,
    behind: bool,
    local: impl FnOnce() -> Option<SocketAddr>,
) -> impl Future<Output = Response<ResponseBody>> {
    let id = RequestId::next();
    let title = Title::of(&request, id, Some(Arc::clone(&app)));
    let settled = settled.inspect_err(|&problem| title.limited(problem));
    // Not an async function, which would hold the request once more.
    handle(app, alive, request, settled, behind, local, title).map(move |result| match result {
        Ok(response) => response.map(|body| ResponseBody::Guest(Box::new(body))),
        Err(problem) => problem.into_response(id).map(ResponseBody::Own),
    })
}

/// Answers what never became a request: the bytes of a response of HTTP/1.1.
pub(crate) fn refuse_unread(problem: Problem) -> String {
    let id = RequestId::next();
    let message = format!("refused: {}", problem.detail());
    Event::new(Kind::RequestRefused, message).limit(problem.limit()).request(Some(id)).say();
    problem.into_http1(id)
}

async fn handle(
    app: Arc<App>,
    alive: Alive,
    mut request: Request<Incoming>,
    settled: Result<(), Problem>,
    behind: bool,
    local: impl FnOnce() -> Option<SocketAddr>,
    title: Title,
) -> Result<Response<GuestBody>, Problem> {
    let deadline = app.timeout().and_then(|timeout| Instant::now().checked_add(timeout));
    settled?;
    if behind {
        yield_now().await;
    }
    check_head(&app, &request).inspect_err(|&problem| title.limited(problem))?;
    check_host(&mut request, local)?;
    if app.asks_for_target() && request.uri().scheme().is_none() {
        target::complete_target(&mut request, Scheme::HTTP);
    }
    let slot = app.admit().await.ok_or(Problem::Busy).inspect_err(|&problem| title.limited(problem))?;

    let breach = Arc::new(BreachCell::default());
    let failed = Arc::new(AtomicBool::new(false));
    let (answer, answered) = oneshot::channel();
    let (end_body, body_ended) = oneshot::channel();
    let limits = app.limits();
    let request = request.map(|body| {
        RequestBody::new(body, limits.request_body, app.body_timeout(), Arc::clone(&breach)).boxed_unsync()
    });
    let call = Call { id: title.id, request, answer, body_ended, failed: Arc::clone(&failed) };
    let mut guest = Some(guest::start(Arc::clone(&app), slot, alive, call));

    let response = head(&mut guest, answered, &breach, deadline, &app, &title).await?;
    let bodiless = title.method == Method::HEAD
        || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let left = if bodiless { None } else { content_length(response.headers()) };
    Ok(response.map(|body| GuestBody {
        body,
        left,
        guest,
        end_body: Some(end_body),
        failed,
        breach,
        pause: Pause::new(app.body_timeout()),
        aborted: None,
        bodiless,
        after: app.timeout().unwrap_or(POST_RETURN),
        title,
    }))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What can be refused without the guest.
fn check_head(app: &App, request: &Request<Incoming>) -> Result<(), Problem> {
    let limits = app.limits();
    if request.method() == Method::CONNECT {
        return Err(Problem::NoTunnel);
    }
    // The request line and the fields as they were on the wire, give or take the white space.
    let fields: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let target = request.uri().path_and_query().map_or(1, |target| target.as_str().len());
    if fields + target + request.method().as_str().len() > limits.request_headers as usize {
        return Err(Problem::HeadTooLarge(limits.request_headers));
    }
    if content_length(request.headers()).is_some_and(|length| length > limits.request_body) {
        return Err(Problem::BodyTooLarge(limits.request_body));
    }
    Ok(())
}

/// Lets through one host field and no other: two readers of two could each believe another one. HTTP/1.0 may
/// do without; the guest then hears the address that was connected to.
fn check_host(
    request: &mut Request<Incoming>,
    local: impl FnOnce() -> Option<SocketAddr>,
) -> Result<(), Problem> {
    if request.uri().authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Problem::BadHost);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_authority(host) => Ok(()),
        (None, None) if request.version() == Version::HTTP_10 => {
            let local = local().and_then(|local| HeaderValue::try_from(local.to_string()).ok());
            request.headers_mut().insert(HOST, local.ok_or(Problem::BadHost)?);
            Ok(())
        }
        _ => Err(Problem::BadHost),
    }
}

/// A name or address with at most a port, and nobody's name before it.
fn is_authority(host: &HeaderValue) -> bool {
    // Nearly all hosts are a plain name, which needs no parser and no memory.
    if !host.is_empty() && host.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.') {
        return true;
    }
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host);
    let port_fits = port.is_some_and(|port| match port.strip_prefix(':') {
        // RFC 3986 allows a colon with nothing after it.
        Some(port) => port.is_empty() || port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    });
    !host.is_empty() && port_fits
}

/// Polls the guest until its head is there or something ends it. Leaves in `guest` what is not finished.
async fn head(
    guest: &mut Option<Guest>,
    mut answered: oneshot::Receiver<Answer>,
    breach: &BreachCell,
    deadline: Option<Instant>,
    app: &App,
    title: &Title,
) -> Result<Response<WasiBody>, Problem> {
    let mut timer = pin!(OptionFuture::from(deadline.map(sleep_until)));
    let mut failure = None;
    poll_fn(|context| {
        if let Some(running) = guest
            && let Poll::Ready(result) = running.as_mut().poll(context)
        {
            *guest = None;
            failure = result.err();
        }
        if let Poll::Ready(breach) = breach.poll(context) {
            let problem = match breach {
                Breach::Stalled => Problem::BodyStalled(app.body_timeout()),
                Breach::TooLarge => Problem::BodyTooLarge(app.limits().request_body),
            };
            title.limited(problem);
            return Poll::Ready(Err(problem));
        }
        // Nothing was sent yet, so a failure that came together with the head can still be told.
        if let Some(error) = failure.take() {
            return Poll::Ready(Err(title.refuse(&error)));
        }
        match Pin::new(&mut answered).poll(context) {
            Poll::Ready(Ok(Ok(response))) => return Poll::Ready(Ok(response)),
            Poll::Ready(Ok(Err(error))) => return Poll::Ready(Err(title.refuse(&error))),
            Poll::Ready(Err(oneshot::Canceled)) if guest.is_none() => {
                return Poll::Ready(Err(title.silent()));
            }
            // The guest gave up its answer and still runs: it may yet trap, or return.
            Poll::Ready(Err(oneshot::Canceled)) | Poll::Pending => {}
        }
        if let Poll::Ready(Some(())) = timer.as_mut().poll(context) {
            let limit = app.timeout().unwrap_or_default();
            let message = format!("stopped: no response within {}", seconds(limit));
            title.event(Kind::RequestStopped, message).limit(Some("timeout")).say();
            return Poll::Ready(Err(Problem::TimedOut(limit)));
        }
        Poll::Pending
    })
    .await
}

/// The body of a response: the guest's, or the launcher's own.
pub(crate) enum ResponseBody {
    Own(Full<Bytes>),
    Guest(Box<GuestBody>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Guest(body) => body.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Guest(body) => body.is_whole(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Guest(body) => body.body.size_hint(),
        }
    }
}

/// A body together with the guest that writes it.
pub(crate) struct GuestBody {
    body: WasiBody,
    /// Bytes that the response's `content-length` still promises.
    left: Option<u64>,
    guest: Option<Guest>,
    end_body: Option<oneshot::Sender<()>>,
    failed: Arc<AtomicBool>,
    breach: Arc<BreachCell>,
    pause: Pause,
    /// It was cut, and so many turns later it is said.
    aborted: Option<u8>,
    /// The response has no body by its nature, so nobody will read to its end.
    bodiless: bool,
    /// How long the guest may go on after its response.
    after: Duration,
    title: Title,
}

impl GuestBody {
    /// Nothing is missing, and nobody needs to ask for more.
    fn is_whole(&self) -> bool {
        !self.failed.load(Ordering::Acquire) && self.left.unwrap_or(0) == 0 && self.body.is_end_stream()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.aborted.is_some() {
            return self.abort(context);
        }
        if let Some(guest) = &mut self.guest
            && let Poll::Ready(result) = guest.as_mut().poll(context)
        {
            self.guest = None;
            if let Err(error) = result {
                self.title.failed(&error);
            }
        }
        if let Poll::Ready(breach) = self.breach.poll(context) {
            let limit = match breach {
                Breach::Stalled => "body-timeout",
                Breach::TooLarge => "request-body",
            };
            return self.cut("the request's body broke its limits", Some(limit), context);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause.moved();
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.left = self.left.map(|left| left.saturating_sub(length));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.cut(&error.to_string(), None, context),
            // A guest that failed has not finished its body, whatever its closed channel looks like.
            Poll::Ready(None) if self.failed.load(Ordering::Acquire) => self.abort(context),
            Poll::Ready(None) => match self.left {
                Some(left) if left > 0 => {
                    let because = format!("its body ended {left} bytes before its content-length");
                    self.cut(&because, None, context)
                }
                _ => {
                    self.finish();
                    Poll::Ready(None)
                }
            },
            Poll::Pending => match self.pause.poll_exceeded(context) {
                Poll::Ready(()) => {
                    let pause = seconds(self.pause.longest());
                    let because = format!("its body made no progress for {pause}");
                    self.cut(&because, Some("body-timeout"), context)
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Ends guest and connection, so that the client does not take what it has for the whole.
    fn cut(
        &mut self,
        because: &str,
        limit: Option<&'static str>,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.title.event(Kind::RequestStopped, format!("stopped: {because}")).limit(limit).say();
        self.abort(context)
    }

    /// The error is told some turns later: hyper writes out what it has when a body is pending, and drops it when
    /// a body fails, the head included; and it gives way to others for a turn before it is written.
    fn abort(&mut self, context: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.guest = None;
        self.end_body = None;
        let left = self.aborted.get_or_insert(ABORT_TURNS);
        if *left == 0 {
            return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
        }
        *left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// The body is complete. A guest that still has something to do gets a task and a time limit for it.
    fn finish(&mut self) {
        self.end_body = None;
        let Some(guest) = self.guest.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (after, title) = (self.after, self.title.clone());
        let limit = title.app.as_ref().and_then(|app| app.timeout()).map(|_| "timeout");
        runtime.spawn(async move {
            match timeout(after, guest).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => title.failure(Kind::RequestFailed, "failed after its response", &error),
                Err(_) => {
                    let message = format!("stopped: still at work {} after its response", seconds(after));
                    title.event(Kind::RequestStopped, message).limit(limit).say();
                }
            }
        });
    }
}

impl Drop for GuestBody {
    /// hyper does not read a body to its end where it knows it: by `content-length`, or where there is none.
    /// In all other cases the client is gone, and so the guest goes.
    fn drop(&mut self) {
        if self.end_body.is_some() && (self.bodiless || self.left == Some(0) || self.body.is_end_stream()) {
            self.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::StreamBody;

    use super::*;

    #[test]
    fn a_host_is_one_name_or_address_with_at_most_a_port() {
        for host in ["a", "a.example:80", "a:", "127.0.0.1:8080", "[::1]:8080", "[::1]"] {
            assert!(is_authority(&HeaderValue::from_static(host)), "{host}");
        }
        for host in ["", ":80", "a@b", "a:b@c", "a:x", "a:99999", "a b", "a/b", "a,b/", "http://a"] {
            assert!(!is_authority(&HeaderValue::from_static(host)), "{host}");
        }
    }

    /// Sends the 3 bytes of `body`, of which `promised` were announced, and drops it as hyper does.
    async fn finishes_after(promised: u64) -> bool {
        let (done, is_done) = oneshot::channel();
        let (release, released) = oneshot::channel::<()>();
        let (end_body, _body_ended) = oneshot::channel();
        let frames = stream::iter([Ok::<_, Error>(Frame::data(Bytes::from_static(b"ok\n")))]);
        let mut body = GuestBody {
            body: StreamBody::new(frames).boxed_unsync(),
            left: Some(promised),
            guest: Some(Box::pin(async move {
                let _ = released.await;
                let _ = done.send(());
                Ok(())
            })),
            end_body: Some(end_body),
            failed: Arc::default(),
            breach: Arc::default(),
            pause: Pause::new(POST_RETURN),
            aborted: None,
            bodiless: false,
            after: POST_RETURN,
            title: Title { app: None, method: Method::GET, path: "/".to_owned(), id: RequestId::next() },
        };
        assert!(matches!(poll_fn(|context| body.poll(context)).await, Some(Ok(_))));
        drop(body);
        let _ = release.send(());
        is_done.await.is_ok()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_guest_goes_on_after_the_last_byte_that_was_announced_and_not_before() {
        assert!(finishes_after(3).await);
        assert!(!finishes_after(4).await);
    }
}
