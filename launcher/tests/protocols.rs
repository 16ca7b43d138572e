//! HTTP/2 and TLS, over real sockets: what holds for HTTP/1.1 holds there as well.

mod binary;
mod guest;

use std::convert::Infallible;
use std::fs;
use std::io::BufRead as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt as _;
use futures::channel::mpsc;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wadoo_signing::manifest::{Manifest, Trigger};

use crate::binary::{Place, Running};

/// A server that does not answer within this is broken.
const PATIENCE: Duration = Duration::from_secs(30);

type Body = BoxBody<Bytes, Infallible>;
type Http2 = http2::SendRequest<Body>;

fn place_02(adjust: fn(&mut Manifest)) -> Place {
    Place::new(Trigger::Http02, &guest::hostile(), adjust)
}

fn place_03(adjust: fn(&mut Manifest)) -> Place {
    Place::new(Trigger::Http03, &guest::hostile_03(), adjust)
}

fn empty() -> Body {
    Full::default().boxed()
}

fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://test{path}")).body(empty()).unwrap()
}

/// A request whose body is sent while the test goes on.
fn post(path: &str) -> (mpsc::Sender<Result<Frame<Bytes>, Infallible>>, Request<Body>) {
    let (sender, receiver) = mpsc::channel(1);
    let body = BoxBody::new(StreamBody::new(receiver));
    (sender, Request::post(format!("http://test{path}")).body(body).unwrap())
}

async fn http2_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Http2 {
    let (client, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    client
}

async fn http2(running: &Running) -> Http2 {
    http2_over(TcpStream::connect(running.address()).await.unwrap()).await
}

async fn send(client: &mut Http2, request: Request<Body>) -> Response<Incoming> {
    timeout(PATIENCE, client.send_request(request)).await.expect("in time").expect("a response")
}

async fn text(response: Response<Incoming>) -> (StatusCode, String) {
    let status = response.status();
    let body =
        timeout(PATIENCE, response.into_body().collect()).await.expect("in time").expect("a whole body");
    (status, String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

async fn assert_healthy(client: &mut Http2) {
    let response = send(client, get("/o")).await;
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(text(response).await, (StatusCode::OK, "ok\n".to_owned()));
}

async fn assert_problem(client: &mut Http2, request: Request<Body>, status: u16) {
    let response = send(client, request).await;
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let (found, text) = text(response).await;
    assert_eq!(found, status, "{text}");
    assert!(text.contains(&format!("\"status\":{status}")), "{text}");
}

fn drain(running: Running) -> String {
    running.signal(Signal::TERM);
    let (code, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}

#[tokio::test]
async fn one_connection_carries_many_requests_of_either_version_of_wasi() {
    for place in [place_02(|_| {}), place_03(|_| {})] {
        let running = place.start();
        let mut client = http2(&running).await;
        let slow: Vec<_> = (0..3).map(|_| client.send_request(get("/q"))).collect();
        // The slow ones wait for 300 ms, and this one does not wait for them.
        assert_healthy(&mut client).await;
        for response in slow {
            assert_eq!(text(response.await.unwrap()).await.0, StatusCode::OK);
        }
        let head = Request::head("http://test/o").body(empty()).unwrap();
        assert_eq!(text(send(&mut client, head).await).await, (StatusCode::OK, String::new()));
        // The other protocol on the same address.
        assert!(running.get("/o").starts_with("HTTP/1.1 200 OK"));
        drain(running);
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once_with_trailers_at_their_end() {
    let running = place_03(|_| {}).start();
    let mut client = http2(&running).await;
    let (mut body, request) = post("/c");
    let response = client.send_request(request);
    body.send(Ok(Frame::data("hello".into()))).await.unwrap();
    let mut response = timeout(PATIENCE, response).await.unwrap().unwrap();
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.data_ref().unwrap(), "hello", "before the rest is sent");
    body.send(Ok(Frame::data(" world".into()))).await.unwrap();
    let trailers = HeaderMap::from_iter([("sum".parse().unwrap(), HeaderValue::from_static("11"))]);
    body.send(Ok(Frame::trailers(trailers.clone()))).await.unwrap();
    drop(body);
    let rest = timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
    assert_eq!(rest.trailers(), Some(&trailers));
    assert_eq!(rest.to_bytes(), " world");
    drain(running);
}

#[tokio::test]
async fn requests_are_refused_as_over_http1() {
    let running = place_02(|_| {}).start();
    let mut client = http2(&running).await;
    let with = |name: &str, value: &str| {
        let mut request = get("/o");
        request.headers_mut().insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        request
    };
    let large = Request::post("http://test/r").body(Full::from(vec![b'x'; 10_001]).boxed()).unwrap();
    assert_problem(&mut client, large, 413).await;
    assert_problem(&mut client, with("x", &"x".repeat(9000)), 431).await;
    assert_problem(&mut client, get(&format!("/o?{}", "x".repeat(8300))), 414).await;
    assert_problem(&mut client, with("host", "other"), 400).await;
    assert_problem(&mut client, Request::get("http://a@test/o").body(empty()).unwrap(), 400).await;
    let tunnel = Request::connect("test:443").body(empty()).unwrap();
    assert_eq!(send(&mut client, tunnel).await.status(), StatusCode::NOT_IMPLEMENTED);
    let mut many = get("/o");
    for index in 0..97 {
        many.headers_mut()
            .insert(http::HeaderName::try_from(format!("x-{index}")).unwrap(), "x".parse().unwrap());
    }
    assert_problem(&mut client, many, 431).await;
    // One cookie in many fields is one field.
    let mut cookies = get("/o");
    for _ in 0..200 {
        cookies.headers_mut().append("cookie", HeaderValue::from_static("a=b"));
    }
    assert_eq!(send(&mut client, cookies).await.status(), StatusCode::OK);
    // None of it ended the connection.
    assert_healthy(&mut client).await;
    drain(running);
}

#[tokio::test]
async fn a_client_that_gives_up_a_request_takes_its_guest_with_it() {
    let place = place_02(|manifest| {
        manifest.limits.concurrency = 1;
        manifest.limits.timeout_ms = None;
    });
    let running = place.start();
    let mut client = http2(&running).await;
    // It sleeps for ever.
    let sleeping = client.send_request(get("/z"));
    assert_problem(&mut client, get("/o"), 503).await;
    drop(sleeping);
    assert_healthy(&mut client).await;
    // And so does a whole connection.
    let sleeping = client.send_request(get("/z"));
    assert_problem(&mut client, get("/o"), 503).await;
    drop((sleeping, client));
    assert_healthy(&mut http2(&running).await).await;
    drain(running);
}

/// hyper drops a body that is empty without asking it for anything, as it drops one that its client gave up.
#[tokio::test]
async fn answers_without_a_body_are_no_requests_that_were_given_up() {
    let running = place_02(|_| {}).start();
    let mut client = http2(&running).await;
    for _ in 0..150 {
        assert_eq!(text(send(&mut client, get("/v")).await).await, (StatusCode::OK, String::new()));
    }
    assert_healthy(&mut client).await;
    drain(running);
}

#[tokio::test]
async fn a_response_that_nobody_takes_is_cut_and_its_connection_is_not() {
    let place = place_02(|manifest| {
        manifest.limits.concurrency = 1;
        manifest.limits.body_timeout_ms = 300;
    });
    let running = place.start();
    let mut client = http2(&running).await;
    // 256 MiB, of which the client takes as much as the stream's window.
    let flood = send(&mut client, get("/b")).await;
    assert_eq!(flood.status(), StatusCode::OK);
    assert_healthy(&mut client).await;
    let cut = timeout(PATIENCE, flood.into_body().collect()).await.expect("in time");
    assert!(cut.is_err(), "it must not look finished");
    drain(running);
}

/// Priorities of a stream that does not exist: hyper reads and ignores them, and h2 has no limit for them.
#[tokio::test]
async fn frames_that_ask_for_nothing_end_their_connection_and_no_other() {
    const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PRIORITY: &[u8] = b"\0\0\x05\x02\0\0\0\0\x01\0\0\0\0\x01";
    let running = place_02(|_| {}).start();
    let mut other = http2(&running).await;
    assert_healthy(&mut other).await;
    let mut stream = TcpStream::connect(running.address()).await.unwrap();
    stream.write_all(&[OPENING, &PRIORITY.repeat(1000)].concat()).await.unwrap();
    // Closed, or reset where something was not read any more.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("the connection ends");
    assert_healthy(&mut other).await;
    drain(running);
}

#[tokio::test]
async fn a_drain_says_goodbye_and_waits_for_requests_only() {
    let running = place_02(|_| {}).start();
    let mut idle = http2(&running).await;
    assert_healthy(&mut idle).await;
    let mut busy = http2(&running).await;
    let slow = busy.send_request(get("/q"));
    assert_healthy(&mut busy).await;
    running.signal(Signal::TERM);
    assert_eq!(text(slow.await.unwrap()).await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(running.end().0, Some(0));
    assert!(idle.ready().await.is_err(), "it was told");
}

/// A certificate for `localhost`, in files beside the artifact.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn new(place: &Place) -> (Self, CertificateDer<'static>) {
        let folder = place.folder.path();
        let pair = Self { certificate: folder.join("chain.pem"), key: folder.join("key.pem") };
        let der = pair.renew();
        (pair, der)
    }

    /// Writes another certificate and key.
    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&self.key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&self.key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&self.certificate, made.cert.pem()).unwrap();
        made.cert.der().clone()
    }

    fn options(&self) -> [&str; 6] {
        let (certificate, key) = (self.certificate.to_str().unwrap(), self.key.to_str().unwrap());
        ["--tls-addr", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key]
    }
}

/// Connects and believes `certificate` only.
async fn tls(
    running: &Running,
    certificate: &CertificateDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(running.address_after("https://")).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn tls13(running: &Running, certificate: &CertificateDer<'static>) -> std::io::Result<Http2> {
    Ok(http2_over(tls(running, certificate, &rustls::version::TLS13, b"h2").await?).await)
}

#[tokio::test]
async fn both_protocols_through_both_versions_of_tls() {
    let place = place_02(|_| {});
    let (pair, certificate) = Pair::new(&place);
    let running = place.start_with(&pair.options());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let stream = tls(&running, &certificate, version, b"h2").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        assert_healthy(&mut http2_over(stream).await).await;
        let stream = tls(&running, &certificate, version, b"http/1.1").await.unwrap();
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/o").header("host", "test").body(empty()).unwrap();
        assert_eq!(text(client.send_request(request).await.unwrap()).await.1, "ok\n");
    }
    // What is no handshake ends that connection and no other.
    let address = running.address_after("https://");
    let mut plain = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut plain, b"GET /o HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let _ = std::io::Read::read_to_end(&mut plain, &mut Vec::new());
    assert_healthy(&mut tls13(&running, &certificate).await.unwrap()).await;
    assert!(running.get("/o").starts_with("HTTP/1.1 200 OK"), "in the clear on the other address");
    drain(running);
}

#[tokio::test]
async fn a_tls_client_that_leaves_before_its_body_takes_its_guest_with_it() {
    let place = place_02(|manifest| {
        manifest.limits.concurrency = 1;
        manifest.limits.timeout_ms = None;
    });
    let (pair, certificate) = Pair::new(&place);
    let running = place.start_with(&pair.options());
    let mut stream = tls(&running, &certificate, &rustls::version::TLS13, b"http/1.1").await.unwrap();
    let head = b"POST /z HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, head).await.unwrap();
    while !running.get("/o").starts_with("HTTP/1.1 503") {}
    // Says goodbye, which nobody reads, because the guest does not ask for its body.
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    drop(stream);
    assert!((0..10).any(|_| running.get("/o").starts_with("HTTP/1.1 200")), "the slot is free again");
    drain(running);
}

#[tokio::test]
async fn a_new_certificate_is_used_without_dropping_a_connection() {
    let place = place_02(|_| {});
    let (pair, first) = Pair::new(&place);
    let mut running = place.start_with(&pair.options());
    let mut log = std::io::BufReader::new(running.child.stderr.take().unwrap());
    let mut line = String::new();
    let mut open = tls13(&running, &first).await.unwrap();
    assert_healthy(&mut open).await;

    let second = pair.renew();
    running.signal(Signal::HUP);
    log.read_line(&mut line).unwrap();
    assert!(line.starts_with("launcher: certificate `") && line.ends_with("in use now\n"), "{line}");
    assert!(tls13(&running, &first).await.is_err());
    assert_healthy(&mut tls13(&running, &second).await.unwrap()).await;

    // Without a signal, a while after the files changed.
    let third = pair.renew();
    while tls13(&running, &third).await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
    line.clear();
    log.read_line(&mut line).unwrap();
    assert!(line.ends_with("in use now\n"), "{line}");

    // A key that does not fit: what was in use stays.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&pair.key, other.signing_key.serialize_pem()).unwrap();
    running.signal(Signal::HUP);
    line.clear();
    log.read_line(&mut line).unwrap();
    assert!(line.starts_with("launcher: the certificate stays as it was: "), "{line}");
    assert_healthy(&mut tls13(&running, &third).await.unwrap()).await;
    assert_healthy(&mut open).await;
    drain(running);
}

#[tokio::test]
async fn a_handshake_takes_its_time_and_no_more() {
    let place = place_02(|_| {});
    let (pair, certificate) = Pair::new(&place);
    let options: Vec<&str> =
        pair.options().into_iter().chain(["--limit", "handshake-timeout=200ms"]).collect();
    let running = place.start_with(&options);
    let mut silent = std::net::TcpStream::connect(running.address_after("https://")).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(std::io::Read::read(&mut silent, &mut [0]).unwrap(), 0, "closed");
    assert_healthy(&mut tls13(&running, &certificate).await.unwrap()).await;
    drain(running);
}

#[test]
fn a_pair_that_cannot_be_used_is_refused_at_the_start() {
    let place = place_02(|_| {});
    let (pair, _) = Pair::new(&place);
    let refusal = || {
        let output = place.launcher().arg(&place.artifact).args(pair.options()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, stderr) = refusal();
    assert!(code == Some(3) && stderr.contains("its mode is 0644"), "{code:?} {stderr}");
    assert!(stderr.contains("hint: `chmod 0600 "), "{stderr}");

    pair.renew();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&pair.certificate, other.cert.pem()).unwrap();
    let (code, stderr) = refusal();
    assert!(code == Some(1) && stderr.contains("error: cannot use `"), "{code:?} {stderr}");
    fs::write(&pair.certificate, "nothing").unwrap();
    let (code, stderr) = refusal();
    assert!(code == Some(1) && stderr.contains("BEGIN CERTIFICATE"), "{code:?} {stderr}");
    fs::remove_file(&pair.key).unwrap();
    pair.renew();
    fs::remove_file(&pair.certificate).unwrap();
    let (code, stderr) = refusal();
    assert!(code == Some(1) && stderr.contains("chain.pem"), "{code:?} {stderr}");
}
