//! The DSSE envelope: a statement and its signatures, in one canonical encoding.
//!
//! What is signed is the pre-authentication encoding (PAE) of the payload type and the statement's bytes, with
//! plain Ed25519. The key ids in an envelope are hints: nobody authenticates them. A signature counts only
//! under the trusted key that it names and that verifies it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::key::{KeyId, PublicKey, SIGNATURE_SIZE, SigningKey};
use crate::statement::MAX_STATEMENT_SIZE;

/// Greatest number of signatures.
pub const MAX_SIGNATURES: usize = 16;
/// Greatest length of an envelope, in bytes: a statement in base64 and its signatures.
pub const MAX_ENVELOPE_SIZE: u64 = (MAX_STATEMENT_SIZE as u64) * 4 / 3 + 8 * 1024;
/// `payloadType` of every envelope of ours. Compared exactly.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A statement with signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    statement: Vec<u8>,
    signatures: Vec<Signature>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key that claims to have made it.
    pub key: KeyId,
    /// The Ed25519 signature of the PAE.
    pub bytes: [u8; SIGNATURE_SIZE],
}

/// Why bytes are not an envelope, or its signatures do not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too long to be read.
    #[error("the envelope has {found} bytes, more than the limit of {MAX_ENVELOPE_SIZE}")]
    Size {
        /// Its length.
        found: u64,
    },
    /// It is not JSON, is nested too deeply, or has a key twice.
    #[error("the envelope cannot be read: {0}")]
    Json(#[from] JsonError),
    /// JSON of another shape.
    #[error("the envelope cannot be read: it is not a DSSE envelope")]
    Shape,
    /// A field is not what DSSE says.
    #[error("the envelope's {0}")]
    Field(&'static str),
    /// Signed as something else. As what is not said: nobody has verified it yet.
    #[error("the envelope's payload type is not `{PAYLOAD_TYPE}`")]
    PayloadType,
    /// None, or more than [`MAX_SIGNATURES`].
    #[error("the envelope has {found} signatures, expected 1 to {MAX_SIGNATURES}")]
    Count {
        /// How many.
        found: usize,
    },
    /// Two signatures under one key, or out of order.
    #[error("the envelope's signatures are not sorted by key id, each key once")]
    Order,
    /// The bytes are not the canonical encoding of what they say.
    #[error("the envelope is not in its canonical form")]
    NotCanonical,
    /// A key that is already there.
    #[error("key {} has signed it already", .0.short())]
    AlreadySigned(KeyId),
    /// A signature names a trusted key and does not hold.
    #[error("the signature by key {} is wrong", .0.short())]
    Wrong(KeyId),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    keyid: String,
    sig: String,
}

/// What is signed: `DSSEv1 SP len(type) SP type SP len(body) SP body` (DSSE, protocol section).
pub fn pae(statement: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), statement.len()).into_bytes();
    bytes.extend_from_slice(statement);
    bytes
}

impl Envelope {
    /// Signs a statement with every key.
    ///
    /// # Errors
    ///
    /// No key, too many, or one twice.
    pub fn sign(statement: Vec<u8>, keys: &[SigningKey]) -> Result<Self, EnvelopeError> {
        let mut envelope = Self { statement, signatures: Vec::new() };
        for key in keys {
            envelope.add_signature(key)?;
        }
        if envelope.signatures.is_empty() { Err(EnvelopeError::Count { found: 0 }) } else { Ok(envelope) }
    }

    /// Adds one key's signature.
    ///
    /// # Errors
    ///
    /// The key has signed already, or there is no room for another.
    pub fn add_signature(&mut self, key: &SigningKey) -> Result<(), EnvelopeError> {
        let id = key.public().id();
        let place = match self.signatures.binary_search_by_key(&id, |signature| signature.key) {
            Ok(_) => return Err(EnvelopeError::AlreadySigned(id)),
            Err(place) => place,
        };
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(EnvelopeError::Count { found: MAX_SIGNATURES + 1 });
        }
        self.signatures.insert(place, Signature { key: id, bytes: key.sign(&pae(&self.statement)) });
        Ok(())
    }

    /// The statement's bytes, whatever they are worth.
    pub fn statement(&self) -> &[u8] {
        &self.statement
    }

    /// The signatures, sorted by key id.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The canonical bytes: no white space, fixed order of keys.
    ///
    /// # Panics
    ///
    /// Never: an envelope is made of strings.
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            payload: BASE64.encode(&self.statement),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: self
                .signatures
                .iter()
                .map(|one| WireSignature { keyid: one.key.to_string(), sig: BASE64.encode(one.bytes) })
                .collect(),
        };
        serde_json::to_vec(&wire).expect("strings have a JSON form")
    }

    /// Reads canonical bytes. No signature is checked.
    ///
    /// # Errors
    ///
    /// They are not the canonical encoding of an envelope.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() as u64 > MAX_ENVELOPE_SIZE {
            return Err(EnvelopeError::Size { found: bytes.len() as u64 });
        }
        let Ok(wire) = serde_json::from_slice::<Wire>(bytes) else {
            // In our own words: serde's would repeat what nobody has signed.
            json::check(bytes)?;
            return Err(EnvelopeError::Shape);
        };
        if wire.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType);
        }
        if wire.signatures.is_empty() || wire.signatures.len() > MAX_SIGNATURES {
            return Err(EnvelopeError::Count { found: wire.signatures.len() });
        }
        let statement =
            BASE64.decode(&wire.payload).map_err(|_| EnvelopeError::Field("payload is not base64"))?;
        let signatures = wire.signatures.iter().map(decode_signature).collect::<Result<Vec<_>, _>>()?;
        if !signatures.is_sorted_by(|a, b| a.key < b.key) {
            return Err(EnvelopeError::Order);
        }
        let envelope = Self { statement, signatures };
        if envelope.encode() == bytes { Ok(envelope) } else { Err(EnvelopeError::NotCanonical) }
    }

    /// The trusted keys that signed. Signatures by unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// A signature names a trusted key and does not hold.
    pub fn verify<'a>(
        &self,
        trusted: impl Fn(&KeyId) -> Option<&'a PublicKey>,
    ) -> Result<BTreeSet<KeyId>, EnvelopeError> {
        let message = pae(&self.statement);
        let mut signers = BTreeSet::new();
        for signature in &self.signatures {
            let Some(key) = trusted(&signature.key) else { continue };
            if !key.verifies(&message, &signature.bytes) {
                return Err(EnvelopeError::Wrong(signature.key));
            }
            signers.insert(signature.key);
        }
        Ok(signers)
    }
}

fn decode_signature(wire: &WireSignature) -> Result<Signature, EnvelopeError> {
    let key =
        KeyId::from_hex(&wire.keyid).ok_or(EnvelopeError::Field("key id is not 64 lower-case hex digits"))?;
    let bytes = BASE64
        .decode(&wire.sig)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(EnvelopeError::Field("signature is not 64 bytes in base64"))?;
    Ok(Signature { key, bytes })
}
