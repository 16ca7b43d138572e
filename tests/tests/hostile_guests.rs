//! Every misdeed of a guest in the short form: good requests to the same application and to another get every answer, each
//! misdeed gets the answer that it must, and the launcher holds nothing of it when it is over. How fast the answers were is printed by
//! `hostile-guests`.

use std::time::{Duration, Instant};

use wadoo_tests::hostile::meter::Most;
use wadoo_tests::misdeeds::{self, MODES, NEIGHBOUR};
use wadoo_tests::scratch::Scratch;

/// In KiB: 14 instances of 16 MiB with 32 MiB for what the host holds on their behalf, and the launcher.
const MAX_MEMORY: u64 = (14 * (16 + 32) + 64) << 10;

/// How long the server may take to let go of what was left.
const SETTLE: Duration = Duration::from_secs(40);

#[test]
fn good_requests_notice_nothing() {
    let beside = Scratch::new();
    let neighbour = NEIGHBOUR.start(&beside, None, "2s");
    for mode in MODES {
        let scratch = Scratch::new();
        let server = mode.start(&scratch, None, "2s");
        let first = Most::now(server.id());
        let outcome = misdeeds::run(&server, &neighbour, 2);
        assert_eq!(outcome.failures(mode), [""; 0], "{mode}\n{outcome}");
        assert_eq!(outcome.surprises(mode), [""; 0], "{mode}\n{outcome}");
        assert!(outcome.most.memory <= MAX_MEMORY, "{mode}\n{outcome}");
        assert_eq!(server.get("/ok").status, 200, "{mode}");
        let begin = Instant::now();
        // The pool has one of its own, and may have come after the first requests.
        let most = first.descriptors + 1;
        while Most::now(server.id()).descriptors > most && begin.elapsed() < SETTLE {
            std::thread::sleep(Duration::from_millis(50));
        }
        let last = Most::now(server.id());
        assert!(last.descriptors <= most, "{mode}: {last}, at first {first}");
        let finished = server.stop();
        assert_eq!(finished.code, 0, "{mode}: {}", finished.stderr);
    }
}
