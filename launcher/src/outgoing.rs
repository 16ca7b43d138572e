//! Requests that an application sends, as one instance of it sends them.
//!
//! Owns the right of an instance to send, and the time-outs of a request. Deliberately absent: where requests may
//! go (see `egress`) and how they get there (see `upstream`).
//!
//! Invariant: a request leaves only after its own target was found in the grant of the interface that sends it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::body::Held;
use crate::upstream::Upstreams;

/// Longest time to wait for a place, look up the host, connect and shake hands. A guest can ask for less.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the response's head. A guest can ask for less.
pub(crate) const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest pause of the response's body. A guest can ask for less.
pub(crate) const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests that one instance may have under way at a time, bodies of their responses included.
pub(crate) const MAX_REQUESTS: usize = 32;

type Answer = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);
type Sent = Box<dyn Future<Output = Result<Answer, Error>> + Send>;

/// The right of one instance to send requests.
pub(crate) struct Outgoing {
    upstreams: Arc<Upstreams>,
    places: Arc<Semaphore>,
}

impl Outgoing {
    pub(crate) fn new(upstreams: Arc<Upstreams>) -> Self {
        Self { upstreams, places: Arc::new(Semaphore::new(MAX_REQUESTS)) }
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // It would tell the sender of a request that its response could not be processed; nothing here asks.
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sent {
        let target = match *request.method() {
            // It asks a server to become a tunnel to wherever it says.
            Method::CONNECT => Err(Error::HttpRequestMethodInvalid),
            _ => self.upstreams.permit(request.uri()),
        };
        let (upstreams, places) = (Arc::clone(&self.upstreams), Arc::clone(&self.places));
        Box::new(async move {
            let target = target?;
            let place = places.try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)?;
            let response = upstreams.send(target, request, Times::of(options)).await?;
            let response = response.map(|body| Held::new(body, place).boxed_unsync());
            // Nothing is left to drive: the connection outlives the request.
            Ok((response, Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

/// An instance that has no right to send any.
pub(crate) struct NotGranted;

impl WasiHttpHooks for NotGranted {
    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sent {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

/// Time-outs of one request: the guest's wishes, within ours.
pub(crate) struct Times {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) between_bytes: Duration,
}

impl Times {
    pub(crate) fn of(options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        let within = |wish: Option<Duration>, most: Duration| wish.map_or(most, |wish| wish.min(most));
        Self {
            connect: within(options.connect_timeout, CONNECT_TIMEOUT),
            first_byte: within(options.first_byte_timeout, FIRST_BYTE_TIMEOUT),
            between_bytes: within(options.between_bytes_timeout, BETWEEN_BYTES_TIMEOUT),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Empty;
    use wadoo_signing::manifest::OutgoingHttp;

    use super::*;
    use crate::egress::Egress;

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_not_granted_is_denied_before_anything_is_opened() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let hosts = [format!("localhost:{}", address.port()).parse().unwrap()].into();
        let egress = Egress::new(OutgoingHttp { hosts, ..OutgoingHttp::default() });
        let mut outgoing = Outgoing::new(Arc::new(Upstreams::new(egress, None)));
        let mut send = |method: Method, url: String| {
            let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
            let request = Request::builder().method(method).uri(url).body(body).unwrap();
            Box::into_pin(outgoing.send_request(request, None, Box::new(async { Ok(()) })))
        };
        let unlisted = send(Method::GET, format!("http://{address}/")).await;
        assert!(matches!(unlisted, Err(Error::HttpRequestDenied)));
        let tunnel = send(Method::CONNECT, format!("http://localhost:{}/", address.port())).await;
        assert!(matches!(tunnel, Err(Error::HttpRequestMethodInvalid)));
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
