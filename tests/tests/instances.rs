//! How requests share instances: a guest that counts its requests shows it, and one that misbehaves what it costs the
//! others.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::Scratch;
use wadoo_tests::server::{Answer, Server};

/// The two guests with the same paths.
const GUESTS: [&str; 2] = ["hostile-02", "hostile-03"];

/// Serves `guest` with `instances` in its recipe, on one thread: each has shared instances of its own.
fn serve(scratch: &Scratch, guest: &str, instances: &str, limits: &str) -> Server {
    serve_on("1", scratch, guest, instances, limits)
}

fn serve_on(threads: &str, scratch: &Scratch, guest: &str, instances: &str, limits: &str) -> Server {
    let wasm = std::fs::read(workspace().join(format!("tests/guests/{guest}.wasm"))).unwrap();
    scratch.write("guest.wasm", wasm);
    let recipe = scratch.write(
        "recipe.toml",
        format!(
            "recipe = 1\n\n[app]\nname = \"guest\"\nversion = \"1.0.0\"\n\n[components.guest]\npath = \"guest.wasm\"\n\n\
             [limits]\n{limits}\n\n[instances]\n{instances}\n"
        ),
    );
    let artifact = scratch.compose(&recipe);
    let options = ["--addr", "127.0.0.1:0", "--threads", threads];
    let server = Server::start(scratch.launcher().arg(artifact).args(options));
    // The pool takes over soon after the start, and its instances are new ones.
    thread::sleep(Duration::from_millis(500));
    server
}

/// Which request of its instance this one is.
fn count(server: &Server) -> u32 {
    let answer = server.get("/count");
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.body).unwrap().trim().parse().unwrap()
}

/// Sends a request, and waits until it is on its way.
fn begin(server: &Server, method: &str, path: &str) -> TcpStream {
    let mut stream = server.connect();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(300));
    stream
}

/// Sends a request, and reads its answer on a thread of its own.
fn start(server: &Server, path: &str) -> thread::JoinHandle<u16> {
    let stream = begin(server, "GET", path);
    thread::spawn(move || Answer::read(stream, false).status)
}

#[test]
fn an_instance_for_each_request_is_the_default() {
    for guest in GUESTS {
        let scratch = Scratch::new();
        let server = serve(&scratch, guest, "reuse = \"none\"", "");
        assert_eq!([count(&server), count(&server), count(&server)], [1, 1, 1]);
    }
}

#[test]
fn an_instance_that_was_made_ahead_answers_one_request_as_well() {
    for guest in GUESTS {
        let scratch = Scratch::new();
        let server = serve(&scratch, guest, "reuse = \"none\"\nwarm = 2", "");
        assert_eq!([count(&server), count(&server), count(&server)], [1, 1, 1]);
        let server = serve(&scratch, guest, "reuse = \"serial\"\nmax-requests = 2\nwarm = 1", "");
        assert_eq!([count(&server), count(&server), count(&server)], [1, 2, 1]);
    }
}

#[test]
fn an_instance_answers_one_request_after_the_other_until_its_last() {
    for guest in GUESTS {
        let scratch = Scratch::new();
        let server = serve(&scratch, guest, "reuse = \"serial\"\nmax-requests = 3", "");
        let counts: Vec<u32> = (0..7).map(|_| count(&server)).collect();
        assert_eq!(counts, [1, 2, 3, 1, 2, 3, 1]);
    }
}

#[test]
fn requests_at_the_same_time_have_instances_of_their_own_where_reuse_is_serial() {
    for guest in GUESTS {
        let scratch = Scratch::new();
        let server = serve(&scratch, guest, "reuse = \"serial\"", "");
        let sleeping = start(&server, "/sleep?ms=1500");
        assert_eq!([count(&server), count(&server)], [1, 2]);
        assert_eq!(sleeping.join().unwrap(), 200);
        // The one that was used last comes first: it slept, so this is its second request.
        assert_eq!(count(&server), 2);
    }
}

#[test]
fn an_instance_that_waits_too_long_is_ended() {
    for (guest, reuse) in [("hostile-02", "serial"), ("hostile-03", "serial"), ("hostile-03", "concurrent")] {
        let scratch = Scratch::new();
        let server = serve(&scratch, guest, &format!("reuse = \"{reuse}\"\nidle = \"1s\""), "");
        assert_eq!([count(&server), count(&server)], [1, 2]);
        thread::sleep(Duration::from_millis(2500));
        assert_eq!(count(&server), 1, "{guest} {reuse}");
    }
}

#[test]
fn an_instance_in_which_something_failed_is_not_used_again() {
    for (guest, reuse) in [("hostile-02", "serial"), ("hostile-03", "serial"), ("hostile-03", "concurrent")] {
        let scratch = Scratch::new();
        let server = serve(&scratch, guest, &format!("reuse = \"{reuse}\""), "timeout = \"1s\"");
        for (path, status) in [("/trap", 500), ("/exit", 500), ("/spin", 504), ("/sleep?ms=60000", 504)] {
            count(&server);
            assert_eq!(count(&server), 2, "{guest} {reuse} before {path}");
            assert_eq!(server.get(path).status, status, "{guest} {reuse} {path}");
            assert_eq!(count(&server), 1, "{guest} {reuse} after {path}");
            // The next path begins with a new instance.
            assert_eq!(server.get("/trap").status, 500);
        }
    }
}

#[test]
fn requests_share_an_instance_where_reuse_is_concurrent() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "hostile-03", "reuse = \"concurrent\"\nmax-concurrent = 2", "");
    let sleeping = start(&server, "/sleep?ms=3000");
    assert_eq!(count(&server), 2);
    let also = start(&server, "/sleep?ms=2000");
    // No room there any more.
    assert_eq!(count(&server), 1);
    assert_eq!((sleeping.join().unwrap(), also.join().unwrap()), (200, 200));
}

#[test]
fn threads_share_an_instance_where_there_is_room_for_no_other() {
    let scratch = Scratch::new();
    let server = serve_on("2", &scratch, "hostile-03", "reuse = \"concurrent\"", "concurrency = 1");
    assert_eq!(count(&server), 1);
    // While a connection is held, the next is served on the second thread.
    let held = TcpStream::connect(server.address).unwrap();
    assert_eq!(count(&server), 2);
    drop(held);

    let server = serve_on("2", &scratch, "hostile-03", "reuse = \"concurrent\"", "concurrency = 2");
    assert_eq!(count(&server), 1);
    let held = TcpStream::connect(server.address).unwrap();
    assert_eq!(count(&server), 1, "the second thread has one of its own");
    drop(held);
}

#[test]
fn a_trap_takes_with_it_what_shares_its_instance_and_cannot_begin_again() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "hostile-03", "reuse = \"concurrent\"\nmax-concurrent = 3", "");
    let streams = ["GET", "POST"].map(|method| begin(&server, method, "/sleep?ms=3000"));
    // The third in the instance.
    assert_eq!(server.get("/trap").status, 500);
    let answers = streams.map(|stream| Answer::read(stream, false).status);
    assert_eq!(answers, [200, 500], "nobody knows what was done for the second");
    assert_eq!(server.get("/ok").status, 200);
    let finished = server.stop();
    let lines = finished.stderr.lines().filter(|line| line.contains("begins again alone")).count();
    // The GET, and the one that trapped.
    assert_eq!(lines, 2, "{}", finished.stderr);
}

/// A request that ends the instance it is in ends no other when it begins again.
#[test]
fn what_began_again_shares_its_instance_with_nobody() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "hostile-03", "reuse = \"concurrent\"", "");
    assert_eq!(count(&server), 1);
    assert_eq!(server.get("/trap").status, 500);
    assert_eq!([count(&server), count(&server)], [1, 2]);
    let first = begin(&server, "GET", "/sleep?ms=2000");
    assert_eq!(server.get("/trap").status, 500);
    assert_eq!(count(&server), 1, "the one that sleeps again has an instance of its own");
    assert_eq!(Answer::read(first, false).status, 200);
}

#[test]
fn a_request_that_runs_out_of_time_leaves_the_others_in_its_instance_alone() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "hostile-03", "reuse = \"concurrent\"", "timeout = \"3s\"");
    let never = start(&server, "/never-answer");
    thread::sleep(Duration::from_millis(1200));
    let beside = start(&server, "/sleep?ms=2500");
    assert_eq!(never.join().unwrap(), 504);
    assert_eq!(count(&server), 1, "new requests go elsewhere");
    assert_eq!(beside.join().unwrap(), 200);
}

#[test]
fn requests_that_have_not_begun_go_elsewhere_when_a_guest_spins() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "hostile-03", "reuse = \"concurrent\"", "timeout = \"5s\"");
    let spinning = start(&server, "/spin");
    for _ in 0..5 {
        assert_eq!(server.get("/ok").status, 200);
    }
    assert!(!spinning.is_finished(), "the others did not wait for it");
    assert_eq!(spinning.join().unwrap(), 504);
}

#[test]
fn what_a_shared_instance_prints_is_named_after_a_request_only_if_it_can_be_no_others() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "hostile-03", "reuse = \"concurrent\"", "");
    let printed = || {
        assert_eq!(server.get("/post-return?ms=1").status, 200);
        let line = server.line();
        assert!(line.starts_with("guest[") && line.ends_with("] stdout: post-return done"), "{line}");
        line
    };
    assert!(!printed().contains('#'), "nothing else runs");
    let beside = start(&server, "/sleep?ms=2000");
    assert!(printed().starts_with("guest[#"), "it could be of either");
    assert_eq!(beside.join().unwrap(), 200);
    // As soon as nothing is left of the others.
    assert!((0..50).any(|_| !printed().contains('#')));
}

#[test]
fn what_a_shared_instance_prints_is_told_before_another_request_comes() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "lines-03", "reuse = \"concurrent\"", "");
    assert_eq!(server.get("/print?no-end").text(), "printed\n");
    let line = server.line();
    assert!(line.starts_with("guest[") && line.ends_with("] stdout: no-end"), "{line}");
    // Its request runs on, and could still end the line.
    let _waiting = start(&server, "/print-and-wait?waiting");
    let line = server.line();
    assert!(line.starts_with("guest[") && line.ends_with("] stdout: waiting…"), "{line}");
}
