//! The recipe: what a user writes, as types whose existence means "valid".
//!
//! `parse` is the only way to make a [`Recipe`]; it reports every problem of the text in one run. Whether
//! the files exist and the parts fit together is not decided here (see `inputs` and `plan`).
//!
//! Maps are ordered by name, never by place in the file: two recipes that say the same give the same bytes.

mod grants;
mod names;
mod parse;
mod problems;
mod quantity;
mod settings;
mod signing;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use wadoo_signing::digest::Sha256Digest;

use crate::target::{CpuLevel, Target};

pub use names::{AppName, InterfaceName, InterfacePattern, MAX_NAME, NameError, PartName};
pub use parse::{MAX_LIST, MAX_PARTS, MAX_RECIPE_SIZE, parse, read};
pub use source::{SourceText, Span, Spanned};

/// A valid recipe, format 1.
#[derive(Debug)]
pub struct Recipe {
    /// The text it was parsed from; spans below point into it.
    pub source: SourceText,
    /// `[app]`
    pub app: App,
    /// `[components.*]`, at least one.
    pub components: BTreeMap<PartName, Component>,
    /// `[exports]`: which part provides an export of the whole; empty means the one obvious trigger.
    pub exports: BTreeMap<InterfaceName, Spanned<PartName>>,
    /// `[grants]`: what the launcher is asked to provide.
    pub grants: BTreeMap<InterfaceName, Spanned<Grant>>,
    /// `[limits]`
    pub limits: Limits,
    /// `[build]`
    pub build: Build,
    /// `[sign]`; `None` means a development key.
    pub sign: Option<Sign>,
}

/// `[app]`
#[derive(Debug)]
pub struct App {
    /// `name`, kebab-case.
    pub name: AppName,
    /// `version`, semantic.
    pub version: semver::Version,
    /// `serial`; without it, derived from the version.
    pub serial: Option<u64>,
}

/// One table `[components.NAME]`: a part.
#[derive(Debug)]
pub struct Component {
    /// Where the table's name stands in the recipe.
    pub span: Span,
    /// `path`, relative to the recipe's folder.
    pub path: Spanned<PathBuf>,
    /// `digest`: a pin.
    pub digest: Option<Spanned<Sha256Digest>>,
    /// `with`: import → providing part.
    pub with: BTreeMap<InterfaceName, Spanned<PartName>>,
    /// `allow`: imports beyond the base set that this part may reach.
    pub allow: Vec<Spanned<InterfacePattern>>,
    /// `deny`: imports that are linked to an implementation whose every call fails.
    pub deny: Vec<Spanned<InterfacePattern>>,
}

/// The values of one line of `[grants]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// `"wasi:http/outgoing-handler"` and `"wasi:http/client"`: `host:port`, lower case, sorted, without repetition.
    OutgoingHttp {
        /// `hosts`; a host without port means 443 and 80.
        hosts: Vec<String>,
    },
    /// `"wasi:cli/environment"`: names of variables of the launcher's environment, sorted (commands only).
    Environment {
        /// `keys`
        keys: Vec<String>,
    },
}

/// `[limits]`, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `memory`, in bytes; default 128 MiB.
    pub memory: u64,
    /// `timeout`, if the recipe says so; see [`Limits::timeout_or_default`].
    pub timeout: Option<Duration>,
    /// `body-timeout`; default 30 s.
    pub body_timeout: Duration,
    /// `concurrency`; default 100.
    pub concurrency: u32,
    /// `request-body`, in bytes; default 16 MiB.
    pub request_body: u64,
    /// `request-headers`, in bytes; default 64 KiB.
    pub request_headers: u32,
}

/// `[build]`, defaults filled in.
#[derive(Debug)]
pub struct Build {
    /// `targets`; default: the machine that composes, or x86-64 Linux where it is not a supported target.
    pub targets: Vec<Spanned<String>>,
    /// `cpu`: a named level; default `baseline`.
    pub cpu: Option<Spanned<String>>,
}

/// `[sign]`
#[derive(Debug)]
pub struct Sign {
    /// `keys`, at least one.
    pub keys: Vec<Spanned<KeySource>>,
}

/// Where a signing key is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `env:NAME`: the variable holds the PEM text.
    Env(String),
    /// `file:PATH`, relative to the recipe's folder.
    File(PathBuf),
}

/// A request without a time-out in the recipe gets this one.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

impl Recipe {
    /// Digest of the recipe's bytes.
    pub fn digest(&self) -> Sha256Digest {
        self.source.digest()
    }
}

impl App {
    /// The number that orders the artifacts of this application.
    pub fn serial(&self) -> u64 {
        // The parser refuses a version without serial.
        self.serial.or_else(|| serial_of(&self.version)).unwrap_or(0)
    }
}

/// Packs a version into a number that grows with it: 16 bits major, 24 minor, 24 patch, less one bit so that
/// every serial is a number that JSON and TOML can carry. Prereleases have the serial of their release.
fn serial_of(version: &semver::Version) -> Option<u64> {
    let fits = version.major < 1 << 15 && version.minor < 1 << 24 && version.patch < 1 << 24;
    fits.then_some(version.major << 48 | version.minor << 24 | version.patch)
}

impl Limits {
    /// The time-out: what the recipe says; else 30 s for requests, and none for a command.
    pub fn timeout_or_default(&self, http: bool) -> Option<Duration> {
        self.timeout.or(http.then_some(DEFAULT_TIMEOUT))
    }
}

impl Build {
    /// The targets to compile for, each with the recipe's CPU level.
    pub fn targets(&self) -> Vec<Target> {
        let level = self.level();
        self.targets.iter().filter_map(|target| Target::new(&target.value, level)).collect()
    }

    /// The CPU level.
    pub fn level(&self) -> CpuLevel {
        self.cpu.as_ref().and_then(|cpu| CpuLevel::by_name(&cpu.value)).unwrap_or(CpuLevel::Baseline)
    }
}
