//! Clients that mean it no good, and a healthy one beside them.
//!
//! Owns the list of attacks, their sizes, and what is counted meanwhile. The attacks themselves are in `http1`,
//! `http2` and `connections`; each is bounded in time and in what it sends, and stays on the loopback interface.

pub mod connections;
pub mod healthy;
pub mod http1;
pub mod http2;
pub mod meter;

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::Server;
use healthy::{Answers, Healthy};
use meter::{Meter, Most};

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Connections that are slow.
    pub slow: usize,
    /// Connections that do nothing.
    pub idle: usize,
    /// Connections that are closed early.
    pub closes: usize,
    /// Requests, frames or fields of one flood.
    pub flood: usize,
    /// Connections that flood at a time.
    pub floods: usize,
    /// How long an attack that waits goes on.
    pub lasting: Duration,
}

impl Scale {
    /// For every run of the tests.
    pub const SHORT: Self = Self {
        slow: 200,
        idle: 1500,
        closes: 3000,
        flood: 20_000,
        floods: 2,
        lasting: Duration::from_secs(1),
    };

    /// What the launcher promises.
    pub const LONG: Self = Self {
        slow: 2000,
        idle: 10_000,
        closes: 100_000,
        flood: 1_000_000,
        floods: 8,
        lasting: Duration::from_secs(20),
    };
}

/// One way to hurt a server.
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// Does it, and says what was sent and what became of it.
    pub run: fn(SocketAddr, &Scale) -> String,
}

/// Every attack, in the order in which they are run.
pub const ATTACKS: [Attack; 20] = [
    Attack { name: "slow heads", run: http1::slow_heads },
    Attack { name: "slow bodies", run: http1::slow_bodies },
    Attack { name: "idle connections", run: connections::idle },
    Attack { name: "half prefaces", run: connections::half_prefaces },
    Attack { name: "early closes", run: connections::early_closes },
    Attack { name: "endless head", run: http1::endless_head },
    Attack { name: "endless field", run: http1::endless_field },
    Attack { name: "endless uri", run: http1::endless_uri },
    Attack { name: "endless body", run: http1::endless_body },
    Attack { name: "endless chunk extension", run: http1::endless_extension },
    Attack { name: "endless trailers", run: http1::endless_trailers },
    Attack { name: "pipelining, unread", run: http1::pipelining },
    Attack { name: "h2 rapid reset", run: http2::rapid_reset },
    Attack { name: "h2 continuation flood", run: http2::continuation },
    Attack { name: "h2 settings flood", run: http2::settings },
    Attack { name: "h2 ping flood", run: http2::pings },
    Attack { name: "h2 priority flood", run: http2::priorities },
    Attack { name: "h2 empty data flood", run: http2::empty_data },
    Attack { name: "h2 header bomb", run: http2::header_bomb },
    Attack { name: "h2 no window", run: http2::no_window },
];

/// What one attack did, and what the others noticed of it.
pub struct Outcome {
    /// What was sent and what became of it.
    pub sent: String,
    /// The healthy client's answers meanwhile.
    pub answers: Answers,
    /// What the server held at most.
    pub most: Most,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    healthy: {}\n    server: {}", self.sent, self.answers, self.most)
    }
}

/// Runs one attack beside a healthy client.
pub fn run(server: &Server, attack: &Attack, scale: &Scale) -> Outcome {
    let meter = Meter::start(server.id());
    let healthy = Healthy::start(server.address);
    let sent = (attack.run)(server.address, scale);
    Outcome { sent, answers: healthy.stop(), most: meter.stop() }
}

/// Lets this process have as many connections as the system allows.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // What cannot be raised is met when there are too few.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Where the attackers are: not where the healthy client is, as it is outside.
const ATTACKERS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(127, 0, 0, 2),
    Ipv4Addr::new(127, 0, 0, 3),
    Ipv4Addr::new(127, 0, 0, 4),
    Ipv4Addr::new(127, 0, 0, 5),
];

/// A connection whose writes wait for at most half a second.
fn connect(to: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let from = SocketAddr::from((ATTACKERS[number % ATTACKERS.len()], 0));
    rustix::net::bind(&socket, &from)?;
    rustix::net::connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(Duration::from_millis(500)))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(stream)
}

/// How a flood ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Everything was sent.
    Sent,
    /// The server took no more.
    Blocked,
    /// The server closed the connection.
    Closed,
}

/// Sends `opening` and then `unit` again and again, at most `many` times, without reading an answer.
fn flood(
    to: SocketAddr,
    number: usize,
    opening: &[u8],
    many: usize,
    mut unit: impl FnMut(usize) -> Vec<u8>,
) -> (usize, End) {
    let Ok(mut stream) = connect(to, number) else { return (0, End::Closed) };
    let mut sent = 0;
    let mut write = |bytes: &[u8]| -> Result<(), End> {
        match stream.write_all(bytes) {
            Ok(()) => {
                sent += bytes.len();
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(End::Blocked)
            }
            Err(_) => Err(End::Closed),
        }
    };
    let mut all = || {
        write(opening)?;
        // Many at once, so that the server is what is busy.
        const AT_ONCE: usize = 64;
        let mut index = 0;
        while index < many {
            let next = (index + AT_ONCE).min(many);
            let bytes: Vec<u8> = (index..next).flat_map(&mut unit).collect();
            write(&bytes)?;
            index = next;
        }
        Ok(())
    };
    let end = all().err().unwrap_or(End::Sent);
    (sent, end)
}

/// Several floods at a time, and again until the time is over. Says what was sent in all.
fn floods(to: SocketAddr, scale: &Scale, opening: &[u8], unit: impl Fn(usize) -> Vec<u8> + Sync) -> String {
    let begin = Instant::now();
    let results: Vec<_> = std::thread::scope(|scope| {
        let one = |number: usize| {
            let unit = &unit;
            scope.spawn(move || {
                let mut results = Vec::new();
                while results.is_empty() || begin.elapsed() < scale.lasting {
                    results.push(flood(to, number, opening, scale.flood, unit));
                }
                results
            })
        };
        let threads: Vec<_> = (0..scale.floods).map(one).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a flood does not panic")).collect()
    });
    let bytes: usize = results.iter().map(|(bytes, _)| bytes).sum();
    let ended = |end: End| results.iter().filter(|(_, found)| *found == end).count();
    format!(
        "{} connections, {:.1} MiB; closed by the server {}, blocked {}, sent to the end {}",
        results.len(),
        bytes as f64 / f64::from(1 << 20),
        ended(End::Closed),
        ended(End::Blocked),
        ended(End::Sent)
    )
}
