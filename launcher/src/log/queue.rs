//! What waits for the readers of a server's stdout and stderr.
//!
//! Owns the queue, the thread that writes it out, and the account of each [`Class`] of lines. Deliberately absent: what
//! lines look like (see `event`).
//!
//! Invariants: nobody but that thread waits for a reader, unless the system has no thread to give; at most [`QUEUE_BYTES`] wait, of which the application's
//! output and lines about requests may take a share only, so that neither pushes out what the launcher says of
//! itself; what is lost is counted and told. A server that says nothing has no thread for it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::event::{Event, Format, Kind};
use super::{Lost, Stream, write_all};

/// Bytes that wait for the readers of stdout and stderr, both together.
pub const QUEUE_BYTES: usize = 1 << 20;

/// What a line costs beside its bytes, in the queue and of `log-rate`, so that many small ones are limited as well.
pub const LINE_BYTES: usize = 64;

/// Who caused a line. Each class has an account of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The launcher or its operator: rare by nature, and without a rate.
    Launcher,
    /// A client, by its request.
    Request,
    /// A guest, by printing.
    Guest,
}

impl Class {
    const ALL: [Self; 3] = [Self::Launcher, Self::Request, Self::Guest];

    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Output => Self::Guest,
            Kind::RequestRefused | Kind::RequestFailed | Kind::RequestStopped | Kind::RequestAgain => {
                Self::Request
            }
            Kind::Ready
            | Kind::Timing
            | Kind::InPlace
            | Kind::NotPooled
            | Kind::Connections
            | Kind::Accept
            | Kind::Certificate
            | Kind::CertificateKept
            | Kind::NoLines
            | Kind::Draining
            | Kind::Cut
            | Kind::Lost
            | Kind::Error
            | Kind::Note => Self::Launcher,
        }
    }

    /// How full the queue may be for another line of it.
    fn share(self) -> usize {
        match self {
            Self::Launcher => QUEUE_BYTES,
            Self::Request => QUEUE_BYTES / 4 * 3,
            Self::Guest => QUEUE_BYTES / 2,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Launcher => "of the launcher's own",
            Self::Request => "about requests",
            Self::Guest => "of the application's output",
        }
    }
}

/// What waits to be written, for one thread to write.
pub(super) struct Queue {
    format: Format,
    state: Mutex<State>,
    more: Condvar,
    written: Condvar,
    /// Its thread was started.
    writing: AtomicBool,
}

struct State {
    parts: VecDeque<(Stream, String)>,
    /// Bytes in `parts`, and those that are being written.
    held: usize,
    /// By class, in the order of [`Class::ALL`].
    accounts: [Account; 3],
    /// Somebody waits for everything to be written.
    ending: bool,
}

struct Account {
    /// None: there is no rate.
    budget: Option<Budget>,
    /// What there was no room for.
    unread: Option<Lost>,
}

impl Queue {
    /// An empty one, to which clients and guests may each add `rate` bytes a second.
    pub(super) fn new(format: Format, rate: u64) -> Self {
        let now = Instant::now();
        let accounts = Class::ALL.map(|class| {
            let budget = (class != Class::Launcher).then(|| Budget::new(rate, now));
            Account { budget, unread: None }
        });
        let state = State { parts: VecDeque::new(), held: 0, accounts, ending: false };
        Self {
            format,
            state: Mutex::new(state),
            more: Condvar::new(),
            written: Condvar::new(),
            writing: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the rate of `class` has room for a line of `bytes`. If not, it is counted as lost.
    pub(super) fn admit(&self, class: Class, bytes: usize) -> bool {
        let mut state = self.lock();
        let Some(budget) = &mut state.accounts[class as usize].budget else { return true };
        let told = budget.due().is_some();
        let admitted = budget.take(bytes as u64, bytes.saturating_add(LINE_BYTES) as u64, Instant::now());
        // Once: a guest that floods the log must not wake another thread for each line.
        if !admitted && !told {
            self.more.notify_one();
        }
        admitted
    }

    /// Never waits for a reader.
    pub(super) fn push(&self, class: Class, stream: Stream, line: String) {
        let mut state = self.lock();
        let cost = line.len().saturating_add(LINE_BYTES);
        let fits = state.held.saturating_add(cost) <= class.share();
        let account = &mut state.accounts[class as usize];
        // Once something is lost, everything is until the notice of it is out: gaps are told, not scattered.
        if account.unread.is_none() && fits {
            state.held += cost;
            state.parts.push_back((stream, line));
            self.more.notify_one();
        } else {
            if account.unread.is_none() {
                self.more.notify_one();
            }
            let lost = account.unread.get_or_insert_default();
            lost.lines += 1;
            lost.bytes += line.len() as u64;
        }
    }

    /// Starts the thread that writes, unless there is one. While the system has none to give, the caller writes: the
    /// log must not be silent just then. The next line asks again.
    pub(super) fn start(&'static self) {
        if !self.writing.swap(true, Ordering::Relaxed) {
            let thread = thread::Builder::new().name("log".to_owned()).stack_size(128 << 10).spawn(|| {
                loop {
                    self.write_some(&mut write_out);
                }
            });
            if thread.is_err() {
                self.writing.store(false, Ordering::Relaxed);
                while let Some((stream, line)) = self.take() {
                    write_out(stream, &line);
                    self.count_written(&line);
                }
            }
        }
    }

    /// What is to be written next, if there is anything now.
    fn take(&self) -> Option<(Stream, String)> {
        self.lock().next(self.format)
    }

    fn count_written(&self, line: &str) {
        self.lock().held -= line.len() + LINE_BYTES;
        self.written.notify_all();
    }

    /// Waits for something to write, and writes it.
    fn write_some(&self, write: &mut impl FnMut(Stream, &str)) {
        let mut state = self.lock();
        let (stream, line) = loop {
            if let Some(next) = state.next(self.format) {
                break next;
            }
            state = match state.due() {
                Some(due) => {
                    let wait = due.saturating_duration_since(Instant::now());
                    self.more.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.more.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        };
        drop(state);
        write(stream, &line);
        self.count_written(&line);
    }

    /// Waits until everything said is written, for at most `longest`.
    pub(super) fn flush(&self, longest: Duration) {
        let mut state = self.lock();
        state.ending = true;
        self.more.notify_one();
        let written = self.written.wait_timeout_while(state, longest, |state| state.is_busy());
        written.unwrap_or_else(PoisonError::into_inner).0.ending = false;
    }
}

fn write_out(stream: Stream, line: &str) {
    match stream {
        Stream::Stdout => write_all(io::stdout(), line.as_bytes()),
        Stream::Stderr => write_all(io::stderr(), line.as_bytes()),
    }
}

impl State {
    /// What is to be written next: first what a rate refused, so that a queue that is never empty does not keep it
    /// back, and last what there was no room for, because only then there is again. Its cost is in `held`.
    fn next(&mut self, format: Format) -> Option<(Stream, String)> {
        let notice = match self.over_rate() {
            Some(notice) => notice,
            None => match self.parts.pop_front() {
                Some(part) => return Some(part),
                None => self.unread()?,
            },
        };
        let notice = notice.render(format);
        self.held += notice.len() + LINE_BYTES;
        Some((Stream::Stderr, notice))
    }

    fn over_rate(&mut self) -> Option<Event<'static>> {
        let (now, ending) = (Instant::now(), self.ending);
        let mut classes = Class::ALL.into_iter().zip(&mut self.accounts);
        classes.find_map(|(class, account)| {
            let lost = account.budget.as_mut()?.tell(now, ending)?;
            Some(lost.event(class.words(), "there were too many at once").limit(Some("log-rate")))
        })
    }

    fn unread(&mut self) -> Option<Event<'static>> {
        let mut classes = Class::ALL.into_iter().zip(&mut self.accounts);
        classes.find_map(|(class, account)| {
            Some(account.unread.take()?.event(class.words(), "nobody read them in time"))
        })
    }

    /// When something refused is to be told.
    fn due(&self) -> Option<Instant> {
        self.accounts.iter().filter_map(|account| account.budget.as_ref()?.due()).min()
    }

    fn is_busy(&self) -> bool {
        self.held > 0 || self.due().is_some() || self.accounts.iter().any(|account| account.unread.is_some())
    }
}

impl Lost {
    fn event(self, what: &str, because: &str) -> Event<'static> {
        let Self { lines, bytes } = self;
        let plural = if lines == 1 { "" } else { "s" };
        Event::new(Kind::Lost, format!("lost {lines} line{plural} ({bytes} bytes) {what}: {because}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> String {
        "x".repeat(1023) + "\n"
    }

    fn written(queue: &Queue) -> Vec<(Stream, String)> {
        let mut out = Vec::new();
        queue.lock().ending = true;
        while queue.lock().is_busy() {
            queue.write_some(&mut |stream, line: &str| out.push((stream, line.to_owned())));
        }
        out
    }

    #[test]
    fn what_nobody_reads_is_dropped_counted_and_told() {
        let queue = Queue::new(Format::Text, u64::MAX);
        let room = QUEUE_BYTES / (line().len() + LINE_BYTES);
        for _ in 0..room + 3 {
            queue.push(Class::Launcher, Stream::Stdout, line());
        }
        let mut out = written(&queue);
        let (stream, notice) = out.pop().expect("a notice");
        assert_eq!(stream, Stream::Stderr);
        assert!(notice.contains("lost 3 lines (3072 bytes) of the launcher's own"), "{notice}");
        assert_eq!(out.len(), room);
        // There is room again.
        queue.push(Class::Launcher, Stream::Stdout, line());
        assert_eq!(written(&queue), [(Stream::Stdout, line())]);
        queue.flush(Duration::from_secs(1));
    }

    #[test]
    fn neither_guests_nor_clients_push_out_the_launchers_own_lines() {
        let queue = Queue::new(Format::Text, u64::MAX);
        for class in [Class::Guest, Class::Request] {
            for _ in 0..QUEUE_BYTES / line().len() {
                queue.push(class, Stream::Stderr, line());
            }
        }
        for _ in 0..100 {
            queue.push(Class::Launcher, Stream::Stderr, "own\n".to_owned());
        }
        let out: String = written(&queue).into_iter().map(|(_, line)| line).collect();
        assert_eq!(out.matches("own\n").count(), 100);
        assert!(out.contains("bytes) of the application's output: nobody"), "guests lost some");
        assert!(out.contains("bytes) about requests: nobody"), "so did clients");
        assert!(!out.contains("of the launcher's own"));
    }

    #[test]
    fn a_class_over_its_rate_leaves_that_of_the_others_alone() {
        let queue = Queue::new(Format::Text, 1024);
        let admitted = (0..1000).filter(|_| queue.admit(Class::Guest, 1024 - LINE_BYTES)).count();
        // What was saved up, and a little for the time that passed.
        assert!((10..20).contains(&admitted), "{admitted}");
        assert!(queue.admit(Class::Request, 1024));
        assert!((0..1000).all(|_| queue.admit(Class::Launcher, 1024)));
        let out = written(&queue);
        let [(Stream::Stderr, notice)] = out.as_slice() else { panic!("{out:?}") };
        let lost = 1000 - admitted;
        assert!(notice.starts_with(&format!("launcher: lost {lost} lines ({} bytes) of the ", lost * 960)));
        assert!(notice.ends_with("(limit `log-rate`)\n"), "{notice}");
    }
}
