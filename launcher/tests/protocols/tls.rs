//! Both protocols through TLS.

use std::fs;
use std::io::BufRead as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::binary::{Place, Running};

use crate::client::*;

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
