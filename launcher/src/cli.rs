//! The command line of `launcher`: what can be asked.
//!
//! Parsed by hand. What follows the artifact's name belongs to the application, `--` or not, which no
//! derive describes; and every microsecond before the first answer counts here.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use wadoo_launcher::engine::WASMTIME_VERSION;
use wadoo_launcher::limits::{self, Caps, ConnectionLimits, LimitError};
use wadoo_launcher::listen::Address;
use wadoo_launcher::log::Format;
use wadoo_launcher::mounts::{self, MountPoint, Mounts};
use wadoo_launcher::server::DEFAULT_DRAIN;
use wadoo_launcher::tls;
use wadoo_launcher::workers::MAX_THREADS;
use wadoo_signing::report::{Exit, Report};

/// Printed by `--help`.
pub(crate) const HELP: &str = "\
Verify a signed artifact and serve it, or run it if it is a command. There is no compiler in here.

Usage: launcher [OPTIONS] APP.cwasm [OPTIONS] [ARGUMENTS…]
       launcher check [OPTIONS] APP.cwasm

`wadoo compose recipe.toml` writes APP.cwasm. A folder with `payload` and `manifest.dsse.json` is accepted as well.
`check` does everything but run it: signature, digests, this CPU, imports.

Options:
      --addr ADDR         where to listen: IP:PORT (port 0 takes a free one) or unix:PATH, which takes ?mode=0660 after
                          it; again for more [default: 127.0.0.1:8080, if nothing else is listened on]
      --tls-addr IP:PORT  where to listen with TLS; again for more
      --tls-cert FILE     the server's certificate and those above it, in PEM
      --tls-key FILE      its key, in PEM; not readable by others
      --limit NAME=VALUE  a limit of the connections, or less than the recipe grants; again for more. The names:
                          connections, connections-per-address, requests-per-address, head-timeout, idle-timeout,
                          handshake-timeout, streams, head-fields, uri, memory, timeout, body-timeout, concurrency,
                          request-body, request-headers, queue, resources, handles, host-call, fields, random,
                          cpu-quota, log-rate, warm
      --trust DIR         folder with the public keys to trust, instead of $WADOO_TRUST, /etc/wadoo/trusted.d or
                          the user's own
      --drain TIME        how long running requests may take to finish after the first signal [default: 30s]
      --threads N         threads that serve connections; each is started when it has something to do [default: one
                          for each processor that this process may use]
      --mount SEEN=FOLDER[:ro]
                          give the application the folder that its manifest declares as SEEN; `:ro` never lets it
                          write there; once for each
      --egress-ca FILE    certificates, in PEM, of authorities that outgoing HTTPS requests believe beside the public
                          ones; others may not write it
      --log FORMAT        how the log is written, the ready line and errors included: text, or json, one object a
                          line [default: text]
      --map-in-place      run the file itself although this user could change it, instead of a sealed copy
      --timings           say on stderr how long each step of the start took, the first instance
                          and the pool
  -h, --help              print this
  -V, --version           print the versions of launcher and engine

The first argument after APP.cwasm that is none of these options, and all after it, are the application's; after
`--` every one is. A script that passes on what others wrote puts `--` first: launcher app.cwasm -- \"$@\"

Examples:
  launcher shop.cwasm --addr 0.0.0.0:80 --trust /etc/shop/keys
  launcher shop.cwasm --addr unix:/run/shop/http --limit concurrency=20 --limit request-body=1MiB
  launcher shop.cwasm --tls-addr 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem
  launcher shop.cwasm --mount /data=/var/lib/shop --mount /etc/shop=/etc/shop:ro
  launcher greet.cwasm Ada Grace
  launcher check shop.cwasm --trust keys/

HTTP/1.1 and HTTP/2 on every address. Sockets that systemd hands over are served in place of the default address;
those whose name begins with `tls` with TLS. A changed certificate is taken into use while the server runs.

Signals: the first SIGTERM or SIGINT drains, the second stops. With TLS, SIGHUP reads certificate and key again.
Exit codes:
  0 done   1 could not   2 usage   3 refused: not trusted   4 refused: incompatible   5 host resource   70 bug
  A command's own exit code is passed on.
";

/// Printed by `--version`.
pub(crate) fn version() -> String {
    format!("launcher {}\nwasmtime {WASMTIME_VERSION}\nartifact format 1\n", env!("CARGO_PKG_VERSION"))
}

/// What was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    Version,
    Check(Options),
    Run(Options, Vec<String>),
}

/// What to do it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) artifact: PathBuf,
    pub(crate) trust: Option<PathBuf>,
    /// None: the default, unless something else is listened on.
    pub(crate) addresses: Vec<Address>,
    pub(crate) tls_addresses: Vec<SocketAddr>,
    pub(crate) tls: Option<tls::Files>,
    pub(crate) connection: ConnectionLimits,
    pub(crate) caps: Caps,
    /// A limit was given that only a server can heed.
    pub(crate) server_limit: Option<&'static str>,
    pub(crate) drain: Duration,
    /// None: as many as there are processors.
    pub(crate) threads: Option<NonZeroUsize>,
    pub(crate) mounts: Mounts,
    /// A file of the operator's own certificate authorities.
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) log: Format,
    pub(crate) map_in_place: bool,
    pub(crate) timings: bool,
}

/// What is wrong with a command line.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum UsageError {
    #[error("no artifact is named")]
    NoArtifact,
    #[error("unknown option `{0}`")]
    Unknown(String),
    #[error("`{0}` needs a value")]
    NoValue(&'static str),
    #[error("`{0}` takes no value")]
    Value(&'static str),
    #[error("`{0}` is given twice")]
    Twice(&'static str),
    #[error("`--mount` is given twice for `{0}`")]
    MountTwice(MountPoint),
    #[error("`{found}` is not {expected}")]
    Malformed { found: String, expected: &'static str },
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error("limit `{0}` is given twice")]
    LimitTwice(&'static str),
    #[error("`{given}` needs `{missing}` as well")]
    Incomplete { given: &'static str, missing: &'static str },
    #[error("`check` listens to nobody and takes no `{0}`")]
    NotForCheck(&'static str),
    #[error("`check` takes one artifact, found `{0}` as well")]
    Surplus(String),
    #[error("argument `{0}` is not UTF-8, which is all that a component can take")]
    NotText(String),
}

impl From<UsageError> for Report {
    fn from(error: UsageError) -> Self {
        Self::new(Exit::Usage, error.to_string()).hint("`launcher --help` shows what can be asked")
    }
}

/// Understands the arguments of this process, without its name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut arguments = arguments.into_iter().peekable();
    let check = arguments.next_if(|first| first == "check").is_some();
    let mut given = Given::default();
    let mut artifact = None;
    let mut rest = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            rest.extend(arguments.by_ref());
            break;
        }
        match Given::split(&argument) {
            Some(("--help" | "-h", _)) if artifact.is_none() => return Ok(Request::Help),
            Some(("--version" | "-V", _)) if artifact.is_none() => return Ok(Request::Version),
            Some((name, value)) if Given::knows(name) => given.take(name, value, &mut arguments)?,
            Some((name, _)) if artifact.is_none() || check => {
                return Err(UsageError::Unknown(name.to_owned()));
            }
            _ if artifact.is_none() => artifact = Some(PathBuf::from(argument)),
            _ => {
                rest.push(argument);
                // In `check` nothing belongs to the application, so options may follow.
                if !check {
                    rest.extend(arguments.by_ref());
                }
            }
        }
    }
    // `launcher -- app.cwasm …`
    let mut rest = rest.into_iter();
    let artifact = artifact.or_else(|| rest.next().map(PathBuf::from)).ok_or(UsageError::NoArtifact)?;
    if check && let Some(name) = given.of_a_server() {
        return Err(UsageError::NotForCheck(name));
    }
    let options = given.options(artifact)?;
    if check {
        return match rest.next() {
            Some(surplus) => Err(UsageError::Surplus(surplus.to_string_lossy().into_owned())),
            None => Ok(Request::Check(options)),
        };
    }
    let text = |argument: OsString| {
        argument.into_string().map_err(|bytes| UsageError::NotText(bytes.to_string_lossy().into_owned()))
    };
    Ok(Request::Run(options, rest.map(text).collect::<Result<_, _>>()?))
}

/// Options as they were written.
#[derive(Default)]
struct Given {
    addresses: Vec<OsString>,
    tls_addresses: Vec<OsString>,
    tls_certificate: Option<OsString>,
    tls_key: Option<OsString>,
    limits: Vec<OsString>,
    trust: Option<OsString>,
    drain: Option<OsString>,
    threads: Option<OsString>,
    mounts: Vec<OsString>,
    egress_ca: Option<OsString>,
    log: Option<OsString>,
    map_in_place: bool,
    timings: bool,
}

/// Where the value of an option goes.
enum Place<'a> {
    Once(&'a mut Option<OsString>),
    Again(&'a mut Vec<OsString>),
}

impl Given {
    /// Name and value of `--name`, `--name=value` or `-n`; `None` for anything else.
    fn split(argument: &OsStr) -> Option<(&str, Option<&str>)> {
        let text = argument.to_str()?;
        match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => Some((name, Some(value))),
            _ if text.starts_with('-') && text.len() > 1 => Some((text, None)),
            _ => None,
        }
    }

    fn knows(name: &str) -> bool {
        matches!(name, "--map-in-place" | "--timings") || Self::default().place(name).is_some()
    }

    /// Where the value of an option goes that takes one.
    fn place(&mut self, name: &str) -> Option<(&'static str, Place<'_>)> {
        Some(match name {
            "--addr" => ("--addr", Place::Again(&mut self.addresses)),
            "--tls-addr" => ("--tls-addr", Place::Again(&mut self.tls_addresses)),
            "--tls-cert" => ("--tls-cert", Place::Once(&mut self.tls_certificate)),
            "--tls-key" => ("--tls-key", Place::Once(&mut self.tls_key)),
            "--limit" => ("--limit", Place::Again(&mut self.limits)),
            "--mount" => ("--mount", Place::Again(&mut self.mounts)),
            "--egress-ca" => ("--egress-ca", Place::Once(&mut self.egress_ca)),
            "--trust" => ("--trust", Place::Once(&mut self.trust)),
            "--drain" => ("--drain", Place::Once(&mut self.drain)),
            "--threads" => ("--threads", Place::Once(&mut self.threads)),
            "--log" => ("--log", Place::Once(&mut self.log)),
            _ => return None,
        })
    }

    fn take(
        &mut self,
        name: &str,
        value: Option<&str>,
        arguments: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), UsageError> {
        if name == "--timings" {
            return switch("--timings", &mut self.timings, value);
        }
        let Some((name, place)) = self.place(name) else {
            return switch("--map-in-place", &mut self.map_in_place, value);
        };
        let value =
            value.map(OsString::from).or_else(|| arguments.next()).ok_or(UsageError::NoValue(name))?;
        if value.is_empty() {
            return Err(UsageError::NoValue(name));
        }
        match place {
            Place::Again(values) => values.push(value),
            Place::Once(place) if place.is_some() => return Err(UsageError::Twice(name)),
            Place::Once(place) => *place = Some(value),
        }
        Ok(())
    }

    /// An option that only a server can heed.
    fn of_a_server(&self) -> Option<&'static str> {
        let given = [
            ("--addr", !self.addresses.is_empty()),
            ("--tls-addr", !self.tls_addresses.is_empty()),
            ("--tls-cert", self.tls_certificate.is_some()),
            ("--tls-key", self.tls_key.is_some()),
            ("--limit", !self.limits.is_empty()),
            ("--drain", self.drain.is_some()),
            ("--threads", self.threads.is_some()),
        ];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }

    fn options(self, artifact: PathBuf) -> Result<Options, UsageError> {
        let (mut connection, mut caps) = (ConnectionLimits::default(), Caps::default());
        let mut names = Vec::new();
        for limit in &self.limits {
            let name = limits::set(&limit.to_string_lossy(), &mut connection, &mut caps)?;
            if names.contains(&name) {
                return Err(UsageError::LimitTwice(name));
            }
            names.push(name);
        }
        let server_limit = names.into_iter().find(|name| !Caps::is_of_commands(name));
        let tls_addresses: Result<Vec<_>, _> =
            self.tls_addresses.iter().map(|text| tls_address_of(text)).collect();
        let tls_addresses = tls_addresses?;
        let tls = tls_files(self.tls_certificate, self.tls_key)?;
        if tls.is_none() && !tls_addresses.is_empty() {
            return Err(UsageError::Incomplete { given: "--tls-addr", missing: "--tls-cert" });
        }
        Ok(Options {
            artifact,
            trust: self.trust.map(PathBuf::from),
            addresses: self.addresses.iter().map(|text| address_of(text)).collect::<Result<_, _>>()?,
            tls_addresses,
            tls,
            connection,
            caps,
            server_limit,
            drain: self.drain.map_or(Ok(DEFAULT_DRAIN), |drain| duration_of(&drain.to_string_lossy()))?,
            threads: self.threads.map(|threads| threads_of(&threads.to_string_lossy())).transpose()?,
            mounts: mounts_of(&self.mounts)?,
            authorities: self.egress_ca.map(PathBuf::from),
            log: self.log.map_or(Ok(Format::default()), |format| format_of(&format))?,
            map_in_place: self.map_in_place,
            timings: self.timings,
        })
    }
}

/// How a mistake in these arguments is to be told: as they ask for, if they do.
pub(crate) fn log_format(arguments: impl IntoIterator<Item = OsString>) -> Format {
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let format = match Given::split(&argument) {
            Some(("--log", Some(value))) => format_of(OsStr::new(value)),
            Some(("--log", None)) => format_of(&arguments.next().unwrap_or_default()),
            _ if argument == "--" => break,
            _ => continue,
        };
        return format.unwrap_or_default();
    }
    Format::default()
}

fn format_of(text: &OsStr) -> Result<Format, UsageError> {
    match text.to_str() {
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        _ => Err(UsageError::Malformed {
            found: text.to_string_lossy().into_owned(),
            expected: "a format of the log: `text` or `json`",
        }),
    }
}

fn mounts_of(texts: &[OsString]) -> Result<Mounts, UsageError> {
    let mut mounts = Mounts::new();
    for text in texts {
        let (seen, folder) = mounts::mount_of(text).ok_or_else(|| UsageError::Malformed {
            found: text.to_string_lossy().into_owned(),
            expected: mounts::MOUNT_SYNTAX,
        })?;
        if mounts.insert(seen.clone(), folder).is_some() {
            return Err(UsageError::MountTwice(seen));
        }
    }
    Ok(mounts)
}

/// Sets an option that takes no value.
fn switch(name: &'static str, place: &mut bool, value: Option<&str>) -> Result<(), UsageError> {
    if value.is_some() {
        return Err(UsageError::Value(name));
    }
    if std::mem::replace(place, true) { Err(UsageError::Twice(name)) } else { Ok(()) }
}

fn address_of(text: &OsStr) -> Result<Address, UsageError> {
    let text = text.to_string_lossy();
    let malformed = |expected| UsageError::Malformed { found: text.to_string(), expected };
    text.parse::<Address>().map_err(|error| malformed(error.expected))
}

fn tls_address_of(text: &OsStr) -> Result<SocketAddr, UsageError> {
    let expected = "an address with a port, `0.0.0.0:443` for example";
    let malformed = || UsageError::Malformed { found: text.to_string_lossy().into_owned(), expected };
    address_of(text).ok().and_then(|address| address.tcp()).ok_or_else(malformed)
}

/// Both files or none.
fn tls_files(certificate: Option<OsString>, key: Option<OsString>) -> Result<Option<tls::Files>, UsageError> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            Ok(Some(tls::Files { certificate: certificate.into(), key: key.into() }))
        }
        (Some(_), None) => Err(UsageError::Incomplete { given: "--tls-cert", missing: "--tls-key" }),
        (None, Some(_)) => Err(UsageError::Incomplete { given: "--tls-key", missing: "--tls-cert" }),
    }
}

/// `30s`, `500ms`, `2m`
fn duration_of(text: &str) -> Result<Duration, UsageError> {
    limits::duration(text).ok_or_else(|| UsageError::Malformed {
        found: text.to_owned(),
        expected: "a time, `30s` or `500ms` for example",
    })
}

fn threads_of(text: &str) -> Result<NonZeroUsize, UsageError> {
    let expected = "a number of threads, 1 to 1024";
    let threads = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= MAX_THREADS);
    threads.ok_or_else(|| UsageError::Malformed { found: text.to_owned(), expected })
}

#[cfg(test)]
mod tests;
