//! The limits of a server: those of its connections, and what the operator takes off those of the application.
//!
//! Owns their names, defaults and bounds. What happens at a limit is decided where it is met.
//!
//! Invariant: the operator can only narrow what the manifest allows: the smaller of the two values holds.

use std::time::Duration;

use thiserror::Error;
use wadoo_signing::manifest::{Limits, Reuse};

/// Connections that are open at a time, of all clients together.
pub const MAX_CONNECTIONS: u32 = 8192;

/// Connections that are open at a time from one address (of IPv6, one network of 64 bits).
pub const MAX_CONNECTIONS_PER_ADDRESS: u32 = 1024;

/// Requests that run at a time from one address, those that wait for their turn included. Not limited unless an operator
/// does: behind a proxy all requests come from one address.
pub const MAX_REQUESTS_PER_ADDRESS: u32 = u32::MAX;

/// From the first byte of a request's head, or of a connection, to the head's last byte.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// From the end of a response to the first byte of the next request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// From a connection's beginning to the end of its TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that one HTTP/2 connection may have running.
pub const MAX_STREAMS: u32 = 64;

/// Fields of a request's head. hyper itself stops at 100, with a bare 431.
pub const MAX_HEAD_FIELDS: u32 = 96;

/// Length of a request's path and query in bytes.
pub const MAX_URI_BYTES: u32 = 8192;

/// The longest time that a limit can be set to: a clock can always add it.
pub const LONGEST_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The largest share of one processor that can be set, in hundredths: a hundred of them.
pub const MAX_CPU_QUOTA: u32 = 10_000;

/// The names of all limits, as `--limit` takes them.
pub const NAMES: [&str; 24] = [
    "connections",
    "connections-per-address",
    "requests-per-address",
    "head-timeout",
    "idle-timeout",
    "handshake-timeout",
    "streams",
    "head-fields",
    "uri",
    "memory",
    "timeout",
    "body-timeout",
    "concurrency",
    "request-body",
    "request-headers",
    "queue",
    "resources",
    "handles",
    "host-call",
    "fields",
    "random",
    "cpu-quota",
    "log-rate",
    "warm",
];

/// What the connections of a server may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// See [`MAX_CONNECTIONS`].
    pub connections: u32,
    /// See [`MAX_CONNECTIONS_PER_ADDRESS`].
    pub connections_per_address: u32,
    /// See [`MAX_REQUESTS_PER_ADDRESS`].
    pub requests_per_address: u32,
    /// See [`HEAD_TIMEOUT`].
    pub head_timeout: Duration,
    /// See [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// See [`HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
    /// See [`MAX_STREAMS`].
    pub streams: u32,
    /// See [`MAX_HEAD_FIELDS`].
    pub head_fields: u32,
    /// See [`MAX_URI_BYTES`].
    pub uri: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
            requests_per_address: MAX_REQUESTS_PER_ADDRESS,
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            streams: MAX_STREAMS,
            head_fields: MAX_HEAD_FIELDS,
            uri: MAX_URI_BYTES,
        }
    }
}

/// What the operator takes off the limits of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    memory: Option<u64>,
    timeout: Option<Duration>,
    body_timeout: Option<Duration>,
    concurrency: Option<u32>,
    request_body: Option<u64>,
    request_headers: Option<u32>,
    queue: Option<u32>,
    resources: Option<u32>,
    handles: Option<u32>,
    host_call: Option<u64>,
    fields: Option<u32>,
    random: Option<u64>,
    cpu_quota: Option<u32>,
    log_rate: Option<u64>,
    warm: Option<u32>,
}

impl Caps {
    /// Lowers what the manifest has to what the operator allows.
    pub fn narrow(&self, limits: &mut Limits, reuse: &mut Reuse) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        lower(&mut limits.memory, self.memory);
        lower(&mut limits.body_timeout_ms, self.body_timeout.map(millis));
        lower(&mut limits.concurrency, self.concurrency);
        lower(&mut limits.request_body, self.request_body);
        lower(&mut limits.request_headers, self.request_headers);
        lower(&mut limits.resources, self.resources);
        lower(&mut limits.handles, self.handles);
        lower(&mut limits.host_call, self.host_call);
        lower(&mut limits.fields, self.fields);
        lower(&mut limits.random, self.random);
        lower_or_set(&mut limits.timeout_ms, self.timeout.map(millis));
        lower_or_set(&mut limits.cpu_quota_percent, self.cpu_quota);
        // More than can run at a time would only hold memory.
        reuse.lower_warm(self.warm.unwrap_or(u32::MAX).min(limits.concurrency));
    }

    /// How many requests may wait for others to end, if the operator says so.
    pub fn queue(&self) -> Option<u32> {
        self.queue
    }

    /// Bytes a second that clients and guests may each add to the log, if the operator says so.
    pub fn log_rate(&self) -> Option<u64> {
        self.log_rate
    }

    /// Whether the limit of this name holds for commands too.
    pub fn is_of_commands(name: &str) -> bool {
        OF_COMMANDS.contains(&name)
    }
}

/// The names of the limits that a command has.
pub const OF_COMMANDS: [&str; 8] =
    ["memory", "timeout", "resources", "handles", "host-call", "fields", "random", "cpu-quota"];

fn lower<T: Ord + Copy>(limit: &mut T, cap: Option<T>) {
    if let Some(cap) = cap {
        *limit = cap.min(*limit);
    }
}

/// As [`lower`], of a limit that may be none.
fn lower_or_set<T: Ord + Copy>(limit: &mut Option<T>, cap: Option<T>) {
    if let Some(cap) = cap {
        *limit = Some(limit.map_or(cap, |signed| signed.min(cap)));
    }
}

/// What is wrong with a `NAME=VALUE`.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LimitError {
    /// No `=`.
    #[error("`--limit {0}` has no value; it is written `--limit NAME=VALUE`")]
    NoValue(String),
    /// There is no such limit.
    #[error("there is no limit `{found}`; the limits are {}", NAMES.join(", "))]
    Unknown {
        /// The name.
        found: String,
    },
    /// The value is none.
    #[error("limit `{name}`: `{found}` is not {expected}")]
    Malformed {
        /// The limit.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it should have been.
        expected: String,
    },
}

/// Sets the limit that `text`, `NAME=VALUE`, names, and returns its name.
///
/// # Errors
///
/// There is no such limit, or it cannot have this value.
pub fn set(
    text: &str,
    connection: &mut ConnectionLimits,
    caps: &mut Caps,
) -> Result<&'static str, LimitError> {
    let (name, value) = text.split_once('=').ok_or_else(|| LimitError::NoValue(text.to_owned()))?;
    let known = NAMES.into_iter().find(|known| *known == name);
    let name = known.ok_or_else(|| LimitError::Unknown { found: name.to_owned() })?;
    let value = Value { name, text: value };
    match name {
        "connections" => connection.connections = value.count(1_000_000)?,
        "connections-per-address" => connection.connections_per_address = value.count(1_000_000)?,
        "requests-per-address" => connection.requests_per_address = value.count(1_000_000)?,
        "head-timeout" => connection.head_timeout = value.time()?,
        "idle-timeout" => connection.idle_timeout = value.time()?,
        "handshake-timeout" => connection.handshake_timeout = value.time()?,
        "streams" => connection.streams = value.count(10_000)?,
        "head-fields" => connection.head_fields = value.count(10_000)?,
        // hyper refuses longer ones by itself.
        "uri" => connection.uri = value.bytes(65_000)?,
        "memory" => caps.memory = Some(value.size(u64::MAX)?),
        "timeout" => caps.timeout = Some(value.time()?),
        "body-timeout" => caps.body_timeout = Some(value.time()?),
        "concurrency" => caps.concurrency = Some(value.count(u32::MAX)?),
        "request-body" => {
            caps.request_body = Some(if value.text == "0" { 0 } else { value.size(u64::MAX)? })
        }
        "request-headers" => caps.request_headers = Some(value.bytes(u32::MAX)?),
        // Less could not hold the longest line.
        "log-rate" => caps.log_rate = Some(value.size_from(1 << 10)?),
        "resources" => caps.resources = Some(value.count(u32::MAX)?),
        "handles" => caps.handles = Some(value.count(u32::MAX)?),
        "host-call" => caps.host_call = Some(value.size(u64::MAX)?),
        "fields" => caps.fields = Some(value.bytes(u32::MAX)?),
        "random" => caps.random = Some(value.size(u64::MAX)?),
        "cpu-quota" => caps.cpu_quota = Some(value.percent(MAX_CPU_QUOTA)?),
        // None, which is a limit as well.
        "queue" => caps.queue = Some(value.count_or_none(1_000_000)?),
        "warm" => caps.warm = Some(value.count_or_none(u32::MAX)?),
        _ => return Err(LimitError::Unknown { found: name.to_owned() }),
    }
    Ok(name)
}

/// A value as it was written.
struct Value<'a> {
    name: &'static str,
    text: &'a str,
}

impl Value<'_> {
    fn malformed(&self, expected: impl Into<String>) -> LimitError {
        LimitError::Malformed { name: self.name, found: self.text.to_owned(), expected: expected.into() }
    }

    fn count(&self, most: u32) -> Result<u32, LimitError> {
        let count = digits(self.text).and_then(|count| u32::try_from(count).ok());
        count
            .filter(|count| (1..=most).contains(count))
            .ok_or_else(|| self.malformed(format!("a number from 1 to {most}")))
    }

    fn count_or_none(&self, most: u32) -> Result<u32, LimitError> {
        if self.text == "0" { Ok(0) } else { self.count(most) }
    }

    fn size(&self, most: u64) -> Result<u64, LimitError> {
        const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
        let size = UNITS.into_iter().find_map(|(unit, bytes)| {
            self.text.strip_suffix(unit).and_then(digits).and_then(|number| number.checked_mul(bytes))
        });
        size.filter(|size| (1..=most).contains(size)).ok_or_else(|| {
            let most = if most == u64::MAX { String::new() } else { format!(", at most {most} bytes") };
            self.malformed(format!("a size, `512KiB` or `64MiB` for example{most}"))
        })
    }

    fn size_from(&self, least: u64) -> Result<u64, LimitError> {
        let size = self.size(u64::MAX).ok().filter(|size| *size >= least);
        size.ok_or_else(|| self.malformed(format!("a size of at least {least} bytes, `64KiB` for example")))
    }

    fn bytes(&self, most: u32) -> Result<u32, LimitError> {
        self.size(most.into()).map(|size| u32::try_from(size).unwrap_or(most))
    }

    fn percent(&self, most: u32) -> Result<u32, LimitError> {
        let percent =
            self.text.strip_suffix('%').and_then(digits).and_then(|number| u32::try_from(number).ok());
        percent.filter(|percent| (1..=most).contains(percent)).ok_or_else(|| {
            self.malformed(format!("a share of one processor from `1%` to `{most}%`, `50%` for example"))
        })
    }

    fn time(&self) -> Result<Duration, LimitError> {
        duration(self.text)
            .filter(|time| !time.is_zero() && *time <= LONGEST_TIME)
            .ok_or_else(|| self.malformed("a time up to `24h`, `30s` or `500ms` for example"))
    }
}

/// Reads a time as recipes have it: `500ms`, `30s`, `2m`, `1h`.
pub fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    UNITS.into_iter().find_map(|(unit, millis)| {
        let number = text.strip_suffix(unit).and_then(digits)?;
        number.checked_mul(millis).map(Duration::from_millis)
    })
}

fn digits(text: &str) -> Option<u64> {
    // `parse` alone would take a sign.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> Limits {
        Limits {
            memory: 64 << 20,
            timeout_ms: Some(30_000),
            body_timeout_ms: 10_000,
            concurrency: 100,
            request_body: 1 << 20,
            request_headers: 8192,
            resources: 1000,
            handles: 1000,
            host_call: 1 << 20,
            fields: 8192,
            random: 8192,
            cpu_quota_percent: None,
        }
    }

    fn narrowed(texts: &[&str]) -> Limits {
        let mut limits = signed();
        caps(texts).narrow(&mut limits, &mut Reuse::None { warm: 0 });
        limits
    }

    fn caps(texts: &[&str]) -> Caps {
        let (mut connection, mut caps) = (ConnectionLimits::default(), Caps::default());
        for text in texts {
            set(text, &mut connection, &mut caps).unwrap_or_else(|error| panic!("{error}"));
        }
        caps
    }

    #[test]
    fn no_more_instances_are_made_ahead_than_can_run() {
        for (text, expected) in [("warm=3", 3), ("warm=0", 0), ("warm=100", 7), ("concurrency=2", 2)] {
            let mut reuse = Reuse::None { warm: 7 };
            caps(&[text]).narrow(&mut signed(), &mut reuse);
            assert_eq!(reuse.warm(), expected, "{text}");
        }
    }

    #[test]
    fn the_smaller_of_two_values_holds() {
        let lower = ["memory=1MiB", "timeout=1s", "body-timeout=500ms", "concurrency=1"];
        let expected = Limits {
            memory: 1 << 20,
            timeout_ms: Some(1000),
            body_timeout_ms: 500,
            concurrency: 1,
            ..signed()
        };
        assert_eq!(narrowed(&lower), expected);
        let expected = Limits { request_body: 0, request_headers: 4096, ..signed() };
        assert_eq!(narrowed(&["request-body=0", "request-headers=4KiB", "queue=0"]), expected);
        let lower = ["resources=1", "handles=2", "host-call=3", "fields=4", "random=5", "cpu-quota=6%"];
        let expected = Limits {
            resources: 1,
            handles: 2,
            host_call: 3,
            fields: 4,
            random: 5,
            cpu_quota_percent: Some(6),
            ..signed()
        };
        assert_eq!(narrowed(&lower), expected);
        let higher = [
            "memory=1GiB",
            "timeout=1h",
            "body-timeout=1h",
            "concurrency=1000",
            "request-body=1GiB",
            "resources=2000",
            "handles=2000",
            "host-call=1GiB",
            "fields=1MiB",
            "random=1MiB",
        ];
        assert_eq!(narrowed(&higher), signed());
    }

    #[test]
    fn every_name_is_a_limit_and_mistakes_are_named() {
        for name in NAMES {
            let (mut connection, mut caps) = (ConnectionLimits::default(), Caps::default());
            let fits = ["7", "7s", "7KiB", "7%"]
                .iter()
                .filter(|value| set(&format!("{name}={value}"), &mut connection, &mut caps) == Ok(name));
            assert!((1..3).contains(&fits.count()), "{name}");
            assert!((connection, caps) != (ConnectionLimits::default(), Caps::default()), "{name} is kept");
        }
        for (text, expected) in [
            ("uri", "`--limit uri` has no value; it is written `--limit NAME=VALUE`"),
            ("streams=0", "limit `streams`: `0` is not a number from 1 to 10000"),
            ("streams=+1", "limit `streams`: `+1` is not a number from 1 to 10000"),
            (
                "head-timeout=30",
                "limit `head-timeout`: `30` is not a time up to `24h`, `30s` or `500ms` for example",
            ),
            (
                "idle-timeout=25h",
                "limit `idle-timeout`: `25h` is not a time up to `24h`, `30s` or `500ms` for example",
            ),
            (
                "log-rate=1023",
                "limit `log-rate`: `1023` is not a size of at least 1024 bytes, `64KiB` for example",
            ),
            (
                "cpu-quota=50",
                "limit `cpu-quota`: `50` is not a share of one processor from `1%` to `10000%`, `50%` for example",
            ),
            ("memory=64MB", "limit `memory`: `64MB` is not a size, `512KiB` or `64MiB` for example"),
            (
                "uri=1MiB",
                "limit `uri`: `1MiB` is not a size, `512KiB` or `64MiB` for example, at most 65000 bytes",
            ),
        ] {
            let error = set(text, &mut ConnectionLimits::default(), &mut Caps::default()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let error = set("conections=1", &mut ConnectionLimits::default(), &mut Caps::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("there is no limit `conections`; the limits are connections, ")
        );
    }
}
