//! `[components.*]`: the parts, their files, wires, and what each may reach.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::report::{Exit, Report};

use super::parse::{MAX_LIST, MAX_PARTS, MAX_PATH, Names, sub_table};
use super::problems::{Problems, Table, Unsupported};
use super::source::Spanned;
use super::syntax::{clipped, quoted};
use super::{Component, Grant, InterfaceName, InterfacePattern, PartName, grants};
use crate::interfaces;

pub(super) fn read(root: &Table<'_>, problems: &mut Problems<'_>) -> Option<BTreeMap<PartName, Component>> {
    let none = |problems: &mut Problems<'_>, table: &Table<'_>| {
        let report = Report::new(Exit::CouldNot, "the recipe has no components")
            .hint("add a table for each part: `[components.NAME]` with `path = \"….wasm\"`");
        problems.add_absent(table, "components", report);
        None
    };
    if !root.entries.contains_key("components") {
        return none(problems, root);
    }
    let table = sub_table(root, "components", problems)?;
    match table.entries.len() {
        0 => return none(problems, &table),
        count if count > MAX_PARTS => {
            let report = Report::new(Exit::CouldNot, format!("the recipe has {count} parts"));
            problems.add(&table.span, report.because(format!("expected at most {MAX_PARTS}")));
            return None;
        }
        _ => {}
    }
    let names: Vec<&str> = table.entries.iter().map(|(key, _)| key.get_ref().as_ref()).collect();
    let mut components = BTreeMap::new();
    let mut whole = true;
    for (key, value) in table.entries {
        let name = problems.parse_text::<PartName>("a part's name", key.get_ref(), &key.span());
        let title = format!("`[components.{}]`", clipped(key.get_ref()));
        if let DeValue::String(path) = value.get_ref() {
            let report = Report::new(Exit::CouldNot, format!("{title} is a string, expected a table"));
            let hint = format!("write `{} = {{ path = \"{}\" }}`", clipped(key.get_ref()), clipped(path));
            problems.add(&value.span(), report.hint(hint));
            whole = false;
            continue;
        }
        let part = problems
            .table(title, key.span(), value)
            .and_then(|part| read_component(&part, key, &names, problems));
        match (name, part) {
            (Some(name), Some(part)) => {
                components.insert(name, part);
            }
            _ => whole = false,
        }
    }
    whole.then_some(components)
}

const COMPONENT: &[&str] = &["path", "digest", "with", "allow", "deny", "grants"];
const COMPONENT_LATER: &[Unsupported] = &[
    ("oci", "parts from a registry come with a later version; name a file with `path`"),
    (
        "recipe",
        "a composition as a part comes with a later version; compose it with `--emit wasm` and name the file with `path`",
    ),
    ("module", "core modules come with a later version; make a component of it: `wasm-tools component new`"),
    ("config", "baked configuration comes with a later version"),
    ("env", "baked environment variables come with a later version"),
    ("args", "baked arguments come with a later version"),
    ("files", "baked files come with a later version"),
    ("open", "keys left to the device come with a later version"),
    (
        "memory",
        "a memory limit for each part comes with a later version; `[limits] memory` limits all parts together",
    ),
    ("world", "checking a part against a world comes with a later version"),
    ("isolate", "islands come with a later version"),
    ("initialize", "pre-initialisation comes with a later version"),
    ("publisher", "signatures of parts are checked by a later version; pin the part with `digest`"),
];

fn read_component(
    table: &Table<'_>,
    name: &Node<std::borrow::Cow<'_, str>>,
    names: &[&str],
    problems: &mut Problems<'_>,
) -> Option<Component> {
    problems.check_keys(table, COMPONENT, COMPONENT_LATER);
    // One of the later sources explains itself; a missing `path` beside it would be a second message for one cause.
    let elsewhere = ["oci", "recipe", "module"].iter().any(|key| table.entries.contains_key(*key));
    let path = match (table.entries.get("path"), elsewhere) {
        (None, true) => None,
        _ => problems
            .required(table, "path", "\"guests/part.wasm\"")
            .and_then(|value| read_path(value, problems)),
    };
    let digest = table.entries.get("digest").map(|value| problems.parsed("`digest`", value));
    let with = read_with(table, name.get_ref(), names, problems);
    let allow = read_patterns(table, "allow", problems);
    let deny = read_patterns(table, "deny", problems);
    let grants = grants::of_part(table, problems);
    if let (Some(allow), Some(deny)) = (&allow, &deny) {
        contradictions(table, allow, deny, problems);
    }
    if let (Some(grants), Some(allow), Some(deny)) = (&grants, &allow, &deny) {
        repetitions(table, grants, allow, deny, problems);
    }
    Some(Component {
        span: name.span(),
        path: path?,
        digest: match digest {
            Some(digest) => Some(digest?),
            None => None,
        },
        with: with?,
        allow: allow?,
        deny: deny?,
        grants: grants?,
    })
}

fn read_path(value: &Node<DeValue<'_>>, problems: &mut Problems<'_>) -> Option<Spanned<PathBuf>> {
    let text = problems.string("`path`", value)?;
    if text.contains(['*', '?', '[']) {
        let report = Report::new(Exit::CouldNot, "a pattern in `path` is not supported by this version yet");
        problems.add(&value.span(), report.hint("give each file a part of its own"));
        return None;
    }
    if text.len() > MAX_PATH || text.contains(char::is_control) {
        let because =
            format!("expected the path of a file, of at most {MAX_PATH} bytes, without control characters");
        problems.refuse("`path`", text, because, None, &value.span());
        return None;
    }
    if text.contains("://") {
        let report = Report::new(Exit::CouldNot, "an address in `path` is not supported by this version yet");
        problems.add(&value.span(), report.hint("download it, and name the file"));
        return None;
    }
    Some(Spanned { value: PathBuf::from(text), span: value.span() })
}

fn read_with(
    table: &Table<'_>,
    part: &str,
    names: &[&str],
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<InterfaceName, Spanned<PartName>>> {
    let Some(value) = table.entries.get("with") else { return Some(BTreeMap::new()) };
    let part = clipped(part);
    let with = problems.table(format!("`with` of `{part}`"), value.span(), value)?;
    problems.check_length(&with, MAX_LIST)?;
    let mut wires = Names::new("`with`", InterfaceName::overlaps);
    for (key, value) in with.entries {
        let import = problems.parse_text("an import's name", key.get_ref(), &key.span());
        let provider = read_part(value, names, problems).filter(|provider| {
            let own = provider.value.as_str() == part;
            if own {
                let what = format!("`{part}` cannot provide its own import {}", quoted(key.get_ref()));
                let hint = "name another part that exports it, or make a second part of the same file";
                problems.add(&provider.span, Report::new(Exit::CouldNot, what).hint(hint));
            }
            !own
        });
        wires.add(import, provider, key.span(), problems);
    }
    wires.finish()
}

/// The name of a part that the recipe has.
pub(super) fn read_part(
    value: &Node<DeValue<'_>>,
    names: &[&str],
    problems: &mut Problems<'_>,
) -> Option<Spanned<PartName>> {
    let part = problems.parsed::<PartName>("a part's name", value)?;
    if names.contains(&part.value.as_str()) {
        return Some(part);
    }
    let report = Report::new(Exit::CouldNot, format!("there is no part `{}`", part.value));
    let hint = match interfaces::nearest(part.value.as_str(), names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => parts(names),
    };
    // It may stand in a line that could not be read.
    problems.add_missing(&part.span, report.hint(hint));
    None
}

/// The parts that there are, as far as a line can hold them.
fn parts(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| quoted(name)).collect();
    match names.len() {
        1 => format!("the only part is {}", shown.concat()),
        count if count > SHOWN => format!("the parts are {} and {} more", shown.join(", "), count - SHOWN),
        _ => format!("the parts are {}", shown.join(", ")),
    }
}

fn read_patterns(
    table: &Table<'_>,
    key: &str,
    problems: &mut Problems<'_>,
) -> Option<Vec<Spanned<InterfacePattern>>> {
    let Some(value) = table.entries.get(key) else { return Some(Vec::new()) };
    let items = problems.list(&format!("`{key}` of {}", table.name), value, MAX_LIST)?;
    let mut patterns: Vec<Spanned<InterfacePattern>> = Vec::new();
    let mut whole = true;
    for item in items {
        match problems.parsed::<InterfacePattern>(&format!("an entry of `{key}`"), item) {
            Some(pattern) if patterns.iter().any(|other| other.value == pattern.value) => {
                let report =
                    Report::new(Exit::CouldNot, format!("`{}` stands twice in `{key}`", pattern.value));
                problems.add(&pattern.span, report.hint("remove one of the two"));
                whole = false;
            }
            Some(pattern) => patterns.push(pattern),
            None => whole = false,
        }
    }
    whole.then_some(patterns)
}

/// The same pattern under `allow` and `deny` has no meaning; a wider `deny` beside a narrower `allow` neither.
fn contradictions(
    table: &Table<'_>,
    allow: &[Spanned<InterfacePattern>],
    deny: &[Spanned<InterfacePattern>],
    problems: &mut Problems<'_>,
) {
    for denied in deny {
        if let Some(allowed) = allow.iter().find(|allowed| allowed.value.overlaps(&denied.value)) {
            let what = format!("{} both allows and denies `{}`", table.name, denied.value);
            let report =
                Report::new(Exit::CouldNot, what).because(format!("`allow` has `{}`", allowed.value));
            problems.add(&denied.span, report.hint("keep one of the two"));
        }
    }
}

/// What a part is granted alone, it need not be allowed, and must not be denied.
fn repetitions(
    table: &Table<'_>,
    grants: &BTreeMap<InterfacePattern, Spanned<Grant>>,
    allow: &[Spanned<InterfacePattern>],
    deny: &[Spanned<InterfacePattern>],
    problems: &mut Problems<'_>,
) {
    for (granted, grant) in grants {
        if let Some(allowed) = allow.iter().find(|allowed| allowed.value.overlaps(granted)) {
            let what = format!("{} both allows `{}` and is granted it alone", table.name, allowed.value);
            let report = Report::new(Exit::CouldNot, what)
                .because("what is under `allow` gets the values of `[grants]`, which all parts share")
                .because(format!("its own `grants` has values for `{granted}`"));
            problems.add(&allowed.span, report.hint("remove one of the two"));
        }
        if let Some(denied) = deny.iter().find(|denied| denied.value.overlaps(granted)) {
            let what = format!("{} both denies `{}` and is granted it", table.name, denied.value);
            let report = Report::new(Exit::CouldNot, what).because(format!("`grants` has `{granted}`"));
            problems.add(&grant.span, report.hint("keep one of the two"));
        }
    }
}
