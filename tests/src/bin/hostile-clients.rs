//! Attacks a launcher in every way that we know, beside a healthy client, and prints what was sent and what survived.
//!
//! `cargo run -p wadoo-tests --bin hostile-clients -- [--long] [--launcher FILE] [--descriptors N] [NAME…]`

#![expect(clippy::print_stdout, reason = "it is a program that prints")]

use std::path::PathBuf;
use std::process::ExitCode;

use wadoo_tests::hostile::{self, ATTACKS, Scale};
use wadoo_tests::scratch::Scratch;
use wadoo_tests::victim::Victim;

fn main() -> ExitCode {
    let mut scale = Scale::SHORT;
    let (mut launcher, mut descriptors) = (None, None);
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--long" => scale = Scale::LONG,
            "--launcher" => launcher = arguments.next().map(PathBuf::from),
            "--descriptors" => descriptors = arguments.next().and_then(|number| number.parse().ok()),
            _ => names.push(argument),
        }
    }
    if let Some(unknown) = names.iter().find(|name| ATTACKS.iter().all(|attack| attack.name != **name)) {
        let known: Vec<_> = ATTACKS.iter().map(|attack| format!("`{}`", attack.name)).collect();
        println!("there is no attack `{unknown}`; there are: {}", known.join(", "));
        return ExitCode::from(2);
    }
    hostile::raise_descriptors();
    let scratch = Scratch::new();
    let victim = Victim::start(&scratch, launcher.as_deref(), descriptors);
    println!("{}", victim.server.ready);
    let mut failures = 0;
    for attack in
        ATTACKS.iter().filter(|attack| names.is_empty() || names.iter().any(|name| name == attack.name))
    {
        println!("{}", attack.name);
        let outcome = hostile::run(&victim.server, attack, &scale);
        println!("    sent: {outcome}");
        failures += outcome.answers.failures.len();
    }
    println!("afterwards: {}", victim.settled());
    let finished = victim.server.stop();
    println!("exit {}, {failures} healthy requests failed", finished.code);
    if failures == 0 && finished.code == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
