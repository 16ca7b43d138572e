//! Has a launcher do what launchers do, so that a build of it that counts can say which code that is.
//!
//! `launcher/optimize` calls it: `train LAUNCHER`. Each way to share instances is under load for a while over HTTP/1.1, then the
//! launcher is ended by a signal, as it writes what it counted when it ends by itself.

#![expect(clippy::print_stdout, reason = "a tool says what it does")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use wadoo_benches::artifacts::Workshop;
use wadoo_benches::cores::{Cores, Share};
use wadoo_benches::{load, process};

/// Connections at a time.
const CONNECTIONS: usize = 16;
/// How long each application is under load.
const TIME: Duration = Duration::from_secs(3);
/// Starts of each application with one request, beside the one under load: a start counts as well.
const STARTS: usize = 20;
/// Asked for before that time, instances are made without a pool.
const SETTLE: Duration = Duration::from_millis(300);

const SERIAL: &str = "\n[instances]\nreuse = \"serial\"\n";
const CONCURRENT: &str = "\n[instances]\nreuse = \"concurrent\"\n";

fn main() {
    let launcher: PathBuf = std::env::args_os().nth(1).expect("usage: train LAUNCHER").into();
    let (workshop, cores) = (Workshop::new(), Cores::of_process());
    for (recipe, more) in [
        ("hello-02", ""),
        ("hello-02", SERIAL),
        ("hello", ""),
        ("hello", SERIAL),
        ("hello", CONCURRENT),
        ("wadoocore", ""),
    ] {
        let artifact = workshop.compose(recipe, more);
        let address = process::free_address();
        for _ in 0..STARTS {
            let mut command = command(&launcher, &workshop, &artifact, address);
            process::start(&mut command, address, cores, Share::All);
        }
        let mut child =
            command(&launcher, &workshop, &artifact, address).spawn().expect("the launcher starts");
        process::wait_for(&mut child, address);
        sleep(SETTLE);
        let rate = load::run(address, CONNECTIONS, TIME).rate();
        assert!(process::end(&mut child).success(), "the launcher failed");
        println!("{recipe}{}: {rate:.0} requests a second", more.replace('\n', " "));
    }
}

fn command(launcher: &Path, workshop: &Workshop, artifact: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new(launcher);
    command
        .arg(artifact)
        .args(["--addr", &address.to_string()])
        .env("HOME", workshop.home())
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("WADOO_TRUST")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
