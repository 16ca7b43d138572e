//! Responses: JSON, problems (RFC 9457), and the echo.
//!
//! Invariant: every text that comes from a request goes through [`quote`] before it is in JSON.

use crate::wasi::http::types::{Fields, Request, Response};
use crate::{wit_future, wit_stream};

/// A request that is refused, and why.
pub struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    allow: Option<&'static str>,
}

impl Problem {
    /// 400
    pub fn bad_request(detail: String) -> Self {
        Self { status: 400, title: "Bad Request", detail, allow: None }
    }

    /// 404
    pub fn not_found() -> Self {
        Self { status: 404, title: "Not Found", detail: "`GET /` lists the routes".to_owned(), allow: None }
    }

    /// 405
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this path answers {allow}");
        Self { status: 405, title: "Method Not Allowed", detail, allow: Some(allow) }
    }

    /// The response that tells it.
    pub fn into_response(self) -> Response {
        let body = format!(
            r#"{{"type":"about:blank","title":"{}","status":{},"detail":{}}}"#,
            self.title,
            self.status,
            quote(&self.detail)
        );
        let response = whole("application/problem+json", body, self.allow);
        // Only a number that is no status is refused.
        let _ = response.set_status_code(self.status);
        response
    }
}

/// 200 with a JSON document.
pub fn json(body: String) -> Response {
    whole("application/json", body, None)
}

/// 200 with the body of the request, which streams through the host and is never in this component's memory.
pub fn echo(request: Request) -> Response {
    let headers = Fields::new();
    let types = request.get_headers().get("content-type");
    append(&headers, "content-type", types.first().map_or(b"application/octet-stream", Vec::as_slice));
    let (_, handled) = wit_future::new(|| Ok(()));
    // The trailers carry the error of a request that breaks off, so that the response breaks off too.
    let (body, trailers) = Request::consume_body(request, handled);
    Response::new(headers, Some(body), trailers).0
}

fn whole(content_type: &str, mut body: String, allow: Option<&str>) -> Response {
    body.push('\n');
    let headers = Fields::new();
    append(&headers, "content-type", content_type.as_bytes());
    append(&headers, "content-length", body.len().to_string().as_bytes());
    if let Some(methods) = allow {
        append(&headers, "allow", methods.as_bytes());
    }
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(headers, Some(contents), trailers);
    // A response is returned before its body is written: nobody reads the stream until then.
    wit_bindgen::spawn_local(async move {
        writer.write_all(body.into_bytes()).await;
    });
    response
}

/// The names are right and the fields are ours, so that only a size limit of the host can refuse one; the response is
/// still right without it.
fn append(headers: &Fields, name: &str, value: &[u8]) {
    let _ = headers.append(name, value);
}

/// A JSON string.
pub fn quote(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\u{0}'..='\u{1f}' | '\u{7f}' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
