//! Damaged recipes and damaged components, from the text to the linked component: whatever was done to them, it ends with a component
//! that is valid, or with reports that name a place or a part.
//!
//! The short form runs with the other tests. The long form is 20 000 recipes and 5 000 components:
//! `WADOO_MUTATIONS=long cargo test -p wadoo-tests --test wiring_cases mutation -- --nocapture`.
//! `WADOO_SEED=N` begins elsewhere. A failure names the seed and the round, which give the same damage again.

mod components;
mod random;
mod recipes;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use wadoo::features;
use wadoo_signing::report::{Exit, Report};
use wasmparser::Validator;

use crate::run;

/// How many rounds a form has.
fn rounds(short: usize, long: usize) -> usize {
    match std::env::var("WADOO_MUTATIONS").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}

fn seed() -> u64 {
    std::env::var("WADOO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What came of the damaged ones.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    /// By the title of the first report, without names and numbers.
    refused: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Tally {
    /// Composes the recipe at `path` and judges the outcome; `context` says how to have it again.
    fn compose(&mut self, path: &Path, parts: &[&str], context: &str) {
        match catch_unwind(AssertUnwindSafe(|| run(path))) {
            Err(_) => self.failures.push(format!("{context}: a panic")),
            Ok(Ok((_, linked))) => {
                self.accepted += 1;
                for bytes in [linked.bytes.as_slice(), linked.portable()] {
                    if let Err(error) = Validator::new_with_features(features::engine()).validate_all(bytes) {
                        self.failures.push(format!("{context}: accepted, and {error}"));
                    }
                }
            }
            Ok(Err(reports)) => self.judge(path, parts, &reports, context),
        }
    }

    fn judge(&mut self, path: &Path, parts: &[&str], reports: &[Report], context: &str) {
        let text = std::fs::read(path).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n').count();
        let file = path.display().to_string();
        for report in reports {
            let printed = report.to_string();
            // A place in a recipe that is a part has lines of its own.
            let placed =
                report.place.as_ref().map(|place| place.file != file || (1..=lines).contains(&place.line));
            let named = || {
                let mut names = parts.iter().map(|part| format!("`{part}`"));
                names.any(|name| printed.contains(&name)) || printed.contains(&file)
            };
            if report.exit == Exit::Bug || !placed.unwrap_or_else(named) {
                self.failures.push(format!("{context}:\n{printed}"));
            }
        }
        let kind = reports.first().map_or("no report", |report| report.what.as_str());
        let kind: String = kind.split('`').step_by(2).collect::<Vec<_>>().join("…");
        let kind = kind.replace(|c: char| c.is_ascii_digit(), "");
        *self.refused.entry(kind).or_default() += 1;
    }

    /// Prints what there was; fails if anything was not as it should be.
    #[allow(clippy::print_stdout, reason = "the long form is read by a person")]
    fn finish(self, what: &str) -> (usize, usize) {
        let refused = self.refused.values().sum();
        println!("{what}: {} accepted, {refused} refused in {} ways", self.accepted, self.refused.len());
        let mut kinds: Vec<_> = self.refused.iter().collect();
        kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(**count), (*kind).clone()));
        for (kind, count) in kinds.iter().take(40) {
            println!("{count:7}  {kind}");
        }
        let shown: Vec<&str> = self.failures.iter().take(5).map(String::as_str).collect();
        assert!(shown.is_empty(), "{} failures, the first:\n{}", self.failures.len(), shown.join("\n\n"));
        (self.accepted, refused)
    }
}
