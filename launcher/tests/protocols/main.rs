//! HTTP/2 and TLS, over real sockets: what holds for HTTP/1.1 holds there as well.

#[path = "../binary/mod.rs"]
mod binary;
mod client;
mod ending;
#[path = "../guest/mod.rs"]
mod guest;
mod tls;

use futures::SinkExt as _;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::*;

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
