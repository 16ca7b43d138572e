//! From a file to verified code: what is accepted, and that nothing else is.
//!
//! The loader takes a `VerifiedArtifact` and nothing else can make one: a refusal here is a refusal before any
//! byte of the payload is used.

mod guest;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use wadoo_launcher::open::{
    OpenOptions, SPLIT_ENVELOPE, SPLIT_PAYLOAD, UnverifiedArtifact, split_attachment,
};
use wadoo_launcher::place::Why;
use wadoo_launcher::trusting::Trusting;
use wadoo_launcher::verify::{AuthenticArtifact, VerifiedArtifact};
use wadoo_launcher::{compat, engine, load};
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::envelope::Envelope;
use wadoo_signing::framing::{self, Attachment, Layout, MAX_ATTACHMENTS, MAX_ATTACHMENTS_SIZE};
use wadoo_signing::key::SigningKey;
use wadoo_signing::lines::SOURCE_LINES;
use wadoo_signing::manifest::{Manifest, PREDICATE_TYPE, PayloadDigests, Trigger};
use wadoo_signing::policy::Policy;
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::statement::Statement;
use wadoo_signing::trust::{Surroundings, TrustPlace, TrustStore};
use wasmtime::Engine;

/// What an artifact is made of, before it is one.
struct Parts {
    payload: Vec<u8>,
    statement: Statement,
    attachments: Vec<Attachment>,
    key: SigningKey,
}

impl Parts {
    /// The smallest component there is.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut Manifest)) -> Self {
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

    fn envelope(&self) -> Envelope {
        sign(self.statement.encode(), &[&self.key])
    }

    fn bytes(&self) -> Vec<u8> {
        self.packaged(&self.envelope())
    }

    fn packaged(&self, envelope: &Envelope) -> Vec<u8> {
        framing::package(&self.payload, &envelope.encode(), &self.attachments).expect("within every limit")
    }

    fn store(&self) -> TrustStore {
        TrustStore::of([self.key.public()], false)
    }
}

fn key() -> SigningKey {
    SigningKey::generate().expect("the system has random numbers")
}

fn sign(statement: Vec<u8>, keys: &[&SigningKey]) -> Envelope {
    let keys: Vec<_> = keys.iter().map(|&key| key.clone()).collect();
    Envelope::sign(statement, &keys).expect("at least one key")
}

/// A file in a folder of its own.
struct Placed {
    folder: TempDir,
    path: PathBuf,
}

impl Placed {
    fn new(bytes: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = write(folder.path().join("app.cwasm"), bytes);
        Self { folder, path }
    }

    fn authenticate(&self, store: &TrustStore) -> Result<AuthenticArtifact, Report> {
        authenticate(&self.path, store, &Policy::default(), SystemTime::now())
    }

    fn verify(&self, store: &TrustStore) -> Result<VerifiedArtifact, Report> {
        Ok(self.authenticate(store)?.hash()?)
    }
}

fn write(path: PathBuf, bytes: impl AsRef<[u8]>) -> PathBuf {
    fs::write(&path, bytes).expect("the folder is writable");
    mode(&path, 0o644);
    path
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn authenticate(
    path: &Path,
    store: &TrustStore,
    policy: &Policy,
    now: SystemTime,
) -> Result<AuthenticArtifact, Report> {
    Ok(UnverifiedArtifact::open(path, &OpenOptions::default())?.authenticate(store, policy, now)?)
}

#[track_caller]
fn not_trusted<T>(result: Result<T, Report>, words: &str) -> Report {
    let Err(report) = result else { panic!("it is accepted") };
    assert_eq!(report.exit, Exit::NotTrusted, "{report}");
    assert!(report.to_string().contains(words), "`{words}` is not in:\n{report}");
    report
}

#[test]
fn a_signed_artifact_is_verified_and_loaded() {
    let parts = Parts::new();
    let placed = Placed::new(parts.bytes());
    let authentic = placed.authenticate(&parts.store()).expect("the signature holds");
    assert_eq!(authentic.manifest(), &parts.statement.manifest);
    assert_eq!(authentic.identity(), Sha256Digest::of(&parts.statement.encode()));
    assert_eq!(authentic.signers(), &BTreeSet::from([parts.key.public().id()]));
    compat::check(authentic.manifest()).expect("it is made for this launcher");
    let verified = authentic.hash().expect("the payload is what was signed");
    verified.check_all_digests().expect("all three hold");
    let engine = engine::serving(verified.manifest()).expect("a serving engine").engine;
    load::load(&engine, &verified).expect("the payload loads");
}

#[test]
fn a_payload_that_is_large_enough_for_several_threads_is_verified() {
    let mut parts = Parts::new();
    // What follows the last section of an ELF file is ignored, and hashed all the same.
    parts.payload.resize((4 << 20) + 12_345, 7);
    parts.statement.manifest.payload_size = parts.payload.len() as u64;
    parts.statement.payload = PayloadDigests::of(&parts.payload);
    let placed = Placed::new(parts.bytes());
    placed.verify(&parts.store()).expect("it is what was signed");
    flip(&File::options().write(true).read(true).open(&placed.path).expect("ours"), 4 << 20, 0);
    not_trusted(placed.verify(&parts.store()), "its payload is not what was signed");
}

/// Says why a test proves nothing here.
#[expect(clippy::print_stderr, reason = "what was not tested must be seen")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

fn flip(file: &File, at: u64, bit: u32) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the byte is there");
    file.write_all_at(&[byte[0] ^ 1 << bit], at).expect("it is ours");
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut parts = Parts::new();
    // Short attachments and names, so that every bit can be tried.
    parts.statement.manifest.engine.profile.name = "x".to_owned();
    let bytes = parts.bytes();
    let layout = Layout::read(&bytes.as_slice(), bytes.len() as u64).expect("it is whole");
    let placed = Placed::new(&bytes);
    let file = File::options().read(true).write(true).open(&placed.path).expect("it is ours");
    let store = parts.store();
    let every_bit = |at: &u64| *at >= layout.envelope_offset || *at < 64;
    let some = (0..bytes.len() as u64).filter(|at| every_bit(at) || at % 61 == 0);
    for at in some {
        for bit in if every_bit(&at) { 0..8 } else { (at % 8) as u32..(at % 8 + 1) as u32 } {
            flip(&file, at, bit);
            let Err(report) = placed.verify(&store) else { panic!("byte {at}, bit {bit} means nothing") };
            assert_eq!(report.exit, Exit::NotTrusted, "byte {at}, bit {bit}: {report}");
            flip(&file, at, bit);
        }
    }
    placed.verify(&store).expect("as it was");
}

#[test]
fn every_truncation_and_every_trailer_is_refused() {
    let parts = Parts::new();
    let bytes = parts.bytes();
    let placed = Placed::new(&bytes);
    let file = File::options().write(true).open(&placed.path).expect("it is ours");
    for length in (0..bytes.len() as u64).rev() {
        file.set_len(length).expect("it is ours");
        not_trusted(placed.authenticate(&parts.store()), "app.cwasm");
    }
    for trailer in [&b"\0"[..], b"\n", &[0; 4096], &bytes, &bytes[bytes.len() - 64..]] {
        write(placed.path.clone(), [&bytes, trailer].concat());
        not_trusted(placed.verify(&parts.store()), "app.cwasm");
    }
}

#[test]
fn only_a_regular_file_that_nobody_else_may_write_is_opened() {
    let parts = Parts::new();
    let placed = Placed::new(parts.bytes());
    for bad in [0o664, 0o646, 0o666] {
        mode(&placed.path, bad);
        let report = not_trusted(placed.authenticate(&parts.store()), "writable by its group or by others");
        assert_eq!(report.hint, Some(format!("`chmod go-w {}`", placed.path.display())));
    }
    mode(&placed.path, 0o444);
    placed.authenticate(&parts.store()).expect("nobody may write it");

    let link = placed.folder.path().join("link.cwasm");
    symlink(&placed.path, &link).expect("a link can be made");
    let now = SystemTime::now();
    authenticate(&link, &parts.store(), &Policy::default(), now).expect("links are followed");

    let open = |path: &Path| UnverifiedArtifact::open(path, &OpenOptions::default()).map_err(Report::from);
    not_trusted(open(placed.folder.path()), "a folder without a split artifact");
    not_trusted(open(Path::new("/dev/zero")), "a device, pipe or socket");
    let pipe = placed.folder.path().join("pipe");
    let owner = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, owner, 0).expect("a pipe");
    not_trusted(open(&pipe), "a device, pipe or socket");
    let missing = open(&placed.folder.path().join("absent")).expect_err("it is not there");
    assert_eq!((missing.exit, missing.because[0].as_str()), (Exit::CouldNot, "it does not exist"));

    let huge = File::create(placed.path.with_extension("huge")).expect("it is ours");
    huge.set_len(framing::MAX_FILE_SIZE + 1).expect("a sparse file");
    mode(&placed.path.with_extension("huge"), 0o644);
    not_trusted(open(&placed.path.with_extension("huge")), "more than the limit of 1073741824");
}

#[test]
fn only_trusted_keys_count() {
    let parts = Parts::new();
    let placed = Placed::new(parts.bytes());
    let other = key();
    let short = parts.key.public().id().short();
    let report = not_trusted(
        placed.authenticate(&TrustStore::of([other.public()], false)),
        &format!("signed by key {short}, which is not in the trust store"),
    );
    assert!(report.hint.expect("a hint").contains("wadoo key trust"));

    let both = sign(parts.statement.encode(), &[&parts.key, &other]);
    let placed = Placed::new(parts.packaged(&both));
    let authentic = placed.authenticate(&parts.store()).expect("one trusted key is enough");
    assert_eq!(authentic.signers(), &BTreeSet::from([parts.key.public().id()]), "the other is not known");

    // The statement of one artifact under the signature of another.
    let foreign = Parts::with(|manifest| manifest.app.name = "other".to_owned()).statement.encode();
    let text = String::from_utf8(parts.envelope().encode()).expect("JSON is text");
    let other = String::from_utf8(sign(foreign, &[&parts.key]).encode()).expect("JSON is text");
    let swapped = [
        &other[..other.find("\"signatures\"").expect("a field")],
        &text[text.find("\"signatures\"").expect("a field")..],
    ]
    .concat();
    let bytes = framing::package(&parts.payload, swapped.as_bytes(), &parts.attachments).expect("in limits");
    not_trusted(Placed::new(bytes).authenticate(&parts.store()), "is wrong");
}

#[test]
fn thresholds_count_trusted_keys() {
    let parts = Parts::new();
    let (second, unknown) = (key(), key());
    let store = TrustStore::of([parts.key.public(), second.public()], false);
    let policy = Policy { threshold: 2, present: true, ..Policy::default() };
    let check = |keys: &[&SigningKey]| {
        let placed = Placed::new(parts.packaged(&sign(parts.statement.encode(), keys)));
        authenticate(&placed.path, &store, &policy, SystemTime::now())
    };
    not_trusted(check(&[&parts.key]), "trusted keys that signed it: 1, the policy demands 2");
    not_trusted(check(&[&parts.key, &unknown]), "the policy demands 2");
    assert_eq!(check(&[&parts.key, &second]).expect("two").signers().len(), 2);
}

#[test]
fn a_development_key_does_not_help_to_a_threshold() {
    let parts = Parts::new();
    let development = key();
    let root = tempfile::tempdir().expect("a folder can be made");
    let folder = |name: &str, key: &SigningKey| {
        let path = root.path().join(name);
        fs::create_dir(&path).expect("a folder can be made");
        mode(&path, 0o755);
        write(path.join("key.pem"), key.public().to_pem().expect("it has a PEM form"));
        path
    };
    let place = TrustPlace::User {
        trusted: folder("trusted.d", &parts.key),
        development: folder("dev-trusted.d", &development),
    };
    let store = TrustStore::read(&place).expect("both folders have a key");
    let placed = Placed::new(parts.packaged(&sign(parts.statement.encode(), &[&parts.key, &development])));
    let check = |threshold| {
        let policy = Policy { threshold, present: true, ..Policy::default() };
        authenticate(&placed.path, &store, &policy, SystemTime::now())
    };
    let authentic = check(1).expect("the release key is trusted");
    assert_eq!(authentic.signers(), &BTreeSet::from([parts.key.public().id()]));
    not_trusted(check(2), "trusted keys that signed it: 1, the policy demands 2");
}

#[test]
fn development_keys_and_artifacts_belong_together() {
    let release = Parts::new();
    let development = Parts::with(|manifest| manifest.development = true);
    let verify = |parts: &Parts, kind: bool, policy: Policy| {
        let placed = Placed::new(parts.bytes());
        let store = TrustStore::of([parts.key.public()], kind);
        authenticate(&placed.path, &store, &policy, SystemTime::now())
    };
    verify(&release, false, Policy::default()).expect("a release artifact under a release key");
    verify(&development, true, Policy::default()).expect("a development artifact under a development key");
    not_trusted(verify(&release, true, Policy::default()), "signed by a development key");
    not_trusted(verify(&development, false, Policy::default()), "it is a development artifact");
    let policy = Policy { present: true, ..Policy::default() };
    not_trusted(verify(&development, true, policy.clone()), "which every policy refuses");
    verify(&release, false, policy).expect("a policy that demands nothing more");
}

#[test]
fn an_expired_artifact_is_refused() {
    let parts = Parts::with(|manifest| manifest.not_after = Some(2_000_000_000));
    let placed = Placed::new(parts.bytes());
    let at = |seconds| {
        let now = UNIX_EPOCH + Duration::from_secs(seconds);
        authenticate(&placed.path, &parts.store(), &Policy::default(), now)
    };
    at(2_000_000_000).expect("its last second");
    not_trusted(at(2_000_000_001), "it expired 1 s ago");
    let before = UNIX_EPOCH - Duration::from_secs(1);
    authenticate(&placed.path, &parts.store(), &Policy::default(), before).expect("a clock that is not set");
}

#[test]
fn what_a_trusted_key_signed_wrongly_is_refused() {
    let check = |change: fn(&mut Parts), words: &str| {
        let mut parts = Parts::new();
        change(&mut parts);
        not_trusted(Placed::new(parts.bytes()).verify(&parts.store()), words)
    };
    check(|parts| parts.statement.manifest.payload_size += 1, "its payload's length is not what was signed");
    check(|parts| parts.statement.payload = PayloadDigests::of(b""), "its payload is not what was signed");
    check(|parts| parts.attachments[0].bytes[0] ^= 1, "its attachment of kind 1 is not what was signed");
    check(|parts| parts.attachments[0].kind = 3, "its attachments are not what was signed");
    check(|parts| drop(parts.attachments.pop()), "its attachments are not what was signed");
    check(|parts| parts.attachments.swap(0, 1), "its attachments are not what was signed");

    // A start checks blake3; an install, everything.
    for (name, change) in [
        ("sha256", (|digests| digests.sha256 = Sha256Digest::of(b"")) as fn(&mut PayloadDigests)),
        ("fs-verity", |digests| digests.fsverity = PayloadDigests::of(b"").fsverity),
    ] {
        let mut parts = Parts::new();
        change(&mut parts.statement.payload);
        let verified = Placed::new(parts.bytes()).verify(&parts.store()).expect("blake3 holds");
        let words = format!("its payload's {name} digest is not what was signed");
        not_trusted(verified.check_all_digests().map_err(Report::from), &words);
    }
}

#[test]
fn a_manifest_that_says_more_is_incompatible_and_another_kind_is_not_trusted() {
    let parts = Parts::new();
    let text = String::from_utf8(parts.statement.encode()).expect("JSON is text");
    let check = |statement: String| {
        let envelope = sign(statement.into_bytes(), &[&parts.key]);
        Placed::new(parts.packaged(&envelope)).authenticate(&parts.store()).map(drop)
    };
    let report = check(text.replace("\"limits\":{", "\"limits\":{\"cpuTime\":1,")).expect_err("unknown");
    assert_eq!(report.exit, Exit::Incompatible);
    assert!(report.what.contains("`cpuTime`"), "{report}");
    not_trusted(
        check(text.replace(PREDICATE_TYPE, "https://slsa.dev/provenance/v1")),
        "it is signed as `https://slsa.dev/provenance/v1`",
    );
    not_trusted(check(text.replace("{\"_type\"", "{ \"_type\"")), "not in its canonical form");
    not_trusted(check("{}".to_owned()), "it is signed as ``");
}

#[test]
fn nothing_unverified_reaches_the_terminal() {
    let parts = Parts::new();
    let bytes = parts.envelope().encode();
    let text = String::from_utf8(bytes).expect("JSON is text");
    let long = "k".repeat(200_000);
    for envelope in [
        text.replace("application/vnd.in-toto+json", "evil\\nerror: \\u001b[2J"),
        text.replacen('{', &format!("{{\"{long}\":1,\"{long}\":2,"), 1),
        text.replacen('{', "{\"evil\\u001b[2J\":1,", 1),
        text.replacen('{', "{{", 1),
    ] {
        let bytes = framing::package(&parts.payload, envelope.as_bytes(), &parts.attachments);
        let placed = Placed::new(bytes.expect("within every limit"));
        let report = not_trusted(placed.authenticate(&parts.store()), "the envelope").to_string();
        assert_eq!(report.lines().count(), 2, "{report}");
        assert!(report.len() < 1000 && !report.contains('\u{1b}') && !report.contains("evil"), "{report}");
        assert!(!report.contains("column"), "{report}");
    }
}

#[test]
fn what_does_not_fit_this_machine_is_named() {
    let check = |adjust: fn(&mut Manifest), words: &str| {
        let manifest = Parts::with(adjust).statement.manifest;
        let report = compat::check(&manifest).expect_err("it does not fit").report("app.cwasm");
        assert_eq!(report.exit, Exit::Incompatible);
        assert!(report.what.contains(words), "{report}");
    };
    check(|manifest| manifest.engine.wasmtime = "48.0.6".to_owned(), "wasmtime 48.0.6");
    check(
        |manifest| manifest.target.triple = "riscv64gc-unknown-linux-gnu".to_owned(),
        "`riscv64gc-unknown-linux-gnu`",
    );
    check(|manifest| manifest.target.features = ["has_teleport".to_owned()].into(), "`has_teleport`");
    check(|manifest| manifest.engine.profile.gc = true, "`gc` = true, this launcher has false");
}

#[test]
fn the_bytes_verified_are_the_bytes_loaded() {
    let parts = Parts::new();
    let placed = Placed::new(parts.bytes());
    let verified = placed.verify(&parts.store()).expect("it is what was signed");
    assert!(!verified.why().in_place(), "{}: a temporary folder is nobody's fortress", verified.why());
    // The file is overwritten in place, as a careless copy does, after it was verified.
    write(placed.path.clone(), vec![0xcc; parts.bytes().len()]);
    verified.check_all_digests().expect("the copy is as it was");
    let engine = engine::serving(verified.manifest()).expect("a serving engine").engine;
    load::load(&engine, &verified).expect("the copy is loaded");
}

#[test]
fn where_it_runs_from_follows_from_who_could_change_it() {
    let parts = Parts::new();
    let why = |path: &Path, map_in_place, sealed| {
        let policy = Policy { sealed, ..Policy::default() };
        let artifact = UnverifiedArtifact::open(path, &OpenOptions { map_in_place }).expect("it opens");
        artifact.authenticate(&parts.store(), &policy, SystemTime::now()).expect("it is signed").why()
    };
    let placed = Placed::new(parts.bytes());
    let noexec = why(&placed.path, false, false) == Why::NoExec;
    if !noexec {
        assert_eq!(why(&placed.path, false, false), Why::Changeable);
        assert_eq!(why(&placed.path, true, false), Why::Asked);
    }
    assert_eq!(why(&placed.path, true, true), Why::Policy);

    // Where every folder above is root's, and the file too.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
    let path = write(folder.path().join("app.cwasm"), parts.bytes());
    let safe = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|data| data.uid() == 0 && data.mode() & 0o022 == 0)
    };
    if !path.ancestors().all(safe) || noexec {
        skip("the target folder is not root's alone");
        return;
    }
    assert_eq!(why(&path, false, false), Why::RootOwned);
    assert_eq!(why(&path, true, false), Why::RootOwned, "nobody had to ask");
    assert_eq!(why(&path, false, true), Why::Policy);
    mode(folder.path(), 0o777);
    assert_eq!(why(&path, false, false), Why::Changeable, "anybody could put another file there");
    mode(folder.path(), 0o755);
    std::os::unix::fs::chown(&path, Some(12_345), None).expect("root may");
    assert_eq!(why(&path, false, false), Why::Changeable, "its owner could change it");
}

#[test]
fn source_lines_are_hashed_when_they_are_read() {
    let lines = |bytes: &[u8]| Attachment { kind: SOURCE_LINES, bytes: bytes.to_vec() };
    let mut parts = Parts::new();
    parts.attachments.push(lines(b"a table"));
    parts.statement.manifest.attachments = parts.attachments.iter().map(Attachment::info).collect();
    let verify = |parts: &Parts| Placed::new(parts.bytes()).verify(&parts.store());
    let verified = verify(&parts).expect("it is what was signed");
    assert_eq!(verified.lines().expect("it has lines").read().expect("they are what was signed"), b"a table");
    verified.check_all_digests().expect("they are what was signed");

    // The others are hashed at the start, whatever their order.
    parts.attachments[0].bytes[0] ^= 1;
    not_trusted(verify(&parts), "its attachment of kind 1 is not what was signed");
    parts.attachments[0].bytes[0] ^= 1;
    parts.attachments[2] = lines(b"A table");
    let verified = verify(&parts).expect("a start does not need them");
    let words = "its attachment of kind 3 is not what was signed";
    not_trusted(verified.lines().expect("it has lines").read().map_err(Report::from), words);
    not_trusted(verified.check_all_digests().map_err(Report::from), words);

    parts.attachments = vec![lines(b"one"), lines(b"another")];
    parts.statement.manifest.attachments = parts.attachments.iter().map(Attachment::info).collect();
    not_trusted(verify(&parts), "it has more than one table of source lines");
}

#[test]
fn the_split_form_is_verified_by_the_same_rules() {
    let parts = Parts::new();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let payload = write(folder.path().join(SPLIT_PAYLOAD), &parts.payload);
    let envelope = write(folder.path().join(SPLIT_ENVELOPE), parts.envelope().encode());
    let attachment = |index: usize, bytes: &[u8]| write(folder.path().join(split_attachment(index)), bytes);
    let first = attachment(0, &parts.attachments[0].bytes);
    let second = attachment(1, &parts.attachments[1].bytes);
    let verify = || -> Result<VerifiedArtifact, Report> {
        let now = SystemTime::now();
        Ok(authenticate(folder.path(), &parts.store(), &Policy::default(), now)?.hash()?)
    };
    let verified = verify().expect("it is what was signed");
    let engine = engine::serving(verified.manifest()).expect("a serving engine").engine;
    load::load(&engine, &verified).expect("the payload loads");

    for file in [&payload, &envelope, &first, &second] {
        mode(file, 0o664);
        not_trusted(verify(), "writable by its group or by others");
        mode(file, 0o644);
    }
    attachment(0, b"A bill of materials");
    not_trusted(verify(), "its attachment of kind 1 is not what was signed");
    attachment(0, b"");
    not_trusted(verify(), "its attachments are not what was signed");
    attachment(0, &parts.attachments[0].bytes);
    let third = attachment(2, b"");
    not_trusted(verify(), "its attachments are not what was signed");
    let many: Vec<PathBuf> = (3..=MAX_ATTACHMENTS).map(|index| attachment(index, b"")).collect();
    not_trusted(verify(), "its attachments are more than 16");
    many.iter().for_each(|path| fs::remove_file(path).expect("it is there"));
    fs::remove_file(third).expect("it is there");
    verify().expect("it is what was signed again");
    File::options()
        .write(true)
        .open(&second)
        .and_then(|file| file.set_len(MAX_ATTACHMENTS_SIZE))
        .expect("it grows");
    not_trusted(verify(), "its attachments are more than 16, or longer than 16777216 bytes");
    fs::remove_file(&second).expect("it is there");
    not_trusted(verify(), "its attachments are not what was signed");
    attachment(1, b"");

    write(payload.clone(), [&parts.payload[..], b"\0"].concat());
    not_trusted(verify(), "its payload's length is not what was signed");
    write(payload.clone(), &parts.payload[..parts.payload.len() - 1]);
    not_trusted(verify(), "payload");
    let mut changed = parts.payload.clone();
    *changed.last_mut().expect("it is not empty") ^= 1;
    write(payload, changed);
    not_trusted(verify(), "its payload is not what was signed");
    write(envelope, b"{}");
    not_trusted(verify(), "the envelope cannot be read");
}

#[test]
fn the_device_can_forbid_every_store_but_its_own() {
    let root = tempfile::tempdir().expect("a folder can be made");
    let folder = |name: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        mode(&path, 0o755);
        path
    };
    folder("own");
    let (system, own) = (folder("etc"), folder("own/trusted.d"));
    for store in [folder("etc/trusted.d"), own.clone()] {
        write(store.join("key.pem"), key().public().to_pem().expect("it has a PEM form"));
    }
    let policy = write(system.join("policy.toml"), "trust = \"system-only\"\n");
    let surroundings = Surroundings { variable: None, system, user: None };
    Trusting::of(None, &surroundings).expect("the device's own store");
    let report = not_trusted(Trusting::of(Some(&own), &surroundings), "allows no other trust store than");
    assert!(report.what.contains(&policy.display().to_string()), "{report}");
    let variable = Surroundings { variable: Some(own.clone().into()), ..surroundings.clone() };
    not_trusted(Trusting::of(None, &variable), "allows no other trust store than");

    fs::remove_file(&policy).expect("it is there");
    let trusting = Trusting::of(Some(&own), &surroundings).expect("no policy forbids it");
    assert!(!trusting.policy.present);
    write(root.path().join("own/policy.toml"), "threshold = 2\n");
    let trusting = Trusting::of(Some(&own), &surroundings).expect("the policy beside the store");
    assert_eq!((trusting.policy.threshold, trusting.policy.present), (2, true));
}

/// `docs/artifact-format.md` shows how to verify an artifact with stock tools: these very commands are run.
#[test]
fn the_documented_commands_verify_an_artifact_without_wadoo() {
    let there = |tool: &str| std::process::Command::new(tool).arg("version").output().is_ok();
    if !there("openssl") {
        assert!(std::env::var_os("CI").is_none(), "`openssl` is not installed, and CI must have it");
        skip("`openssl` is not installed");
        return;
    }
    let page = include_str!("../../docs/artifact-format.md");
    let (_, rest) =
        page.split_once("<!-- verified by a test -->\n\n```sh\n").expect("the commands are there");
    let (script, _) = rest.split_once("```").expect("the commands end");

    let parts = Parts::new();
    let other = key();
    let envelope = sign(parts.statement.encode(), &[&other, &parts.key]);
    let placed = Placed::new(parts.packaged(&envelope));
    let pem = parts.key.public().to_pem().expect("it has a PEM form");
    write(placed.folder.path().join("signing.pub.pem"), pem);
    let run = || {
        let mut command = std::process::Command::new("sh");
        command.args(["-euc", script]).current_dir(placed.folder.path());
        command.output().expect("a shell starts")
    };
    let output = run();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Signature Verified Successfully"), "{text}");
    assert!(text.contains("payload: OK"), "{text}");
    assert!(text.contains(&Sha256Digest::of(&parts.statement.encode()).hex()), "the identity: {text}");

    let layout = {
        let bytes = parts.packaged(&envelope);
        Layout::read(&bytes.as_slice(), bytes.len() as u64).expect("it is whole")
    };
    let file = File::options().read(true).write(true).open(&placed.path).expect("it is ours");
    for at in [layout.payload - 1, layout.envelope_offset + 100] {
        flip(&file, at, 0);
        assert!(!run().status.success(), "byte {at} is not covered by the commands");
        flip(&file, at, 0);
    }
}
