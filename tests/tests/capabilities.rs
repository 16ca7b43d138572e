//! What an application may reach: granted hosts over real sockets, granted variables, and nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, finished, run};
use wadoo_tests::server::Server;

/// A server of this test's own, which counts the connections that reach it.
struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream.unwrap();
                let mut head = [0; 1024];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nupstream");
            }
        });
        Self { address, connections }
    }

    fn reached(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A recipe of one guest of `tests/guests`.
fn recipe(scratch: &Scratch, guest: &str, allow: &str, more: &str) -> std::path::PathBuf {
    let wasm = std::fs::read(workspace().join(format!("tests/guests/{guest}.wasm"))).unwrap();
    scratch.write("guest.wasm", wasm);
    let allow = if allow.is_empty() { String::new() } else { format!("allow = [\"{allow}\"]\n") };
    scratch.write(
        "recipe.toml",
        format!(
            "recipe = 1\n\n[app]\nname = \"guest\"\nversion = \"1.0.0\"\n\n\
             [components.guest]\npath = \"guest.wasm\"\n{allow}\n{more}"
        ),
    )
}

fn fetcher(scratch: &Scratch, guest: &str, interface: &str, host: &str) -> Server {
    let grants = format!("[grants]\n\"{interface}\" = {{ hosts = [\"{host}\"] }}\n");
    let artifact = scratch.compose(&recipe(scratch, guest, interface, &grants));
    Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]))
}

fn only_the_granted_host_is_reached(guest: &str, interface: &str) {
    let (granted, other) = (Upstream::start(), Upstream::start());
    let scratch = Scratch::new();
    let server = fetcher(&scratch, guest, interface, &granted.address.to_string());

    let answer = server.get(&format!("/fetch?url=http://{}/", granted.address));
    assert_eq!((answer.status, answer.text().as_str()), (200, "upstream"));
    assert_eq!(granted.reached(), 1);

    for refused in [
        format!("http://{}/", other.address),
        // The same port under another name is another grant.
        format!("http://localhost:{}/", other.address.port()),
        format!("http://localhost:{}/", granted.address.port()),
        "http://127.0.0.1/".to_owned(),
        format!("https://{}/", other.address),
    ] {
        let answer = server.get(&format!("/fetch?url={refused}"));
        assert_eq!(answer.status, 502, "{refused}: {}", answer.text());
        assert!(answer.text().to_lowercase().contains("denied"), "{refused}: {}", answer.text());
    }
    assert_eq!((granted.reached(), other.reached()), (1, 0), "a refused request went out");
}

#[test]
fn only_the_granted_host_is_reached_02() {
    only_the_granted_host_is_reached("fetch-02", "wasi:http/outgoing-handler");
}

#[test]
fn only_the_granted_host_is_reached_03() {
    only_the_granted_host_is_reached("fetch-03", "wasi:http/client");
}

#[test]
fn a_part_that_does_not_allow_what_it_imports_is_refused() {
    for (guest, interface) in [("fetch-02", "wasi:http/outgoing-handler"), ("fetch-03", "wasi:http/client")] {
        let scratch = Scratch::new();
        let recipe = recipe(&scratch, guest, "", "");
        let finished = run(scratch.wadoo().arg("compose").arg(&recipe));
        assert_eq!(finished.code, 1, "{}", finished.stderr);
        assert!(finished.stderr.contains(interface), "{}", finished.stderr);
    }
}

#[test]
fn a_denied_interface_traps_and_nothing_goes_out() {
    for (guest, interface) in [("fetch-02", "wasi:http/outgoing-handler"), ("fetch-03", "wasi:http/client")] {
        let upstream = Upstream::start();
        let scratch = Scratch::new();
        let recipe = recipe(&scratch, guest, "", "[limits]\ntimeout = \"20s\"\n");
        let text = std::fs::read_to_string(&recipe).unwrap();
        let text = text.replace(
            "path = \"guest.wasm\"\n",
            &format!("path = \"guest.wasm\"\ndeny = [\"{interface}\"]\n"),
        );
        std::fs::write(&recipe, text).unwrap();
        let artifact = scratch.compose(&recipe);
        let server = Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]));
        let answer = server.get(&format!("/fetch?url=http://{}/", upstream.address));
        assert_eq!(answer.status, 500, "{}", answer.text());
        assert_eq!(upstream.reached(), 0);
        assert_eq!(server.get("/other").status, 400, "the next request finds a healthy application");
    }
}

fn command(scratch: &Scratch, guest: &str, allow: &str, more: &str) -> std::path::PathBuf {
    scratch.compose(&recipe(scratch, guest, allow, more))
}

#[test]
fn a_command_ends_as_it_says() {
    for guest in ["command-02", "command-03"] {
        let scratch = Scratch::new();
        let artifact = command(&scratch, guest, "", "[limits]\ntimeout = \"2s\"\n");
        let run = |arguments: &[&str]| run(scratch.launcher().arg(&artifact).args(arguments));
        let ok = run(&["ok"]);
        assert_eq!((ok.code, ok.stdout.as_str()), (0, "ok\n"), "{guest}: {}", ok.stderr);
        assert_eq!(run(&["fail"]).code, 1, "{guest}");
        assert_eq!(run(&["exit", "7"]).code, 7, "{guest}");
        let listed = run(&["arguments", "--addr", "x y"]);
        assert!(
            listed.stdout.ends_with("arguments\n--addr\nx y\n")
                || listed.stdout.ends_with("arguments\n--addr\nx y"),
            "{guest}: {}",
            listed.stdout
        );
        let trapped = run(&["trap"]);
        assert_eq!(trapped.code, 1, "{guest}");
        assert!(trapped.stderr.contains("launcher: error: "), "{guest}: {}", trapped.stderr);
        for endless in ["spin", "sleep"] {
            let stopped = run(&[endless, "60000"]);
            assert_eq!(stopped.code, 1, "{guest} {endless}");
            assert!(stopped.stderr.contains("longer than 2 s"), "{guest} {endless}: {}", stopped.stderr);
        }
    }
}

#[test]
fn a_command_sees_only_the_variables_that_are_granted() {
    for guest in ["command-02", "command-03"] {
        let scratch = Scratch::new();
        let print = |artifact: &Path| {
            run(scratch.launcher().env("GRANTED", "yes").env("SECRET", "no").arg(artifact).arg("env"))
        };
        let none = print(&command(&scratch, guest, "", ""));
        assert_eq!((none.code, none.stdout.as_str()), (0, ""), "{guest}: {}", none.stderr);
        let grants = "[grants]\n\"wasi:cli/environment\" = { keys = [\"GRANTED\", \"ABSENT\"] }\n";
        let one = print(&command(&scratch, guest, "wasi:cli/environment", grants));
        assert_eq!((one.code, one.stdout.as_str()), (0, "GRANTED=yes\n"), "{guest}: {}", one.stderr);
    }
}

#[test]
fn hello_cli_reads_its_input() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&workspace().join("recipes/hello-cli"));
    let mut child = scratch
        .launcher()
        .arg(&artifact)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"Ada\n").unwrap();
    let finished = finished(child.wait_with_output().unwrap());
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("Ada"), "{}", finished.stdout);
}
