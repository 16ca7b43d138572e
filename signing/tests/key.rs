//! Keys: what is read, what is written, and what is refused with which words.

mod sample;

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, spki::der::pem::LineEnding};
use sample::key;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::key::{KeyError, MAX_PEM_SIZE, PublicKey, SigningKey, read_private, read_public};
use wadoo_signing::report::{Exit, Report};

/// The first bytes of the SPKI of every Ed25519 key.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The private key of RFC 8410, section 10.3.
const RFC_8410: &str = "-----BEGIN PRIVATE KEY-----\n\
                        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                        -----END PRIVATE KEY-----\n";
/// Its public half, as the same section prints it.
const RFC_8410_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
                               MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                               -----END PUBLIC KEY-----\n";

fn public_pem(point: [u8; 32]) -> String {
    let der = BASE64.encode([&SPKI[..], &point].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}

#[test]
fn the_keys_of_the_rfc_are_read_and_written() {
    let private = SigningKey::from_pem(RFC_8410).expect("an Ed25519 key");
    let public = PublicKey::from_pem(RFC_8410_PUBLIC).expect("an Ed25519 key");
    assert_eq!(private.public(), public);
    assert_eq!(private.to_pem().as_deref(), Ok(RFC_8410), "version 1, which every OpenSSL reads");
    assert_eq!(public.to_pem().as_deref(), Ok(RFC_8410_PUBLIC));
    let der = BASE64.decode(RFC_8410_PUBLIC.lines().nth(1).expect("the second line")).expect("base64");
    assert_eq!(public.id().to_string(), Sha256Digest::of(&der).hex());
    assert_eq!(public.id().short(), format!("{}…", &public.id().to_string()[..8]));
}

#[test]
fn version_2_and_foreign_line_ends_are_read() {
    let inner = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    for ending in [LineEnding::LF, LineEnding::CRLF] {
        let text = inner.to_pkcs8_pem(ending).expect("it has a PEM form");
        let key = SigningKey::from_pem(&text).expect("version 2");
        assert!(key.public().verifies(b"x", &key.sign(b"x")));
        assert!(key.to_pem().expect("it has a PEM form").len() < text.len(), "written as version 1");
    }
    SigningKey::from_pem(&format!("\n  {RFC_8410}\n\n")).expect("white space around it");
}

#[test]
fn weak_keys_are_refused() {
    // The points of order 1, 2, 4 and 8, in their canonical encodings (see curve25519-dalek's
    // EIGHT_TORSION), and the identity with its sign bit set.
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let unhex = |digits: &str| -> [u8; 32] {
        std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hex digits"))
    };
    let mut weak = vec![[0; 32], unhex(order_8)];
    weak.push(std::array::from_fn(|at| u8::from(at == 0)));
    weak.push(std::array::from_fn(|at| match at {
        0 => 0xec,
        31 => 0x7f,
        _ => 0xff,
    }));
    for point in weak {
        assert_eq!(PublicKey::from_pem(&public_pem(point)), Err(KeyError::Weak), "{point:02x?}");
    }
}

#[test]
fn signatures_hold_for_their_key_and_message_only() {
    let (one, other) = (key(), key());
    let signature = one.sign(b"message");
    assert!(one.public().verifies(b"message", &signature));
    assert!(!one.public().verifies(b"massage", &signature));
    assert!(!other.public().verifies(b"message", &signature));
    assert_eq!(one.sign(b"message"), signature, "the same bytes every time");
    for at in 0..signature.len() {
        for bit in 0..8 {
            let mut flipped = signature;
            flipped[at] ^= 1 << bit;
            assert!(!one.public().verifies(b"message", &flipped), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn what_is_no_key_is_refused_by_name() {
    let label = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let kind = |found: &str, expected| Err(KeyError::Kind { found: found.to_owned(), expected });
    let private = |text: &str| SigningKey::from_pem(text).map(|_| ());
    let public = |text: &str| PublicKey::from_pem(text).map(|_| ());
    assert_eq!(private(""), Err(KeyError::NotPem));
    assert_eq!(private("hello"), Err(KeyError::NotPem));
    assert_eq!(private(RFC_8410_PUBLIC), kind("PUBLIC KEY", "PRIVATE KEY"));
    assert_eq!(public(RFC_8410), kind("PRIVATE KEY", "PUBLIC KEY"));
    for found in ["ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
        assert_eq!(private(&label(found)), kind(found, "PRIVATE KEY"));
    }
    assert_eq!(public(&label("CERTIFICATE")), kind("CERTIFICATE", "PUBLIC KEY"));
    assert_eq!(private(&label("PRIVATE KEY")), Err(KeyError::Algorithm));
    assert_eq!(private(&RFC_8410.replace("MC4", "MC5")), Err(KeyError::Algorithm));
    // Not on the curve.
    assert!(public(&public_pem([2; 32])).is_err());
}

#[test]
fn a_second_key_in_a_file_is_not_ignored() {
    PublicKey::from_pem(&format!("{RFC_8410_PUBLIC}{RFC_8410_PUBLIC}")).expect_err("two public keys");
    SigningKey::from_pem(&format!("{RFC_8410}{RFC_8410}")).expect_err("two private keys");
    SigningKey::from_pem(&format!("{RFC_8410}and more\n")).expect_err("something follows");
}

#[test]
fn a_private_key_is_never_shown() {
    let key = SigningKey::from_pem(RFC_8410).expect("an Ed25519 key");
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().id().short()));
}

#[test]
fn files_that_are_no_keys_are_reported() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let words = |result: Result<(), Report>| {
        let report = result.expect_err("it is refused");
        assert_eq!(report.exit, Exit::CouldNot);
        report.because.join("\n")
    };
    let path = folder.path().join("absent.pem");
    assert_eq!(words(read_private(&path).map(drop)), "it does not exist");
    assert_eq!(words(read_public(folder.path()).map(drop)), "it is a folder");
    let path = sample::file(folder.path().join("long.pem"), vec![b'-'; MAX_PEM_SIZE as usize + 1]);
    assert_eq!(words(read_public(&path).map(drop)), "it is longer than 16384 bytes, the limit for a key");
    let path = sample::file(folder.path().join("binary.pem"), [0xff, 0xfe]);
    assert_eq!(words(read_public(&path).map(drop)), "it is not text");
}

#[test]
fn hints_say_what_to_do() {
    let hint = |found: &str, expected| {
        KeyError::Kind { found: found.to_owned(), expected }.report("k.pem").hint.expect("a hint")
    };
    assert!(hint("PRIVATE KEY", "PUBLIC KEY").contains("`openssl pkey -in k.pem -pubout`"));
    assert!(
        hint("ENCRYPTED PRIVATE KEY", "PRIVATE KEY").contains("`openssl pkey -in k.pem -out signing.pem`")
    );
    assert!(hint("PUBLIC KEY", "PRIVATE KEY").contains("public half"));
    assert!(hint("RSA PRIVATE KEY", "PRIVATE KEY").contains("`wadoo key new signing.pem`"));
}

#[test]
fn openssl_reads_our_keys_and_we_read_its() {
    if !sample::installed("openssl") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .current_dir(folder.path())
            .args(arguments.split(' '))
            .output()
            .expect("it starts");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("PEM is text")
    };
    let ours = key();
    fs::write(folder.path().join("ours.pem"), ours.to_pem().expect("it has a PEM form")).expect("written");
    assert_eq!(openssl("pkey -in ours.pem -pubout"), ours.public().to_pem().expect("it has a PEM form"));

    let theirs = SigningKey::from_pem(&openssl("genpkey -algorithm ed25519")).expect("an Ed25519 key");
    assert!(theirs.public().verifies(b"x", &theirs.sign(b"x")));

    let ec = openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    assert_eq!(SigningKey::from_pem(&ec).err(), Some(KeyError::Algorithm));
    let x25519 = openssl("genpkey -algorithm x25519");
    assert_eq!(SigningKey::from_pem(&x25519).err(), Some(KeyError::Algorithm));
}
