//! Source lines of traps: from a guest's line tables through the artifact to a line of the log, and what a file that was
//! changed, or carries none, costs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Finished, Scratch, run};
use wadoo_tests::server::Server;

/// What stands at the end of a marked line of the guest.
const TRAP: &str = "// marked: trap";
const INLINED: &str = "// marked: inlined";
const CALLER: &str = "// marked: caller";

/// The number of the guest's line that has `mark`.
fn marked(mark: &str) -> usize {
    let source = fs::read_to_string(workspace().join("tests/guests/lines-03/src/lib.rs")).unwrap();
    1 + source.lines().position(|line| line.ends_with(mark)).expect("the line is marked")
}

/// A recipe of the guest with lines behind a middleware without, with `more` lines.
fn recipe(scratch: &Scratch, more: &str) -> PathBuf {
    scratch.copy("tests/guests/lines-03.wasm");
    scratch.copy("recipes/wadoocore/guests/access-log.wasm");
    scratch.write(
        "recipe.toml",
        format!(
            "recipe = 1\n\n[app]\nname = \"shop\"\nversion = \"1.0.0\"\n\n\
             [components.cart]\npath = \"tests/guests/lines-03.wasm\"\n\n\
             [components.access]\npath = \"recipes/wadoocore/guests/access-log.wasm\"\n\
             with = {{ \"wasi:http/handler\" = \"cart\" }}\n\n\
             [exports]\n\"wasi:http/handler\" = \"access\"\n\n{more}"
        ),
    )
}

/// Serves `artifact`, asks for each of `paths`, and gives what it left.
fn ask(scratch: &Scratch, artifact: &Path, options: &[&str], paths: &[&str]) -> Finished {
    let server =
        Server::start(scratch.launcher().arg(artifact).args(["--addr", "127.0.0.1:0"]).args(options));
    for path in paths {
        assert_eq!(server.get(path).status, 500);
    }
    server.stop()
}

/// The lines about failed requests.
fn failures(finished: &Finished) -> Vec<&str> {
    finished.stderr.lines().filter(|line| line.contains(" failed: ")).collect()
}

#[test]
fn a_trap_names_the_line_that_it_was_compiled_from() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&recipe(&scratch, ""));
    let finished = ask(&scratch, &artifact, &[], &["/trap", "/inlined"]);
    let failures = failures(&finished);
    let [trap, inlined] = failures.as_slice() else { panic!("{}", finished.stderr) };
    assert!(trap.contains(", in part `cart`, function `") && trap.contains("total"), "{trap}");
    assert!(trap.contains(&format!(", src/lib.rs:{} (request ", marked(TRAP))), "{trap}");
    // What was put into another function keeps its own line.
    assert!(inlined.contains("discount"), "{inlined}");
    assert!(inlined.contains(&format!(", src/lib.rs:{} (request ", marked(INLINED))), "{inlined}");
}

#[test]
fn a_trap_in_the_standard_library_names_the_line_that_called_it() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&recipe(&scratch, ""));
    let finished = ask(&scratch, &artifact, &[], &["/standard"]);
    let failures = failures(&finished);
    let (trap, caller) = failures[0].split_once(", called by `").unwrap_or_else(|| panic!("{}", failures[0]));
    assert!(trap.contains("look") && trap.contains(", library/core/src/"), "{trap}");
    assert!(caller.contains(&format!("` at src/lib.rs:{} (request ", marked(CALLER))), "{caller}");
}

#[test]
fn the_line_is_a_key_of_the_log() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&recipe(&scratch, ""));
    let stderr = ask(&scratch, &artifact, &["--log", "json"], &["/trap"]).stderr;
    let objects = stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
    let failed: Vec<Value> = objects.filter(|object| object["event"] == "request-failed").collect();
    let [failed] = failed.as_slice() else { panic!("{stderr}") };
    assert_eq!((&failed["part"], &failed["file"]), (&"cart".into(), &"src/lib.rs".into()), "{failed}");
    assert_eq!(failed["line"], marked(TRAP), "{failed}");
}

#[test]
fn a_recipe_can_leave_the_lines_out() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&recipe(&scratch, "[build]\nsource-lines = false\n"));
    let shown = run(scratch.wadoo().arg("inspect").arg(&artifact)).stdout;
    assert!(shown.contains("attached      none\n"), "{shown}");
    let finished = ask(&scratch, &artifact, &[], &["/trap"]);
    let failures = failures(&finished);
    assert!(failures[0].contains(", in part `cart`, function `"), "{}", failures[0]);
    assert!(!finished.stderr.contains(".rs:"), "{}", finished.stderr);
}

#[test]
fn the_folder_that_the_guest_was_built_in_is_not_in_the_artifact() {
    let scratch = Scratch::new();
    let artifact = fs::read(scratch.compose(&recipe(&scratch, ""))).unwrap();
    let has = |text: &str| artifact.windows(text.len()).any(|window| window == text.as_bytes());
    let guest = fs::read(scratch.path("tests/guests/lines-03.wasm")).unwrap();
    for folder in ["/wadoo/tests/guests", "/cargo/registry"] {
        assert!(guest.windows(folder.len()).any(|window| window == folder.as_bytes()), "{folder}");
        assert!(!has(folder), "{folder}");
    }
    assert!(has("src/lib.rs") && has("library/core/src/"));
    // And the bytes are the same from another folder.
    let other = Scratch::new();
    fs::create_dir(other.path("home/.config")).unwrap();
    let keys = scratch.path("home/.config/wadoo");
    run(std::process::Command::new("cp").arg("-r").arg(keys).arg(other.path("home/.config/")));
    let again = other.compose(&recipe(&other, ""));
    assert!(fs::read(again).unwrap() == artifact);
}

#[test]
fn the_split_form_has_the_lines_too() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&recipe(&scratch, ""));
    let done = |arguments: &[&str]| {
        let finished = run(scratch.wadoo().args(arguments));
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        finished.stdout
    };
    let whole = done(&["inspect", artifact.to_str().unwrap()]);
    assert!(whole.contains("attached      source lines ("), "{whole}");
    done(&["extract", artifact.to_str().unwrap(), "--split", "-o", "split"]);
    assert_eq!(done(&["inspect", "split"]), whole);
    assert!(done(&["verify", "split"]).contains("attached      source lines: sha256 holds\n"));
    let finished = ask(&scratch, Path::new("split"), &[], &["/trap"]);
    assert!(finished.stderr.contains(&format!("src/lib.rs:{} ", marked(TRAP))), "{}", finished.stderr);

    // What the manifest does not list is refused, as in the one file.
    fs::write(scratch.path("split/attachment-1"), b"more").unwrap();
    let refused = run(scratch.launcher().args(["check", "split"]));
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("its attachments are not what was signed"), "{}", refused.stderr);
}

#[test]
fn lines_that_were_changed_are_not_told_and_cost_nothing_else() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&recipe(&scratch, ""));
    let mut bytes = fs::read(&artifact).unwrap();
    let at = bytes.windows(8).rposition(|window| window == b"lines\0\0\x01").expect("the table is attached");
    bytes[at + 20] ^= 1;
    fs::write(&artifact, bytes).unwrap();
    let finished = ask(&scratch, &artifact, &[], &["/trap", "/trap"]);
    assert_eq!(failures(&finished).len(), 2, "{}", finished.stderr);
    assert!(!finished.stderr.contains(".rs:"), "{}", finished.stderr);
    let told = "launcher: traps are told without source lines, whose table cannot be used: it is not what was signed\n";
    assert_eq!(finished.stderr.matches(told).count(), 1, "{}", finished.stderr);
    for command in [scratch.launcher().arg("check"), scratch.wadoo().arg("verify")] {
        let refused = run(command.arg(&artifact));
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("attachment of kind 3 is not what was signed"), "{}", refused.stderr);
    }
}

#[test]
fn an_application_that_was_replaced_takes_its_lines_along() {
    let scratch = Scratch::new();
    let recipe = recipe(&scratch, "");
    let text = fs::read_to_string(&recipe).unwrap();
    let mut command = scratch.wadoo();
    command.args(["dev", "recipe.toml", "--addr", "127.0.0.1:0"]);
    let server = Server::start(&mut command);
    assert_eq!(server.get("/trap").status, 500);
    for version in ["1.0.1", "1.0.2"] {
        scratch.write("recipe.toml", text.replace("1.0.0", version));
        while !server.line().starts_with("swapped ") {}
        assert_eq!(server.get("/trap").status, 500);
    }
    let descriptors = fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
    let files = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let open = files.filter(|file| file.to_string_lossy().contains("dev.cwasm")).count();
    assert_eq!(open, 1, "each artifact's file goes with its application");
    let stderr = server.stop().stderr;
    assert_eq!(stderr.matches(&format!("src/lib.rs:{} ", marked(TRAP))).count(), 3, "{stderr}");
}
