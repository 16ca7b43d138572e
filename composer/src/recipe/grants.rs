//! `[grants]`: what the launcher is asked to provide beyond the base set.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::report::{Exit, Report};

use super::parse::{MAX_LIST, sub_table};
use super::problems::{Problems, Table, not_supported};
use super::{Grant, InterfaceName, Spanned};

/// Ports of a host that is written without one.
const DEFAULT_PORTS: [u16; 2] = [443, 80];

pub(super) fn read(root: &Table<'_>, problems: &mut Problems<'_>) -> BTreeMap<InterfaceName, Spanned<Grant>> {
    let mut grants = BTreeMap::new();
    let Some(table) = sub_table(root, "grants", problems) else { return grants };
    for (key, value) in table.entries {
        let Some(name) = problems.parse_text::<InterfaceName>("a grant's name", key.get_ref(), &key.span())
        else {
            continue;
        };
        let Some(values) = problems.table(format!("the grant `{name}`"), key.span(), value) else { continue };
        let grant = match name.id() {
            "wasi:http/outgoing-handler" | "wasi:http/client" => outgoing_http(&values, problems),
            "wasi:cli/environment" => environment(&values, problems),
            _ => {
                let why =
                    "this version's launcher provides outgoing HTTP, and environment variables to commands";
                problems.add(&key.span(), not_supported(&format!("the grant `{name}`"), why));
                None
            }
        };
        if let Some(grant) = grant {
            grants.insert(name, Spanned { value: grant, span: key.span() });
        }
    }
    grants
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
            let text: String = text.chars().take(80).collect();
            let report = Report::new(Exit::CouldNot, format!("a host cannot be `{text}`")).because(because);
            problems
                .add(&item.span(), report.hint("write `host` or `host:port`, like `api.example.com:443`"));
            None
        }
    }
}

/// `host:port`, lower case; a host without port means the ports of HTTPS and HTTP.
fn host(text: &str) -> Result<Vec<String>, &'static str> {
    if text.contains("//") {
        return Err("it is a URL, expected a host alone");
    }
    if text.contains('*') {
        return Err("wildcards are not supported");
    }
    if text.contains(['/', '?', '#', '@']) {
        return Err("a host has no path, query or user");
    }
    let (name, port) = match text.rsplit_once(':') {
        // The last colon of a bare IPv6 address belongs to the address.
        Some((name, port)) if text.ends_with(']') || name.contains(':') && !name.ends_with(']') => {
            let _ = port;
            (text, None)
        }
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let name = name.to_ascii_lowercase();
    check_name(&name)?;
    match port {
        None => Ok(DEFAULT_PORTS.iter().map(|port| format!("{name}:{port}")).collect()),
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && port == number.to_string() => Ok(vec![format!("{name}:{number}")]),
            _ => Err("its port is not a number from 1 to 65535"),
        },
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().map(drop).map_err(|_| "it is not an IPv6 address in brackets");
    }
    if name.contains(':') {
        return Err("an IPv6 address stands in brackets, like `[::1]:443`");
    }
    if name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return name.parse::<Ipv4Addr>().map(drop).map_err(|_| "it is neither a name nor an IPv4 address");
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() <= 253 && name.split('.').all(label) { Ok(()) } else { Err("it is not the name of a host") }
}

fn environment(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Grant> {
    problems.check_keys(table, &["keys"], &[("values", "baked values come with a later version")]);
    let value = problems.required(table, "keys", "[\"LANG\"]")?;
    let mut keys = BTreeSet::new();
    let mut whole = true;
    for item in problems.list("`keys`", value, MAX_LIST)? {
        match problems.string("a variable's name", item) {
            Some(key) if !key.contains(['=', '\0', '*']) => {
                keys.insert(key.to_owned());
            }
            Some(key) => {
                let report = Report::new(
                    Exit::CouldNot,
                    format!("a variable's name cannot be `{}`", key.escape_debug()),
                );
                problems.add(&item.span(), report.because("it has `=`, `*` or a NUL in it"));
                whole = false;
            }
            None => whole = false,
        }
    }
    whole.then(|| Grant::Environment { keys: keys.into_iter().collect() })
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
            "a b",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
