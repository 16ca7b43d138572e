//! Does in a preopened folder what the path names, or answers 403 with the name of the error; on WASI 0.2.
//! `docs/guests.md` lists the paths.

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.2",
    world: "wadoo:guest/http-service",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use mischief::Target;
use wasi::filesystem::preopens;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

/// More than any file of a test has.
const MOST: u64 = 64 * 1024;

struct Files;

export!(Files);

impl Guest for Files {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let text = request.path_with_query().unwrap_or_default();
        let (status, text) = match act(&Target::new(&text)) {
            Ok(text) => (200, text),
            Err(error) => (403, format!("{}\n", error.name())),
        };
        answer(out, status, &text);
    }
}

fn act(target: &Target<'_>) -> Result<String, ErrorCode> {
    if target.path == "/mounts" {
        let paths = preopens::get_directories().into_iter().map(|(_, path)| format!("{path}\n"));
        return Ok(paths.collect());
    }
    let seen = target.parameter("in").unwrap_or("/data");
    let mut folders = preopens::get_directories().into_iter();
    let (folder, _) = folders.find(|(_, path)| path == seen).ok_or(ErrorCode::NoEntry)?;
    let path = target.parameter("path").unwrap_or("file");
    let text = target.parameter("text").unwrap_or("text");
    match target.path {
        "/read" => read(&folder, path),
        "/write" => write(&folder, path, text),
        "/link" => folder.symlink_at(text, path).map(|()| "linked\n".to_owned()),
        "/delete" => folder.unlink_file_at(path).map(|()| "deleted\n".to_owned()),
        _ => Err(ErrorCode::Unsupported),
    }
}

fn read(folder: &Descriptor, path: &str) -> Result<String, ErrorCode> {
    let file =
        folder.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), DescriptorFlags::READ)?;
    let (bytes, _) = file.read(MOST, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(folder: &Descriptor, path: &str, text: &str) -> Result<String, ErrorCode> {
    let file = folder.open_at(
        PathFlags::SYMLINK_FOLLOW,
        path,
        OpenFlags::CREATE | OpenFlags::TRUNCATE,
        DescriptorFlags::WRITE,
    )?;
    file.write(text.as_bytes(), 0)?;
    Ok("written\n".to_owned())
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
