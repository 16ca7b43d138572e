//! Values for each part: hosts, variables and folders that one part was granted are no other part's, over real sockets
//! and files.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;

/// The guests of a generation of WASI: one that stands before another, the last, and what they send requests by.
struct Generation {
    relay: &'static str,
    last: &'static str,
    http: &'static str,
    handler: &'static str,
}

const GENERATIONS: [Generation; 2] = [
    Generation {
        relay: "relay-02",
        last: "fetch-02",
        http: "wasi:http/outgoing-handler",
        handler: "wasi:http/incoming-handler",
    },
    Generation {
        relay: "relay-03",
        last: "fetch-03",
        http: "wasi:http/client",
        handler: "wasi:http/handler",
    },
];

impl Generation {
    /// Two instances of one component before a third part, which is denied everything: `first` has the variable FIRST, and
    /// `second` SECOND. The lines are added to their tables.
    fn recipe(&self, scratch: &Scratch, first: &str, second: &str) -> std::path::PathBuf {
        for guest in [self.relay, self.last] {
            let file = workspace().join(format!("tests/guests/{guest}.wasm"));
            scratch.write(&format!("{guest}.wasm"), std::fs::read(file).expect("the guest is built"));
        }
        let Self { relay, last, http, handler } = self;
        let part = |name: &str, next: &str, key: &str, more: &str| {
            format!(
                "[components.{name}]\npath = \"{relay}.wasm\"\nwith = {{ \"{handler}\" = \"{next}\" }}\n\
                 [components.{name}.grants]\n\"wasi:cli/environment\" = {{ keys = [\"{key}\"] }}\n{more}\n"
            )
        };
        scratch.write(
            "recipe.toml",
            format!(
                "recipe = 1\n[app]\nname = \"parts\"\nversion = \"1.0.0\"\n[exports]\n\"{handler}\" = \"first\"\n\
                 {}{}[components.last]\npath = \"{last}.wasm\"\ndeny = [\"{http}\"]\n",
                part("first", "second", "FIRST", first),
                part("second", "last", "SECOND", second),
            ),
        )
    }

    fn hosts(&self, upstream: &Upstream) -> String {
        format!("\"{}\" = {{ hosts = [\"http://{}\"] }}\n", self.http, upstream.address)
    }
}

fn start(scratch: &Scratch, recipe: &std::path::Path, arguments: &[&str]) -> Server {
    let artifact = scratch.compose(recipe);
    let mut launcher = scratch.launcher();
    launcher.envs([("FIRST", "1"), ("SECOND", "2"), ("THIRD", "3")]);
    Server::start(launcher.arg(artifact).args(["--addr", "127.0.0.1:0"]).args(arguments))
}

/// A server that says its name and counts who comes.
struct Upstream {
    address: SocketAddr,
    reached: Arc<AtomicUsize>,
}

impl Upstream {
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 1024]);
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", name.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(name.as_bytes()));
            }
        });
        Self { address, reached }
    }

    fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

#[test]
fn each_part_reaches_its_own_hosts_and_no_others() {
    for generation in &GENERATIONS {
        let (one, two) = (Upstream::start("one"), Upstream::start("two"));
        let scratch = Scratch::new();
        let recipe = generation.recipe(&scratch, &generation.hosts(&one), &generation.hosts(&two));
        let server = start(&scratch, &recipe, &[]);
        for (key, own, other) in [("FIRST", &one, &two), ("SECOND", &two, &one)] {
            let before = (own.reached(), other.reached());
            let answer = server.get(&format!("/{key}/fetch?url=http://{}/", own.address));
            assert_eq!(answer.status, 200, "{key} of {}: {}", generation.relay, answer.text());
            let answer = server.get(&format!("/{key}/fetch?url=http://{}/", other.address));
            assert_eq!(answer.status, 502, "{key} of {}: {}", generation.relay, answer.text());
            assert!(answer.text().to_lowercase().contains("denied"), "{}", answer.text());
            assert_eq!(
                (own.reached(), other.reached()),
                (before.0 + 1, before.1),
                "a refused request went out"
            );
        }
        // The third part is denied what the others have.
        let answer = server.get(&format!("/fetch?url=http://{}/", one.address));
        assert_ne!(answer.status, 200, "{}", generation.last);
        assert_eq!((one.reached(), two.reached()), (1, 1));
    }
}

#[test]
fn a_part_that_was_granted_no_hosts_reaches_none() {
    for generation in &GENERATIONS {
        let upstream = Upstream::start("one");
        let scratch = Scratch::new();
        let recipe = generation.recipe(&scratch, &generation.hosts(&upstream), "");
        // The second imports the same, and is denied it.
        let text = std::fs::read_to_string(&recipe).expect("the recipe");
        let table = "[components.second]\n";
        let denied = text.replace(table, &format!("{table}deny = [\"{}\"]\n", generation.http));
        std::fs::write(&recipe, denied).expect("written");
        let server = start(&scratch, &recipe, &[]);
        let url = format!("http://{}/", upstream.address);
        assert_eq!(server.get(&format!("/FIRST/fetch?url={url}")).text(), "one", "{}", generation.relay);
        assert_ne!(server.get(&format!("/SECOND/fetch?url={url}")).status, 200, "{}", generation.relay);
        assert_eq!(upstream.reached(), 1);
    }
}

#[test]
fn each_part_sees_its_own_variables_and_folders() {
    for generation in &GENERATIONS {
        let upstream = Upstream::start("one");
        let scratch = Scratch::new();
        let hosts = generation.hosts(&upstream);
        let mount = |path: &str| {
            format!(
                "{hosts}\"wasi:filesystem/preopens\" = {{ mounts = [{{ path = \"{path}\" }}, {{ path = \"/both\" }}] }}\n"
            )
        };
        let recipe = generation.recipe(&scratch, &mount("/one"), &mount("/two"));
        for folder in ["one", "two", "first", "both"] {
            scratch.write(&format!("{folder}/who"), folder);
        }
        let mounts = ["/one=one", "/two=two", "first:/both=first", "/both=both"];
        let arguments: Vec<&str> = mounts.iter().flat_map(|mount| ["--mount", mount]).collect();
        let server = start(&scratch, &recipe, &arguments);
        for (key, folders) in [("FIRST", "/both first\n/one one\n"), ("SECOND", "/both both\n/two two\n")] {
            assert_eq!(
                server.get(&format!("/{key}/variables")).text(),
                format!("{key}\n"),
                "{}",
                generation.relay
            );
            assert_eq!(server.get(&format!("/{key}/folders")).text(), folders, "{}", generation.relay);
        }
        // Nobody has a variable that was granted to nobody; the last part knows no such path.
        assert_eq!(server.get("/THIRD/variables").status, 400, "{}", generation.relay);
    }
}

#[test]
fn an_instance_of_ones_own_has_the_values_of_its_part_and_can_be_given_other_folders() {
    for generation in &GENERATIONS {
        let (one, two) = (Upstream::start("one"), Upstream::start("two"));
        let scratch = Scratch::new();
        let values = |upstream, path: &str| {
            let hosts = generation.hosts(upstream);
            format!(
                "{hosts}\"wasi:filesystem/preopens\" = {{ mounts = [{{ path = \"{path}\" }}, {{ path = \"/both\" }}] }}\n"
            )
        };
        let recipe = generation.recipe(&scratch, &values(&one, "/one"), &values(&two, "/two"));
        let text = std::fs::read_to_string(&recipe).expect("the recipe");
        let (shared, own) = ("= \"second\" }", "= { part = \"second\", own = true } }");
        assert!(text.contains(shared), "{text}");
        std::fs::write(&recipe, text.replace(shared, own)).expect("written");
        for folder in ["one", "two", "own", "both"] {
            scratch.write(&format!("{folder}/who"), folder);
        }
        let mounts = ["/one=one", "/two=two", "first/second:/both=own", "/both=both"];
        let arguments: Vec<&str> = mounts.iter().flat_map(|mount| ["--mount", mount]).collect();
        let server = start(&scratch, &recipe, &arguments);
        let folders = |key: &str| server.get(&format!("/{key}/folders")).text();
        assert_eq!(folders("FIRST"), "/both both\n/one one\n", "{}", generation.relay);
        assert_eq!(folders("SECOND"), "/both own\n/two two\n", "{}", generation.relay);
        assert_eq!(server.get("/SECOND/variables").text(), "SECOND\n", "{}", generation.relay);
        let fetch = |to: &Upstream| server.get(&format!("/SECOND/fetch?url=http://{}/", to.address)).text();
        assert_eq!(fetch(&two), "two", "{}", generation.relay);
        assert!(fetch(&one).to_lowercase().contains("denied"), "{}", generation.relay);
        assert_eq!((one.reached(), two.reached()), (0, 1));
    }
}

#[test]
fn a_folder_for_a_part_that_has_none_of_its_own_is_refused() {
    let generation = &GENERATIONS[0];
    let upstream = Upstream::start("one");
    let scratch = Scratch::new();
    let hosts = generation.hosts(&upstream);
    let artifact = scratch.compose(&generation.recipe(&scratch, &hosts, &hosts));
    let finished = run(scratch.launcher().arg("check").arg(artifact).args(["--mount", "first:/data=."]));
    assert_eq!(finished.code, 2, "{}", finished.stderr);
    assert_eq!(
        finished.stderr,
        "launcher: error: cannot give `parts` its folders\n  `first:/data` is given, and its manifest does not declare it\n\
         hint: remove `--mount first:/data=…`\n"
    );
}

/// A host that knows nothing of parts cannot keep their values apart, and whoever asks for such a component is told.
#[test]
fn the_portable_component_is_said_to_share() {
    let generation = &GENERATIONS[1];
    let (one, two) = (Upstream::start("one"), Upstream::start("two"));
    let scratch = Scratch::new();
    let recipe = generation.recipe(&scratch, &generation.hosts(&one), &generation.hosts(&two));
    let finished = run(scratch.wadoo().arg("compose").arg(recipe).args(["--emit", "wasm"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(
        finished.stderr.contains("`first`, `second` have values of their own for `wasi:http/client@0.3.0`"),
        "{}",
        finished.stderr
    );
    assert!(!finished.stdout.contains("wadoo:part-"), "{}", finished.stdout);
}
