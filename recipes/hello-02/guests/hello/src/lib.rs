//! Answers every request with one line, on WASI 0.2.

wit_bindgen::generate!({
    path: "../../../../wit/wasi-0.2",
    world: "wadoo:guest/http-service",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

export!(Hello);

impl Guest for Hello {
    fn handle(_request: IncomingRequest, outparam: ResponseOutparam) {
        // Nothing here asks for memory: a fresh instance that grows its memory costs the host two more system calls.
        let greeting = b"Hello from wadoo!\n";
        let headers = Fields::new();
        let _ = headers.append("content-type", b"text/plain; charset=utf-8");
        let _ = headers.append("content-length", b"18");
        let response = OutgoingResponse::new(headers);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(outparam, Ok(response));
        if let Ok(stream) = body.write() {
            let _ = stream.blocking_write_and_flush(greeting);
        }
        let _ = OutgoingBody::finish(body, None);
    }
}
