//! One thing that is said, and its two renderings: a line of text, or one of JSON.
//!
//! Owns the keys of both, which `docs/operations.md` lists; those of a trap are in `trap`. Deliberately absent: where
//! lines go and how many may (see `queue` and `budget`).
//!
//! Invariant: whatever a client or a guest put into a field, an event is one line (a report in text is several, each
//! with its own beginning), and in JSON one object: what could end, reorder or hide a line is escaped.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use wadoo_signing::report::{Printable, Report, is_unprintable};

use super::trap::TrapPlace;
use super::{PREFIX, Stream};
use crate::request_id::RequestId;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What happened. Each has one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The application can answer.
    Ready,
    /// How long something took; only told when asked for.
    Timing,
    /// The artifact is run in place because the operator asked for it.
    InPlace,
    /// Instances are not pooled.
    NotPooled,
    /// Connections are closed or refused, or fewer than asked for are possible.
    Connections,
    /// Connections cannot be accepted.
    Accept,
    /// Another certificate is in use.
    Certificate,
    /// A changed certificate cannot be used, and the one before stays.
    CertificateKept,
    /// The source lines of traps cannot be told.
    NoLines,
    /// The drain began.
    Draining,
    /// The drain ended with something unfinished.
    Cut,
    /// A request met a limit before the application saw it.
    RequestRefused,
    /// The application failed to answer a request.
    RequestFailed,
    /// A request was ended by a limit while the application was at it.
    RequestStopped,
    /// The instance that a request shared failed, and the request begins again elsewhere.
    RequestAgain,
    /// A line that a guest printed.
    Output,
    /// Lines were dropped.
    Lost,
    /// The launcher could not do what it was asked to.
    Error,
    /// Anything else.
    Note,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warn,
    Error,
}

impl Kind {
    fn level(self) -> Level {
        match self {
            Self::Ready
            | Self::Timing
            | Self::InPlace
            | Self::Certificate
            | Self::Draining
            | Self::Output
            | Self::Note => Level::Info,
            Self::NotPooled
            | Self::Connections
            | Self::CertificateKept
            | Self::NoLines
            | Self::Cut
            | Self::RequestRefused
            | Self::RequestStopped
            | Self::RequestAgain
            | Self::Lost => Level::Warn,
            Self::Accept | Self::RequestFailed | Self::Error => Level::Error,
        }
    }
}

/// One thing that is said. Fields that are not set are not shown.
#[derive(Clone, Debug, Serialize)]
pub struct Event<'a> {
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    level: Level,
    pub(super) event: Kind,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(flatten)]
    trap: Option<&'a TrapPlace>,
    #[serde(flatten)]
    printed: Option<Printed>,
    #[serde(flatten)]
    ready: Option<&'a Ready>,
    #[serde(flatten)]
    report: Option<Details<'a>>,
}

/// Where a line that a guest printed comes from.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Printed {
    pub(crate) stream: Stream,
    pub(crate) instance: u64,
    /// The line goes on in the next one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) partial: bool,
}

/// Bytes of a request's method that a line shows. Clients may make up longer ones.
const MAX_METHOD: usize = 32;

/// The beginning of `text`, at most `most` bytes.
pub(crate) fn clip(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// What the ready line says.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// The application.
    pub app: String,
    /// Its version.
    pub version: String,
    /// Where it is served.
    pub addresses: Vec<String>,
    /// Checking the signature and hashing the payload.
    #[serde(rename = "verify_ms", serialize_with = "millis")]
    pub verify: Duration,
    /// Mapping and linking it.
    #[serde(rename = "load_ms", serialize_with = "millis")]
    pub load: Duration,
    /// Since the process began.
    #[serde(rename = "ready_ms", serialize_with = "millis")]
    pub ready: Duration,
    /// It is signed by a development key.
    pub development: bool,
}

/// What a report says beside what could not be done.
#[derive(Clone, Copy, Debug, Serialize)]
struct Details<'a> {
    because: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    exit: u8,
}

impl<'a> Event<'a> {
    /// Says that something happened, now.
    pub fn new(event: Kind, message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            time: SystemTime::now(),
            level: event.level(),
            event,
            message: message.into(),
            app: None,
            request: None,
            method: None,
            path: None,
            limit: None,
            trap: None,
            printed: None,
            ready: None,
            report: None,
        }
    }

    /// Says that the application can answer.
    pub fn ready(ready: &'a Ready) -> Self {
        Self { ready: Some(ready), ..Self::new(Kind::Ready, ready.to_string()) }
    }

    /// A line, or a piece of one, that a guest printed.
    pub(crate) fn printed(text: Cow<'a, str>, app: &'a str, printed: Printed) -> Self {
        Self { app: Some(app), printed: Some(printed), ..Self::new(Kind::Output, text) }
    }

    /// The application that it is about.
    pub fn app(self, app: Option<&'a str>) -> Self {
        Self { app, ..self }
    }

    /// The limit that was met, by its name for `--limit`.
    pub fn limit(self, limit: Option<&'a str>) -> Self {
        Self { limit, ..self }
    }

    /// The request that it is about.
    pub(crate) fn request(self, request: Option<RequestId>) -> Self {
        Self { request, ..self }
    }

    /// Method and path of the request.
    pub(crate) fn target(self, method: &'a str, path: &'a str) -> Self {
        Self { method: Some(clip(method, MAX_METHOD)), path: Some(path), ..self }
    }

    /// Where a guest trapped.
    pub(crate) fn trap(self, trap: Option<&'a TrapPlace>) -> Self {
        Self { trap, ..self }
    }

    /// What it counts of `log-rate`, beside what every line does.
    pub(super) fn length(&self) -> usize {
        let trap = self.trap.map_or(0, TrapPlace::length);
        self.message.len() + self.method.map_or(0, str::len) + self.path.map_or(0, str::len) + trap
    }

    /// The bytes that are written, the line's end included.
    pub(super) fn render(&self, format: Format) -> String {
        match format {
            Format::Text => self.to_string(),
            Format::Json => self.json(),
        }
    }

    fn json(&self) -> String {
        // Every key is text and no value's type can fail.
        let text = serde_json::to_string(self).unwrap_or_default();
        let mut line = String::with_capacity(text.len() + 1);
        for c in text.chars() {
            // JSON lets them stand as they are; a terminal would obey them. None is outside a string.
            if is_unprintable(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            } else {
                line.push(c);
            }
        }
        line.push('\n');
        line
    }
}

/// A report in the form that the command line has as well.
pub(super) fn report(report: &Report, format: Format) -> String {
    if format == Format::Text {
        return format!("{PREFIX}{report}");
    }
    let details = Details { because: &report.because, hint: report.hint.as_deref(), exit: report.exit as u8 };
    Event { report: Some(details), ..Event::new(Kind::Error, report.what.as_str()) }.json()
}

/// `launcher: GET /cart failed: … (limit `timeout`, request 5f3a9c1e-2a)`, `shop[5f3a9c1e-2a] stdout: …`
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.printed, self.event) {
            (Some(printed), _) => self.fmt_printed(f, printed),
            (None, Kind::Ready) => writeln!(f, "{}", Printable(&self.message)),
            (None, _) => self.fmt_line(f),
        }
    }
}

impl Event<'_> {
    fn fmt_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        if let (Some(method), Some(path)) = (self.method, self.path) {
            write!(f, "{} {} ", Printable(method), Printable(path))?;
        }
        write!(f, "{}", Printable(&self.message))?;
        if let Some(trap) = self.trap {
            write!(f, ", in {}", Printable(&trap.to_string()))?;
        }
        match (self.limit, self.request) {
            (Some(limit), Some(request)) => writeln!(f, " (limit `{limit}`, request {request})"),
            (Some(limit), None) => writeln!(f, " (limit `{limit}`)"),
            (None, Some(request)) => writeln!(f, " (request {request})"),
            (None, None) => f.write_char('\n'),
        }
    }

    fn fmt_printed(&self, f: &mut fmt::Formatter<'_>, printed: &Printed) -> fmt::Result {
        write!(f, "{}", Printable(self.app.unwrap_or_default()))?;
        match self.request {
            Some(request) => write!(f, "[{request}]")?,
            None => write!(f, "[#{}]", printed.instance)?,
        }
        let more = if printed.partial { "…" } else { "" };
        writeln!(f, " {}: {}{more}", printed.stream.name(), Printable(&self.message))
    }
}

/// `serving shop 1.4.0 on http://127.0.0.1:8080 (verify 0.4 ms, load 0.3 ms, ready 1.9 ms)`
impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, version, addresses, verify, load, ready, development } = self;
        write!(
            f,
            "serving {app} {version} on {} (verify {:.1} ms, load {:.1} ms, ready {:.1} ms{})",
            addresses.join(", "),
            in_millis(verify),
            in_millis(load),
            in_millis(ready),
            if *development { ", development key" } else { "" },
        )
    }
}

fn in_millis(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// To the microsecond: the rest is noise.
fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((in_millis(duration) * 1000.0).round() / 1000.0)
}

/// `2026-11-21T18:17:02.123Z`. A clock that was never set, or set to nonsense, must not end a server: what RFC 3339
/// cannot write becomes its nearest time.
fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    /// 9999-12-31T23:59:59Z
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    serializer.collect_str(&humantime::format_rfc3339_millis(UNIX_EPOCH + since))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::lines::SourcePlace;
    use crate::log::CalledFrom;

    const HOSTILE: &str = "a\n{\"level\":\"error\"}\u{1b}[2J\u{85}\u{2028}\u{202e}\"\\\r\u{0}ä";

    fn parse(line: &str) -> Value {
        assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line:?}");
        assert!(!line.trim_end().contains(is_unprintable), "{line:?}");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[test]
    fn foreign_text_neither_ends_a_line_nor_breaks_the_json() {
        let trap = TrapPlace {
            part: Some("cart".to_owned()),
            function: HOSTILE.to_owned(),
            offset: 0x1f40,
            source: Some(SourcePlace { file: HOSTILE.to_owned(), line: 42 }),
            from: Some(CalledFrom { function: HOSTILE.to_owned(), file: HOSTILE.to_owned(), line: 7 }),
            caller: false,
        };
        let event = Event::new(Kind::RequestFailed, HOSTILE)
            .app(Some("shop"))
            .target("GET", HOSTILE)
            .request(Some(RequestId::next()))
            .trap(Some(&trap));
        let text = event.render(Format::Text);
        assert_eq!(text.find('\n'), Some(text.len() - 1), "one line: {text:?}");
        assert!(!text.trim_end().contains(is_unprintable), "{text:?}");
        let json = parse(&event.render(Format::Json));
        for key in ["message", "path", "function", "file", "from_function", "from_file"] {
            assert_eq!(json[key], HOSTILE, "{key} comes through whole");
        }
        assert_eq!((&json["level"], &json["event"]), (&"error".into(), &"request-failed".into()));
        assert_eq!((&json["part"], &json["offset"]), (&"cart".into(), &0x1f40.into()));
        assert!(json.get("limit").is_none() && json.get("stream").is_none(), "{json}");
    }

    #[test]
    fn what_clients_and_guests_make_up_is_clipped_and_counted() {
        let long = "X".repeat(60_000);
        let event = Event::new(Kind::RequestRefused, "m").target(&long, "/p");
        assert_eq!(event.length(), 1 + MAX_METHOD + 2);
        assert!(event.render(Format::Text).len() < 200);
        let trap = TrapPlace {
            part: Some("cart".to_owned()),
            function: "f".repeat(100),
            offset: 0,
            source: None,
            from: None,
            caller: false,
        };
        assert_eq!(Event::new(Kind::RequestFailed, "m").trap(Some(&trap)).length(), 105);
        assert_eq!(clip("aä", 2), "a");
        // Two units of UTF-16.
        let json = Event::new(Kind::RequestFailed, "\u{e0041}").render(Format::Json);
        assert!(json.contains("\\udb40\\udc41") && parse(&json)["message"] == "\u{e0041}", "{json}");
    }

    #[test]
    fn a_report_is_one_object() {
        let told = Report::new(wadoo_signing::report::Exit::Usage, HOSTILE).because("found").hint("do");
        assert_eq!(report(&told, Format::Text), format!("launcher: {told}"));
        let json = parse(&report(&told, Format::Json));
        assert_eq!((&json["message"], &json["because"][0]), (&HOSTILE.into(), &"found".into()));
        assert_eq!(
            (&json["hint"], &json["exit"], &json["event"]),
            (&"do".into(), &2.into(), &"error".into())
        );
    }

    #[test]
    fn any_clock_can_be_written() {
        let time = |time| {
            let event = Event { time, ..Event::new(Kind::Note, "") };
            parse(&event.render(Format::Json))["time"].as_str().unwrap().to_owned()
        };
        let since = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(time(since(1_795_285_022_123)), "2026-11-21T18:17:02.123Z");
        assert_eq!(time(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(since(400_000_000_000_000)), "9999-12-31T23:59:59.000Z");
    }
}
