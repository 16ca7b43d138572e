//! `[instances]`: how requests share the instances of the application.

use std::time::Duration;

use wadoo_signing::manifest::{Concurrent, Lifetime, Reuse};
use wadoo_signing::report::{Exit, Report};

use super::parse::sub_table;
use super::problems::{Problems, Table};
use super::settings::{duration, known};
use super::{Limits, Spanned};

/// Requests that an instance answers before it is replaced, unless the recipe says otherwise.
const DEFAULT_REQUESTS: u32 = 1000;
/// Requests that a shared instance answers at once, unless the recipe says otherwise.
const DEFAULT_AT_ONCE: u32 = 16;
/// How long an instance waits for another request, unless the recipe says otherwise.
const DEFAULT_IDLE: Duration = Duration::from_secs(10);

const REQUESTS: (u64, u64) = (1, 1_000_000_000);
const AT_ONCE: (u64, u64) = (1, 10_000);
const WARM: (u64, u64) = (0, 10_000);

const NONE: &str = "none";
const SERIAL: &str = "serial";
const CONCURRENT: &str = "concurrent";

/// `None` where the recipe has no such table: each request has an instance of its own.
pub(super) fn read(
    root: &Table<'_>,
    limits: Option<&Limits>,
    problems: &mut Problems<'_>,
) -> Option<Option<Spanned<Reuse>>> {
    if !root.entries.contains_key("instances") {
        return Some(None);
    }
    let table = sub_table(root, "instances", problems)?;
    problems.check_keys(&table, &["reuse", "max-requests", "max-concurrent", "idle", "warm"], &[]);
    let reuse = problems
        .required(&table, "reuse", "\"serial\"")
        .and_then(|value| known(problems, "`instances.reuse`", value, &[NONE, SERIAL, CONCURRENT]));
    let number = |key: &str, default: u32, (least, most): (u64, u64), problems: &mut Problems<'_>| {
        let Some(value) = table.entries.get(key) else { return Some(default) };
        let number = problems.number(&format!("`instances.{key}`"), value, least, most)?;
        u32::try_from(number).ok()
    };
    let requests = number("max-requests", DEFAULT_REQUESTS, REQUESTS, problems);
    let at_once = number("max-concurrent", DEFAULT_AT_ONCE, AT_ONCE, problems);
    let warm = number("warm", 0, WARM, problems).and_then(|warm| check_warm(&table, warm, limits, problems));
    let idle = match table.entries.get("idle") {
        None => Some(DEFAULT_IDLE),
        Some(value) => duration(problems, "`instances.idle`", value),
    };
    let (reuse, idle) = (reuse?, idle?);
    let lifetime = Lifetime { requests: requests?, idle_ms: idle.as_millis() as u64 };
    // A bound that bounds nothing would be accepted and ignored.
    let idle_keys: &[&str] = match reuse.value {
        NONE => &["max-requests", "max-concurrent", "idle"],
        SERIAL => &["max-concurrent"],
        _ => &["warm"],
    };
    let mut all_count = true;
    for (key, _) in table.entries.iter().filter(|(key, _)| idle_keys.contains(&key.get_ref().as_ref())) {
        let what = format!("`instances.{}` means nothing with `reuse = \"{}\"`", key.get_ref(), reuse.value);
        problems
            .add(&key.span(), Report::new(Exit::CouldNot, what).hint("remove it, or choose another `reuse`"));
        all_count = false;
    }
    let value = match reuse.value {
        NONE => Reuse::None { warm: warm? },
        SERIAL => Reuse::Serial { lifetime, warm: warm? },
        _ => Reuse::Concurrent(Concurrent { at_once: at_once?, lifetime }),
    };
    all_count.then_some(Some(Spanned { value, span: reuse.span }))
}

/// More instances made ahead than requests run at a time would hold memory and nothing else.
fn check_warm(
    table: &Table<'_>,
    warm: u32,
    limits: Option<&Limits>,
    problems: &mut Problems<'_>,
) -> Option<u32> {
    let (Some(value), Some(limits)) = (table.entries.get("warm"), limits) else { return Some(warm) };
    if warm <= limits.concurrency {
        return Some(warm);
    }
    let report = Report::new(Exit::CouldNot, format!("`instances.warm` cannot be {warm}"))
        .because(format!("no more than {} requests run at a time (`limits.concurrency`)", limits.concurrency))
        .hint("lower it, or raise `concurrency` under `[limits]`");
    problems.add(&value.span(), report);
    None
}
