//! Requests a second, beside a bare hyper server and `wasmtime serve`, in one run.
//!
//! `cargo bench -p wadoo-benches --bench load`. Each server has one core and this process another (where there are
//! two); sixteen connections send one request after the other. The servers take turns, round after round;
//! `ROUNDS=5` sets how many (3 at least), and the median round counts.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use wadoo_benches::artifacts::Workshop;
use wadoo_benches::build::Linkage;
use wadoo_benches::cores::{Cores, Share};
use wadoo_benches::{load, process};

const CONNECTIONS: usize = 16;
/// How long one server is under load in one round.
const TIME: Duration = Duration::from_secs(2);
/// From the first answer on: the launcher makes its pool in this time.
const SETTLE: Duration = Duration::from_millis(300);

/// What `wasmtime serve` does best with: pooled memory that stays resident.
const TUNED: &str = "-Opooling-allocator=y,pooling-memory-keep-resident=1048576,pooling-async-stack-keep-resident=65536,\
                     pooling-pagemap-scan=auto,pooling-total-core-instances=100,pooling-total-component-instances=100,\
                     pooling-total-memories=100,pooling-total-tables=100,pooling-total-stacks=100";
const REUSED: &[&str] = &["--max-instance-reuse-count", "1000"];

struct Contender {
    name: &'static str,
    command: Box<dyn Fn(SocketAddr) -> Command>,
    share: Share,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    p50: f64,
    p99: f64,
}

impl Contender {
    fn round(&mut self, cores: Cores) {
        let address = process::free_address();
        let mut command = (self.command)(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = cores.on_share(self.share, || command.spawn().expect("the command starts"));
        process::wait_for(&mut child, address);
        sleep(SETTLE);
        let mut seen = load::run(address, CONNECTIONS, TIME);
        child.kill().and_then(|()| child.wait()).expect("the server can be ended");
        self.rounds.push(Round { rate: seen.rate(), p50: seen.quantile(0.5), p99: seen.quantile(0.99) });
    }

    /// The round with the median rate.
    fn median(&self) -> Round {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        rounds[rounds.len() / 2]
    }
}

fn main() {
    let cores = Cores::of_process();
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3).max(3);
    let workshop = Workshop::new();
    let (mut contenders, mut spread) = contenders(&workshop);
    for _ in 0..rounds {
        for contender in contenders.iter_mut().chain(&mut spread) {
            contender.round(cores);
        }
    }
    print(&contenders);
    print_spread(&spread);
}

/// Those with a core of their own, and those that have all.
fn contenders(workshop: &Workshop) -> (Vec<Contender>, Vec<Contender>) {
    let bare = workshop.install("wadoo-benches", "bare-hyper", Linkage::Static);
    let launcher = workshop.install("wadoo-launcher", "launcher", Linkage::Static);
    let reuse = |mode: &str| format!("\n[instances]\nreuse = \"{mode}\"\n");
    let mut all = vec![contender("bare hyper", move |address| {
        let mut command = Command::new(&bare);
        command.arg(address.to_string());
        command
    })];
    let mut spread = Vec::new();
    let (mut components, home) = (Vec::new(), workshop.home());
    for (name, recipe, mode) in [
        ("launcher 0.2, fresh", "hello-02", "none"),
        ("launcher 0.2, serial", "hello-02", "serial"),
        ("launcher 0.3, fresh", "hello", "none"),
        ("launcher 0.3, serial", "hello", "serial"),
        ("launcher 0.3, concurrent", "hello", "concurrent"),
    ] {
        let artifact = workshop.compose(recipe, &reuse(mode));
        if mode == "none" {
            components.push(artifact.with_extension("wasm"));
        }
        all.push(launched(name, &launcher, &artifact, &home));
        for threads in ["1", "2"] {
            spread.push(on_all(name, launched(name, &launcher, &artifact, &home), Some(threads)));
        }
    }
    let peers: Option<Vec<_>> = components.iter().map(|component| workshop.wasmtime(component)).collect();
    if let Some([(wasmtime, http_02), (_, http_03)]) = peers.as_deref() {
        all.push(served("wasmtime serve 0.2", wasmtime, http_02, &["-Scli"]));
        spread.push(on_all("wasmtime serve 0.2", served("", wasmtime, http_02, &["-Scli"]), None));
        all.push(served("wasmtime serve 0.2, tuned", wasmtime, http_02, &["-Scli", TUNED]));
        all.push(served("wasmtime serve 0.2, reuse", wasmtime, http_02, &["-Scli", REUSED[0], REUSED[1]]));
        let flags = &["-Scli,p3", "-Wcomponent-model-async", REUSED[0], "1"];
        all.push(served("wasmtime serve 0.3, fresh", wasmtime, http_03, flags));
        let flags = &["-Scli,p3", "-Wcomponent-model-async", REUSED[0], REUSED[1]];
        all.push(served("wasmtime serve 0.3, reuse", wasmtime, http_03, flags));
    }
    (all, spread)
}

fn contender(name: &'static str, command: impl Fn(SocketAddr) -> Command + 'static) -> Contender {
    Contender { name, command: Box::new(command), share: Share::One, rounds: Vec::new() }
}

/// The same with all cores, which its client uses as well, and so many threads where it can be told.
fn on_all(name: &'static str, contender: Contender, threads: Option<&'static str>) -> Contender {
    let command = move |address| {
        let mut command = (contender.command)(address);
        if let Some(threads) = threads {
            command.args(["--threads", threads]);
        }
        command
    };
    Contender { name, command: Box::new(command), share: Share::All, rounds: Vec::new() }
}

fn launched(name: &'static str, launcher: &Path, artifact: &Path, home: &Path) -> Contender {
    let (launcher, artifact, home) = (launcher.to_owned(), artifact.to_owned(), home.to_owned());
    contender(name, move |address| {
        let mut command = Command::new(&launcher);
        command.arg(&artifact).args(["--addr", &address.to_string()]);
        command.env("HOME", &home).env_remove("XDG_CONFIG_HOME").env_remove("WADOO_TRUST");
        command
    })
}

fn served(name: &'static str, wasmtime: &Path, component: &Path, flags: &[&'static str]) -> Contender {
    let (wasmtime, component): (PathBuf, PathBuf) = (wasmtime.to_owned(), component.to_owned());
    let flags = flags.to_vec();
    contender(name, move |address| {
        let mut command = Command::new(&wasmtime);
        command.args(["serve", "--allow-precompiled", "--addr", &address.to_string()]);
        command.args(&flags).arg(&component);
        command
    })
}

fn print(contenders: &[Contender]) {
    println!(
        "{CONNECTIONS} connections, one core for the server, median of {} rounds\n",
        contenders[0].rounds.len()
    );
    let bare = contenders[0].median();
    println!("{:<28} {:>9} {:>8} {:>8} {:>8} {:>9}", "", "req/s", "p50 µs", "p99 µs", "× bare", "p99 ×");
    for contender in contenders {
        let Round { rate, p50, p99 } = contender.median();
        println!(
            "{:<28} {rate:>9.0} {p50:>8.0} {p99:>8.0} {:>8.3} {:>9.2}",
            contender.name,
            rate / bare.rate,
            p99 / bare.p99
        );
    }
    println!();
    let rate = |name: &str| contenders.iter().find(|one| one.name == name).map(|one| one.median().rate);
    for (ours, peer) in [
        ("launcher 0.2, fresh", "wasmtime serve 0.2"),
        ("launcher 0.2, fresh", "wasmtime serve 0.2, tuned"),
        ("launcher 0.2, serial", "wasmtime serve 0.2, reuse"),
        ("launcher 0.3, fresh", "wasmtime serve 0.3, fresh"),
        ("launcher 0.3, serial", "wasmtime serve 0.3, reuse"),
        ("launcher 0.3, concurrent", "wasmtime serve 0.3, reuse"),
    ] {
        if let (Some(ours_rate), Some(peer_rate)) = (rate(ours), rate(peer)) {
            println!("{ours} ÷ {peer}: {:.2}", ours_rate / peer_rate);
        }
    }
}

fn print_spread(contenders: &[Contender]) {
    println!("\nall cores for the server, which its client uses as well\n");
    println!("{:<28} {:>9} {:>9} {:>8}", "", "1 thread", "2 threads", "2 ÷ 1");
    for pair in contenders.chunk_by(|a, b| a.name == b.name) {
        match pair {
            [one, two] => {
                let (one_rate, two_rate) = (one.median().rate, two.median().rate);
                println!("{:<28} {one_rate:>9.0} {two_rate:>9.0} {:>8.2}", one.name, two_rate / one_rate);
            }
            others => others.iter().for_each(|one| println!("{:<28} {:>19.0}", one.name, one.median().rate)),
        }
    }
}
