//! Where outgoing requests of an application may go.
//!
//! Owns the allow-list of one grant, what a URI means, and which addresses a granted name may lead to.
//! Deliberately absent: connections (see `upstream`). Redirects are further requests of the guest's, and judged
//! as such.
//!
//! Invariants: nothing is looked up before scheme, host and port were found in the grant; the addresses returned
//! are those that were judged, so that a name that is bound to another address a moment later changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread;

use futures::channel::oneshot;
use http::Uri;
use tokio::sync::Semaphore;
use wadoo_signing::destination::{Host, Scheme};
use wadoo_signing::manifest::OutgoingHttp;
use wasmtime_wasi_http::Error;

use crate::address::is_public;

/// Addresses of one name that are tried.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// Names that are looked up at a time, each on a thread that only the resolver gives back: it may take its time, and
/// who asked may be gone.
pub(crate) const MAX_LOOKUPS: usize = 16;

/// The destinations of one grant. Nothing granted: no destination.
#[derive(Debug)]
pub(crate) struct Egress {
    grant: OutgoingHttp,
    lookups: Arc<Semaphore>,
}

/// Where a request goes, taken from its URI once, so that what was allowed is what is connected to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// Whether a request with TLS could be permitted.
pub(crate) fn takes_tls(grant: &OutgoingHttp) -> bool {
    grant.hosts.iter().any(|granted| granted.scheme != Some(Scheme::Http))
}

impl Egress {
    pub(crate) fn new(grant: OutgoingHttp) -> Self {
        Self { grant, lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// The target of a request, if it may be sent there.
    pub(crate) fn permit(&self, uri: &Uri) -> Result<Target, Error> {
        let target = Target::of(uri)?;
        let mut hosts = self.grant.hosts.iter();
        let covered = hosts.any(|granted| granted.covers(target.scheme, &target.host, target.port));
        if covered { Ok(target) } else { Err(Error::HttpRequestDenied) }
    }

    /// The addresses that a permitted target may be reached at, in the order in which to try them.
    pub(crate) async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Error> {
        let addresses = match &target.host {
            // It stands in the grant as it is.
            Host::Address(address) => vec![*address],
            Host::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Host::Name(name) => self.look_up(name, target.port).await?,
        };
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, target.port)).collect())
    }

    async fn look_up(&self, name: &str, port: u16) -> Result<Vec<IpAddr>, Error> {
        let failed = || Error::DnsError { rcode: None, info_code: None };
        let place = Arc::clone(&self.lookups).acquire_owned().await.map_err(|_| failed())?;
        let name = name.to_owned();
        let (tell, told) = oneshot::channel();
        let resolve = move || {
            let found = (name.as_str(), port).to_socket_addrs();
            drop(place);
            // Who asked may be gone.
            let _ = tell.send(found);
        };
        // Not one of tokio's threads: asking for those panics where the system has none to give.
        thread::Builder::new().name("lookup".to_owned()).spawn(resolve).map_err(|_| failed())?;
        let found = told.await.map_err(|_| failed())?.map_err(|_| failed())?;
        self.judge(found.map(|address| address.ip().to_canonical()).collect())
    }

    /// Leaves of a name's addresses those that it may have: public ones, and those in a granted network.
    fn judge(&self, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Error> {
        if found.is_empty() {
            return Err(Error::DestinationNotFound);
        }
        let granted = |address: IpAddr| self.grant.networks.iter().any(|network| network.contains(address));
        let permitted = found.into_iter().filter(|&address| is_public(address) || granted(address));
        let permitted: Vec<_> = permitted.take(MAX_ADDRESSES).collect();
        if permitted.is_empty() { Err(Error::DestinationIpProhibited) } else { Ok(permitted) }
    }
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let scheme = match uri.scheme_str() {
            None | Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            Some(_) => return Err(Error::HttpProtocolError),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        // User information would let the text before `@` pass for the host in the eyes of a reader.
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        let port = match authority.port() {
            Some(port) => port.as_str().parse().map_err(|_| Error::HttpRequestUriInvalid)?,
            None if authority.as_str().ends_with(':') => return Err(Error::HttpRequestUriInvalid),
            None => scheme.default_port(),
        };
        // Read as a grant is read: a text that a resolver might take for an address is refused, not compared.
        let host = authority.host().parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        Ok(Self { scheme, host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(hosts: &[&str], networks: &[&str]) -> Egress {
        let hosts = hosts.iter().map(|host| host.parse().expect("a destination")).collect();
        let networks = networks.iter().map(|network| network.parse().expect("a network")).collect();
        Egress::new(OutgoingHttp { hosts, networks })
    }

    fn permit(egress: &Egress, uri: &str) -> Result<Target, Error> {
        egress.permit(&uri.parse().unwrap_or_else(|_| panic!("{uri} is no URI")))
    }

    #[test]
    fn scheme_host_and_port_decide() {
        let egress = egress(&["https://api.example.com", "b.example:8080", "127.0.0.1:80", "[::1]:80"], &[]);
        for uri in [
            "https://api.example.com/x",
            "https://API.example.com:443/x",
            "http://b.example:8080/",
            "https://b.example:8080/",
            "http://127.0.0.1/",
            "http://[0:0:0:0:0:0:0:1]/",
        ] {
            assert!(permit(&egress, uri).is_ok(), "{uri}");
        }
        for uri in [
            "http://api.example.com/",
            "http://api.example.com:443/",
            "https://api.example.com:8443/",
            "https://example.com/",
            "https://x.api.example.com/",
            "http://b.example/",
            "http://localhost/",
            "http://127.0.0.2/",
        ] {
            assert!(matches!(permit(&egress, uri), Err(Error::HttpRequestDenied)), "{uri}");
        }
    }

    #[test]
    fn what_is_no_plain_place_is_invalid() {
        let egress = egress(&["api.example.com:443", "127.0.0.1:80"], &[]);
        for uri in [
            "https://api.example.com@evil.example/",
            "https://evil.example@api.example.com/",
            "https://api.example.com./",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
            "/only/a/path",
        ] {
            assert!(matches!(permit(&egress, uri), Err(Error::HttpRequestUriInvalid)), "{uri}");
        }
        assert!(matches!(permit(&egress, "ftp://api.example.com/"), Err(Error::HttpProtocolError)));
    }

    #[test]
    fn a_name_leads_to_public_addresses_and_granted_networks_only() {
        let judge = |egress: &Egress, found: &[&str]| {
            egress.judge(found.iter().map(|address| address.parse().expect("an address")).collect())
        };
        let public = egress(&["a.example:80"], &[]);
        for near in
            ["127.0.0.1", "::1", "::ffff:10.0.0.1", "10.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0"]
        {
            assert!(matches!(judge(&public, &[near]), Err(Error::DestinationIpProhibited)), "{near}");
        }
        // One of both kinds: the near one is left out, not tried last.
        let both = judge(&public, &["127.0.0.1", "1.1.1.1"]).unwrap();
        assert_eq!(both, ["1.1.1.1".parse::<IpAddr>().unwrap()]);
        assert!(matches!(judge(&public, &[]), Err(Error::DestinationNotFound)));

        let near = egress(&["a.example:80"], &["10.1.0.0/16"]);
        assert!(judge(&near, &["10.1.2.3"]).is_ok());
        assert!(matches!(judge(&near, &["10.2.2.3"]), Err(Error::DestinationIpProhibited)));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn localhost_is_this_machine_without_asking() {
        let egress = egress(&["localhost:80"], &[]);
        let target = permit(&egress, "http://localhost/").unwrap();
        let addresses = egress.addresses(&target).await.unwrap();
        assert!(!addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback()));
    }
}
