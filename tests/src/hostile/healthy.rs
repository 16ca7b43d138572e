//! The healthy client: one connection that is kept, and one that is made anew for each request.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Pause between two requests: a client that is not in a hurry.
const PAUSE: Duration = Duration::from_millis(5);

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client at work.
pub struct Healthy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Answers>>,
}

/// What a healthy client got.
#[derive(Debug, Default)]
pub struct Answers {
    /// How long each answer took.
    pub times: Vec<Duration>,
    /// What went wrong.
    pub failures: Vec<String>,
    /// Requests that were sent again: the server closed the kept connection, which was idle, while they were on their
    /// way. Every HTTP client does so (RFC 9112, 9.3.1).
    pub again: usize,
}

impl Healthy {
    /// Begins to ask.
    pub fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = [true, false].map(|keep| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || ask_until(address, keep, &stop))
        });
        Self { stop, threads: threads.into() }
    }

    /// Ends, and says how it went.
    ///
    /// # Panics
    ///
    /// The client panicked.
    pub fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        for thread in self.threads {
            let answers = thread.join().expect("a client does not panic");
            all.times.extend(answers.times);
            all.failures.extend(answers.failures);
            all.again += answers.again;
        }
        all.times.sort_unstable();
        all
    }
}

impl Answers {
    /// The time that this part of all answers took at most. Zero if there were none.
    pub fn within(&self, part: f64) -> Duration {
        let index = (self.times.len() as f64 * part) as usize;
        self.times.get(index).or(self.times.last()).copied().unwrap_or_default()
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |part| self.within(part).as_secs_f64() * 1000.0;
        let all = self.times.len() + self.failures.len();
        write!(
            f,
            "{} of {all} answered, p50 {:.1} ms, p99 {:.1} ms",
            self.times.len(),
            millis(0.5),
            millis(0.99)
        )?;
        if self.again > 0 {
            write!(f, ", {} sent again", self.again)?;
        }
        let mut kinds = BTreeMap::<_, usize>::new();
        for failure in &self.failures {
            *kinds.entry(failure).or_default() += 1;
        }
        kinds.iter().try_for_each(|(failure, count)| write!(f, "; {count} × {failure}"))
    }
}

fn ask_until(address: SocketAddr, keep: bool, stop: &AtomicBool) -> Answers {
    let mut answers = Answers::default();
    let mut kept = None;
    // At least one, however short the attack.
    while answers.times.is_empty() && answers.failures.is_empty() || !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let reused = kept.is_some();
        let mut asked = ask(address, keep, &mut kept);
        if reused && asked.as_ref().is_err_and(is_unanswered) {
            answers.again += 1;
            asked = ask(address, keep, &mut kept);
        }
        match asked {
            Ok(()) => answers.times.push(begin.elapsed()),
            Err(error) => {
                kept = None;
                answers.failures.push(format!("{error} ({})", if keep { "kept" } else { "new" }));
            }
        }
        thread::sleep(PAUSE);
    }
    answers
}

/// Nothing came back at all.
fn is_unanswered(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn ask(address: SocketAddr, keep: bool, kept: &mut Option<TcpStream>) -> io::Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            stream
        }
    };
    let close = if keep { "" } else { "Connection: close\r\n" };
    stream.write_all(format!("GET /ok HTTP/1.1\r\nHost: healthy\r\n{close}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    // The end of a chunked body.
    while !answer.ends_with(b"0\r\n\r\n") {
        let read = stream.read(&mut buffer);
        match if answer.is_empty() { read? } else { read.map_err(io::Error::other)? } {
            0 if answer.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => return Err(io::Error::other(format!("cut after {} bytes", answer.len()))),
            length => answer.extend_from_slice(&buffer[..length]),
        }
        let refused = !answer.starts_with(b"HTTP/1.1 200 OK\r\n");
        if refused {
            let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
            return Err(io::Error::other(format!("answered `{line}`")));
        }
    }
    if keep {
        *kept = Some(stream);
    }
    Ok(())
}
