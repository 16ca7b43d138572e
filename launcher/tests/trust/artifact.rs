//! An artifact that is made piece by piece, and files that hold it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempDir;
use wadoo_launcher::engine;
use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::verify::{AuthenticArtifact, VerifiedArtifact};
use wadoo_signing::envelope::Envelope;
use wadoo_signing::framing::{self, Attachment};
use wadoo_signing::key::SigningKey;
use wadoo_signing::manifest::{Manifest, PayloadDigests, Trigger};
use wadoo_signing::policy::Policy;
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::statement::Statement;
use wadoo_signing::trust::TrustStore;
use wasmtime::Engine;

use crate::guest;

/// What an artifact is made of, before it is one.
pub(crate) struct Parts {
    pub(crate) payload: Vec<u8>,
    pub(crate) statement: Statement,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) key: SigningKey,
}

impl Parts {
    /// The smallest component there is.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(adjust: impl FnOnce(&mut Manifest)) -> Self {
        let compiler =
            Engine::new(&engine::config(&engine::standard_profile(true))).expect("a compiling engine");
        let payload = compiler.precompile_component(b"\0asm\x0d\0\x01\0").expect("an empty component");
        let attachments = vec![
            Attachment { kind: 1, bytes: b"a bill of materials".to_vec() },
            Attachment { kind: 2, bytes: Vec::new() },
        ];
        let mut manifest = guest::manifest(Trigger::Http02, BTreeSet::new());
        manifest.payload_size = payload.len() as u64;
        manifest.attachments = attachments.iter().map(Attachment::info).collect();
        adjust(&mut manifest);
        let statement = Statement { manifest, payload: PayloadDigests::of(&payload) };
        Self { payload, statement, attachments, key: key() }
    }

    pub(crate) fn envelope(&self) -> Envelope {
        sign(self.statement.encode(), &[&self.key])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.packaged(&self.envelope())
    }

    pub(crate) fn packaged(&self, envelope: &Envelope) -> Vec<u8> {
        framing::package(&self.payload, &envelope.encode(), &self.attachments).expect("within every limit")
    }

    pub(crate) fn store(&self) -> TrustStore {
        TrustStore::of([self.key.public()], false)
    }
}

pub(crate) fn key() -> SigningKey {
    SigningKey::generate().expect("the system has random numbers")
}

pub(crate) fn sign(statement: Vec<u8>, keys: &[&SigningKey]) -> Envelope {
    let keys: Vec<_> = keys.iter().map(|&key| key.clone()).collect();
    Envelope::sign(statement, &keys).expect("at least one key")
}

/// A file in a folder of its own.
pub(crate) struct Placed {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
}

impl Placed {
    pub(crate) fn new(bytes: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = write(folder.path().join("app.cwasm"), bytes);
        Self { folder, path }
    }

    pub(crate) fn authenticate(&self, store: &TrustStore) -> Result<AuthenticArtifact, Report> {
        authenticate(&self.path, store, &Policy::default(), SystemTime::now())
    }

    pub(crate) fn verify(&self, store: &TrustStore) -> Result<VerifiedArtifact, Report> {
        Ok(self.authenticate(store)?.hash()?)
    }
}

pub(crate) fn write(path: PathBuf, bytes: impl AsRef<[u8]>) -> PathBuf {
    fs::write(&path, bytes).expect("the folder is writable");
    mode(&path, 0o644);
    path
}

pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

pub(crate) fn authenticate(
    path: &Path,
    store: &TrustStore,
    policy: &Policy,
    now: SystemTime,
) -> Result<AuthenticArtifact, Report> {
    Ok(UnverifiedArtifact::open(path, &OpenOptions::default())?.authenticate(store, policy, now)?)
}

#[track_caller]
pub(crate) fn not_trusted<T>(result: Result<T, Report>, words: &str) -> Report {
    let Err(report) = result else { panic!("it is accepted") };
    assert_eq!(report.exit, Exit::NotTrusted, "{report}");
    assert!(report.to_string().contains(words), "`{words}` is not in:\n{report}");
    report
}

#[expect(clippy::print_stderr, reason = "what was not tested must be seen")]
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

pub(crate) fn flip(file: &File, at: u64, bit: u32) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the byte is there");
    file.write_all_at(&[byte[0] ^ 1 << bit], at).expect("it is ours");
}
