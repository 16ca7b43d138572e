//! Digests, against values that other tools gave.

mod sample;

use std::process::Command;

use wadoo_signing::digest::{Blake3Digest, FsVerityDigest, Sha256Digest};
use wadoo_signing::manifest::PayloadDigests;

/// The same bytes on every machine.
fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn empty_input_has_the_published_digests() {
    let digests = PayloadDigests::of(b"");
    assert_eq!(
        digests.sha256.to_string(),
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        digests.blake3.to_string(),
        "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    );
    // Published with fs-verity's own tests.
    assert_eq!(
        digests.fsverity.to_string(),
        "fsverity:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"
    );
}

#[test]
fn several_threads_give_the_digest_of_one() {
    let bytes = bytes((4 << 20) + 12_345);
    assert_eq!(Blake3Digest::of(&bytes).as_bytes(), blake3::hash(&bytes).as_bytes());
}

#[test]
fn stock_tools_agree() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for length in [0, 1, 4095, 4096, 4097, 128 * 4096, 128 * 4096 + 1, 524_289] {
        let file = sample::file(folder.path().join(length.to_string()), bytes(length));
        let digests = PayloadDigests::of(&bytes(length));
        for (tool, arguments, expected) in [
            ("sha256sum", &[][..], digests.sha256.hex()),
            ("b3sum", &[], digests.blake3.hex()),
            ("fsverity", &["digest", "--compact"], digests.fsverity.hex()),
        ] {
            if !sample::installed(tool) {
                continue;
            }
            let output = Command::new(tool).args(arguments).arg(&file).output().expect("it starts");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(text.split_whitespace().next(), Some(expected.as_str()), "{tool}, {length} bytes");
        }
    }
}

#[test]
fn only_the_one_written_form_is_read() {
    let text = Sha256Digest::of(b"").to_string();
    assert_eq!(text.parse(), Ok(Sha256Digest::of(b"")));
    let digits = &text["sha256:".len()..];
    for wrong in [
        digits.to_owned(),
        text.to_uppercase(),
        format!("sha256:{}", digits.to_uppercase()),
        format!("blake3:{digits}"),
        format!("{text}0"),
        text[..text.len() - 1].to_owned(),
        format!("sha256: {}", &digits[1..]),
        format!("sha256:+{}", &digits[1..]),
        format!("sha256:{}é", &digits[2..]),
        String::new(),
    ] {
        let error = wrong.parse::<Sha256Digest>().expect_err(&wrong).to_string();
        assert_eq!(error, format!("`{wrong}` is not `sha256:` and 64 lower-case hex digits"));
    }
}

#[test]
fn each_digest_of_a_payload_is_compared() {
    let signed = PayloadDigests::of(b"payload");
    assert_eq!(signed.check(&signed), Ok(()));
    let other = PayloadDigests::of(b"other");
    let check = |change: fn(&mut PayloadDigests, PayloadDigests)| {
        let mut changed = signed.clone();
        change(&mut changed, other.clone());
        changed.check(&signed)
    };
    assert_eq!(check(|changed, other| changed.sha256 = other.sha256), Err("sha256"));
    assert_eq!(check(|changed, other| changed.blake3 = other.blake3), Err("blake3"));
    assert_eq!(check(|changed, other| changed.fsverity = other.fsverity), Err("fs-verity"));
}

#[test]
fn fs_verity_counts_the_length_and_pads_with_zeros() {
    assert_ne!(FsVerityDigest::of(&[0; 4095]), FsVerityDigest::of(&[0; 4096]));
}
