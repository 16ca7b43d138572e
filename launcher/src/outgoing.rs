//! Requests that an application sends: where they may go, and how they get there.
//!
//! Owns the connection (TCP, TLS by rustls with the Mozilla roots), and its time-outs.
//! Deliberately absent: where requests may go (see `egress`), a connection pool, redirects, HTTP/2, proxies.
//!
//! Invariant: no socket is opened to an address that `egress` did not return for this request.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::uri::PathAndQuery;
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
use wadoo_signing::destination::{Host, Scheme};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::body::Paced;
use crate::egress::{Egress, Target};

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
    egress: Arc<Egress>,
    connections: Arc<Semaphore>,
}

impl Outgoing {
    pub(crate) fn new(egress: Arc<Egress>) -> Self {
        Self { egress, connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
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
        let target = self.egress.permit(request.uri());
        let egress = Arc::clone(&self.egress);
        let connections = Arc::clone(&self.connections);
        Box::new(async move {
            let target = target?;
            let permit = connections.try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)?;
            let times = Times::of(options);
            let (response, driver) = exchange(&egress, &target, request, times).await?;
            let driver = async move {
                let _permit = permit;
                driver.await.map_err(Error::from)
            };
            Ok((response, Box::new(driver) as Box<dyn Future<Output = _> + Send>))
        })
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
    egress: &Egress,
    target: &Target,
    mut request: Request<WasiBody>,
    times: Times,
) -> Result<(Response<WasiBody>, Driver), Error> {
    let (mut sender, driver) =
        timeout(times.connect, connect(egress, target)).await.map_err(|_| Error::ConnectionTimeout)??;

    // On the wire the target has scheme and authority only when it is sent to a proxy.
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);

    let response = timeout(times.first_byte, sender.send_request(request))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)?
        .map_err(Error::from)?;
    let response = response.map(|body: Incoming| Paced::new(body, times.between_bytes).boxed_unsync());
    Ok((response, driver))
}

async fn connect(egress: &Egress, target: &Target) -> Result<(http1::SendRequest<WasiBody>, Driver), Error> {
    let mut failure = Error::DestinationNotFound;
    for address in egress.addresses(target).await? {
        match TcpStream::connect(address).await {
            Ok(stream) if target.scheme == Scheme::Https => {
                let name = server_name(&target.host)?;
                return handshake(tls().connect(name, stream).await.map_err(Error::Tls)?).await;
            }
            Ok(stream) => return handshake(stream).await,
            Err(error) => failure = Error::Connect(error),
        }
    }
    Err(failure)
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Error> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Localhost | Host::Name(_) => {
            ServerName::try_from(host.to_string()).map_err(|_| Error::HttpRequestUriInvalid)
        }
    }
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
    use wadoo_signing::manifest::OutgoingHttp;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn an_unlisted_host_is_denied_before_anything_is_opened() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let hosts = [format!("localhost:{}", address.port()).parse().unwrap()].into();
        let egress = Egress::new(OutgoingHttp { hosts, ..OutgoingHttp::default() });
        let mut outgoing = Outgoing::new(Arc::new(egress));
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(format!("http://{address}/")).body(body).unwrap();
        let answer = Box::into_pin(outgoing.send_request(request, None, Box::new(async { Ok(()) }))).await;
        assert!(matches!(answer, Err(Error::HttpRequestDenied)));
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
