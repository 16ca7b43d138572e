//! `/fetch?url=…` relays what a GET of the URL answers, or 502 with the name of the error; on WASI 0.3.
//! `/follow?url=…` goes where a redirect points, too.
//!
//! The URL is everything that follows `url=`, as it is.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.3", "wit"],
    world: "test:fetch/fetch",
    generate_all,
});

use exports::wasi::http::handler::Guest;
use mischief::Url;
use wasi::http::client;
use wasi::http::types::{ErrorCode, Fields, Request, Response, Scheme};

struct Fetch;

export!(Fetch);

impl Guest for Fetch {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let text = request.get_path_with_query().unwrap_or_default();
        let (follow, rest) = match text.strip_prefix("/follow?url=") {
            Some(rest) => (true, Some(rest)),
            None => (false, text.strip_prefix("/fetch?url=")),
        };
        Ok(match rest.and_then(Url::parse) {
            None => answer(400, "expected `/fetch?url=http://…`\n".to_owned()),
            Some(url) => match if follow { redirected(&url).await } else { fetch(&url).await } {
                Ok(response) => relay(response),
                Err(error) => answer(502, format!("{}\n", mischief::variant(&format!("{error:?}")))),
            },
        })
    }
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

/// What the place answers that the response of `url` points to, if it points to one.
async fn redirected(url: &Url<'_>) -> Result<Response, ErrorCode> {
    let response = fetch(url).await?;
    let location = response.get_headers().get("location").into_iter().next();
    let location = location.and_then(|value| String::from_utf8(value).ok());
    match location.as_deref().and_then(Url::parse) {
        Some(url) => fetch(&url).await,
        None => Ok(response),
    }
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
