//! Four languages in one component, under two engines: what `recipes/polyglot/build` and `tests/second-engine install`
//! brought. Where they did not, it is skipped.

use std::fs;

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::second_engine::SecondEngine;
use wadoo_tests::server::Server;
use wadoo_tests::tools::skip;

const TEXT: &[u8] = "the quick  brown fox, jumped".as_bytes();
const TOLD: &str = "words: 5 (C)\ntitle: The Quick  Brown Fox, Jumped (Python)\n\
                    slug: the-quick-brown-fox-jumped (JavaScript)\n";

#[test]
fn four_languages_are_one_component_for_two_engines() {
    let recipe = workspace().join("recipes/polyglot");
    if !["count", "title", "slug"].iter().all(|guest| recipe.join(format!("guests/{guest}.wasm")).exists()) {
        return skip("`recipes/polyglot/build` was not run");
    }
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("out")).unwrap();
    let finished = run(scratch.wadoo().arg("compose").arg(recipe).args(["--emit", "both", "-o", "out"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);

    let artifact = scratch.path("out/polyglot.cwasm");
    let server = Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]));
    let answer = server.request("POST", "/", &[], TEXT);
    assert_eq!((answer.status, answer.text().as_str()), (200, TOLD));
    assert_eq!(server.request("POST", "/", &[], b"\xff").status, 400);
    assert_eq!(server.stop().code, 0);

    if let Some(mut engine) = SecondEngine::start(&scratch.path("out/polyglot.wasm")) {
        assert_eq!(engine.answer("POST", "/", TEXT), (200, TOLD.to_owned()));
    }
}
