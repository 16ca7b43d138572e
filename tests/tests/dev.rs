//! `wadoo dev`: the main job in one command, and a swap when an input changes.

use std::fs;

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::Scratch;
use wadoo_tests::server::Server;

#[test]
fn the_readme_command_serves_wadoocore() {
    let scratch = Scratch::new();
    let mut command = scratch.wadoo();
    command.arg("dev").arg(workspace().join("recipes/wadoocore")).args(["--addr", "127.0.0.1:0"]);
    let server = Server::start(&mut command);
    let answer = server.get("/api/math/10/2");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("12"), "{}", answer.text());
    assert_eq!(server.stop().code, 0);
}

#[test]
fn a_changed_recipe_is_swapped_in_and_a_broken_one_is_not() {
    let scratch = Scratch::new();
    let recipe = fs::read_to_string(workspace().join("recipes/hello/recipe.toml")).unwrap();
    let guest = |name: &str| fs::read(workspace().join("recipes").join(name)).unwrap();
    scratch.write("recipe.toml", &recipe);
    scratch.write("guests/hello.wasm", guest("hello/guests/hello.wasm"));
    let mut command = scratch.wadoo();
    command.args(["dev", "recipe.toml", "--addr", "127.0.0.1:0"]);
    let server = Server::start(&mut command);
    assert_eq!(server.get("/health").text(), "Hello from wadoo!\n");

    // A recipe that does not compose leaves the running application alone.
    scratch.write("recipe.toml", recipe.replace("guests/hello.wasm", "guests/absent.wasm"));
    assert!(server.line().contains("kept"), "a broken recipe is reported");
    assert_eq!(server.get("/health").text(), "Hello from wadoo!\n");

    // Another component in the place of the first, and nothing else changed.
    scratch.write("recipe.toml", &recipe);
    assert!(server.line().starts_with("swapped "), "the recipe is whole again");
    scratch.write("guests/hello.wasm", guest("hello-02/guests/hello.wasm"));
    assert!(server.line().starts_with("swapped "), "a changed component is announced");
    assert_eq!(server.get("/health").text(), "Hello from wadoo!\n");

    // Other parts under the same recipe.
    scratch.write("guests/math.wasm", guest("wadoocore/guests/math.wasm"));
    scratch.write("guests/api.wasm", guest("wadoocore/guests/api.wasm"));
    let (head, _) = recipe.split_once("[components").unwrap();
    scratch.write(
        "recipe.toml",
        format!(
            "{head}[components.api]\npath = \"guests/api.wasm\"\n\n[components.math]\npath = \"guests/math.wasm\"\n"
        ),
    );
    assert!(server.line().starts_with("swapped "), "the new application is announced");
    assert!(server.get("/health").text().contains("ok"));
    assert_eq!(server.stop().code, 0);
}
