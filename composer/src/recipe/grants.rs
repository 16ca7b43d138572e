//! `[grants]`: what the launcher is asked to provide beyond the base set.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::report::{Exit, Report};

use super::parse::{MAX_LIST, Names, sub_table};
use super::problems::{Problems, Table, listed};
use super::source::Span;
use super::syntax::quoted;
use super::{Grant, InterfaceName, MAX_NAME, Spanned};
use crate::interfaces;

/// Ports of a host that is written without one.
const DEFAULT_PORTS: [u16; 2] = [443, 80];

/// What can be granted, by name.
const GRANTABLE: &[&str] = &["wasi:http/outgoing-handler", "wasi:http/client", "wasi:cli/environment"];

pub(super) fn read(
    root: &Table<'_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<InterfaceName, Spanned<Grant>>> {
    if !root.entries.contains_key("grants") {
        return Some(BTreeMap::new());
    }
    let table = sub_table(root, "grants", problems)?;
    problems.check_length(&table, MAX_LIST)?;
    let mut grants = Names::new("`[grants]`");
    for (key, value) in table.entries {
        let name = problems.parse_text::<InterfaceName>("a grant's name", key.get_ref(), &key.span());
        let grant = name.as_ref().and_then(|name| read_grant(name, key.span(), value, problems));
        grants.add(name, grant, key.span(), problems);
    }
    grants.finish()
}

fn read_grant(
    name: &InterfaceName,
    span: Span,
    value: &Node<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> Option<Spanned<Grant>> {
    if !GRANTABLE.contains(&name.id()) {
        problems.add(&span, ungrantable(name));
        return None;
    }
    let values = problems.table(format!("the grant `{name}`"), span.clone(), value)?;
    let grant = match name.id() {
        "wasi:cli/environment" => environment(&values, problems),
        _ => outgoing_http(&values, problems),
    };
    grant.map(|value| Spanned { value, span })
}

fn ungrantable(name: &InterfaceName) -> Report {
    // One version stands for all: which are in the base set is asked of the full name.
    let base = |version: &str| interfaces::in_base_set(&format!("{}@{version}", name.id()));
    if base("0.2.0") || base("0.3.0") {
        return Report::new(Exit::CouldNot, format!("`{name}` needs no grant"))
            .because("it is in the base set, which every launcher provides")
            .hint("remove the line");
    }
    if let Some(near) = interfaces::nearest(name.id(), GRANTABLE.iter().copied()) {
        return Report::new(Exit::CouldNot, format!("there is nothing to grant under `{name}`"))
            .hint(format!("did you mean `{near}`?"));
    }
    if !name.id().starts_with("wasi:") {
        return Report::new(Exit::CouldNot, format!("the launcher cannot provide `{name}`"))
            .because(format!("a launcher of this version can be granted {}", listed(GRANTABLE)))
            .hint("add a part that exports it, under `[components.NAME]`");
    }
    Report::new(Exit::CouldNot, format!("the grant `{name}` is not supported by this version yet"))
        .because(format!("a launcher of this version can be granted {}", listed(GRANTABLE)))
        .hint(format!(
            "add a part that exports it, or refuse it to the parts that import it: `deny = [\"{name}\"]`"
        ))
}

fn outgoing_http(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Grant> {
    problems.check_keys(
        table,
        &["hosts"],
        &[
            ("schemes", "limits by scheme come with a later version; write the port: `example.com:443`"),
            ("methods", "limits by method come with a later version"),
        ],
    );
    let value = problems.required(table, "hosts", "[\"api.example.com:443\"]")?;
    let mut hosts = BTreeSet::new();
    let mut whole = true;
    for item in problems.list("`hosts`", value, MAX_LIST)? {
        match read_host(item, problems) {
            Some(found) if found.iter().all(|host| hosts.contains(host)) => {
                twice(found.first().map_or("", String::as_str), item, problems);
                whole = false;
            }
            Some(found) => hosts.extend(found),
            None => whole = false,
        }
    }
    whole.then(|| Grant::OutgoingHttp { hosts: hosts.into_iter().collect() })
}

fn read_host(item: &Node<DeValue<'_>>, problems: &mut Problems<'_>) -> Option<Vec<String>> {
    let text = problems.string("a host", item)?;
    match host(text) {
        Ok(hosts) => Some(hosts),
        Err(because) => {
            let meant = meant(text);
            problems.refuse("a host", text, because, meant, &item.span());
            None
        }
    }
}

/// The host of a URL, or an IPv6 address in brackets.
fn meant(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let bracketed = format!("[{authority}]");
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    [format!("{authority}{port}"), authority.to_owned(), bracketed]
        .into_iter()
        .find(|candidate| host(candidate).is_ok())
}

/// `host:port`, lower case; a host without port means the ports of HTTPS and HTTP.
fn host(text: &str) -> Result<Vec<String>, &'static str> {
    if text.contains("//") {
        return Err("it is a URL, expected `host` or `host:port`");
    }
    if text.contains('*') {
        return Err("it is a pattern, and every host is named in full");
    }
    if text.contains(['/', '?', '#', '@']) {
        return Err("expected `host` or `host:port`, without path, query or user");
    }
    let (name, port) = match text.rsplit_once(':') {
        // The last colon of a bare IPv6 address belongs to the address.
        Some((name, _)) if text.ends_with(']') || name.contains(':') && !name.ends_with(']') => (text, None),
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let name = normal_name(name)?;
    match port {
        None => Ok(DEFAULT_PORTS.iter().map(|port| format!("{name}:{port}")).collect()),
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && port == number.to_string() => Ok(vec![format!("{name}:{number}")]),
            _ => Err("its port is not a number from 1 to 65535"),
        },
    }
}

/// A name in lower case or an address, each in the one spelling that the launcher compares.
fn normal_name(name: &str) -> Result<String, &'static str> {
    let name = name.to_ascii_lowercase();
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| "it is not an IPv6 address in brackets")?;
        return Ok(format!("[{address}]"));
    }
    if name.contains(':') {
        return Err("an IPv6 address stands in brackets, like `[::1]:443`");
    }
    // Resolvers read `127.1` and `0x7f.1` as addresses, so what ends like a number has to be one in full.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.starts_with("0x") || !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
        let address: Ipv4Addr = name.parse().map_err(|_| "it is neither a name nor an IPv4 address")?;
        return Ok(address.to_string());
    }
    if !name.is_ascii() {
        return Err("expected the name in ASCII, like `xn--mnchen-3ya.example`");
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(name);
    }
    Err("expected `host` or `host:port`, like `api.example.com:443`")
}

fn environment(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Grant> {
    problems.check_keys(table, &["keys"], &[("values", "baked values come with a later version")]);
    let value = problems.required(table, "keys", "[\"LANG\"]")?;
    let mut keys = BTreeSet::new();
    let mut whole = true;
    for item in problems.list("`keys`", value, MAX_LIST)? {
        match problems.string("a variable's name", item) {
            Some(key) if key.len() <= MAX_NAME && !key.contains(is_no_name) => {
                if !keys.insert(key.to_owned()) {
                    twice(key, item, problems);
                    whole = false;
                }
            }
            Some(key) => {
                let because = "expected one name in full, without spaces, `=`, `$` or `*`";
                problems.refuse("a variable's name", key, because, None, &item.span());
                whole = false;
            }
            None => whole = false,
        }
    }
    whole.then(|| Grant::Environment { keys: keys.into_iter().collect() })
}

fn is_no_name(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "=$*".contains(c)
}

fn twice(text: &str, item: &Node<DeValue<'_>>, problems: &mut Problems<'_>) {
    let report = Report::new(Exit::CouldNot, format!("{} stands twice in the list", quoted(text)));
    problems.add(&item.span(), report.hint("keep one of the two"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_lower_case_with_a_port() {
        assert_eq!(host("API.example.com:8443").unwrap(), ["api.example.com:8443"]);
        assert_eq!(host("example.com").unwrap(), ["example.com:443", "example.com:80"]);
        assert_eq!(host("127.0.0.1:80").unwrap(), ["127.0.0.1:80"]);
        assert_eq!(host("[::1]:80").unwrap(), ["[::1]:80"]);
        assert_eq!(host("[::1]").unwrap(), ["[::1]:443", "[::1]:80"]);
        assert_eq!(host("[0:0::0:1]:80").unwrap(), ["[::1]:80"]);
    }

    #[test]
    fn what_was_meant_is_found() {
        assert_eq!(meant("https://example.com/v1").as_deref(), Some("example.com:443"));
        assert_eq!(meant("http://user@example.com:8080").as_deref(), Some("example.com:8080"));
        assert_eq!(meant("::1").as_deref(), Some("[::1]"));
        assert_eq!(meant("*.example.com"), None);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "https://example.com",
            "*.example.com",
            "example.com/path",
            "user@example.com",
            "example.com:0",
            "example.com:65536",
            "example.com:",
            "example.com:+80",
            "::1",
            "::1:80",
            "a..b",
            "-a.b",
            "999.1.1.1",
            "127.1",
            "0x7f.1",
            "example.com.",
            "münchen.example",
            "a b",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
