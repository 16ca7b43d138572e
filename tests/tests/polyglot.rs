//! Four languages in one component, under two engines: what `recipes/polyglot/build` and `tests/second-engine install`
//! brought. Where they did not, it is skipped.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;
use wadoo_tests::tools::skip;

const TEXT: &[u8] = "the quick  brown fox, jumped".as_bytes();
const TOLD: &str = "words: 5 (C)\ntitle: The Quick  Brown Fox, Jumped (Python)\n\
                    slug: the-quick-brown-fox-jumped (JavaScript)\n";

/// How often a server that starts is asked, with a pause between.
const TRIES: u32 = 600;

#[test]
fn four_languages_are_one_component_for_two_engines() {
    let recipe = workspace().join("recipes/polyglot");
    if !["count", "title", "slug"].iter().all(|guest| recipe.join(format!("guests/{guest}.wasm")).exists()) {
        return skip("`recipes/polyglot/build` was not run");
    }
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("out")).unwrap();
    let finished = run(scratch.wadoo().arg("compose").arg(recipe).args(["--emit", "both", "-o", "out"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);

    let artifact = scratch.path("out/polyglot.cwasm");
    let server = Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]));
    let answer = server.request("POST", "/", &[], TEXT);
    assert_eq!((answer.status, answer.text().as_str()), (200, TOLD));
    assert_eq!(server.request("POST", "/", &[], b"\xff").status, 400);
    assert_eq!(server.stop().code, 0);

    match SecondEngine::start(&scratch.path("out/polyglot.wasm")) {
        Some(mut engine) => assert_eq!(engine.answer(), TOLD),
        None => skip("`tests/second-engine install` was not run"),
    }
}

/// `jco serve`, which starts a process of its own: both are one group.
struct SecondEngine {
    child: Child,
    address: SocketAddr,
}

impl SecondEngine {
    /// `None` if it is not installed.
    fn start(component: &std::path::Path) -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(workspace().join("tests/second-engine"));
        command.arg("serve").arg(component).arg(address.port().to_string()).process_group(0);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        thread::sleep(Duration::from_millis(200));
        let missing = child.try_wait().unwrap().is_some_and(|status| status.code() == Some(3));
        (!missing).then_some(Self { child, address })
    }

    /// What it answers to the text, once it listens.
    fn answer(&mut self) -> String {
        for _ in 0..TRIES {
            if let Ok(answer) = self.ask()
                && let Some((_, body)) = answer.split_once("\r\n\r\n")
            {
                return body.to_owned();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the second engine ended");
            thread::sleep(Duration::from_millis(100));
        }
        panic!("the second engine does not answer");
    }

    fn ask(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        let length = TEXT.len();
        write!(stream, "POST / HTTP/1.0\r\nhost: test\r\ncontent-length: {length}\r\n\r\n")?;
        stream.write_all(TEXT)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for SecondEngine {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}
