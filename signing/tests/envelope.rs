//! The envelope: one encoding, every bit of it bound, and what a signature counts for.

mod sample;

use std::collections::BTreeMap;

use sample::{key, statement};
use wadoo_signing::envelope::{
    Envelope, EnvelopeError, MAX_ENVELOPE_SIZE, MAX_SIGNATURES, PAYLOAD_TYPE, pae,
};
use wadoo_signing::key::{KeyId, PublicKey, SigningKey};

fn trusting(keys: &[&SigningKey]) -> BTreeMap<KeyId, PublicKey> {
    keys.iter().map(|key| (key.public().id(), key.public())).collect()
}

fn body() -> Vec<u8> {
    statement(b"payload").encode()
}

/// Replaces the one `from` in the envelope's text.
fn altered(envelope: &Envelope, from: &str, to: &str) -> EnvelopeError {
    let text = String::from_utf8(envelope.encode()).expect("JSON is text");
    assert_eq!(text.matches(from).count(), 1, "`{from}` in {text}");
    Envelope::decode(text.replace(from, to).as_bytes()).expect_err("it is refused")
}

#[test]
fn what_is_signed_is_the_pae() {
    assert_eq!(pae(b"{}"), b"DSSEv1 28 application/vnd.in-toto+json 2 {}");
}

#[test]
fn an_envelope_round_trips() {
    let envelope = Envelope::sign(body(), &[key(), key(), key()]).expect("three keys");
    let decoded = Envelope::decode(&envelope.encode()).expect("its own encoding");
    assert_eq!(decoded, envelope);
    assert_eq!(decoded.statement(), body());
    let ids: Vec<_> = decoded.signatures().iter().map(|one| one.key).collect();
    assert!(ids.is_sorted(), "{ids:?}");
}

#[test]
fn the_order_of_signing_leaves_no_trace() {
    let (one, other) = (key(), key());
    let mut envelope = Envelope::sign(body(), std::slice::from_ref(&other)).expect("one key");
    envelope.add_signature(&one).expect("another key");
    assert_eq!(envelope, Envelope::sign(body(), &[one, other]).expect("two keys"));
}

#[test]
fn every_flipped_bit_is_refused() {
    let (one, other) = (key(), key());
    let bytes = Envelope::sign(b"{\"a\":1}".to_vec(), &[one.clone(), other.clone()]).expect("two").encode();
    let trusted = trusting(&[&one, &other]);
    let mut flipped = bytes.clone();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            flipped[at] ^= 1 << bit;
            if let Ok(envelope) = Envelope::decode(&flipped) {
                // A flipped digit of a key id names a key that nobody knows; the other signature still holds,
                // and the statement is the one that was signed.
                match envelope.verify(|id| trusted.get(id)) {
                    Ok(signers) => assert_eq!(signers.len(), 1, "byte {at}, bit {bit} means nothing"),
                    Err(error) => assert!(matches!(error, EnvelopeError::Wrong(_)), "{error}"),
                }
            }
            flipped[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_shorter_and_longer_text_is_refused() {
    let bytes = Envelope::sign(b"{}".to_vec(), &[key()]).expect("one key").encode();
    for length in 0..bytes.len() {
        Envelope::decode(&bytes[..length]).expect_err("something is missing");
    }
    for trailer in [&b" "[..], b"\n", b"{}", b"\0"] {
        Envelope::decode(&[&bytes, trailer].concat()).expect_err("something follows");
    }
}

#[test]
fn only_the_one_encoding_is_read() {
    let envelope = Envelope::sign(b"{}".to_vec(), &[key()]).expect("one key");
    let not_canonical = |from, to| assert_eq!(altered(&envelope, from, to), EnvelopeError::NotCanonical);
    not_canonical("{\"payload\":", "{ \"payload\":");
    not_canonical("\"payloadType\":", "\"payload\\u0054ype\":");
    not_canonical(
        "\"payload\":\"e30=\",\"payloadType\":\"application/vnd.in-toto+json\"",
        "\"payloadType\":\"application/vnd.in-toto+json\",\"payload\":\"e30=\"",
    );
    // Nothing of what nobody has verified is repeated, however long.
    let key = "k".repeat(200_000);
    let twice = altered(&envelope, "{\"payload\":", &format!("{{\"{key}\":1,\"{key}\":2,\"payload\":"));
    assert_eq!(twice.to_string(), "the envelope cannot be read: a key stands twice");
    let shape = |from, to| assert_eq!(altered(&envelope, from, to), EnvelopeError::Shape);
    shape("{\"payload\":", "{\"more\":1,\"payload\":");
    shape("{\"keyid\":", "{\"cert\":\"\",\"keyid\":");
    let broken = altered(&envelope, "{\"payload\":", "{");
    assert_eq!(broken.to_string(), "the envelope cannot be read: it is not JSON");
    // Base64 with other padding bits, and without padding.
    let field = |from, to| assert!(matches!(altered(&envelope, from, to), EnvelopeError::Field(_)));
    field("\"e30=\"", "\"e31=\"");
    field("\"e30=\"", "\"e30\"");
    field("\"keyid\":\"", "\"keyid\":\"0");
    field("\"sig\":\"", "\"sig\":\"AAAA");
}

#[test]
fn another_payload_type_never_passes() {
    let envelope = Envelope::sign(b"{}".to_vec(), &[key()]).expect("one key");
    for found in ["application/vnd.in-toto+json2", "APPLICATION/VND.IN-TOTO+JSON", "\\nerror: \\u001b[2J", ""]
    {
        let error = altered(&envelope, PAYLOAD_TYPE, found);
        assert_eq!(error, EnvelopeError::PayloadType);
    }
}

#[test]
fn signatures_are_counted_and_sorted() {
    let mut envelope = Envelope::sign(b"{}".to_vec(), &[key()]).expect("one key");
    for _ in 1..MAX_SIGNATURES {
        envelope.add_signature(&key()).expect("there is room");
    }
    Envelope::decode(&envelope.encode()).expect("as many as there may be");
    assert_eq!(envelope.add_signature(&key()), Err(EnvelopeError::Count { found: MAX_SIGNATURES + 1 }));
    assert_eq!(Envelope::sign(b"{}".to_vec(), &[]), Err(EnvelopeError::Count { found: 0 }));

    let (one, other) = (key(), key());
    let again = Envelope::sign(b"{}".to_vec(), &[one.clone(), one.clone()]);
    assert_eq!(again, Err(EnvelopeError::AlreadySigned(one.public().id())));

    let envelope = Envelope::sign(b"{}".to_vec(), &[one, other]).expect("two keys");
    let text = String::from_utf8(envelope.encode()).expect("JSON is text");
    let (head, rest) = text.split_once('[').expect("a list");
    let (first, second) = rest.trim_end_matches("]}").split_once("},").expect("two signatures");
    let decode = |list: String| Envelope::decode(format!("{head}[{list}]}}").as_bytes());
    decode(format!("{first}}},{second}")).expect("as it was");
    assert_eq!(decode(format!("{second},{first}}}")), Err(EnvelopeError::Order));
    assert_eq!(decode(format!("{second},{second}")), Err(EnvelopeError::Order));
    assert_eq!(decode(String::new()), Err(EnvelopeError::Count { found: 0 }));
}

#[test]
fn unknown_keys_are_ignored_and_known_ones_must_hold() {
    let (known, unknown) = (key(), key());
    let envelope = Envelope::sign(body(), &[known.clone(), unknown.clone()]).expect("two keys");
    let verify = |envelope: &Envelope, keys: &[&SigningKey]| {
        let trusted = trusting(keys);
        envelope.verify(|id| trusted.get(id))
    };
    assert_eq!(verify(&envelope, &[&known]), Ok([known.public().id()].into()));
    assert_eq!(verify(&envelope, &[&key()]), Ok([].into()));

    // The unknown key's signature under the known key's name: one that fails is a refusal, whatever else holds.
    let text = String::from_utf8(envelope.encode()).expect("JSON is text");
    let signature = |key: &SigningKey| {
        let from = text.find(&key.public().id().to_string()).expect("it signed") + 64 + 9;
        text[from..from + 88].to_owned()
    };
    let swapped = text.replace(&signature(&known), &signature(&unknown));
    let swapped = Envelope::decode(swapped.as_bytes()).expect("it is well-formed");
    let wrong = Err(EnvelopeError::Wrong(known.public().id()));
    assert_eq!(verify(&swapped, &[&known]), wrong);
    assert_eq!(verify(&swapped, &[&known, &unknown]), wrong);
    assert_eq!(verify(&swapped, &[&unknown]), Ok([unknown.public().id()].into()));
}

#[test]
fn length_and_depth_are_limited() {
    let long = vec![b' '; MAX_ENVELOPE_SIZE as usize + 1];
    assert_eq!(Envelope::decode(&long), Err(EnvelopeError::Size { found: MAX_ENVELOPE_SIZE + 1 }));
    let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    let error = Envelope::decode(deep.as_bytes()).expect_err("it is too deep").to_string();
    assert_eq!(error, "the envelope cannot be read: it is nested deeper than 32 levels");
}
