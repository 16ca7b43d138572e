//! Files that an artifact carries: each part reads its own, over both generations of WASI, and nobody writes them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;

/// The guests that do with files what they are told.
const GUESTS: [&str; 2] = ["files-02", "files-03"];

/// A recipe of one guest that carries `assets` as `/data`.
fn recipe(scratch: &Scratch, guest: &str) -> PathBuf {
    scratch.write("assets/file", "inside");
    scratch.write("assets/css/site.css", "p {}");
    scratch.write("secret", "outside");
    let recipe = scratch.recipe(guest, "", "");
    let text = fs::read_to_string(&recipe).unwrap();
    scratch.write("recipe.toml", text + "files = { \"/data\" = \"assets\" }\n")
}

/// A server whose temporary files go to a folder of its own.
fn serve(scratch: &Scratch, artifact: &PathBuf) -> Server {
    fs::create_dir_all(scratch.path("tmp")).unwrap();
    let mut launcher = scratch.launcher();
    launcher.env("TMPDIR", scratch.path("tmp")).env_remove("RUNTIME_DIRECTORY");
    Server::start(launcher.arg(artifact).args(["--addr", "127.0.0.1:0"]))
}

/// How many folders of launchers there are.
fn unpacked(scratch: &Scratch) -> usize {
    fs::read_dir(scratch.path("tmp")).unwrap().count()
}

#[test]
fn a_part_reads_what_its_artifact_carries_and_writes_nothing() {
    for guest in GUESTS {
        let scratch = Scratch::new();
        let artifact = scratch.compose(&recipe(&scratch, guest));
        // What it was made from is needed no more.
        fs::remove_dir_all(scratch.path("assets")).unwrap();
        let server = serve(&scratch, &artifact);
        let ask = |target: &str| {
            let answer = server.get(target);
            (answer.status, answer.text())
        };
        assert_eq!(ask("/mounts"), (200, "/data\n".to_owned()), "{guest}");
        assert_eq!(ask("/read"), (200, "inside".to_owned()), "{guest}");
        assert_eq!(ask("/read?path=css/site.css"), (200, "p {}".to_owned()), "{guest}");
        for refused in
            ["/write", "/write?path=new", "/delete", "/read?path=../../../secret", "/read?path=none"]
        {
            assert_eq!(ask(refused).0, 403, "{guest}: {refused}");
        }
        assert_eq!(ask("/read"), (200, "inside".to_owned()), "{guest}");

        assert_eq!(unpacked(&scratch), 1);
        let mode = fs::read_dir(scratch.path("tmp")).unwrap().next().unwrap().unwrap().metadata().unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o700, "nobody else reads them");
        assert_eq!(server.stop().code, 0);
        assert_eq!(unpacked(&scratch), 0, "{guest} left its files");
    }
}

#[test]
fn what_a_killed_launcher_left_is_removed_by_the_next_one() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&recipe(&scratch, "files-02"));
    let killed = serve(&scratch, &artifact);
    let running = serve(&scratch, &artifact);
    killed.signal("KILL");
    killed.wait();
    assert_eq!(unpacked(&scratch), 2);
    let next = serve(&scratch, &artifact);
    assert_eq!(unpacked(&scratch), 2, "its own, and those of the one that runs");
    for server in [running, next] {
        assert_eq!(server.get("/read").text(), "inside");
        server.stop();
    }
}

#[test]
fn each_part_has_its_own_files() {
    for (relay, last, handler, http) in [
        ("relay-02", "fetch-02", "wasi:http/incoming-handler", "wasi:http/outgoing-handler"),
        ("relay-03", "fetch-03", "wasi:http/handler", "wasi:http/client"),
    ] {
        let scratch = Scratch::new();
        for guest in [relay, last] {
            let file = workspace().join(format!("tests/guests/{guest}.wasm"));
            scratch.write(&format!("{guest}.wasm"), fs::read(file).expect("the guest is built"));
        }
        for folder in ["one", "two", "both"] {
            scratch.write(&format!("{folder}/who"), folder);
        }
        let part = |name: &str, next: &str, key: &str| {
            format!(
                "[components.{name}]\npath = \"{relay}.wasm\"\ndeny = [\"{http}\"]\nwith = {{ \"{handler}\" = \"{next}\" }}\n\
                 files = {{ \"/{name}\" = \"{name}\", \"/both\" = \"both\" }}\n\
                 grants = {{ \"wasi:cli/environment\" = {{ keys = [\"{key}\"] }} }}\n"
            )
        };
        scratch.write(
            "recipe.toml",
            format!(
                "recipe = 1\n[app]\nname = \"parts\"\nversion = \"1.0.0\"\n[exports]\n\"{handler}\" = \"one\"\n{}{}\
                 [components.last]\npath = \"{last}.wasm\"\ndeny = [\"{http}\"]\n",
                part("one", "two", "FIRST"),
                part("two", "last", "SECOND"),
            ),
        );
        let artifact = scratch.compose(&scratch.path("recipe.toml"));
        fs::create_dir(scratch.path("tmp")).unwrap();
        let mut launcher = scratch.launcher();
        launcher.env("TMPDIR", scratch.path("tmp")).envs([("FIRST", "1"), ("SECOND", "2")]);
        let server = Server::start(launcher.arg(artifact).args(["--addr", "127.0.0.1:0"]));
        assert_eq!(server.get("/FIRST/folders").text(), "/both both\n/one one\n", "{relay}");
        assert_eq!(server.get("/SECOND/folders").text(), "/both both\n/two two\n", "{relay}");
    }
}

#[test]
fn the_same_files_give_the_same_bytes_and_others_are_drift() {
    let (here, there) = (Scratch::new(), Scratch::new());
    let artifact = here.compose(&recipe(&here, "files-03"));
    let recipe = recipe(&there, "files-03");
    fs::set_permissions(there.path("assets/file"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::File::open(there.path("assets/file")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    // The same key signs.
    fs::remove_dir_all(there.home()).unwrap();
    run(std::process::Command::new("cp").arg("-r").arg(here.home()).arg(there.home()));
    let again = there.compose(&recipe);
    assert!(fs::read(artifact).unwrap() == fs::read(again).unwrap(), "the bytes differ");

    assert_eq!(run(there.wadoo().args(["update", "recipe.toml"])).code, 0);
    let lock = fs::read_to_string(there.path("wadoo.lock")).unwrap();
    assert!(lock.contains("guest.files/data"), "{lock}");
    there.write("assets/css/site.css", "p { color: red }");
    let drift = run(there.wadoo().args(["compose", "recipe.toml", "--locked"]));
    assert_eq!(drift.code, 1, "{}", drift.stderr);
    assert!(drift.stderr.contains("guest.files/data"), "{}", drift.stderr);
}

#[test]
fn files_that_were_changed_are_not_served_nor_replaced_by_a_mount() {
    let scratch = Scratch::new();
    let artifact = scratch.compose(&recipe(&scratch, "files-02"));
    let mounted = run(scratch.launcher().arg("check").arg(&artifact).args(["--mount", "/data=assets"]));
    assert_eq!(mounted.code, 2, "{}", mounted.stderr);
    assert!(mounted.stderr.contains("`/data` is given"), "{}", mounted.stderr);
    let checked = run(scratch.launcher().arg("check").arg(&artifact));
    assert!(checked.stdout.contains("files: /data"), "{}", checked.stdout);

    let mut bytes = fs::read(&artifact).unwrap();
    let at = bytes.windows(6).rposition(|window| window == b"inside").expect("they are not compressed");
    bytes[at] ^= 0x20;
    fs::write(&artifact, bytes).unwrap();
    let refused = run(scratch.launcher().arg(&artifact));
    assert_eq!(refused.code, 3, "{}", refused.stderr);
}

#[test]
fn only_regular_files_are_carried() {
    let scratch = Scratch::new();
    let recipe = recipe(&scratch, "files-02");
    symlink("../../secret", scratch.path("assets/css/link")).unwrap();
    let refused = run(scratch.wadoo().arg("compose").arg("recipe.toml"));
    assert_eq!(refused.code, 1);
    assert_eq!(
        refused.stderr,
        "error: cannot use `assets` for `guest`: `css/link` in it is a symbolic link, and only regular files are carried\n\
         \x20 in recipe.toml, line 10\n    | files = { \"/data\" = \"assets\" }\n    |                     ^^^^^^^^\n\
         hint: put the file itself there: `cp --remove-destination \"$(realpath assets/css/link)\" assets/css/link`\n"
    );
    assert!(recipe.exists());
}

/// What `wadoo plan` says of parts that carry these folders, one each.
fn plan(scratch: &Scratch, folders: &[&str]) -> String {
    let mut text = "recipe = 1\n[app]\nname = \"many\"\nversion = \"1.0.0\"\n[exports]\n\"wasi:http/incoming-handler\" = \"part-0\"\n".to_owned();
    for (number, folder) in folders.iter().enumerate() {
        text += &format!(
            "[components.part-{number}]\npath = \"files-02.wasm\"\nfiles = {{ \"/data\" = \"{folder}\" }}\n"
        );
    }
    scratch.write("files-02.wasm", fs::read(workspace().join("tests/guests/files-02.wasm")).unwrap());
    run(scratch.wadoo().arg("plan").arg(scratch.write("recipe.toml", text))).stderr
}

#[test]
fn what_parts_carry_has_a_limit_together_and_the_same_folder_counts_once() {
    const LIMIT: usize = 8 << 20;
    const TOO_LARGE: &str = "what the parts carry has more than 8388608 bytes with it";
    let scratch = Scratch::new();
    scratch.write("large/file", vec![b'x'; 5 << 20]);
    scratch.write("small/file", "x");
    // With its path and length the file is longer than it is, by less than a hundred bytes.
    scratch.write("full/file", vec![b'x'; LIMIT - 100]);
    scratch.write("fuller/file", vec![b'x'; LIMIT]);
    let refused = |folders: &[&str]| plan(&scratch, folders).contains(TOO_LARGE);
    assert!(!refused(&["large", "large"]));
    assert!(!refused(&["large", "small"]));
    assert!(!refused(&["full", "full"]));
    assert!(refused(&["fuller"]));
    scratch.write("other/file", vec![b'y'; 5 << 20]);
    assert!(refused(&["large", "other"]));
    assert!(refused(&["full", "large"]));
    let names: Vec<String> = (0..9).map(|number| format!("folder-{number}")).collect();
    for name in &names {
        scratch.write(&format!("{name}/file"), name.as_str());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let of = |count: usize| plan(&scratch, &names[..count]).contains("more than 8 different folders");
    assert!(!of(8) && of(9));
}

#[test]
fn a_component_for_every_host_that_cannot_carry_them_is_not_written() {
    let scratch = Scratch::new();
    let text = fs::read_to_string(recipe(&scratch, "files-02")).unwrap();
    let mount = "grants = { \"wasi:filesystem/preopens\" = { mounts = [{ path = \"/logs\" }] } }\n";
    scratch.write("recipe.toml", text + mount);
    let refused = run(scratch.wadoo().args(["compose", "recipe.toml", "--emit", "both"]));
    assert_eq!(refused.code, 1);
    assert_eq!(
        refused.stderr,
        "error: cannot write `guest.wasm`: it cannot carry files\n\
         \x20 `guest`: it has the mount `/logs` of the device as well, by the same interface\n\
         hint: compose without `--emit`: the launcher gives the parts of an artifact their files\n"
    );
    assert!(!scratch.path("guest.cwasm").exists(), "neither is the artifact");
    assert_eq!(run(scratch.wadoo().args(["compose", "recipe.toml"])).code, 0);
}
