//! What a request asks for, of whom: the same whichever protocol it came by.
//!
//! Owns the limits on a head that are every application's, and the making equal of targets. Refuses what two readers
//! could understand in two ways.

use http::header::{COOKIE, HOST};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Uri, Version};

use crate::limits::ConnectionLimits;
use crate::problem::Problem;

/// What can be refused for every application alike.
pub(crate) fn check<B>(limits: &ConnectionLimits, request: &Request<B>) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.uri as usize {
        return Err(Problem::UriTooLong(limits.uri));
    }
    // HTTP/2 clients send one cookie in many fields, which are one field (RFC 9113, 8.2.3).
    let headers = request.headers();
    let cookies = headers.get_all(COOKIE).iter().count();
    if headers.len() - cookies.saturating_sub(1) > limits.head_fields as usize {
        return Err(Problem::TooManyFields(limits.head_fields));
    }
    Ok(())
}

/// Makes requests of both protocols the same: the host is in the host field, and the scheme, where the target
/// has one, is the listener's and not the client's opinion.
pub(crate) fn settle<B>(request: &mut Request<B>, secure: bool) -> Result<(), Problem> {
    if request.method() == Method::CONNECT {
        return Ok(());
    }
    let version = request.version();
    if let Some(authority) = request.uri().authority() {
        let authority = authority.as_str().to_owned();
        let mut hosts = request.headers().get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            // HTTP/1.1 asks for both.
            (None, _) if version == Version::HTTP_11 => return Err(Problem::BadHost),
            (None, _) => {
                let host = authority.try_into().map_err(|_| Problem::BadHost)?;
                request.headers_mut().insert(HOST, host);
            }
            (Some(host), None) if host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => {}
            // Two readers could each believe another one.
            _ => return Err(Problem::BadHost),
        }
    }
    if version == Version::HTTP_2 || secure || request.uri().scheme().is_some() {
        complete_target(request, if secure { Scheme::HTTPS } else { Scheme::HTTP });
    }
    Ok(())
}

/// Gives the target of a request a scheme, and the authority of its host field where it has none itself.
pub(crate) fn complete_target<B>(request: &mut Request<B>, scheme: Scheme) {
    let host = request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(scheme);
    parts.authority = parts.authority.or(host);
    // Without an authority there is no scheme either: HTTP/1.0, or a host that is refused later.
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(version: Version, target: &str, host: Option<&str>) -> Result<Request<()>, Problem> {
        let mut request = Request::get(target).version(version).body(()).unwrap();
        request.headers_mut().extend(host.map(|host| (HOST, host.parse().unwrap())));
        settle(&mut request, false).map(|()| request)
    }

    #[test]
    fn the_scheme_is_the_listeners_whatever_the_client_says() {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let request = settled(version, "https://shop/x", Some("shop")).unwrap();
            assert_eq!(request.uri(), "http://shop/x", "{version:?}");
        }
        assert_eq!(settled(Version::HTTP_11, "/x", Some("shop")).unwrap().uri(), "/x");
    }

    #[test]
    fn a_request_is_for_one_host() {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let refused = settled(version, "http://evil/x", Some("shop")).err();
            assert_eq!(refused, Some(Problem::BadHost), "{version:?}");
            assert!(settled(version, "http://SHOP/x", Some("shop")).is_ok(), "{version:?}");
        }
        assert_eq!(settled(Version::HTTP_11, "http://shop/x", None).err(), Some(Problem::BadHost));
        for version in [Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(settled(version, "http://shop/x", None).unwrap().headers()[HOST], "shop");
        }
    }
}
