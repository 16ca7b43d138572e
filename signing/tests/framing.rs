//! The framing: what a reader accepts is exactly what the writer writes.

mod sample;

use sample::elf;
use wadoo_signing::framing::{
    Attachment, FOOTER_SIZE, FramingError, Layout, MAX_ATTACHMENTS, MAX_ATTACHMENTS_SIZE, package,
};

const PAYLOAD: usize = 300;
const ENVELOPE: &[u8] = b"{\"an\":\"envelope\"}";

fn attachments() -> Vec<Attachment> {
    vec![
        Attachment { kind: 1, bytes: b"sbom".to_vec() },
        Attachment { kind: 2, bytes: Vec::new() },
        Attachment { kind: 1, bytes: vec![7; 100] },
    ]
}

fn artifact() -> Vec<u8> {
    package(&elf(PAYLOAD), ENVELOPE, &attachments()).expect("it is small")
}

fn read(bytes: &[u8]) -> Result<Layout, FramingError> {
    Layout::read(&bytes, bytes.len() as u64)
}

#[test]
fn everything_is_found_where_it_was_written() {
    let bytes = artifact();
    let layout = read(&bytes).expect("it is whole");
    let part = |from: u64, length: u64| &bytes[from as usize..(from + length) as usize];
    assert_eq!(part(0, layout.payload), elf(PAYLOAD));
    assert_eq!(layout.envelope_offset, 4096);
    assert_eq!(part(layout.envelope_offset, layout.envelope), ENVELOPE);
    let found: Vec<_> =
        layout.attachments.iter().map(|span| (span.kind, part(span.offset, span.length))).collect();
    assert_eq!(found, [(1, &b"sbom"[..]), (2, b""), (1, &[7; 100])]);
}

/// What the signed manifest, or the envelope's one encoding, fixes beside the bytes themselves.
fn fixed_by_signature(layout: &Layout) -> (u64, u64, Vec<(u32, u64)>) {
    let attachments = layout.attachments.iter().map(|span| (span.kind, span.length)).collect();
    (layout.payload, layout.envelope, attachments)
}

#[test]
fn every_bit_of_the_framing_is_bound() {
    let bytes = artifact();
    let whole = read(&bytes).expect("it is whole");
    let end_of_envelope = (whole.envelope_offset + whole.envelope) as usize;
    // The rest is payload, envelope, and the bytes of attachments: digests bind those.
    let framing = (PAYLOAD..4096).chain(end_of_envelope..bytes.len()).filter(|at| {
        whole.attachments.iter().all(|span| !(span.offset..span.offset + span.length).contains(&(*at as u64)))
    });
    let mut flipped = bytes.clone();
    for at in framing {
        for bit in 0..8 {
            flipped[at] ^= 1 << bit;
            if let Ok(layout) = read(&flipped) {
                let (found, signed) = (fixed_by_signature(&layout), fixed_by_signature(&whole));
                assert_ne!(found, signed, "byte {at}, bit {bit} means nothing");
            }
            flipped[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_shorter_file_is_refused() {
    let bytes = artifact();
    for length in 0..bytes.len() {
        read(&bytes[..length]).expect_err("something is missing");
    }
}

#[test]
fn trailers_are_refused_even_with_a_footer_of_their_own() {
    let bytes = artifact();
    for trailer in [&b"\0"[..], b"PK\x05\x06", &[0; 4096], &bytes[bytes.len() - FOOTER_SIZE as usize..]] {
        read(&[&bytes, trailer].concat()).expect_err("something follows the footer");
    }
    read(&[b"\0", bytes.as_slice()].concat()).expect_err("something precedes the payload");
}

#[test]
fn a_length_that_lies_is_refused() {
    let bytes = artifact();
    let footer = bytes.len() - FOOTER_SIZE as usize;
    for field in [16, 24, 32, 40] {
        for value in [0, 1, 4096, 8192, bytes.len() as u64, 1 << 40, u64::MAX, u64::MAX - 4095] {
            let mut changed = bytes.clone();
            changed[footer + field..footer + field + 8].copy_from_slice(&value.to_le_bytes());
            match read(&changed) {
                // A payload that ends elsewhere in its last page; the manifest says which it is.
                Ok(layout) => assert!(changed == bytes || (field == 16 && layout.payload == value)),
                Err(error) => assert_ne!(changed, bytes, "{error}"),
            }
        }
    }
}

#[test]
fn attachments_are_limited() {
    let many = vec![Attachment { kind: 1, bytes: Vec::new() }; MAX_ATTACHMENTS + 1];
    package(&elf(PAYLOAD), ENVELOPE, &many[1..]).expect("as many as there may be");
    package(&elf(PAYLOAD), ENVELOPE, &many).expect_err("one too many");
    let long = [Attachment { kind: 1, bytes: vec![0; MAX_ATTACHMENTS_SIZE as usize] }];
    package(&elf(PAYLOAD), ENVELOPE, &long).expect_err("too long with its header");
}

#[test]
fn what_is_not_an_artifact_is_named() {
    let words = |bytes: &[u8]| read(bytes).expect_err("it is no artifact").to_string();
    assert_eq!(words(b""), "it does not end with the footer of an artifact");
    assert_eq!(words(&[0; 8192]), "it does not end with the footer of an artifact");
    assert_eq!(words(b"\0asm\x0d\0\x01\0"), "it is a WebAssembly component, not a signed artifact");
    assert_eq!(words(b"\0asm\x01\0\0\0"), "it is a WebAssembly core module, not a signed artifact");
    assert_eq!(
        words(&elf(PAYLOAD)),
        "it begins with native code and does not end with the footer of an artifact"
    );
}

#[test]
fn a_payload_of_any_length_round_trips() {
    for length in [193, 4095, 4096, 4097, 8192] {
        let bytes = package(&elf(length), ENVELOPE, &[]).expect("it is small");
        assert_eq!(read(&bytes).expect("it is whole").payload, length as u64);
        assert_eq!(bytes.len() - ENVELOPE.len() - FOOTER_SIZE as usize, length.next_multiple_of(4096));
    }
}
