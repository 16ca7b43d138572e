//! `[sign]`: where the signing keys are read from. Never a key itself.

use std::path::PathBuf;

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::envelope::MAX_SIGNATURES;
use wadoo_signing::report::{Exit, Report};

use super::parse::sub_table;
use super::problems::{Problems, Table};
use super::{KeySource, Sign, Spanned};

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
        ],
    );
    let value = problems.required(&table, "keys", "[\"env:WADOO_SIGNING_KEY\"]")?;
    let mut keys: Vec<Spanned<KeySource>> = Vec::new();
    let mut whole = true;
    for item in problems.list("`sign.keys`", value, MAX_SIGNATURES)? {
        match read_source(item, problems) {
            Some(key) if keys.iter().any(|other| other.value == key.value) => {
                problems
                    .add(&key.span, Report::new(Exit::CouldNot, "the same key stands twice in `sign.keys`"));
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
    let value = match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
            KeySource::Env(name.to_owned())
        }
        Some(("file", path)) if !path.is_empty() && !path.contains('\0') => {
            KeySource::File(PathBuf::from(path))
        }
        // What may be a secret is not printed again.
        _ if text.contains("-----BEGIN") || text.len() > 200 => {
            let report = Report::new(Exit::CouldNot, "a signing key stands in the recipe")
                .because("a recipe is no place for a secret: it is copied, committed and attached")
                .hint("make a new key, and name where it is: `\"env:WADOO_SIGNING_KEY\"` or `\"file:signing.pem\"`");
            problems.add(&(item.span().start..item.span().start + 1), report);
            return None;
        }
        _ => {
            let report = Report::new(Exit::CouldNot, format!("a signing key cannot be read from `{text}`"))
                .because("expected `env:NAME` or `file:PATH`")
                .hint(format!("if it is a file: `\"file:{text}\"`"));
            problems.add(&item.span(), report);
            return None;
        }
    };
    Some(Spanned { value, span: item.span() })
}
