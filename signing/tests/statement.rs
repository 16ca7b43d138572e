//! The statement: one encoding, exact types, and fields that this version does not know.

mod sample;

use std::collections::BTreeSet;

use sample::statement;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::json::JsonError;
use wadoo_signing::manifest::{PREDICATE_TYPE, PartSpan, STATEMENT_TYPE};
use wadoo_signing::statement::{MAX_STATEMENT_SIZE, Statement, StatementError};

fn text() -> String {
    String::from_utf8(statement(b"payload").encode()).expect("JSON is text")
}

/// Replaces the first `from` in the statement's text.
fn altered(from: &str, to: &str) -> StatementError {
    let text = text();
    assert!(text.contains(from), "`{from}` in {text}");
    Statement::decode(text.replacen(from, to, 1).as_bytes()).expect_err("it is refused")
}

#[test]
fn a_statement_round_trips_and_names_itself() {
    let bytes = statement(b"payload").encode();
    assert_eq!(Statement::decode(&bytes), Ok(statement(b"payload")));
    assert_eq!(Statement::identity(&bytes), Sha256Digest::of(&bytes));
}

#[test]
fn it_is_an_in_toto_statement_about_one_payload() {
    let value: serde_json::Value = serde_json::from_str(&text()).expect("JSON");
    assert_eq!(value["_type"], STATEMENT_TYPE);
    assert_eq!(value["predicateType"], PREDICATE_TYPE);
    assert_eq!(value["subject"][0]["name"], "payload");
    assert_eq!(value["subject"][0]["digest"]["sha256"], Sha256Digest::of(b"payload").hex());
    let names: Vec<_> = value["subject"][0]["digest"].as_object().expect("a map").keys().collect();
    assert_eq!(names, ["blake3", "fsverity", "sha256"]);
    assert!(text().starts_with("{\"_type\":"), "{}", text());
    assert!(!text().contains(|c: char| c.is_whitespace()));
}

#[test]
fn no_bit_can_be_flipped_without_a_change_of_meaning() {
    let bytes = text().into_bytes();
    let signed = statement(b"payload");
    let mut flipped = bytes.clone();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            flipped[at] ^= 1 << bit;
            if let Ok(found) = Statement::decode(&flipped) {
                assert_ne!(found, signed, "byte {at}, bit {bit} means nothing");
            }
            flipped[at] ^= 1 << bit;
        }
    }
}

#[test]
fn another_kind_of_statement_never_passes() {
    for (expected, found) in [
        (STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1"),
        (STATEMENT_TYPE, "https://in-toto.io/statement/v1"),
        (PREDICATE_TYPE, "https://slsa.dev/provenance/v1"),
        (PREDICATE_TYPE, "urn:wadoo:manifest:v2"),
        (PREDICATE_TYPE, "urn:wadoo:manifest:v1 "),
        (PREDICATE_TYPE, ""),
    ] {
        assert_eq!(altered(expected, found), StatementError::Kind { found: found.to_owned(), expected });
    }
    // Told by its type even if nothing else of it is ours.
    let other = format!("{{\"_type\":\"{STATEMENT_TYPE}\",\"predicateType\":\"x\",\"predicate\":{{}}}}");
    assert!(matches!(Statement::decode(other.as_bytes()), Err(StatementError::Kind { .. })));
}

#[test]
fn what_this_version_does_not_know_is_told_apart() {
    let unknown = |from, to| match altered(from, to) {
        StatementError::Unknown(message) => message,
        error => panic!("{error}"),
    };
    assert!(unknown("\"predicate\":{", "\"predicate\":{\"sandbox\":true,").contains("`sandbox`"));
    assert!(unknown("\"limits\":{", "\"limits\":{\"cpuTime\":1,").contains("`cpuTime`"));
    assert!(unknown("\"outgoingHttp\"", "\"keyValue\"").contains("`keyValue`"));
    assert!(unknown("\"http-0.3\"", "\"timer\"").contains("`timer`"));
    assert_eq!(unknown("api.example.com:443", "*.example.com:443"), "a value of another type");
    assert_eq!(unknown("api.example.com:443", "gopher://a:70"), "a value of another type");
    assert_eq!(unknown("\"app\":{", "\"app\":{\"owner\":\"x\","), "unknown field `owner`");
    assert_eq!(unknown("\"development\":false,", ""), "missing field `development`");
    assert_eq!(unknown("\"development\":false", "\"development\":\"x\""), "a value of another type");
}

#[test]
fn the_subject_is_one_payload_with_three_digests() {
    let subject = |from: &str, to: &str| {
        let error = altered(from, to);
        assert!(
            matches!(error, StatementError::Subject | StatementError::Shape | StatementError::NotCanonical),
            "{error}"
        );
    };
    subject("\"blake3\":", "\"blake2\":");
    subject("\"digest\":{", "\"digest\":{\"md5\":\"\",");
    subject("\"subject\":[{", "\"subject\":[],\"x\":[{");
    subject("\"name\":\"payload\"", "\"name\":\"other\"");
    subject("\"name\":\"payload\"", "\"name\":\"payload\",\"uri\":\"x\"");
    let digest = Sha256Digest::of(b"payload").hex();
    subject(&format!("\"sha256\":\"{digest}\""), &format!("\"sha256\":\"sha256:{digest}\""));
    let without = format!(",\"sha256\":\"{digest}\"");
    subject(&without, "");
}

#[test]
fn only_the_one_encoding_is_read() {
    for (from, to) in [
        ("{\"_type\":", "{ \"_type\":"),
        ("\"development\":false", "\"development\": false"),
        ("\"name\":\"shop\"", "\"name\":\"sho\\u0070\""),
        ("\"name\":\"shop\",\"version\":\"1.4.0\"", "\"version\":\"1.4.0\",\"name\":\"shop\""),
        ("\"concurrency\":100", "\"concurrency\":100.0"),
        ("\"attachments\":[]", "\"attachments\":[],\"notAfter\":null"),
    ] {
        let error = altered(from, to);
        assert!(
            matches!(
                error,
                StatementError::NotCanonical | StatementError::Unknown(_) | StatementError::Json(_)
            ),
            "{error}"
        );
    }
    assert_eq!(
        altered("\"development\":false", "\"development\":false,\"development\":true"),
        StatementError::Json(JsonError::Duplicate)
    );
    Statement::decode(format!("{}\n", text()).as_bytes()).expect_err("something follows");
}

#[test]
fn length_and_depth_are_limited() {
    let found = MAX_STATEMENT_SIZE + 1;
    assert_eq!(Statement::decode(&vec![b' '; found]), Err(StatementError::Size { found }));
    let nested = |levels: usize| {
        let deep = ["[".repeat(levels), "]".repeat(levels)].concat();
        altered("\"predicate\":{", &format!("\"predicate\":{{\"x\":{deep},")).to_string()
    };
    // The statement and its predicate are two levels.
    assert!(!nested(30).contains("nested"));
    assert!(nested(31).contains("nested deeper than 32 levels"));
    assert!(nested(100_000).contains("nested deeper than 32 levels"));
}

#[test]
fn parts_are_found_by_the_offsets_of_their_code() {
    let span = |start, end, names: &[&str]| PartSpan {
        start,
        end,
        names: names.iter().map(ToString::to_string).collect(),
    };
    let mut statement = statement(b"payload");
    statement.manifest.parts = vec![span(10, 20, &["a", "b"]), span(22, 30, &["a/denied"])];
    assert_eq!(Statement::decode(&statement.encode()).as_ref(), Ok(&statement));
    let at = |offset| statement.manifest.parts_at(offset);
    let both = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
    assert_eq!([at(9), at(10), at(19), at(20)], [None, Some(&both), Some(&both), None]);
    assert_eq!(at(29).map(BTreeSet::len), Some(1));
}
