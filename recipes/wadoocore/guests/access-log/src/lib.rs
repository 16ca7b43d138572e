//! The middleware: writes one line about each request to stdout and changes nothing.
//!
//! A line is `METHOD path?query status duration`, where the duration is the time to the head of the response. The bodies
//! of request and response are handed through as they are, never read here. A request that fails
//! without a response has the name of its error in the place of the status.

wit_bindgen::generate!({
    path: ["../../../../wit/wasi-0.3", "wit"],
    world: "wadoo:access-log/access-log",
    generate_all,
});

use exports::wasi::http::handler::Guest;
use wasi::cli::stdout;
use wasi::clocks::monotonic_clock;
use wasi::http::handler;
use wasi::http::types::{ErrorCode, Method, Request, Response};

struct AccessLog;

export!(AccessLog);

impl Guest for AccessLog {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let method = name(request.get_method());
        let path = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());

        let begin = monotonic_clock::now();
        let result = handler::handle(request).await;
        let took = monotonic_clock::now().saturating_sub(begin);

        let status = match &result {
            Ok(response) => response.get_status_code().to_string(),
            Err(code) => failure(code),
        };
        write(format!("{method} {path} {status} {}\n", duration(took)));
        result
    }
}

/// Writes behind the response: the client does not wait for the log.
fn write(line: String) {
    let (mut writer, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    wit_bindgen::spawn_local(async move {
        writer.write_all(line.into_bytes()).await;
        drop(writer);
        // There is nowhere to say that the log itself cannot be written.
        let _ = written.await;
    });
}

fn name(method: Method) -> String {
    let name = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(other) => return other,
    };
    name.to_owned()
}

/// The name of an error without its values, which are for the client and may hold spaces.
fn failure(code: &ErrorCode) -> String {
    let text = format!("{code:?}");
    let text = text.trim_start_matches("ErrorCode::");
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    text[..end].to_owned()
}

/// Milliseconds with three digits behind the point, from nanoseconds.
fn duration(nanoseconds: u64) -> String {
    let microseconds = nanoseconds / 1000;
    format!("{}.{:03}ms", microseconds / 1000, microseconds % 1000)
}
