//! Uses `acme:auth/check`: `/?token=…` answers `hello NAME`, or 401; on WASI 0.2.

wit_bindgen::generate!({
    path: ["../../../wit/wasi-0.2", "../wit/acme-auth", "wit"],
    world: "test:auth-user/user",
    generate_all,
});

use acme::auth::check;
use exports::wasi::http::incoming_handler::Guest;
use mischief::Target;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct User;

export!(User);

impl Guest for User {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let text = request.path_with_query().unwrap_or_default();
        let token = Target::new(&text).parameter("token").unwrap_or_default();
        match check::verify(token) {
            Ok(session) => answer(out, 200, &format!("hello {}\n", session.user())),
            Err(because) => answer(out, 401, &format!("{because}\n")),
        }
    }
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
