//! A part that says what it reaches, and stands before another: `/KEY/…` is for the first part whose environment has the
//! variable KEY, and every other request goes to the handler that it imports. On WASI 0.2.
//!
//! `/KEY/fetch?url=…` relays what a GET of the URL answers (the URL is everything that follows, as it is),
//! `/KEY/variables` lists the names of variables, `/KEY/folders` each folder with the contents of its file `who`. What fails is
//! answered 502 with the name of the error.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.2", "wit"],
    world: "test:relay/relay",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use mischief::Url;
use wasi::cli::environment;
use wasi::filesystem::preopens;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use wasi::http::{incoming_handler, outgoing_handler};

/// What one call moves at most.
const CHUNK: u64 = 64 * 1024;

struct Relay;

export!(Relay);

impl Guest for Relay {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let text = request.path_with_query().unwrap_or_default();
        let Some((_, what)) = text[1..].split_once('/').filter(|(key, _)| has_variable(key)) else {
            return incoming_handler::handle(request, out);
        };
        match what.strip_prefix("fetch?url=").map(Url::parse) {
            Some(Some(url)) => match fetch(&url) {
                Ok(response) => relay(out, &response),
                Err(error) => answer(out, 502, &format!("{}\n", mischief::variant(&format!("{error:?}")))),
            },
            Some(None) => answer(out, 400, "expected `/KEY/fetch?url=http://…`\n"),
            None => match what {
                "variables" => answer(out, 200, &variables()),
                "folders" => answer(out, 200, &folders()),
                _ => answer(out, 404, "not found\n"),
            },
        }
    }
}

fn has_variable(key: &str) -> bool {
    environment::get_environment().iter().any(|(name, _)| name == key)
}

fn variables() -> String {
    environment::get_environment().into_iter().map(|(name, _)| format!("{name}\n")).collect()
}

fn folders() -> String {
    let folders = preopens::get_directories().into_iter();
    folders.map(|(folder, path)| format!("{path} {}\n", who(&folder))).collect()
}

fn who(folder: &Descriptor) -> String {
    let opened =
        folder.open_at(PathFlags::SYMLINK_FOLLOW, "who", OpenFlags::empty(), DescriptorFlags::READ);
    match opened.and_then(|file| file.read(CHUNK, 0)) {
        Ok((bytes, _)) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => mischief::variant(&format!("{error:?}")).to_string(),
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
