//! A client of HTTP/2, and servers to ask.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wadoo_signing::manifest::{Manifest, Trigger};

use crate::binary::{Place, Running};

use crate::guest;

/// A server that does not answer within this is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Body = BoxBody<Bytes, Infallible>;
pub(crate) type Http2 = http2::SendRequest<Body>;

pub(crate) fn place_02(adjust: fn(&mut Manifest)) -> Place {
    Place::new(Trigger::Http02, &guest::hostile(), adjust)
}

pub(crate) fn place_03(adjust: fn(&mut Manifest)) -> Place {
    Place::new(Trigger::Http03, &guest::hostile_03(), adjust)
}

pub(crate) fn empty() -> Body {
    Full::default().boxed()
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://test{path}")).body(empty()).unwrap()
}

/// A request whose body is sent while the test goes on.
pub(crate) fn post(path: &str) -> (mpsc::Sender<Result<Frame<Bytes>, Infallible>>, Request<Body>) {
    let (sender, receiver) = mpsc::channel(1);
    let body = BoxBody::new(StreamBody::new(receiver));
    (sender, Request::post(format!("http://test{path}")).body(body).unwrap())
}

pub(crate) async fn http2_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Http2 {
    let (client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

pub(crate) async fn http2(running: &Running) -> Http2 {
    http2_over(TcpStream::connect(running.address()).await.unwrap()).await
}

pub(crate) async fn send(client: &mut Http2, request: Request<Body>) -> Response<Incoming> {
    timeout(PATIENCE, client.send_request(request)).await.expect("in time").expect("a response")
}

pub(crate) async fn text(response: Response<Incoming>) -> (StatusCode, String) {
    let status = response.status();
    let body =
        timeout(PATIENCE, response.into_body().collect()).await.expect("in time").expect("a whole body");
    (status, String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

pub(crate) async fn assert_healthy(client: &mut Http2) {
    let response = send(client, get("/o")).await;
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(text(response).await, (StatusCode::OK, "ok\n".to_owned()));
}

pub(crate) async fn assert_problem(client: &mut Http2, request: Request<Body>, status: u16) {
    let response = send(client, request).await;
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let (found, text) = text(response).await;
    assert_eq!(found, status, "{text}");
    assert!(text.contains(&format!("\"status\":{status}")), "{text}");
}

pub(crate) fn drain(running: Running) -> String {
    running.signal(Signal::TERM);
    let (code, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}
