//! The bytes of one client: TCP or a Unix socket, in the clear or through TLS.
//!
//! Owns reading, writing and the look at whether the client is still there. What the bytes mean is for
//! `connection`.
//!
//! Invariant: a client that takes nothing of what is written for too long loses the connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;

use crate::body::Pause;
use crate::frames::Frames;
use crate::seat::Seat;

/// Pause before the socket is looked at again while bytes that nobody reads yet hide whether the client is
/// still there.
const UNREAD_PAUSE: Duration = Duration::from_millis(250);

/// The longest record in which a TLS client says goodbye: an alert of 2 bytes, with the header, nonce and tag of
/// TLS 1.2.
const GOODBYE_BYTES: usize = 5 + 8 + 2 + 16;

/// Reads in a row after which other connections have their turn. What comes in one read can be hundreds of frames.
const READS_IN_A_TURN: u32 = 4;

/// The socket of a client.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Does the same with either kind of stream.
macro_rules! with {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
        }
    };
}

/// A client's socket on its way from one thread to another.
pub(crate) enum Moving {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Moving {
    /// Lets the runtime that this is called on watch it.
    pub(crate) fn arrive(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Socket::Tcp),
            Self::Unix(stream) => UnixStream::from_std(stream).map(Socket::Unix),
        }
    }
}

impl Socket {
    /// Takes it from the runtime that watches it.
    pub(crate) fn leave(self) -> io::Result<Moving> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(Moving::Tcp),
            Self::Unix(stream) => stream.into_std().map(Moving::Unix),
        }
    }

    /// Where the client is, if that is an address.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|peer| peer.ip()),
            Self::Unix(_) => None,
        }
    }

    /// The address that the client connected to.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Waits for more unread bytes than `known` and looks at them without taking them. No more mean that the client has
    /// closed its side.
    pub(crate) async fn peek(&self, buffer: &mut [u8], known: usize) -> io::Result<usize> {
        with!(self, stream => loop {
            let closed = stream.ready(Interest::READABLE).await?.is_read_closed();
            let look = || match rustix::net::recv(stream, &mut *buffer, RecvFlags::PEEK)?.1 {
                // So that it is the next byte that wakes.
                length @ 1.. if length <= known && !closed => Err(io::ErrorKind::WouldBlock.into()),
                length => Ok(length),
            };
            match stream.try_io(Interest::READABLE, look) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        })
    }

    /// Resolves when the client has closed its side and nothing that it sent is unread. hyper sees that only
    /// while it reads, which it does not before the guest asks for the request's body. A TLS client may have left
    /// a goodbye, which is no reason to wait for a reader.
    pub(crate) async fn gone(&self, secure: bool) {
        let mut unread = [0; GOODBYE_BYTES + 1];
        let most = if secure { unread.len() } else { 1 };
        while let Ok(length @ 1..) = self.peek(&mut unread[..most], 0).await {
            if secure && length <= GOODBYE_BYTES && self.is_closed().await {
                return;
            }
            sleep(UNREAD_PAUSE).await;
        }
    }

    /// Whether the client has closed its side, unread bytes or not. To be asked of a readable socket.
    async fn is_closed(&self) -> bool {
        with!(self, stream => stream.ready(Interest::READABLE).await)
            .is_ok_and(|ready| ready.is_read_closed())
    }

    /// Tries until it is done or the socket is not ready.
    fn poll_write_with(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&Self) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(with!(self, stream => stream.poll_write_ready(context)))?;
            match write(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

/// A socket that somebody else watches as well.
pub(crate) struct Watched(pub(crate) Arc<Socket>);

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &*self.0;
        loop {
            ready!(with!(socket, stream => stream.poll_read_ready(context)))?;
            let room = buffer.remaining();
            match with!(socket, stream => stream.try_read_buf(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    if 0 < read && read < room {
                        // Everything that had come is read. Saying so saves asking the system in vain.
                        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                        let _ = with!(socket, stream => stream.try_io(Interest::READABLE, nothing));
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write_with(context, |socket| with!(socket, stream => stream.try_write(bytes)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_with(context, |socket| with!(socket, stream => stream.try_write_vectored(parts)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A client that is gone already needs no goodbye.
        let _ = with!(&*self.0, stream => rustix::net::shutdown(stream, rustix::net::Shutdown::Write));
        Poll::Ready(Ok(()))
    }
}

/// What a client sends and gets, once the bytes are in the clear. One type, so that there is one copy of each
/// protocol's code.
pub(crate) enum Stream {
    Plain(Watched),
    Tls(Box<TlsStream<Watched>>),
}

impl Stream {
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// Calls a method of either kind of stream.
macro_rules! either {
    ($this:expr, $stream:ident => $call:expr) => {
        match $this.get_mut() {
            Stream::Plain($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}

/// A stream whose frames are counted if it carries HTTP/2.
struct Counted {
    stream: Stream,
    frames: Option<Frames>,
    /// What was written last held a part of a response.
    responded: bool,
}

impl Counted {
    fn wrote(&mut self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(length)) = poll {
            self.responded = self.frames.as_mut().is_none_or(|frames| frames.wrote(length));
        }
        poll
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        let too_many = self.frames.as_mut().is_some_and(|frames| frames.read(&buffer.filled()[before..]));
        if too_many { Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())) } else { poll }
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(poll)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The stream as hyper has it. A client that takes nothing of a response for too long loses it: nobody else
/// would notice, because the response's body is not asked for more until there is room.
pub(crate) struct ClientIo {
    stream: TokioIo<Counted>,
    pause: Pause,
    seat: Arc<Seat>,
    reads: u32,
    /// Something was read, and nothing written since.
    unanswered: bool,
}

impl ClientIo {
    /// `longest` is how long the client may take nothing; `frames` count those of HTTP/2.
    pub(crate) fn new(stream: Stream, longest: Duration, seat: Arc<Seat>, frames: Option<Frames>) -> Self {
        let stream = TokioIo::new(Counted { stream, frames, responded: false });
        Self { stream, pause: Pause::new(longest), seat, reads: 0, unanswered: false }
    }

    /// Writes the last bytes that the client gets, as far as there is room for them.
    pub(crate) async fn write_last(self, bytes: &[u8]) {
        let mut stream = self.stream.into_inner();
        let write = async {
            tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await?;
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await
        };
        let _ = tokio::time::timeout(self.pause.longest().min(UNREAD_PAUSE), write).await;
    }

    /// Lets the other connections that are ready have their turn before an answer is written. Writing wakes the
    /// client, and where it is on this machine, a proxy mostly, waking it for each of several answers costs nearly as
    /// much as making one: so it is woken for all of them.
    fn gives_way(&mut self, context: &Context<'_>) -> bool {
        let gives_way = std::mem::take(&mut self.unanswered);
        if gives_way {
            context.waker().wake_by_ref();
        }
        gives_way
    }

    fn wrote(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(poll, Poll::Ready(Ok(1..))) && self.stream.inner().responded {
            self.seat.responded();
        }
        self.paced(context, poll)
    }

    fn paced<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Ready(result) => {
                self.pause.moved();
                self.seat.unwritten(false);
                Poll::Ready(result)
            }
            Poll::Pending => {
                self.seat.unwritten(true);
                self.pause.poll_exceeded(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reads == READS_IN_A_TURN {
            self.reads = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if poll.is_ready() {
            self.reads += 1;
            self.unanswered = true;
            // Frames of HTTP/2 come at any time, whether they are a head or not.
            if self.stream.inner().frames.is_none() {
                self.seat.heard();
            }
        } else {
            self.reads = 0;
        }
        poll
    }
}

impl Write for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gives_way(context) {
            return Poll::Pending;
        }
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.gives_way(context) {
            return Poll::Pending;
        }
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.paced(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The goodbye of TLS is written too.
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.paced(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_look_waits_for_another_byte_or_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::Tcp(listener.accept().await.unwrap().0);
        let mut buffer = [0; 8];
        client.write_all(b"P").await.unwrap();
        assert_eq!(socket.peek(&mut buffer, 0).await.unwrap(), 1);
        let mut look = Box::pin(socket.peek(&mut buffer, 1));
        for _ in 0..10 {
            assert!(look.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        client.write_all(b"R").await.unwrap();
        assert_eq!(look.await.unwrap(), 2);
        drop(client);
        assert_eq!(socket.peek(&mut buffer, 2).await.unwrap(), 2);
        assert_eq!(&buffer[..2], b"PR");
    }
}
