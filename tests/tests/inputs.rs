//! Inputs of every kind as a user has them: core modules, patterns, recipes within recipes, and the lock over all of them.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;
use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Finished, Scratch, run};
use wadoo_tests::server::Server;

const HEAD: &str = "recipe = 1\n\n[app]\nname = \"shop\"\nversion = \"1.4.0\"\n\n";

/// A program of WASI preview 1: prints a line, and is content with two arguments only.
const COMMAND: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello from preview 1\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 21))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 48)))
    (drop (call $sizes (i32.const 52) (i32.const 56)))
    (call $exit (i32.sub (i32.load (i32.const 52)) (i32.const 3)))))"#;

/// A handler of HTTP requests, by hand: answers 204 to all.
const HANDLER: &str = r#"(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.12" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.12" "[method]outgoing-response.set-status-code"
    (func $status (param i32 i32) (result i32)))
  (import "wasi:http/types@0.2.12" "[static]response-outparam.set"
    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "wasi:http/incoming-handler@0.2.12#handle") (param $request i32) (param $out i32)
    (local $answer i32)
    (drop (call $random (i32.const 0) (i32.const 4)))
    (local.set $answer (call $response (call $fields)))
    (drop (call $status (local.get $answer) (i32.const 204)))
    (call $set (local.get $out) (i32.const 0) (local.get $answer)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))"#;

/// What `wadoo inspect --json` says of the one artifact of the folder.
fn manifest(scratch: &Scratch, artifact: &str) -> Value {
    let finished = run(scratch.wadoo().args(["inspect", "--json", artifact]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let value: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    value["manifest"].clone()
}

fn inputs(manifest: &Value) -> Vec<&str> {
    manifest["inputs"].as_object().expect("inputs").keys().map(String::as_str).collect()
}

fn guest(name: &str) -> Vec<u8> {
    fs::read(workspace().join("recipes").join(name)).expect("a prebuilt guest")
}

/// An application of a log and, as a part, a recipe of two other parts; under `folder`.
fn nested(scratch: &Scratch, folder: &str) {
    let wadoocore = |name: &str| guest(&format!("wadoocore/guests/{name}.wasm"));
    scratch.write(&format!("{folder}/parts/access-log.wasm"), wadoocore("access-log"));
    scratch.write(&format!("{folder}/core/guests/api.wasm"), wadoocore("api"));
    scratch.write(&format!("{folder}/core/guests/plugins/math.wasm"), wadoocore("math"));
    scratch.write(
        &format!("{folder}/recipe.toml"),
        format!(
            "{HEAD}[components.log]\npath = \"parts/access-log.wasm\"\n\n[components.core]\n\
             recipe = \"core/recipe.toml\"\n\n[build]\ntargets = [\"x86_64-unknown-linux-gnu\"]\n"
        ),
    );
    scratch.write(
        &format!("{folder}/core/recipe.toml"),
        "recipe = 1\n\n[app]\nname = \"core\"\nversion = \"0.1.0\"\n\n[components.api]\npath = \"guests/api.wasm\"\n\
         with = { \"wadoo:math/ops\" = \"plugin-math\" }\n\n[components.plugin]\npath = \"guests/plugins/*.wasm\"\n",
    );
}

/// The worlds of WASI 0.2, in a folder `wit`.
fn worlds(scratch: &Scratch) {
    let wit = workspace().join("wit/wasi-0.2");
    let files = fs::read_dir(wit.join("deps")).expect("WIT").map(|entry| entry.expect("an entry").path());
    for file in files.chain([wit.join("worlds.wit")]) {
        let name = file.strip_prefix(&wit).expect("in the folder").to_str().expect("a name");
        scratch.write(&format!("wit/{name}"), fs::read(&file).expect("WIT"));
    }
}

#[test]
fn a_core_module_of_preview_1_runs_as_a_command() {
    let scratch = Scratch::new();
    let bytes = wat::parse_str(COMMAND).expect("a module");
    scratch.write("legacy.wasm", &bytes);
    scratch.write("recipe.toml", format!("{HEAD}[components.legacy]\nmodule = \"legacy.wasm\"\n"));
    let finished = run(scratch.wadoo().args(["compose", "recipe.toml"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let ran = run(scratch.launcher().args(["shop.cwasm", "one", "two"]));
    assert_eq!(ran.stdout, "hello from preview 1\n", "{}", ran.stderr);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // WASI 0.2 knows success and failure.
    assert_eq!(run(scratch.launcher().arg("shop.cwasm")).code, 1);

    let manifest = manifest(&scratch, "shop.cwasm");
    assert_eq!(inputs(&manifest), ["legacy", "legacy/adapter"]);
    let digest = wadoo_signing::digest::Sha256Digest::of(&bytes).to_string();
    assert_eq!(manifest["inputs"]["legacy"]["digest"], digest, "the digest is that of the user's file");
    assert!(manifest.get("lock").is_none(), "{manifest}");
}

#[test]
fn a_core_module_of_a_world_in_wit_answers_requests() {
    let scratch = Scratch::new();
    scratch.write("handler.wasm", wat::parse_str(HANDLER).expect("a module"));
    worlds(&scratch);
    let part = "[components.handler]\nmodule = \"handler.wasm\"\nwit = \"wit\"\nworld = \"wadoo:guest/http-service\"\n";
    let recipe = scratch.write("recipe.toml", format!("{HEAD}{part}"));
    let artifact = scratch.compose(&recipe);
    let server = Server::start(scratch.launcher().arg(&artifact).args(["--addr", "127.0.0.1:0"]));
    assert_eq!(server.get("/").status, 204);
    assert_eq!(server.stop().code, 0);

    let manifest = manifest(&scratch, "out/shop.cwasm");
    assert_eq!(inputs(&manifest), ["handler", "handler.world", "handler/adapter"]);
    let adapter = manifest["inputs"]["handler/adapter"]["source"].as_str().expect("a source");
    assert!(adapter.starts_with("wasi_snapshot_preview1.proxy.wasm of wasmtime "), "{adapter}");
    // What the documentation says of the digest of a folder.
    let command = "cd wit && find * -name '*.wit' | LC_ALL=C sort | xargs sha256sum | sha256sum";
    let output =
        std::process::Command::new("sh").args(["-c", command]).current_dir(scratch.path("")).output();
    let sum = String::from_utf8(output.expect("a shell").stdout).expect("text");
    let digest = format!("sha256:{}", sum.split(' ').next().expect("a sum"));
    assert_eq!(manifest["inputs"]["handler.world"]["digest"], digest);
}

#[test]
fn a_recipe_within_a_recipe_and_a_pattern_are_served_with_every_byte_accounted_for() {
    let scratch = Scratch::new();
    nested(&scratch, "a");
    nested(&scratch, "another/folder with a space");
    let first = scratch.compose(&scratch.path("a/recipe.toml"));
    let bytes = fs::read(&first).expect("an artifact");
    let server = Server::start(scratch.launcher().arg(&first).args(["--addr", "127.0.0.1:0"]));
    let answer = server.get("/api/math/10/2");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("12"), "{}", answer.text());
    let stopped = server.stop();
    assert_eq!(stopped.code, 0);
    assert!(
        stopped.stdout.contains("GET /api/math/10/2"),
        "the log is before the inner recipe: {}",
        stopped.stdout
    );

    let manifest = manifest(&scratch, "out/shop.cwasm");
    assert_eq!(inputs(&manifest), ["core", "core/api", "core/plugin-math", "log"]);
    assert_eq!(manifest["inputs"]["core/plugin-math"]["source"], "guests/plugins/math.wasm");
    let second = scratch.compose(&scratch.path("another/folder with a space/recipe.toml"));
    assert!(bytes == fs::read(second).expect("an artifact"), "the folder changes the artifact");
}

#[test]
fn links_are_followed_and_hidden_files_are_not_matched() {
    let scratch = Scratch::new();
    nested(&scratch, ".");
    let plugins = scratch.path("core/guests/plugins");
    fs::rename(plugins.join("math.wasm"), scratch.path("elsewhere")).expect("moved");
    symlink(scratch.path("elsewhere"), plugins.join("math.wasm")).expect("linked");
    fs::write(plugins.join(".swap.wasm"), "no component").expect("written");
    let finished = run(scratch.wadoo().args(["plan", "core"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("\nplugin-math\n"), "{}", finished.stdout);
}

/// Compose with `--locked`; nothing is compiled.
fn locked(scratch: &Scratch) -> Finished {
    run(scratch.wadoo().args(["compose", "recipe.toml", "--dry-run", "--locked"]))
}

#[test]
fn the_lock_holds_every_input_and_drift_is_told_whole() {
    let scratch = Scratch::new();
    nested(&scratch, ".");
    let absent = locked(&scratch);
    assert_eq!(absent.code, 1);
    assert_eq!(
        absent.stderr,
        "error: there is no lock `wadoo.lock`\n  `--locked` accepts the inputs that the lock has, and no others\n\
         hint: write it: `wadoo update recipe.toml`\n"
    );
    let silent = run(scratch.wadoo().args(["plan", "recipe.toml"]));
    assert_eq!((silent.code, silent.stderr.as_str()), (0, ""));

    let update = || run(scratch.wadoo().args(["update", "recipe.toml"]));
    let written = update();
    assert_eq!(written.code, 0, "{}", written.stderr);
    assert_eq!(
        written.stdout.lines().filter(|line| line.starts_with("added ")).count(),
        4,
        "{}",
        written.stdout
    );
    let lock = fs::read(scratch.path("wadoo.lock")).expect("a lock");
    assert_eq!(locked(&scratch).code, 0);
    let again = update();
    assert_eq!((again.code, again.stdout.as_str()), (0, ""));
    assert!(again.stderr.contains("holds: 4 inputs"), "{}", again.stderr);

    let artifact = scratch.compose(&scratch.path("recipe.toml"));
    let digest = wadoo_signing::digest::Sha256Digest::of(&lock).to_string();
    assert_eq!(manifest(&scratch, "out/shop.cwasm")["lock"], digest);
    let shown = run(scratch.wadoo().arg("inspect").arg(&artifact));
    assert!(shown.stdout.contains(&format!("lock          {digest}\n")), "{}", shown.stdout);

    // One is new, one is gone, one is another file under the same name.
    let math = scratch.path("core/guests/plugins/math.wasm");
    let moved = scratch.path("core/guests/plugins/numbers.wasm");
    fs::rename(&math, &moved).expect("moved");
    let inner = fs::read_to_string(scratch.path("core/recipe.toml")).expect("a recipe");
    scratch.write("core/recipe.toml", inner.replace("plugin-math", "plugin-numbers"));
    let drifted = locked(&scratch);
    assert_eq!(drifted.code, 1);
    let told = [
        "error: `wadoo.lock` does not hold: 3 inputs differ\n",
        "  `core` (core/recipe.toml) found   sha256:",
        "  `core` (core/recipe.toml) locked  sha256:",
        "  `core/plugin-math` (guests/plugins/math.wasm) is in the lock, and no input\n",
        "  `core/plugin-numbers` (guests/plugins/numbers.wasm) is not in the lock\n",
        "hint: if these inputs are the right ones: `wadoo update recipe.toml`\n",
    ];
    for line in told {
        assert!(drifted.stderr.contains(line), "{line} is not in:\n{}", drifted.stderr);
    }
    assert!(run(scratch.wadoo().args(["plan", "--locked", "recipe.toml"])).code == 1);
    let lenient = run(scratch.wadoo().args(["plan", "recipe.toml"]));
    assert_eq!(lenient.code, 0);
    assert_eq!(
        lenient.stderr,
        "warning: `wadoo.lock` does not hold: 3 inputs differ; `wadoo update recipe.toml` writes it anew\n"
    );
    let updated = update();
    assert!(updated.stdout.contains("removed  core/plugin-math sha256:"), "{}", updated.stdout);
    assert_eq!(locked(&scratch).code, 0);
}

#[test]
fn the_worlds_of_the_application_and_of_parts_are_locked() {
    let scratch = Scratch::new();
    worlds(&scratch);
    scratch.copy("tests/guests/command-02.wasm");
    let world = "wit = \"wit\"\nworld = \"wadoo:guest/command\"\n";
    scratch.write(
        "recipe.toml",
        format!(
            "recipe = 1\n[app]\nname = \"shop\"\nversion = \"1.4.0\"\n{world}[components.guest]\npath = \"tests/guests/command-02.wasm\"\n{world}"
        ),
    );
    assert_eq!(run(scratch.wadoo().args(["update", "recipe.toml"])).code, 0);
    assert_eq!(locked(&scratch).code, 0);
    let finished = run(scratch.wadoo().args(["compose", "recipe.toml", "--locked"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(inputs(&manifest(&scratch, "shop.cwasm")), ["app.wit", "guest", "guest.world"]);

    scratch.write("wit/more.wit", "interface more {}\n");
    let drifted = locked(&scratch);
    assert_eq!(drifted.code, 1);
    for name in ["`app.wit` (wit) found", "`guest.world` (wit) found"] {
        assert!(drifted.stderr.contains(name), "{}", drifted.stderr);
    }
}

#[test]
fn a_lock_that_is_none_is_refused_where_it_counts_and_replaced_by_update() {
    let scratch = Scratch::new();
    nested(&scratch, ".");
    scratch.write("wadoo.lock", "lock = 1\n[inputs]\nlog = { source = \"parts/access-log.wasm\" }\n");
    let refused = locked(&scratch);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.starts_with("error: cannot read the lock `wadoo.lock`\n"), "{}", refused.stderr);
    assert!(refused.stderr.contains("in wadoo.lock, line 3"), "{}", refused.stderr);
    assert!(run(scratch.wadoo().args(["plan", "recipe.toml"])).stderr.starts_with("warning: "));
    assert_eq!(run(scratch.wadoo().args(["update", "recipe.toml"])).code, 0);
    assert_eq!(locked(&scratch).code, 0);
}

#[test]
fn an_input_that_cannot_be_read_is_told_and_leaves_the_lock_alone() {
    let scratch = Scratch::new();
    nested(&scratch, ".");
    fs::remove_file(scratch.path("core/guests/api.wasm")).expect("removed");
    let refused = run(scratch.wadoo().args(["update", "recipe.toml"]));
    assert_eq!(refused.code, 1);
    for line in ["guests/api.wasm", "`core` of recipe.toml, line 10, is made of this recipe"] {
        assert!(refused.stderr.contains(line), "{line} is not in:\n{}", refused.stderr);
    }
    assert!(!scratch.path("wadoo.lock").exists());
}

#[test]
fn dev_follows_inner_recipes_and_the_folders_of_patterns() {
    let scratch = Scratch::new();
    nested(&scratch, ".");
    let mut command = scratch.wadoo();
    command.args(["dev", "recipe.toml", "--addr", "127.0.0.1:0"]);
    let server = Server::start(&mut command);
    assert_eq!(server.get("/api/math/10/2").status, 200);
    // The log's lines stand among those of `dev`.
    let said = |word: &str| while !server.line().contains(word) {};

    let inner = fs::read_to_string(scratch.path("core/recipe.toml")).expect("a recipe");
    scratch.write("core/recipe.toml", inner.replace("0.1.0", "0.2.0"));
    said("swapped in shop");
    // A file that the pattern did not match before: nothing uses the part that it becomes.
    scratch.write("core/guests/plugins/more.wasm", guest("wadoocore/guests/math.wasm"));
    said("kept the running application");
    fs::remove_file(scratch.path("core/guests/plugins/more.wasm")).expect("removed");
    said("swapped in shop");
    assert_eq!(server.get("/api/math/10/2").status, 200);
    assert_eq!(server.stop().code, 0);
}
