//! Ed25519 keys as PEM: PKCS#8 v1 for private ones (OpenSSL 3.0 cannot read v2; both are read), SPKI for
//! public ones. A key's id is the sha256 of its SPKI DER.
//!
//! Invariant: a `PublicKey` is never weak. A small-order key would "verify" any message.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
    spki::der::pem::LineEnding,
};
use ed25519_dalek::{Signature, Signer, VerifyingKey};

use crate::digest::{Sha256Digest, hex, unhex};
use crate::regular;
use crate::report::{Exit, Report};

/// Greatest length of a PEM file, in bytes. An Ed25519 key has about 120.
pub const MAX_PEM_SIZE: u64 = 16 * 1024;
/// Length of a signature, in bytes.
pub const SIGNATURE_SIZE: usize = 64;

/// A private key.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// A public key that is not weak.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// The name of a key: sha256 of its SPKI DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

/// Why a text is not a usable key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has no PEM block, or one that cannot be decoded.
    #[error("it is not a PEM file")]
    NotPem,
    /// It is a PEM block of another kind.
    #[error("it holds a `{found}`, expected a `{expected}`")]
    Kind {
        /// The label of the block.
        found: String,
        /// The label that was expected.
        expected: &'static str,
    },
    /// It is a key of another algorithm, or damaged.
    #[error("it is not an Ed25519 key")]
    Algorithm,
    /// It is a public key that verifies any message.
    #[error("it is a weak key, which verifies any message")]
    Weak,
    /// The random number generator failed.
    #[error("the system gives no random numbers")]
    Random,
}

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

impl SigningKey {
    /// A new key from the system's random numbers.
    ///
    /// # Errors
    ///
    /// The system gives none.
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| KeyError::Random)?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&secret)))
    }

    /// Reads a PKCS#8 PEM text, v1 or v2.
    ///
    /// # Errors
    ///
    /// It is not a private Ed25519 key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        expect_label(text, PRIVATE)?;
        ed25519_dalek::SigningKey::from_pkcs8_pem(text.trim()).map(Self).map_err(|_| KeyError::Algorithm)
    }

    /// Writes it as PKCS#8 v1 PEM.
    ///
    /// # Errors
    ///
    /// The encoder refuses, which it does not for 32 bytes.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        bytes.to_pkcs8_pem(LineEnding::LF).map(|text| text.to_string()).map_err(|_| KeyError::Algorithm)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`; the same key and message give the same signature.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_SIZE] {
        self.0.sign(message).to_bytes()
    }
}

impl PublicKey {
    /// Reads an SPKI PEM text.
    ///
    /// # Errors
    ///
    /// It is not a public Ed25519 key, or a weak one.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        expect_label(text, PUBLIC)?;
        let key = VerifyingKey::from_public_key_pem(text.trim()).map_err(|_| KeyError::Algorithm)?;
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(Self(key)) }
    }

    /// Writes it as SPKI PEM.
    ///
    /// # Errors
    ///
    /// The encoder refuses, which it does not for 32 bytes.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|_| KeyError::Algorithm)
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        // The SPKI of an Ed25519 key is this fixed prefix and the 32 bytes (RFC 8410, section 4).
        const SPKI_PREFIX: [u8; 12] =
            [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let mut spki = [0; 44];
        spki[..12].copy_from_slice(&SPKI_PREFIX);
        spki[12..].copy_from_slice(self.0.as_bytes());
        KeyId(*Sha256Digest::of(&spki).as_bytes())
    }

    /// Whether `signature` is this key's signature of `message`, by the strict rules (RFC 8032 and no
    /// small-order components).
    pub fn verifies(&self, message: &[u8], signature: &[u8; SIGNATURE_SIZE]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl KeyId {
    /// The id with these 64 lower-case hex digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        unhex(digits).map(Self)
    }

    /// Enough of it to recognise: 8 digits and an ellipsis.
    pub fn short(&self) -> String {
        format!("{}…", hex(&self.0[..4]))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id().short())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id().short())
    }
}

/// The label of the text's first PEM block must be `expected`.
fn expect_label(text: &str, expected: &'static str) -> Result<(), KeyError> {
    let label = text
        .trim_start()
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.split_once("-----"))
        .map(|(label, _)| label)
        .ok_or(KeyError::NotPem)?;
    if label == expected {
        return Ok(());
    }
    Err(KeyError::Kind { found: label.chars().take(40).collect(), expected })
}

impl KeyError {
    /// What a user is told of a key that came from `source`, a path or `env:NAME`.
    pub fn report(&self, source: &str) -> Report {
        let report =
            Report::new(Exit::CouldNot, format!("cannot use the key `{source}`")).because(self.to_string());
        match self {
            Self::Kind { found, .. } if found == PUBLIC => report
                .hint("this is the public half; name the private one, which `wadoo key new` wrote beside it"),
            Self::Kind { found, .. } if found == PRIVATE => report
                .hint(format!("keep this file secret; its public half: `openssl pkey -in {source} -pubout`")),
            Self::Kind { found, .. } if found == "ENCRYPTED PRIVATE KEY" => {
                report.hint(format!("decrypt it first: `openssl pkey -in {source} -out signing.pem`"))
            }
            Self::Random => report,
            _ => report.hint("make a key: `wadoo key new signing.pem`"),
        }
    }
}

/// Reads a private key's file.
///
/// # Errors
///
/// The file cannot be read, is too long, or is no private Ed25519 key.
pub fn read_private(path: &Path) -> Result<SigningKey, Report> {
    SigningKey::from_pem(&read_text(path)?).map_err(|error| error.report(&path.display().to_string()))
}

/// Reads a public key's file.
///
/// # Errors
///
/// The file cannot be read, is too long, or is no public Ed25519 key.
pub fn read_public(path: &Path) -> Result<PublicKey, Report> {
    PublicKey::from_pem(&read_text(path)?).map_err(|error| error.report(&path.display().to_string()))
}

fn read_text(path: &Path) -> Result<String, Report> {
    let failed = |because: String| {
        Report::new(Exit::CouldNot, format!("cannot read the key `{}`", path.display())).because(because)
    };
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            failed("it does not exist".to_owned()).hint("make a key: `wadoo key new signing.pem`")
        }
        io::ErrorKind::PermissionDenied => failed("this user may not read it".to_owned()),
        io::ErrorKind::IsADirectory => failed("it is a folder".to_owned()),
        io::ErrorKind::InvalidData => failed("it is not text".to_owned()),
        _ => failed(error.to_string()),
    };
    let mut text = String::new();
    let (file, _) = regular::open(path).map_err(told)?;
    let length = file.take(MAX_PEM_SIZE + 1).read_to_string(&mut text).map_err(told)?;
    if length as u64 > MAX_PEM_SIZE {
        return Err(failed(format!("it is longer than {MAX_PEM_SIZE} bytes, the limit for a key")));
    }
    Ok(text)
}
