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
    concurrency: 100,
    request_body: 16 << 20,
    request_headers: 64 << 10,
};

/// Least and most that each limit may be.
mod bounds {
    use std::time::Duration;

    pub(super) const MEMORY: (u64, u64) = (64 << 10, 4 << 30);
    pub(super) const TIME: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(24 * 3600));
    pub(super) const CONCURRENCY: (u64, u64) = (1, 10_000);
    pub(super) const REQUEST_BODY: (u64, u64) = (0, 1 << 40);
    /// hyper refuses a buffer below 8 KiB.
    pub(super) const REQUEST_HEADERS: (u64, u64) = (8 << 10, 1 << 20);
}

pub(super) fn limits(root: &Table<'_>, problems: &mut Problems<'_>) -> Option<Limits> {
    let mut limits = DEFAULT_LIMITS;
    if !root.entries.contains_key("limits") {
        return Some(limits);
    }
    let table = sub_table(root, "limits", problems)?;
    let known = ["memory", "timeout", "body-timeout", "concurrency", "request-body", "request-headers"];
    let later = "a limit of a later version; this one would not enforce it";
    problems.check_keys(
        &table,
        &known,
        &[
            ("queue", later),
            ("connections", later),
            ("cpu", later),
            ("instances", later),
            ("tables", later),
            ("fuel", later),
            ("reuse", later),
        ],
    );
    let mut whole = true;
    let mut take =
        |name: &str,
         problems: &mut Problems<'_>,
         read: &mut dyn FnMut(&mut Problems<'_>, &str, &Node<DeValue<'_>>) -> Option<()>| {
            if let Some(value) = table.entries.get(name) {
                whole &= read(problems, &format!("`limits.{name}`"), value).is_some();
            }
        };
    take("memory", problems, &mut |p, what, value| {
        size(p, what, value, bounds::MEMORY).map(|size| limits.memory = size)
    });
    take("timeout", problems, &mut |p, what, value| {
        duration(p, what, value).map(|time| limits.timeout = Some(time))
    });
    take("body-timeout", problems, &mut |p, what, value| {
        duration(p, what, value).map(|time| limits.body_timeout = time)
    });
    take("concurrency", problems, &mut |p, what, value| {
        let (least, most) = bounds::CONCURRENCY;
        p.number(what, value, least, most).map(|number| limits.concurrency = number as u32)
    });
    take("request-body", problems, &mut |p, what, value| {
        size(p, what, value, bounds::REQUEST_BODY).map(|size| limits.request_body = size)
    });
    take("request-headers", problems, &mut |p, what, value| {
        size(p, what, value, bounds::REQUEST_HEADERS).map(|size| limits.request_headers = size as u32)
    });
    whole.then_some(limits)
}

/// A size within bounds: a string with a unit, or a number of bytes.
fn size(
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
    let because = format!("expected {} to {}", bytes(least), bytes(most));
    problems.refuse(what, &text, because, None, &value.span());
    None
}

fn duration(problems: &mut Problems<'_>, what: &str, value: &Node<DeValue<'_>>) -> Option<Duration> {
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

fn bytes(number: u64) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if number >= size && number.is_multiple_of(size) {
            return format!("`{}{unit}`", number / size);
        }
    }
    format!("`{number}`")
}

pub(super) fn build(root: &Table<'_>, problems: &mut Problems<'_>) -> Option<Build> {
    let default = || vec![Spanned { value: Target::default_triple().to_owned(), span: 0..0 }];
    if !root.entries.contains_key("build") {
        return Some(Build { targets: default(), cpu: None });
    }
    let table = sub_table(root, "build", problems)?;
    problems.check_keys(
        &table,
        &["targets", "cpu"],
        &[
            ("profile", "other engine profiles come with a later version"),
            ("cache", "a cache of compiled code comes with a later version"),
            ("debug", "debug information comes with a later version"),
        ],
    );
    let cpu = match table.entries.get("cpu") {
        None => None,
        Some(value) => Some(known(problems, "a CPU level", value, &CpuLevel::ALL.map(CpuLevel::name))?),
    };
    let targets = match table.entries.get("targets") {
        None => default(),
        Some(value) => read_targets(problems, value)?,
    };
    let level = cpu.as_ref().and_then(|cpu| CpuLevel::by_name(&cpu.value)).unwrap_or(CpuLevel::Baseline);
    for target in &targets {
        if !level.fits(&target.value) {
            let what = format!("`{}` has no CPU level `{}`", target.value, level.name());
            let span = if target.span.is_empty() {
                cpu.as_ref().map_or(0..1, |cpu| cpu.span.clone())
            } else {
                target.span.clone()
            };
            problems.add(
                &span,
                Report::new(Exit::CouldNot, what)
                    .hint("leave `cpu` out, or compose the targets by recipes of their own"),
            );
        }
    }
    Some(Build { targets, cpu })
}

fn read_targets(problems: &mut Problems<'_>, value: &Node<DeValue<'_>>) -> Option<Vec<Spanned<String>>> {
    let mut targets: Vec<Spanned<String>> = Vec::new();
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
fn known(
    problems: &mut Problems<'_>,
    what: &str,
    value: &Node<DeValue<'_>>,
    words: &[&str],
) -> Option<Spanned<String>> {
    let text = problems.string(what, value)?;
    if words.contains(&text) {
        return Some(Spanned { value: text.to_owned(), span: value.span() });
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
