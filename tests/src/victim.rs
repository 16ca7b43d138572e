//! The launcher that hostile clients attack: a guest that reads bodies and writes long ones, and limits as an operator
//! would set them who has been attacked before.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::binaries;
use crate::hostile::meter::Most;
use crate::scratch::Scratch;
use crate::server::Server;

/// How long the server may take to let go of what its attackers left.
const SETTLE: Duration = Duration::from_secs(40);

/// A running launcher.
pub struct Victim {
    /// The process.
    pub server: Server,
    at_first: Most,
}

const RECIPE: &str = r#"
recipe = 1

[app]
name = "victim"
version = "1.0.0"

[components.guest]
path = "guest.wasm"

[limits]
memory = "16MiB"
timeout = "10s"
concurrency = 100
"#;

impl Victim {
    /// Composes the guest and starts a launcher for it: the one under test, or `launcher`, with no more than so many
    /// descriptors if a number is given.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn start(scratch: &Scratch, launcher: Option<&Path>, descriptors: Option<u32>) -> Self {
        let guest = std::fs::read(binaries::workspace().join("tests/guests/hostile-02.wasm"));
        scratch.write("guest.wasm", guest.expect("the guest is prebuilt"));
        let artifact = scratch.compose(&scratch.write("recipe.toml", RECIPE));
        let launcher = launcher.unwrap_or_else(|| binaries::launcher());
        let mut command = match descriptors {
            None => binaries::isolated(launcher, &scratch.home()),
            Some(descriptors) => {
                let mut shell = binaries::isolated(Path::new("/bin/sh"), &scratch.home());
                shell.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")).arg(launcher);
                shell
            }
        };
        command.arg(artifact).args(["--addr", "127.0.0.1:0", "--threads", "2"]);
        command.args(["--limit", "requests-per-address=20"]);
        let server = Server::start(&mut command);
        // The pool, and everything that the first requests make.
        server.start_second_thread("/ok");
        for _ in 0..20 {
            assert_eq!(server.get("/ok").status, 200);
        }
        let at_first = Most::now(server.id());
        Self { server, at_first }
    }

    /// What the server holds once its attackers are gone: as many descriptors as at first, or what is left of them
    /// after a while.
    pub fn settled(&self) -> Most {
        let begin = Instant::now();
        loop {
            let now = Most::now(self.server.id());
            if now.descriptors <= self.at_first.descriptors + 1 || begin.elapsed() > SETTLE {
                return now;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it held before anybody attacked it.
    pub fn at_first(&self) -> Most {
        self.at_first
    }
}
