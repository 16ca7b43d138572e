//! Limits, over real sockets: each guest misbehaves on the same thread as healthy requests, which must not notice.

/// Runs a test with the guest of either version of WASI.
macro_rules! both {
    ($($(#[$attribute:meta])* fn $name:ident($app:ident) $body:block)*) => {
        mod wasi_02 {
            use super::*;
            $(#[test] fn $name() { super::$name(app_02); })*
        }
        mod wasi_03 {
            use super::*;
            $(#[test] fn $name() { super::$name(app_03); })*
        }
        $($(#[$attribute])* fn $name($app: fn(Adjust) -> App) $body)*
    };
}

mod ending;
#[path = "../guest/mod.rs"]
mod guest;
mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};

use wadoo_launcher::app::App;
use wadoo_launcher::server::Drained;
use wadoo_signing::manifest::{EnvironmentGrant, Grant, Manifest, OutgoingHttp, Trigger};
use wadoo_signing::report::{Exit, Report};

use crate::running::{
    Adjust, Client, answered_before_another_client, app_02, app_03, assert_problem, beside_healthy_requests,
    serve, try_app,
};

both! {
    fn answers_and_keeps_the_connection(app) {
        let server = serve(app(|_| {}));
        server.assert_healthy();
        let mut client = server.connect();
        client.send(
            "GET /o HTTP/1.1\r\nHost: test\r\n\r\nHEAD /o HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        );
        let (_, both) = client.rest();
        assert_eq!(both.matches("HTTP/1.1 200 OK").count(), 2, "{both}");
        assert_eq!(both.matches("ok\n").count(), 1, "a HEAD has no body: {both}");
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_guest_that_spins_is_stopped_beside_healthy_requests(app) {
        let server = serve(app(|manifest| manifest.limits.timeout_ms = Some(1000)));
        assert_problem(beside_healthy_requests(&server, "/s"), 504);
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_guest_that_sleeps_in_a_host_call_is_stopped_beside_healthy_requests(app) {
        let server = serve(app(|manifest| manifest.limits.timeout_ms = Some(1000)));
        assert_problem(beside_healthy_requests(&server, "/z"), 504);
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_body_that_stops_is_cut_and_not_ended_beside_healthy_requests(app) {
        let server = serve(app(|manifest| manifest.limits.body_timeout_ms = 500));
        // m sleeps, x spins, u traps; each after the head and a part of the body.
        for path in ["/m", "/x", "/u"] {
            let stopped = path != "/u";
            let (status, text) =
                if stopped { beside_healthy_requests(&server, path) } else { server.get(path) };
            assert_eq!(status, 200, "{text}");
            assert!(text.ends_with("3\r\nok\n\r\n"), "{path} must not look finished: {text:?}");
            server.assert_healthy();
        }
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn memory_beyond_the_limit_is_denied_and_within_it_granted(app) {
        let server = serve(app(|_| {}));
        assert!(server.get("/h").1.contains("denied"));
        server.assert_healthy();
        server.switch.swap(app(|manifest| manifest.limits.memory = 128 << 20));
        assert!(server.get("/h").1.contains("granted"));
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn traps_exits_and_silence_end_one_request_only(app) {
        let server = serve(app(|_| {}));
        for path in ["/t", "/e", "/n"] {
            assert_problem(server.get(path), 500);
            server.assert_healthy();
        }
        // A trap straight after the head: told if the head is still here, a cut body if it is on its way.
        let (status, text) = server.get("/a");
        assert!(status == 500 || status == 200 && !text.ends_with("0\r\n\r\n"), "{text:?}");
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_body_that_is_too_long_is_refused_announced_or_not(app) {
        let server = serve(app(|_| {}));
        let mut announced = server.connect();
        announced.send("POST /r HTTP/1.1\r\nHost: test\r\nContent-Length: 10001\r\n\r\n");
        assert_problem(announced.rest(), 413);

        let mut chunked = server.connect();
        chunked.send("POST /r HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        chunked.send(&format!("1388\r\n{}\r\n1389\r\n{}\r\n", "x".repeat(5000), "x".repeat(5001)));
        assert_problem(chunked.rest(), 413);

        let mut fits = server.connect();
        fits.send("POST /r HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 10000\r\n\r\n");
        fits.send(&"x".repeat(10000));
        assert_eq!(fits.rest().0, 200);
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_head_that_is_too_long_is_refused(app) {
        let server = serve(app(|_| {}));
        let mut client = server.connect();
        client.send(&format!("GET /o HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(9000)));
        assert_problem(client.rest(), 431);
        // Far beyond, nobody reads to its end; the status is the same.
        let mut client = server.connect();
        let _ = client.0.get_mut().write_all(format!("GET /o HTTP/1.1\r\nX: {}", "x".repeat(100_000)).as_bytes());
        assert_eq!(client.rest().0, 431);
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_client_that_stops_sending_is_told_and_cut(app) {
        let server = serve(app(|manifest| {
            manifest.limits.body_timeout_ms = 200;
        }));
        assert_problem(server.begun().rest(), 408);
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn more_requests_than_allowed_wait_and_are_then_refused(app) {
        let server = serve(app(|manifest| {
            manifest.limits.concurrency = 1;
        }));
        let mut first = server.begun();
        let refused = server.get("/o");
        assert!(refused.1.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{}", refused.1);
        assert_problem(refused, 503);
        first.send("hello");
        assert_eq!(first.rest().0, 200);
        server.assert_healthy();
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn every_request_that_may_run_has_all_that_it_needs(app) {
        let server = serve(app(|manifest| {
            manifest.limits.concurrency = 40;
        }));
        // Each waits in a host call, which holds its memory, its tables and its stack.
        let waiting: Vec<Client> = (0..40).map(|_| server.begun()).collect();
        for mut client in waiting {
            client.send("hello");
            assert_eq!(client.rest().0, 200);
        }
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_client_that_leaves_takes_its_guest_with_it(app) {
        let server = serve(app(|manifest| {
            manifest.limits.concurrency = 1;
        }));
        drop(server.begun());
        server.assert_healthy();
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_client_that_leaves_before_its_body_takes_its_guest_with_it(app) {
        let server = serve(app(|manifest| {
            manifest.limits.concurrency = 1;
            manifest.limits.timeout_ms = None;
        }));
        // z sleeps for ever and never asks for the body. It has begun when the next one finds no room.
        let mut client = server.connect();
        client.send("POST /z HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
        while server.get("/o").0 == 200 {}
        drop(client);
        assert!((0..10).any(|_| server.get("/o").0 == 200), "the slot is free again");
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_tunnel_or_a_doubtful_host_is_refused(app) {
        let server = serve(app(|_| {}));
        let ask = |head: &str| {
            let mut client = server.connect();
            client.send(head);
            client.rest()
        };
        assert_problem(ask("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"), 501);
        for fields in ["", "Host: a\r\nHost: b\r\n", "Host: a@b\r\n", "Host: a b\r\n", "Host:\r\n"] {
            assert_problem(ask(&format!("GET /o HTTP/1.1\r\n{fields}\r\n")), 400);
        }
        assert_problem(ask("GET http://a@b/o HTTP/1.1\r\nHost: b\r\n\r\n"), 400);
        assert_eq!(ask("GET /o HTTP/1.0\r\n\r\n").0, 200);
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_client_that_takes_nothing_is_cut(app) {
        let server = serve(app(|manifest| {
            manifest.limits.concurrency = 1;
            manifest.limits.body_timeout_ms = 200;
        }));
        let mut client = server.connect();
        client.send("GET /b HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.line(), "HTTP/1.1 200 OK");
        server.assert_healthy();
        drop(client);
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_body_larger_than_every_buffer_arrives_whole(app) {
        let server = serve(app(|_| {}));
        let mut client = server.connect();
        client.send("GET /b HTTP/1.0\r\nHost: test\r\n\r\n");
        let mut length = 0;
        while client.line() != "" {}
        let mut buffer = vec![0; 1 << 16];
        loop {
            match client.0.read(&mut buffer).unwrap() {
                0 => break,
                more => length += more,
            }
        }
        assert_eq!(length, 256 << 20);
        assert_eq!(server.drain(), Drained::Clean);
    }
}

#[test]
fn a_body_streams_both_ways_at_once() {
    let server = serve(app_03(|_| {}));
    let mut client = server.connect();
    client.send("POST /c HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    while client.line() != "" {}
    // The first part comes back before the second is sent.
    assert_eq!((client.line(), client.line()), ("5".to_owned(), "hello".to_owned()));
    client.send("6\r\n world\r\n0\r\n\r\n");
    assert_eq!((client.line(), client.line()), ("6".to_owned(), " world".to_owned()));
    assert_eq!(client.line(), "0");
    assert_eq!(server.drain(), Drained::Clean);
}

#[test]
fn requests_that_stand_behind_each_other_wait_for_other_clients() {
    const MANY: usize = 32;
    /// The system may deliver late what the other client sends, now and then. A server that does not wait answers all of
    /// them first every time.
    const ROUNDS: usize = 10;
    for app in [app_02, app_03] {
        let before: Vec<usize> =
            (0..ROUNDS).map(|_| answered_before_another_client(app(|_| {}), MANY)).collect();
        assert!(before.iter().any(|before| *before < MANY), "of {MANY} were answered first: {before:?}");
    }
}

fn refusal(component: &[u8], adjust: impl FnOnce(&mut Manifest)) -> Report {
    try_app(Trigger::Http02, component, adjust).err().expect("it is refused").into()
}

#[test]
fn only_what_is_imported_declared_and_granted_is_linked() {
    const OUTGOING: &str = "wasi:http/outgoing-handler@0.2.0";
    let sends = guest::component(
        "sends",
        &include_str!("../guest/hostile.wat").replacen(
            "(import ",
            "(import \"wasi:http/outgoing-handler@0.2.0\" \"handle\" (func (param i32 i32 i32 i32)))\n  (import ",
            1,
        ),
    );
    let granted = |grant: Grant| BTreeMap::from([(OUTGOING.to_owned(), grant)]);
    let hosts = OutgoingHttp {
        hosts: BTreeSet::from(["api.example.com:443".parse().unwrap()]),
        ..OutgoingHttp::default()
    };

    let report = refusal(&sends, |_| {});
    assert_eq!(report.exit, Exit::Incompatible);
    assert!(report.to_string().contains("wasi:http/outgoing-handler@0.2.0  (not granted)"), "{report}");

    let report = refusal(&sends, |manifest| {
        manifest.imports.remove(OUTGOING);
        manifest.grants = granted(Grant::OutgoingHttp(hosts.clone()));
    });
    assert_eq!(report.exit, Exit::NotTrusted, "{report}");

    let environment = EnvironmentGrant { keys: BTreeSet::new() };
    let report = refusal(&sends, |manifest| manifest.grants = granted(Grant::Environment(environment)));
    assert_eq!(report.exit, Exit::Incompatible, "{report}");

    let app = try_app(Trigger::Http02, &sends, |manifest| {
        manifest.grants = granted(Grant::OutgoingHttp(hosts.clone()))
    });
    serve(app.expect("granted")).assert_healthy();
}

#[test]
fn a_payload_that_does_not_fit_its_manifest_is_refused() {
    let report = refusal(&guest::hostile(), |manifest| manifest.trigger = Trigger::Http03);
    assert_eq!(report.exit, Exit::Incompatible, "{report}");
    let report = refusal(&guest::hostile(), |manifest| manifest.limits.memory = 1000);
    assert_eq!(report.exit, Exit::Incompatible, "{report}");
}
