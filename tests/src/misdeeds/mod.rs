//! Guests that misbehave, and good requests beside them: to the same application, and to its neighbour, a good
//! application in a launcher of its own on the same processors.
//!
//! Owns the list of misdeeds, what each must be answered with, and the ways in which instances are shared. The deeds
//! themselves are in `tests/guests`. The good requests come from the healthy client that hostile clients meet as well.
//!
//! Invariant: everything is bounded, in requests and in time, and stays on the loopback interface.

mod request;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::hostile::healthy::{Answers, Healthy};
use crate::hostile::meter::{Meter, Most};
use crate::scratch::Scratch;
use crate::server::Server;
pub use request::Seen;

/// Requests for a misdeed that are under way at a time. Less than the application's `concurrency`, so that a good
/// request is never refused for want of a place.
const AT_ONCE: usize = 12;

/// How often the text that guests print is thrown away, of which there is more than this process should hold.
const PAUSE: Duration = Duration::from_millis(50);

/// One way to misbehave.
#[derive(Debug)]
pub struct Misdeed {
    /// Path and query.
    pub path: &'static str,
    /// What WASI 0.2 may be answered with, and 0.3.
    pub expected: [&'static [Seen]; 2],
}

const TRAPPED: &[Seen] = &[Seen::Whole(500)];
const LATE: &[Seen] = &[Seen::Whole(504)];
const ANSWERED: &[Seen] = &[Seen::Whole(200)];
const CUT: &[Seen] = &[Seen::Cut(200)];
/// Whether the head is gone when the guest traps depends on who had the processor.
const TRAPPED_OR_CUT: &[Seen] = &[Seen::Whole(500), Seen::Cut(200)];
const LEFT: &[Seen] = &[Seen::Left];
/// Writing down what it was given takes longer than a short `timeout` where the processors have much to do.
const LEFT_OR_LATE: &[Seen] = &[Seen::Left, Seen::Whole(504)];

const fn both(path: &'static str, expected: &'static [Seen]) -> Misdeed {
    Misdeed { path, expected: [expected, expected] }
}

/// All of them, in the order in which they are asked for.
pub const MISDEEDS: [Misdeed; 20] = [
    both("/trap", TRAPPED),
    both("/spin", LATE),
    both("/hog?mib=1024", ANSWERED),
    both("/trap-body", TRAPPED_OR_CUT),
    both("/recurse", TRAPPED),
    both("/stall-body", CUT),
    both("/hog?mib=12", ANSWERED),
    both("/exit", TRAPPED),
    both("/sleep?ms=3600000", LATE),
    both("/resources?n=1000000", TRAPPED),
    both("/print?kib=64", ANSWERED),
    both("/spin-body", CUT),
    both("/short-body", CUT),
    both("/error", TRAPPED),
    Misdeed { path: "/never-answer", expected: [TRAPPED, LATE] },
    // WASI 0.3 has the host give less than is asked for.
    Misdeed { path: "/random?bytes=1000000000", expected: [TRAPPED, LEFT_OR_LATE] },
    Misdeed { path: "/big-header?kib=1024", expected: [TRAPPED, ANSWERED] },
    both("/stream?mib=64", LEFT),
    both("/post-return?ms=3600000", ANSWERED),
    both("/resources?n=1000", ANSWERED),
];

/// An application: a guest, and how its requests share instances.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// The guest's name.
    pub guest: &'static str,
    /// `reuse` in the recipe.
    pub reuse: &'static str,
    /// A trap ends everything that had begun in its instance, as `docs/recipe.md` says: good requests too.
    pub shared: bool,
}

/// Every kind of application.
pub const MODES: [Mode; 5] = [
    Mode { guest: "hostile-02", reuse: "none", shared: false },
    Mode { guest: "hostile-02", reuse: "serial", shared: false },
    Mode { guest: "hostile-03", reuse: "none", shared: false },
    Mode { guest: "hostile-03", reuse: "serial", shared: false },
    Mode { guest: "hostile-03", reuse: "concurrent", shared: true },
];

/// The good application beside them.
pub const NEIGHBOUR: Mode = MODES[0];

impl Mode {
    /// Composes the application and starts a launcher for it: the one under test, or `launcher`.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn start(self, scratch: &Scratch, launcher: Option<&Path>, timeout: &str) -> Server {
        let limits = format!(
            "[limits]\nmemory = \"16MiB\"\ntimeout = \"{timeout}\"\nbody-timeout = \"{timeout}\"\nconcurrency = 32\n\n"
        );
        let instances = format!("[instances]\nreuse = \"{}\"\n", self.reuse);
        let artifact = scratch.compose(&scratch.recipe(self.guest, "", &(limits + &instances)));
        let launcher = launcher.unwrap_or_else(|| crate::binaries::launcher());
        let mut command = crate::binaries::isolated(launcher, &scratch.home());
        let server = Server::start(command.arg(artifact).args(["--addr", "127.0.0.1:0", "--threads", "2"]));
        // The pool, and everything that the first requests make.
        server.start_second_thread("/ok");
        for _ in 0..20 {
            assert_eq!(server.get("/ok").status, 200);
        }
        server
    }

    /// What a misdeed may be answered with; `None` where it depends on what shares its instance.
    pub fn expects(self, misdeed: &Misdeed) -> Option<&'static [Seen]> {
        let version = usize::from(self.guest == "hostile-03");
        (!self.shared).then_some(misdeed.expected[version])
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, reuse {}", self.guest, self.reuse)
    }
}

/// What a run did, and what came of it.
pub struct Outcome {
    /// What came back, for each path.
    pub seen: BTreeMap<&'static str, BTreeMap<Seen, usize>>,
    /// The answers to the good requests to the same application.
    pub answers: Answers,
    /// The answers of its neighbour.
    pub neighbour: Answers,
    /// What the server held at most.
    pub most: Most,
}

impl Outcome {
    /// Good requests that had to be answered and were not: all of the neighbour's, and of the application's own all but
    /// those that shared an instance with a misdeed which ended it after their answer had begun, or kept it busy until
    /// their time was over, or met one instance after the other that was ended. Such a one is cut, or answered 504 or 500:
    /// nothing else may become of it.
    pub fn failures(&self, mode: Mode) -> Vec<&str> {
        let excused = |failure: &str| {
            mode.shared
                && ["HTTP/1.1 500", "HTTP/1.1 504", "cut after"].iter().any(|end| failure.contains(end))
        };
        let own = self.answers.failures.iter().map(String::as_str).filter(|failure| !excused(failure));
        own.chain(self.neighbour.failures.iter().map(String::as_str)).collect()
    }

    /// Answers that are not those which a misdeed must get.
    pub fn surprises(&self, mode: Mode) -> Vec<String> {
        let surprise = |misdeed: &Misdeed| {
            let expected = mode.expects(misdeed)?;
            let seen = self.seen.get(misdeed.path)?;
            let others = seen.iter().filter(|(seen, _)| !expected.contains(seen));
            let others: Vec<_> = others.map(|(seen, count)| format!("{count} × {seen}")).collect();
            (!others.is_empty())
                .then(|| format!("{}: {} where {} is expected", misdeed.path, others.join(", "), expected[0]))
        };
        MISDEEDS.iter().filter_map(surprise).collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, seen) in &self.seen {
            let sent: usize = seen.values().sum();
            let seen: Vec<_> = seen.iter().map(|(seen, count)| format!("{count} × {seen}")).collect();
            writeln!(f, "    {path:<26} {sent:>6} sent   {}", seen.join(", "))?;
        }
        writeln!(f, "    good requests: {}", self.answers)?;
        write!(f, "    neighbour: {}\n    server: {}", self.neighbour, self.most)
    }
}

/// Asks for every misdeed `rounds` times, several at once, beside good requests to the same server and to `neighbour`.
pub fn run(server: &Server, neighbour: &Server, rounds: usize) -> Outcome {
    let meter = Meter::start(server.id());
    let [own, beside] = [server, neighbour].map(|server| Healthy::start(server.address));
    let (next, working) = (AtomicUsize::new(0), AtomicUsize::new(AT_ONCE));
    let to = server.address;
    let seen = thread::scope(|scope| {
        let work = || {
            let seen = misbehave(to, &next, rounds);
            working.fetch_sub(1, Ordering::Relaxed);
            seen
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        while working.load(Ordering::Relaxed) > 0 {
            server.skip_lines();
            thread::sleep(PAUSE);
        }
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("asking does not panic"))
            .collect::<Vec<_>>()
    });
    let (answers, neighbour) = (own.stop(), beside.stop());
    let mut outcome = Outcome { seen: BTreeMap::new(), answers, neighbour, most: meter.stop() };
    for (path, seen) in seen {
        *outcome.seen.entry(path).or_default().entry(seen).or_default() += 1;
    }
    outcome
}

/// Asks for the next misdeed until all rounds are done.
fn misbehave(to: SocketAddr, next: &AtomicUsize, rounds: usize) -> Vec<(&'static str, Seen)> {
    let mut all = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= rounds * MISDEEDS.len() {
            return all;
        }
        let path = MISDEEDS[number % MISDEEDS.len()].path;
        all.push((path, request::ask(to, path)));
    }
}
