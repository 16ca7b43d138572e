//! The command line of `launcher`: what can be asked.
//!
//! Parsed by hand. What follows the artifact's name belongs to the application, `--` or not, which no
//! derive describes; and every microsecond before the first answer counts here.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use wadoo_launcher::engine::WASMTIME_VERSION;
use wadoo_launcher::reach::{self, Mounts};
use wadoo_launcher::server::{DEFAULT_ADDRESS, DEFAULT_DRAIN};
use wadoo_signing::mount::MountPath;
use wadoo_signing::report::{Exit, Report};

/// Printed by `--help`.
pub(crate) const HELP: &str = "\
Verify a signed artifact and serve it, or run it if it is a command. There is no compiler in here.

Usage: launcher [OPTIONS] APP.cwasm [OPTIONS] [ARGUMENTS…]
       launcher check [OPTIONS] APP.cwasm

`wadoo compose recipe.toml` writes APP.cwasm. A folder with `payload` and `manifest.dsse.json` is accepted as well.
`check` does everything but run it: signature, digests, this CPU, imports.

Options:
      --addr IP:PORT    where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
      --trust DIR       folder with the public keys to trust, instead of $WADOO_TRUST, /etc/wadoo/trusted.d or
                        the user's own
      --drain TIME      how long running requests may take to finish after the first signal [default: 30s]
      --mount SEEN=FOLDER[:ro]
                        give the application the folder that its manifest declares as SEEN; `:ro` never lets it write
                        there; once for each
      --map-in-place    run the file itself although this user could change it, instead of a sealed copy
      --timings         say on stderr how long each step of the start took, and the first instance
  -h, --help            print this
  -V, --version         print the versions of launcher and engine

The first argument after APP.cwasm that is none of these options, and all after it, are the application's; after
`--` every one is. A script that passes on what others wrote puts `--` first: launcher app.cwasm -- \"$@\"

Examples:
  launcher shop.cwasm --addr 0.0.0.0:80 --trust /etc/shop/keys
  launcher shop.cwasm --mount /data=/var/lib/shop --mount /etc/shop=/etc/shop:ro
  launcher greet.cwasm Ada Grace
  launcher check shop.cwasm --trust keys/

Signals: the first SIGTERM or SIGINT drains, the second stops.
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
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) artifact: PathBuf,
    pub(crate) trust: Option<PathBuf>,
    pub(crate) address: SocketAddr,
    pub(crate) drain: Duration,
    pub(crate) mounts: Mounts,
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
    MountTwice(MountPath),
    #[error("`{found}` is not {expected}")]
    Malformed { found: String, expected: &'static str },
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
    address: Option<OsString>,
    trust: Option<OsString>,
    drain: Option<OsString>,
    mounts: Mounts,
    map_in_place: bool,
    timings: bool,
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
        matches!(name, "--addr" | "--trust" | "--drain" | "--mount" | "--map-in-place" | "--timings")
    }

    fn take(
        &mut self,
        name: &str,
        value: Option<&str>,
        arguments: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), UsageError> {
        let (name, place) = match name {
            "--addr" => ("--addr", Some(&mut self.address)),
            "--trust" => ("--trust", Some(&mut self.trust)),
            "--drain" => ("--drain", Some(&mut self.drain)),
            "--mount" => ("--mount", None),
            "--timings" => return switch("--timings", &mut self.timings, value),
            _ => return switch("--map-in-place", &mut self.map_in_place, value),
        };
        let value =
            value.map(OsString::from).or_else(|| arguments.next()).ok_or(UsageError::NoValue(name))?;
        if value.is_empty() {
            return Err(UsageError::NoValue(name));
        }
        let Some(place) = place else { return self.mount(&value) };
        if place.replace(value).is_some() { Err(UsageError::Twice(name)) } else { Ok(()) }
    }

    fn mount(&mut self, text: &OsStr) -> Result<(), UsageError> {
        let (seen, folder) = reach::mount_of(text).ok_or_else(|| UsageError::Malformed {
            found: text.to_string_lossy().into_owned(),
            expected: reach::MOUNT_SYNTAX,
        })?;
        match self.mounts.insert(seen.clone(), folder) {
            Some(_) => Err(UsageError::MountTwice(seen)),
            None => Ok(()),
        }
    }

    /// An option that only a server can heed.
    fn of_a_server(&self) -> Option<&'static str> {
        let address = self.address.as_ref().map(|_| "--addr");
        address.or(self.drain.as_ref().map(|_| "--drain"))
    }

    fn options(self, artifact: PathBuf) -> Result<Options, UsageError> {
        let address = self.address.unwrap_or_else(|| DEFAULT_ADDRESS.into());
        Ok(Options {
            artifact,
            trust: self.trust.map(PathBuf::from),
            address: address_of(&address.to_string_lossy())?,
            drain: self.drain.map_or(Ok(DEFAULT_DRAIN), |drain| duration_of(&drain.to_string_lossy()))?,
            mounts: self.mounts,
            map_in_place: self.map_in_place,
            timings: self.timings,
        })
    }
}

/// Sets an option that takes no value.
fn switch(name: &'static str, place: &mut bool, value: Option<&str>) -> Result<(), UsageError> {
    if value.is_some() {
        return Err(UsageError::Value(name));
    }
    if std::mem::replace(place, true) { Err(UsageError::Twice(name)) } else { Ok(()) }
}

/// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`. Other names are not looked up: what a name means could
/// change between two starts, and where a server listens should not.
fn address_of(text: &str) -> Result<SocketAddr, UsageError> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    local.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|| text.parse().ok()).ok_or_else(
        || UsageError::Malformed {
            found: text.to_owned(),
            expected: "an address with a port, `127.0.0.1:8080` for example",
        },
    )
}

/// `30s`, `500ms`, `2m`
fn duration_of(text: &str) -> Result<Duration, UsageError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => 0,
    };
    let duration = number.parse::<u64>().ok().filter(|_| millis > 0).and_then(|n| n.checked_mul(millis));
    duration.map(Duration::from_millis).ok_or_else(|| UsageError::Malformed {
        found: text.to_owned(),
        expected: "a time, `30s` or `500ms` for example",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Result<Request, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn options(artifact: &str) -> Options {
        Options {
            artifact: artifact.into(),
            trust: None,
            address: DEFAULT_ADDRESS.parse().unwrap(),
            drain: DEFAULT_DRAIN,
            mounts: Mounts::new(),
            map_in_place: false,
            timings: false,
        }
    }

    #[test]
    fn options_stand_before_or_after_the_artifact() {
        let expected = Options {
            trust: Some("keys".into()),
            address: "0.0.0.0:80".parse().unwrap(),
            drain: Duration::from_millis(500),
            map_in_place: true,
            timings: true,
            ..options("a.cwasm")
        };
        for line in [
            "--addr 0.0.0.0:80 --timings --trust keys --drain 500ms --map-in-place a.cwasm",
            "a.cwasm --addr=0.0.0.0:80 --trust=keys --drain=500ms --map-in-place --timings",
            "--trust keys a.cwasm --timings --map-in-place --drain 500ms --addr 0.0.0.0:80",
        ] {
            assert_eq!(ask(line), Ok(Request::Run(expected_clone(&expected), vec![])), "{line}");
        }
        assert_eq!(ask("check a.cwasm"), Ok(Request::Check(options("a.cwasm"))));
        let trusted = Options { trust: Some("keys".into()), ..options("a.cwasm") };
        assert_eq!(ask("check a.cwasm --trust keys"), Ok(Request::Check(trusted)));
    }

    fn expected_clone(options: &Options) -> Options {
        Options {
            artifact: options.artifact.clone(),
            trust: options.trust.clone(),
            address: options.address,
            drain: options.drain,
            mounts: options.mounts.clone(),
            map_in_place: options.map_in_place,
            timings: options.timings,
        }
    }

    #[test]
    fn what_follows_the_artifact_is_the_applications() {
        for (line, expected) in [
            ("a.cwasm Ada --addr x", vec!["Ada", "--addr", "x"]),
            ("a.cwasm --name Ada", vec!["--name", "Ada"]),
            ("a.cwasm -- --trust evil", vec!["--trust", "evil"]),
            ("a.cwasm --help", vec!["--help"]),
            ("a.cwasm - x", vec!["-", "x"]),
            ("-- a.cwasm check", vec!["check"]),
        ] {
            let expected = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(ask(line), Ok(Request::Run(options("a.cwasm"), expected)), "{line}");
        }
    }

    #[test]
    fn help_and_version_need_no_artifact() {
        assert_eq!(ask("--help"), Ok(Request::Help));
        assert_eq!(ask("check -h"), Ok(Request::Help));
        assert_eq!(ask("-V"), Ok(Request::Version));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, expected) in [
            ("", "no artifact is named"),
            ("check", "no artifact is named"),
            ("--no-such-flag", "unknown option `--no-such-flag`"),
            ("--port 80 a.cwasm", "unknown option `--port`"),
            ("check a.cwasm --port 80", "unknown option `--port`"),
            ("a.cwasm --addr", "`--addr` needs a value"),
            ("--trust= a.cwasm", "`--trust` needs a value"),
            ("--map-in-place=yes a.cwasm", "`--map-in-place` takes no value"),
            ("--timings=1 a.cwasm", "`--timings` takes no value"),
            ("--addr [::1]:1 a.cwasm --addr [::1]:1", "`--addr` is given twice"),
            ("--map-in-place a.cwasm --map-in-place", "`--map-in-place` is given twice"),
            ("a.cwasm --addr 8080", "`8080` is not an address with a port, `127.0.0.1:8080` for example"),
            ("a.cwasm --mount /a=/x --mount /a=/y", "`--mount` is given twice for `/a`"),
            (
                "a.cwasm --mount data=/x",
                "`data=/x` is not a mount, `/data=/srv/shop` or `/data=/srv/shop:ro` for example",
            ),
            ("a.cwasm --drain 30", "`30` is not a time, `30s` or `500ms` for example"),
            (
                "a.cwasm --drain 99999999999999999999s",
                "`99999999999999999999s` is not a time, `30s` or `500ms` for example",
            ),
            ("check a.cwasm --addr 127.0.0.1:1", "`check` listens to nobody and takes no `--addr`"),
            ("check --drain 1s a.cwasm", "`check` listens to nobody and takes no `--drain`"),
            ("check a.cwasm b.cwasm", "`check` takes one artifact, found `b.cwasm` as well"),
        ] {
            assert_eq!(ask(line).map_err(|error| error.to_string()), Err(expected.to_owned()), "{line}");
        }
    }
}
