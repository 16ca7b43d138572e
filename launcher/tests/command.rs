//! Commands: exit codes, limits, and what they see.

mod guest;

use std::collections::BTreeSet;

use wadoo_launcher::command::{Command, RunError};
use wadoo_signing::manifest::{Manifest, Trigger};

fn command(adjust: impl FnOnce(&mut Manifest)) -> Command {
    let mut manifest = guest::manifest(Trigger::Command02, BTreeSet::new());
    let (engine, component) = guest::load(&manifest, &guest::command());
    manifest.imports = guest::imports(&component);
    adjust(&mut manifest);
    Command::new(engine, &component, manifest).expect("the command is linked")
}

fn run(arguments: &[&str]) -> Result<u8, RunError> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(command(|manifest| manifest.limits.timeout_ms = Some(1000)).run(&arguments))
}

#[test]
fn the_exit_code_is_the_commands_own() {
    assert!(matches!(run(&[]), Ok(0)));
    assert!(matches!(run(&["fail"]), Ok(1)));
    assert!(matches!(run(&["exit"]), Ok(1)));
}

#[test]
fn a_trap_is_named() {
    match run(&["trap"]) {
        Err(RunError::Failed { because, .. }) => assert!(because.contains("unreachable"), "{because}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_that_spins_is_stopped() {
    assert!(matches!(run(&["spin"]), Err(RunError::TimedOut { .. })));
}
