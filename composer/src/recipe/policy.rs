//! `[policy]`: what every part may reach or may not, unless the part's own table says otherwise.

use wadoo_signing::report::{Exit, Report};

use super::components::{contradictions, read_patterns};
use super::parse::sub_table;
use super::problems::{Problems, Table};
use super::{InterfacePattern, Spanned};

/// `[policy]`: defaults for every part.
#[derive(Debug, Default)]
pub struct Policy {
    /// `allow`: imports beyond the base set that parts may reach.
    pub allow: Vec<Spanned<InterfacePattern>>,
    /// `deny`: imports that are linked to an implementation whose every call fails.
    pub deny: Vec<Spanned<InterfacePattern>>,
}

pub(super) fn read(root: &Table<'_>, problems: &mut Problems<'_>) -> Option<Policy> {
    if !root.entries.contains_key("policy") {
        return Some(Policy::default());
    }
    let table = sub_table(root, "policy", problems)?;
    problems.check_keys(&table, &["allow", "deny"], &[]);
    if table.entries.is_empty() {
        let report = Report::new(Exit::CouldNot, "`[policy]` says nothing");
        problems
            .add(&table.span, report.hint("add a list, like `deny = [\"wasi:sockets/*\"]`, or remove it"));
        return None;
    }
    let allow = read_patterns(&table, "allow", problems);
    let deny = read_patterns(&table, "deny", problems);
    if let (Some(allow), Some(deny)) = (&allow, &deny) {
        contradictions(&table, allow, deny, problems);
    }
    Some(Policy { allow: allow?, deny: deny? })
}
