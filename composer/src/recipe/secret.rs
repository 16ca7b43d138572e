//! Values that look like secrets, which must not be baked into an artifact.
//!
//! The shapes are those of the public lists that scanners share (gitleaks, detect-secrets) that are never anything else; the
//! thresholds of randomness are those of detect-secrets. A secret without a shape, under an innocent name, is not found.

/// What a name ends with whose value is a secret, written with hyphens.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api-key",
    "apikey",
    "access-key",
    "private-key",
    "secret-key",
    "credential",
    "credentials",
];

/// How a token begins, how many characters of a token follow at least, and what it is.
const SHAPES: &[(&str, usize, &str)] = &[
    ("AKIA", 16, "an AWS access key"),
    ("ASIA", 16, "an AWS access key"),
    ("ghp_", 36, "a GitHub token"),
    ("gho_", 36, "a GitHub token"),
    ("ghu_", 36, "a GitHub token"),
    ("ghs_", 36, "a GitHub token"),
    ("ghr_", 36, "a GitHub token"),
    ("github_pat_", 22, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("xoxb-", 10, "a Slack token"),
    ("xoxp-", 10, "a Slack token"),
    ("xoxa-", 10, "a Slack token"),
    ("xoxr-", 10, "a Slack token"),
    ("xoxs-", 10, "a Slack token"),
    ("xapp-", 10, "a Slack token"),
    ("AIza", 35, "a Google API key"),
    ("sk_live_", 10, "a Stripe key"),
    ("rk_live_", 10, "a Stripe key"),
    ("sk-ant-", 20, "an API key"),
    ("sk-proj-", 20, "an API key"),
    ("npm_", 36, "an npm token"),
    ("pypi-", 50, "a PyPI token"),
    ("hf_", 30, "a Hugging Face token"),
    ("dop_v1_", 64, "a DigitalOcean token"),
    ("AGE-SECRET-KEY-1", 50, "an age key"),
];

/// The shortest word that is judged by how random it is.
const MIN_RANDOM: usize = 32;
/// Bits for each character from which a word of hexadecimal digits is a secret.
const HEX_BITS: f64 = 3.0;
/// The same for words of base64.
const BASE64_BITS: f64 = 4.5;

/// Why the value under `name` looks like a secret, without saying it.
pub(super) fn suspicion(name: &str, value: &str) -> Option<String> {
    if let Some(what) = shape(value) {
        return Some(format!("its value looks like {what}"));
    }
    if words(value).any(is_random) {
        return Some("its value is long and looks random".to_owned());
    }
    let is_literal = !matches!(value, "" | "true" | "false");
    let end = secret_name(name).filter(|_| is_literal)?;
    Some(format!("its name ends with `{end}`"))
}

fn secret_name(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace(['_', '.', ' '], "-");
    NAMES.iter().find(|end| name.ends_with(*end)).copied()
}

fn shape(value: &str) -> Option<&'static str> {
    if has_password(value) {
        return Some("a URL with a password");
    }
    if words(value).any(is_web_token) {
        return Some("a JSON web token");
    }
    let following = |rest: &str| rest.bytes().take_while(|byte| is_token(*byte)).count();
    SHAPES.iter().find_map(|(begin, least, what)| {
        let mut found = value.match_indices(begin);
        found
            .any(|(at, _)| starts_word(value, at) && following(&value[at + begin.len()..]) >= *least)
            .then_some(*what)
    })
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

fn starts_word(value: &str, at: usize) -> bool {
    at == 0 || !value.as_bytes()[at - 1].is_ascii_alphanumeric()
}

/// Runs of what base64 and its variants are written with, and of the dots between them.
fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=_-.".contains(c)))
}

/// Three parts, of which two are objects in base64: `{"` is `eyJ`.
fn is_web_token(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 3 && parts[..2].iter().all(|part| part.starts_with("eyJ") && part.len() > 10)
}

/// `postgres://user:password@host`
fn has_password(value: &str) -> bool {
    value.match_indices("://").any(|(at, separator)| {
        let authority = value[at + separator.len()..].split(['/', '?', '#', ' ']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        user.split_once(':').is_some_and(|(_, password)| !password.is_empty())
    })
}

fn is_random(word: &str) -> bool {
    let has = |what: fn(&u8) -> bool| word.as_bytes().iter().any(what);
    if word.len() < MIN_RANDOM || !has(u8::is_ascii_digit) {
        return false;
    }
    if word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return has(u8::is_ascii_alphabetic) && entropy(word) >= HEX_BITS;
    }
    has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && entropy(word) >= BASE64_BITS
}

/// Shannon's, in bits for each character.
fn entropy(word: &str) -> f64 {
    let mut counts = [0u32; 256];
    word.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let length = word.len() as f64;
    let share = |count: &u32| f64::from(*count) / length;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_by_shape_randomness_and_name() {
        // Put together here, so that no scanner of this repository takes them for real ones.
        let github = format!("ghp_{}", "a1B2".repeat(9));
        let slack = format!("xoxb-{}", "123456789012");
        let token = format!("{}.{}.sig", "eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0");
        let hex = "9f86d081884c7d659a2feaa0c55ad015";
        let random = "Zt3kQ9vLx2RmB7sYwNpC4hJdFgE8aUiT1oK6";
        for (name, value, why) in [
            ("a", github.as_str(), "a GitHub token"),
            ("a", &format!("Bearer {slack}"), "a Slack token"),
            ("a", &token, "a JSON web token"),
            ("a", &format!("AKIA{}", "ABCDEFGHIJKLMNOP"), "an AWS access key"),
            ("a", "postgres://shop:hunter2@db/shop", "a URL with a password"),
            ("a", hex, "random"),
            ("a", random, "random"),
            ("DB_PASSWORD", "hunter2", "`password`"),
            ("smtp.api-key", "x", "`api-key`"),
            ("accessToken", "x", "`token`"),
        ] {
            let found = suspicion(name, value).unwrap_or_else(|| panic!("{name} = {value}"));
            assert!(found.contains(why) && !found.contains(value), "{found}");
        }
    }

    #[test]
    fn what_stands_in_configurations_is_no_secret() {
        for (name, value) in [
            ("currency", "EUR"),
            ("max-tokens", "4096"),
            ("tokenizer", "words"),
            ("DB_PASSWORD", ""),
            ("use-token", "true"),
            ("id", "123e4567-e89b-12d3-a456-426614174000"),
            ("url", "https://user@example.com:8080/some/long/path?with=a&query=of-some-length"),
            ("text", "a sentence that is longer than thirty-two characters, with 2 digits"),
            ("class", "com/example/application/Services2/Handler"),
            ("numbers", "12345678901234567890123456789012"),
        ] {
            assert_eq!(suspicion(name, value), None, "{name} = {value}");
        }
    }
}
