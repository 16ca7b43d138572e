//! One shape under two names, composed and called.

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;

/// The provider of `acme:auth/check` as somebody else would have named it.
fn renamed_provider() -> Vec<u8> {
    let mut bytes = std::fs::read(workspace().join("tests/guests/auth-provider.wasm")).expect("the guest");
    let (ours, theirs) = (b"acme:auth/", b"acme:door/");
    for at in 0..bytes.len() - ours.len() {
        if bytes[at..].starts_with(ours) {
            bytes[at..at + ours.len()].copy_from_slice(theirs);
        }
    }
    bytes
}

#[test]
fn the_line_that_is_proposed_for_another_name_works_when_it_is_pasted() {
    let scratch = Scratch::new();
    scratch.copy("tests/guests/auth-user.wasm");
    scratch.write("door.wasm", renamed_provider());
    let text = "recipe = 1\n\n[app]\nname = \"shop\"\nversion = \"1.0.0\"\n\n\
                [components.door]\npath = \"door.wasm\"\n\n\
                [components.user]\npath = \"tests/guests/auth-user.wasm\"\n";
    let refused = run(scratch.wadoo().arg("compose").arg(scratch.write("recipe.toml", text)));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let (_, line) = refused.stderr.split_once("add `").unwrap_or_else(|| panic!("{}", refused.stderr));
    let (line, _) = line.split_once("` to `[components.user]`").unwrap_or_else(|| panic!("{line}"));
    let artifact = scratch.compose(&scratch.write("recipe.toml", format!("{text}{line}\n")));
    let server = Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]));
    // A session, which is a resource, passes from one to the other.
    assert_eq!(server.get("/?token=ada-secret").text(), "hello ada\n");
}
