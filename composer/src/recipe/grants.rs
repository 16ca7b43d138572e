//! `[grants]` and the `grants` of a part: what the launcher is asked to provide beyond the base set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use toml::Spanned as Node;
use toml::de::DeValue;
use wadoo_signing::destination::{Destination, DestinationError, Host, NetworkError};
use wadoo_signing::manifest::{EnvironmentGrant, FilesystemGrant, Grant, OutgoingHttp, SocketsGrant};
use wadoo_signing::mount::{Access, MAX_MOUNTS, MountPath, MountPathError};
use wadoo_signing::report::{Exit, Report};

use super::parse::{MAX_LIST, Names, sub_table};
use super::problems::{Problems, Refusal, Table, listed};
use super::source::Span;
use super::syntax::{clipped, quoted};
use super::{InterfacePattern, MAX_NAME, Spanned};
use crate::interfaces;

/// What can be granted, by name.
const GRANTABLE: &[&str] = &[
    "wasi:http/outgoing-handler",
    "wasi:http/client",
    "wasi:cli/environment",
    "wasi:filesystem/preopens",
    SOCKETS,
];

const SOCKETS: &str = "wasi:sockets/*";

pub(super) fn read(
    root: &Table<'_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<InterfacePattern, Spanned<Grant>>> {
    if !root.entries.contains_key("grants") {
        return Some(BTreeMap::new());
    }
    let table = sub_table(root, "grants", problems)?;
    read_table(&table, problems)
}

/// `grants` of a part.
pub(super) fn of_part(
    part: &Table<'_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<InterfacePattern, Spanned<Grant>>> {
    let Some((key, value)) = part.entries.get_key_value("grants") else { return Some(BTreeMap::new()) };
    let table = problems.table(format!("`grants` of {}", part.name), key.span(), value)?;
    read_table(&table, problems)
}

fn read_table(
    table: &Table<'_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<InterfacePattern, Spanned<Grant>>> {
    problems.check_length(table, MAX_LIST)?;
    let mut grants = Names::new(table.name.clone(), InterfacePattern::overlaps);
    for (key, value) in table.entries {
        let name = problems.parse_text::<InterfacePattern>("a grant's name", key.get_ref(), &key.span());
        let grant = name.as_ref().and_then(|name| read_grant(name, key.span(), value, problems));
        grants.add(name, grant, key.span(), problems);
    }
    grants.finish()
}

fn read_grant(
    name: &InterfacePattern,
    span: Span,
    value: &Node<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> Option<Spanned<Grant>> {
    let id = name.to_string();
    let id = id.split('@').next().unwrap_or(&id);
    if !GRANTABLE.contains(&id) {
        problems.add(&span, ungrantable(name, id));
        return None;
    }
    let values = problems.table(format!("the grant `{name}`"), span.clone(), value)?;
    let grant = match id {
        "wasi:cli/environment" => environment(&values, problems),
        "wasi:filesystem/preopens" => filesystem(&values, problems),
        SOCKETS => sockets(&values, problems),
        _ => outgoing_http(&values, problems),
    };
    grant.map(|value| Spanned { value, span })
}

fn ungrantable(name: &InterfacePattern, id: &str) -> Report {
    if id.starts_with("wasi:sockets/") {
        return Report::new(Exit::CouldNot, format!("there is nothing to grant under `{name}` alone"))
            .because("the interfaces of `wasi:sockets` share their sockets, and are granted together")
            .hint(format!("write `\"{SOCKETS}\" = {{ connect = [\"10.0.0.5:5432\"] }}`"));
    }
    // One version stands for all: which are in the base set is asked of the full name.
    let base = |version: &str| interfaces::in_base_set(&format!("{id}@{version}"));
    if base("0.2.0") || base("0.3.0") {
        return Report::new(Exit::CouldNot, format!("`{name}` needs no grant"))
            .because("it is in the base set, which every launcher provides")
            .hint("remove the line");
    }
    if let Some(near) = interfaces::nearest(id, GRANTABLE.iter().copied()) {
        return Report::new(Exit::CouldNot, format!("there is nothing to grant under `{name}`"))
            .hint(format!("did you mean `{near}`?"));
    }
    if !id.starts_with("wasi:") {
        return Report::new(Exit::CouldNot, format!("the launcher cannot provide `{name}`"))
            .because(format!("a launcher of this version can be granted {}", listed(GRANTABLE)))
            .hint("add a part that exports it, under `[components.NAME]`");
    }
    let hint = match id.starts_with("wasi:config/") {
        true => "bake its values into the parts that import it: `config = { KEY = \"value\" }`".to_owned(),
        false => {
            format!(
                "add a part that exports it, or refuse it to the parts that import it: `deny = [\"{name}\"]`"
            )
        }
    };
    Report::new(Exit::CouldNot, format!("the grant `{name}` is not supported by this version yet"))
        .because(format!("a launcher of this version can be granted {}", listed(GRANTABLE)))
        .hint(hint)
}

fn outgoing_http(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Grant> {
    problems.check_keys(
        table,
        &["hosts", "networks"],
        &[
            ("schemes", "write the scheme before the host: `https://example.com`"),
            ("methods", "limits by method come with a later version"),
        ],
    );
    let value = problems.required(table, "hosts", "[\"https://api.example.com\"]")?;
    let hosts: Option<BTreeSet<Destination>> = set("`hosts`", "a host", value, problems);
    let Some(networks) = table.entries.get("networks") else {
        return Some(Grant::OutgoingHttp(OutgoingHttp { hosts: hosts?, networks: BTreeSet::new() }));
    };
    let span = networks.span();
    let networks = set("`networks`", "a network", networks, problems);
    let hosts = hosts?;
    if !hosts.iter().any(|destination| matches!(destination.host, Host::Name(_))) {
        let report = Report::new(Exit::CouldNot, "`networks` has no effect")
            .because("it says where names may lead to, and no host is a name other than `localhost`");
        problems.add(&span, report.hint("remove it"));
        return None;
    }
    Some(Grant::OutgoingHttp(OutgoingHttp { hosts, networks: networks? }))
}

/// A list whose entries are all different.
fn set<T: FromStr<Err: Refusal> + Ord + Display>(
    list: &str,
    entry: &str,
    value: &Node<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> Option<BTreeSet<T>> {
    let mut found = BTreeSet::new();
    let mut whole = true;
    for item in problems.list(list, value, MAX_LIST)? {
        match problems.parsed::<T>(entry, item) {
            Some(Spanned { value, .. }) => {
                let text = value.to_string();
                if !found.insert(value) {
                    twice(&text, item, problems);
                    whole = false;
                }
            }
            None => whole = false,
        }
    }
    whole.then_some(found)
}

impl Refusal for DestinationError {
    fn because(&self) -> String {
        self.to_string()
    }

    /// The destination of a URL, an IPv6 address in brackets, a host by HTTPS.
    fn meant(&self, text: &str) -> Option<String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
        let candidates = match scheme {
            "" => [authority.to_owned(), format!("https://{authority}"), format!("https://[{authority}]")],
            _ => [format!("{scheme}://{authority}"), String::new(), String::new()],
        };
        candidates.into_iter().find(|candidate| candidate.parse::<Destination>().is_ok())
    }
}

impl Refusal for NetworkError {
    fn because(&self) -> String {
        self.to_string()
    }

    /// The network that has this one address.
    fn meant(&self, text: &str) -> Option<String> {
        let address: IpAddr = text.parse().ok()?;
        Some(format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }))
    }
}

fn sockets(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Grant> {
    problems.check_keys(
        table,
        &["connect"],
        &[
            (
                "listen",
                "only the launcher listens; sockets of the application's own come with a later version",
            ),
            ("lookup", "looking up names comes with a later version; list addresses"),
        ],
    );
    let value = problems.required(table, "connect", "[\"10.0.0.5:5432\"]")?;
    let connect: BTreeSet<SocketAddress> = set("`connect`", "an address", value, problems)?;
    let connect = connect.into_iter().map(|SocketAddress(address)| address).collect();
    Some(Grant::Sockets(SocketsGrant { connect }))
}

/// The address and port of one host.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SocketAddress(SocketAddr);

struct SocketAddressError;

impl FromStr for SocketAddress {
    type Err = SocketAddressError;

    fn from_str(text: &str) -> Result<Self, SocketAddressError> {
        match text.parse() {
            Ok(Destination { scheme: None, host: Host::Address(address), port }) => {
                Ok(Self(SocketAddr::new(address, port)))
            }
            _ => Err(SocketAddressError),
        }
    }
}

impl Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Refusal for SocketAddressError {
    fn because(&self) -> String {
        "expected the address and port of one host, like `10.0.0.5:5432` or `[fd00::5]:5432`".to_owned()
    }

    /// This machine, where its name was written.
    fn meant(&self, text: &str) -> Option<String> {
        let port = text.strip_prefix("localhost:")?;
        let meant = format!("127.0.0.1:{port}");
        meant.parse::<SocketAddress>().is_ok().then_some(meant)
    }
}

fn environment(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Grant> {
    problems.check_keys(table, &["keys"], &[("values", "values are baked into a part by its own `env`")]);
    let value = problems.required(table, "keys", "[\"LANG\"]")?;
    let keys = variables("`keys`", VARIABLE, value, problems)?;
    Some(Grant::Environment(EnvironmentGrant { keys }))
}

/// A list of names of variables; what each of them is, is `entry`.
pub(super) fn variables(
    list: &str,
    entry: &str,
    value: &Node<DeValue<'_>>,
    problems: &mut Problems<'_>,
) -> Option<BTreeSet<String>> {
    let keys: BTreeSet<VariableName> = set(list, entry, value, problems)?;
    Some(keys.into_iter().map(|VariableName(name)| name).collect())
}

/// The name of a variable that stands at `span`.
pub(super) fn variable_name(text: &str, span: &Span, problems: &mut Problems<'_>) -> Option<String> {
    problems.parse_text::<VariableName>(VARIABLE, text, span).map(|VariableName(name)| name)
}

/// Whether a variable can have this name.
pub(super) fn is_variable_name(text: &str) -> bool {
    text.parse::<VariableName>().is_ok()
}

/// How the name of a variable is called.
pub(super) const VARIABLE: &str = "a variable's name";

/// The name of one variable.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct VariableName(String);

struct VariableNameError;

impl FromStr for VariableName {
    type Err = VariableNameError;

    fn from_str(text: &str) -> Result<Self, VariableNameError> {
        let fits = !text.is_empty() && text.len() <= MAX_NAME && !text.contains(is_no_name);
        if fits { Ok(Self(text.to_owned())) } else { Err(VariableNameError) }
    }
}

impl Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Refusal for VariableNameError {
    fn because(&self) -> String {
        "expected one name in full, without spaces, `=`, `$` or `*`".to_owned()
    }

    fn meant(&self, _: &str) -> Option<String> {
        None
    }
}

fn is_no_name(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "=$*".contains(c)
}

/// An example of a mount, for hints.
const MOUNT: &str = "{ path = \"/data\" }";

fn filesystem(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Grant> {
    problems.check_keys(table, &["mounts"], &[]);
    let value = problems.required(table, "mounts", &format!("[{MOUNT}]"))?;
    let mut mounts = BTreeMap::new();
    let mut whole = true;
    for item in problems.list("`mounts`", value, MAX_MOUNTS)? {
        match mount(item, problems) {
            Some((path, access)) => {
                let text = path.to_string();
                if mounts.insert(path, access).is_some() {
                    twice(&text, item, problems);
                    whole = false;
                }
            }
            None => whole = false,
        }
    }
    whole.then_some(Grant::Filesystem(FilesystemGrant { mounts, files: BTreeMap::new() }))
}

fn mount(item: &Node<DeValue<'_>>, problems: &mut Problems<'_>) -> Option<(MountPath, Access)> {
    if let DeValue::String(path) = item.get_ref() {
        let report = Report::new(Exit::CouldNot, "a mount is a string, expected a table");
        problems.add(&item.span(), report.hint(format!("write `{{ path = \"{}\" }}`", clipped(path))));
        return None;
    }
    let table = problems.table("a mount", item.span(), item)?;
    problems.check_keys(&table, &["path", "access"], &[]);
    let path = problems.required(&table, "path", "\"/data\"")?;
    let path = problems.parsed::<MountPath>("the path of a mount", path);
    let access = match table.entries.get("access") {
        None => Some(Access::Read),
        Some(value) => access(value, problems),
    };
    Some((path?.value, access?))
}

fn access(value: &Node<DeValue<'_>>, problems: &mut Problems<'_>) -> Option<Access> {
    let text = problems.string("`access`", value)?;
    let access = text.parse().ok();
    if access.is_none() {
        let meant = match text {
            "ro" | "readonly" | "read-only" | "r" => Some("read".to_owned()),
            "rw" | "write" | "readwrite" | "read_write" => Some("read-write".to_owned()),
            _ => None,
        };
        problems.refuse("`access`", text, "expected `read` or `read-write`", meant, &value.span());
    }
    access
}

impl Refusal for MountPathError {
    fn because(&self) -> String {
        self.to_string()
    }

    fn meant(&self, text: &str) -> Option<String> {
        let names: Vec<&str> = text.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        let candidate = format!("/{}", names.join("/"));
        candidate.parse::<MountPath>().is_ok().then_some(candidate)
    }
}

fn twice(text: &str, item: &Node<DeValue<'_>>, problems: &mut Problems<'_>) {
    let report = Report::new(Exit::CouldNot, format!("{} stands twice in the list", quoted(text)));
    problems.add(&item.span(), report.hint("keep one of the two"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found() {
        let meant = |text: &str| text.parse::<Destination>().err().and_then(|error| error.meant(text));
        assert_eq!(meant("https://example.com/v1").as_deref(), Some("https://example.com"));
        assert_eq!(meant("http://user@example.com:8080").as_deref(), Some("http://example.com:8080"));
        assert_eq!(meant("example.com").as_deref(), Some("https://example.com"));
        assert_eq!(meant("::1").as_deref(), Some("https://[::1]"));
        assert_eq!(meant("*.example.com"), None);
    }
}
