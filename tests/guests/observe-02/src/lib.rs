//! A middleware on WASI 0.2: writes `observed PATH` to stdout and passes the request on.
//!
//! It is done when the service is; it cannot see the response (`response-outparam` has no way to look).

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.2",
    world: "wadoo:guest/http-middleware",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use wasi::cli::stdout;
use wasi::http::incoming_handler;
use wasi::http::types::{IncomingRequest, ResponseOutparam};

/// The limit of `blocking-write-and-flush`.
const MAX_WRITE: usize = 4096;

struct Observe;

export!(Observe);

impl Guest for Observe {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let line = format!("observed {}\n", request.path_with_query().unwrap_or_default());
        let output = stdout::get_stdout();
        for chunk in line.as_bytes().chunks(MAX_WRITE) {
            let _ = output.blocking_write_and_flush(chunk);
        }
        drop(output);
        incoming_handler::handle(request, out);
    }
}
