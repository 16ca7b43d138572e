//! A part that says what it was given, and stands before another: `/NAME` and `/NAME/…` are for the first part whose
//! configuration has `name = NAME`, and every other request goes to the handler that it imports. On WASI 0.3.
//!
//! `/NAME` lists its configuration, variables and arguments; `/NAME/KEY` answers one value of the configuration, or 404.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.3", "../wit/wasi-config", "wit"],
    world: "test:values/values",
    generate_all,
});

use exports::wasi::http::handler::Guest;
use wasi::cli::environment;
use wasi::config::store;
use wasi::http::handler;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Values;

export!(Values);

impl Guest for Values {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let text = request.get_path_with_query().unwrap_or_default();
        let mut segments = text.split('/').skip(1);
        if store::get("name").ok().flatten().as_deref() != segments.next() {
            return handler::handle(request).await;
        }
        Ok(match segments.next().map(store::get) {
            None => answer(200, everything()),
            Some(Ok(Some(value))) => answer(200, value),
            Some(Ok(None)) => answer(404, "no such key\n".to_owned()),
            Some(Err(_)) => answer(502, "an error\n".to_owned()),
        })
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

fn answer(status: u16, text: String) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), Some(contents), trailers);
    let _ = response.set_status_code(status);
    wit_bindgen::spawn_local(async move {
        writer.write_all(text.into_bytes()).await;
    });
    response
}
