//! `[components.*]`: the parts, their files, wires, and what each may reach.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned as Node;
use toml::de::{DeTable, DeValue};
use wadoo_signing::report::{Exit, Report};

use super::parse::{MAX_LIST, MAX_PARTS, Names, sub_table};
use super::problems::{Problems, Table, Unsupported};
use super::source::Spanned;
use super::syntax::{clipped, quoted};
use super::{
    Component, Grant, InterfaceName, InterfacePattern, PartName, PathPattern, Provider, files, grants, input,
    memory, provider, values, world,
};
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
    let names = PartNames::of(table.entries);
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

const COMPONENT: &[&str] = &[
    "path",
    "module",
    "recipe",
    "assemble",
    "digest",
    "with",
    "allow",
    "deny",
    "grants",
    "config",
    "env",
    "args",
    "open",
    "not-secret",
    "files",
    "memory",
    "wit",
    "world",
];
const COMPONENT_LATER: &[Unsupported] = &[
    ("oci", "parts from a registry come with a later version; name a file with `path`"),
    ("isolate", "islands come with a later version"),
    ("initialize", "pre-initialisation comes with a later version"),
    ("publisher", "signatures of parts are checked by a later version; pin the part with `digest`"),
];

fn read_component(
    table: &Table<'_>,
    name: &Node<Cow<'_, str>>,
    names: &PartNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<Component> {
    problems.check_keys(table, COMPONENT, COMPONENT_LATER);
    let input = input::read(table, names, problems);
    let digest = table.entries.get("digest").map(|value| problems.parsed("`digest`", value));
    let with = read_with(table, name.get_ref(), names, problems);
    let allow = read_patterns(table, "allow", problems);
    let deny = read_patterns(table, "deny", problems);
    let grants = grants::of_part(table, problems);
    let values = values::read(table, grants.as_ref(), problems);
    let others = [("allow", allow.as_ref()), ("deny", deny.as_ref())];
    let files = files::read(table, grants.as_ref(), others, problems);
    let memory = memory::read(table, problems);
    let world = world::read(table, problems);
    if let (Some(allow), Some(deny)) = (&allow, &deny) {
        contradictions(table, allow, deny, problems);
    }
    if let (Some(grants), Some(allow), Some(deny)) = (&grants, &allow, &deny) {
        repetitions(table, grants, allow, deny, problems);
    }
    Some(Component {
        span: name.span(),
        pattern: None,
        input: input?,
        digest: match digest {
            Some(digest) => Some(digest?),
            None => None,
        },
        with: with?,
        allow: allow?,
        deny: deny?,
        grants: grants?,
        values: values?,
        files: files?,
        carried: None,
        memory: memory?,
        world: world?,
    })
}

fn read_with(
    table: &Table<'_>,
    part: &str,
    names: &PartNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<InterfaceName, Spanned<Provider>>> {
    let Some(value) = table.entries.get("with") else { return Some(BTreeMap::new()) };
    let part = clipped(part);
    let with = problems.table(format!("`with` of `{part}`"), value.span(), value)?;
    problems.check_length(&with, MAX_LIST)?;
    let mut wires = Names::new("`with`", InterfaceName::overlaps);
    for (key, value) in with.entries {
        let import = problems.parse_text("an import's name", key.get_ref(), &key.span());
        let title = format!("{} in `with` of `{part}`", quoted(key.get_ref()));
        let provider = provider::read(value, title, &["part", "export", "own"], names, problems);
        let provider = provider.filter(|provider| {
            let itself = provider.value.part.value.as_str() == part;
            if itself {
                let what = format!("`{part}` cannot provide its own import {}", quoted(key.get_ref()));
                let hint = "name another part that exports it, or make a second part of the same file";
                problems.add(&provider.value.part.span, Report::new(Exit::CouldNot, what).hint(hint));
            }
            !itself
        });
        wires.add(import, provider, key.span(), problems);
    }
    wires.finish()
}

/// The names that a recipe's text gives to parts.
pub(super) struct PartNames<'t> {
    tables: Vec<&'t str>,
    /// Those of `tables` that stand for the files of a pattern.
    patterns: Vec<&'t str>,
}

impl<'t> PartNames<'t> {
    /// The names in `[components]`; a part whose own table is wrong exists all the same.
    pub(super) fn of(components: &'t DeTable<'t>) -> Self {
        let is_pattern = |value: &Node<DeValue<'_>>| {
            let path = value.get_ref().as_table().and_then(|part| part.get("path"));
            path.and_then(|path| path.get_ref().as_str()).is_some_and(PathPattern::is_pattern)
        };
        let names = |(key, _): (&'t Node<Cow<'t, str>>, &Node<DeValue<'_>>)| key.get_ref().as_ref();
        Self {
            tables: components.iter().map(names).collect(),
            patterns: components.iter().filter(|(_, value)| is_pattern(value)).map(names).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Whether a part has this name, or can have it: the files of a pattern are not known yet.
    fn have(&self, name: &str) -> bool {
        let of_pattern =
            |pattern: &&str| name.strip_prefix(*pattern).is_some_and(|rest| rest.starts_with('-'));
        self.tables.contains(&name) || self.patterns.iter().any(of_pattern)
    }
}

/// The name of a part that the recipe has.
pub(super) fn read_part(
    value: &Node<DeValue<'_>>,
    names: &PartNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<Spanned<PartName>> {
    let part = problems.parsed::<PartName>("a part's name", value)?;
    if names.have(part.value.as_str()) {
        return Some(part);
    }
    let report = Report::new(Exit::CouldNot, format!("there is no part `{}`", part.value));
    let hint = match interfaces::nearest(part.value.as_str(), names.tables.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => parts(&names.tables),
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

pub(super) fn read_patterns(
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
pub(super) fn contradictions(
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
