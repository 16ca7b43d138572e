//! A server in this process, with everything in it on one thread, and a client that sends what it is told to.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use wadoo_launcher::app::{App, LinkedApp, StartError};
use wadoo_launcher::files::CarriedFiles;
use wadoo_launcher::limits::ConnectionLimits;
use wadoo_launcher::listen::Bound;
use wadoo_launcher::mounts::Mounts;
use wadoo_launcher::reach::Reach;
use wadoo_launcher::server::{Drained, Phase, Server, Switch};
use wadoo_signing::manifest::{Manifest, Trigger};
use wadoo_signing::report::Report;

use crate::guest;

/// A server that does not answer within this is broken; nothing waits for it otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Changes a manifest before it is signed.
pub(crate) type Adjust = fn(&mut Manifest);

pub(crate) fn app_02(adjust: Adjust) -> App {
    expect(try_app(Trigger::Http02, &guest::hostile(), adjust))
}

pub(crate) fn app_03(adjust: Adjust) -> App {
    expect(try_app(Trigger::Http03, &guest::hostile_03(), adjust))
}

pub(crate) fn expect(app: Result<App, StartError>) -> App {
    app.unwrap_or_else(|error| panic!("{}", Report::from(error)))
}

pub(crate) fn try_app(
    trigger: Trigger,
    component: &[u8],
    adjust: impl FnOnce(&mut Manifest),
) -> Result<App, StartError> {
    let mut manifest = guest::manifest(trigger, BTreeSet::new());
    let (_, component_for_names) = guest::load(&manifest, component);
    manifest.imports = guest::imports(&component_for_names);
    adjust(&mut manifest);
    let (engine, component) = guest::load(&manifest, component);
    let reach =
        Reach::of(&manifest, &Mounts::new(), Arc::new(CarriedFiles::default()), None).expect("no mounts");
    LinkedApp::new(engine, &component, manifest)?.start(reach)
}

/// A server on a thread of its own, with everything in it on that one thread.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) switch: Switch,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) thread: JoinHandle<Drained>,
}

pub(crate) fn serve(app: App) -> Running {
    serve_with_drain(app, PATIENCE)
}

pub(crate) fn serve_with_drain(app: App, drain: Duration) -> Running {
    let bound = Bound::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = bound.address().tcp().unwrap();
    let (phase, follow) = watch::channel(Phase::Serving);
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let doors = vec![bound.listen().unwrap().into()];
            let server = Server::new(doors, app, ConnectionLimits::default(), drain)
                .with_threads(Some(NonZeroUsize::MIN));
            sender.send(server.switch()).unwrap();
            server.run(follow).await
        })
    });
    Running { address, switch: receiver.recv().unwrap(), phase, thread }
}

impl Running {
    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    /// One request on a connection of its own: status and everything after it.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut client = self.connect();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        client.rest()
    }

    pub(crate) fn assert_healthy(&self) {
        let (status, text) = self.get("/o");
        assert_eq!(status, 200, "{text}");
        assert!(text.contains("ok\n"), "{text}");
    }

    /// A request that the guest has begun to handle: it waits for a body of 5 bytes.
    pub(crate) fn begun(&self) -> Client {
        let mut client = self.connect();
        client.send(
            "POST /r HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        );
        // The server says so when the guest asks for the body.
        assert_eq!(client.line(), "HTTP/1.1 100 Continue");
        assert_eq!(client.line(), "");
        client
    }

    pub(crate) fn drain(self) -> Drained {
        self.phase.send_replace(Phase::Draining);
        self.thread.join().unwrap()
    }
}

/// How many answers begin in what a client read.
fn answered(bytes: &[u8]) -> usize {
    String::from_utf8_lossy(bytes).matches("HTTP/1.1 200 OK").count()
}

/// How many of the `many` requests that stand behind each other on one connection are answered before a single one on another,
/// which is sent when the first answer is seen; all of them are in the end. Server and clients are one thread.
pub(crate) fn answered_before_another_client(app: App, many: usize) -> usize {
    let request = "GET /o HTTP/1.1\r\nHost: test\r\n\r\n";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bound = Bound::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = bound.address().tcp().unwrap();
        let doors = vec![bound.listen().unwrap().into()];
        let connect = || {
            let client = TcpStream::connect(address).unwrap();
            client.set_nonblocking(true).unwrap();
            client
        };
        let (mut first, mut other) = (connect(), connect());
        first.write_all(request.repeat(many).as_bytes()).unwrap();
        let seen = tokio::net::TcpStream::from_std(first.try_clone().unwrap()).unwrap();
        let other_seen = tokio::net::TcpStream::from_std(other.try_clone().unwrap()).unwrap();

        let (phase, follow) = watch::channel(Phase::Serving);
        let server = Server::new(doors, app, ConnectionLimits::default(), PATIENCE)
            .with_threads(Some(NonZeroUsize::MIN));
        let counted = async {
            seen.readable().await.unwrap();
            other.write_all(request.as_bytes()).unwrap();
            other_seen.readable().await.unwrap();
            // What came until now, which is asked of the system: the runtime may not know it yet.
            let mut buffer = [0; 1 << 16];
            let length = first.read(&mut buffer).unwrap();
            let mut text = buffer[..length].to_vec();
            let before = answered(&text);
            while answered(&text) < many {
                seen.readable().await.unwrap();
                let more = seen.try_read_buf(&mut text).ok();
                assert_ne!(more, Some(0), "closed after {} answers", answered(&text));
            }
            phase.send_replace(Phase::Draining);
            before
        };
        tokio::join!(server.run(follow), counted).1
    })
}

pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Everything until the server closes.
    pub(crate) fn rest(mut self) -> (u16, String) {
        let mut bytes = Vec::new();
        // A reset after the last byte is an end as well.
        let _ = self.0.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, text)
    }
}

pub(crate) fn assert_problem(answer: (u16, String), status: u16) {
    assert_eq!(answer.0, status, "{}", answer.1);
    assert!(answer.1.contains("application/problem+json"), "{}", answer.1);
    assert!(answer.1.contains(&format!("\"status\":{status}")), "{}", answer.1);
    assert!(!answer.1.contains("wasm"), "no insides: {}", answer.1);
}

/// While `path` runs into a time limit, healthy requests on the same thread succeed. Gives what `path` got.
pub(crate) fn beside_healthy_requests(server: &Running, path: &'static str) -> (u16, String) {
    let address = server.address;
    let hostile = thread::spawn(move || {
        let mut client = Client(BufReader::new(TcpStream::connect(address).unwrap()));
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        client.rest()
    });
    let mut healthy = 0;
    while !hostile.is_finished() {
        server.assert_healthy();
        healthy += 1;
    }
    assert!(healthy >= 10, "{healthy} healthy requests");
    server.assert_healthy();
    hostile.join().unwrap()
}
