//! Where an application may send requests, as a grant writes it: destinations, and the networks that their names
//! may lie in.
//!
//! Owns the one spelling of each, which recipe, manifest and launcher share: what is compared are values, never
//! texts that two readers could understand differently. Deliberately absent: looking names up, and which addresses
//! are public (the launcher's `address`).
//!
//! Invariant: `text.parse::<T>()?.to_string()` is the canonical spelling, and parses to the same value.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longest name of a host, as DNS has it.
pub const MAX_HOST_NAME: usize = 253;

/// Longest label of a host's name.
pub const MAX_LABEL: usize = 63;

/// Why a text is no destination: what was found or expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct DestinationError(&'static str);

/// Why a text is no network: what was found or expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NetworkError(&'static str);

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The port of a URL that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// The host of a URL or of a grant: a name in lower case, or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// `localhost`: this machine, whatever a resolver says.
    Localhost,
    /// Any other name, to be looked up.
    Name(String),
    /// An address, which only the same address matches.
    Address(IpAddr),
}

impl FromStr for Host {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let name = text.to_ascii_lowercase();
        if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return ipv6(address);
        }
        if name.contains(':') {
            return Err(DestinationError("an IPv6 address stands in brackets, like `[::1]:443`"));
        }
        // Resolvers read `127.1` and `0x7f.1` as addresses, so what ends like a number has to be one in full.
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.starts_with("0x") || !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
            return ipv4(&name);
        }
        if !name.is_ascii() {
            return Err(DestinationError("expected the name in ASCII, like `xn--mnchen-3ya.example`"));
        }
        if name == "localhost" {
            return Ok(Self::Localhost);
        }
        if name.len() <= MAX_HOST_NAME && name.split('.').all(is_label) {
            return Ok(Self::Name(name));
        }
        Err(DestinationError("expected `host:port` or `https://host`, like `api.example.com:443`"))
    }
}

fn ipv4(text: &str) -> Result<Host, DestinationError> {
    let address: Ipv4Addr =
        text.parse().map_err(|_| DestinationError("it is neither a name nor an IPv4 address"))?;
    one_host(IpAddr::V4(address))
}

fn ipv6(text: &str) -> Result<Host, DestinationError> {
    let address: Ipv6Addr =
        text.parse().map_err(|_| DestinationError("it is not an IPv6 address in brackets"))?;
    if address.to_ipv4_mapped().is_some() {
        return Err(DestinationError("it is an IPv4 address in the dress of IPv6, expected `a.b.c.d`"));
    }
    one_host(IpAddr::V6(address))
}

/// Systems take `0.0.0.0` for this machine, and a group is not one host.
fn one_host(address: IpAddr) -> Result<Host, DestinationError> {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(DestinationError("expected the address of one host"));
    }
    Ok(Host::Address(address))
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost => f.write_str("localhost"),
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// One entry of an allow-list: `host:port` (by HTTP and HTTPS) or `scheme://host[:port]` (by that one alone).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The host.
    pub host: Host,
    /// The port; always written.
    pub port: u16,
    /// `None`: both schemes.
    pub scheme: Option<Scheme>,
}

impl Destination {
    /// Whether a request to this place is one to this destination.
    pub fn covers(&self, scheme: Scheme, host: &Host, port: u16) -> bool {
        self.host == *host && self.port == port && self.scheme.is_none_or(|only| only == scheme)
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let (scheme, authority) = match text.split_once("://") {
            None => (None, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(Scheme::Https), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(Scheme::Http), rest),
            Some(_) => return Err(DestinationError("expected the scheme `https` or `http`")),
        };
        if authority.contains('*') {
            return Err(DestinationError("it is a pattern, and every host is named in full"));
        }
        if authority.contains(['/', '?', '#', '@', '\\']) {
            return Err(DestinationError("expected scheme, host and port, without path, query or user"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of a bare IPv6 address belongs to the address.
            Some((name, _)) if authority.ends_with(']') || name.contains(':') && !name.ends_with(']') => {
                (authority, None)
            }
            Some((name, port)) => (name, Some(port)),
            None => (authority, None),
        };
        let host = host.parse()?;
        let port = match (port, scheme) {
            (Some(port), _) => number(port)?,
            (None, Some(scheme)) => scheme.default_port(),
            (None, None) => {
                return Err(DestinationError(
                    "it has neither a scheme nor a port, which leaves open what is meant",
                ));
            }
        };
        Ok(Self { host, port, scheme })
    }
}

fn number(port: &str) -> Result<u16, DestinationError> {
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port == number.to_string() => Ok(number),
        _ => Err(DestinationError("its port is not a number from 1 to 65535")),
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{scheme}://")?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A network in CIDR notation, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                address.to_bits() & mask == first.to_bits()
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                address.to_bits() & mask == first.to_bits()
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let expected = NetworkError("expected a network like `10.0.0.0/8` or `fd00::/8`");
        let (address, length) = text.split_once('/').ok_or(expected)?;
        let first: IpAddr = address.parse().map_err(|_| expected)?;
        let prefix: u8 = length.parse().map_err(|_| expected)?;
        let longest = if first.is_ipv4() { 32 } else { 128 };
        if prefix > longest || length != prefix.to_string() {
            return Err(expected);
        }
        if first.to_canonical() != first {
            return Err(NetworkError("it is an IPv4 network in the dress of IPv6, expected `a.b.c.d/n`"));
        }
        let network = Self { first, prefix };
        if network.contains(first) {
            Ok(network)
        } else {
            Err(NetworkError("its address has bits beyond its prefix"))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Destination);
as_text!(Network);

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Destination>().unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
    }

    #[test]
    fn a_destination_has_one_spelling() {
        for (text, expected) in [
            ("API.example.com:8443", "api.example.com:8443"),
            ("https://example.com", "https://example.com:443"),
            ("HTTP://example.com", "http://example.com:80"),
            ("http://example.com:8080", "http://example.com:8080"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("https://[0:0::0:1]", "https://[::1]:443"),
            ("LocalHost:9000", "localhost:9000"),
        ] {
            assert_eq!(canonical(text), expected);
            assert_eq!(canonical(expected), expected);
        }
    }

    #[test]
    fn what_is_no_destination_is_refused() {
        for bad in [
            "example.com",
            "[::1]",
            "ftp://example.com",
            "https://example.com/",
            "https://user@example.com",
            "https://",
            "*.example.com:443",
            "example.com:443/path",
            "example.com:443#x",
            "user@example.com:443",
            "example.com:0",
            "example.com:65536",
            "example.com:",
            "example.com:+80",
            "example.com:080",
            "::1",
            "::1:80",
            "[::ffff:127.0.0.1]:80",
            "[fe80::1%eth0]:80",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "255.255.255.255:80",
            "a..b:80",
            "-a.b:80",
            "999.1.1.1:80",
            "127.1:80",
            "0x7f.1:80",
            "2130706433:80",
            "example.com.:80",
            "münchen.example:80",
            "a b:80",
            "",
        ] {
            assert!(bad.parse::<Destination>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scheme_narrows_and_its_absence_does_not() {
        let host = || Host::Name("a.example".to_owned());
        let both: Destination = "a.example:443".parse().unwrap();
        let one: Destination = "https://a.example".parse().unwrap();
        assert!(both.covers(Scheme::Https, &host(), 443) && both.covers(Scheme::Http, &host(), 443));
        assert!(one.covers(Scheme::Https, &host(), 443) && !one.covers(Scheme::Http, &host(), 443));
        assert!(!both.covers(Scheme::Https, &host(), 444));
        assert!(!both.covers(Scheme::Https, &Host::Localhost, 443));
    }

    #[test]
    fn a_network_contains_its_addresses_only() {
        let within = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap_or_else(|error| panic!("{network}: {error}"));
            assert_eq!(network.to_string().parse(), Ok(network));
            network.contains(address.parse().unwrap())
        };
        assert!(within("10.0.0.0/8", "10.255.0.1") && !within("10.0.0.0/8", "11.0.0.0"));
        assert!(within("10.0.0.0/8", "::ffff:10.0.0.1"), "the dress does not matter");
        assert!(within("192.168.1.7/32", "192.168.1.7") && !within("192.168.1.7/32", "192.168.1.6"));
        assert!(within("0.0.0.0/0", "1.2.3.4") && !within("0.0.0.0/0", "::1"));
        assert!(within("fd00::/8", "fd12::1") && !within("fd00::/8", "fe80::1"));
        for bad in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "fd00::/129",
            "fd00::/08",
            "a/8",
            "10/8",
            "::ffff:0:0/96",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
