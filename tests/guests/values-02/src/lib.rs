//! A part that says what it was given, and stands before another: `/NAME` and `/NAME/…` are for the first part whose
//! configuration has `name = NAME`, and every other request goes to the handler that it imports. On WASI 0.2.
//!
//! `/NAME` lists its configuration, variables and arguments; `/NAME/KEY` answers one value of the configuration, or 404.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.2", "../wit/wasi-config", "wit"],
    world: "test:values/values",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use wasi::cli::environment;
use wasi::config::store;
use wasi::http::incoming_handler;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Values;

export!(Values);

impl Guest for Values {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let text = request.path_with_query().unwrap_or_default();
        let mut segments = text.split('/').skip(1);
        if store::get("name").ok().flatten().as_deref() != segments.next() {
            return incoming_handler::handle(request, out);
        }
        match segments.next().map(store::get) {
            None => answer(out, 200, &everything()),
            Some(Ok(Some(value))) => answer(out, 200, &value),
            Some(Ok(None)) => answer(out, 404, "no such key\n"),
            Some(Err(_)) => answer(out, 502, "an error\n"),
        }
    }
}

fn everything() -> String {
    let config = store::get_all().unwrap_or_default().into_iter();
    let config = config.map(|(key, value)| format!("config {key}={value}\n"));
    let variables = environment::get_environment().into_iter();
    let variables = variables.map(|(key, value)| format!("env {key}={value}\n"));
    let arguments = environment::get_arguments().into_iter().map(|argument| format!("arg {argument}\n"));
    config.chain(variables).chain(arguments).collect()
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
