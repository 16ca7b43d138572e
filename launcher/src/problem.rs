//! The answers that the launcher gives in the application's place, as `application/problem+json`
//! (RFC 9457).
//!
//! Invariant: they say what the client can do, and nothing of the inside: no trap text, no backtrace.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::request_id::RequestId;

/// Why the application does not answer a request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The client stopped sending the head.
    HeadStalled(Duration),
    /// The path and query are longer than the limit.
    UriTooLong(u32),
    /// The head has more fields than the limit.
    TooManyFields(u32),
    /// The client stopped sending the body.
    BodyStalled(Duration),
    /// The body is longer than the limit.
    BodyTooLarge(u64),
    /// The head is longer than the limit.
    HeadTooLarge(u32),
    /// The head does not say for which host it is, or says so twice, or says what is no host.
    BadHost,
    /// CONNECT: this is no proxy.
    NoTunnel,
    /// The application trapped, exited, or gave no answer.
    Failed,
    /// As many requests as allowed are running, and none ended soon.
    Busy,
    /// As many requests as allowed are running from the client's address.
    Crowded(u32),
    /// The connection was told to end, and the request came long after that.
    Leaving,
    /// The application did not answer in time.
    TimedOut(Duration),
}

/// What a client that was told [`Problem::Busy`] should wait before it asks again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Self::HeadStalled(_) | Self::BodyStalled(_) => StatusCode::REQUEST_TIMEOUT,
            Self::UriTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::TooManyFields(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BadHost => StatusCode::BAD_REQUEST,
            Self::NoTunnel => StatusCode::NOT_IMPLEMENTED,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy | Self::Crowded(_) | Self::Leaving => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The limit that the request met, by the name that `--limit` or the recipe has for it.
    pub(crate) fn limit(self) -> Option<&'static str> {
        match self {
            Self::HeadStalled(_) => Some("head-timeout"),
            Self::UriTooLong(_) => Some("uri"),
            Self::TooManyFields(_) => Some("head-fields"),
            Self::BodyStalled(_) => Some("body-timeout"),
            Self::BodyTooLarge(_) => Some("request-body"),
            Self::HeadTooLarge(_) => Some("request-headers"),
            Self::Busy => Some("concurrency"),
            Self::Crowded(_) => Some("requests-per-address"),
            Self::TimedOut(_) => Some("timeout"),
            Self::BadHost | Self::NoTunnel | Self::Failed | Self::Leaving => None,
        }
    }

    pub(crate) fn detail(self) -> String {
        match self {
            Self::HeadStalled(limit) => format!("the request's head did not end within {}", seconds(limit)),
            Self::UriTooLong(limit) => format!("the request's path and query are longer than {limit} bytes"),
            Self::TooManyFields(limit) => format!("the request's head has more than {limit} fields"),
            Self::BodyStalled(pause) => format!("no byte of the request's body came for {}", seconds(pause)),
            Self::BodyTooLarge(limit) => format!("the request's body is longer than {limit} bytes"),
            Self::HeadTooLarge(limit) => format!("the request's head is longer than {limit} bytes"),
            Self::BadHost => {
                "the request needs one host field, with a name or address and at most a port".to_owned()
            }
            Self::NoTunnel => "this server opens no tunnels".to_owned(),
            Self::Failed => "the application failed".to_owned(),
            Self::Busy => "the application is handling as many requests as it may".to_owned(),
            Self::Crowded(limit) => format!("this address has more than {limit} requests running"),
            Self::Leaving => "this connection is ending: ask again on another".to_owned(),
            Self::TimedOut(limit) => format!("the application did not answer within {}", seconds(limit)),
        }
    }

    /// Whether the rest of the request is not worth reading, so that the connection cannot be used again.
    fn closes(self) -> bool {
        match self {
            Self::HeadStalled(_)
            | Self::UriTooLong(_)
            | Self::TooManyFields(_)
            | Self::BodyStalled(_)
            | Self::BodyTooLarge(_)
            | Self::HeadTooLarge(_)
            | Self::BadHost
            | Self::NoTunnel => true,
            Self::Failed | Self::Busy | Self::Crowded(_) | Self::Leaving | Self::TimedOut(_) => false,
        }
    }

    /// The bytes of an HTTP/1.1 response, for a client whose request never began.
    pub(crate) fn into_http1(self, id: RequestId) -> String {
        let (status, body) = (self.status(), self.body(id));
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn body(self, id: RequestId) -> String {
        let status = self.status();
        // Nothing in it needs escaping: numbers and our own words.
        format!(
            "{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":{},\"detail\":\"{}\",\"request\":\"{id}\"}}\n",
            status.canonical_reason().unwrap_or("Error"),
            status.as_u16(),
            self.detail(),
        )
    }

    pub(crate) fn into_response(self, id: RequestId) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body(id))));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(self, Self::Busy | Self::Crowded(_) | Self::Leaving) {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        if self.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// `1 s`, `1.5 s`, `200 ms`
pub(crate) fn seconds(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        format!("{millis} ms")
    } else if millis.is_multiple_of(1000) {
        format!("{} s", millis / 1000)
    } else {
        format!("{}.{} s", millis / 1000, (millis % 1000) / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(200)), "200 ms");
        assert_eq!(seconds(Duration::from_secs(30)), "30 s");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5 s");
    }

    #[test]
    fn busy_says_when_to_come_back() {
        let response = Problem::Busy.into_response(RequestId::next());
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert!(!response.headers().contains_key(CONNECTION));
    }
}
