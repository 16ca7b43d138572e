//! Folders that an application expects: where it sees them, and what it may do there.
//!
//! Deliberately absent: which folder of the device that is. Only the operator knows, and says so at the start.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longest path of a mount.
pub const MAX_MOUNT_PATH: usize = 255;

/// Mounts of one application.
pub const MAX_MOUNTS: usize = 64;

/// A text that is not the path of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected an absolute path in its shortest form, like `/data`")]
pub struct MountPathError;

/// Where the application sees a folder: `/`, or `/a/b` without `.`, `..`, empty names, `=` and control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountPath(String);

impl MountPath {
    /// The path as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MountPath {
    type Err = MountPathError;

    fn from_str(text: &str) -> Result<Self, MountPathError> {
        let rest = text.strip_prefix('/').ok_or(MountPathError)?;
        // `=` parts the path from the folder on the launcher's command line.
        let bad = |name: &str| {
            matches!(name, "" | "." | "..") || name.contains(|c: char| c == '=' || c.is_control())
        };
        if text.len() > MAX_MOUNT_PATH || !rest.is_empty() && rest.split('/').any(bad) {
            return Err(MountPathError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for MountPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MountPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What the application may do in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read files, list folders.
    Read,
    /// Create, change and delete as well.
    ReadWrite,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::ReadWrite => "read-write",
        })
    }
}

impl FromStr for Access {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Read, Self::ReadWrite].into_iter().find(|access| access.to_string() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_path_has_one_spelling() {
        for good in ["/", "/data", "/var/lib/shop", "/with space", "/.hidden", "/a..b"] {
            assert_eq!(good.parse::<MountPath>().map(|path| path.to_string()), Ok(good.to_owned()));
        }
        let long = format!("/{}", "a".repeat(MAX_MOUNT_PATH));
        for bad in [
            "", "data", "./data", "/data/", "//data", "/a//b", "/a/../b", "/..", "/.", "/a=b", "/a\nb", &long,
        ] {
            assert_eq!(bad.parse::<MountPath>(), Err(MountPathError), "{bad}");
        }
    }
}
