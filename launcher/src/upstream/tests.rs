//! Servers of every temper on loopback, and what becomes of the connections to them.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use wadoo_signing::manifest::OutgoingHttp;

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Short enough to wait for, where a test waits for it to pass.
const SHORT: Duration = Duration::from_millis(50);

/// A server of its own, which counts its connections from 1.
async fn server<F, R>(serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(counted.fetch_add(1, Ordering::SeqCst) + 1, stream));
        }
    });
    (address, count)
}

/// Reads a head; `false` at the end of the connection.
async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

/// Answers every request of a connection.
async fn patient(mut stream: TcpStream) {
    while read_head(&mut stream).await {
        stream.write_all(ANSWER).await.unwrap();
    }
}

fn upstreams(hosts: &[String]) -> Upstreams {
    let hosts = hosts.iter().map(|host| host.parse().expect("a destination")).collect();
    Upstreams::new(Egress::new(OutgoingHttp { hosts, ..OutgoingHttp::default() }), None)
}

fn pool(address: SocketAddr) -> Arc<Upstreams> {
    Arc::new(upstreams(&[address.to_string(), format!("localhost:{}", address.port())]))
}

async fn begin(
    pool: &Arc<Upstreams>,
    method: Method,
    url: String,
    times: Times,
) -> Result<Response<WasiBody>, Error> {
    let body = match method {
        Method::POST => Full::new(Bytes::from_static(b"order")),
        _ => Full::default(),
    };
    let body = body.map_err(|never| match never {}).boxed_unsync();
    let request = Request::builder().method(method).uri(url).body(body).unwrap();
    let target = pool.permit(request.uri())?;
    pool.send(target, request, times).await
}

/// Sends a request and reads its response to the end.
async fn ask(pool: &Arc<Upstreams>, method: Method, url: String) -> Result<String, Error> {
    let response = begin(pool, method, url, Times::of(None)).await?;
    let body = response.into_body().collect().await?.to_bytes();
    // The connection comes back on a task of its own.
    for _ in 0..10_000 {
        if pool.kept().targets.values().all(|all| all.places.available_permits() == MAX_REQUESTS) {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(flavor = "current_thread")]
async fn one_connection_serves_one_request_after_another() {
    let (address, count) = server(|_, stream| patient(stream)).await;
    let pool = pool(address);
    for _ in 0..3 {
        assert_eq!(ask(&pool, Method::GET, format!("http://{address}/")).await.unwrap(), "ok");
        assert_eq!(ask(&pool, Method::POST, format!("http://{address}/")).await.unwrap(), "ok");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn another_name_and_another_grant_have_connections_of_their_own() {
    let (address, count) = server(|_, stream| patient(stream)).await;
    let first = pool(address);
    ask(&first, Method::GET, format!("http://{address}/")).await.unwrap();
    ask(&first, Method::GET, format!("http://localhost:{}/", address.port())).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    ask(&pool(address), Method::GET, format!("http://{address}/")).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);
    // A connection that is there opens no door: the grant without the host cannot use it.
    let other = Arc::new(upstreams(&["localhost:1".to_owned()]));
    let refused = ask(&other, Method::GET, format!("http://{address}/")).await;
    assert!(matches!(refused, Err(Error::HttpRequestDenied)));
}

/// The server closes just as the second request arrives, which its sender cannot know.
#[tokio::test(flavor = "current_thread")]
async fn what_is_safe_is_sent_again_when_a_kept_connection_was_closed() {
    let (address, count) = server(|number, mut stream| async move {
        if number % 2 == 0 {
            return patient(stream).await;
        }
        read_head(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let url = || format!("http://{address}/");
    let first = pool(address);
    assert_eq!(ask(&first, Method::GET, url()).await.unwrap(), "ok");
    assert_eq!(ask(&first, Method::GET, url()).await.unwrap(), "ok");
    assert_eq!(count.load(Ordering::SeqCst), 2);

    let second = pool(address);
    assert_eq!(ask(&second, Method::GET, url()).await.unwrap(), "ok");
    assert!(ask(&second, Method::POST, url()).await.is_err(), "an order may have been taken");
    assert_eq!(count.load(Ordering::SeqCst), 3, "it was not sent twice");
}

/// A first request that is cut off is an answer, whatever its method.
#[tokio::test(flavor = "current_thread")]
async fn nothing_is_sent_again_after_a_new_connection_was_closed() {
    let (address, count) = server(|_, mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    assert!(ask(&pool(address), Method::GET, format!("http://{address}/")).await.is_err());
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn a_connection_that_the_server_closed_while_idle_is_no_error() {
    let (address, count) = server(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
    })
    .await;
    let pool = pool(address);
    for number in 1..=3 {
        assert_eq!(ask(&pool, Method::POST, format!("http://{address}/")).await.unwrap(), "ok");
        assert_eq!(count.load(Ordering::SeqCst), number);
        // Until the end of the connection has arrived.
        while pool.kept().targets.values().flat_map(|all| &all.waiting).any(|one| !one.sender.is_closed()) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_idle_connection_is_closed_and_the_sweeper_ends() {
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let (address, _) = server(move |_, stream| {
        let ended = ended.clone();
        async move {
            patient(stream).await;
            ended.send(()).unwrap();
        }
    })
    .await;
    let mut pool = upstreams(&[address.to_string()]);
    pool.idle_timeout = SHORT;
    let pool = Arc::new(pool);
    ask(&pool, Method::GET, format!("http://{address}/")).await.unwrap();
    assert!(pool.kept().is_swept);
    ends.recv().await.unwrap();
    assert!(!pool.kept().targets.values().any(Connections::has_any));
    while pool.kept().is_swept {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_that_is_silent_is_given_up() {
    let (address, _) = server(|_, mut stream| async move { while read_head(&mut stream).await {} }).await;
    let times = Times { first_byte: SHORT, ..Times::of(None) };
    let answer = begin(&pool(address), Method::GET, format!("http://{address}/"), times).await;
    assert!(matches!(answer, Err(Error::ConnectionReadTimeout)));
}

#[tokio::test(flavor = "current_thread")]
async fn only_so_many_requests_are_under_way_to_one_target() {
    let (address, count) = server(|_, mut stream| async move { while read_head(&mut stream).await {} }).await;
    let pool = pool(address);
    let url = format!("http://{address}/");
    let running: Vec<_> = (0..MAX_REQUESTS)
        .map(|_| {
            let (pool, url) = (Arc::clone(&pool), url.clone());
            tokio::spawn(async move { ask(&pool, Method::GET, url).await })
        })
        .collect();
    while count.load(Ordering::SeqCst) < MAX_REQUESTS {
        tokio::task::yield_now().await;
    }
    let times = || Times { connect: SHORT, ..Times::of(None) };
    let surplus = begin(&pool, Method::GET, url.clone(), times()).await;
    assert!(matches!(surplus, Err(Error::ConnectionLimitReached)));
    // Who does not wait any more leaves a place.
    running.into_iter().for_each(|request| request.abort());
    let times = Times { first_byte: SHORT, ..Times::of(None) };
    let next = begin(&pool, Method::GET, url, times).await;
    assert!(matches!(next, Err(Error::ConnectionReadTimeout)));
}

#[tokio::test(flavor = "current_thread")]
async fn a_response_that_nobody_reads_to_its_end_leaves_no_connection_and_no_place() {
    let (address, count) = server(|_, mut stream| async move {
        while read_head(&mut stream).await {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
            if stream.write_all(head).await.is_err() || stream.write_all(&[b'x'; 65_536]).await.is_err() {
                return;
            }
        }
    })
    .await;
    let pool = pool(address);
    for number in 1..=MAX_REQUESTS + 2 {
        let url = format!("http://{address}/");
        drop(begin(&pool, Method::GET, url, Times::of(None)).await.unwrap());
        assert_eq!(count.load(Ordering::SeqCst), number);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_head_without_end_is_refused() {
    let (address, _) = server(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert!(ask(&pool(address), Method::GET, format!("http://{address}/")).await.is_err());
}

/// A certificate for `localhost` and its key, of an openssl that may be missing on a machine that is no builder's.
fn certificate(folder: &Path) -> Option<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem";
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "openssl is missing, and nothing may be skipped in CI");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    Some((certificate, PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap()))
}

/// A server that speaks TLS with one protocol in it, and a pool that trusts it.
struct TlsServer {
    url: String,
    pool: Arc<Upstreams>,
    count: Arc<AtomicUsize>,
    /// Ends every connection that there is.
    hang_up: Arc<Notify>,
}

async fn tls_server(protocol: &'static str) -> Option<TlsServer> {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let hang_up = Arc::new(Notify::new());
    let ended = Arc::clone(&hang_up);
    let (address, count) = server(move |_, stream| {
        let (acceptor, ended) = (acceptor.clone(), Arc::clone(&ended));
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            tokio::select! {
                () = echo(protocol, stream) => {}
                () = ended.notified() => {}
            }
        }
    })
    .await;
    let pool = upstreams(&[format!("https://localhost:{}", address.port())]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    assert!(pool.tls.set(trusting(roots)).is_ok());
    let url = format!("https://localhost:{}/path", address.port());
    Some(TlsServer { url, pool: Arc::new(pool), count, hang_up })
}

/// Answers each request with its version and path.
async fn echo(protocol: &str, stream: tokio_rustls::server::TlsStream<TcpStream>) {
    let echo = service_fn(|request: Request<Incoming>| async move {
        let text = format!("{:?} {}", request.version(), request.uri().path());
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(text))))
    });
    let io = TokioIo::new(stream);
    let _ = match protocol {
        "h2" => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, echo).await
        }
        _ => hyper::server::conn::http1::Builder::new().serve_connection(io, echo).await,
    };
}

#[tokio::test(flavor = "current_thread")]
async fn requests_share_a_connection_of_http_2() {
    let Some(TlsServer { url, pool, count, .. }) = tls_server("h2").await else { return };
    assert_eq!(ask(&pool, Method::GET, url.clone()).await.unwrap(), "HTTP/2.0 /path");
    let (first, second, third) = tokio::join!(
        begin(&pool, Method::GET, url.clone(), Times::of(None)),
        begin(&pool, Method::POST, url.clone(), Times::of(None)),
        ask(&pool, Method::GET, url.clone()),
    );
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // A body that is not read any more gives its place back.
    drop((first, second));
    let places = pool.kept().targets.values().map(|all| all.places.available_permits()).collect::<Vec<_>>();
    assert_eq!(places, [MAX_REQUESTS]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_shared_connection_that_ended_is_replaced() {
    let Some(TlsServer { url, pool, count, hang_up }) = tls_server("h2").await else { return };
    for number in 1..=3 {
        assert_eq!(ask(&pool, Method::GET, url.clone()).await.unwrap(), "HTTP/2.0 /path");
        assert_eq!(count.load(Ordering::SeqCst), number);
        hang_up.notify_waiters();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_without_http_2_is_spoken_to_in_http_1() {
    let Some(TlsServer { url, pool, count, .. }) = tls_server("http/1.1").await else { return };
    for _ in 0..2 {
        assert_eq!(ask(&pool, Method::GET, url.clone()).await.unwrap(), "HTTP/1.1 /path");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn a_certificate_that_is_not_trusted_ends_the_connection() {
    let Some(TlsServer { url, pool: trusting_pool, .. }) = tls_server("h2").await else { return };
    let hosts = [url.trim_end_matches("/path").to_owned()];
    let refused = ask(&Arc::new(upstreams(&hosts)), Method::GET, url.clone()).await;
    assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
    assert!(ask(&trusting_pool, Method::GET, url).await.is_ok());
}
