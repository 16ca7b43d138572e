//! wadoo's own share of `wadoo compose`: everything but Cranelift.
//!
//! `cargo bench -p wadoo-benches --bench compose`. The reference is the compile time of the same run, as
//! `compose --json` reports it.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::process::Command;
use std::time::{Duration, Instant};

use wadoo_benches::build;
use wadoo_benches::figures::Series;

const RUNS: usize = 30;

fn main() {
    let wadoo = build::release("wadoo", "wadoo");
    let scratch = tempfile::tempdir().expect("a folder can be made");
    println!("wadoo compose, {RUNS} runs each\n");
    println!("{:<14} {:>10} {:>12} {:>10} {:>9}", "", "whole ms", "compile ms", "own ms", "own %");
    for recipe in ["hello-02", "hello", "wadoocore"] {
        let (mut whole, mut compile, mut own) = (Series::default(), Series::default(), Series::default());
        for round in 0..=RUNS {
            let begin = Instant::now();
            let output = Command::new(&wadoo)
                .args(["compose", "--json", "-o"])
                .arg(scratch.path())
                .arg(build::workspace().join("recipes").join(recipe))
                .env("HOME", scratch.path())
                .env_remove("XDG_CONFIG_HOME")
                .env_remove("CI")
                .output()
                .expect("wadoo starts");
            let elapsed = begin.elapsed();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let compiling = compile_time(&String::from_utf8_lossy(&output.stdout));
            if round > 0 {
                whole.push(elapsed);
                compile.push(compiling);
                own.push(elapsed.saturating_sub(compiling));
            }
        }
        println!(
            "{recipe:<14} {:>10.1} {:>12.1} {:>10.1} {:>8.1} %",
            whole.median(),
            compile.median(),
            own.median(),
            100.0 * own.median() / whole.median(),
        );
    }
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
