//! The recipe: what a user writes, as types whose existence means "valid".
//!
//! `parse` is the only way to make a [`Recipe`]; it reports every problem of the text in one run. Whether
//! the files exist and the parts fit together is not decided here (see `inputs` and `plan`).
//!
//! Maps are ordered by name, never by place in the file: two recipes that say the same give the same bytes.

mod assembly;
mod components;
mod file;
mod files;
mod grants;
mod input;
mod instances;
mod memory;
mod names;
mod open;
mod parse;
mod pattern;
mod policy;
mod problems;
mod provider;
mod quantity;
mod secret;
mod settings;
mod signing;
mod source;
mod syntax;
mod values;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::{FilesystemGrant, Grant, Reuse};
use wadoo_signing::mount::{Access, MountPath};

use crate::interfaces;
use crate::target::{CpuLevel, Target};

pub use assembly::{Assembly, FunctionName, NotAFunction};
pub use file::{MAX_RECIPE_SIZE, read};
pub(crate) use files::PREOPENS;
pub use input::Input;
pub use memory::MemorySize;
pub use names::{AppName, InterfaceName, InterfacePattern, MAX_NAME, NameError, PartName};
pub use open::Open;
pub use parse::{MAX_LIST, MAX_PARTS, MAX_PATH, parse};
pub use pattern::{PathPattern, PatternError, Step};
pub use policy::Policy;
pub use problems::MAX_REPORTS;
pub use provider::Provider;
pub use source::{MAX_SHOWN_LINE, SourceText, Span, Spanned};
pub use values::{MAX_VALUE, MAX_VALUES, Source, Values};
pub use world::WitWorld;

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
    /// `[grants]`: what the launcher is asked to provide. Only sockets are granted as a package.
    pub grants: BTreeMap<InterfacePattern, Spanned<Grant>>,
    /// `[policy]`: defaults of `allow` and `deny`.
    pub policy: Policy,
    /// `[limits]`
    pub limits: Limits,
    /// `[instances]`; `None` means an instance for each request.
    pub reuse: Option<Spanned<Reuse>>,
    /// `[build]`
    pub build: Build,
    /// `[sign]`; `None` means a development key.
    pub sign: Option<Sign>,
}

/// `[app]`
#[derive(Debug)]
pub struct App {
    /// Where its name stands in the recipe: the place of what is wrong with the whole.
    pub span: Span,
    /// `name`, kebab-case.
    pub name: AppName,
    /// `version`, semantic.
    pub version: semver::Version,
    /// `serial`, which orders the artifacts of this application; without it, derived from the version.
    pub serial: u64,
    /// `wit` and `world`: what the composition must conform to.
    pub world: Option<WitWorld>,
}

/// One table `[components.NAME]`: a part, or those of a pattern.
#[derive(Clone, Debug)]
pub struct Component {
    /// Where the table's name stands in the recipe.
    pub span: Span,
    /// The pattern's part of which this is one file; `inputs` finds them.
    pub pattern: Option<PartName>,
    /// Where it comes from; paths are relative to the recipe's folder.
    pub input: Input,
    /// `digest`: a pin.
    pub digest: Option<Spanned<Sha256Digest>>,
    /// `with`: import → who provides it.
    pub with: BTreeMap<InterfaceName, Spanned<Provider>>,
    /// `allow`: imports beyond the base set that this part may reach.
    pub allow: Vec<Spanned<InterfacePattern>>,
    /// `deny`: imports that are linked to an implementation whose every call fails.
    pub deny: Vec<Spanned<InterfacePattern>>,
    /// `grants`: what the launcher provides to this part alone.
    pub grants: BTreeMap<InterfacePattern, Spanned<Grant>>,
    /// `config`, `env`, `args` and `open`: what is baked into this part, and what of it the device gives.
    pub values: Values,
    /// `files`: folders, relative to the recipe's folder, by where this part sees them.
    pub files: BTreeMap<MountPath, Spanned<PathBuf>>,
    /// What `files` and its own mounts are as a grant, when the folders have been read.
    pub carried: Option<Grant>,
    /// `memory`: the most that each of its linear memories may have.
    pub memory: Option<Spanned<MemorySize>>,
    /// `wit` and `world`: what it must conform to.
    pub world: Option<WitWorld>,
}

impl Component {
    /// Whether the recipe's text has a `with` for it: what `assemble` says is wired too.
    pub(crate) fn has_with(&self) -> bool {
        self.with.keys().any(|name| !name.id().starts_with(interfaces::FROM))
    }

    /// The mounts that its own `grants` have.
    pub(crate) fn own_mounts(&self) -> BTreeMap<MountPath, Access> {
        let mounts = self.grants.values().filter_map(|grant| match &grant.value {
            Grant::Filesystem(FilesystemGrant { mounts, .. }) => Some(mounts.clone()),
            _ => None,
        });
        mounts.flatten().collect()
    }

    /// The entry of `with` for an import; the parser sees to it that no two mean the same.
    pub fn provider_of(&self, import: &str) -> Option<(&InterfaceName, &Spanned<Provider>)> {
        self.with.iter().find(|(name, _)| name.matches(import))
    }
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
    /// `concurrency`; default 32.
    pub concurrency: u32,
    /// `request-body`, in bytes; default 16 MiB.
    pub request_body: u64,
    /// `request-headers`, in bytes; default 64 KiB.
    pub request_headers: u32,
    /// `resources`; default 1024.
    pub resources: u32,
    /// `handles`; default 4096.
    pub handles: u32,
    /// `host-call`, in bytes; default 16 MiB.
    pub host_call: u64,
    /// `fields`, in bytes; default 32 KiB.
    pub fields: u32,
    /// `random`, in bytes; default 1 MiB.
    pub random: u64,
    /// `cpu-quota`, in hundredths of one processor; default: not limited.
    pub cpu_quota: Option<u32>,
}

/// `[build]`, defaults filled in.
#[derive(Debug)]
pub struct Build {
    /// `targets`, each with the level below; default: the machine that composes, or x86-64 Linux where it is not
    /// a supported target.
    pub targets: Vec<Target>,
    /// `cpu`: a named level; default `baseline`.
    pub cpu: CpuLevel,
    /// `source-lines`: whether the lines that the parts were compiled from are attached; default true.
    pub source_lines: bool,
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
    /// The table of a part; an instance that another part has for itself has that of the part that it is an instance of.
    ///
    /// # Panics
    ///
    /// If the recipe has no such part.
    pub fn component(&self, part: &PartName) -> &Component {
        &self.components[part.in_recipe()]
    }

    /// The values of `import` for `part`: its own, or those of `[grants]` if it allows them.
    pub fn grant(&self, part: &PartName, import: &str) -> Option<&Grant> {
        let component = self.components.get(part.in_recipe())?;
        let shared = || named(&self.grants, import).filter(|_| self.allows(part, import));
        own_grant(component, import).or_else(shared)
    }

    /// Whether the part may have the values of `[grants]` for the import: its own `allow` has it, or that of `[policy]`,
    /// and it has no values of its own.
    pub fn allows(&self, part: &PartName, import: &str) -> bool {
        let Some(component) = self.components.get(part.in_recipe()) else { return false };
        own_grant(component, import).is_none()
            && [&component.allow, &self.policy.allow].iter().any(|allow| matching(allow, import).is_some())
    }

    /// The pattern by which the part's own `deny` has the import.
    pub fn denies(&self, part: &PartName, import: &str) -> Option<&InterfacePattern> {
        matching(&self.components.get(part.in_recipe())?.deny, import)
    }

    /// The pattern by which `[policy]` denies the part the import, which its own `allow`, `grants` and `open` do not have.
    pub fn policy_denies(&self, part: &PartName, import: &str) -> Option<&InterfacePattern> {
        let component = self.components.get(part.in_recipe())?;
        matching(&self.policy.deny, import).filter(|_| !allows_itself(component, import))
    }

    /// The pattern by which `[policy]` allows the part the import, which its own `allow`, `grants` and `open` do not have.
    pub fn policy_allows(&self, part: &PartName, import: &str) -> Option<&InterfacePattern> {
        let component = self.components.get(part.in_recipe())?;
        matching(&self.policy.allow, import).filter(|_| !allows_itself(component, import))
    }

    /// Digest of the recipe's bytes.
    pub fn digest(&self) -> Sha256Digest {
        self.source.digest()
    }
}

/// The values that a part has for an import in its own table: its `open`, its `files`, or its `grants`.
fn own_grant<'a>(component: &'a Component, import: &str) -> Option<&'a Grant> {
    let carried = component.carried.as_ref().filter(|_| import.split('@').next() == Some(PREOPENS));
    carried.or_else(|| component.values.open(import)).or_else(|| named(&component.grants, import))
}

/// Whether the part's own table says that it may have the import: then `[policy]` says nothing of it.
fn allows_itself(component: &Component, import: &str) -> bool {
    matching(&component.allow, import).is_some() || own_grant(component, import).is_some()
}

/// The first pattern that matches the import.
fn matching<'a>(patterns: &'a [Spanned<InterfacePattern>], import: &str) -> Option<&'a InterfacePattern> {
    patterns.iter().map(|pattern| &pattern.value).find(|pattern| pattern.matches(import))
}

/// The values for an import. The parser sees to it that no two names mean the same.
fn named<'a>(grants: &'a BTreeMap<InterfacePattern, Spanned<Grant>>, import: &str) -> Option<&'a Grant> {
    grants.iter().find(|(name, _)| name.matches(import)).map(|(_, grant)| &grant.value)
}

/// The greatest serial: the greatest whole number that every JSON reader keeps exact.
pub const MAX_SERIAL: u64 = (1 << 53) - 1;

/// Packs a version into a number that grows with it and that a person can read: 1.4.2 is 1 00004 00002.
///
/// `None` where there is no room (major above 899 999, minor or patch above 99 999), and for a prerelease, which
/// would have the number of its release. Build metadata does not order versions, and is left out.
fn serial_of(version: &semver::Version) -> Option<u64> {
    const DIGITS: u64 = 100_000;
    let fits = version.major < 900_000 && version.minor < DIGITS && version.patch < DIGITS;
    let packed = |v: &semver::Version| (v.major * DIGITS + v.minor) * DIGITS + v.patch;
    (fits && version.pre.is_empty()).then(|| packed(version))
}

impl Limits {
    /// `memory` as a recipe would write it.
    pub fn memory_text(&self) -> String {
        quantity::written(self.memory)
    }

    /// The time-out: what the recipe says; else 30 s for requests, and none for a command.
    pub fn timeout_or_default(&self, http: bool) -> Option<Duration> {
        self.timeout.or(http.then_some(DEFAULT_TIMEOUT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_grow_with_versions() {
        let serial = |text: &str| serial_of(&text.parse().expect("a version"));
        assert_eq!(serial("1.4.2"), Some(10_000_400_002));
        let ordered = ["0.0.0", "0.0.1", "0.1.0", "0.99999.99999", "1.0.0", "1.0.99999", "1.1.0", "2.0.0"];
        assert!(ordered.map(serial).windows(2).all(|pair| pair[0].is_some() && pair[0] < pair[1]));
        assert!(serial("899999.99999.99999").is_some_and(|most| most <= MAX_SERIAL));
        assert_eq!(serial("1.0.0+build.7"), serial("1.0.0"));
        for none in ["900000.0.0", "1.100000.0", "1.0.100000", "1.0.0-rc.1", "18446744073709551615.0.0"] {
            assert_eq!(serial(none), None, "{none}");
        }
    }
}
