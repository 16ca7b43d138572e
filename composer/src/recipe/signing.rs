//! `[sign]`: where the signing keys are read from. Never a key itself.

use std::path::PathBuf;

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::envelope::MAX_SIGNATURES;
use wadoo_signing::report::{Exit, Report};

use super::parse::sub_table;
use super::problems::{Problems, Table};
use super::source::holds_private_key;
use super::{KeySource, MAX_NAME, MAX_PATH, Sign, Spanned};

/// `Some(None)`: there is no `[sign]`. `None`: there is one, and it is wrong.
pub(super) fn read(root: &Table<'_>, problems: &mut Problems<'_>) -> Option<Option<Sign>> {
    if !root.entries.contains_key("sign") {
        return Some(None);
    }
    let table = sub_table(root, "sign", problems)?;
    problems.check_keys(
        &table,
        &["keys"],
        &[
            ("threshold", "a threshold is the device's to demand: `threshold` in its policy"),
            ("command", "signing by another program comes with a later version"),
            ("not-after", "an end of validity comes with a later version"),
        ],
    );
    let value = problems.required(&table, "keys", "[\"env:WADOO_SIGNING_KEY\"]")?;
    let mut keys: Vec<Spanned<KeySource>> = Vec::new();
    let mut whole = true;
    for item in problems.list("`sign.keys`", value, MAX_SIGNATURES)? {
        match read_source(item, problems) {
            Some(key) if keys.iter().any(|other| other.value == key.value) => {
                problems.add(
                    &key.span,
                    Report::new(Exit::CouldNot, "the same key stands twice in `sign.keys`")
                        .hint("keep one of the two"),
                );
                whole = false;
            }
            Some(key) => keys.push(key),
            None => whole = false,
        }
    }
    whole.then_some(Some(Sign { keys }))
}

fn read_source(item: &Node<DeValue<'_>>, problems: &mut Problems<'_>) -> Option<Spanned<KeySource>> {
    let text = problems.string("a signing key", item)?;
    // Reported already, wherever in the text it stands; and never printed.
    if holds_private_key(text) {
        return None;
    }
    let value = match text.split_once(':') {
        Some(("env", name)) if is_variable(name) => KeySource::Env(name.to_owned()),
        Some(("file", path)) if is_path(path) => KeySource::File(PathBuf::from(path)),
        _ => {
            let because =
                "expected `env:NAME`, a variable that holds the key, or `file:PATH`, relative to the recipe";
            problems.refuse("a signing key", text, because, meant(text), &item.span());
            return None;
        }
    };
    Some(Spanned { value, span: item.span() })
}

/// A name that every shell can set.
fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.len() <= MAX_NAME
}

/// `file://` begins a URL, which this is not.
fn is_path(path: &str) -> bool {
    !path.is_empty() && path.len() <= MAX_PATH && !path.contains(char::is_control) && !path.starts_with("//")
}

/// A variable or a file without its kind before it.
fn meant(text: &str) -> Option<String> {
    let bare = text.trim_start_matches("env:").trim_start_matches('$').trim_matches(['{', '}']);
    let shouted = bare.bytes().all(|byte| !byte.is_ascii_lowercase());
    if shouted && is_variable(bare) {
        return Some(format!("env:{bare}"));
    }
    let path = text.strip_prefix("file://").unwrap_or(text);
    (!path.contains(':') && is_path(path) && text.len() <= 80).then(|| format!("file:{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_without_its_kind_is_recognised() {
        assert_eq!(meant("$WADOO_SIGNING_KEY").as_deref(), Some("env:WADOO_SIGNING_KEY"));
        assert_eq!(meant("env:${WADOO_KEY}").as_deref(), Some("env:WADOO_KEY"));
        assert_eq!(meant("signing.pem").as_deref(), Some("file:signing.pem"));
        assert_eq!(meant("file:///etc/key.pem").as_deref(), Some("file:/etc/key.pem"));
        assert_eq!(meant("kms://key"), None);
    }

    #[test]
    fn variables_have_names_that_a_shell_can_set() {
        assert!(is_variable("WADOO_SIGNING_KEY") && is_variable("_k1"));
        assert!(["", "1K", "A-B", "A B", "A=B", "Ä"].iter().all(|name| !is_variable(name)));
    }
}
