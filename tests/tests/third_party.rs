//! Components that nobody here wrote, as their makers published them: what `tests/third-party/fetch` brought. Where it did not
//! run, they are skipped.
//!
//! They were built for other hosts, by other people's tools, against drafts of WASI that wadoo has no capability for. So half
//! of what is tested is what a user reads who has nothing but such a file: a refusal must name part and import, and the
//! line that it proposes must do what it says.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wadoo_tests::scratch::{Finished, Scratch, finished, run};
use wadoo_tests::second_engine::SecondEngine;
use wadoo_tests::server::Server;
use wadoo_tests::tools::skip;

/// Everything that `tests/third-party/fetch` brings.
const COMPONENTS: [&str; 11] = [
    "blobby",
    "blobstore",
    "counter",
    "cron-component",
    "cron-service",
    "greeter",
    "hello",
    "javascript",
    "redact",
    "resvg",
    "usvg",
];

/// Where the components are.
fn folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.map(|cache| cache.join("wadoo/third-party"));
    let there =
        folder.filter(|folder| COMPONENTS.iter().all(|name| folder.join(format!("{name}.wasm")).exists()));
    if there.is_none() {
        skip("`tests/third-party/fetch` was not run");
    }
    there
}

/// A folder with links to some of the components; `None` if they were not fetched.
fn scratch(components: &[&str]) -> Option<Scratch> {
    let folder = folder()?;
    let scratch = Scratch::new();
    for name in components {
        let name = format!("{name}.wasm");
        std::os::unix::fs::symlink(folder.join(&name), scratch.path(&name)).unwrap();
    }
    Some(scratch)
}

/// Writes a recipe with these tables.
fn recipe(scratch: &Scratch, tables: &str) -> PathBuf {
    let head = "recipe = 1\n\n[app]\nname = \"app\"\nversion = \"1.0.0\"\n\n";
    scratch.write("recipe.toml", format!("{head}{tables}"))
}

fn plan(scratch: &Scratch, tables: &str) -> Finished {
    let path = recipe(scratch, tables);
    run(scratch.wadoo().arg("plan").arg(path.file_name().unwrap()))
}

/// The tables and the line that a hint says to add to the last of them: what stands in back quotes after "add" and begins
/// like `start`.
fn mended(tables: &str, finished: &Finished, start: &str) -> String {
    let (_, line) = finished.stderr.split_once(&format!("add `{start}")).unwrap_or_else(|| {
        panic!("no hint proposes `{start}`:\n{}", finished.stderr);
    });
    let (line, _) = line.split_once('`').unwrap();
    format!("{tables}{start}{line}\n")
}

/// Composes the artifact and the portable component, `out/app.cwasm` and `out/app.wasm`.
fn compose(scratch: &Scratch, tables: &str) {
    let path = recipe(scratch, tables);
    fs::create_dir_all(scratch.path("out")).unwrap();
    let finished = run(scratch.wadoo().arg("compose").arg(path).args(["--emit", "both", "-o", "out"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

fn serve(scratch: &Scratch) -> Server {
    Server::start(scratch.launcher().args(["out/app.cwasm", "--addr", "127.0.0.1:0"]))
}

/// Status and body of a POST.
fn post(server: &Server) -> (u16, String) {
    let answer = server.request("POST", "/", &[], b"text");
    (answer.status, answer.text())
}

#[test]
fn javascript_answers_under_two_engines() {
    let Some(scratch) = scratch(&["javascript"]) else { return };
    let part = "[components.site]\npath = \"javascript.wasm\"\n";
    let refused = plan(&scratch, part);
    assert_eq!(refused.code, 1);
    assert_eq!(
        refused.stderr,
        "error: cannot plan `app`: 1 import has no provider\n\
         \x20 site  imports  wasi:http/outgoing-handler@0.2.3\n\
         \x20 in recipe.toml, line 7\n\
         \x20   | [components.site]\n\
         \x20   |             ^^^^\n\
         hint: language runtimes import these whether they use them or not; if `site` does not, add \
         `deny = [\"wasi:http/outgoing-handler\"]` to `[components.site]`\n"
    );

    compose(&scratch, &mended(part, &refused, "deny = "));
    let server = serve(&scratch);
    let answer = server.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"msg\":\"Hello world!\"}"));
    assert_eq!(server.get("/nowhere").status, 404);
    let log = server.stop();
    assert_eq!(log.code, 0);
    // It colours what it prints; escapes of a guest never reach a terminal as they are.
    assert!(log.stdout.contains("--> GET / \\u{1b}[32m200\\u{1b}[0m"), "{}", log.stdout);

    if let Some(mut engine) = SecondEngine::start(&scratch.path("out/app.wasm")) {
        assert_eq!(engine.answer("GET", "/", b""), (200, "{\"msg\":\"Hello world!\"}".to_owned()));
    }
}

#[test]
fn what_has_no_store_of_blobs_is_told_so() {
    let Some(scratch) = scratch(&["blobstore"]) else { return };
    let part = "[components.files]\npath = \"blobstore.wasm\"\n";
    let refused = plan(&scratch, part);
    assert_eq!(refused.code, 1);
    assert_eq!(
        refused.stderr,
        "error: cannot plan `app`: 3 imports have no provider\n\
         \x20 files  imports  wasi:blobstore/types@0.2.0-draft\n\
         \x20 files  imports  wasi:blobstore/container@0.2.0-draft\n\
         \x20 files  imports  wasi:blobstore/blobstore@0.2.0-draft\n\
         \x20 in recipe.toml, line 7\n\
         \x20   | [components.files]\n\
         \x20   |             ^^^^^\n\
         hint: no launcher provides `wasi:blobstore` yet: add components that export them, or, if `files` can do \
         without, add `deny = [\"wasi:blobstore/blobstore\", \"wasi:blobstore/container\", \"wasi:blobstore/types\"]` \
         to `[components.files]`\n"
    );

    compose(&scratch, &mended(part, &refused, "deny = "));
    let expected = (500, "failed to create container: \"denied\"".to_owned());
    let server = serve(&scratch);
    assert_eq!(post(&server), expected);
    assert_eq!(server.stop().code, 0);
    // The denial is in the component, so every host has it.
    if let Some(mut engine) = SecondEngine::start(&scratch.path("out/app.wasm")) {
        assert_eq!(engine.answer("POST", "/", b"text"), expected);
    }
}

#[test]
fn tinygo_is_denied_its_store_and_never_logs() {
    let Some(scratch) = scratch(&["blobby"]) else { return };
    let part = "[components.blobby]\npath = \"blobby.wasm\"\n";
    let refused = plan(&scratch, part);
    assert!(
        refused.stderr.contains("no launcher provides `wasi:blobstore` and `wasi:logging` yet"),
        "{}",
        refused.stderr
    );
    compose(&scratch, &mended(part, &refused, "deny = "));
    let server = serve(&scratch);
    assert_eq!(post(&server), (500, "denied".to_owned()));
    assert_eq!(server.stop().code, 0);
}

/// Seven interfaces of four drafts, each of which the launcher lacks. Two hints later it is composed; it logs first, and that
/// is a function which can tell no error, so it traps; and with a component that takes what it logs it comes to the
/// requests that it may not send.
#[test]
fn a_counter_needs_more_than_any_launcher_has() {
    let Some(scratch) = scratch(&["counter"]) else { return };
    let part = "[components.counter]\npath = \"counter.wasm\"\n";
    let refused = plan(&scratch, part);
    for import in [
        "wasi:http/outgoing-handler@0.2.2",
        "wasi:blobstore/container@0.2.0-draft",
        "wasi:keyvalue/atomics@0.2.0-draft",
        "wasi:logging/logging@0.1.0-draft",
        "wasi:config/runtime@0.2.0-draft",
    ] {
        assert!(refused.stderr.contains(&format!("  counter  imports  {import}\n")), "{}", refused.stderr);
    }
    let denied = mended(part, &refused, "deny = ");
    let refused = plan(&scratch, &denied);
    assert!(
        refused.stderr.starts_with("error: cannot plan `app`: 1 import has no provider\n"),
        "{}",
        refused.stderr
    );
    let denied = mended(&denied, &refused, "config = ");

    compose(&scratch, &denied);
    let server = serve(&scratch);
    assert_eq!(server.get("/").status, 500);
    let log = server.stop();
    let trap = "in part `counter/denied`, function `wasi:logging/logging@0.1.0-draft#log`";
    assert!(log.stderr.contains(trap), "{}", log.stderr);

    scratch.write("log.wasm", wat::parse_str(LOG).unwrap());
    scratch.write("wit/log.wit", LOG_WIT);
    scratch.write("wit/deps/logging.wit", LOGGING_WIT);
    let heard = denied.replace(", \"wasi:logging/logging\"", "");
    assert_ne!(heard, denied);
    compose(
        &scratch,
        &format!(
            "{heard}\n[components.log]\nmodule = \"log.wasm\"\nwit = \"wit\"\nworld = \"test:log/log\"\n"
        ),
    );
    let server = serve(&scratch);
    let expected = (500, "Internal server error: Failed to initiate outgoing request".to_owned());
    assert_eq!(post(&server), expected);
    assert_eq!(server.stop().code, 0);
}

/// Takes what it is told, and forgets it.
const LOG: &str = r#"(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 16))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 3))))
  (func (export "wasi:logging/logging@0.1.0-draft#log") (param i32 i32 i32 i32 i32)
    (global.set $next (i32.const 16))))"#;
const LOG_WIT: &str = "package test:log;\n\nworld log {\n  export wasi:logging/logging@0.1.0-draft;\n}\n";
const LOGGING_WIT: &str = "package wasi:logging@0.1.0-draft;\n\ninterface logging {\n  \
    enum level { trace, debug, info, warn, error, critical }\n  \
    log: func(level: level, context: string, message: string);\n}\n";

#[test]
fn a_service_calls_the_component_that_it_was_published_with() {
    let Some(scratch) = scratch(&["cron-service", "cron-component"]) else { return };
    let service = "[components.service]\npath = \"cron-service.wasm\"\n";
    let alone = plan(&scratch, service);
    assert!(alone.stderr.contains("service  imports  wasmcloud:example/cron@0.0.1\n"), "{}", alone.stderr);

    compose(&scratch, &format!("{service}\n[components.job]\npath = \"cron-component.wasm\"\n"));
    let mut command = scratch.launcher();
    let mut child = command.arg("out/app.cwasm").stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // It would go on for ever, once a second.
    let told: Vec<String> = lines.take(3).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let job = "Hello from the cron-component!";
    assert_eq!(told, ["Starting cron-service with 1 second intervals...", job, job]);
}

/// `wac` composes these two; their functions stand in no interface. They are refused with the name of who has what.
#[test]
fn functions_outside_of_interfaces_are_refused_with_who_has_them() {
    let Some(scratch) = scratch(&["greeter", "hello"]) else { return };
    let refused = plan(
        &scratch,
        "[components.greeter]\npath = \"greeter.wasm\"\n\n[components.hello]\npath = \"hello.wasm\"\n",
    );
    assert_eq!(refused.code, 1);
    assert_eq!(
        refused.stderr,
        "error: cannot wire `greeter`: it imports the function `hello`, and only interfaces can be wired\n\
         \x20 `hello` exports a function `hello`, and not in an interface\n\
         \x20 in recipe.toml, line 7\n\
         \x20   | [components.greeter]\n\
         \x20   |             ^^^^^^^\n\
         hint: move the function into an interface of a WIT package, and build `greeter` to import that\n"
    );
    let alone = plan(&scratch, "[components.hello]\npath = \"hello.wasm\"\n");
    assert!(alone.stderr.starts_with("error: nothing starts `app`"), "{}", alone.stderr);
}

/// Core modules of WASI preview 1, of the year 2023: a drawing goes through one command into another.
#[test]
fn programs_of_preview_1_read_and_write() {
    let Some(scratch) = scratch(&["usvg", "resvg"]) else { return };
    let drawing =
        b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'><circle r='4' fill='red'/></svg>";
    let simpler = command(&scratch, "usvg", &["-", "-c"], drawing);
    assert!(simpler.starts_with(b"<svg width=\"8\" height=\"8\""), "{}", String::from_utf8_lossy(&simpler));
    assert!(!simpler.windows(7).any(|window| window == b"<circle"), "it turns circles into paths");
    let picture = command(&scratch, "resvg", &["--resources-dir", ".", "-", "-c"], &simpler);
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"), "{}", String::from_utf8_lossy(&picture));
}

/// What a command prints that reads `input`.
fn command(scratch: &Scratch, module: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    compose(scratch, &format!("[components.program]\nmodule = \"{module}.wasm\"\n"));
    let mut command: Command = scratch.launcher();
    command.arg("out/app.cwasm").args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = output.stdout.clone();
    let finished = finished(output);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    printed
}

/// Go for a host that knows its functions by heart: nothing in it says what they take.
#[test]
fn a_module_for_one_host_is_refused_with_what_it_exports() {
    let Some(scratch) = scratch(&["redact"]) else { return };
    let refused = plan(&scratch, "[components.redact]\nmodule = \"redact.wasm\"\n");
    assert_eq!(refused.code, 1);
    let says = "error: cannot use `redact.wasm` for `redact`: it says nothing of what it exports\n  \
                it exports `_initialize`, `allocate`, `free`, `init_config`, `redact`, `memory`\n";
    assert!(refused.stderr.starts_with(says), "{}", refused.stderr);
}

/// Whatever the file and however it is named: a plan, or an error with a place and something to do. A bug would be 70 or a signal.
#[test]
fn everything_is_planned_or_refused_in_words() {
    let Some(scratch) = scratch(&COMPONENTS) else { return };
    let mut recipes: Vec<String> = Vec::new();
    for name in COMPONENTS {
        recipes.push(format!("[components.part]\npath = \"{name}.wasm\"\n"));
        recipes.push(format!("[components.part]\nmodule = \"{name}.wasm\"\n"));
        // Whose handles other interfaces pass.
        recipes.push(format!(
            "[components.part]\npath = \"{name}.wasm\"\n\n[policy]\ndeny = [\"wasi:io/streams\"]\n"
        ));
        recipes.push(format!(
            "[components.part]\npath = \"{name}.wasm\"\n\n[components.other]\npath = \"{name}.wasm\"\n"
        ));
    }
    recipes.push("[components.all]\npath = \"*.wasm\"\n".to_owned());
    recipes.push("[components.all]\npath = \"c*.wasm\"\n".to_owned());
    for recipe in recipes {
        let finished = plan(&scratch, &recipe);
        match finished.code {
            0 => assert!(finished.stdout.contains("\nexports\n"), "{recipe}\n{}", finished.stdout),
            1 => {
                for report in finished.stderr.split("error: ").skip(1) {
                    let place = report.contains("in recipe.toml, line ");
                    assert!(place && report.contains("\nhint: "), "{recipe}\n{}", finished.stderr);
                }
                assert!(finished.stderr.starts_with("error: "), "{recipe}\n{}", finished.stderr);
            }
            code => panic!("exit code {code}:\n{recipe}\n{}", finished.stderr),
        }
    }
}
