//! Commands: exit codes, limits, and what they see.

mod guest;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wadoo_launcher::command::{Command, RunError};
use wadoo_launcher::files::CarriedFiles;
use wadoo_launcher::mounts::Mounts;
use wadoo_launcher::reach::Reach;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::{
    EnvironmentGrant, FilesystemGrant, Grant, Manifest, OutgoingHttp, SocketsGrant, Trigger,
};
use wadoo_signing::mount::{Access, MAX_MOUNTS, MountPath};
use wadoo_signing::report::{Exit, Report};

fn command(adjust: impl FnOnce(&mut Manifest)) -> Command {
    let mut manifest = guest::manifest(Trigger::Command02, BTreeSet::new());
    let (engine, component) = guest::load(&manifest, &guest::command());
    manifest.imports = guest::imports(&component);
    adjust(&mut manifest);
    Command::new(engine, &component, manifest).expect("the command is linked")
}

#[test]
fn a_command_without_its_entry_is_refused_at_the_start() {
    let mut manifest = guest::manifest(Trigger::Command03, BTreeSet::new());
    let (engine, component) = guest::load(&manifest, &guest::command());
    manifest.imports = guest::imports(&component);
    let report = Report::from(Command::new(engine, &component, manifest).err().expect("it is refused"));
    assert_eq!(report.exit, Exit::Incompatible);
    assert!(report.to_string().contains("wasi:cli/run@0.3"), "{report}");
}

#[test]
fn versions_of_one_interface_cannot_have_different_grants() {
    let refusal = |adjust: fn(&mut Manifest)| {
        let mut manifest = guest::manifest(Trigger::Command02, BTreeSet::new());
        let (engine, component) = guest::load(&manifest, &guest::command());
        manifest.imports = guest::imports(&component);
        adjust(&mut manifest);
        Command::new(engine, &component, manifest).err().map(|error| Report::from(error).to_string())
    };
    fn grant(manifest: &mut Manifest, version: &str, key: &str) {
        let keys = BTreeSet::from([key.to_owned()]);
        let import = format!("wasi:cli/environment@{version}");
        manifest.imports.insert(import.clone());
        manifest.grants.insert(import, Grant::Environment(EnvironmentGrant { keys }));
    }
    let different = refusal(|manifest| {
        grant(manifest, "0.2.0", "A");
        grant(manifest, "0.3.0", "B");
    });
    assert!(different.is_some_and(|text| text.contains("other values")));
    let ungranted = refusal(|manifest| grant(manifest, "0.2.6", "A"));
    assert!(ungranted.is_some_and(|text| text.contains("wasi:cli/environment@0.2.0")));
    let same = refusal(|manifest| {
        grant(manifest, "0.2.0", "A");
        grant(manifest, "0.3.0", "A");
    });
    assert_eq!(same, None);

    let sockets = refusal(|manifest| {
        for (import, address) in
            [("wasi:sockets/tcp@0.2.0", "10.0.0.5:1"), ("wasi:sockets/types@0.3.0", "10.0.0.6:1")]
        {
            let connect = BTreeSet::from([address.parse().unwrap()]);
            manifest.grants.insert(import.to_owned(), Grant::Sockets(SocketsGrant { connect }));
        }
    });
    assert!(sockets.is_some_and(|text| text.contains("other values")));

    let folders = refusal(|manifest| {
        for (version, access) in [("0.2.0", Access::Read), ("0.3.0", Access::ReadWrite)] {
            let mounts = BTreeMap::from([("/data".parse().unwrap(), access)]);
            let import = format!("wasi:filesystem/preopens@{version}");
            manifest
                .grants
                .insert(import, Grant::Filesystem(FilesystemGrant { mounts, files: BTreeMap::new() }));
        }
    });
    assert!(folders.is_some_and(|text| text.contains("other values")));

    let many = refusal(|manifest| {
        let mounts = (0..=MAX_MOUNTS).map(|n| (format!("/{n}").parse().unwrap(), Access::Read)).collect();
        let import = "wasi:filesystem/preopens@0.2.0".to_owned();
        manifest.grants.insert(import, Grant::Filesystem(FilesystemGrant { mounts, files: BTreeMap::new() }));
    });
    assert!(many.is_some_and(|text| text.contains("more mounts")));

    fn carry(manifest: &mut Manifest, mounts: BTreeMap<MountPath, Access>) {
        let files = BTreeMap::from([("/data".parse().unwrap(), Sha256Digest::of(b"a tree"))]);
        let import = "wasi:filesystem/preopens@0.2.0".to_owned();
        manifest.grants.insert(import, Grant::Filesystem(FilesystemGrant { mounts, files }));
    }
    let lacking = refusal(|manifest| carry(manifest, BTreeMap::new()));
    assert!(lacking.is_some_and(|text| text.contains("does not carry")));
    let twice =
        refusal(|manifest| carry(manifest, BTreeMap::from([("/data".parse().unwrap(), Access::Read)])));
    assert!(twice.is_some_and(|text| text.contains("at one path")));

    let hosts = refusal(|manifest| {
        for (version, host) in [("0.2.0", "a:1"), ("0.2.6", "b:1")] {
            let hosts = BTreeSet::from([host.parse().unwrap()]);
            let import = format!("wasi:http/outgoing-handler@{version}");
            manifest
                .grants
                .insert(import, Grant::OutgoingHttp(OutgoingHttp { hosts, ..OutgoingHttp::default() }));
        }
    });
    assert!(hosts.is_some_and(|text| text.contains("other values")));
}

fn run(arguments: &[&str]) -> Result<u8, RunError> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reach = Reach::of(
        &guest::manifest(Trigger::Command02, BTreeSet::new()),
        &Mounts::new(),
        Arc::new(CarriedFiles::default()),
        None,
    )
    .unwrap();
    runtime.block_on(command(|manifest| manifest.limits.timeout_ms = Some(1000)).run(&arguments, &reach))
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
