//! The service: JSON over HTTP, arithmetic by the plugin behind `wadoo:math/ops`.
//!
//! Owns the routes. Deliberately absent: arithmetic, and everything that a middleware can do for any service. `HEAD` is
//! answered like `GET`, body and all: the server that speaks HTTP leaves the body out.

mod answer;
mod number;
mod target;

wit_bindgen::generate!({
    path: ["../../../../wit/wasi-0.3", "../../../../wit/math", "wit"],
    world: "wadoo:api/api",
    generate_all,
});

use exports::wasi::http::handler::Guest;
use wadoo::math::ops;
use wasi::http::types::{ErrorCode, Method, Request, Response};

use answer::{Problem, echo, json};
use number::Number;
use target::Target;

/// What `GET /` lists.
const ROUTES: &[&str] = &[
    "GET /",
    "GET /health",
    "GET /api/info",
    "GET /api/math/{a}/{b}",
    "GET /api/math/add/{a}/{b}",
    "POST /api/echo",
    "GET /plugin/math?a={a}&b={b}",
];

struct Api;

export!(Api);

impl Guest for Api {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        Ok(answer(request).unwrap_or_else(|problem| problem.into_response()))
    }
}

/// What a path leads to, with the operands as they were written.
enum Route<'a> {
    Index,
    Health,
    Info,
    Math(Operands<'a>),
    Add(Operands<'a>),
    Echo,
}

/// Operands of an operation, where the request has them.
struct Operands<'a> {
    a: Option<&'a str>,
    b: Option<&'a str>,
}

fn answer(request: Request) -> Result<Response, Problem> {
    let target = Target::parse(&request.get_path_with_query().unwrap_or_default())?;
    let route = route(&target)?;
    match (&route, request.get_method()) {
        (Route::Echo, Method::Post) => return Ok(echo(request)),
        (Route::Echo, _) => return Err(Problem::method_not_allowed("POST")),
        (_, Method::Get | Method::Head) => {}
        (_, _) => return Err(Problem::method_not_allowed("GET, HEAD")),
    }
    let body = match route {
        Route::Index => index(),
        Route::Health => r#"{"status":"ok"}"#.to_owned(),
        Route::Info => info(),
        Route::Math(operands) => all_operations(&operands)?,
        Route::Add(operands) => addition(&operands)?,
        Route::Echo => unreachable!("answered above"),
    };
    Ok(json(body))
}

fn route(target: &Target) -> Result<Route<'_>, Problem> {
    let segments: Vec<&str> = target.segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        [""] => Ok(Route::Index),
        ["health"] => Ok(Route::Health),
        ["api", "info"] => Ok(Route::Info),
        ["api", "echo"] => Ok(Route::Echo),
        ["api", "math", "add", operands @ ..] if operands.len() <= 2 => Ok(Route::Add(in_path(operands))),
        ["api", "math", operands @ ..] if operands.len() <= 2 => Ok(Route::Math(in_path(operands))),
        ["plugin", "math"] => {
            Ok(Route::Math(Operands { a: target.parameter("a")?, b: target.parameter("b")? }))
        }
        _ => Err(Problem::not_found()),
    }
}

fn in_path<'a>(segments: &[&'a str]) -> Operands<'a> {
    Operands { a: segments.first().copied(), b: segments.get(1).copied() }
}

impl Operands<'_> {
    fn read(&self) -> Result<(Number, Number), Problem> {
        Ok((number("a", self.a)?, number("b", self.b)?))
    }
}

fn number(name: &str, text: Option<&str>) -> Result<Number, Problem> {
    match text {
        None | Some("") => Err(Problem::bad_request(format!("the number `{name}` is missing"))),
        Some(text) => text
            .parse()
            .map_err(|error| Problem::bad_request(format!("`{text}`, given for `{name}`, {error}"))),
    }
}

fn all_operations(operands: &Operands) -> Result<String, Problem> {
    let (a, b) = operands.read()?;
    let (x, y) = (a.value(), b.value());
    Ok(format!(
        r#"{{"a":{a},"b":{b},"addition":{},"subtraction":{},"multiplication":{},"division":{}}}"#,
        result(ops::add(x, y)),
        result(ops::subtract(x, y)),
        result(ops::multiply(x, y)),
        result(ops::divide(x, y)),
    ))
}

fn addition(operands: &Operands) -> Result<String, Problem> {
    let (a, b) = operands.read()?;
    Ok(format!(r#"{{"a":{a},"b":{b},"result":{}}}"#, result(ops::add(a.value(), b.value()))))
}

/// JSON has no infinity and no word for a division by zero: there is no result, so it is `null`.
fn result(result: Result<f64, ops::Error>) -> String {
    match result.ok().and_then(Number::new) {
        Some(number) => number.to_string(),
        None => "null".to_owned(),
    }
}

fn index() -> String {
    let routes: Vec<String> = ROUTES.iter().map(|route| answer::quote(route)).collect();
    format!(
        r#"{{"name":"wadoocore","version":"{}","routes":[{}]}}"#,
        env!("CARGO_PKG_VERSION"),
        routes.join(",")
    )
}

fn info() -> String {
    format!(
        r#"{{"name":"wadoocore","version":"{}","handler":"wasi:http/handler@0.3.0","plugins":["wadoo:math/ops@1.0.0"]}}"#,
        env!("CARGO_PKG_VERSION")
    )
}
