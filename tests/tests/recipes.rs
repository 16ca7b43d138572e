//! The recipes that people copy: composed, signed, served and asked.

use std::collections::BTreeSet;

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::{Answer, Server};

fn serve(scratch: &Scratch, recipe: &str) -> Server {
    let artifact = scratch.compose(&workspace().join("recipes").join(recipe));
    Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]))
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

#[test]
fn hello_03_answers() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "hello");
    let answer = server.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello from wadoo!\n"));
    assert!(server.ready.contains("development key"), "{}", server.ready);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn hello_02_answers() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "hello-02");
    let answer = server.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello from wadoo!\n"));
    assert_eq!(server.stop().code, 0);
}

#[test]
fn hello_cli_runs_with_arguments_input_and_exit_code() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&workspace().join("recipes/hello-cli"));
    let finished = run(scratch.launcher().arg(&artifact).args(["Ada", "Grace"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("Ada") && finished.stdout.contains("Grace"), "{}", finished.stdout);
}

#[test]
fn wadoocore_answers_every_route() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "wadoocore");

    assert_eq!(server.get("/").status, 200);
    assert_eq!(json(&server.get("/health"))["status"], "ok");
    assert_eq!(server.get("/api/info").status, 200);

    let all = json(&server.get("/api/math/10/2"));
    assert_eq!(all["addition"], 12);
    assert_eq!(all["subtraction"], 8);
    assert_eq!(all["multiplication"], 20);
    assert_eq!(all["division"], 5);
    assert_eq!(json(&server.get("/plugin/math?a=10&b=2")), all);

    let by_zero = server.get("/plugin/math?a=10&b=0");
    assert_eq!(by_zero.status, 200);
    assert!(json(&by_zero)["division"].is_null());
    assert!(by_zero.text().contains("\"division\":null") || by_zero.text().contains("\"division\": null"));

    assert_eq!(json(&server.get("/api/math/add/10/2"))["result"], 12);

    let echo = server.request("POST", "/api/echo", &[("content-type", "text/plain")], b"hello");
    assert_eq!((echo.status, echo.text().as_str()), (200, "hello"));
    assert_eq!(echo.header("content-type"), Some("text/plain"));
}

#[test]
fn wadoocore_refuses_what_it_should() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "wadoocore");
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/api/math/10", 400),
        ("POST", "/health", 405),
        ("GET", "/api/echo", 405),
        ("GET", "/api/math/ten/2", 400),
        ("GET", "/api/math/add/1/x", 400),
        ("GET", "/plugin/math?a=1", 400),
        ("GET", "/plugin/math?a=&b=2", 400),
    ] {
        let answer = server.request(method, path, &[], b"");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if status == 405 {
            assert!(answer.header("allow").is_some(), "{method} {path} names no methods");
        }
    }
}

#[test]
fn wadoocore_logs_each_request_once() {
    let scratch = Scratch::new();
    let server = serve(&scratch, "wadoocore");
    server.get("/health");
    server.get("/nowhere");
    let finished = server.stop();
    let logged: BTreeSet<_> = finished
        .stdout
        .lines()
        .chain(finished.stderr.lines())
        .filter_map(|line| line.find("GET /").map(|start| &line[start..]))
        .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(logged, BTreeSet::from(["GET /health 200".to_owned(), "GET /nowhere 404".to_owned()]));
}
