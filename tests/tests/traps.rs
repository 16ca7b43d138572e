//! Where a trap happened, as an operator reads it: the request, the part, the function; and the lines that the parts of one
//! request print.

use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;

/// The request's id in an answer of the launcher's own.
fn id_in(answer: &str) -> String {
    let (_, id) = answer.split_once("\"request\":\"").unwrap_or_else(|| panic!("no id: {answer}"));
    id.split('"').next().unwrap().to_owned()
}

#[test]
fn a_trap_names_the_part_that_it_happened_in() {
    let scratch = Scratch::new();
    scratch.copy("tests/guests/observe-02.wasm");
    scratch.copy("tests/guests/hostile-02.wasm");
    let recipe = scratch.write(
        "recipe.toml",
        "recipe = 1\n\n[app]\nname = \"shop\"\nversion = \"1.0.0\"\n\n\
         [components.api]\npath = \"tests/guests/hostile-02.wasm\"\n\n\
         [components.observe]\npath = \"tests/guests/observe-02.wasm\"\n\
         with = { \"wasi:http/incoming-handler\" = \"api\" }\n\n\
         [exports]\n\"wasi:http/incoming-handler\" = \"observe\"\n",
    );
    let artifact = scratch.compose(&recipe);
    let server = Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]));
    let id = id_in(&server.get("/trap").text());
    let finished = server.stop();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(finished.stdout, format!("shop[{id}] stdout: observed /trap\n"));
    let line = finished.stderr.lines().find(|line| line.ends_with(&format!("(request {id})")));
    let line = line.unwrap_or_else(|| panic!("no line about {id}: {}", finished.stderr));
    assert!(line.starts_with("launcher: GET /trap failed: wasm trap: "), "{line}");
    let (_, place) =
        line.split_once(", in part `api`, function `").unwrap_or_else(|| panic!("no part: {line}"));
    assert!(place.contains("` at 0x"), "{line}");
    assert!(!finished.stderr.contains("backtrace"), "{}", finished.stderr);
}

#[test]
fn a_denied_call_without_an_error_traps_in_the_part_that_was_generated_for_it() {
    let scratch = Scratch::new();
    scratch.copy("tests/guests/hostile-02.wasm");
    let recipe = scratch.write(
        "recipe.toml",
        "recipe = 1\n\n[app]\nname = \"shop\"\nversion = \"1.0.0\"\n\n\
         [components.dice]\npath = \"tests/guests/hostile-02.wasm\"\ndeny = [\"wasi:random/*\"]\n",
    );
    let artifact = scratch.compose(&recipe);
    let server =
        Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0", "--log", "text"]));
    let id = id_in(&server.get("/random?bytes=4").text());
    let stderr = server.stop().stderr;
    let line = stderr.lines().find(|line| line.contains(&id)).unwrap_or_else(|| panic!("{stderr}"));
    let place = ", in part `dice/denied`, function `wasi:random/random@0.2";
    assert!(line.contains(place) && line.contains("#get-random-bytes` at 0x"), "{line}");
}

#[test]
fn a_command_that_traps_names_its_part() {
    let scratch = Scratch::new();
    let recipe = {
        scratch.copy("tests/guests/command-02.wasm");
        scratch.write(
            "recipe.toml",
            "recipe = 1\n\n[app]\nname = \"tool\"\nversion = \"1.0.0\"\n\n\
             [components.tool]\npath = \"tests/guests/command-02.wasm\"\n",
        )
    };
    let artifact = scratch.compose(&recipe);
    let finished = run(scratch.launcher().arg(artifact).arg("trap"));
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    assert!(finished.stderr.contains(", in part `tool`, function `"), "{}", finished.stderr);
}
