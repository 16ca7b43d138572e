//! Requests that an application sends: where they may go, and how they get there.
//!
//! Owns the allow-list, the connection (TCP, TLS by rustls with the Mozilla roots), and its time-outs.
//! Deliberately absent: a connection pool, redirects, HTTP/2, proxies.
//!
//! Invariant: nothing is looked up and no socket is opened before `host:port` was found in the grant.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::body::Paced;

/// Longest time to look up the host, connect and shake hands. A guest can ask for less.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the response's head. A guest can ask for less.
pub(crate) const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest pause of the response's body. A guest can ask for less.
pub(crate) const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections that one instance may have open at a time.
pub(crate) const MAX_CONNECTIONS: usize = 32;

/// Longest head of a response.
pub(crate) const MAX_RESPONSE_HEAD: usize = 128 << 10;

type Answer = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// The right of one instance to send requests.
pub(crate) struct Outgoing {
    hosts: Arc<BTreeSet<String>>,
    connections: Arc<Semaphore>,
}

impl Outgoing {
    /// `hosts` holds `host:port` in lower case. Empty: every request is denied.
    pub(crate) fn new(hosts: Arc<BTreeSet<String>>) -> Self {
        Self { hosts, connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // It would tell the sender of a request that its response could not be processed; nothing here asks.
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        let peer = Peer::of(request.uri()).and_then(|peer| {
            if self.hosts.contains(&peer.name()) { Ok(peer) } else { Err(Error::HttpRequestDenied) }
        });
        let connections = Arc::clone(&self.connections);
        Box::new(async move {
            let peer = peer?;
            let permit = connections.try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)?;
            let times = Times::of(options);
            let (response, driver) = exchange(peer, request, times).await?;
            let driver = async move {
                let _permit = permit;
                driver.await.map_err(Error::from)
            };
            Ok((response, Box::new(driver) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

/// Where a request goes, taken from its URI once, so that what was allowed is what is connected to.
#[derive(Debug, PartialEq, Eq)]
struct Peer {
    /// Lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
    tls: bool,
}

impl Peer {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let tls = match uri.scheme() {
            None => true,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) => return Err(Error::HttpProtocolError),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        // User information would let the text before `@` pass for the host in the eyes of a reader.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(Error::HttpRequestUriInvalid);
        }
        let port = match authority.port() {
            Some(port) => port.as_str().parse().map_err(|_| Error::HttpRequestUriInvalid)?,
            None if authority.as_str().ends_with(':') => return Err(Error::HttpRequestUriInvalid),
            None if tls => 443,
            None => 80,
        };
        Ok(Self { host: authority.host().to_ascii_lowercase(), port, tls })
    }

    /// As grants are written.
    fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn server_name(&self) -> Result<ServerName<'static>, Error> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        ServerName::try_from(bare).map_err(|_| Error::HttpRequestUriInvalid)
    }
}

/// Time-outs of one request: the guest's wishes, within ours.
struct Times {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Times {
    fn of(options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        let within = |wish: Option<Duration>, most: Duration| wish.map_or(most, |wish| wish.min(most));
        Self {
            connect: within(options.connect_timeout, CONNECT_TIMEOUT),
            first_byte: within(options.first_byte_timeout, FIRST_BYTE_TIMEOUT),
            between_bytes: within(options.between_bytes_timeout, BETWEEN_BYTES_TIMEOUT),
        }
    }
}

type Driver = AbortOnDropJoinHandle<Result<(), hyper::Error>>;

/// One request on a connection of its own, up to the response's head. The driver moves the rest.
async fn exchange(
    peer: Peer,
    mut request: Request<WasiBody>,
    times: Times,
) -> Result<(Response<WasiBody>, Driver), Error> {
    let (mut sender, driver) =
        timeout(times.connect, connect(&peer)).await.map_err(|_| Error::ConnectionTimeout)??;

    // On the wire the target has scheme and authority only when it is sent to a proxy.
    let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(target);

    let response = timeout(times.first_byte, sender.send_request(request))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)?
        .map_err(Error::from)?;
    let response = response.map(|body: Incoming| Paced::new(body, times.between_bytes).boxed_unsync());
    Ok((response, driver))
}

async fn connect(peer: &Peer) -> Result<(http1::SendRequest<WasiBody>, Driver), Error> {
    let addresses = tokio::net::lookup_host(peer.name())
        .await
        .map_err(|_| Error::DnsError { rcode: None, info_code: None })?;
    let mut failure = Error::DestinationNotFound;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) if peer.tls => {
                let stream = tls().connect(peer.server_name()?, stream).await.map_err(Error::Tls)?;
                return handshake(stream).await;
            }
            Ok(stream) => return handshake(stream).await,
            Err(error) => failure = Error::Connect(error),
        }
    }
    Err(failure)
}

async fn handshake<S>(stream: S) -> Result<(http1::SendRequest<WasiBody>, Driver), Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_RESPONSE_HEAD);
    let (sender, connection) = builder.handshake::<_, WasiBody>(TokioIo::new(stream)).await?;
    Ok((sender, spawn(connection)))
}

/// Made at the first use: parsing 140 root certificates is not free, and most applications never need it.
fn tls() -> &'static TlsConnector {
    static CONNECTOR: OnceLock<TlsConnector> = OnceLock::new();
    CONNECTOR.get_or_init(|| {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Empty;

    use super::*;

    fn peer(uri: &str) -> Result<String, Error> {
        Peer::of(&uri.parse().expect("a URI")).map(|peer| peer.name())
    }

    #[test]
    fn the_peer_is_host_and_port_of_the_authority() {
        assert_eq!(peer("https://API.example.com/x").unwrap(), "api.example.com:443");
        assert_eq!(peer("http://api.example.com/x").unwrap(), "api.example.com:80");
        assert_eq!(peer("https://api.example.com:8443").unwrap(), "api.example.com:8443");
        assert_eq!(peer("http://[::1]:8080/").unwrap(), "[::1]:8080");
        assert!(peer("https://api.example.com@evil.example/").is_err());
        assert!(peer("ftp://api.example.com/").is_err());
        assert!(peer("/only/a/path").is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_unlisted_host_is_denied_before_anything_is_opened() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let hosts = BTreeSet::from([format!("localhost:{}", address.port())]);
        let mut outgoing = Outgoing::new(Arc::new(hosts));
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(format!("http://{address}/")).body(body).unwrap();
        let answer = Box::into_pin(outgoing.send_request(request, None, Box::new(async { Ok(()) }))).await;
        assert!(matches!(answer, Err(Error::HttpRequestDenied)));
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
