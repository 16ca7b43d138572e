//! A guest that misbehaves in the way that the path names, on WASI 0.3. `docs/guests.md` lists the paths.

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.3",
    world: "wadoo:guest/http-service",
    generate_all,
});

use std::sync::atomic::{AtomicU64, Ordering};

use exports::wasi::http::handler::Guest;
use mischief::Target;
use wasi::cli::{environment, exit, stdin, stdout};
use wasi::clocks::monotonic_clock;
use wasi::filesystem::preopens;
use wasi::http::types::{ErrorCode, Fields, Request, Response};
use wasi::random::random;
use wit_bindgen::{StreamReader, StreamResult, StreamWriter};

/// What one read or write moves at most.
const CHUNK: u64 = 64 * 1024;

/// Requests that this instance has seen.
static COUNT: AtomicU64 = AtomicU64::new(0);

struct Hostile;

export!(Hostile);

impl Guest for Hostile {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        let text = request.get_path_with_query().unwrap_or_default();
        let target = Target::new(&text);
        Ok(match target.path {
            "/ok" => answer("ok\n".to_owned()),
            "/count" => answer(format!("{count}\n")),
            "/target" => answer(format!("{:?} {:?}\n", request.get_scheme(), request.get_authority())),
            "/spin" => mischief::spin(),
            "/spin-body" => respond(Fields::new(), async |mut body| {
                body.write_all(b"some bytes".to_vec()).await;
                mischief::spin();
            }),
            "/sleep" => {
                sleep(target.number("ms", 100)).await;
                answer("slept\n".to_owned())
            }
            "/stall-body" => respond(Fields::new(), async |mut body| {
                body.write_all(b"some bytes".to_vec()).await;
                forever().await;
            }),
            "/hog" => answer(mischief::hog(target.number("mib", 1))),
            "/trap" => mischief::trap(),
            "/trap-body" => respond(Fields::new(), async |mut body| {
                body.write_all(b"some bytes".to_vec()).await;
                mischief::trap();
            }),
            "/recurse" => answer(mischief::recurse(0).to_string()),
            "/exit" => {
                exit::exit(Ok(()));
                mischief::trap();
            }
            "/stream" => {
                let size = target.number("mib", 1) << 20;
                respond(Fields::new(), async move |body| stream(body, size).await)
            }
            "/short-body" => {
                // Promises more than it sends.
                let fields = Fields::new();
                let _ = fields.append("content-length", b"100");
                with(fields, "some bytes".to_owned())
            }
            "/big-header" => big_header(target.number("kib", 1)),
            "/echo" => echo(request),
            "/body-size" => body_size(request).await,
            "/headers" => answer(headers(&request)),
            "/never-answer" => {
                forever().await;
                mischief::trap();
            }
            "/error" => return Err(ErrorCode::InternalError(Some("on purpose".to_owned()))),
            "/post-return" => {
                let ms = target.number("ms", 100);
                respond(Fields::new(), async move |mut body| {
                    body.write_all(b"answered\n".to_vec()).await;
                    drop(body);
                    sleep(ms).await;
                    print("post-return done\n").await;
                })
            }
            "/env" => answer(surroundings()),
            "/stdin" => {
                let (input, _) = stdin::read_via_stream();
                answer(format!("{} bytes\n", size(input).await))
            }
            "/random" => {
                let bytes = random::get_random_bytes(target.number("bytes", 16));
                answer(format!("{}\n", mischief::hex(&bytes)))
            }
            "/resources" => {
                let held: Vec<_> = (0..target.number("n", 1)).map(|_| Fields::new()).collect();
                answer(format!("held {}\n", held.len()))
            }
            "/print" => {
                print(&mischief::lines(target.number("kib", 4))).await;
                answer("printed\n".to_owned())
            }
            _ => {
                let response = answer("no such mischief\n".to_owned());
                let _ = response.set_status_code(404);
                response
            }
        })
    }
}

fn answer(text: String) -> Response {
    with(Fields::new(), text)
}

fn with(fields: Fields, text: String) -> Response {
    respond(fields, async move |mut body| {
        body.write_all(text.into_bytes()).await;
    })
}

/// A response whose body is written after it was returned.
fn respond(fields: Fields, write: impl AsyncFnOnce(StreamWriter<u8>) + 'static) -> Response {
    let (writer, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields, Some(contents), trailers);
    wit_bindgen::spawn_local(async move { write(writer).await });
    response
}

async fn sleep(ms: u64) {
    monotonic_clock::wait_for(ms.saturating_mul(1_000_000)).await;
}

/// Waits in a host call, for longer than any test runs.
async fn forever() {
    sleep(3_600_000).await;
}

async fn stream(mut body: StreamWriter<u8>, mut left: u64) {
    while left > 0 {
        let now = left.min(CHUNK);
        if !body.write_all(vec![b'x'; now as usize]).await.is_empty() {
            return;
        }
        left -= now;
    }
}

fn big_header(kib: u64) -> Response {
    let fields = Fields::new();
    let accepted = fields.append("x-big", &vec![b'x'; (kib as usize) << 10]).is_ok();
    with(fields, if accepted { "accepted\n" } else { "refused\n" }.to_owned())
}

fn echo(request: Request) -> Response {
    let (_, handled) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, handled);
    Response::new(Fields::new(), Some(body), trailers).0
}

async fn body_size(request: Request) -> Response {
    let (_, handled) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, handled);
    let size = size(body).await;
    match trailers.await {
        Ok(_) => answer(format!("{size} bytes\n")),
        Err(_) => {
            let response = answer(format!("failed after {size} bytes\n"));
            let _ = response.set_status_code(413);
            response
        }
    }
}

async fn size(mut input: StreamReader<u8>) -> usize {
    let mut size = 0;
    let mut buffer = Vec::with_capacity(CHUNK as usize);
    loop {
        let (status, bytes) = input.read(buffer).await;
        size += bytes.len();
        if status == StreamResult::Dropped {
            return size;
        }
        buffer = bytes;
        buffer.clear();
    }
}

fn headers(request: &Request) -> String {
    let line = |(name, value): (String, Vec<u8>)| format!("{name}: {}\n", String::from_utf8_lossy(&value));
    request.get_headers().copy_all().into_iter().map(line).collect()
}

async fn print(text: &str) {
    let (mut writer, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    let _ = written.await;
}

/// Nothing at all where nothing is granted.
fn surroundings() -> String {
    let mut text = String::new();
    for (name, value) in environment::get_environment() {
        text.push_str(&format!("env {name}={value}\n"));
    }
    for argument in environment::get_arguments() {
        text.push_str(&format!("argument {argument}\n"));
    }
    if let Some(folder) = environment::get_initial_cwd() {
        text.push_str(&format!("cwd {folder}\n"));
    }
    for (_, path) in preopens::get_directories() {
        text.push_str(&format!("preopen {path}\n"));
    }
    text
}
