//! A guest that was compiled with line tables, on WASI 0.3: it traps at lines that a test finds by their marks, and prints
//! without ending its line. `docs/guests.md` lists the paths.

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.3",
    world: "wadoo:guest/http-service",
    generate_all,
});

use std::hint::black_box;

use exports::wasi::http::handler::Guest;
use wasi::cli::stdout;
use wasi::clocks::monotonic_clock;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Lines;

export!(Lines);

impl Guest for Lines {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, text) = target.split_once('?').unwrap_or((&target, ""));
        Ok(match path {
            "/trap" => answer(total(black_box(NOWHERE)).to_string()),
            "/inlined" => answer(discount(black_box(NOWHERE)).to_string()),
            "/standard" => answer(look(black_box(NOWHERE)).to_string()), // marked: caller
            "/print" => {
                print(text).await;
                answer("printed\n".to_owned())
            }
            "/print-and-wait" => {
                print(text).await;
                monotonic_clock::wait_for(3_600_000_000_000).await;
                answer("waited\n".to_owned())
            }
            _ => answer("ok\n".to_owned()),
        })
    }
}

/// Behind every memory that a test gives.
const NOWHERE: usize = 0xffff_ff00;

#[inline(never)]
fn total(place: usize) -> u32 {
    let pointer = place as *const u32;
    // SAFETY: there is none: it traps, which is what this is for.
    unsafe { *pointer } // marked: trap
}

#[inline(never)]
fn discount(place: usize) -> u32 {
    price(place) / 2
}

/// Its code is in the function above, and its lines are its own.
#[inline(always)]
fn price(place: usize) -> u32 {
    let pointer = place as *const u32;
    // SAFETY: as above.
    unsafe { *pointer } // marked: inlined
}

/// Traps in code of the standard library.
#[inline(never)]
fn look(place: usize) -> u32 {
    // SAFETY: as above.
    unsafe { std::ptr::read_volatile(place as *const u32) }
}

async fn print(text: &str) {
    let (mut writer, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    let _ = written.await;
}

fn answer(text: String) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), Some(contents), trailers);
    wit_bindgen::spawn_local(async move {
        writer.write_all(text.into_bytes()).await;
    });
    response
}
