//! Exec → first response of the launcher, beside a bare hyper server and `wasmtime serve`, in one run.
//!
//! `cargo bench -p wadoo-benches --bench startup`. Each server has one core and its client another (where there are
//! two), but for the guests of language runtimes, which have all. Every server is started in turn, round after round, so that a machine whose speed drifts hurts all alike. `RUNS=100` sets the number of rounds (30 at least).

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use wadoo_benches::artifacts::Workshop;
use wadoo_benches::build::Linkage;
use wadoo_benches::cores::{Cores, Share};
use wadoo_benches::figures::Series;
use wadoo_benches::process::{self, Start};

/// One row of the table.
struct Contender {
    name: String,
    command: Box<dyn Fn(SocketAddr) -> Command>,
    share: Share,
    series: Series,
    last: Option<Start>,
}

impl Contender {
    fn start(&self, cores: Cores) -> Start {
        let address = process::free_address();
        process::start(&mut (self.command)(address), address, cores, self.share)
    }
}

/// What `launcher --timings` says of its starts, by step, in the order of the steps.
#[derive(Default)]
struct Phases(Vec<(String, Series)>);

impl Phases {
    /// Reads `launcher: start: open 0.051 ms, …` and `launcher: first instance 0.100 ms`.
    fn push(&mut self, stderr: &str) {
        let lines = stderr.lines().filter_map(|line| line.strip_prefix("launcher: "));
        for step in lines.flat_map(|line| line.strip_prefix("start: ").unwrap_or(line).split(", ")) {
            let Some((name, millis)) = step.strip_suffix(" ms").and_then(|step| step.rsplit_once(' ')) else {
                continue;
            };
            let millis: f64 = millis.parse().expect("a step has a number");
            let took = Duration::from_secs_f64(millis / 1000.0);
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, series)) => series.push(took),
                None => {
                    let mut series = Series::default();
                    series.push(took);
                    self.0.push((name.to_owned(), series));
                }
            }
        }
    }
}

fn print_phases(all: &[(Contender, Phases)]) {
    println!("\nsteps of the launcher, static, in place\n");
    for (contender, phases) in all {
        println!("{:<34} {:>8} {:>8}", contender.name, "p50 ms", "p99 ms");
        for (step, series) in &phases.0 {
            println!("  {step:<32} {:>8.3} {:>8.3}", series.median(), series.p99());
        }
    }
}

fn main() {
    let runs = std::env::var("RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(30).max(30);
    let cores = Cores::of_process();
    let artifacts = Artifacts::compose();
    let mut contenders = contenders(&artifacts);
    let small = [("0.2", &artifacts.hello_02, Share::One), ("0.3", &artifacts.hello_03, Share::One)];
    let large = artifacts.large.iter().map(|(name, artifact)| (*name, artifact, Share::All));
    let mut phases: Vec<_> = (small.into_iter().chain(large))
        .map(|(name, artifact, share)| {
            let flags = &["--map-in-place", "--timings"];
            let contender = launcher(name, &artifacts, &artifacts.launcher, artifact, flags);
            (Contender { share, ..contender }, Phases::default())
        })
        .collect();
    for round in 0..=runs {
        for contender in &mut contenders {
            let start = contender.start(cores);
            // The first round warms the page cache and is not counted.
            if round > 0 {
                contender.series.push(start.first_byte);
                contender.last = Some(start);
            }
        }
        for (contender, phases) in &mut phases {
            let start = contender.start(cores);
            if round > 0 {
                phases.push(&start.stderr);
            }
        }
    }
    print(&contenders, runs);
    print_phases(&phases);
    artifacts.print_sizes();
}

/// The files that are served.
struct Artifacts {
    workshop: Workshop,
    launcher: PathBuf,
    launcher_dynamic: PathBuf,
    bare: PathBuf,
    bare_dynamic: PathBuf,
    hello_02: PathBuf,
    hello_03: PathBuf,
    /// Guests of language runtimes, as far as they could be built.
    large: Vec<(&'static str, PathBuf)>,
    wasmtime: Option<(PathBuf, PathBuf)>,
}

impl Artifacts {
    fn compose() -> Self {
        let workshop = Workshop::new();
        let hello_02 = workshop.compose("hello-02", "");
        let hello_03 = workshop.compose("hello", "");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-guests");
        let large: Vec<_> = [("JavaScript", "js"), ("Python", "py")]
            .into_iter()
            .filter_map(|(name, language)| Some((name, workshop.compose_large(language, &cache)?)))
            .collect();
        Self {
            wasmtime: workshop.wasmtime(&hello_02.with_extension("wasm")),
            launcher: workshop.install("wadoo-launcher", "launcher", Linkage::Static),
            launcher_dynamic: workshop.install("wadoo-launcher", "launcher", Linkage::Dynamic),
            bare: workshop.install("wadoo-benches", "bare-hyper", Linkage::Static),
            bare_dynamic: workshop.install("wadoo-benches", "bare-hyper", Linkage::Dynamic),
            workshop,
            hello_02,
            hello_03,
            large,
        }
    }

    fn print_sizes(&self) {
        println!();
        let files = [
            ("launcher, static", &self.launcher),
            ("launcher, dynamic", &self.launcher_dynamic),
            ("hello-02.cwasm", &self.hello_02),
            ("hello.cwasm", &self.hello_03),
        ];
        for (name, path) in files.into_iter().chain(self.large.iter().map(|(name, path)| (*name, path))) {
            let length = std::fs::metadata(path).expect("the file is there").len();
            println!("{name:<34} {:>8.2} MiB", length as f64 / f64::from(1 << 20));
        }
    }
}

fn contenders(artifacts: &Artifacts) -> Vec<Contender> {
    let mut all = vec![
        bare("bare hyper, static", &artifacts.bare),
        bare("bare hyper, dynamic", &artifacts.bare_dynamic),
        launcher(
            "launcher 0.2, static, sealed copy",
            artifacts,
            &artifacts.launcher,
            &artifacts.hello_02,
            &[],
        ),
        launcher(
            "launcher 0.2, static, in place",
            artifacts,
            &artifacts.launcher,
            &artifacts.hello_02,
            &["--map-in-place"],
        ),
        launcher(
            "launcher 0.2, dynamic, in place",
            artifacts,
            &artifacts.launcher_dynamic,
            &artifacts.hello_02,
            &["--map-in-place"],
        ),
        launcher(
            "launcher 0.3, static, in place",
            artifacts,
            &artifacts.launcher,
            &artifacts.hello_03,
            &["--map-in-place"],
        ),
    ];
    for (name, artifact) in &artifacts.large {
        let name = format!("launcher, {name}, all cores");
        let contender = launcher(&name, artifacts, &artifacts.launcher, artifact, &["--map-in-place"]);
        all.push(Contender { share: Share::All, ..contender });
    }
    if let Some((wasmtime, component)) = artifacts.wasmtime.clone() {
        all.push(Contender {
            name: "wasmtime serve 0.2, precompiled".to_owned(),
            command: Box::new(move |address| {
                let mut command = Command::new(&wasmtime);
                command.args(["serve", "--allow-precompiled", "-Scli", "--addr", &address.to_string()]);
                command.arg(&component);
                command
            }),
            share: Share::One,
            series: Series::default(),
            last: None,
        });
    }
    all
}

fn bare(name: &str, binary: &Path) -> Contender {
    let binary = binary.to_owned();
    Contender {
        name: name.to_owned(),
        command: Box::new(move |address| {
            let mut command = Command::new(&binary);
            command.arg(address.to_string());
            command
        }),
        share: Share::One,
        series: Series::default(),
        last: None,
    }
}

fn launcher(
    name: &str,
    artifacts: &Artifacts,
    binary: &Path,
    artifact: &Path,
    flags: &'static [&'static str],
) -> Contender {
    let (binary, artifact, home) = (binary.to_owned(), artifact.to_owned(), artifacts.workshop.home());
    Contender {
        name: name.to_owned(),
        command: Box::new(move |address| {
            let mut command = Command::new(&binary);
            command.args(["--addr", &address.to_string()]).args(flags).arg(&artifact);
            command.env("HOME", &home).env_remove("XDG_CONFIG_HOME").env_remove("WADOO_TRUST");
            command
        }),
        share: Share::One,
        series: Series::default(),
        last: None,
    }
}

fn print(contenders: &[Contender], runs: usize) {
    let reference = contenders[0].series.median();
    let peer = contenders.iter().find(|one| one.name.starts_with("wasmtime")).map(|one| one.series.median());
    println!("exec to first response, {runs} runs each, in turn\n");
    println!(
        "{:<34} {:>8} {:>8} {:>10} {:>10} {:>9}",
        "", "p50 ms", "p99 ms", "× bare", "wasmtime ÷", "RSS MiB"
    );
    for one in contenders {
        let median = one.series.median();
        let resident = one.last.as_ref().map_or(0, |start| start.resident_kib);
        println!(
            "{:<34} {:>8.2} {:>8.2} {:>10.2} {:>10} {:>9.1}",
            one.name,
            median,
            one.series.p99(),
            median / reference,
            peer.map_or_else(|| "-".to_owned(), |peer| format!("{:.2}", peer / median)),
            resident as f64 / 1024.0,
        );
    }
    let large = contenders.iter().filter(|one| one.share == Share::All).count();
    if large < 2 {
        println!("\nguests of language runtimes left out: {} (see benches/guests/build)", 2 - large);
    }
    if peer.is_none() {
        println!("\n`wasmtime` is not on the path: no peer in this run");
    }
}
