//! What an application may reach: granted hosts over real sockets, granted variables, and nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, finished, run};
use wadoo_tests::server::Server;
use wadoo_tests::tools::skip;

/// A server of this test's own, which counts the connections that reach it.
struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    fn start() -> Self {
        Self::answering(
            "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\nupstream".to_owned(),
        )
    }

    /// One that sends every client to `url`.
    fn redirecting(url: &str) -> Self {
        Self::answering(format!(
            "HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ))
    }

    /// One that keeps its connections, but closes the first when a second request arrives on it.
    fn forgetful() -> Self {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nupstream";
        Self::serving(move |number, mut stream| {
            let mut head = [0; 1024];
            let mut requests = 0;
            while stream.read(&mut head).is_ok_and(|length| length > 0) {
                requests += 1;
                if (number, requests) == (1, 2) || stream.write_all(answer).is_err() {
                    return;
                }
            }
        })
    }

    fn answering(answer: String) -> Self {
        Self::serving(move |_, mut stream| {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
        })
    }

    /// Serves one connection at a time, which it counts from 1.
    fn serving(serve: impl Fn(usize, TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(count.fetch_add(1, Ordering::SeqCst) + 1, stream.unwrap());
            }
        });
        Self { address, connections }
    }

    fn reached(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn fetcher(scratch: &Scratch, guest: &str, interface: &str, host: &str) -> Server {
    let grants = format!("[grants]\n\"{interface}\" = {{ hosts = [\"{host}\"] }}\n");
    let artifact = scratch.compose(&scratch.recipe(guest, interface, &grants));
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

/// The fetching guests with what they import.
const FETCHERS: [(&str, &str); 2] =
    [("fetch-02", "wasi:http/outgoing-handler"), ("fetch-03", "wasi:http/client")];

#[test]
fn a_grant_of_one_scheme_is_none_of_the_other() {
    for (guest, interface) in FETCHERS {
        let upstream = Upstream::start();
        let scratch = Scratch::new();
        let server = fetcher(&scratch, guest, interface, &format!("https://{}", upstream.address));
        let answer = server.get(&format!("/fetch?url=http://{}/", upstream.address));
        assert!(answer.text().to_lowercase().contains("denied"), "{guest}: {}", answer.text());
        assert_eq!(upstream.reached(), 0, "{guest}");
    }
}

#[test]
fn a_redirect_is_a_request_like_any_other() {
    for (guest, interface) in FETCHERS {
        let elsewhere = Upstream::start();
        let first = Upstream::redirecting(&format!("http://{}/", elsewhere.address));
        let follow = |grants: &[&Upstream]| {
            let scratch = Scratch::new();
            let hosts: Vec<_> = grants.iter().map(|upstream| upstream.address.to_string()).collect();
            let server = fetcher(&scratch, guest, interface, &hosts.join("\", \""));
            server.get(&format!("/follow?url=http://{}/", first.address))
        };
        let answer = follow(&[&first]);
        assert_eq!((answer.status, elsewhere.reached()), (502, 0), "{guest}: {}", answer.text());
        assert!(answer.text().to_lowercase().contains("denied"), "{guest}: {}", answer.text());
        let answer = follow(&[&first, &elsewhere]);
        assert_eq!((answer.status, elsewhere.reached()), (200, 1), "{guest}: {}", answer.text());
    }
}

/// The first connection dies when it is used again, which no client can know; the second is kept by one instance
/// for the next.
#[test]
fn connections_are_kept_for_other_instances_and_replaced_when_they_die() {
    for (guest, interface) in FETCHERS {
        let upstream = Upstream::forgetful();
        let scratch = Scratch::new();
        let server = fetcher(&scratch, guest, interface, &upstream.address.to_string());
        for expected in [1, 2, 2, 2] {
            let answer = server.get(&format!("/fetch?url=http://{}/", upstream.address));
            assert_eq!((answer.status, answer.text().as_str()), (200, "upstream"), "{guest}");
            assert_eq!(upstream.reached(), expected, "{guest}");
        }
    }
}

/// What a DNS server in the hands of an attacker does: a granted name leads to this machine.
#[test]
fn a_granted_name_leads_to_no_near_address_unless_its_network_is_granted() {
    let upstream = Upstream::start();
    let port = upstream.address.port();
    let scratch = Scratch::new();
    scratch.write("hosts", "127.0.0.1 localhost\n127.0.0.1 rebound.example\n");
    let fetch = |networks: &str| {
        let grants = format!(
            "[grants]\n\"wasi:http/client\" = {{ hosts = [\"rebound.example:{port}\"]{networks} }}\n"
        );
        let artifact = scratch.compose(&scratch.recipe("fetch-03", "wasi:http/client", &grants));
        // A name of one's own, without touching the machine's.
        let script = "mount --bind hosts /etc/hosts && exec \"$@\"";
        let launcher = scratch.launcher();
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]).arg(launcher.get_program());
        command.envs(launcher.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(scratch.path("")).arg(artifact).args(["--addr", "127.0.0.1:0"]);
        Server::start(&mut command).get(&format!("/fetch?url=http://rebound.example:{port}/"))
    };
    let mounts = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user", "mount", "--bind", "/etc/hosts", "/etc/hosts"])
        .status();
    if !mounts.is_ok_and(|status| status.success()) {
        return skip("this machine allows no mount of one's own");
    }
    let answer = fetch("");
    assert_eq!((answer.status, upstream.reached()), (502, 0), "{}", answer.text());
    assert!(answer.text().contains("DestinationIpProhibited"), "{}", answer.text());
    let answer = fetch(", networks = [\"10.0.0.0/8\"]");
    assert_eq!((answer.status, upstream.reached()), (502, 0), "{}", answer.text());
    let answer = fetch(", networks = [\"127.0.0.0/8\"]");
    assert_eq!((answer.status, upstream.reached()), (200, 1), "{}", answer.text());
}

#[test]
fn a_part_that_does_not_allow_what_it_imports_is_refused() {
    for (guest, interface) in FETCHERS {
        let scratch = Scratch::new();
        let recipe = scratch.recipe(guest, "", "");
        let finished = run(scratch.wadoo().arg("compose").arg(&recipe));
        assert_eq!(finished.code, 1, "{}", finished.stderr);
        assert!(finished.stderr.contains(interface), "{}", finished.stderr);
    }
}

#[test]
fn a_denied_interface_answers_with_its_error_and_nothing_goes_out() {
    for (guest, interface) in FETCHERS {
        let upstream = Upstream::start();
        let scratch = Scratch::new();
        let more = "[limits]\nresources = 64\n\n[instances]\nreuse = \"serial\"\n";
        let recipe = scratch.recipe(guest, "", more);
        let text = std::fs::read_to_string(&recipe).unwrap();
        let text = text.replace(
            "path = \"guest.wasm\"\n",
            &format!("path = \"guest.wasm\"\ndeny = [\"{interface}\"]\n"),
        );
        std::fs::write(&recipe, text).unwrap();
        let artifact = scratch.compose(&recipe);
        let server = Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]));
        // Had the requests that it was passed not been given back, there would be no room for so many.
        for _ in 0..100 {
            let answer = server.get(&format!("/fetch?url=http://{}/", upstream.address));
            assert_eq!(answer.status, 502, "{guest}: {}", answer.text());
            assert!(answer.text().contains("HttpRequestDenied"), "{guest}: {}", answer.text());
        }
        assert_eq!(upstream.reached(), 0);
    }
}

#[test]
fn what_a_policy_denies_or_allows_holds_for_a_part_that_says_nothing() {
    for (guest, interface) in FETCHERS {
        let upstream = Upstream::start();
        let fetch = |policy: &str| {
            let scratch = Scratch::new();
            let artifact = scratch.compose(&scratch.recipe(guest, "", policy));
            let server = Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]));
            server.get(&format!("/fetch?url=http://{}/", upstream.address))
        };
        let denied = fetch(&format!("[policy]\ndeny = [\"{interface}\"]\n"));
        assert_eq!((denied.status, upstream.reached()), (502, 0), "{guest}: {}", denied.text());
        assert!(denied.text().contains("HttpRequestDenied"), "{guest}: {}", denied.text());
        let hosts = format!("hosts = [\"{}\"]", upstream.address);
        let allowed = fetch(&format!(
            "[grants]\n\"{interface}\" = {{ {hosts} }}\n\n[policy]\nallow = [\"{interface}\"]\n"
        ));
        assert_eq!((allowed.status, upstream.reached()), (200, 1), "{guest}: {}", allowed.text());
    }
}

fn command(scratch: &Scratch, guest: &str, allow: &str, more: &str) -> std::path::PathBuf {
    scratch.compose(&scratch.recipe(guest, allow, more))
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
fn a_server_sees_only_the_variables_that_are_granted() {
    for guest in ["hostile-02", "hostile-03"] {
        let scratch = Scratch::new();
        let seen = |allow: &str, grants: &str| {
            let artifact = scratch.compose(&scratch.recipe(guest, allow, grants));
            let mut launcher = scratch.launcher();
            launcher.env("GRANTED", "yes").env("SECRET", "no").arg(artifact).args(["--addr", "127.0.0.1:0"]);
            let server = Server::start(&mut launcher);
            [server.get("/env").text(), server.get("/env").text()]
        };
        assert_eq!(seen("", ""), ["", ""], "{guest}");
        let grants = "[grants]\n\"wasi:cli/environment\" = { keys = [\"GRANTED\", \"ABSENT\"] }\n";
        let granted = seen("wasi:cli/environment", grants);
        assert_eq!(granted, ["env GRANTED=yes\n", "env GRANTED=yes\n"], "{guest}");
    }
}

#[test]
fn a_variable_that_no_component_can_take_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let scratch = Scratch::new();
    let grants = "[grants]\n\"wasi:cli/environment\" = { keys = [\"GRANTED\"] }\n";
    let artifact = command(&scratch, "command-02", "wasi:cli/environment", grants);
    let finished =
        run(scratch.launcher().env("GRANTED", std::ffi::OsStr::from_bytes(b"\xff")).arg(artifact).arg("env"));
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("cannot pass on the variable `GRANTED`"), "{}", finished.stderr);
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
