//! Stock tools agree: openssl with the signature, sha256sum, b3sum and fsverity with the digests, and
//! `wasm-tools validate` and `wasmtime serve` with the portable component. A tool that is not installed skips its test; in CI that
//! is a failure.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::tools::installed;

/// `hello` signed by `signing.pem`, and taken apart into `parts/`.
fn extracted(scratch: &Scratch) -> std::path::PathBuf {
    assert_eq!(run(scratch.wadoo().args(["key", "new", "signing.pem"])).code, 0);
    let recipe = fs::read_to_string(workspace().join("recipes/hello/recipe.toml")).unwrap();
    let recipe = scratch.write("recipe.toml", recipe + "\n[sign]\nkeys = [\"file:signing.pem\"]\n");
    scratch
        .write("guests/hello.wasm", fs::read(workspace().join("recipes/hello/guests/hello.wasm")).unwrap());
    let artifact = scratch.compose(&recipe);
    let finished = run(scratch.wadoo().arg("extract").arg(artifact).args(["-o", "parts"]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    scratch.path("parts")
}

fn statement(parts: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(parts.join("statement.json")).unwrap()).unwrap()
}

#[test]
fn openssl_verifies_the_signature_by_the_documented_commands() {
    if !installed("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let parts = extracted(&scratch);
    let signature = fs::read_dir(&parts)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "sig"))
        .expect("a signature was extracted");
    let verify = || {
        let mut command = Command::new("openssl");
        command.args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"]);
        command.arg(scratch.path("signing.pub.pem")).arg("-in").arg(parts.join("pae.bin"));
        run(command.arg("-sigfile").arg(&signature))
    };
    let finished = verify();
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);

    let mut bytes = fs::read(parts.join("pae.bin")).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::write(parts.join("pae.bin"), bytes).unwrap();
    assert_ne!(verify().code, 0, "openssl accepts what was changed");
}

#[test]
fn stock_tools_agree_with_every_digest() {
    let scratch = Scratch::new();
    let parts = extracted(&scratch);
    let digests = statement(&parts)["subject"][0]["digest"].clone();
    let payload = parts.join("payload");
    for (tool, name, arguments, prefix) in [
        ("sha256sum", "sha256", &[][..], ""),
        ("b3sum", "blake3", &[][..], ""),
        ("fsverity", "fsverity", &["digest"][..], "sha256:"),
    ] {
        if !installed(tool) {
            continue;
        }
        let finished = run(Command::new(tool).args(arguments).arg(&payload));
        let found = finished.stdout.split_whitespace().next().unwrap_or_default();
        let expected = format!("{prefix}{}", digests[name].as_str().unwrap());
        assert_eq!(found, expected, "{tool} disagrees: {}", finished.stderr);
    }
}

/// What `wasmtime serve` answers to a GET of `path` with the component in `file`.
fn stock_answer(file: &Path, path: &str) -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut peer = Command::new("wasmtime")
        .args(["serve", "-Scli,p3", "-Wcomponent-model-async", "--addr", &address.to_string()])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let body = loop {
        let finished = run(Command::new("curl").args(["-sS", &format!("http://{address}{path}")]));
        if finished.code == 0 {
            break finished.stdout;
        }
        if peer.try_wait().unwrap().is_some() {
            let output = peer.wait_with_output().unwrap();
            panic!("wasmtime ended: {}", String::from_utf8_lossy(&output.stderr));
        }
    };
    peer.kill().unwrap();
    peer.wait().unwrap();
    body
}

/// Has `wasm-tools` validate the component in `file`.
fn validate(file: &Path) {
    if installed("wasm-tools") {
        let finished = run(Command::new("wasm-tools").arg("validate").arg(file));
        assert_eq!(finished.code, 0, "{}: {}", file.display(), finished.stderr);
    }
}

#[test]
fn wasm_tools_validates_what_is_composed_and_nothing_damaged() {
    let scratch = Scratch::new();
    for recipe in ["hello-02", "hello", "hello-cli", "wadoocore"] {
        let folder = workspace().join("recipes").join(recipe);
        let finished = run(scratch.wadoo().args(["compose", "--emit", "wasm"]).arg(folder));
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        validate(&scratch.path(recipe).with_extension("wasm"));
    }
    if installed("wasm-tools") {
        let mut bytes = fs::read(scratch.path("hello.wasm")).unwrap();
        bytes.truncate(bytes.len() - 1);
        let damaged = scratch.write("damaged.wasm", bytes);
        assert_ne!(run(Command::new("wasm-tools").arg("validate").arg(damaged)).code, 0);
    }
}

#[test]
fn the_portable_component_answers_under_stock_wasmtime() {
    if !installed("wasmtime") {
        return;
    }
    let scratch = Scratch::new();
    let finished =
        run(scratch.wadoo().args(["compose", "--emit", "wasm"]).arg(workspace().join("recipes/wadoocore")));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let body = stock_answer(&scratch.path("wadoocore.wasm"), "/api/math/10/2");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
    assert_eq!(answer["addition"], 12, "{body}");
}

#[test]
fn baked_values_hold_under_stock_wasmtime() {
    if !installed("wasmtime") {
        return;
    }
    let scratch = Scratch::new();
    for guest in ["values-03", "fetch-03"] {
        scratch.write(
            &format!("{guest}.wasm"),
            fs::read(workspace().join(format!("tests/guests/{guest}.wasm"))).unwrap(),
        );
    }
    let recipe = scratch.write(
        "recipe.toml",
        "recipe = 1\n[app]\nname = \"baked\"\nversion = \"1.0.0\"\n[exports]\n\"wasi:http/handler\" = \"first\"\n\
         [components.first]\npath = \"values-03.wasm\"\nconfig = { name = \"first\" }\nenv = { LOG = \"info\" }\nargs = [\"-v\"]\n\
         [components.last]\npath = \"fetch-03.wasm\"\ndeny = [\"wasi:http/client\"]\n",
    );
    let finished = run(scratch.wadoo().args(["compose", "--emit", "wasm"]).arg(recipe));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    validate(&scratch.path("baked.wasm"));
    let expected = "config name=first\nenv LOG=info\narg baked\narg -v\n";
    assert_eq!(stock_answer(&scratch.path("baked.wasm"), "/first"), expected);
}

#[test]
fn files_are_read_under_stock_wasmtime() {
    if !installed("wasmtime") {
        return;
    }
    for guest in ["files-02", "files-03"] {
        let scratch = Scratch::new();
        scratch.write("assets/css/site.css", "p {}");
        fs::create_dir(scratch.path("out")).unwrap();
        let recipe = fs::read_to_string(scratch.recipe(guest, "", "")).unwrap();
        let recipe = scratch.write("recipe.toml", recipe + "files = { \"/data\" = \"assets\" }\n");
        let finished = run(scratch.wadoo().args(["compose", "--emit", "wasm", "-o", "out"]).arg(recipe));
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        validate(&scratch.path("out/guest.wasm"));
        let ask = |path: &str| stock_answer(&scratch.path("out/guest.wasm"), path);
        assert_eq!(ask("/mounts"), "/data\n", "{guest}");
        assert_eq!(ask("/read?path=css/site.css"), "p {}", "{guest}");
        let written = ask("/write?path=css/site.css");
        assert_eq!(written.to_lowercase().replace('-', ""), "readonly\n", "{guest}");
    }
}
