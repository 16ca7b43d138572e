//! What wadoo knows about interfaces by name: versions and their tracks, the base set, what can be granted,
//! and which exports start an application.
//!
//! Deliberately absent: types. Two interfaces of one name may still not fit; `plan` compares them.

use semver::Version;
use wadoo_signing::manifest::Trigger;

/// Interfaces that every launcher provides without a grant, in their 0.2 releases.
const BASE_0_2: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The same for 0.3, which has no `wasi:io` and another clock.
const BASE_0_3: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/types",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/types",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// A full interface name, `ns:pkg/iface@version`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullName<'a> {
    /// `ns:pkg/iface`
    pub id: &'a str,
    /// `ns:pkg`
    pub package: &'a str,
    /// `iface`
    pub interface: &'a str,
    /// `None` if the name has none.
    pub version: Option<Version>,
}

impl<'a> FullName<'a> {
    /// `None` for a plain name, which is no interface of a package.
    pub fn new(name: &'a str) -> Option<Self> {
        let (id, version) = match name.split_once('@') {
            Some((id, version)) => (id, Some(Version::parse(version).ok()?)),
            None => (name, None),
        };
        let (package, interface) = id.split_once('/')?;
        package.contains(':').then_some(Self { id, package, interface, version })
    }

    /// A release (not a prerelease) of the track `0.minor`.
    fn is_release_of(&self, minor: u64) -> bool {
        self.version.as_ref().is_some_and(|v| v.major == 0 && v.minor == minor && v.pre.is_empty())
    }
}

/// Names on one track can stand for each other: `a:b/c@0.2.1` and `a:b/c@0.2.7` are both on `a:b/c@0.2`.
/// Prereleases and versions below 0.1 have a track of their own each.
pub fn track(name: &str) -> String {
    let Some((id, version)) = name.split_once('@') else { return name.to_owned() };
    match Version::parse(version) {
        Ok(v) if !v.pre.is_empty() => name.to_owned(),
        Ok(v) if v.major > 0 => format!("{id}@{}", v.major),
        Ok(v) if v.minor > 0 => format!("{id}@0.{}", v.minor),
        _ => name.to_owned(),
    }
}

/// Whether one may be wired to the other, as far as names say.
pub fn compatible(a: &str, b: &str) -> bool {
    wac_types::are_semver_compatible(a, b)
}

/// How an import is called that comes from one part: the part's name, and the interface's.
pub const FROM: &str = "wadoo:from-";

/// Another name for an interface, after a part: `wadoo:part-cart/wasi-http-client@0.3.0` with the prefix `wadoo:part-`.
pub fn renamed(prefix: &str, part: &str, name: &str) -> String {
    let (id, version) = name.split_at(name.find('@').unwrap_or(name.len()));
    format!("{prefix}{part}/{}{version}", id.replace([':', '/'], "-"))
}

/// The version of a name, for ordering; a name without one is lowest.
pub fn version(name: &str) -> Option<Version> {
    name.split_once('@').and_then(|(_, v)| Version::parse(v).ok())
}

/// Whether every launcher provides `name` without a grant.
pub fn in_base_set(name: &str) -> bool {
    FullName::new(name).is_some_and(|full| {
        (full.is_release_of(2) && BASE_0_2.contains(&full.id))
            || (full.is_release_of(3) && BASE_0_3.contains(&full.id))
    })
}

/// Whether `name` would be in the base set or grantable if it had a released version.
pub fn is_prerelease_of_known(name: &str) -> bool {
    FullName::new(name).is_some_and(|full| {
        full.version.as_ref().is_some_and(|v| !v.pre.is_empty())
            && (BASE_0_2.contains(&full.id)
                || BASE_0_3.contains(&full.id)
                || capability_id(full.id).is_some())
    })
}

/// What a launcher can be asked to provide, with values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `wasi:http/outgoing-handler` 0.2 and `wasi:http/client` 0.3
    OutgoingHttp,
    /// `wasi:cli/environment`; also in the base set, where it is empty.
    Environment,
    /// `wasi:filesystem/preopens`; also in the base set, where it is empty.
    Filesystem,
    /// Every interface of `wasi:sockets`, which share their sockets.
    Sockets,
}

fn capability_id(id: &str) -> Option<Capability> {
    match id {
        "wasi:http/outgoing-handler" | "wasi:http/client" => Some(Capability::OutgoingHttp),
        "wasi:cli/environment" => Some(Capability::Environment),
        "wasi:filesystem/preopens" => Some(Capability::Filesystem),
        "wasi:sockets/instance-network"
        | "wasi:sockets/ip-name-lookup"
        | "wasi:sockets/network"
        | "wasi:sockets/tcp"
        | "wasi:sockets/tcp-create-socket"
        | "wasi:sockets/types"
        | "wasi:sockets/udp"
        | "wasi:sockets/udp-create-socket" => Some(Capability::Sockets),
        _ => None,
    }
}

/// What `[grants]` can give for this import in this version.
pub fn capability(name: &str) -> Option<Capability> {
    let full = FullName::new(name)?;
    let released = match full.id {
        "wasi:http/outgoing-handler" => full.is_release_of(2),
        "wasi:http/client" | "wasi:sockets/types" => full.is_release_of(3),
        "wasi:sockets/ip-name-lookup" => full.is_release_of(2) || full.is_release_of(3),
        id if id.starts_with("wasi:sockets/") => full.is_release_of(2),
        _ => full.is_release_of(2) || full.is_release_of(3),
    };
    if released { capability_id(full.id) } else { None }
}

/// Interfaces that language runtimes import whether or not the program uses them.
pub fn is_imported_by_habit(name: &str) -> bool {
    FullName::new(name).is_some_and(|full| {
        full.package == "wasi:sockets" || capability_id(full.id) == Some(Capability::OutgoingHttp)
    })
}

/// The trigger that an export of this name is.
pub fn trigger(name: &str) -> Option<Trigger> {
    let full = FullName::new(name)?;
    match full.id {
        "wasi:http/incoming-handler" if full.is_release_of(2) => Some(Trigger::Http02),
        "wasi:http/handler" if full.is_release_of(3) => Some(Trigger::Http03),
        "wasi:cli/run" if full.is_release_of(2) => Some(Trigger::Command02),
        "wasi:cli/run" if full.is_release_of(3) => Some(Trigger::Command03),
        _ => None,
    }
}

/// Whether the trigger starts a command and not a server.
pub fn is_command(trigger: &Trigger) -> bool {
    matches!(trigger, Trigger::Command02 | Trigger::Command03)
}

/// Fewest edits (insert, delete, replace, swap two neighbours) that turn `a` into `b`, none within another.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut last_but_one = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut fewest = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                fewest = fewest.min(last_but_one[j - 1] + 1);
            }
            row.push(fewest);
        }
        last_but_one = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// The candidate that is most likely meant by `word`: within a third of its length, the first of the nearest.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_follow_semver() {
        assert_eq!(track("a:b/c@0.2.7"), "a:b/c@0.2");
        assert_eq!(track("a:b/c@2.1.0"), "a:b/c@2");
        assert_eq!(track("a:b/c@0.0.3"), "a:b/c@0.0.3");
        assert_eq!(track("a:b/c@0.2.0-draft2"), "a:b/c@0.2.0-draft2");
        assert_eq!(track("plain"), "plain");
    }

    #[test]
    fn tracks_agree_with_the_graph_library() {
        let names = [
            "a:b/c@0.2.0",
            "a:b/c@0.2.9",
            "a:b/c@0.3.0",
            "a:b/c@1.0.0",
            "a:b/c@1.9.2",
            "a:b/c@0.0.1",
            "a:b/c@0.2.0-rc.1",
            "a:b/c",
        ];
        for a in names {
            for b in names {
                assert_eq!(track(a) == track(b), compatible(a, b), "{a} and {b}");
            }
        }
    }

    #[test]
    fn the_base_set_has_releases_only() {
        assert!(in_base_set("wasi:io/streams@0.2.3"));
        assert!(!in_base_set("wasi:io/streams@0.3.0"));
        assert!(in_base_set("wasi:http/types@0.3.2"));
        assert!(!in_base_set("wasi:http/types@0.3.0-rc-2026-01-01"));
        assert!(!in_base_set("wasi:sockets/tcp@0.2.0"));
        assert!(!in_base_set("wasi:http/types"));
    }

    #[test]
    fn near_misses_are_near() {
        assert_eq!(nearest("acme:auth/chekc", ["acme:auth/check", "acme:log/sink"]), Some("acme:auth/check"));
        assert_eq!(nearest("zz", ["acme:auth/check"]), None);
        assert_eq!(nearest("atuh", ["cart", "auth"]), Some("auth"));
    }

    #[test]
    fn a_swap_is_one_edit() {
        assert_eq!(distance("atuh", "auth"), 1);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("abcd", "badc"), 2);
        assert_eq!(distance("ca", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("auth", "auth"), 0);
    }
}
