//! A part that says what it reaches, and stands before another: `/KEY/…` is for the first part whose environment has the
//! variable KEY, and every other request goes to the handler that it imports. On WASI 0.3.
//!
//! `/KEY/fetch?url=…` relays what a GET of the URL answers (the URL is everything that follows, as it is),
//! `/KEY/variables` lists the names of variables, `/KEY/folders` each folder with the contents of its file `who`. What fails is
//! answered 502 with the name of the error.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.3", "wit"],
    world: "test:relay/relay",
    generate_all,
});

use exports::wasi::http::handler::Guest;
use mischief::Url;
use wasi::cli::environment;
use wasi::filesystem::preopens;
use wasi::filesystem::types::{self as filesystem, Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasi::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasi::http::{client, handler};

struct Relay;

export!(Relay);

impl Guest for Relay {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let text = request.get_path_with_query().unwrap_or_default();
        let Some((_, what)) = text[1..].split_once('/').filter(|(key, _)| has_variable(key)) else {
            return handler::handle(request).await;
        };
        Ok(match what.strip_prefix("fetch?url=").map(Url::parse) {
            Some(Some(url)) => match fetch(&url).await {
                Ok(response) => relay(response),
                Err(error) => answer(502, format!("{}\n", mischief::variant(&format!("{error:?}")))),
            },
            Some(None) => answer(400, "expected `/KEY/fetch?url=http://…`\n".to_owned()),
            None => match what {
                "variables" => answer(200, variables()),
                "folders" => answer(200, folders().await),
                _ => answer(404, "not found\n".to_owned()),
            },
        })
    }
}

fn has_variable(key: &str) -> bool {
    environment::get_environment().iter().any(|(name, _)| name == key)
}

fn variables() -> String {
    environment::get_environment().into_iter().map(|(name, _)| format!("{name}\n")).collect()
}

async fn folders() -> String {
    let mut text = String::new();
    for (folder, path) in preopens::get_directories() {
        let who = match who(&folder).await {
            Ok(who) => who,
            Err(error) => mischief::variant(&format!("{error:?}")).to_string(),
        };
        text.push_str(&format!("{path} {who}\n"));
    }
    text
}

async fn who(folder: &Descriptor) -> Result<String, filesystem::ErrorCode> {
    let (flags, open) = (PathFlags::SYMLINK_FOLLOW, OpenFlags::empty());
    let file = folder.open_at(flags, "who".to_owned(), open, DescriptorFlags::READ).await?;
    let (contents, end) = file.read_via_stream(0);
    let bytes = contents.collect().await;
    end.await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn fetch(url: &Url<'_>) -> Result<Response, ErrorCode> {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(Fields::new(), None, trailers, None);
    let set = request
        .set_scheme(Some(&if url.https { Scheme::Https } else { Scheme::Http }))
        .and_then(|()| request.set_authority(Some(url.authority)))
        .and_then(|()| request.set_path_with_query(Some(url.path)));
    set.map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    client::send(request).await
}

fn relay(response: Response) -> Response {
    let status = response.get_status_code();
    let (_, handled) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, handled);
    let (response, _) = Response::new(Fields::new(), Some(body), trailers);
    let _ = response.set_status_code(status);
    response
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
