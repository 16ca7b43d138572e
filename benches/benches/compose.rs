//! wadoo's own share of `wadoo compose`: everything but Cranelift; and `wac` with `wasmtime compile` beside the whole.
//!
//! `cargo bench -p wadoo-benches --bench compose`. The reference of the share is the compile time of the same run, as
//! `compose --json` reports it. `own` ends with that report, when every file has its name; `exit` is what the
//! process takes to end after that, in which the kernel takes back the compiler's memory. `wac` 0.12 and `wasmtime` 48.0.8 on
//! the path (`cargo install wac-cli@0.12.0 wasmtime-cli@48.0.8`) are the peers: they link and compile, and neither sign
//! nor verify.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wadoo_benches::build;
use wadoo_benches::chain::Chain;
use wadoo_benches::figures::Series;

const RUNS: usize = 30;
/// Parts of `chain`.
const PARTS: usize = 20;
/// Parts that have together the bytes of twenty of 50 KB. There is one middleware to make a chain of, with 69 KB, so it is
/// the number that comes near to that aim, and not the size.
const PARTS_OF_A_MEGABYTE: usize = 15;

/// The times of one run.
struct Run {
    compile: Duration,
    own: Duration,
    exit: Duration,
}

fn main() {
    let wadoo = build::release("wadoo", "wadoo");
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let command = |recipe: &Path| {
        let mut command = Command::new(&wadoo);
        command
            .args(["--quiet", "compose", "--json", "-o"])
            .arg(scratch.path())
            .arg(recipe)
            .env("HOME", scratch.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("CI");
        command
    };
    println!("wadoo compose, {RUNS} runs each; medians\n");
    println!("{:<14} {:>11} {:>8} {:>9} {:>8}", "", "compile ms", "own ms", "exit ms", "own %");
    for recipe in ["hello-02", "hello", "wadoocore"] {
        share(recipe, &mut command(&build::workspace().join("recipes").join(recipe)));
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let chain = Chain::write(folder.path(), PARTS);
    let shorter_folder = tempfile::tempdir().expect("a folder can be made");
    let shorter = Chain::write(shorter_folder.path(), PARTS_OF_A_MEGABYTE);
    share("chain-of-1-MB", &mut command(shorter_folder.path()));
    let mut command = command(folder.path());
    share("chain", &mut command);
    println!();
    for (name, chain) in [("chain-of-1-MB", &shorter), ("chain", &chain)] {
        let (parts, bytes) = chain.size();
        println!(
            "`{name}` has {parts} parts of {} KB in the middle, {} KB",
            bytes / parts as u64 / 1000,
            bytes / 1000
        );
    }
    println!();
    beside_peers(&chain, &mut command);
}

/// Prints one row.
fn share(name: &str, command: &mut Command) {
    let (mut compile, mut own, mut exit) = (Series::default(), Series::default(), Series::default());
    for round in 0..=RUNS {
        let run = compose(command);
        // The first one makes the key and warms the page cache.
        if round > 0 {
            compile.push(run.compile);
            own.push(run.own);
            exit.push(run.exit);
        }
    }
    let (compile, own, exit) = (compile.median(), own.median(), exit.median());
    let share = 100.0 * own / (own + compile);
    println!("{name:<14} {compile:>11.1} {own:>8.1} {exit:>9.1} {share:>7.1} %");
}

/// The whole of `wadoo compose`, from its start to its end, and the same of the peers, in turn.
fn beside_peers(chain: &Chain, wadoo: &mut Command) {
    if !(has("wac") && has("wasmtime")) {
        return println!("`wac` and `wasmtime` are not both on the path: nothing to compare with");
    }
    let (mut whole, mut link, mut compile) = (Series::default(), Series::default(), Series::default());
    let mut both = Series::default();
    for _ in 0..RUNS {
        whole.push(timed(wadoo));
        let (linked, compiled) = (timed(&mut chain.wac_compose()), timed(&mut chain.wasmtime_compile()));
        link.push(linked);
        compile.push(compiled);
        both.push(linked + compiled);
    }
    println!("{:<40} {:>9}", "`chain`, from start to end", "ms");
    println!("{:<40} {:>9.1}", "wadoo compose", whole.median());
    println!("{:<40} {:>9.1}", "wac compose", link.median());
    println!("{:<40} {:>9.1}", "wasmtime compile", compile.median());
    println!("\nwadoo compose ÷ (wac compose, wasmtime compile): {:.2}", whole.median() / both.median());
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
}

fn timed(command: &mut Command) -> Duration {
    let begin = Instant::now();
    let status = command.stdout(Stdio::null()).status().expect("it starts");
    assert!(status.success(), "{command:?} fails");
    begin.elapsed()
}

fn compose(command: &mut Command) -> Run {
    let begin = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("wadoo starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    stdout.read_line(&mut line).expect("`compose --json` prints a line");
    let told = begin.elapsed();
    let status = child.wait().expect("wadoo ends");
    assert!(status.success(), "`wadoo compose` fails: {line}");
    let compile = compile_time(&line);
    Run { compile, own: told.saturating_sub(compile), exit: begin.elapsed().saturating_sub(told) }
}

/// `"compileMicroseconds":N` of `compose --json`.
fn compile_time(json: &str) -> Duration {
    let number = json
        .split_once("\"compileMicroseconds\":")
        .map(|(_, rest)| rest.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>())
        .and_then(|digits| digits.parse().ok())
        .expect("`compose --json` reports the compile time");
    Duration::from_micros(number)
}
