//! Instances that are made before a request comes for them: a guest that knows its age shows which it has got.

mod binary;
mod guest;

use std::thread;
use std::time::{Duration, Instant};

use wadoo_signing::manifest::{Lifetime, Reuse, Trigger};

use crate::binary::{Place, Running};

/// Longer than the age that the guest asks for.
const PAUSE: Duration = Duration::from_millis(800);

/// A server that makes no instance within this is broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn place(reuse: Reuse) -> Place {
    Place::new(Trigger::Http02, &guest::age(), |manifest| manifest.reuse = reuse)
}

/// Whether the next request, after a pause, meets an instance that was there before.
fn meets_an_old_one(running: &Running) -> bool {
    thread::sleep(PAUSE);
    running.get("/").starts_with("HTTP/1.1 200 ")
}

#[test]
fn a_request_has_an_instance_that_was_there_and_the_next_one_another() {
    let lifetime = Lifetime { requests: 1, idle_ms: 10_000 };
    for reuse in [Reuse::None { warm: 1 }, Reuse::Serial { lifetime, warm: 1 }] {
        let running = place(reuse).start();
        let begin = Instant::now();
        // One instance is there at a time and answers one request, so three were made.
        let mut met = 0;
        while met < 3 {
            assert!(begin.elapsed() < PATIENCE, "{met} instances were made ahead");
            met += u32::from(meets_an_old_one(&running));
        }
    }
}

#[test]
fn without_them_every_request_has_a_new_one() {
    let warm = place(Reuse::None { warm: 1 });
    for (place, options) in [(place(Reuse::None { warm: 0 }), &[][..]), (warm, &["--limit", "warm=0"])] {
        let running = place.start_with(options);
        for _ in 0..3 {
            assert!(!meets_an_old_one(&running), "{options:?}");
        }
    }
}

#[test]
fn as_many_requests_as_ever_run_beside_those_that_wait() {
    let place = Place::new(Trigger::Http02, &guest::hostile(), |manifest| {
        manifest.reuse = Reuse::None { warm: manifest.limits.concurrency };
    });
    let running = place.start();
    // The pool is there, and full but for the requests.
    thread::sleep(PAUSE);
    thread::scope(|scope| {
        let requests: Vec<_> = (0..4).map(|_| scope.spawn(|| running.get("/q"))).collect();
        for request in requests {
            let answer = request.join().unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    });
}
