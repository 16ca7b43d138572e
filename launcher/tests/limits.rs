//! Each limit that an operator can set, from the command line to what a client sees.

mod binary;
mod guest;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use wadoo_signing::manifest::{Concurrent, Lifetime, Reuse, Trigger};

use crate::binary::{Place, Running};

/// A server that does not answer within this is broken.
const PATIENCE: Duration = Duration::from_secs(30);

const GET: &str = "GET /o HTTP/1.1\r\nHost: test\r\n\r\n";

fn with(limits: &[&str]) -> Running {
    let options: Vec<&str> = limits.iter().flat_map(|limit| ["--limit", limit]).collect();
    Place::server().start_with(&options)
}

fn connect(running: &Running) -> TcpStream {
    let stream = TcpStream::connect(running.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that still comes on a connection.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the last byte is an end as well.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

fn send(running: &Running, text: &str) -> TcpStream {
    let mut stream = connect(running);
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// Sends a whole request and reads its whole answer; the connection stays open.
fn exchange(stream: &mut TcpStream) {
    stream.write_all(GET.as_bytes()).unwrap();
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.ends_with("0\r\n\r\n") {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}

fn assert_problem(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains(&format!("\"status\":{status}")), "{answer}");
}

fn drain(running: Running) -> String {
    running.signal(Signal::TERM);
    let (code, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}

/// A request that holds its place: the guest waits for a body of 5 bytes.
fn busy(running: &Running) -> TcpStream {
    let mut stream = send(
        running,
        "POST /r HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    );
    let mut line = [0; 25];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[test]
fn uri_and_head_fields() {
    let running = with(&["uri=100", "head-fields=10"]);
    let ask = |length: usize, fields: usize| {
        let fields: String = (0..fields).map(|index| format!("X-{index}: x\r\n")).collect();
        rest(send(
            &running,
            &format!(
                "GET /{} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n",
                "o".repeat(length - 1)
            ),
        ))
    };
    assert!(ask(100, 8).starts_with("HTTP/1.1 200 OK"));
    assert_problem(&ask(101, 8), 414);
    assert_problem(&ask(100, 9), 431);
    drain(running);
    // More than hyper takes by itself.
    let running = with(&["head-fields=200"]);
    let fields: String = (0..190).map(|index| format!("X-{index}: x\r\n")).collect();
    let head = format!("GET /o HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n");
    assert!(rest(send(&running, &head)).starts_with("HTTP/1.1 200 OK"));
    drain(running);
}

#[test]
fn head_timeout_and_idle_timeout() {
    let running = with(&["head-timeout=300ms", "idle-timeout=1s"]);
    // Half a head, and half a second one after a whole request: told. Nothing at all: closed.
    assert_problem(&rest(send(&running, "GET /o HTTP/1.1\r\nHo")), 408);
    assert_eq!(rest(connect(&running)), "");
    assert_eq!(rest(send(&running, "PRI * HT")), "", "half a preface");
    let mut kept = connect(&running);
    exchange(&mut kept);
    kept.write_all(b"GET /o HTTP/1.1\r\nHo").unwrap();
    assert_problem(&rest(kept), 408);
    // A head that trickles in does not earn more time.
    let mut slow = send(&running, "GET /o HTTP/1.1\r\n");
    let begin = Instant::now();
    while slow.write_all(b"X: x\r\n").is_ok() && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() < PATIENCE, "it is never closed");
    // An idle connection may be idle for longer than a head may take.
    let mut idle = connect(&running);
    exchange(&mut idle);
    std::thread::sleep(Duration::from_millis(600));
    exchange(&mut idle);
    assert_eq!(rest(idle), "");
    drain(running);
}

#[test]
fn connections_make_room_for_others_unless_they_are_busy() {
    let running = with(&["connections=8", "head-timeout=30s", "concurrency=4"]);
    let idle: Vec<_> = (0..50).map(|_| connect(&running)).collect();
    // None of them ends by itself in time, and nobody else is kept waiting.
    exchange(&mut connect(&running));
    drop(idle);
    let mut held: Vec<_> = (0..3).map(|_| busy(&running)).collect();
    let _idle: Vec<_> = (0..50).map(|_| connect(&running)).collect();
    exchange(&mut connect(&running));
    for stream in &mut held {
        stream.write_all(b"hello").unwrap();
    }
    for stream in held {
        assert!(rest(stream).starts_with("HTTP/1.1 200 OK"), "a running request is never closed for room");
    }
    let stderr = drain(running);
    assert_eq!(stderr.matches("closing idle connections").count(), 1, "{stderr}");
}

#[test]
fn connections_per_address() {
    let running = with(&["connections-per-address=3", "concurrency=4"]);
    let mut held: Vec<_> = (0..3).map(|_| busy(&running)).collect();
    assert_eq!(rest(connect(&running)), "", "all three are busy");
    held[0].write_all(b"hello").unwrap();
    assert!(rest(held.swap_remove(0)).starts_with("HTTP/1.1 200 OK"));
    exchange(&mut connect(&running));
    drop(held);
    let stderr = drain(running);
    assert!(
        stderr.contains("refusing connections from 127.0.0.1: it has 3 (`connections-per-address`)"),
        "{stderr}"
    );
}

#[test]
fn requests_per_address() {
    let running = with(&["requests-per-address=2", "concurrency=4"]);
    let mut held: Vec<_> = (0..2).map(|_| busy(&running)).collect();
    let refused = running.get("/o");
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert_problem(&refused, 503);
    held[0].write_all(b"hello").unwrap();
    assert!(rest(held.swap_remove(0)).starts_with("HTTP/1.1 200 OK"));
    assert!(running.get("/o").starts_with("HTTP/1.1 200 OK"));
    drop(held);
    drain(running);
}

/// The frame that begins an HTTP/2 connection, without settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn streams() {
    let running = with(&["streams=5"]);
    let mut stream = connect(&running);
    stream.write_all(PREFACE).unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "SETTINGS");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).unwrap();
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 5]), "{settings:?}");
    drain(running);
}

#[test]
fn http2_connections_that_do_nothing_end() {
    let running = with(&["head-timeout=300ms", "idle-timeout=300ms"]);
    let mut stream = connect(&running);
    stream.write_all(PREFACE).unwrap();
    // Pings are no requests.
    let begin = Instant::now();
    let ping = b"\0\0\x08\x06\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08";
    while stream.write_all(ping).is_ok() && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() < PATIENCE, "it is never closed");
    drain(running);
}

#[test]
fn the_applications_limits_are_narrowed() {
    let place = Place::new(Trigger::Http02, &guest::hostile(), |manifest| {
        manifest.limits.memory = 128 << 20;
        manifest.limits.timeout_ms = None;
        manifest.limits.concurrency = 10;
    });
    let limits = [
        "memory=32MiB",
        "timeout=500ms",
        "concurrency=1",
        "queue=1",
        "request-body=100",
        "request-headers=200",
        "body-timeout=300ms",
    ];
    let options: Vec<&str> = limits.iter().flat_map(|limit| ["--limit", limit]).collect();
    let running = place.start_with(&options);
    assert!(running.get("/h").contains("denied"), "64 MiB more than 32");
    assert_problem(&running.get("/z"), 504);
    assert_problem(&running.get(&format!("/o?{}", "x".repeat(200))), 431);
    let large = "POST /r HTTP/1.1\r\nHost: test\r\nContent-Length: 101\r\n\r\n";
    assert_problem(&rest(send(&running, large)), 413);
    assert_problem(&rest(busy(&running)), 408);

    // One runs, one waits, and a third is refused at once, long before the second.
    let running_one = send(&running, "GET /q HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let two: Vec<_> = (0..20).map(|_| send(&running, GET)).collect();
    let answers: Vec<String> = two.into_iter().map(rest_of_one).collect();
    assert!(rest(running_one).starts_with("HTTP/1.1 200 OK"));
    assert!(answers.iter().any(|answer| answer.starts_with("HTTP/1.1 503 ")), "{answers:?}");
    drain(running);
}

/// The beginning of an answer.
fn rest_of_one(mut stream: TcpStream) -> String {
    let mut buffer = [0; 12];
    stream.read_exact(&mut buffer).unwrap();
    String::from_utf8(buffer.to_vec()).unwrap() + " "
}

#[test]
fn tables_are_limited_by_memory_and_by_what_the_composer_counted() {
    // With the first instances, which are made one by one, as with those of the pool.
    let every_engine = |running: &Running, path: &str, answer: &str| {
        for _ in 0..20 {
            let text = running.get(path);
            assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains(answer), "{path}: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let place =
        Place::new(Trigger::Http02, &guest::hostile(), |manifest| manifest.pool.table_elements = 1000);
    let running = place.start();
    every_engine(&running, "/g", "granted");
    every_engine(&running, "/i", "denied");
    drain(running);
    // One page, and not the 16 bytes for each element.
    let running = place.start_with(&["--limit", "memory=68KiB"]);
    every_engine(&running, "/g", "denied");
    drain(running);
}

#[test]
fn an_instance_has_no_more_parts_than_the_composer_counted() {
    let place = Place::new(Trigger::Http02, &guest::hostile(), |manifest| manifest.pool.core_instances = 1);
    let running = place.start();
    assert_problem(&running.get("/o"), 500);
    let stderr = drain(running);
    assert!(stderr.contains("instance count too high"), "{stderr}");
}

/// The processor time of a process, in hundredths of a second.
fn processor_time(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn cpu_quota() {
    for (place, spin) in [
        (
            Place::new(Trigger::Http02, &guest::hostile(), |manifest| {
                manifest.limits.timeout_ms = Some(2000)
            }),
            "/s",
        ),
        (
            Place::new(Trigger::Http03, &guest::hostile_03(), |manifest| {
                manifest.limits.timeout_ms = Some(2000)
            }),
            "/s",
        ),
    ] {
        let running = place.start_with(&["--limit", "cpu-quota=10%"]);
        let (begin, used) = (Instant::now(), processor_time(running.child.id()));
        let get = format!("GET {spin} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let spinning: Vec<_> = (0..3).map(|_| send(&running, &get)).collect();
        // There is a place left, and it has its turn.
        assert!(running.get("/o").starts_with("HTTP/1.1 200 OK"));
        for stream in spinning {
            assert_problem(&rest(stream), 504);
        }
        let (elapsed, used) = (begin.elapsed().as_millis() / 10, processor_time(running.child.id()) - used);
        // What was saved, and what the launcher does for itself, is a fifth of a second at most.
        assert!(u128::from(used) <= elapsed / 10 + 20, "{used} of {elapsed} hundredths of a second");
        drain(running);
    }
}

#[test]
fn a_guest_that_spins_when_there_is_no_request_stops_nobody() {
    let concurrent = Concurrent { at_once: 4, lifetime: Lifetime { requests: 1000, idle_ms: 60_000 } };
    let place = Place::new(Trigger::Http03, &guest::hostile_03(), |manifest| {
        manifest.reuse = Reuse::Concurrent(concurrent);
    });
    let running = place.start();
    assert!(running.get("/l").starts_with("HTTP/1.1 200 OK"));
    for _ in 0..10 {
        // Long enough for the epoch to rest, were it not for the guest.
        std::thread::sleep(Duration::from_millis(150));
        assert!(running.get("/o").starts_with("HTTP/1.1 200 OK"));
    }
    drain(running);
}

#[test]
fn a_guest_that_spins_in_an_application_that_was_replaced_stops_nobody() {
    let concurrent = Concurrent { at_once: 4, lifetime: Lifetime { requests: 1000, idle_ms: 60_000 } };
    let place = Place::new(Trigger::Http03, &guest::hostile_03(), |manifest| {
        manifest.reuse = Reuse::Concurrent(concurrent);
        manifest.limits.timeout_ms = Some(2000);
    });
    let running = place.start();
    // At once, before the pool takes over.
    let spinning: Vec<_> = (0..2)
        .map(|_| send(&running, "GET /s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
        .collect();
    for stream in spinning {
        assert_problem(&rest(stream), 504);
    }
    for _ in 0..5 {
        assert!(running.get("/o").starts_with("HTTP/1.1 200 OK"));
        std::thread::sleep(Duration::from_millis(100));
    }
    drain(running);
}

/// A launcher under a limit of the shell's `ulimit`.
fn start_under(ulimit: &str, place: &Place) -> Running {
    let mut command = std::process::Command::new("/bin/sh");
    let launcher = place.launcher();
    command.env_clear().envs(launcher.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["-c", &format!("ulimit {ulimit}; exec \"$0\" \"$@\"")]).arg(launcher.get_program());
    Running::spawn(command.arg(&place.artifact).args(["--addr", "127.0.0.1:0"]))
}

#[test]
fn without_memory_for_an_instance_a_request_is_refused_and_others_go_on() {
    let alone = Concurrent { at_once: 1, lifetime: Lifetime { requests: 1000, idle_ms: 1 } };
    for place in [
        Place::new(Trigger::Http02, &guest::hostile(), |manifest| manifest.limits.concurrency = 20),
        Place::new(Trigger::Http03, &guest::hostile_03(), |manifest| {
            manifest.limits.concurrency = 20;
            manifest.reuse = Reuse::Concurrent(alone.clone());
        }),
    ] {
        // Address space for three or four memories.
        let running = start_under(&format!("-v {}", 18 << 20), &place);
        let (mut held, mut refused) = (Vec::new(), 0);
        for _ in 0..10 {
            let mut stream = send(
                &running,
                "POST /r HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\n\
                 Expect: 100-continue\r\n\r\n",
            );
            let mut line = [0; 12];
            stream.read_exact(&mut line).unwrap();
            match &line {
                b"HTTP/1.1 100" => held.push(stream),
                b"HTTP/1.1 503" => refused += 1,
                other => panic!("{}", String::from_utf8_lossy(other)),
            }
        }
        assert!(held.len() >= 2 && refused >= 2, "{} held, {refused} refused", held.len());
        for mut stream in held {
            stream.write_all(b"hello").unwrap();
            assert!(rest(stream).contains("HTTP/1.1 200 OK"));
        }
        assert!(running.get("/o").starts_with("HTTP/1.1 200 OK"));
        drain(running);
    }
}

#[test]
fn without_memory_for_a_growth_the_guest_is_told() {
    // Less that can be written than the guest may have.
    let place = Place::new(Trigger::Http02, &guest::hostile(), |manifest| manifest.limits.memory = 128 << 20);
    let running = start_under(&format!("-d {}", 60 << 10), &place);
    for _ in 0..20 {
        assert!(running.get("/h").contains("denied"), "64 MiB of 60");
        assert!(running.get("/o").starts_with("HTTP/1.1 200 OK"));
    }
    drain(running);
}

#[test]
fn a_limit_that_a_command_cannot_heed_is_a_mistake() {
    let place = Place::new(Trigger::Command02, &guest::command(), |_| {});
    let run = |limit: &str| {
        let output = place.launcher().args(["--limit", limit]).arg(&place.artifact).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = run("streams=1");
    assert!(code == Some(2) && stderr.contains("is a command and has no limit `streams`"), "{stderr}");
    let (code, stderr) = run("memory=1KiB");
    assert!(code == Some(4) && stderr.contains("memory limit is too small"), "{code:?} {stderr}");
}

#[test]
fn few_descriptors_are_no_end() {
    let running = start_under("-n 64", &Place::server());
    let idle: Vec<_> = (0..200).map(|_| connect(&running)).collect();
    for _ in 0..10 {
        exchange(&mut connect(&running));
    }
    drop(idle);
    drain(running);
}
