//! Every attack in its short form: the healthy client beside it gets every answer, and the launcher holds no more than
//! its limits allow, and nothing when it is over. How fast the answers were is printed by `hostile-clients`.

use wadoo_tests::hostile::{self, ATTACKS, Scale};
use wadoo_tests::scratch::Scratch;
use wadoo_tests::victim::Victim;

/// More connections than this from the four addresses of the attackers and the healthy one are more than allowed.
const MAX_DESCRIPTORS: usize = 5 * 1024 + 100;

/// In KiB: 100 instances of 16 MiB at most, which the guest does not fill, and the connections.
const MAX_MEMORY: u64 = 700 << 10;

#[test]
fn a_healthy_client_notices_nothing() {
    hostile::raise_descriptors();
    let scratch = Scratch::new();
    let victim = Victim::start(&scratch, None, None);
    for attack in &ATTACKS {
        let outcome = hostile::run(&victim.server, attack, &Scale::SHORT);
        assert!(outcome.answers.failures.is_empty(), "{}: {outcome}", attack.name);
        assert!(outcome.most.descriptors <= MAX_DESCRIPTORS, "{}: {outcome}", attack.name);
        assert!(outcome.most.memory <= MAX_MEMORY, "{}: {outcome}", attack.name);
    }
    let (first, last) = (victim.at_first(), victim.settled());
    assert!(last.descriptors <= first.descriptors + 1, "{last}, at first {first}");
    let finished = victim.server.stop();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

#[test]
fn few_descriptors_are_enough() {
    hostile::raise_descriptors();
    let scratch = Scratch::new();
    let victim = Victim::start(&scratch, None, Some(64));
    for attack in ATTACKS.iter().filter(|attack| ["slow heads", "idle connections"].contains(&attack.name)) {
        let outcome = hostile::run(&victim.server, attack, &Scale::SHORT);
        // There is room for 32 connections, and hundreds come at once, from other addresses than the healthy client's.
        assert!(outcome.answers.failures.is_empty(), "{}: {outcome}", attack.name);
        assert!(outcome.most.descriptors <= 64, "{}: {outcome}", attack.name);
    }
    assert_eq!(victim.server.get("/ok").status, 200);
    assert_eq!(victim.server.stop().code, 0);
}
