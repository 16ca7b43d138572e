//! Sockets: to the granted addresses, over real ones, and to nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;

const GUESTS: [&str; 2] = ["sockets-02", "sockets-03"];

/// Answers `ping` with `pong`, over TCP and UDP on one port, and counts who came.
struct Echo {
    address: SocketAddr,
    heard: Arc<AtomicUsize>,
}

impl Echo {
    fn start() -> Self {
        // The UDP port of the same number may be taken.
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
                break (listener, socket);
            }
        };
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream.unwrap();
                let mut ping = [0; 4];
                if stream.read_exact(&mut ping).is_ok() && &ping == b"ping" {
                    stream.write_all(b"pong").unwrap();
                }
            }
        });
        let count = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut ping = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut ping) {
                count.fetch_add(1, Ordering::SeqCst);
                socket.send_to(b"pong", from).unwrap();
            }
        });
        Self { address, heard }
    }
}

fn serve(scratch: &Scratch, guest: &str, granted: SocketAddr) -> Server {
    let grants = format!("[grants]\n\"wasi:sockets/*\" = {{ connect = [\"{granted}\"] }}\n");
    let artifact = scratch.compose(&scratch.recipe(guest, "wasi:sockets/*", &grants));
    Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]))
}

#[test]
fn only_the_granted_address_is_talked_to() {
    for guest in GUESTS {
        let (granted, other) = (Echo::start(), Echo::start());
        let scratch = Scratch::new();
        let server = serve(&scratch, guest, granted.address);
        for protocol in ["tcp", "udp"] {
            let answer = server.get(&format!("/{protocol}?to={}", granted.address));
            assert_eq!((answer.status, answer.text().as_str()), (200, "pong"), "{guest} {protocol}");
            for refused in [other.address.to_string(), format!("127.0.0.2:{}", granted.address.port())] {
                let answer = server.get(&format!("/{protocol}?to={refused}"));
                assert_eq!(answer.status, 403, "{guest} {protocol} {refused}: {}", answer.text());
                let text = answer.text().to_lowercase().replace('-', "");
                assert!(text.contains("accessdenied"), "{guest} {protocol} {refused}: {text}");
            }
        }
        assert_eq!((granted.heard.load(Ordering::SeqCst), other.heard.load(Ordering::SeqCst)), (2, 0));
    }
}

#[test]
fn nobody_listens_and_nothing_is_looked_up() {
    for guest in GUESTS {
        let granted = Echo::start();
        let scratch = Scratch::new();
        let server = serve(&scratch, guest, granted.address);
        for target in ["/listen?to=127.0.0.1:0", "/listen?to=0.0.0.0:0", "/lookup?name=localhost"] {
            let answer = server.get(target);
            assert_eq!(answer.status, 403, "{guest} {target}: {}", answer.text());
        }
    }
}

#[test]
fn denied_sockets_answer_with_their_error() {
    for guest in GUESTS {
        let other = Echo::start();
        let scratch = Scratch::new();
        let recipe = scratch.recipe(guest, "", "");
        let text = std::fs::read_to_string(&recipe).unwrap();
        let path = "path = \"guest.wasm\"\n";
        std::fs::write(&recipe, text.replace(path, &format!("{path}deny = [\"wasi:sockets/*\"]\n"))).unwrap();
        let artifact = scratch.compose(&recipe);
        let server = Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]));
        for target in ["/tcp?to=", "/udp?to=", "/listen?to=", "/lookup?name="] {
            let answer = server.get(&format!("{target}{}", other.address));
            assert_eq!(answer.status, 403, "{guest} {target}: {}", answer.text());
            let text = answer.text().to_lowercase().replace('-', "");
            assert!(text.contains("accessdenied"), "{guest} {target}: {text}");
        }
        assert_eq!(other.heard.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn sockets_that_are_not_granted_are_refused_at_compose() {
    for guest in GUESTS {
        let scratch = Scratch::new();
        let finished = run(scratch.wadoo().arg("compose").arg(scratch.recipe(guest, "", "")));
        assert_eq!(finished.code, 1, "{}", finished.stderr);
        assert!(finished.stderr.contains("wasi:sockets/"), "{}", finished.stderr);
        let grants = "[grants]\n\"wasi:sockets/*\" = { connect = [\"10.0.0.5:5432\"] }\n";
        let finished = run(scratch.wadoo().arg("compose").arg(scratch.recipe(guest, "", grants)));
        assert_eq!(finished.code, 1, "{}", finished.stderr);
        assert!(finished.stderr.contains("does not allow it"), "{}", finished.stderr);
    }
}
