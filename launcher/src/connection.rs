//! One connection of a client: which protocol it speaks, and when it ends.
//!
//! Owns the choice between HTTP/1.1 and HTTP/2 (the preface in the clear, ALPN through TLS), what each of them is
//! configured with, and the end: by the client, when the server drains, for want of room, or because nothing
//! happens. Requests are made the same here, whichever protocol they came by; from there on `exchange` owns them.
//!
//! Invariant: a connection without a running request ends by itself, within twice the time-out that holds for it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::clients::Seated;
use crate::exchange::{self, ResponseBody};
use crate::frames::Frames;
use crate::limits::ConnectionLimits;
use crate::problem::Problem;
use crate::seat::{Seat, Waiting};
use crate::sending::{Counted, Sending, TICK};
use crate::server::{Alive, Phase, Switch};
use crate::socket::{ClientIo, Socket, Stream, Watched};
use crate::target;
use crate::tls::Tls;

/// What is read of a head beyond the application's limit before hyper gives up, so that the refusal can say more
/// than a bare status.
const HEAD_SLACK: u32 = 16 << 10;

/// What an HTTP/2 client sends first (RFC 9113, 3.4). No method of HTTP/1.1 begins like it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How the two protocols are named in a TLS handshake (ALPN), the better one first.
pub(crate) const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Fields that hyper takes of a head of HTTP/1.1 without asking for memory.
const HYPER_FIELDS: usize = 100;

/// HTTP/2: bytes of one request's body that wait for the guest.
const STREAM_WINDOW: u32 = 128 << 10;

/// HTTP/2: bytes of all bodies of a connection that wait for their guests.
const CONNECTION_WINDOW: u32 = 256 << 10;

/// HTTP/2: bytes of one response that wait for the client.
const SEND_BUFFER: usize = 32 << 10;

/// HTTP/2: the longest frame.
const MAX_FRAME: u32 = 16 << 10;

/// HTTP/2: requests that were reset before anybody looked at them (rapid reset), at a time.
const MAX_PENDING_RESETS: usize = 20;

/// HTTP/2: streams that this side had to reset for the client's mistakes, in all.
const MAX_ERROR_RESETS: usize = 100;

/// HTTP/2: a connection that is to end does so when nothing runs on it, and nothing was sent for so long: until then the
/// client may still answer the announcement of its end, or make room for the rest of a response. Requests that come
/// later than this after the announcement are refused.
const GOAWAY_GRACE: Duration = Duration::from_secs(2);

/// What all connections of a server have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) switch: Switch,
    pub(crate) alive: Alive,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) limits: Arc<ConnectionLimits>,
}

/// Serves one connection to its end.
pub(crate) async fn serve(socket: Socket, tls: Option<Arc<Tls>>, seated: Seated, common: Common) {
    let socket = Arc::new(socket);
    let mut phase = common.phase.clone();
    let opened = tokio::select! {
        biased;
        opened = open(&socket, tls, &common.limits) => opened,
        // No request has begun, so there is nothing to finish.
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
        () = seated.seat.closed() => return,
    };
    let connection = Connection { socket, seat: Arc::clone(&seated.seat), common };
    match opened {
        Some((stream, Protocol::Http1)) => connection.http1(stream).await,
        // Boxed, so that a connection that does not speak it needs no room for it.
        Some((stream, Protocol::Http2)) => Box::pin(connection.http2(stream)).await,
        None => {}
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Finds out what the client speaks; `None` when it says nothing that can be understood in time.
async fn open(
    socket: &Arc<Socket>,
    tls: Option<Arc<Tls>>,
    limits: &ConnectionLimits,
) -> Option<(Stream, Protocol)> {
    let shared = Watched(Arc::clone(socket));
    let Some(tls) = tls else {
        let protocol = timeout(limits.head_timeout, preface(socket)).await.ok()?;
        return Some((Stream::Plain(shared), protocol));
    };
    // Boxed: a plain connection needs no room for it.
    let handshake = Box::pin(tls.accept(shared));
    let stream = timeout(limits.handshake_timeout, handshake).await.ok()?.ok()?;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Some((Stream::Tls(Box::new(stream)), protocol))
}

/// Looks at the first bytes, and leaves them where they are.
async fn preface(socket: &Socket) -> Protocol {
    let mut start = [0; PREFACE.len()];
    let mut known = 0;
    loop {
        match socket.peek(&mut start, known).await {
            Ok(length) if length == PREFACE.len() && start == PREFACE => return Protocol::Http2,
            Ok(length) if length > known && PREFACE.starts_with(&start[..length]) => known = length,
            // Also the end of what never began: hyper sees it as well.
            _ => return Protocol::Http1,
        }
    }
}

/// HTTP/2 with its limits.
fn http2(limits: &ConnectionLimits, request_headers: u32) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(request_headers.saturating_add(HEAD_SLACK))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS);
    builder
}

/// When a request has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    AtOnce,
    /// After the other connections: requests that stand behind each other are no reason for those to wait.
    Behind,
    /// It came too late.
    Never,
}

/// A turn of a connection of HTTP/1.1, in which one request begins. Of one thread, whatever its type says: a connection's
/// future may move.
#[derive(Default)]
struct Turn {
    /// The request that it has room for has begun, or waits for it since the last turn.
    taken: AtomicBool,
    /// A request waits for the next turn.
    awaited: AtomicBool,
}

impl Turn {
    /// The connection is polled again.
    fn next(&self) {
        self.taken.store(self.awaited.swap(false, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// When the request that has just come begins.
    fn order(&self) -> Order {
        if !self.taken.swap(true, Ordering::Relaxed) {
            return Order::AtOnce;
        }
        self.awaited.store(true, Ordering::Relaxed);
        Order::Behind
    }
}

/// How a connection ends before its client ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Without another byte.
    Now,
    /// After the responses that are on their way.
    Gently,
}

/// A connection whose protocol is known.
struct Connection {
    socket: Arc<Socket>,
    seat: Arc<Seat>,
    common: Common,
}

impl Connection {
    async fn http1(self, stream: Stream) {
        let Common { switch, limits, .. } = &self.common;
        let mut phase = self.common.phase.clone();
        let secure = stream.is_secure();
        let app = switch.current();
        let io = ClientIo::new(stream, app.body_timeout(), Arc::clone(&self.seat), None);
        let mut builder = http1::Builder::new();
        builder.max_buf_size(app.limits().request_headers.saturating_add(HEAD_SLACK) as usize);
        if limits.head_fields as usize >= HYPER_FIELDS {
            // Beyond hyper's own number it has to ask for memory for each head.
            builder.max_headers(limits.head_fields as usize + 1);
        }
        drop(app);

        let turn = Turn::default();
        let service = service_fn(|request| {
            let mut busy = self.seat.begin();
            // Nothing can be given up but with the whole connection.
            busy.finish();
            let answer = self.answer(secure, turn.order(), request);
            // Not an async block, which would hold the answer's future twice.
            answer.map(|response| Ok::<_, Infallible>(response.map(|body| Counted::new(body, busy))))
        });
        let mut connection = builder.serve_connection(io, service);
        let mut gone = pin!(self.socket.gone(secure));
        let mut timer = pin!(sleep(limits.head_timeout));
        let waiting = loop {
            tokio::select! {
                biased;
                // How it ended is the client's business: it left, stalled, or sent what is not HTTP.
                _ = poll_fn(|context| {
                    turn.next();
                    connection.poll_unpin(context)
                }) => return,
                end = self.end(&mut phase) => match end {
                    End::Now => return,
                    // Closes at once if idle, else after the response.
                    End::Gently => Pin::new(&mut connection).graceful_shutdown(),
                },
                () = &mut timer => match self.overdue() {
                    Ok(waiting) => break waiting,
                    Err(next) => timer.as_mut().reset(next),
                },
                () = &mut gone => return,
            }
        };
        if waiting == Waiting::Head {
            let late = Problem::HeadStalled(limits.head_timeout);
            let answer = exchange::refuse_unread(late);
            connection.into_parts().io.write_last(answer.as_bytes()).await;
        }
    }

    async fn http2(self, stream: Stream) {
        let Common { switch, limits, .. } = &self.common;
        let mut phase = self.common.phase.clone();
        let secure = stream.is_secure();
        let app = switch.current();
        let frames = Some(Frames::after(PREFACE.len(), std::time::Instant::now()));
        let io = ClientIo::new(stream, app.body_timeout(), Arc::clone(&self.seat), frames);
        let builder = http2(limits, app.limits().request_headers);
        drop(app);

        let sending = Sending::default();
        let leaving = OnceLock::<Instant>::new();
        let service = service_fn(|request: Request<Incoming>| {
            let busy = self.seat.begin();
            let longest = switch.current().body_timeout();
            let head = request.method() == Method::HEAD;
            let late = leaving.get().is_some_and(|since| since.elapsed() > GOAWAY_GRACE);
            let order = if late { Order::Never } else { Order::AtOnce };
            let answer = self.answer(secure, order, request);
            let sending = sending.clone();
            answer.map(move |response| Ok::<_, Infallible>(sending.take(response, head, busy, longest)))
        });
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut timer = pin!(sleep(limits.head_timeout.min(TICK)));
        loop {
            let leave = tokio::select! {
                biased;
                _ = &mut connection => return,
                end = self.end(&mut phase) => match end {
                    End::Now => return,
                    End::Gently => true,
                },
                () = &mut timer => {
                    let tick = sending.end_stalled();
                    let overdue = self.overdue();
                    if leaving.get().is_some() && self.seat.is_quiet(GOAWAY_GRACE) {
                        return;
                    }
                    let next = overdue.err().map_or(tick, |next| next - Instant::now());
                    timer.as_mut().reset(Instant::now() + next.min(tick));
                    overdue.is_ok()
                }
            };
            if leave && leaving.set(Instant::now()).is_ok() {
                // Says goodbye at once, and closes after the last response.
                connection.as_mut().graceful_shutdown();
                timer.as_mut().reset(Instant::now() + GOAWAY_GRACE);
            }
        }
    }

    /// Waits until this connection is to end, and says how.
    async fn end(&self, phase: &mut watch::Receiver<Phase>) -> End {
        loop {
            tokio::select! {
                biased;
                changed = phase.changed() => match (changed, *phase.borrow()) {
                    (Ok(()), Phase::Serving) => {}
                    // Half of a first head is no request, and hyper would wait for the rest of it.
                    (Ok(()), Phase::Draining) if self.seat.is_unused() => return End::Now,
                    (Ok(()), Phase::Draining) => return End::Gently,
                    (Ok(()), Phase::Stopped) | (Err(_), _) => return End::Now,
                },
                // What was answered a moment ago may not be written yet, and a request may have come since this
                // connection was chosen.
                () = self.seat.closed() => {
                    let now = self.seat.is_unused() || self.seat.gave_up() || self.seat.is_quiet(GOAWAY_GRACE);
                    return if now { End::Now } else { End::Gently };
                }
            }
        }
    }

    /// Hands a request to the application that is current.
    fn answer(
        &self,
        secure: bool,
        order: Order,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Response<ResponseBody>> + Send + use<> {
        let Common { switch, alive, limits, .. } = &self.common;
        let crowded = self.seat.crowded().map_or(Ok(()), |most| Err(Problem::Crowded(most)));
        let settled = if order == Order::Never { Err(Problem::Leaving) } else { crowded }
            .and_then(|()| target::check(limits, &request))
            .and_then(|()| target::settle(&mut request, secure));
        let (app, alive, socket) = (switch.current(), alive.clone(), Arc::clone(&self.socket));
        exchange::answer(app, alive, request, settled, order == Order::Behind, move || socket.local())
    }

    /// What was waited for in vain, or when to ask again.
    fn overdue(&self) -> Result<Waiting, Instant> {
        let limits = &self.common.limits;
        let now = Instant::now();
        // A head may begin at any time from now on.
        let soon = now + limits.head_timeout.min(limits.idle_timeout);
        match self.seat.deadline(limits) {
            Some((deadline, waiting)) if deadline <= now => Ok(waiting),
            Some((deadline, _)) => Err(deadline.min(soon)),
            None => Err(soon),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_begins_in_a_turn() {
        let turn = Turn::default();
        turn.next();
        assert_eq!(turn.order(), Order::AtOnce);
        assert_eq!(turn.order(), Order::Behind);
        turn.next();
        // The one that waited has this turn.
        assert_eq!(turn.order(), Order::Behind);
        turn.next();
        turn.next();
        assert_eq!(turn.order(), Order::AtOnce);
    }
}
