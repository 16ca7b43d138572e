//! The statement: a manifest and its payload's digests as an in-toto Statement v1, in one canonical encoding.
//!
//! The identity of an artifact is the sha256 of these bytes.
//!
//! Invariant: `Statement::decode(bytes)` succeeds only if `Statement::encode` gives `bytes` back, so every
//! bit of the statement has a meaning and every meaning has one spelling.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::json::{self, JsonError};
use crate::manifest::{Manifest, PREDICATE_TYPE, PayloadDigests, STATEMENT_TYPE};

/// Greatest length of a statement, in bytes.
pub const MAX_STATEMENT_SIZE: usize = 1 << 20;
/// Name of the one subject.
const SUBJECT: &str = "payload";

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The description.
    pub manifest: Manifest,
    /// What it describes.
    pub payload: PayloadDigests,
}

/// Why bytes are not a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Too long to be read.
    #[error("the statement has {found} bytes, more than the limit of {MAX_STATEMENT_SIZE}")]
    Size {
        /// Its length.
        found: usize,
    },
    /// It is not JSON, is nested too deeply, or has a key twice.
    #[error("the statement cannot be read: {0}")]
    Json(#[from] JsonError),
    /// JSON of another shape.
    #[error("the statement is not an in-toto statement")]
    Shape,
    /// A statement of another kind, signed by the same keys.
    #[error("it is signed as `{found}`, expected `{expected}`")]
    Kind {
        /// The type that it states.
        found: String,
        /// The type that a manifest has.
        expected: &'static str,
    },
    /// The manifest has a field, or a value, that this version does not know.
    #[error("the manifest says what this version does not know: {0}")]
    Unknown(String),
    /// The subject is not one payload with three digests.
    #[error("the statement does not name one payload with its three digests")]
    Subject,
    /// The bytes are not the canonical encoding of what they say.
    #[error("the statement is not in its canonical form")]
    NotCanonical,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<S, P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: [Subject<S>; 1],
    #[serde(rename = "predicateType")]
    predicate_kind: String,
    predicate: P,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject<S> {
    name: String,
    digest: S,
}

/// Only the types, to tell another kind of statement from a damaged one.
#[derive(Deserialize)]
struct Kinds {
    #[serde(rename = "_type", default)]
    kind: String,
    #[serde(rename = "predicateType", default)]
    predicate_kind: String,
}

impl Statement {
    /// The canonical bytes: no white space, fixed order of keys.
    ///
    /// # Panics
    ///
    /// Never: a manifest has only strings as keys, and no number that JSON lacks.
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            kind: STATEMENT_TYPE.to_owned(),
            subject: [Subject { name: SUBJECT.to_owned(), digest: &self.payload }],
            predicate_kind: PREDICATE_TYPE.to_owned(),
            predicate: &self.manifest,
        };
        serde_json::to_vec(&wire).expect("a manifest has a JSON form")
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    ///
    /// See [`StatementError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > MAX_STATEMENT_SIZE {
            return Err(StatementError::Size { found: bytes.len() });
        }
        match Self::parse(bytes) {
            Some(statement) if statement.encode() == bytes => Ok(statement),
            _ => Err(Self::fault(bytes)),
        }
    }

    /// What `bytes` say, if they say it as a statement does; in its one canonical form or not.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let wire: Wire<PayloadDigests, Manifest> = serde_json::from_slice(bytes).ok()?;
        let [Subject { digest: payload, .. }] = wire.subject;
        let known = wire.kind == STATEMENT_TYPE && wire.predicate_kind == PREDICATE_TYPE;
        known.then_some(Self { manifest: wire.predicate, payload })
    }

    /// Why `bytes`, which are not the encoding of a statement, are not.
    fn fault(bytes: &[u8]) -> StatementError {
        let find = || -> Result<(), StatementError> {
            json::check(bytes)?;
            let kinds: Kinds = serde_json::from_slice(bytes).map_err(|_| StatementError::Shape)?;
            for (found, expected) in [(kinds.kind, STATEMENT_TYPE), (kinds.predicate_kind, PREDICATE_TYPE)] {
                if found != expected {
                    return Err(StatementError::Kind { found: found.chars().take(80).collect(), expected });
                }
            }
            // The manifest by itself, so that what it says and we do not know is told from everything else.
            let wire: Wire<serde_json::Value, serde_json::Value> =
                serde_json::from_slice(bytes).map_err(|_| StatementError::Shape)?;
            let [subject] = wire.subject;
            PayloadDigests::deserialize(subject.digest).map_err(|_| StatementError::Subject)?;
            Manifest::deserialize(wire.predicate).map_err(|error| unknown(&error))?;
            Ok(())
        };
        find().err().unwrap_or(StatementError::NotCanonical)
    }

    /// The identity of the artifact whose statement has these bytes.
    pub fn identity(bytes: &[u8]) -> Sha256Digest {
        Sha256Digest::of(bytes)
    }
}

/// Names what a manifest says too much or too little; the rest of serde's words are for programmers.
fn unknown(error: &serde_json::Error) -> StatementError {
    let text = error.to_string();
    let kind =
        ["unknown field", "unknown variant", "missing field"].into_iter().find(|kind| text.starts_with(kind));
    StatementError::Unknown(match (kind, text.split('`').nth(1)) {
        (Some(kind), Some(name)) => format!("{kind} `{name}`"),
        _ => "a value of another type".to_owned(),
    })
}
