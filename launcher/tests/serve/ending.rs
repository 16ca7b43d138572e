//! Drain and swap: how a server, or an application, ends.

use std::io::BufReader;
use std::net::TcpStream;
use std::thread::{self};
use std::time::Duration;

use wadoo_launcher::app::App;
use wadoo_launcher::server::{Drained, Phase};

use crate::running::{Adjust, Client, app_02, app_03, serve, serve_with_drain};

both! {
    fn a_drain_does_not_wait_for_half_a_head(app) {
        // Less than the launcher waits for a head.
        let server = serve_with_drain(app(|_| {}), Duration::from_secs(10));
        let mut first = server.connect();
        first.send("GET /o HTTP/1.1\r\nHo");
        let mut second = server.connect();
        second.send("GET /o HTTP/1.1\r\nHost: test\r\n\r\nGET /o HTTP/1.1\r\nHo");
        assert_eq!(second.line(), "HTTP/1.1 200 OK");
        while second.line() != "0" {}
        server.assert_healthy();
        assert_eq!(server.drain(), Drained::Clean);
        assert_eq!(first.rest().1, "");
    }

    fn a_drain_waits_for_requests_and_not_for_idle_connections(app) {
        let server = serve(app(|_| {}));
        let mut idle = server.connect();
        idle.send("GET /o HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(idle.line(), "HTTP/1.1 200 OK");
        while idle.line() != "0" {}
        let never_used = server.connect();
        let mut running = server.begun();

        server.phase.send_replace(Phase::Draining);
        assert_eq!(never_used.rest().1, "");
        assert_eq!(idle.rest().1.trim(), "");
        // Nobody listens any more, and the running request still has all its time.
        assert!(TcpStream::connect(server.address).is_err());
        running.send("hello");
        assert_eq!(running.rest().0, 200);
        assert_eq!(server.thread.join().unwrap(), Drained::Clean);
    }

    fn a_drain_waits_for_work_after_the_response(app) {
        let server = serve(app(|_| {}));
        assert_eq!(server.get("/p").0, 200);
        assert_eq!(server.drain(), Drained::Clean);
    }

    fn a_drain_ends_in_a_bounded_time(app) {
        let server = serve_with_drain(app(|_| {}), Duration::from_millis(100));
        let client = server.begun();
        assert!(matches!(server.drain(), Drained::Cut(_)));
        assert_eq!(client.rest().0, 0);

        // The second signal does not wait for the drain's own limit.
        let server = serve(app(|_| {}));
        let client = server.begun();
        server.phase.send_replace(Phase::Draining);
        server.phase.send_replace(Phase::Stopped);
        assert!(matches!(server.thread.join().unwrap(), Drained::Cut(_)));
        assert_eq!(client.rest().0, 0);
    }

    fn a_swap_drops_no_request(app) {
        let server = serve(app(|_| {}));
        let address = server.address;
        let mut old = server.begun();
        let load = thread::spawn(move || {
            let mut client = Client(BufReader::new(TcpStream::connect(address).unwrap()));
            for _ in 0..300 {
                client.send("GET /h HTTP/1.1\r\nHost: test\r\n\r\n");
                assert_eq!(client.line(), "HTTP/1.1 200 OK");
                while client.line() != "0" {}
                client.line();
            }
        });
        let (small, large): (Adjust, Adjust) = (|_| {}, |manifest| manifest.limits.memory = 128 << 20);
        for adjust in [large, small, large] {
            server.switch.swap(app(adjust));
        }
        assert!(server.get("/h").1.contains("granted"), "the newest application answers");
        load.join().unwrap();
        old.send("hello");
        assert_eq!(old.rest().0, 200, "a request ends on the application that it began on");
        assert_eq!(server.drain(), Drained::Clean);
    }
}
