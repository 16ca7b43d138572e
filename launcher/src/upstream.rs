//! Connections to the servers that an application sends requests to: made, kept and shared.
//!
//! Owns the pool of one grant: HTTP/1.1 connections that wait for their next request, HTTP/2 connections that many
//! requests share, TLS by rustls with the Mozilla roots and the operator's. Deliberately absent: where requests may go
//! (see `egress`), redirects, proxies, HTTP/2 without TLS. hyper-util's client is not used: it has no limit of
//! connections, its connecting knows nothing of the request's own time-out, and it never sends again what is safe
//! to send again.
//!
//! Invariants: no socket is opened to an address that the `Egress` of this pool did not return for the target, and
//! a request goes only over a connection to its own target (scheme, host and port). Pools of different grants
//! share nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use wadoo_signing::destination::{Host, Scheme};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::authorities::Authorities;
use crate::body::{Held, Paced, Repeatable};
use crate::egress::{Egress, Target};
use crate::outgoing::Times;

/// Longest time after which a connection is used again. Most servers close theirs later. It is closed itself
/// within half that time more.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections to one target that wait for their next request.
pub(crate) const MAX_IDLE: usize = 8;

/// Requests to one target at a time, and so connections to it in use. More wait for as long as connecting may
/// take.
pub(crate) const MAX_REQUESTS: usize = 64;

/// Longest head of a response.
pub(crate) const MAX_RESPONSE_HEAD: usize = 128 << 10;

/// How often a quiet HTTP/2 connection with requests on it is asked whether it still lives, and how long it may
/// think.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The connections of one grant.
pub(crate) struct Upstreams {
    egress: Egress,
    authorities: Option<Authorities>,
    idle_timeout: Duration,
    tls: OnceLock<TlsConnector>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    targets: BTreeMap<Target, Connections>,
    /// A task looks for connections that have waited too long.
    is_swept: bool,
}

/// The connections to one target.
struct Connections {
    places: Arc<Semaphore>,
    waiting: Vec<Waiting>,
    shared: Option<Shared>,
}

/// An HTTP/1.1 connection between two requests.
struct Waiting {
    sender: http1::SendRequest<WasiBody>,
    since: Instant,
}

/// An HTTP/2 connection.
struct Shared {
    sender: http2::SendRequest<WasiBody>,
    used: Instant,
}

enum Sender {
    Http1(http1::SendRequest<WasiBody>),
    Http2(http2::SendRequest<WasiBody>),
}

impl Upstreams {
    /// `authorities` are believed beside the Mozilla roots.
    pub(crate) fn new(egress: Egress, authorities: Option<Authorities>) -> Self {
        let (tls, kept) = (OnceLock::new(), Mutex::default());
        Self { egress, authorities, idle_timeout: IDLE_TIMEOUT, tls, kept }
    }

    /// The target of a request, if it may be sent there.
    pub(crate) fn permit(&self, uri: &Uri) -> Result<Target, Error> {
        self.egress.permit(uri)
    }

    /// Sends a request to its target, which was permitted, and waits for the response's head.
    pub(crate) async fn send(
        self: &Arc<Self>,
        target: Target,
        request: Request<WasiBody>,
        times: Times,
    ) -> Result<Response<WasiBody>, Error> {
        let connected_by = Instant::now() + times.connect;
        let place = self.place(&target, connected_by).await?;
        let uri = request.uri().clone();
        let (mut request, repeat) = Repeat::of(request);
        while let Some(mut sender) = self.reuse(&target) {
            match sender.send(request, &uri, times.first_byte).await {
                Ok(response) => return Ok(self.keep(target, sender, place, response, times.between_bytes)),
                Err(Unanswered { unsent: Some(unsent), .. }) => request = unsent,
                // The server may have closed a connection that waited just when it was used again.
                Err(Unanswered { closed: true, error, .. }) => {
                    request = repeat.as_ref().and_then(Repeat::request).ok_or(error)?;
                }
                Err(Unanswered { error, .. }) => return Err(error),
            }
            // It is of no more use to anybody, whether or not it knows that it is closed. A waiting one is out
            // already.
            self.stop_sharing(&target);
        }
        let connected = timeout_at(connected_by, self.connect(&target)).await;
        let mut sender = connected.map_err(|_| Error::ConnectionTimeout)??;
        match sender.send(request, &uri, times.first_byte).await {
            Ok(response) => Ok(self.keep(target, sender, place, response, times.between_bytes)),
            Err(Unanswered { error, .. }) => Err(error),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What is in it is whole between any two statements that could panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn place(&self, target: &Target, by: Instant) -> Result<OwnedSemaphorePermit, Error> {
        let places = Arc::clone(&self.kept().targets.entry(target.clone()).or_default().places);
        match timeout_at(by, places.acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Error::ConnectionLimitReached),
        }
    }

    /// A connection to the target that is still open, as far as is known.
    fn reuse(&self, target: &Target) -> Option<Sender> {
        let mut kept = self.kept();
        let connections = kept.targets.get_mut(target)?;
        connections.drop_old(self.idle_timeout);
        if let Some(shared) = &mut connections.shared {
            shared.used = Instant::now();
            return Some(Sender::Http2(shared.sender.clone()));
        }
        connections.waiting.pop().map(|waiting| Sender::Http1(waiting.sender))
    }

    fn stop_sharing(&self, target: &Target) {
        if let Some(connections) = self.kept().targets.get_mut(target) {
            connections.shared = None;
        }
    }

    /// Gives a response out, and its connection back when the response is finished.
    fn keep(
        self: &Arc<Self>,
        target: Target,
        sender: Sender,
        place: OwnedSemaphorePermit,
        response: Response<Incoming>,
        pause: Duration,
    ) -> Response<WasiBody> {
        match sender {
            Sender::Http1(mut sender) => {
                let pool = Arc::clone(self);
                tokio::spawn(async move {
                    // Ready when the response was read to its end; an error when it was not.
                    if sender.ready().await.is_ok() {
                        pool.wait_for_next(target, sender);
                    }
                    drop(place);
                });
                response.map(|body| Paced::new(body, pause).boxed_unsync())
            }
            Sender::Http2(sender) => {
                self.share(target, sender);
                response.map(|body| Held::new(Paced::new(body, pause), place).boxed_unsync())
            }
        }
    }

    fn wait_for_next(self: &Arc<Self>, target: Target, sender: http1::SendRequest<WasiBody>) {
        let mut kept = self.kept();
        let waiting = &mut kept.targets.entry(target).or_default().waiting;
        if waiting.len() < MAX_IDLE {
            waiting.push(Waiting { sender, since: Instant::now() });
        }
        self.sweep(&mut kept);
    }

    fn share(self: &Arc<Self>, target: Target, sender: http2::SendRequest<WasiBody>) {
        let mut kept = self.kept();
        kept.targets.entry(target).or_default().shared = Some(Shared { sender, used: Instant::now() });
        self.sweep(&mut kept);
    }

    /// Sees to it that somebody closes what nobody uses any more, for as long as there is anything.
    fn sweep(self: &Arc<Self>, kept: &mut Kept) {
        if std::mem::replace(&mut kept.is_swept, true) {
            return;
        }
        let (pool, pause) = (Arc::downgrade(self), self.idle_timeout);
        tokio::spawn(async move {
            loop {
                sleep(pause / 2).await;
                let Some(pool) = pool.upgrade() else { return };
                let mut kept = pool.kept();
                kept.targets.values_mut().for_each(|connections| connections.drop_old(pause));
                kept.is_swept = kept.targets.values().any(Connections::has_any);
                if !kept.is_swept {
                    return;
                }
            }
        });
    }

    async fn connect(&self, target: &Target) -> Result<Sender, Error> {
        let mut failure = Error::DestinationNotFound;
        for address in self.egress.addresses(target).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // A request is written at once; waiting for more of it helps nobody.
                    stream.set_nodelay(true).map_err(Error::Connect)?;
                    return self.shake_hands(target, stream).await;
                }
                Err(error) => failure = Error::Connect(error),
            }
        }
        Err(failure)
    }

    async fn shake_hands(&self, target: &Target, stream: TcpStream) -> Result<Sender, Error> {
        if target.scheme == Scheme::Http {
            return http_1(stream).await;
        }
        let connector = self.tls.get_or_init(|| tls(self.authorities.as_ref()));
        let stream = connector.connect(server_name(&target.host)?, stream).await.map_err(Error::Tls)?;
        let is_http_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if is_http_2 { http_2(stream).await } else { http_1(stream).await }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_REQUESTS)), waiting: Vec::new(), shared: None }
    }
}

impl Connections {
    fn drop_old(&mut self, idle_timeout: Duration) {
        self.waiting.retain(|waiting| waiting.sender.is_ready() && waiting.since.elapsed() < idle_timeout);
        let is_idle = self.places.available_permits() == MAX_REQUESTS;
        let is_old = |shared: &Shared| is_idle && shared.used.elapsed() >= idle_timeout;
        if self.shared.as_ref().is_some_and(|shared| shared.sender.is_closed() || is_old(shared)) {
            self.shared = None;
        }
    }

    fn has_any(&self) -> bool {
        !self.waiting.is_empty() || self.shared.is_some()
    }
}

/// Why a request has no response.
struct Unanswered {
    error: Error,
    /// The request, if nothing of it was sent.
    unsent: Option<Request<WasiBody>>,
    /// The connection ended.
    closed: bool,
}

impl Sender {
    async fn send(
        &mut self,
        mut request: Request<WasiBody>,
        uri: &Uri,
        longest: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        match self {
            Self::Http1(sender) => {
                // On the wire the target has scheme and authority only when it is sent to a proxy.
                let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
                *request.uri_mut() = Uri::from(path);
                set_host(&mut request, uri);
                answer(timeout(longest, sender.try_send_request(request)).await)
            }
            Self::Http2(sender) => {
                *request.uri_mut() = uri.clone();
                request.headers_mut().remove(HOST);
                answer(timeout(longest, sender.try_send_request(request)).await)
            }
        }
    }
}

fn set_host(request: &mut Request<WasiBody>, uri: &Uri) {
    let authority = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(authority) = authority {
        request.headers_mut().insert(HOST, authority);
    }
}

type Attempt = Result<Response<Incoming>, TrySendError<Request<WasiBody>>>;

fn answer(attempt: Result<Attempt, tokio::time::error::Elapsed>) -> Result<Response<Incoming>, Unanswered> {
    match attempt {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(mut failure)) => {
            let unsent = failure.take_message();
            let error = failure.into_error();
            // A reset and an end are one thing to somebody who has not had a byte.
            let closed =
                error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_reset(&error);
            Err(Unanswered { error: Error::from(error), unsent, closed })
        }
        Err(_) => Err(Unanswered { error: Error::ConnectionReadTimeout, unsent: None, closed: false }),
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|error| {
        matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted | UnexpectedEof)
    })
}

/// What is needed to send a request again.
struct Repeat {
    method: Method,
    headers: HeaderMap,
    body: Repeatable,
}

impl Repeat {
    /// Keeps what is needed, if sending the request twice changes nothing on the server: its method is one that
    /// RFC 9110 calls safe.
    fn of(request: Request<WasiBody>) -> (Request<WasiBody>, Option<Self>) {
        if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return (request, None);
        }
        let (parts, body) = request.into_parts();
        let body = Repeatable::new(body);
        let repeat =
            Self { method: parts.method.clone(), headers: parts.headers.clone(), body: body.clone() };
        (Request::from_parts(parts, body.boxed_unsync()), Some(repeat))
    }

    /// The request once more, unless something of its body is gone.
    fn request(&self) -> Option<Request<WasiBody>> {
        if !self.body.is_whole() {
            return None;
        }
        let mut request = Request::new(self.body.clone().boxed_unsync());
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        Some(request)
    }
}

async fn http_1<S>(stream: S) -> Result<Sender, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_RESPONSE_HEAD);
    let (sender, connection) = builder.handshake::<_, WasiBody>(TokioIo::new(stream)).await?;
    // It ends with its sender, and tells its errors to whoever waits for a response.
    tokio::spawn(connection);
    Ok(Sender::Http1(sender))
}

async fn http_2<S>(stream: S) -> Result<Sender, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_RESPONSE_HEAD as u32)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    let (sender, connection) = builder.handshake::<_, WasiBody>(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(Sender::Http2(sender))
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Error> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Localhost | Host::Name(_) => {
            ServerName::try_from(host.to_string()).map_err(|_| Error::HttpRequestUriInvalid)
        }
    }
}

/// Made at the first use: 140 root certificates are not free, and most applications never need them.
fn tls(authorities: Option<&Authorities>) -> TlsConnector {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(authorities) = authorities {
        authorities.join(&mut roots);
    }
    trusting(roots)
}

fn trusting(roots: rustls::RootCertStore) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

#[cfg(test)]
mod tests;
