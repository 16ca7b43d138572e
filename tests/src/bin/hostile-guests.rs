//! Has guests misbehave in every way that we know, beside good requests to the same application and to another one, and
//! prints what was sent, what came back and what survived.
//!
//! `cargo run -p wadoo-tests --bin hostile-guests -- [--long] [--launcher FILE] [NAME…]`
//!
//! Parts of names select applications: `hostile-03`, `serial`.

#![expect(clippy::print_stdout, reason = "it is a program that prints")]

use std::path::PathBuf;
use std::process::ExitCode;

use wadoo_tests::misdeeds::{self, MODES, Mode, NEIGHBOUR};
use wadoo_tests::scratch::Scratch;

/// Times that each misdeed is asked for in each mode, and how long one may last: 100 000 requests in the long form.
const SHORT: (usize, &str) = (3, "2s");
const LONG: (usize, &str) = (1000, "300ms");

fn main() -> ExitCode {
    let ((mut rounds, mut timeout), mut launcher) = (SHORT, None);
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--long" => (rounds, timeout) = LONG,
            "--launcher" => launcher = arguments.next().map(PathBuf::from),
            _ => names.push(argument),
        }
    }
    let is_named = |mode: &Mode| names.iter().all(|name| mode.to_string().contains(name.as_str()));
    if !MODES.iter().any(is_named) {
        let known: Vec<_> = MODES.iter().map(|mode| format!("`{mode}`")).collect();
        println!("no application is named so; there are: {}", known.join(", "));
        return ExitCode::from(2);
    }
    let (mut failures, mut surprises) = (0, 0);
    let beside = Scratch::new();
    let neighbour = NEIGHBOUR.start(&beside, launcher.as_deref(), timeout);
    for mode in MODES.into_iter().filter(is_named) {
        let scratch = Scratch::new();
        let server = mode.start(&scratch, launcher.as_deref(), timeout);
        println!("{mode}");
        let outcome = misdeeds::run(&server, &neighbour, rounds);
        println!("{outcome}");
        for surprise in outcome.surprises(mode) {
            println!("    not as expected: {surprise}");
            surprises += 1;
        }
        failures += outcome.failures(mode).len();
        let finished = server.stop();
        if finished.code != 0 {
            println!("    it ended with {}", finished.code);
            surprises += 1;
        }
    }
    println!("{failures} good requests failed, {surprises} answers were not as expected");
    if failures + surprises == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
