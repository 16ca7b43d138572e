//! The folders of this device that an operator gives an application, and where it sees them.
//!
//! Owns how a mount is written and which of those that are given serves which that is declared. Deliberately absent:
//! opening them (see `reach`).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::str::FromStr;

use wadoo_signing::manifest::{FilesystemGrant, Grant, Manifest};
use wadoo_signing::mount::{Access, MountPath, MountPathError};

/// A folder of this device, as the operator gives it: `/data=/var/lib/shop` or `/data=/var/lib/shop:ro`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Nothing is written there, whatever the manifest declares.
    pub read_only: bool,
}

/// Where a folder is seen: `/data` by every part that declares it, `cart:/data` by one that has folders of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountPoint {
    /// The one part.
    pub part: Option<String>,
    /// The path that it is seen at.
    pub path: MountPath,
}

impl fmt::Display for MountPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Some(part) => write!(f, "{part}:{}", self.path),
            None => self.path.fmt(f),
        }
    }
}

impl FromStr for MountPoint {
    type Err = MountPathError;

    fn from_str(text: &str) -> Result<Self, MountPathError> {
        match text.split_once(':') {
            // A part may be called `cart/log`; a path begins with a slash.
            Some((part, path)) if !part.starts_with('/') && !part.is_empty() => {
                Ok(Self { part: Some(part.to_owned()), path: path.parse()? })
            }
            _ => Ok(Self { part: None, path: text.parse()? }),
        }
    }
}

/// The folders that the operator gives, by where the application sees them.
pub type Mounts = BTreeMap<MountPoint, Folder>;

/// How a mount is written on a command line.
pub const MOUNT_SYNTAX: &str = "a mount, `/data=/srv/shop` or `/data=/srv/shop:ro` for example";

/// Reads `/data=/var/lib/shop`, `/data=/var/lib/shop:ro` or `cart:/data=/var/lib/shop`. `None` for anything else: `:rw`,
/// too, since only the manifest decides about writing. A folder whose own name ends so is written with a slash behind it.
pub fn mount_of(text: &OsStr) -> Option<(MountPoint, Folder)> {
    let bytes = text.as_bytes();
    let at = bytes.iter().position(|&byte| byte == b'=')?;
    let seen = str::from_utf8(&bytes[..at]).ok()?.parse().ok()?;
    let folder = &bytes[at + 1..];
    let path = folder.strip_suffix(b":ro").unwrap_or(folder);
    if path.is_empty() || path.ends_with(b":rw") {
        return None;
    }
    let read_only = path.len() < folder.len();
    Some((seen, Folder { path: OsString::from_vec(path.to_vec()).into(), read_only }))
}

/// A folder for each mount that a manifest declares.
#[derive(Debug)]
pub(crate) struct Matched<'a> {
    /// By the part that has folders of its own; `None` is for all others.
    pub(crate) folders: BTreeMap<Option<&'a str>, Vec<(&'a MountPath, Access, &'a Folder)>>,
    /// Declared, and no folder is given.
    pub(crate) missing: Vec<(MountPoint, Access)>,
    /// Given, and not declared.
    pub(crate) surplus: Vec<MountPoint>,
}

impl<'a> Matched<'a> {
    /// Finds the folder of each part for each mount: the part's, or else the one for everybody who declares it.
    pub(crate) fn new(manifest: &'a Manifest, mounts: &'a Mounts) -> Self {
        let mut matched = Self { folders: BTreeMap::new(), missing: Vec::new(), surplus: Vec::new() };
        let mut used = BTreeSet::new();
        let parts = manifest.parts_with_own_imports().into_iter().map(Some);
        for part in std::iter::once(None).chain(parts) {
            let folders: &mut Vec<_> = matched.folders.entry(part).or_default();
            for (path, access) in declared(manifest, part) {
                let of =
                    |part: Option<&str>| MountPoint { part: part.map(str::to_owned), path: path.clone() };
                let given = [of(part), of(None)].into_iter().find(|point| mounts.contains_key(point));
                match given.and_then(|point| mounts.get_key_value(&point)) {
                    Some((point, folder)) => {
                        used.insert(point);
                        folders.push((path, access, folder));
                    }
                    None => matched.missing.push((of(part), access)),
                }
            }
        }
        matched.surplus = mounts.keys().filter(|point| !used.contains(point)).cloned().collect();
        matched
    }
}

/// Every version of the interface sees the same folders, which the linker has checked.
fn declared<'a>(manifest: &'a Manifest, part: Option<&'a str>) -> BTreeMap<&'a MountPath, Access> {
    let grants = manifest.grants_of(part).filter_map(|(_, grant)| match grant {
        Grant::Filesystem(FilesystemGrant { mounts, .. }) => Some(mounts),
        _ => None,
    });
    grants.flatten().map(|(seen, access)| (seen, *access)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_where_it_is_seen_and_where_it_is() {
        let folder = |path: &str, read_only| Some(Folder { path: path.into(), read_only });
        for (text, seen, expected) in [
            ("/data=/srv/shop", "/data", folder("/srv/shop", false)),
            ("/data=/srv/shop:ro", "/data", folder("/srv/shop", true)),
            ("/=relative/folder", "/", folder("relative/folder", false)),
            ("/data=/a=b:c", "/data", folder("/a=b:c", false)),
            ("/data=/srv/x:ro/", "/data", folder("/srv/x:ro/", false)),
            ("cart:/data=/srv/cart:ro", "cart:/data", folder("/srv/cart", true)),
            ("cart/log:/data=/srv/log", "cart/log:/data", folder("/srv/log", false)),
            ("/a:/b=/srv/x", "/a:/b", folder("/srv/x", false)),
        ] {
            let found = mount_of(OsStr::new(text));
            assert_eq!(found, Some((seen.parse().unwrap(), expected.unwrap())), "{text}");
            assert_eq!(found.unwrap().0.to_string(), seen);
        }
        for bad in [
            "",
            "/data",
            "/data=",
            "/data=:ro",
            "/data=/x:rw",
            "/data=/x:rw:ro",
            "data=/x",
            "/data/=/x",
            "=/x",
            ":/data=/x",
            "cart:=/x",
            "cart:data=/x",
        ] {
            assert_eq!(mount_of(OsStr::new(bad)), None, "{bad}");
        }
    }
}
