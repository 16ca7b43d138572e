//! `[limits]` and `[build]`, with their defaults.

use std::time::Duration;

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::report::{Exit, Report};

use super::parse::{MAX_LIST, sub_table};
use super::problems::{Problems, Table, listed, not_supported};
use super::syntax::quoted;
use super::{Build, Limits, Spanned, quantity};
use crate::interfaces;
use crate::target::{CpuLevel, TRIPLES, Target};

const DEFAULT_LIMITS: Limits = Limits {
    memory: 128 << 20,
    timeout: None,
    body_timeout: Duration::from_secs(30),
    concurrency: 32,
    request_body: 16 << 20,
    request_headers: 64 << 10,
    resources: 1024,
    handles: 4096,
    host_call: 16 << 20,
    fields: 32 << 10,
    random: 1 << 20,
    cpu_quota: None,
};

/// The keys of `[limits]`.
pub(super) const LIMITS: [&str; 12] = [
    "memory",
    "timeout",
    "body-timeout",
    "concurrency",
    "request-body",
    "request-headers",
    "resources",
    "handles",
    "host-call",
    "fields",
    "random",
    "cpu-quota",
];

/// Least and most that each limit may be.
mod bounds {
    use std::time::Duration;

    pub(super) const MEMORY: (u64, u64) = (64 << 10, 4 << 30);
    pub(super) const TIME: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(24 * 3600));
    pub(super) const CONCURRENCY: (u64, u64) = (1, 10_000);
    pub(super) const REQUEST_BODY: (u64, u64) = (0, 1 << 40);
    /// hyper refuses a buffer below 8 KiB.
    pub(super) const REQUEST_HEADERS: (u64, u64) = (8 << 10, 1 << 20);
    /// A request takes about a dozen.
    pub(super) const RESOURCES: (u64, u64) = (16, 1_000_000);
    pub(super) const HANDLES: (u64, u64) = (64, 1_000_000);
    /// What the host's own streams move at once.
    pub(super) const HOST_CALL: (u64, u64) = (64 << 10, 1 << 30);
    pub(super) const FIELDS: (u64, u64) = (1 << 10, 1 << 20);
    pub(super) const RANDOM: (u64, u64) = (64, 64 << 20);
    pub(super) const CPU_QUOTA: (u32, u32) = (1, 10_000);
}

pub(super) fn limits(root: &Table<'_>, problems: &mut Problems<'_>) -> Option<Limits> {
    if !root.entries.contains_key("limits") {
        return Some(DEFAULT_LIMITS);
    }
    let table = sub_table(root, "limits", problems)?;
    let later = "a limit of a later version; this one would not enforce it";
    problems.check_keys(
        &table,
        &LIMITS,
        &[
            ("queue", later),
            ("connections", later),
            ("cpu", "the share of a processor is `cpu-quota`"),
            (
                "instances",
                "the composer counts the instances, memories and tables of the parts, and signs the numbers",
            ),
            ("tables", "the elements of tables are part of `memory`, 16 bytes each"),
            ("fuel", "instructions are not counted; `timeout` and `cpu-quota` bound what a guest computes"),
        ],
    );
    let default = DEFAULT_LIMITS;
    let memory =
        limit(&table, "memory", default.memory, |what, value| size(problems, what, value, bounds::MEMORY));
    let timeout =
        limit(&table, "timeout", default.timeout, |what, value| duration(problems, what, value).map(Some));
    let body_timeout =
        limit(&table, "body-timeout", default.body_timeout, |what, value| duration(problems, what, value));
    let concurrency = limit(&table, "concurrency", default.concurrency, |what, value| {
        let (least, most) = bounds::CONCURRENCY;
        problems.number(what, value, least, most).map(|number| number as u32)
    });
    let request_body = limit(&table, "request-body", default.request_body, |what, value| {
        size(problems, what, value, bounds::REQUEST_BODY)
    });
    let request_headers = limit(&table, "request-headers", default.request_headers, |what, value| {
        size(problems, what, value, bounds::REQUEST_HEADERS).map(|size| size as u32)
    });
    let mut number = |key, default: u32, (least, most)| {
        limit(&table, key, default, |what, value| {
            problems.number(what, value, least, most).map(|number| number as u32)
        })
    };
    let resources = number("resources", default.resources, bounds::RESOURCES);
    let handles = number("handles", default.handles, bounds::HANDLES);
    let mut in_bytes =
        |key, default, bounds| limit(&table, key, default, |what, value| size(problems, what, value, bounds));
    let host_call = in_bytes("host-call", default.host_call, bounds::HOST_CALL);
    let fields = in_bytes("fields", default.fields.into(), bounds::FIELDS).map(|size| size as u32);
    let random = in_bytes("random", default.random, bounds::RANDOM);
    let cpu_quota =
        limit(&table, "cpu-quota", default.cpu_quota, |what, value| percent(problems, what, value).map(Some));
    Some(Limits {
        memory: memory?,
        timeout: timeout?,
        body_timeout: body_timeout?,
        concurrency: concurrency?,
        request_body: request_body?,
        request_headers: request_headers?,
        resources: resources?,
        handles: handles?,
        host_call: host_call?,
        fields: fields?,
        random: random?,
        cpu_quota: cpu_quota?,
    })
}

/// What the recipe says of one limit, or its default.
fn limit<T>(
    table: &Table<'_>,
    key: &str,
    default: T,
    read: impl FnOnce(&str, &Node<DeValue<'_>>) -> Option<T>,
) -> Option<T> {
    match table.entries.get(key) {
        None => Some(default),
        Some(value) => read(&format!("`limits.{key}`"), value),
    }
}

/// A size within bounds: a string with a unit, or a number of bytes.
pub(super) fn size(
    problems: &mut Problems<'_>,
    what: &str,
    value: &Node<DeValue<'_>>,
    (least, most): (u64, u64),
) -> Option<u64> {
    let (text, size) = match value.get_ref() {
        DeValue::Integer(number) => {
            (number.to_string(), u64::from_str_radix(number.as_str(), number.radix()).unwrap_or(u64::MAX))
        }
        DeValue::String(text) => {
            let size = quantity::size(text)
                .map_err(|wrong| problems.refuse(what, text, wrong.because, wrong.meant, &value.span()));
            (text.clone().into_owned(), size.ok()?)
        }
        other => return problems.wrong_type(what, other, "a size like `64MiB`", &value.span()),
    };
    if (least..=most).contains(&size) {
        return Some(size);
    }
    let because = format!("expected `{}` to `{}`", quantity::written(least), quantity::written(most));
    problems.refuse(what, &text, because, None, &value.span());
    None
}

pub(super) fn duration(
    problems: &mut Problems<'_>,
    what: &str,
    value: &Node<DeValue<'_>>,
) -> Option<Duration> {
    if let DeValue::Integer(number) = value.get_ref() {
        let report =
            Report::new(Exit::CouldNot, format!("{what} is {}, without a unit", quoted(number.as_str())));
        problems.add(&value.span(), report.hint(format!("write seconds as `\"{number}s\"`")));
        return None;
    }
    let text = problems.string(what, value)?;
    let time = quantity::duration(text)
        .map_err(|wrong| problems.refuse(what, text, wrong.because, wrong.meant, &value.span()))
        .ok()?;
    let (least, most) = bounds::TIME;
    if (least..=most).contains(&time) {
        return Some(time);
    }
    problems.refuse(what, text, "expected `1ms` to `24h`", None, &value.span());
    None
}

/// A share of one processor: `"50%"`, or `"200%"` for two of them.
fn percent(problems: &mut Problems<'_>, what: &str, value: &Node<DeValue<'_>>) -> Option<u32> {
    let DeValue::String(text) = value.get_ref() else {
        return problems.wrong_type(what, value.get_ref(), "a share like `\"50%\"`", &value.span());
    };
    let (least, most) = bounds::CPU_QUOTA;
    let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let percent =
        digits.and_then(|digits| digits.parse().ok()).filter(|percent| (least..=most).contains(percent));
    if percent.is_none() {
        let because = format!("expected `{least}%` to `{most}%`, of one processor");
        problems.refuse(what, text, because, None, &value.span());
    }
    percent
}

pub(super) fn build(root: &Table<'_>, problems: &mut Problems<'_>) -> Option<Build> {
    if !root.entries.contains_key("build") {
        let cpu = CpuLevel::Baseline;
        return Some(Build {
            targets: Target::new(Target::default_triple(), cpu).into_iter().collect(),
            cpu,
            source_lines: true,
        });
    }
    let table = sub_table(root, "build", problems)?;
    problems.check_keys(
        &table,
        &["targets", "cpu", "source-lines"],
        &[
            ("profile", "other engine profiles come with a later version"),
            ("cache", "a cache of compiled code comes with a later version"),
            ("debug", "the native code has no debug information; lines of traps are `source-lines`"),
        ],
    );
    let (cpu, cpu_span) = match table.entries.get("cpu") {
        None => (CpuLevel::Baseline, 0..1),
        Some(value) => {
            let name = known(problems, "a CPU level", value, &CpuLevel::ALL.map(CpuLevel::name))?;
            (CpuLevel::by_name(name.value)?, name.span)
        }
    };
    let triples = match table.entries.get("targets") {
        // What the recipe does not say does not stand anywhere; the level that may not fit does.
        None => vec![Spanned { value: Target::default_triple(), span: cpu_span }],
        Some(value) => read_targets(problems, value)?,
    };
    let source_lines = match table.entries.get("source-lines") {
        None => true,
        Some(value) => problems.boolean("`build.source-lines`", value)?,
    };
    let mut targets = Vec::new();
    for triple in &triples {
        match Target::new(triple.value, cpu) {
            Some(target) => targets.push(target),
            None => {
                let what = format!("`{}` has no CPU level `{}`", triple.value, cpu.name());
                let hint = "leave `cpu` out, or compose the targets by recipes of their own";
                problems.add(&triple.span, Report::new(Exit::CouldNot, what).hint(hint));
            }
        }
    }
    (targets.len() == triples.len()).then_some(Build { targets, cpu, source_lines })
}

fn read_targets(
    problems: &mut Problems<'_>,
    value: &Node<DeValue<'_>>,
) -> Option<Vec<Spanned<&'static str>>> {
    let mut targets: Vec<Spanned<&'static str>> = Vec::new();
    let mut whole = true;
    for item in problems.list("`build.targets`", value, MAX_LIST)? {
        let later =
            item.get_ref().as_str().filter(|text| LATER_TARGETS.iter().any(|part| text.contains(part)));
        if let Some(text) = later {
            let report = not_supported(
                &format!("the target {}", quoted(text)),
                &format!("this version compiles for {}", listed(&TRIPLES)),
            );
            problems.add(&item.span(), report);
            whole = false;
            continue;
        }
        match known(problems, "a target", item, &TRIPLES) {
            Some(target) if targets.iter().any(|other| other.value == target.value) => {
                problems.add(
                    &target.span,
                    Report::new(Exit::CouldNot, format!("the target `{}` stands twice", target.value))
                        .hint("keep one of the two"),
                );
                whole = false;
            }
            Some(target) => targets.push(target),
            None => whole = false,
        }
    }
    whole.then_some(targets)
}

/// Targets of later versions, by what is in their triples.
const LATER_TARGETS: &[&str] = &["-darwin", "-windows", "-musl", "pulley", "-freebsd", "-android"];

/// One of the known words.
pub(super) fn known(
    problems: &mut Problems<'_>,
    what: &str,
    value: &Node<DeValue<'_>>,
    words: &[&'static str],
) -> Option<Spanned<&'static str>> {
    let text = problems.string(what, value)?;
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Some(Spanned { value: word, span: value.span() });
    }
    if text == "native" {
        let report = Report::new(Exit::CouldNot, format!("{what} cannot be `native`"))
            .because("the same recipe gives the same code on every machine, so the level has a name");
        problems.add(&value.span(), report.hint(format!("choose one of {}", listed(words))));
        return None;
    }
    let near = interfaces::nearest(text, words.iter().copied()).map(str::to_owned);
    problems.refuse(what, text, format!("this version knows {}", listed(words)), near, &value.span());
    None
}
