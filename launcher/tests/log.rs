//! The log as its readers see it: what guests print, as text and as JSON, and how much of it there can be.

mod binary;
mod guest;

use std::io::Read as _;

use rustix::process::Signal;
use serde_json::Value;
use wadoo_signing::manifest::{Lifetime, Reuse, Trigger};

use crate::binary::{Place, Running};

/// What is left on stdout and stderr when the launcher was told to end.
fn ends(mut running: Running) -> (String, String) {
    running.signal(Signal::TERM);
    let mut stdout = String::new();
    running.stdout.read_to_string(&mut stdout).unwrap();
    let (code, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    (stdout, stderr)
}

/// The request's id in an answer of the launcher's own.
fn id_in(answer: &str) -> &str {
    let (_, id) = answer.split_once("\"request\":\"").unwrap_or_else(|| panic!("no id: {answer}"));
    id.split('"').next().unwrap()
}

fn objects(text: &str) -> Vec<Value> {
    let object = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(object).collect()
}

#[test]
fn what_a_guest_prints_bears_its_request_and_cannot_be_more_than_it_is() {
    let place = Place::server();
    let running = place.start();
    assert!(running.get("/l-hello").starts_with("HTTP/1.1 200 "));
    let trapped = running.get("/k");
    let (stdout, stderr) = ends(running);
    let lines: Vec<&str> = stdout.lines().collect();
    let [hello, a, forged, last] = lines.as_slice() else { panic!("{stdout}") };
    assert!(hello.starts_with("hostile[") && hello.ends_with("] stdout: -hello"), "{hello}");
    let id = id_in(&trapped);
    assert_eq!(*a, format!("hostile[{id}] stdout: a\\u{{1b}}[2J\\u{{85}}\\u{{2028}}\u{fffd}\"}}"));
    assert_eq!(*forged, format!("hostile[{id}] stdout: launcher: error: forged"));
    assert_eq!(*last, format!("hostile[{id}] stdout: last"));
    assert!(stderr.lines().any(|line| line.ends_with(&format!("(request {id})"))), "{stderr}");
}

#[test]
fn lines_of_reused_instances_bear_the_request_that_ran() {
    let place = Place::new(Trigger::Http02, &guest::hostile(), |manifest| {
        manifest.reuse = Reuse::Serial { lifetime: Lifetime { requests: 1000, idle_ms: 60_000 }, warm: 0 };
    });
    let running = place.start();
    for path in ["/l-one", "/l-two", "/l-three"] {
        assert!(running.get(path).starts_with("HTTP/1.1 200 "));
    }
    let trapped = running.get("/k");
    let (stdout, _) = ends(running);
    let of = |text: &str| {
        let line = stdout.lines().find(|line| line.ends_with(text));
        line.and_then(|line| line.split(']').next()).unwrap_or_else(|| panic!("{text} is not in {stdout}"))
    };
    let names = [of("-one"), of("-two"), of("-three"), of("last")];
    assert_eq!(names[3], format!("hostile[{}", id_in(&trapped)));
    assert!((0..3).all(|i| names[i] != names[i + 1]), "{names:?}");
}

#[test]
fn as_json_every_line_is_one_object() {
    let place = Place::server();
    let mut running = place.start_with(&["--log", "json", "--timings"]);
    let ready: Value = serde_json::from_str(&running.ready).unwrap();
    assert_eq!(
        (&ready["event"], &ready["app"], &ready["version"]),
        (&"ready".into(), &"hostile".into(), &"1.2.3".into())
    );
    let address = ready["addresses"][0].as_str().unwrap().to_owned();
    assert!(ready["ready_ms"].as_f64().unwrap() > 0.0 && ready["development"] == false, "{ready}");
    // `Running::get` looks for it in the line of text.
    running.ready = format!("{address} ");
    let trapped = running.get("/k");
    let too_long = running.get(&format!("/{}", "x".repeat(9000)));
    let (stdout, stderr) = ends(running);
    let id = id_in(&trapped);
    let printed = objects(&stdout);
    assert_eq!(printed.len(), 3, "{stdout}");
    assert_eq!(printed[0]["message"], "a\u{1b}[2J\u{85}\u{2028}\u{fffd}\"}");
    for line in &printed {
        assert_eq!(
            (&line["app"], &line["request"], &line["stream"]),
            (&"hostile".into(), &id.into(), &"stdout".into())
        );
    }
    let told = objects(&stderr);
    let one = |event: &str| {
        told.iter().find(|line| line["event"] == event).unwrap_or_else(|| panic!("no {event}: {stderr}"))
    };
    let failed = one("request-failed");
    assert_eq!(
        (&failed["request"], &failed["level"], &failed["path"]),
        (&id.into(), &"error".into(), &"/k".into())
    );
    assert!(failed["function"].is_string() && failed["offset"].is_u64(), "{failed}");
    let refused = one("request-refused");
    assert_eq!((&refused["limit"], &refused["request"]), (&"uri".into(), &id_in(&too_long).into()));
    assert_eq!(one("draining")["level"], "info");
    assert!(one("timing")["message"].as_str().unwrap().starts_with("start: "), "{stderr}");
    let time = failed["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
}

#[test]
fn errors_before_serving_are_json_too() {
    let place = Place::server();
    let error = |arguments: &[&str], code| {
        let output = place.launcher().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let [error] = objects(std::str::from_utf8(&output.stderr).unwrap()).try_into().expect("one line");
        error
    };
    let missing = error(&["--log=json", "missing\n.cwasm"], 1);
    assert_eq!(
        (&missing["event"], &missing["level"], &missing["exit"]),
        (&"error".into(), &"error".into(), &1.into())
    );
    assert!(missing["message"].as_str().unwrap().contains("missing"), "{missing}");
    let mistake = error(&["--no-such-option", "--log", "json", "a.cwasm"], 2);
    assert_eq!(mistake["hint"], "`launcher --help` shows what can be asked");
    let output = place.launcher().args(["--log", "xml", "a.cwasm"]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("`xml` is not a format of the log: `text` or `json`")
    );
}

#[test]
fn a_guest_that_floods_the_log_loses_lines_and_nobody_else_does() {
    let place = Place::server();
    let running = place.start_with(&["--limit", "log-rate=8KiB"]);
    assert!(running.get("/f").starts_with("HTTP/1.1 200 "));
    assert!(running.get("/f").starts_with("HTTP/1.1 200 "));
    let trapped = running.get("/t");
    let (stdout, stderr) = ends(running);
    let told = stdout.lines().filter(|line| line.contains("] stdout: xxx")).count();
    // What was saved up are 80 KiB. A slow machine gets a little more, but not 2000 lines of 4 KiB.
    assert!((19..1000).contains(&told), "{told} lines");
    let lost: usize = stderr
        .lines()
        .filter(|line| {
            line.ends_with("of the application's output: there were too many at once (limit `log-rate`)")
        })
        .map(|line| line.split(' ').nth(2).unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(told + lost, 2000, "{stderr}");
    assert!(stderr.contains(id_in(&trapped)), "what is said about requests has a rate of its own: {stderr}");
    assert!(stderr.contains("draining"), "{stderr}");
}
