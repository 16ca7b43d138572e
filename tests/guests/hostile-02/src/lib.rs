//! A guest that misbehaves in the way that the path names, on WASI 0.2. `docs/guests.md` lists the paths.

wit_bindgen::generate!({
    path: "../../../wit/wasi-0.2",
    world: "wadoo:guest/http-service",
    generate_all,
});

use std::sync::atomic::{AtomicU64, Ordering};

use exports::wasi::http::incoming_handler::Guest;
use mischief::Target;
use wasi::cli::{environment, exit, stdin, stdout};
use wasi::clocks::monotonic_clock;
use wasi::filesystem::preopens;
use wasi::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wasi::random::random;

/// What one call moves at most.
const CHUNK: u64 = 64 * 1024;

/// Longer than any test runs.
const FOREVER_MS: u64 = 3_600_000;

/// Requests that this instance has seen.
static COUNT: AtomicU64 = AtomicU64::new(0);

struct Hostile;

export!(Hostile);

impl Guest for Hostile {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        let text = request.path_with_query().unwrap_or_default();
        let target = Target::new(&text);
        match target.path {
            "/ok" => answer(out, "ok\n"),
            "/count" => answer(out, &format!("{count}\n")),
            "/spin" => mischief::spin(),
            "/spin-body" => {
                let _body = Body::begin(out, b"some bytes");
                mischief::spin();
            }
            "/sleep" => {
                sleep(target.number("ms", 100));
                answer(out, "slept\n");
            }
            "/stall-body" => {
                let _body = Body::begin(out, b"some bytes");
                sleep(FOREVER_MS);
            }
            "/hog" => answer(out, &mischief::hog(target.number("mib", 1))),
            "/trap" => mischief::trap(),
            "/trap-body" => {
                let _body = Body::begin(out, b"some bytes");
                mischief::trap();
            }
            "/recurse" => answer(out, &mischief::recurse(0).to_string()),
            "/exit" => exit::exit(Ok(())),
            "/stream" => stream(out, target.number("mib", 1) << 20),
            "/short-body" => short_body(out),
            "/big-header" => big_header(out, target.number("kib", 1)),
            "/echo" => echo(&request, out),
            "/body-size" => body_size(&request, out),
            "/headers" => answer(out, &headers(&request)),
            "/never-answer" => drop(out),
            "/error" => {
                ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("on purpose".to_owned()))))
            }
            "/post-return" => {
                answer(out, "answered\n");
                sleep(target.number("ms", 100));
                let _ = stdout::get_stdout().blocking_write_and_flush(b"post-return done\n");
            }
            "/env" => answer(out, &surroundings()),
            "/stdin" => answer(out, &format!("{} bytes\n", drain(&stdin::get_stdin()))),
            "/random" => {
                let bytes = random::get_random_bytes(target.number("bytes", 16));
                answer(out, &format!("{}\n", mischief::hex(&bytes)));
            }
            "/resources" => {
                let held: Vec<_> = (0..target.number("n", 1)).map(|_| Fields::new()).collect();
                answer(out, &format!("held {}\n", held.len()));
            }
            "/print" => {
                let stdout = stdout::get_stdout();
                // What one such call takes at most.
                let text = mischief::lines(4);
                for _ in 0..target.number("kib", 4).div_ceil(4) {
                    let _ = stdout.blocking_write_and_flush(text.as_bytes());
                }
                answer(out, "printed\n");
            }
            _ => answer_with(out, 404, "no such mischief\n"),
        }
    }
}

/// A response whose head was sent and whose body is being written.
struct Body {
    // Dropped before the body that it belongs to.
    stream: OutputStream,
    body: OutgoingBody,
}

impl Body {
    fn begin(out: ResponseOutparam, first: &[u8]) -> Option<Self> {
        Self::of(out, OutgoingResponse::new(Fields::new()), first)
    }

    fn of(out: ResponseOutparam, response: OutgoingResponse, first: &[u8]) -> Option<Self> {
        let body = response.body().ok()?;
        ResponseOutparam::set(out, Ok(response));
        let mut body = Self { stream: body.write().ok()?, body };
        body.write(first)?;
        Some(body)
    }

    /// `None` when nobody reads any more.
    fn write(&mut self, mut bytes: &[u8]) -> Option<()> {
        let ready = self.stream.subscribe();
        while !bytes.is_empty() {
            ready.block();
            let permitted = usize::try_from(self.stream.check_write().ok()?).ok()?;
            let (now, later) = bytes.split_at(permitted.min(bytes.len()));
            self.stream.write(now).ok()?;
            bytes = later;
        }
        self.stream.flush().ok()?;
        ready.block();
        Some(())
    }

    fn end(self) {
        let Self { stream, body } = self;
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

fn answer(out: ResponseOutparam, text: &str) {
    answer_with(out, 200, text);
}

fn answer_with(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    if let Some(body) = Body::of(out, response, text.as_bytes()) {
        body.end();
    }
}

fn sleep(ms: u64) {
    monotonic_clock::subscribe_duration(ms.saturating_mul(1_000_000)).block();
}

fn stream(out: ResponseOutparam, mut left: u64) {
    let chunk = [b'x'; CHUNK as usize];
    let Some(mut body) = Body::begin(out, b"") else { return };
    while left > 0 {
        let now = left.min(CHUNK);
        if body.write(&chunk[..now as usize]).is_none() {
            return;
        }
        left -= now;
    }
    body.end();
}

/// Promises more than it sends.
fn short_body(out: ResponseOutparam) {
    let fields = Fields::new();
    let _ = fields.append("content-length", b"100");
    if let Some(body) = Body::of(out, OutgoingResponse::new(fields), b"some bytes") {
        body.end();
    }
}

fn big_header(out: ResponseOutparam, kib: u64) {
    let fields = Fields::new();
    let value = vec![b'x'; (kib as usize) << 10];
    let accepted = fields.append("x-big", &value).is_ok();
    let text = if accepted { "accepted\n" } else { "refused\n" };
    if let Some(body) = Body::of(out, OutgoingResponse::new(fields), text.as_bytes()) {
        body.end();
    }
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let Ok(incoming) = request.consume() else { return };
    let Ok(input) = incoming.stream() else { return };
    let Some(body) = Body::begin(out, b"") else { return };
    // Ends with the input, or when nobody reads any more.
    while body.stream.blocking_splice(&input, CHUNK).is_ok() {}
    body.end();
}

fn body_size(request: &IncomingRequest, out: ResponseOutparam) {
    let Ok(incoming) = request.consume() else { return };
    let Ok(input) = incoming.stream() else { return };
    let mut size = 0;
    let end = loop {
        match input.blocking_read(CHUNK) {
            Ok(bytes) => size += bytes.len(),
            Err(error) => break error,
        }
    };
    drop(input);
    match end {
        StreamError::Closed => answer(out, &format!("{size} bytes\n")),
        StreamError::LastOperationFailed(_) => answer_with(out, 413, &format!("failed after {size} bytes\n")),
    }
    drop(IncomingBody::finish(incoming));
}

fn headers(request: &IncomingRequest) -> String {
    let line = |(name, value): (String, Vec<u8>)| format!("{name}: {}\n", String::from_utf8_lossy(&value));
    request.headers().entries().into_iter().map(line).collect()
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
    if let Some(folder) = environment::initial_cwd() {
        text.push_str(&format!("cwd {folder}\n"));
    }
    for (_, path) in preopens::get_directories() {
        text.push_str(&format!("preopen {path}\n"));
    }
    text
}

fn drain(input: &InputStream) -> usize {
    let mut size = 0;
    while let Ok(bytes) = input.blocking_read(CHUNK) {
        size += bytes.len();
    }
    size
}
