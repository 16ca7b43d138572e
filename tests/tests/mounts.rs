//! Folders of the device: only those that are declared and given, read only unless declared otherwise, and no way
//! out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;

/// The guests that do with files what they are told.
const GUESTS: [&str; 2] = ["files-02", "files-03"];
const PREOPENS: &str = "wasi:filesystem/preopens";

/// A composed guest, with a folder beside a secret.
struct Place {
    scratch: Scratch,
    artifact: PathBuf,
}

impl Place {
    /// `mounts` is the list of the grant; without one, nothing is granted.
    fn new(guest: &str, mounts: &str) -> Self {
        let scratch = Scratch::new();
        scratch.write("data/file", "inside");
        scratch.write("secret", "outside");
        let (allow, grants) = match mounts {
            "" => ("", String::new()),
            _ => (PREOPENS, format!("[grants]\n\"{PREOPENS}\" = {{ mounts = [{mounts}] }}\n")),
        };
        let artifact = scratch.compose(&scratch.recipe(guest, allow, &grants));
        Self { scratch, artifact }
    }

    fn serve(&self, options: &[&str]) -> Server {
        let mut launcher = self.scratch.launcher();
        Server::start(launcher.arg(&self.artifact).args(["--addr", "127.0.0.1:0"]).args(options))
    }
}

fn ask(server: &Server, target: &str) -> (u16, String) {
    let answer = server.get(target);
    (answer.status, answer.text())
}

fn assert_refused(server: &Server, target: &str) {
    let (status, text) = ask(server, target);
    assert_eq!(status, 403, "{target}: {text}");
    assert!(!text.contains("outside"), "{target}: {text}");
}

#[test]
fn a_mount_is_read_only_unless_it_is_declared_otherwise() {
    for guest in GUESTS {
        let place = Place::new(guest, r#"{ path = "/data" }"#);
        let server = place.serve(&["--mount", "/data=data"]);
        assert_eq!(ask(&server, "/mounts"), (200, "/data\n".to_owned()), "{guest}");
        assert_eq!(ask(&server, "/read"), (200, "inside".to_owned()), "{guest}");
        for target in ["/write", "/write?path=new", "/delete", "/link?path=new&text=file"] {
            assert_refused(&server, target);
        }
        assert_eq!(fs::read_to_string(place.scratch.path("data/file")).unwrap(), "inside");
        assert_eq!(fs::read_dir(place.scratch.path("data")).unwrap().count(), 1, "{guest} made something");
    }
}

#[test]
fn what_is_declared_for_writing_is_written_unless_the_operator_narrows_it() {
    for guest in GUESTS {
        let place = Place::new(guest, r#"{ path = "/data", access = "read-write" }"#);
        let server = place.serve(&["--mount", "/data=data:ro"]);
        assert_refused(&server, "/write?path=new&text=hello");
        drop(server);
        let server = place.serve(&["--mount", "/data=data"]);
        assert_eq!(ask(&server, "/write?path=new&text=hello"), (200, "written\n".to_owned()), "{guest}");
        assert_eq!(fs::read_to_string(place.scratch.path("data/new")).unwrap(), "hello");
        assert_eq!(ask(&server, "/read?path=new"), (200, "hello".to_owned()), "{guest}");
        assert_eq!(ask(&server, "/delete?path=new").0, 200, "{guest}");
    }
}

#[test]
fn there_is_no_way_out_of_a_mount() {
    for guest in GUESTS {
        let place = Place::new(guest, r#"{ path = "/data", access = "read-write" }"#);
        let data = place.scratch.path("data");
        let secret = place.scratch.path("secret");
        symlink("../secret", data.join("up")).unwrap();
        symlink(&secret, data.join("absolute")).unwrap();
        symlink("..", data.join("folder")).unwrap();
        symlink("file", data.join("within")).unwrap();
        let server = place.serve(&["--mount", "/data=data"]);
        assert_eq!(ask(&server, "/read?path=within"), (200, "inside".to_owned()), "{guest}");
        assert_eq!(ask(&server, "/read?path=folder/../file").0, 403, "{guest}");
        for path in ["../secret", "./../secret", "x/../../secret", "up", "absolute", "folder/secret"] {
            assert_refused(&server, &format!("/read?path={path}"));
            assert_refused(&server, &format!("/write?path={path}&text=overwritten"));
        }
        assert_refused(&server, &format!("/read?path={}", secret.display()));
        assert_refused(&server, "/delete?path=../secret");
        // Whether or not it may make such a link, it cannot follow it.
        ask(&server, "/link?path=own&text=../secret");
        assert_refused(&server, "/read?path=own");
        ask(&server, &format!("/link?path=own-absolute&text={}", secret.display()));
        assert_refused(&server, "/read?path=own-absolute");
        assert_eq!(fs::read_to_string(secret).unwrap(), "outside", "{guest}");
    }
}

/// A folder that is moved away later is still the one that was given; what takes its name is not.
#[test]
fn a_mount_is_the_folder_and_not_its_name() {
    let place = Place::new("files-03", r#"{ path = "/data" }"#);
    let server = place.serve(&["--mount", "/data=data"]);
    fs::rename(place.scratch.path("data"), place.scratch.path("moved")).unwrap();
    place.scratch.write("data/file", "another");
    assert_eq!(ask(&server, "/read"), (200, "inside".to_owned()));
}

#[test]
fn a_mount_can_be_tried_while_developing() {
    let place = Place::new("files-03", r#"{ path = "/data" }"#);
    let mut wadoo = place.scratch.wadoo();
    wadoo.args(["dev", "recipe.toml", "--addr", "127.0.0.1:0", "--mount", "/data=data"]);
    assert_eq!(ask(&Server::start(&mut wadoo), "/read"), (200, "inside".to_owned()));

    let finished = run(place.scratch.wadoo().args(["dev", "recipe.toml", "--mount", "data=data"]));
    assert_eq!(finished.code, 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("`/data=/srv/shop` or `/data=/srv/shop:ro`"), "{}", finished.stderr);
    let twice =
        ["dev", "recipe.toml", "--addr", "127.0.0.1:0", "--mount", "/data=data", "--mount", "/data=home"];
    let finished = run(place.scratch.wadoo().args(twice));
    assert_eq!(finished.code, 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("`--mount` is given twice for `/data`"), "{}", finished.stderr);
}

#[test]
fn without_a_grant_there_is_no_folder() {
    for guest in GUESTS {
        let server = Place::new(guest, "").serve(&[]);
        assert_eq!(ask(&server, "/mounts"), (200, String::new()), "{guest}");
    }
}

#[test]
fn declared_and_given_mounts_are_the_same_ones() {
    let place = Place::new("files-02", r#"{ path = "/data" }, { path = "/logs", access = "read-write" }"#);
    let refused = |options: &[&str], code: i32, expected: &[&str]| {
        for check in [&["check"][..], &[]] {
            let mut launcher = place.scratch.launcher();
            let finished = run(launcher.args(check).arg(&place.artifact).args(options));
            assert_eq!(finished.code, code, "{}", finished.stderr);
            for text in expected {
                assert!(finished.stderr.contains(text), "{text} is not in {}", finished.stderr);
            }
        }
    };
    let missing = ["`/logs` (read-write) is declared", "hint: add `--mount /logs=FOLDER`"];
    refused(&["--mount", "/data=data"], 2, &missing);
    refused(&[], 2, &["hint: add `--mount /data=FOLDER --mount /logs=FOLDER`"]);
    let given = ["--mount", "/data=data", "--mount", "/logs=data"];
    let surplus = [&given[..], &["--mount", "/etc=data"]].concat();
    refused(
        &surplus,
        2,
        &["`/etc` is given, and its manifest does not declare it", "hint: remove `--mount /etc=…`"],
    );
    refused(&["--mount", "/data=absent", "--mount", "/logs=data"], 1, &["cannot mount `absent` at `/data`"]);
    refused(
        &["--mount", "/data=data/file", "--mount", "/logs=data"],
        1,
        &["cannot mount `data/file` at `/data`"],
    );

    let mut launcher = place.scratch.launcher();
    let finished = run(launcher.arg("check").arg(&place.artifact).args(given));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("mounts: /data (read), /logs (read-write)"), "{}", finished.stdout);
    assert!(finished.stdout.contains("mount      /data = data\n"), "{}", finished.stdout);
    let finished = run(place.scratch.wadoo().arg("inspect").arg(&place.artifact));
    assert!(finished.stdout.contains("mounts: /data (read), /logs (read-write)"), "{}", finished.stdout);
}
