//! Baked values: two instances of one component have each their own configuration, variables and arguments, and the device
//! gives only what is left to it.

use std::path::PathBuf;

use wadoo_tests::binaries::workspace;
use wadoo_tests::scratch::{Scratch, run};
use wadoo_tests::server::Server;

/// A generation of WASI: what says what it was given, what stands behind it, and what requests come and go by.
struct Generation {
    values: &'static str,
    last: &'static str,
    http: &'static str,
    handler: &'static str,
}

const GENERATIONS: [Generation; 2] = [
    Generation {
        values: "values-02",
        last: "fetch-02",
        http: "wasi:http/outgoing-handler",
        handler: "wasi:http/incoming-handler",
    },
    Generation {
        values: "values-03",
        last: "fetch-03",
        http: "wasi:http/client",
        handler: "wasi:http/handler",
    },
];

impl Generation {
    /// `first` before `second` before a part that answers neither; the lines are added to their tables.
    fn recipe(&self, scratch: &Scratch, first: &str, second: &str) -> PathBuf {
        for guest in [self.values, self.last] {
            let file = workspace().join(format!("tests/guests/{guest}.wasm"));
            scratch.write(&format!("{guest}.wasm"), std::fs::read(file).expect("the guest is built"));
        }
        let Self { values, last, http, handler } = self;
        let part = |name: &str, next: &str, more: &str| {
            format!(
                "[components.{name}]\npath = \"{values}.wasm\"\nwith = {{ \"{handler}\" = \"{next}\" }}\n{more}\n"
            )
        };
        scratch.write(
            "recipe.toml",
            format!(
                "recipe = 1\n[app]\nname = \"baked\"\nversion = \"1.0.0\"\n[exports]\n\"{handler}\" = \"first\"\n\
                 {}{}[components.last]\npath = \"{last}.wasm\"\ndeny = [\"{http}\"]\n",
                part("first", "second", first),
                part("second", "last", second),
            ),
        )
    }
}

fn start(scratch: &Scratch, recipe: &std::path::Path) -> Server {
    let artifact = scratch.compose(recipe);
    let mut launcher = scratch.launcher();
    launcher.envs([("HOME_PAGE", "device"), ("LOG", "device"), ("OTHER", "device")]);
    Server::start(launcher.arg(artifact).args(["--addr", "127.0.0.1:0"]))
}

#[test]
fn each_instance_of_a_component_has_values_of_its_own() {
    for generation in &GENERATIONS {
        let scratch = Scratch::new();
        let recipe = generation.recipe(
            &scratch,
            "config = { name = \"first\", currency = \"EUR\" }\nenv = { LOG = \"info\" }\nargs = [\"--fast\", \"\"]",
            "config = { name = \"second\", region = \"\" }\nenv = { LOG = \"debug\", TZ = \"UTC\" }",
        );
        let server = start(&scratch, &recipe);
        let expected = "config currency=EUR\nconfig name=first\nenv LOG=info\narg baked\narg --fast\narg \n";
        // Each request has an instance of its own, and what is asked twice is the same.
        for _ in 0..2 {
            assert_eq!(server.get("/first").text(), expected, "{}", generation.values);
        }
        let expected = "config name=second\nconfig region=\nenv LOG=debug\nenv TZ=UTC\n";
        assert_eq!(server.get("/second").text(), expected, "{}", generation.values);
        assert_eq!(server.get("/first/currency").text(), "EUR");
        assert_eq!(server.get("/second/currency").status, 404);
        assert_eq!(server.get("/second/region").status, 200);
    }
}

#[test]
fn the_device_gives_what_is_open_and_nothing_else() {
    for generation in &GENERATIONS {
        let scratch = Scratch::new();
        // A grant of the part's own says the same as `open` beside `env`.
        let recipe = generation.recipe(
            &scratch,
            "config = { name = \"first\" }\nenv = { LOG = \"info\" }",
            "config = { name = \"second\" }\nenv = { LOG = \"debug\" }\n\
             grants = { \"wasi:cli/environment\" = { keys = [\"HOME_PAGE\", \"UNSET\"] } }",
        );
        let server = start(&scratch, &recipe);
        assert_eq!(server.get("/first").text(), "config name=first\nenv LOG=info\n", "{}", generation.values);
        let expected = "config name=second\nenv LOG=debug\nenv HOME_PAGE=device\n";
        assert_eq!(server.get("/second").text(), expected, "{}", generation.values);
    }
}

/// The device has all of the variables. Each part sees those that are open for it, where they are open, and no others.
#[test]
fn the_device_gives_open_keys_of_a_configuration_to_each_part_its_own() {
    for generation in &GENERATIONS {
        let scratch = Scratch::new();
        let recipe = generation.recipe(
            &scratch,
            "config = { name = \"first\" }\nopen = [\"HOME_PAGE\", \"UNSET\"]",
            "config = { name = \"second\", region = \"eu\" }\nenv = { MODE = \"fast\" }\n\
             open = { config = [\"OTHER\"], env = [\"LOG\"] }",
        );
        let server = start(&scratch, &recipe);
        let guest = generation.values;
        for _ in 0..2 {
            // Nothing of it is in the part's environment.
            assert_eq!(
                server.get("/first").text(),
                "config name=first\nconfig HOME_PAGE=device\n",
                "{guest}"
            );
            let expected = "config name=second\nconfig region=eu\nconfig OTHER=device\n\
                            env MODE=fast\nenv LOG=device\n";
            assert_eq!(server.get("/second").text(), expected, "{guest}");
            assert_eq!(server.get("/first/HOME_PAGE").text(), "device", "{guest}");
            assert_eq!(server.get("/second/OTHER").text(), "device", "{guest}");
            assert_eq!(server.get("/second/region").text(), "eu", "{guest}");
        }
        for path in ["/first/UNSET", "/first/OTHER", "/first/LOG", "/second/HOME_PAGE", "/second/LOG"] {
            assert_eq!(server.get(path).status, 404, "{path} of {guest}");
        }
    }
}

#[test]
fn a_command_has_its_variables_and_the_arguments_of_the_line() {
    for guest in ["command-02", "command-03"] {
        let scratch = Scratch::new();
        let wasm = std::fs::read(workspace().join(format!("tests/guests/{guest}.wasm")))
            .expect("the guest is built");
        scratch.write("guest.wasm", wasm);
        let recipe = |more: &str| {
            let head = "recipe = 1\n[app]\nname = \"guest\"\nversion = \"1.0.0\"\n";
            scratch.write("recipe.toml", format!("{head}[components.guest]\npath = \"guest.wasm\"\n{more}"))
        };
        let artifact = scratch.compose(&recipe("env = { LOG = \"info\" }\nopen = [\"HOME_PAGE\"]\n"));
        let launch = |arguments: &[&str]| {
            let mut launcher = scratch.launcher();
            launcher.envs([("HOME_PAGE", "device"), ("LOG", "device"), ("OTHER", "device")]);
            run(launcher.arg(&artifact).args(arguments))
        };
        let finished = launch(&["env"]);
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (0, "LOG=info\nHOME_PAGE=device\n"),
            "{guest}: {}",
            finished.stderr
        );
        assert_eq!(launch(&["arguments", "x"]).stdout, "guest\narguments\nx", "{guest}");

        let artifact = scratch.compose(&recipe("args = [\"arguments\", \"baked\"]\n"));
        let finished = run(scratch.launcher().arg(artifact));
        assert_eq!(finished.stdout, "guest\narguments\nbaked", "{guest}: {}", finished.stderr);
    }
}

/// Nothing that is baked needs a launcher: the portable component has the values too, and the same names as ever.
#[test]
fn the_portable_component_has_the_values() {
    for generation in &GENERATIONS {
        let scratch = Scratch::new();
        let recipe = generation.recipe(
            &scratch,
            "config = { name = \"first\" }\nargs = [\"--fast\"]",
            "config = { name = \"second\" }\nargs = [\"--slow\"]",
        );
        let finished = run(scratch.wadoo().arg("compose").arg(recipe).args(["--emit", "wasm"]));
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let bytes = std::fs::read(scratch.path("baked.wasm")).expect("the component was written");
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("--fast") && holds("--slow"));
        assert!(!finished.stderr.contains("share"), "{}", finished.stderr);
    }
}

/// Open keys are asked for by the one interface that every host has; that its own environment shows them all is said.
#[test]
fn the_portable_component_asks_the_environment_for_open_keys() {
    for generation in &GENERATIONS {
        let scratch = Scratch::new();
        let recipe = generation.recipe(
            &scratch,
            "config = { name = \"first\" }\nopen = [\"HOME_PAGE\"]",
            "config = { name = \"second\" }",
        );
        let finished = run(scratch.wadoo().arg("compose").arg(recipe).args(["--emit", "wasm"]));
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let bytes = std::fs::read(scratch.path("baked.wasm")).expect("the component was written");
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("wasi:cli/environment@0.2.0") && !holds("wadoo:open-"));
        let warning = "`first/open` has values of its own for `wasi:cli/environment@0.2.0`";
        assert!(finished.stderr.contains(warning), "{}", finished.stderr);
    }
}
