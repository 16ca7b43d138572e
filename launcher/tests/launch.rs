//! The binary: from a signed file to its exit code, by signals, sockets and arguments.

mod binary;
mod guest;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};

use rustix::process::Signal;
use wadoo_signing::manifest::{EnvironmentGrant, Grant, Manifest, Trigger};

use crate::binary::{Place, Running};

#[track_caller]
fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.starts_with("launcher: error: "), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not in: {stderr}");
    }
}

#[test]
fn serves_until_a_signal_and_says_when_it_is_ready() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::server();
        let running = place.start();
        assert!(running.ready.starts_with("serving hostile 1.2.3 on http://127.0.0.1:"), "{}", running.ready);
        let (_, times) = running.ready.split_once(" (verify ").unwrap();
        assert!(times.contains(" ms, load ") && times.trim_end().ends_with(" ms)"), "{times}");
        assert!(running.get("/o").ends_with("ok\n\r\n0\r\n\r\n"));
        running.signal(signal);
        let (code, stderr) = running.end();
        assert_eq!(code, Some(0), "{stderr}");
    }
}

#[test]
fn the_steps_of_a_start_are_told_when_asked_for() {
    let place = Place::server();
    let running = place.start_with(&["--timings"]);
    for _ in 0..2 {
        running.get("/o");
    }
    running.signal(Signal::TERM);
    let (_, stderr) = running.end();
    let steps = stderr.lines().find_map(|line| line.strip_prefix("launcher: start: ")).expect("the steps");
    let names: Vec<&str> = steps.split(", ").filter_map(|step| step.split(' ').next()).collect();
    let expected =
        ["arguments", "open", "trust", "signature", "bind", "hash", "engine", "load", "link", "listen"];
    assert_eq!(names, expected, "{stderr}");
    assert_eq!(stderr.matches("launcher: first instance ").count(), 1, "{stderr}");

    let output = place.launcher().args(["check", "--timings"]).arg(&place.artifact).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("launcher: start: arguments ") && stderr.contains(", link "), "{stderr}");
}

#[test]
fn the_pool_takes_over_between_two_requests() {
    let place = Place::new(Trigger::Http02, &guest::hostile(), |manifest| manifest.limits.concurrency = 1);
    let mut running = place.start_with(&["--timings"]);
    let mut held = TcpStream::connect(running.address()).unwrap();
    write!(held, "POST /r HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\n\r\n").unwrap();
    let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("launcher: pool ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the pool is never made");
    }
    // The one place is taken, whichever engine runs the request that has it.
    assert!(running.get("/o").starts_with("HTTP/1.1 503 "));
    held.write_all(b"hello").unwrap();
    let mut answer = String::new();
    held.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for _ in 0..3 {
        assert!(running.get("/o").starts_with("HTTP/1.1 200 "));
    }
    running.signal(Signal::TERM);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_answer_of_the_launchers_own_is_found_again_in_the_log() {
    let place = Place::server();
    let running = place.start();
    let trapped = running.get("/t");
    let mut client = TcpStream::connect(running.address()).unwrap();
    write!(client, "POST /o HTTP/1.1\r\nHost: test\r\nContent-Length: 99999\r\n\r\n").unwrap();
    let mut too_large = String::new();
    client.read_to_string(&mut too_large).unwrap();
    assert!(too_large.starts_with("HTTP/1.1 413 "), "{too_large}");
    running.signal(Signal::TERM);
    let (_, stderr) = running.end();
    let line = |answer: &str| {
        let (_, id) = answer.split_once("\"request\":\"").expect("the answer has a name");
        let id = id.split('"').next().unwrap();
        let line = stderr.lines().find(|line| line.ends_with(&format!("request {id})")));
        line.unwrap_or_else(|| panic!("no line about {id}: {stderr}")).to_owned()
    };
    assert!(line(&trapped).starts_with("launcher: GET /t failed: "), "{stderr}");
    let refused = line(&too_large);
    assert!(
        refused.starts_with("launcher: POST /o refused: ") && refused.contains("limit `request-body`"),
        "{refused}"
    );
}

#[test]
fn the_second_signal_stops() {
    let place = Place::server();
    let mut running = place.start();
    // A request that would take long has begun: the guest asked for its body.
    let mut client = TcpStream::connect(running.address()).unwrap();
    write!(client, "POST /r HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    let mut line = String::new();
    BufReader::new(&client).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
    let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
    running.signal(Signal::TERM);
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "launcher: draining; a second signal stops at once\n");
    running.signal(Signal::TERM);
    assert_eq!(running.end().0, Some(1));
    line.clear();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("unfinished"), "{line}");
}

#[test]
fn a_reader_that_stops_reading_does_not_stop_the_server() {
    let place = Place::server();
    let mut running = place.start();
    // Each of them is one line of 1100 bytes on stderr, and nobody reads them: more than pipe and queue hold.
    let path = format!("/t{}", "x".repeat(7000));
    for _ in 0..1200 {
        assert!(running.get(&path).starts_with("HTTP/1.1 500 "));
    }
    assert!(running.get("/o").starts_with("HTTP/1.1 200 "));
    // Once they are read, what was lost is told.
    let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("launcher: lost ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "no line says what was lost");
    }
    // The end does not wait for a reader either.
    for _ in 0..1200 {
        assert!(running.get(&path).starts_with("HTTP/1.1 500 "));
    }
    running.signal(Signal::TERM);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

/// The guest of `tests/guests` that misbehaves.
fn prebuilt(trigger: Trigger, name: &str) -> Place {
    let guests = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guests"));
    Place::new(trigger, &fs::read(guests.join(name)).unwrap(), |manifest| {
        manifest.pool.core_instances = 100;
        manifest.pool.memories = 10;
        manifest.pool.tables = 50;
    })
}

#[test]
fn what_a_guest_prints_is_written_before_the_end() {
    for (trigger, name) in [(Trigger::Http02, "hostile-02.wasm"), (Trigger::Http03, "hostile-03.wasm")] {
        let place = prebuilt(trigger, name);
        let mut running = place.start();
        assert!(running.get("/post-return?ms=1").contains("answered"));
        running.signal(Signal::TERM);
        let mut printed = String::new();
        running.stdout.read_to_string(&mut printed).unwrap();
        let (name_of_request, text) = printed.split_once(' ').unwrap();
        assert!(
            name_of_request.starts_with("hostile[") && !name_of_request.contains('#'),
            "{name}: {printed}"
        );
        assert_eq!(text, "stdout: post-return done\n", "{name}");
        assert_eq!(running.end().0, Some(0));
    }
}

#[test]
fn a_body_that_is_shorter_than_announced_is_one_line_in_the_log() {
    let place = prebuilt(Trigger::Http03, "hostile-03.wasm");
    let running = place.start();
    for _ in 0..50 {
        let text = running.get("/short-body");
        assert!(text.starts_with("HTTP/1.1 200 ") || text.starts_with("HTTP/1.1 500 "), "{text:?}");
    }
    running.signal(Signal::TERM);
    let (code, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stderr.matches("GET /short-body ").count(), 50, "{stderr}");
}

#[test]
fn a_guest_of_0_3_sees_what_its_request_was_sent_to() {
    let running = prebuilt(Trigger::Http03, "hostile-03.wasm").start();
    let text = running.get("/target");
    assert!(text.contains("Some(Scheme::Http) Some(\"test\")"), "{text}");
}

#[test]
fn an_address_that_cannot_be_had_is_a_host_problem() {
    let place = Place::server();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = place.launcher().arg(&place.artifact).args(["--addr", &address]).output().unwrap();
    assert_refused(&output, 5, &[&address, "another process", "hint: ", "--addr 127.0.0.1:0"]);
    let output = place.launcher().arg(&place.artifact).args(["--addr", "192.0.2.1:8080"]).output().unwrap();
    assert_refused(&output, 5, &["no such address"]);
}

#[test]
fn little_address_space_means_no_pool_and_too_little_no_start() {
    let place = Place::server();
    let limited = |kibibytes: u64, arguments: &[&str]| {
        let mut command = Command::new("sh");
        command
            .env_clear()
            .env("WADOO_TRUST", place.folder.path().join("trust"))
            .args(["-c", &format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_launcher"))
            .args(arguments)
            .arg(&place.artifact);
        command
    };
    // Four memories and their guards need 17 GB; one of them fits into 12.
    let output = limited(12_000_000, &["check"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.starts_with("launcher: instances are not pooled"), "{stderr}");
    assert_refused(&limited(3_000_000, &["check"]).output().unwrap(), 5, &["ulimit -v"]);
    assert_refused(&limited(3_000_000, &[]).output().unwrap(), 5, &["ulimit -v"]);

    let mut running = Running::spawn(&mut limited(12_000_000, &["--addr", "127.0.0.1:0"]));
    let mut line = String::new();
    BufReader::new(running.child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("launcher: instances are not pooled"), "{line}");
    assert!(running.get("/o").starts_with("HTTP/1.1 200 "));
    running.signal(Signal::TERM);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn check_says_what_would_be_run() {
    let place = Place::server();
    let output = place.launcher().arg("check").arg(&place.artifact).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for word in ["hostile 1.2.3", "identity   sha256:", "signed by  ", "payload    "] {
        assert!(stdout.contains(word), "`{word}` is not in: {stdout}");
    }
}

#[test]
fn what_cannot_run_here_is_refused_before_it_is_loaded() {
    let hostile = guest::hostile();
    let refuse = |adjust: fn(&mut Manifest), words: &[&str]| {
        let place = Place::new(Trigger::Http02, &hostile, adjust);
        assert_refused(&place.launcher().arg(&place.artifact).output().unwrap(), 4, words);
        assert_refused(&place.launcher().arg("check").arg(&place.artifact).output().unwrap(), 4, words);
    };
    refuse(|manifest| manifest.target.triple = "riscv64gc-unknown-linux-gnu".to_owned(), &["riscv64gc"]);
    refuse(|manifest| manifest.engine.wasmtime = "48.0.6".to_owned(), &["48.0.6"]);
    refuse(|manifest| manifest.trigger = Trigger::Command02, &["wasi:cli/run"]);
}

#[test]
fn what_is_refused_never_reaches_the_deserialiser() {
    // Signed by a trusted key and framed as it should be, but without the flags by which the engine knows its own:
    // the deserialiser says so of every artifact that reaches it.
    let mut payload = guest::precompile(&guest::hostile());
    const E_FLAGS: std::ops::Range<usize> = 48..52;
    payload[E_FLAGS].fill(0);
    let place = |adjust: fn(&mut Manifest)| {
        let mut manifest = guest::manifest(Trigger::Http02, BTreeSet::new());
        adjust(&mut manifest);
        Place::of(&guest::signed(manifest, &payload))
    };
    let run = |place: &Place| place.launcher().arg(&place.artifact).output().unwrap();
    const REACHED: &str = "cannot load `";
    assert_refused(&run(&place(|_| {})), 4, &[REACHED]);

    let refuse = |place: &Place, code: i32, word: &str| {
        let output = run(place);
        assert_refused(&output, code, &[word]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains(REACHED), "{stderr}");
    };
    refuse(
        &place(|manifest| manifest.target.triple = "riscv64gc-unknown-linux-gnu".to_owned()),
        4,
        "riscv64gc",
    );
    refuse(
        &place(|manifest| manifest.target.features = ["has_teleport".to_owned()].into()),
        4,
        "has_teleport",
    );
    refuse(&place(|manifest| manifest.engine.wasmtime = "48.0.6".to_owned()), 4, "48.0.6");
    refuse(&place(|manifest| manifest.not_after = Some(1)), 3, "expired");
    let untrusted = place(|_| {});
    let other = guest::signed(guest::manifest(Trigger::Http02, BTreeSet::new()), &payload);
    fs::write(untrusted.folder.path().join("trust/key.pem"), other.key.to_pem().unwrap()).unwrap();
    refuse(&untrusted, 3, "not in the trust store");
    let changed = place(|_| {});
    let mut bytes = fs::read(&changed.artifact).unwrap();
    bytes[5000] ^= 1;
    fs::write(&changed.artifact, bytes).unwrap();
    refuse(&changed, 3, "payload");
    for change in [-1_i64, 1] {
        let place = place(|_| {});
        let file = fs::File::options().write(true).open(&place.artifact).unwrap();
        file.set_len(file.metadata().unwrap().len().checked_add_signed(change).unwrap()).unwrap();
        refuse(&place, 3, "footer");
    }
}

#[test]
fn a_server_takes_no_arguments() {
    let place = Place::server();
    let output = place.launcher().arg(&place.artifact).args(["--port", "80"]).output().unwrap();
    assert_refused(&output, 2, &["--port"]);
}

#[test]
fn a_command_has_its_arguments_its_variables_and_its_exit_code() {
    let environment = "wasi:cli/environment@0.2.0".to_owned();
    let keys = BTreeSet::from(["GRANTED".to_owned(), "ABSENT".to_owned()]);
    let grants = BTreeMap::from([(environment, Grant::Environment(EnvironmentGrant { keys }))]);
    let place = Place::new(Trigger::Command02, &guest::command(), |manifest| {
        manifest.grants = grants;
        manifest.limits.timeout_ms = Some(1000);
    });
    let run = |arguments: &[&str]| {
        let mut command = place.launcher();
        command.env("GRANTED", "1").env("OTHER", "2").arg(&place.artifact).args(arguments).output().unwrap()
    };
    // Its name and two arguments; of three variables the one that is granted.
    let output = run(&["ok", "two"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "31\n");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // Its own failure is its own business: the launcher adds no word.
    let output = run(&["fail"]);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), &b""[..]));
    assert_refused(&run(&["trap"]), 1, &["unreachable"]);
    assert_refused(&run(&["spin"]), 1, &["longer than 1 s"]);
}

#[test]
fn help_and_version_go_to_stdout() {
    let ask = |flag: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_launcher")).arg(flag).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(ask("--version").contains("\nwasmtime 48.0.8\n"));
    let help = ask("--help");
    for word in ["--addr", "--trust", "--drain", "--mount", "--map-in-place", "check", "Exit codes"] {
        assert!(help.contains(word), "{word}");
    }
    assert!(help.lines().all(|line| line.len() <= 120), "it fits a terminal");
}
