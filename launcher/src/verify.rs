//! Verification: from an opened artifact to one whose every byte a trusted key stands for.
//!
//! Two steps, so that the caller can build its engine on another thread during the second: `authenticate`
//! checks signature and statement, which is cheap; `hash` reads the payload.
//!
//! Invariants: only `hash` makes a [`VerifiedArtifact`], and the loader takes nothing else. An attachment's bytes are
//! given out by [`SignedAttachment::read`] alone, which compares them with the signed digest.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wadoo_signing::digest::{Blake3Digest, Sha256Digest};
use wadoo_signing::envelope::{Envelope, EnvelopeError};
use wadoo_signing::files::FILES;
use wadoo_signing::key::KeyId;
use wadoo_signing::lines::SOURCE_LINES;
use wadoo_signing::manifest::{AttachmentInfo, Manifest, PayloadDigests};
use wadoo_signing::policy::Policy;
use wadoo_signing::report::{Exit, Report, shell, system_words};
use wadoo_signing::statement::{Statement, StatementError};
use wadoo_signing::trust::TrustStore;

use crate::open::{OpenAttachment, UnverifiedArtifact};
use crate::place::{Payload, Why};

/// An artifact whose statement a trusted key signed. Its payload is not hashed yet.
#[derive(Debug)]
pub struct AuthenticArtifact {
    path: PathBuf,
    statement: Statement,
    identity: Sha256Digest,
    signers: BTreeSet<KeyId>,
    file: Arc<File>,
    payload: u64,
    why: Why,
    attachments: Vec<SignedAttachment>,
}

/// An artifact whose every byte is signed; of its source lines, which only a trap needs, that is found out when they are
/// read. The only thing that the loader takes.
#[derive(Debug)]
pub struct VerifiedArtifact {
    path: PathBuf,
    pub(crate) payload: Payload,
    statement: Statement,
    identity: Sha256Digest,
    signers: BTreeSet<KeyId>,
    lines: Option<SignedAttachment>,
    trees: Vec<(Sha256Digest, Vec<u8>)>,
}

/// An attachment whose digest a trusted key signed, in an open file.
#[derive(Clone, Debug)]
pub struct SignedAttachment {
    path: PathBuf,
    file: Arc<File>,
    offset: u64,
    info: AttachmentInfo,
}

/// Why an artifact is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The envelope cannot be read, or a signature does not hold.
    #[error("refusing to run `{}`: {source}", path.display())]
    Envelope {
        /// The artifact.
        path: PathBuf,
        /// What is wrong.
        source: EnvelopeError,
    },
    /// The statement is not a manifest of ours.
    #[error("refusing to run `{}`: {source}", path.display())]
    Statement {
        /// The artifact.
        path: PathBuf,
        /// What is wrong.
        source: StatementError,
    },
    /// No trusted key signed it.
    #[error("refusing to run `{}`: signed by key {}, which is not in the trust store `{}`", path.display(), signer.short(), store.display())]
    Unknown {
        /// The artifact.
        path: PathBuf,
        /// The first key that signed.
        signer: KeyId,
        /// The trust store.
        store: PathBuf,
    },
    /// A development artifact where none may run, or a release artifact signed by a development key.
    #[error("refusing to run `{}`: {because}", path.display())]
    Development {
        /// The artifact.
        path: PathBuf,
        /// Which of the two.
        because: &'static str,
    },
    /// Fewer trusted keys signed than the policy demands.
    #[error("refusing to run `{}`: trusted keys that signed it: {found}, the policy demands {demanded}", path.display())]
    Threshold {
        /// The artifact.
        path: PathBuf,
        /// How many did.
        found: usize,
        /// How many must.
        demanded: usize,
    },
    /// It is too old.
    #[error("refusing to run `{}`: it expired {ago} s ago", path.display())]
    Expired {
        /// The artifact.
        path: PathBuf,
        /// Seconds since then.
        ago: u64,
    },
    /// The file does not hold what the manifest describes.
    #[error("refusing to run `{}`: its {what} not what was signed", path.display())]
    Differs {
        /// The artifact.
        path: PathBuf,
        /// What differs, with its verb.
        what: String,
    },
    /// Two attachments say which line is whose, and nothing says which of them counts.
    #[error("refusing to run `{}`: it has more than one table of source lines", path.display())]
    SourceLinesTwice {
        /// The artifact.
        path: PathBuf,
    },
    /// The copy that is executed could not be made.
    #[error("cannot copy the payload of `{}` into memory of its own", path.display())]
    Copy {
        /// The artifact.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Reading failed.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The artifact.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl UnverifiedArtifact {
    /// Checks the signatures, then the statement, against trust and policy. No byte of the payload is read.
    ///
    /// # Errors
    ///
    /// See [`VerifyError`].
    pub fn authenticate(
        self,
        store: &TrustStore,
        policy: &Policy,
        now: SystemTime,
    ) -> Result<AuthenticArtifact, VerifyError> {
        let path = self.path;
        let wrong = |source| VerifyError::Envelope { path: path.clone(), source };
        let envelope = Envelope::decode(&self.envelope).map_err(wrong)?;
        let known = envelope.verify(|id| store.key(id)).map_err(wrong)?;
        if known.is_empty() {
            let signer = envelope.signatures()[0].key;
            return Err(VerifyError::Unknown { path, signer, store: store.place().to_owned() });
        }
        // Only now: the bytes are signed by a key that we know.
        let statement = Statement::decode(envelope.statement())
            .map_err(|source| VerifyError::Statement { path: path.clone(), source })?;
        let signers = accepted(&path, &statement.manifest, &known, store, policy)?;
        check_expiry(&path, &statement.manifest, now)?;
        let attachments = check_framing(&path, &statement.manifest, self.payload, self.attachments)?;
        if attachments.iter().filter(|one| one.info.kind == SOURCE_LINES).count() > 1 {
            return Err(VerifyError::SourceLinesTwice { path });
        }
        Ok(AuthenticArtifact {
            identity: Statement::identity(envelope.statement()),
            path,
            statement,
            signers,
            why: Why::decide(&self.file, self.options.map_in_place, policy.sealed),
            file: self.file,
            payload: self.payload,
            attachments,
        })
    }
}

/// The keys whose signature counts for this kind of artifact, if they are enough.
fn accepted(
    path: &Path,
    manifest: &Manifest,
    known: &BTreeSet<KeyId>,
    store: &TrustStore,
    policy: &Policy,
) -> Result<BTreeSet<KeyId>, VerifyError> {
    let refused = |because| VerifyError::Development { path: path.to_owned(), because };
    if manifest.development && policy.present {
        return Err(refused("it is a development artifact, which every policy refuses"));
    }
    let signers: BTreeSet<KeyId> =
        known.iter().filter(|id| store.may_sign(id, manifest.development)).copied().collect();
    if signers.is_empty() {
        return Err(refused(match manifest.development {
            true => "it is a development artifact, and its key is trusted for release artifacts",
            false => "it is signed by a development key, which is trusted for development artifacts only",
        }));
    }
    if signers.len() < policy.threshold {
        let found = signers.len();
        return Err(VerifyError::Threshold { path: path.to_owned(), found, demanded: policy.threshold });
    }
    Ok(signers)
}

fn check_expiry(path: &Path, manifest: &Manifest, now: SystemTime) -> Result<(), VerifyError> {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match manifest.not_after {
        Some(end) if now > end => Err(VerifyError::Expired { path: path.to_owned(), ago: now - end }),
        _ => Ok(()),
    }
}

/// What stands in the file must be exactly what the manifest lists.
fn check_framing(
    path: &Path,
    manifest: &Manifest,
    payload: u64,
    attachments: Vec<OpenAttachment>,
) -> Result<Vec<SignedAttachment>, VerifyError> {
    if manifest.payload_size != payload {
        return Err(differs(path, "payload's length is"));
    }
    if manifest.attachments.len() != attachments.len() {
        return Err(differs(path, "attachments are"));
    }
    let signed = manifest.attachments.iter().zip(attachments).map(|(info, found)| {
        let OpenAttachment { file, kind, offset, length } = found;
        match (kind.unwrap_or(info.kind), length) == (info.kind, info.length) {
            true => Ok(SignedAttachment { path: path.to_owned(), file, offset, info: info.clone() }),
            false => Err(differs(path, "attachments are")),
        }
    });
    signed.collect()
}

impl SignedAttachment {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        self.info.length
    }

    /// Its bytes, which are what was signed.
    ///
    /// # Errors
    ///
    /// They are not, or cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, VerifyError> {
        // At most `MAX_ATTACHMENTS_SIZE`, by the framing.
        let mut bytes = vec![0; self.info.length as usize];
        self.file
            .read_exact_at(&mut bytes, self.offset)
            .map_err(|source| VerifyError::Read { path: self.path.clone(), source })?;
        match Sha256Digest::of(&bytes) == self.info.sha256 {
            true => Ok(bytes),
            false => Err(differs(&self.path, &format!("attachment of kind {} is", self.info.kind))),
        }
    }
}

impl AuthenticArtifact {
    /// What the artifact says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.statement.manifest
    }

    /// The trusted keys that signed it.
    pub fn signers(&self) -> &BTreeSet<KeyId> {
        &self.signers
    }

    /// The digest of the statement: the artifact's identity.
    pub fn identity(&self) -> Sha256Digest {
        self.identity
    }

    /// Why the payload is run from where it is; one line for the log.
    pub fn why(&self) -> Why {
        self.why
    }

    /// Places the payload where it will be executed from, and hashes it there, and the attachments but the source lines:
    /// what only a trap needs is hashed when one is told.
    ///
    /// # Errors
    ///
    /// A byte is not what was signed, or there is no memory for the sealed copy.
    pub fn hash(mut self) -> Result<VerifiedArtifact, VerifyError> {
        let lines = self.attachments.iter().position(|one| one.info.kind == SOURCE_LINES);
        let lines = lines.map(|index| self.attachments.swap_remove(index));
        let check = || -> Result<Vec<_>, VerifyError> {
            let mut trees = Vec::new();
            for attachment in &self.attachments {
                let bytes = attachment.read()?;
                if attachment.info.kind == FILES {
                    trees.push((attachment.info.sha256, bytes));
                }
            }
            Ok(trees)
        };
        let (payload, attachments) = std::thread::scope(|scope| {
            let beside = match self.attachments.is_empty() {
                true => None,
                // Where no thread can be had, this one does it.
                false => std::thread::Builder::new().spawn_scoped(scope, check).ok(),
            };
            let payload = self.place_and_check();
            let attachments = match beside {
                Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                None => check(),
            };
            (payload, attachments)
        });
        let (payload, trees) = (payload?, attachments?);
        let Self { path, statement, identity, signers, .. } = self;
        Ok(VerifiedArtifact { path, payload, statement, identity, signers, lines, trees })
    }

    fn place_and_check(&self) -> Result<Payload, VerifyError> {
        let payload = Payload::place(&self.file, self.payload, self.why)
            .map_err(|source| VerifyError::Copy { path: self.path.clone(), source })?;
        let found = payload
            .view(Blake3Digest::of)
            .map_err(|source| VerifyError::Read { path: self.path.clone(), source })?;
        match found == self.statement.payload.blake3 {
            true => Ok(payload),
            false => Err(differs(&self.path, "payload is")),
        }
    }
}

impl VerifiedArtifact {
    /// What the artifact says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.statement.manifest
    }

    /// The digest of the statement: the artifact's identity.
    pub fn identity(&self) -> Sha256Digest {
        self.identity
    }

    /// The trusted keys that signed it.
    pub fn signers(&self) -> &BTreeSet<KeyId> {
        &self.signers
    }

    /// Where the payload is run from, and why.
    pub fn why(&self) -> Why {
        self.payload.why
    }

    /// The table of source lines, if it has one.
    pub fn lines(&self) -> Option<&SignedAttachment> {
        self.lines.as_ref()
    }

    /// The trees of files that it carries, by their digests, as `FileTree` reads them.
    pub fn trees(&self) -> &[(Sha256Digest, Vec<u8>)] {
        &self.trees
    }

    /// Checks the digests that a start does not: two of the payload, and that of the source lines. A manifest must not
    /// carry a digest that nobody checked: an installer does it once, a start need not.
    ///
    /// # Errors
    ///
    /// One of them differs: of the payload, whoever signed it signed two different ones.
    pub fn check_all_digests(&self) -> Result<(), VerifyError> {
        self.lines.iter().try_for_each(|lines| lines.read().map(drop))?;
        let found = self
            .payload
            .view(PayloadDigests::of)
            .map_err(|source| VerifyError::Read { path: self.path.clone(), source })?;
        found
            .check(&self.statement.payload)
            .map_err(|name| differs(&self.path, &format!("payload's {name} digest is")))
    }
}

fn differs(path: &Path, what: &str) -> VerifyError {
    VerifyError::Differs { path: path.to_owned(), what: what.to_owned() }
}

impl From<VerifyError> for Report {
    fn from(error: VerifyError) -> Self {
        let what = error.to_string();
        let report = Self::new(Exit::NotTrusted, what.clone());
        match error {
            VerifyError::Unknown { store, .. } => report
                .because(
                    "without `[sign]` in the recipe the key is a development key: only its user's launcher trusts it, \
                     and only with no store named",
                )
                .hint(format!(
                    "if you trust the signer, add the public key: `wadoo key trust SIGNER.pub.pem --trust {}`",
                    shell(&store)
                )),
            VerifyError::Development { .. } => report.hint(
                "sign it with a key of your own: name it under `[sign]` in the recipe and compose again",
            ),
            VerifyError::Threshold { .. } => {
                report.hint("add signatures: `wadoo sign ARTIFACT --key file:KEY.pem`")
            }
            VerifyError::Expired { .. } => {
                report.hint("compose it again, or check this machine's clock: `date`")
            }
            VerifyError::Statement { source: StatementError::Unknown(_), .. } => {
                Self::new(Exit::Incompatible, what)
                    .hint("run it with a launcher of the version that composed it, or newer")
            }
            VerifyError::SourceLinesTwice { .. } => report.hint("compose it again: `wadoo compose` writes one"),
            VerifyError::Copy { source, .. } => {
                let report = Self::new(Exit::HostResource, what).because(system_words(&source));
                report.hint(match source.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "the system forbids files in memory (see `sysctl vm.memfd_noexec`): allow them, or let \
                         root own the artifact and its folders: then it is run in place"
                    }
                    _ => "free memory, or let root own the artifact and its folders: then it is run in place",
                })
            }
            VerifyError::Read { source, .. } => {
                Self::new(Exit::CouldNot, what).because(system_words(&source))
            }
            VerifyError::Envelope { .. } | VerifyError::Statement { .. } | VerifyError::Differs { .. } => {
                report.hint("copy it again from where it was made, or compose it again")
            }
        }
    }
}
