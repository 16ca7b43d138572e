//! From a file to verified code: what is accepted, and that nothing else is.
//!
//! The loader takes a `VerifiedArtifact` and nothing else can make one: a refusal here is a refusal before any
//! byte of the payload is used.

mod artifact;
mod forms;
#[path = "../guest/mod.rs"]
mod guest;
mod place;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::trusting::Trusting;
use wadoo_launcher::{compat, engine, load};
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::framing::{self, Layout};
use wadoo_signing::key::SigningKey;
use wadoo_signing::manifest::{Manifest, PREDICATE_TYPE, PayloadDigests};
use wadoo_signing::policy::Policy;
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::trust::{Surroundings, TrustPlace, TrustStore};

use crate::artifact::{Parts, Placed, authenticate, flip, key, mode, not_trusted, sign, write};

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
