//! `files` of a part: the folders beside the recipe that it reads, and where it sees them.
//!
//! Deliberately absent: whether the folders are there, and what is in them (see `inputs`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use wadoo_signing::manifest::{FilesystemGrant, Grant};
use wadoo_signing::mount::{MAX_MOUNTS, MountPath};
use wadoo_signing::report::{Exit, Report};

use super::problems::{Problems, Table};
use super::{InterfacePattern, Spanned, input};

/// How the interface is called by which a part sees its folders.
pub(crate) const PREOPENS: &str = "wasi:filesystem/preopens";

/// Reads the key of `part`; `granted` is what it is granted otherwise, `others` its `allow` and `deny`.
pub(super) fn read(
    part: &Table<'_>,
    granted: Option<&BTreeMap<InterfacePattern, Spanned<Grant>>>,
    others: [(&str, Option<&Vec<Spanned<InterfacePattern>>>); 2],
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<MountPath, Spanned<PathBuf>>> {
    let Some((name, value)) = part.entries.get_key_value("files") else { return Some(BTreeMap::new()) };
    let table = problems.table(format!("`files` of {}", part.name), name.span(), value)?;
    if table.entries.is_empty() {
        let report = Report::new(Exit::CouldNot, format!("`files` of {} is empty", part.name));
        problems.add(&name.span(), report.hint("remove it, or write `files = { \"/static\" = \"static\" }`"));
        return None;
    }
    problems.check_length(&table, MAX_MOUNTS)?;
    let mounts = granted.into_iter().flatten().filter_map(|(name, grant)| match &grant.value {
        Grant::Filesystem(FilesystemGrant { mounts, .. }) => Some((name, mounts, &grant.span)),
        _ => None,
    });
    let mut whole = true;
    // One grant has both, for whatever version the part imports.
    for (name, _, span) in mounts.clone().filter(|(name, ..)| name.to_string().contains('@')) {
        let what = format!("{} has `files`, and mounts for one version of the interface", part.name);
        let because = "files are seen by every version, and the mounts beside them";
        let hint = format!("write `\"{PREOPENS}\"` instead of `\"{name}\"`");
        problems.add(span, Report::new(Exit::CouldNot, what).because(because).hint(hint));
        whole = false;
    }
    let mounts: Vec<&MountPath> = mounts.flat_map(|(_, mounts, _)| mounts.keys()).collect();
    let folders = mounts.len() + table.entries.len();
    if folders > MAX_MOUNTS {
        let what = format!("{} has {folders} folders and mounts", part.name);
        let report = Report::new(Exit::CouldNot, what).because(format!("expected at most {MAX_MOUNTS}"));
        problems.add(&name.span(), report.hint("put several below one folder"));
        whole = false;
    }
    let mut files = BTreeMap::new();
    for (key, _) in table.entries {
        let seen = problems.parse_text::<MountPath>("where files are seen", key.get_ref(), &key.span());
        let folder = input::read_path(&table, key.get_ref(), problems);
        let (Some(seen), Some(folder)) = (seen, folder) else {
            whole = false;
            continue;
        };
        if mounts.contains(&&seen) {
            let what = format!("{} has both files and a mount at `{seen}`", part.name);
            let because = format!("its own `grants` have a mount at `{seen}`");
            problems.add(
                &key.span(),
                Report::new(Exit::CouldNot, what).because(because).hint("keep one of the two"),
            );
            whole = false;
        }
        files.insert(seen, folder);
    }
    for (list, patterns) in others {
        let contradicts = |pattern: &&Spanned<InterfacePattern>| {
            ["0.2.0", "0.3.0"].iter().any(|version| pattern.value.matches(&format!("{PREOPENS}@{version}")))
        };
        if let Some(pattern) = patterns.into_iter().flatten().find(contradicts) {
            let what = format!("{} has `files`, and `{}` under `{list}`", part.name, pattern.value);
            let report = match list {
                "allow" => Report::new(Exit::CouldNot, what)
                    .because("what is under `allow` gets the values of `[grants]`, and files are values of its own")
                    .hint(format!(
                        "write the mounts into its own table: `grants = {{ \"{PREOPENS}\" = {{ mounts = [{{ path = \"/data\" }}] }} }}`"
                    )),
                _ => Report::new(Exit::CouldNot, what)
                    .because("files are seen by the interface that is denied")
                    .hint("keep one of the two"),
            };
            problems.add(&pattern.span, report);
            whole = false;
        }
    }
    whole.then_some(files)
}
