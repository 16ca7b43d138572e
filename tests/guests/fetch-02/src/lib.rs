//! `/fetch?url=…` relays what a GET of the URL answers, or 502 with the name of the error; on WASI 0.2.
//! `/follow?url=…` goes where a redirect points, too.
//!
//! The URL is everything that follows `url=`, as it is.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.2", "wit"],
    world: "test:fetch/fetch",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use mischief::Url;
use wasi::http::outgoing_handler;
use wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};

/// What one call moves at most.
const CHUNK: u64 = 64 * 1024;

struct Fetch;

export!(Fetch);

impl Guest for Fetch {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let text = request.path_with_query().unwrap_or_default();
        let (follow, rest) = match text.strip_prefix("/follow?url=") {
            Some(rest) => (true, Some(rest)),
            None => (false, text.strip_prefix("/fetch?url=")),
        };
        match rest.and_then(Url::parse) {
            None => answer(out, 400, "expected `/fetch?url=http://…`\n"),
            Some(url) => match if follow { redirected(&url) } else { fetch(&url) } {
                Ok(response) => relay(out, &response),
                Err(error) => answer(out, 502, &format!("{}\n", mischief::variant(&format!("{error:?}")))),
            },
        }
    }
}

fn fetch(url: &Url) -> Result<IncomingResponse, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let set = request
        .set_scheme(Some(&if url.https { Scheme::Https } else { Scheme::Http }))
        .and_then(|()| request.set_authority(Some(url.authority)))
        .and_then(|()| request.set_path_with_query(Some(url.path)));
    set.map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(result)) => result,
        Some(Err(())) | None => Err(ErrorCode::InternalError(None)),
    }
}

/// What the place answers that the response of `url` points to, if it points to one.
fn redirected(url: &Url) -> Result<IncomingResponse, ErrorCode> {
    let response = fetch(url)?;
    let location = response.headers().get("location").into_iter().next();
    let location = location.and_then(|value| String::from_utf8(value).ok());
    match location.as_deref().and_then(Url::parse) {
        Some(url) => fetch(&url),
        None => Ok(response),
    }
}

fn relay(out: ResponseOutparam, response: &IncomingResponse) {
    let Ok(incoming) = response.consume() else { return };
    let Ok(input) = incoming.stream() else { return };
    let outgoing = OutgoingResponse::new(Fields::new());
    let _ = outgoing.set_status_code(response.status());
    let Ok(body) = outgoing.body() else { return };
    ResponseOutparam::set(out, Ok(outgoing));
    if let Ok(output) = body.write() {
        while output.blocking_splice(&input, CHUNK).is_ok() {}
    }
    let _ = OutgoingBody::finish(body, None);
}

fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(output) = body.write() {
        let _ = output.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}
