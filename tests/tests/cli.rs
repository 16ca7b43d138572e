//! The command line's mistakes, one file each: the exact text that a user reads and the exit code.
//!
//! `TRYCMD=overwrite` rewrites the expectations.

use wadoo_tests::binaries::{launcher, wadoo};
use wadoo_tests::scratch::Scratch;

#[test]
fn every_mistake_is_told_as_it_should_be() {
    let scratch = Scratch::new();
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("wadoo", wadoo())
        .register_bin("launcher", launcher())
        .env("HOME", scratch.home().display().to_string())
        .env("XDG_CONFIG_HOME", "")
        .env("CI", "")
        .env("NO_COLOR", "1")
        .insert_var("[HOME]", scratch.home().display().to_string())
        .expect("a name in brackets is one")
        .case("cases/cli/*.trycmd");
    cases.run();
}
