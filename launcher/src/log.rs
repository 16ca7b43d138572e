//! What is said while the launcher runs: its own lines on stderr, and what a server's guests print.
//!
//! Owns what the process as a whole decides: how the log is written, and whether somebody waits for its readers. Until
//! [`detach`] is called, and for a command, everything is written directly.
//!
//! Invariants: a reader that stops reading never stops a server; what is lost then is counted and told (see
//! `queue`). A line that cannot be written at all is lost: a broken pipe must not end a server.

mod budget;
mod event;
mod queue;
mod trap;

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use serde::Serialize;
use wadoo_signing::report::Report;

pub use event::{Event, Format, Kind, Ready};
pub(crate) use event::{Printed, clip};
use queue::{Class, Queue};
pub use queue::{LINE_BYTES, QUEUE_BYTES};
pub(crate) use trap::{CalledFrom, MAX_NAME, TrapPlace};

/// Prefix of every line of text that the launcher itself says.
pub const PREFIX: &str = "launcher: ";

/// Bytes a second that the application may print, and as many that are said about requests; see the limit `log-rate`.
pub const LOG_RATE: u64 = 64 << 10;

/// How long the end of a server waits for the readers of its last words.
pub const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Pause before a descriptor that would block, because somebody made it non-blocking, is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Decides for the whole process how its log is written. The first call counts; without one it is text.
pub fn write_as(format: Format) {
    let _ = FORMAT.set(format);
}

static FORMAT: OnceLock<Format> = OnceLock::new();

/// How the log is written.
pub fn format() -> Format {
    FORMAT.get().copied().unwrap_or_default()
}

/// Says that something of a `kind` happened.
pub fn write(kind: Kind, message: fmt::Arguments<'_>) {
    Event::new(kind, message.to_string()).say();
}

/// Says what could not be done.
pub fn report(report: &Report) {
    put(Class::Launcher, Stream::Stderr, event::report(report, format()));
}

/// `log::line!("served {n} requests")`, or `log::line!(Draining: "…")` for what has a name of its own.
macro_rules! line {
    ($kind:ident: $($arg:tt)*) => { $crate::log::write($crate::log::Kind::$kind, format_args!($($arg)*)) };
    ($($arg:tt)*) => { $crate::log::write($crate::log::Kind::Note, format_args!($($arg)*)) };
}

pub(crate) use line;

impl Event<'_> {
    /// Says it on stderr, unless the limit `log-rate` has no room for it.
    pub fn say(&self) {
        self.say_on(Stream::Stderr);
    }

    pub(crate) fn say_on(&self, stream: Stream) {
        let class = Class::of(self.event);
        if QUEUE.get().is_none_or(|queue| queue.admit(class, self.length())) {
            put(class, stream, self.render(format()));
        } else if let Some(queue) = QUEUE.get() {
            // For the line that tells what was lost.
            queue.start();
        }
    }

    /// The line, for a caller who writes it himself.
    pub fn line(&self) -> String {
        self.render(format())
    }
}

/// From here on nobody in this process waits for the readers of stdout and stderr: a thread does, from the first
/// line on. What clients and guests cause may be `rate` bytes a second each. The first call counts.
pub fn detach(rate: u64) {
    QUEUE.get_or_init(|| Queue::new(format(), rate));
}

/// Waits until everything said is written, for at most `longest`.
pub fn flush(longest: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(longest);
    }
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Says a whole line, without waiting for a reader once this process is [detached](detach).
fn put(class: Class, stream: Stream, line: String) {
    match (QUEUE.get(), stream) {
        (Some(queue), stream) => {
            queue.push(class, stream, line);
            queue.start();
        }
        (None, Stream::Stdout) => write_all(io::stdout(), line.as_bytes()),
        (None, Stream::Stderr) => write_all(io::stderr(), line.as_bytes()),
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Lines that nobody will see.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    lines: u64,
    bytes: u64,
}

/// Writes past the standard library's own buffers and locks, which a blocked writer would hold.
fn write_all(descriptor: impl AsFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(&descriptor, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => thread::sleep(RETRY_PAUSE),
            Err(_) => return,
        }
    }
}
