//! Tells of the text in a request's body what parts in three other languages make of it. In Rust, on WASI 0.2.

wit_bindgen::generate!({
    path: ["../../../../wit/wasi-0.2", "../../wit", "wit"],
    world: "wadoo:web/web",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use wadoo::polyglot::{count, slug, title};
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasi::io::streams::StreamError;

/// Bytes of a text that are read.
const MAX_TEXT: usize = 64 << 10;

/// What is told where there is no text.
const NO_TEXT: &str = "four languages, one component";

struct Web;

export!(Web);

impl Guest for Web {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let (status, answer) = match text(&request) {
            Some(text) => (200, tell(&text)),
            None => (400, format!("expected at most {MAX_TEXT} bytes of text in UTF-8\n")),
        };
        let headers = Fields::new();
        let _ = headers.append("content-type", b"text/plain; charset=utf-8");
        let _ = headers.append("content-length", answer.len().to_string().as_bytes());
        let response = OutgoingResponse::new(headers);
        let _ = response.set_status_code(status);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(outparam, Ok(response));
        if let Ok(stream) = body.write() {
            // The most that one call takes.
            for piece in answer.as_bytes().chunks(4096) {
                let _ = stream.blocking_write_and_flush(piece);
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

fn tell(text: &str) -> String {
    format!(
        "words: {} (C)\ntitle: {} (Python)\nslug: {} (JavaScript)\n",
        count::words(text),
        title::title(text),
        slug::slug(text),
    )
}

/// The request's body; `None` if it is too long, or no text.
fn text(request: &IncomingRequest) -> Option<String> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
        if bytes.len() > MAX_TEXT {
            return None;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    Some(if text.is_empty() { NO_TEXT.to_owned() } else { text })
}
