//! The calendar's clock is moved while a launcher runs: time-outs do not notice.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use wadoo_tests::scratch::Scratch;
use wadoo_tests::server::{Answer, Server};
use wadoo_tests::tools::faketime;

const TIMEOUT: Duration = Duration::from_secs(3);

#[test]
fn time_outs_do_not_follow_the_calendar() {
    let Some(library) = faketime() else { return };
    let scratch = Scratch::new();
    let artifact = scratch.compose(&scratch.recipe("hostile-02", "", "[limits]\ntimeout = \"3s\"\n"));
    let clock = scratch.write("clock", "+0");
    let mut launcher = scratch.launcher();
    launcher.arg(artifact).args(["--addr", "127.0.0.1:0", "--log", "json"]);
    launcher.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
    launcher.envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("NO_FAKE_STAT", "1")]);
    let server = Server::start(&mut launcher);

    let begin = Instant::now();
    let mut stream = server.connect();
    let head = "GET /sleep?ms=3600000 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let late = thread::spawn(move || (Answer::read(stream, false).status, begin.elapsed()));
    for offset in ["+3650d", "-3650d", "+3650d", "+0"] {
        std::fs::write(&clock, offset).unwrap();
        assert_eq!(server.get("/ok").status, 200, "{offset}");
        assert_eq!(server.get("/trap").status, 500, "{offset}");
    }
    let (status, took) = late.join().unwrap();
    assert!(status == 504 && took >= TIMEOUT, "{status} after {took:?}");
    let finished = server.stop();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    // The log has the calendar's time, and so shows that the clock did jump.
    let years: BTreeSet<u16> = finished
        .stderr
        .lines()
        .filter_map(|line| line.split_once("\"time\":\"")?.1.get(..4)?.parse().ok())
        .collect();
    assert!(years.last().unwrap() - years.first().unwrap() >= 19, "{}", finished.stderr);
}
