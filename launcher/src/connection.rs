//! One connection of a client: HTTP/1.1, until it ends, is idle when the server drains, or stalls.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::body::Pause;
use crate::exchange;
use crate::server::{Alive, Phase, Switch};

/// Longest wait for a request's head, from the end of the request before it or the connection's beginning:
/// how long a connection may be idle, and how slowly a head may come.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What hyper reads of a head beyond the application's limit before it gives up, so that the refusal can
/// say more than a bare status.
const HEAD_SLACK: usize = 16 << 10;

/// Serves one connection to its end.
pub(crate) async fn serve(
    stream: TcpStream,
    switch: Switch,
    alive: Alive,
    mut phase: watch::Receiver<Phase>,
) {
    let limits = switch.current();
    let io = ClientIo::new(stream, limits.body_timeout());
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size((limits.limits().request_headers as usize).saturating_add(HEAD_SLACK));
    drop(limits);

    let service = service_fn(move |request| {
        let (app, alive) = (switch.current(), alive.clone());
        async move { Ok::<_, Infallible>(exchange::answer(app, alive, request).await) }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    loop {
        tokio::select! {
            biased;
            // How it ended is the client's business: it left, stalled, or sent what is not HTTP.
            _ = &mut connection => return,
            changed = phase.changed() => match (changed, *phase.borrow()) {
                (Ok(()), Phase::Serving) => {}
                // Closes at once if idle, else after the response.
                (Ok(()), Phase::Draining) => connection.as_mut().graceful_shutdown(),
                (Ok(()), Phase::Stopped) | (Err(_), _) => return,
            },
        }
    }
}

/// The socket of a client. A client that takes nothing of a response for too long loses it: nobody else
/// would notice, because the response's body is not asked for more until there is room.
struct ClientIo {
    stream: TokioIo<TcpStream>,
    pause: Pause,
}

impl ClientIo {
    fn new(stream: TcpStream, longest: Duration) -> Self {
        Self { stream: TokioIo::new(stream), pause: Pause::new(longest) }
    }

    fn paced<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Ready(result) => {
                self.pause.moved();
                Poll::Ready(result)
            }
            Poll::Pending => self.pause.poll_exceeded(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.paced(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.paced(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
