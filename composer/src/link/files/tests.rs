//! Generated providers, wired to guests that read and write files, and run by an engine without a host.

use std::collections::BTreeMap;

use wac_graph::{CompositionGraph, EncodeOptions};
use wadoo_signing::files::FileTree;
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, Store};

use super::{Mounts, generate, imports, instance};
use crate::features;
use crate::link::audit;

const WALKERS: [&[u8]; 2] = [
    include_bytes!("../../../../tests/guests/walk-02.wasm"),
    include_bytes!("../../../../tests/guests/walk-03.wasm"),
];

/// Files by their paths, of each folder.
type Folders = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// The trees of them.
fn trees(folders: &Folders) -> Mounts<'_> {
    let mut trees = Mounts::new();
    for (mount, files) in folders {
        let files = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
        trees.insert(mount, FileTree::new(files).expect("a tree"));
    }
    trees
}

fn folders() -> Folders {
    let files = |files: &[(&str, &str)]| {
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    };
    let mut mounts = Folders::from([
        ("/empty".to_owned(), files(&[])),
        (
            "/static".to_owned(),
            files(&[
                ("css-old", "old"),
                ("css/a.css", "body {}"),
                ("css/b/c.css", "c"),
                ("css0", "zero"),
                ("nothing", ""),
                ("ü/ö", "äöü"),
            ]),
        ),
        ("/static/css".to_owned(), files(&[("a.css", "another")])),
    ]);
    // More than any single read gives.
    let large = (0..300_000).map(|at| (at % 251) as u8).collect();
    mounts.entry("/static".to_owned()).or_default().insert("large".to_owned(), large);
    mounts
}

/// A component with its files, as `link` wires them.
fn wired(part: &[u8], folders: &Folders) -> Vec<u8> {
    let imports = imports(part).expect("a component");
    let imports: Vec<&str> = imports.iter().map(String::as_str).collect();
    let provider = generate(part, &imports, &trees(folders)).expect("a provider");
    let mut graph = CompositionGraph::new();
    let provider = instance(&mut graph, "test:provider", &provider).expect("a component");
    let part = instance(&mut graph, "test:part", part).expect("a component");
    for import in imports {
        let alias = graph.alias_instance_export(provider, import).expect("exported");
        graph.set_instantiation_argument(part, import, alias).expect("it fits");
    }
    if let Ok(walk) = graph.alias_instance_export(part, "walk") {
        graph.export(walk, "walk").expect("exported");
    }
    let options = EncodeOptions { define_components: true, validate: false, processor: None };
    let bytes = graph.encode(options).expect("encoded");
    audit::validate(&bytes, features::engine()).expect("the engine takes it");
    bytes
}

fn imported(component: &[u8]) -> Vec<String> {
    let engine = Engine::default();
    let component = Component::new(&engine, component).expect("compiled");
    component.component_type().imports(&engine).map(|(name, _)| name.to_owned()).collect()
}

struct Walker {
    store: Store<()>,
    instance: wasmtime::component::Instance,
}

impl Walker {
    fn all() -> [Self; 2] {
        WALKERS.map(|walker| Self::new(walker, &folders()))
    }

    fn new(walker: &[u8], folders: &Folders) -> Self {
        let engine = Engine::default();
        let component = Component::new(&engine, wired(walker, folders)).expect("compiled");
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        // The clock, of which the guest has a type.
        linker.define_unknown_imports_as_traps(&component).expect("types");
        let instance =
            runtime().block_on(linker.instantiate_async(&mut store, &component)).expect("an instance");
        Self { store, instance }
    }

    fn walk(&mut self, what: &str) -> String {
        let walk = self.instance.get_func(&mut self.store, "walk").expect("a function");
        let mut results = [Val::Bool(false)];
        let arguments = [Val::String(what.to_owned())];
        let call = walk.call_async(&mut self.store, &arguments, &mut results);
        runtime().block_on(call).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let [Val::String(answer)] = results else { panic!("{what}: {results:?}") };
        answer
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// What both releases answer.
#[track_caller]
fn answers(cases: &[(&str, &str)]) {
    for (walker, release) in Walker::all().iter_mut().zip(["0.2", "0.3"]) {
        for (what, expected) in cases {
            assert_eq!(walker.walk(what), *expected, "{what} on {release}");
        }
    }
}

#[test]
fn files_are_read() {
    answers(&[
        ("mounts", "/empty /static /static/css"),
        ("read /static css/a.css", "body {}"),
        ("read /static/css a.css", "another"),
        ("read /static ./css//b/../b/c.css", "c"),
        ("read /static ü/ö", "äöü"),
        ("read /static nothing", ""),
        ("length /static large", "300000"),
        ("stat /static large", "file 300000"),
        ("stat /static css", "folder 0"),
        ("stat /static css/", "folder 0"),
        ("stat /empty .", "folder 0"),
        ("flags /static css0", "1"),
        ("sync /static css0", "done"),
        ("directory /static css/b", "folder"),
    ]);
    let [mut older, mut newer] = Walker::all();
    assert_eq!(older.walk("skip /static css/a.css"), "2 y {}");
    assert_eq!(older.walk("middle /static css/a.css"), "ody false");
    assert_eq!(older.walk("end /static css/a.css"), "([], true)");
    assert_eq!(newer.walk("skip /static css/a.css"), "y {}");
    assert_eq!(newer.walk("begin /static large"), "\0\u{1}\u{2}");
    assert_eq!(newer.walk("twice /static large"), "300000 299999");
    assert_eq!(newer.walk("end /static css/a.css"), "[]");
}

#[test]
fn folders_are_listed() {
    answers(&[
        ("list /static .", "file css-old, folder css, file css0, file large, file nothing, folder ü"),
        ("list /static css", "file a.css, folder b"),
        ("list /empty .", ""),
        ("list /static css0", "not-directory"),
    ]);
}

#[test]
fn what_is_not_there_is_not_found_and_nothing_leads_out() {
    answers(&[
        ("read /static cs", "no-entry"),
        ("read /static css/a.cs", "no-entry"),
        ("read /static css/a.css/", "not-directory"),
        ("read /static css/a.css/..", "not-directory"),
        ("read /static ", "no-entry"),
        ("read /static ..", "not-permitted"),
        ("read /static css/../../static/css0", "not-permitted"),
        ("read /static no/../css0", "no-entry"),
        ("read /static /static/css0", "not-permitted"),
        ("read /static css", "is-directory"),
        ("read /static css\0", "invalid"),
        ("read /empty css0", "no-entry"),
        ("directory /static css0", "not-directory"),
        ("readlink /static css0", "invalid"),
        ("readlink /static no", "no-entry"),
    ]);
}

#[test]
fn whatever_would_write_is_refused() {
    let refused = [
        "write",
        "create",
        "truncate",
        "write-stream",
        "append-stream",
        "resize",
        "touch",
        "touch-at",
        "delete",
        "rename",
        "link",
    ];
    let refused = refused.map(|verb| format!("{verb} /static css0"));
    let new = ["make /static new", "symlink /static new", "create /static new", "remove /static css"];
    let all = refused.iter().map(String::as_str).chain(new);
    answers(&all.map(|what| (what, "read-only")).collect::<Vec<_>>());
    answers(&[
        ("invalid /static css", "invalid"),
        ("synchronous /static css0", "unsupported"),
        ("write-stream /static css", "bad-descriptor"),
        ("read /static css0", "zero"),
    ]);
    assert_eq!(Walker::all()[0].walk("overwrite /static css0"), "read-only");
}

#[test]
fn things_are_told_apart() {
    for mut walker in Walker::all() {
        let paths = [
            "/static .",
            "/static css",
            "/static css0",
            "/static/css a.css",
            "/empty .",
            "/static css/a.css",
        ];
        let hashes = paths.map(|path| walker.walk(&format!("hash {path}")));
        let different: std::collections::BTreeSet<&String> = hashes.iter().collect();
        assert_eq!(different.len(), paths.len(), "{hashes:?}");
        assert_eq!(walker.walk("hash /static ./css/../css0"), hashes[2]);
        // The first folder is the empty one.
        assert_eq!(walker.walk("same /empty ."), "true true");
        assert_eq!(walker.walk("same /static ."), "false true");
    }
}

#[test]
fn the_part_decides_about_the_version() {
    const PART: &str = r#"(component
      (type $types (instance (export "descriptor" (type (sub resource)))))
      (import "wasi:filesystem/types@VERSION" (instance $types (type $types)))
      (alias export $types "descriptor" (type $descriptor))
      (type $preopens (instance
        (alias outer 1 $descriptor (type $outer))
        (export "descriptor" (type $descriptor (eq $outer)))
        (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
      (import "wasi:filesystem/preopens@VERSION" (instance (type $preopens))))"#;
    for version in ["0.2.0", "0.2.3", "0.2.12", "0.2.99", "0.3.0", "0.3.2"] {
        let part = wat::parse_str(PART.replace("VERSION", version)).expect("text");
        assert_eq!(imported(&wired(&part, &folders())), [""; 0], "{version}");
    }
}

#[test]
fn the_same_files_are_the_same_bytes() {
    for walker in WALKERS {
        let [first, second] = [wired(walker, &folders()), wired(walker, &folders())];
        assert!(first == second);
        let mut others = folders();
        others.entry("/empty".to_owned()).or_default().insert("file".to_owned(), Vec::new());
        assert!(first != wired(walker, &others));
    }
}

#[test]
fn nothing_is_imported() {
    for walker in WALKERS {
        let imports = imports(walker).expect("a component");
        let imports: Vec<&str> = imports.iter().map(String::as_str).collect();
        let provider = generate(walker, &imports, &trees(&folders())).expect("a provider");
        assert_eq!(imported(&provider), [""; 0]);
    }
}

/// HTTP's bodies are streams of the host.
#[test]
fn streams_are_those_of_the_host_or_those_of_the_files() {
    let without_streams: &[u8] = include_bytes!("../../../../tests/guests/files-02.wasm");
    let files = ["wasi:filesystem/preopens@0.2.12", "wasi:filesystem/types@0.2.12"];
    let mut found = imports(without_streams).expect("a component");
    found.sort();
    assert_eq!(found, files);
    let imported = imported(&wired(without_streams, &folders()));
    assert!(imported.contains(&"wasi:io/streams@0.2.12".to_owned()), "{imported:?}");

    let both =
        [&files[..], &["wasi:io/error@0.2.12", "wasi:io/poll@0.2.12", "wasi:io/streams@0.2.12"]].concat();
    let error = generate(without_streams, &both, &trees(&folders())).map(|_| ());
    let error = error.expect_err("HTTP has streams of the host");
    assert!(error.starts_with("`wasi:http/types@0.2.12` gives or takes `"), "{error}");

    let error =
        generate(WALKERS[0], &files, &trees(&folders())).map(|_| ()).expect_err("it reads by streams");
    assert!(error.ends_with("which is to come from elsewhere"), "{error}");
    let error = generate(WALKERS[0], &["wasi:http/types@0.2.12"], &trees(&folders())).map(|_| ());
    assert_eq!(error, Err("nothing provides `wasi:http/types@0.2.12` with files".to_owned()));
}
