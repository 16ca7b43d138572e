//! Digests, each a type of its own: a blake3 hash never passes for a sha256.
//!
//! Written `sha256:<64 lower-case hex digits>` everywhere but in the statement's subject, where in-toto wants
//! the digits alone (`bare_hex`).

use std::fmt;
use std::str::FromStr;
use std::thread;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::manifest::PayloadDigests;
use crate::tree;

/// Block of an fs-verity tree.
const BLOCK: usize = 4096;

/// A text that is not the digest that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not `{algorithm}:` and 64 lower-case hex digits")]
pub struct DigestError {
    found: String,
    algorithm: &'static str,
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $algorithm:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The prefix of its written form.
            pub const ALGORITHM: &'static str = $algorithm;

            /// The digest with these bytes.
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Its 64 digits, without prefix.
            pub fn hex(&self) -> String {
                hex(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($algorithm, ":{}"), self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                text.strip_prefix(concat!($algorithm, ":")).and_then(unhex).map(Self).ok_or_else(|| DigestError {
                    found: text.chars().take(80).collect(),
                    algorithm: $algorithm,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8; 32]> for $name {
            fn as_ref(&self) -> &[u8; 32] {
                &self.0
            }
        }
    };
}

digest!(
    /// SHA-256, which every other tool knows.
    Sha256Digest,
    "sha256"
);
digest!(
    /// BLAKE3, a tree hash that several threads can share; the launcher checks it at load.
    Blake3Digest,
    "blake3"
);
digest!(
    /// fs-verity (SHA-256, 4 KiB blocks, no salt), which the kernel can measure.
    FsVerityDigest,
    "fsverity"
);

impl Sha256Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl Blake3Digest {
    /// Below this length another thread saves less than its start costs.
    const PARALLEL_FROM: usize = 2 << 20;

    /// More threads than this wait for memory, and each costs its start.
    const MAX_THREADS: usize = 8;

    /// The digest of `bytes`, on several threads where that pays. The threads end with the call.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() < Self::PARALLEL_FROM {
            return Self(*blake3::hash(bytes).as_bytes());
        }
        let threads = thread::available_parallelism().map_or(1, |cores| cores.get());
        Self(tree::hash(bytes, threads.min(Self::MAX_THREADS)))
    }
}

impl FsVerityDigest {
    /// The digest that the kernel would measure for a file of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut level: Vec<[u8; 32]> = bytes.chunks(BLOCK).map(block_hash).collect();
        while level.len() > 1 {
            level = level.chunks(BLOCK / 32).map(|hashes| block_hash(hashes.as_flattened())).collect();
        }
        // An empty file has a root of zeros.
        let root = level.first().copied().unwrap_or_default();
        let mut descriptor = [0; 256];
        descriptor[0] = 1; // version
        descriptor[1] = 1; // SHA-256
        descriptor[2] = BLOCK.trailing_zeros() as u8;
        descriptor[8..16].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        descriptor[16..48].copy_from_slice(&root);
        Self(Sha256::digest(descriptor).into())
    }
}

/// The hash of one block, padded with zeros.
fn block_hash(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    hasher.update(&[0; BLOCK][bytes.len()..]);
    hasher.finalize().into()
}

impl PayloadDigests {
    /// All three digests of a payload, on two threads: two of them are SHA-256 of all of it.
    pub fn of(payload: &[u8]) -> Self {
        thread::scope(|scope| {
            let fsverity = thread::Builder::new().spawn_scoped(scope, || FsVerityDigest::of(payload));
            Self {
                sha256: Sha256Digest::of(payload),
                blake3: Blake3Digest::of(payload),
                fsverity: match fsverity {
                    Ok(fsverity) => fsverity.join().expect("a digest does not panic"),
                    // No thread is to be had.
                    Err(_) => FsVerityDigest::of(payload),
                },
            }
        })
    }

    /// Compares all three with what was signed.
    ///
    /// # Errors
    ///
    /// The name of the first that differs.
    pub fn check(&self, signed: &Self) -> Result<(), &'static str> {
        // Exhaustive: a digest that is added must be compared.
        let Self { blake3, fsverity, sha256 } = self;
        if *sha256 != signed.sha256 {
            return Err("sha256");
        }
        if *blake3 != signed.blake3 {
            return Err("blake3");
        }
        if *fsverity != signed.fsverity { Err("fs-verity") } else { Ok(()) }
    }
}

/// Lower-case hex digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    // Formatting each byte would be a twelfth of a start of the launcher.
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of exactly 64 lower-case hex digits.
pub(crate) fn unhex(digits: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = digits.as_bytes().try_into().ok()?;
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// For `serde(with = …)`: the digits without prefix, as in-toto's digest sets have them.
pub mod bare_hex {
    use super::{Deserialize, Deserializer, Serializer, hex, unhex};

    /// Writes the digits.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(digest: &impl AsRef<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(digest.as_ref()))
    }

    /// Reads the digits.
    ///
    /// # Errors
    ///
    /// The text is not 64 lower-case hex digits.
    pub fn deserialize<'de, T: From<[u8; 32]>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text).map(T::from).ok_or_else(|| serde::de::Error::custom("not 64 lower-case hex digits"))
    }
}
