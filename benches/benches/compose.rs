//! wadoo's own share of `wadoo compose`: everything but Cranelift.
//!
//! `cargo bench -p wadoo-benches --bench compose`. The reference is the compile time of the same run, as
//! `compose --json` reports it. `own` ends with that report, when every file has its name; `exit` is what the
//! process takes to end after that, in which the kernel takes back the compiler's memory.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wadoo_benches::build;
use wadoo_benches::figures::Series;

const RUNS: usize = 30;

/// The times of one run.
struct Run {
    compile: Duration,
    own: Duration,
    exit: Duration,
}

fn main() {
    let wadoo = build::release("wadoo", "wadoo");
    let scratch = tempfile::tempdir().expect("a folder can be made");
    println!("wadoo compose, {RUNS} runs each; medians\n");
    println!("{:<14} {:>11} {:>8} {:>9} {:>8}", "", "compile ms", "own ms", "exit ms", "own %");
    for recipe in ["hello-02", "hello", "wadoocore"] {
        let mut command = Command::new(&wadoo);
        command
            .args(["--quiet", "compose", "--json", "-o"])
            .arg(scratch.path())
            .arg(build::workspace().join("recipes").join(recipe))
            .env("HOME", scratch.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("CI");
        let (mut compile, mut own, mut exit) = (Series::default(), Series::default(), Series::default());
        for round in 0..=RUNS {
            let run = compose(&mut command);
            // The first one makes the key and warms the page cache.
            if round > 0 {
                compile.push(run.compile);
                own.push(run.own);
                exit.push(run.exit);
            }
        }
        let (compile, own, exit) = (compile.median(), own.median(), exit.median());
        let share = 100.0 * own / (own + compile);
        println!("{recipe:<14} {compile:>11.1} {own:>8.1} {exit:>9.1} {share:>7.1} %");
    }
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
