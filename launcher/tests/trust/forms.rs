//! What lies beside the payload, the split form, and the commands that the documentation gives.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::SystemTime;

use wadoo_launcher::open::{SPLIT_ENVELOPE, SPLIT_PAYLOAD, split_attachment};
use wadoo_launcher::verify::VerifiedArtifact;
use wadoo_launcher::{engine, load};
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::framing::{Attachment, Layout, MAX_ATTACHMENTS, MAX_ATTACHMENTS_SIZE};
use wadoo_signing::lines::SOURCE_LINES;
use wadoo_signing::policy::Policy;
use wadoo_signing::report::Report;

use crate::artifact::{Parts, Placed, authenticate, flip, key, mode, not_trusted, sign, skip, write};

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

/// `docs/artifact-format.md` shows how to verify an artifact with stock tools: these very commands are run.
#[test]
fn the_documented_commands_verify_an_artifact_without_wadoo() {
    let there = |tool: &str| std::process::Command::new(tool).arg("version").output().is_ok();
    if !there("openssl") {
        assert!(std::env::var_os("CI").is_none(), "`openssl` is not installed, and CI must have it");
        skip("`openssl` is not installed");
        return;
    }
    let page = include_str!("../../../docs/artifact-format.md");
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
