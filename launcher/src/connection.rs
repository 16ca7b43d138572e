//! One connection of a client: HTTP/1.1, until it ends, is idle when the server drains, or stalls.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::body::Pause;
use crate::exchange;
use crate::server::{Alive, Phase, Switch};

/// Longest wait for a request's head, from the end of the request before it or the connection's beginning:
/// how long a connection may be idle, and how slowly a head may come.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What hyper reads of a head beyond the application's limit before it gives up, so that the refusal can
/// say more than a bare status.
const HEAD_SLACK: usize = 16 << 10;

/// Pause before the socket is looked at again while bytes that nobody reads yet hide whether the client is
/// still there.
const UNREAD_PAUSE: Duration = Duration::from_millis(250);

/// Serves one connection to its end.
pub(crate) async fn serve(
    stream: TcpStream,
    switch: Switch,
    alive: Alive,
    mut phase: watch::Receiver<Phase>,
) {
    let stream = Arc::new(stream);
    let limits = switch.current();
    let io = ClientIo::new(Arc::clone(&stream), limits.body_timeout());
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size((limits.limits().request_headers as usize).saturating_add(HEAD_SLACK));
    drop(limits);

    // Whether a head has come whole.
    let begun = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        begun.store(true, Ordering::Relaxed);
        let (app, alive, stream) = (switch.current(), alive.clone(), Arc::clone(&stream));
        async move {
            let local = move || stream.local_addr().ok();
            Ok::<_, Infallible>(exchange::answer(app, alive, request, local).await)
        }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut gone = pin!(gone(&stream));
    loop {
        tokio::select! {
            biased;
            // How it ended is the client's business: it left, stalled, or sent what is not HTTP.
            _ = &mut connection => return,
            changed = phase.changed() => match (changed, *phase.borrow()) {
                (Ok(()), Phase::Serving) => {}
                // Half of a first head is no request, and hyper would wait for the rest of it.
                (Ok(()), Phase::Draining) if !begun.load(Ordering::Relaxed) => return,
                // Closes at once if idle, else after the response.
                (Ok(()), Phase::Draining) => connection.as_mut().graceful_shutdown(),
                (Ok(()), Phase::Stopped) | (Err(_), _) => return,
            },
            () = &mut gone => return,
        }
    }
}

/// Resolves when the client has closed its side and nothing that it sent is unread. hyper sees that only
/// while it reads, which it does not before the guest asks for the request's body.
async fn gone(stream: &TcpStream) {
    while let Ok(1..) = stream.peek(&mut [0]).await {
        sleep(UNREAD_PAUSE).await;
    }
}

/// The socket of a client. A client that takes nothing of a response for too long loses it: nobody else
/// would notice, because the response's body is not asked for more until there is room.
struct ClientIo {
    stream: TokioIo<Socket>,
    pause: Pause,
}

impl ClientIo {
    fn new(stream: Arc<TcpStream>, longest: Duration) -> Self {
        Self { stream: TokioIo::new(Socket(stream)), pause: Pause::new(longest) }
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

/// A stream that somebody else watches as well.
struct Socket(Arc<TcpStream>);

impl Socket {
    /// Tries until it is done or the stream is not ready.
    fn poll_write_with(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            let room = buffer.remaining();
            match self.0.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    if 0 < read && read < room {
                        // Everything that had come is read. Saying so saves asking the system in vain.
                        let _ = self
                            .0
                            .try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |stream| stream.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A client that is gone already needs no goodbye.
        let _ = rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}
