//! Does in a preopened folder what the path names, or answers 403 with the name of the error; on WASI 0.3.
//! `docs/guests.md` lists the paths.

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.3",
    world: "wadoo:guest/http-service",
    generate_all,
});

use exports::wasi::http::handler::Guest;
use mischief::Target;
use wasi::filesystem::preopens;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasi::http::types::{self as http, Fields, Request, Response};

struct Files;

export!(Files);

impl Guest for Files {
    async fn handle(request: Request) -> Result<Response, http::ErrorCode> {
        let text = request.get_path_with_query().unwrap_or_default();
        Ok(match act(&Target::new(&text)).await {
            Ok(text) => answer(200, text),
            Err(error) => answer(403, format!("{}\n", mischief::variant(&format!("{error:?}")))),
        })
    }
}

async fn act(target: &Target<'_>) -> Result<String, ErrorCode> {
    if target.path == "/mounts" {
        let paths = preopens::get_directories().into_iter().map(|(_, path)| format!("{path}\n"));
        return Ok(paths.collect());
    }
    let seen = target.parameter("in").unwrap_or("/data");
    let mut folders = preopens::get_directories().into_iter();
    let (folder, _) = folders.find(|(_, path)| path == seen).ok_or(ErrorCode::NoEntry)?;
    let path = target.parameter("path").unwrap_or("file").to_owned();
    let text = target.parameter("text").unwrap_or("text").to_owned();
    match target.path {
        "/read" => read(&folder, path).await,
        "/write" => write(&folder, path, text).await,
        "/link" => folder.symlink_at(text, path).await.map(|()| "linked\n".to_owned()),
        "/delete" => folder.unlink_file_at(path).await.map(|()| "deleted\n".to_owned()),
        _ => Err(ErrorCode::Unsupported),
    }
}

async fn read(folder: &Descriptor, path: String) -> Result<String, ErrorCode> {
    let (flags, open) = (PathFlags::SYMLINK_FOLLOW, OpenFlags::empty());
    let file = folder.open_at(flags, path, open, DescriptorFlags::READ).await?;
    let (contents, end) = file.read_via_stream(0);
    let bytes = contents.collect().await;
    end.await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn write(folder: &Descriptor, path: String, text: String) -> Result<String, ErrorCode> {
    let (flags, open) = (PathFlags::SYMLINK_FOLLOW, OpenFlags::CREATE | OpenFlags::TRUNCATE);
    let file = folder.open_at(flags, path, open, DescriptorFlags::WRITE).await?;
    let (mut writer, contents) = wit_stream::new();
    let end = file.write_via_stream(contents, 0);
    wit_bindgen::spawn_local(async move {
        writer.write_all(text.into_bytes()).await;
    });
    end.await?;
    Ok("written\n".to_owned())
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
