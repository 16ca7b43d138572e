//! Answers every request with one line, on WASI 0.3.

wit_bindgen::generate!({
    path: "../../../../wit/wasi-0.3",
    world: "wadoo:guest/http-service",
    generate_all,
});

use exports::wasi::http::handler::Guest;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Hello;

export!(Hello);

impl Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let greeting = b"Hello from wadoo!\n";
        let headers = Fields::new();
        let _ = headers.append("content-type", b"text/plain; charset=utf-8");
        let _ = headers.append("content-length", greeting.len().to_string().as_bytes());

        let (mut body, contents) = wit_stream::new();
        let (_, no_trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(contents), no_trailers);
        // The body is written after the response has been returned.
        wit_bindgen::spawn_local(async move {
            body.write_all(greeting.to_vec()).await;
        });
        Ok(response)
    }
}
