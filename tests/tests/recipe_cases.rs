//! Golden cases of recipes: what each mistake is answered with, to the letter.
//!
//! A case is a folder of `cases/recipe` with a `recipe.toml` and an `error.txt`, which is what a binary would
//! print. `BLESS=1` rewrites the expectations; read them before they are committed.

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use wadoo::recipe::{
    self, FunctionName, Input, InterfacePattern, MAX_REPORTS, Provider, Recipe, Spanned, Values, WitWorld,
    parse,
};
use wadoo_signing::manifest::{Concurrent, Lifetime, Reuse};
use wadoo_signing::report::Report;

/// The name that every case's recipe has in its messages.
const FILE: &str = "recipe.toml";

/// Everything that a recipe of this version can say.
const FULL: &str = include_str!("../cases/recipe-full.toml");

fn printed(reports: &[Report]) -> String {
    reports.iter().map(Report::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_mistake_is_answered_with_the_expected_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/recipe");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(&folder).expect("cases").map(|entry| entry.expect("entry").path()).collect();
    cases.sort();
    assert!(cases.len() >= 35, "{} cases", cases.len());
    let bless = std::env::var_os("BLESS").is_some();
    let mut failures = Vec::new();
    for case in &cases {
        let text = fs::read_to_string(case.join(FILE)).unwrap_or_else(|e| panic!("{}: {e}", case.display()));
        let found = match parse(FILE, text) {
            Ok(_) => "the recipe is accepted\n".to_owned(),
            Err(reports) => printed(&reports),
        };
        let expectation = case.join("error.txt");
        if bless {
            fs::write(&expectation, &found).expect("written");
        }
        let expected = fs::read_to_string(&expectation).unwrap_or_default();
        if expected != found {
            failures.push(format!("{}\n--- expected\n{expected}--- found\n{found}", case.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn full() -> Recipe {
    parse(FILE, FULL.to_owned()).unwrap_or_else(|reports| panic!("{}", printed(&reports)))
}

#[test]
fn everything_that_a_recipe_can_say_is_read() {
    let recipe = full();
    let (app, limits, build) = (&recipe.app, &recipe.limits, &recipe.build);
    assert_eq!((app.name.as_str(), app.version.to_string().as_str()), ("shop", "1.4.0-rc.2+nightly"));
    assert_eq!(app.serial, 14);
    let lifetime = Lifetime { requests: 500, idle_ms: 60_000 };
    let reuse = recipe.reuse.as_ref().map(|reuse| &reuse.value);
    assert_eq!(reuse, Some(&Reuse::Concurrent(Concurrent { at_once: 8, lifetime })));
    let names: Vec<&str> = recipe.components.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["auth", "cart", "legacy", "log", "pay", "plugin", "store"]);
    let (_, cart) = recipe.components.iter().find(|(name, _)| name.as_str() == "cart").expect("cart");
    assert!(matches!(&cart.input, Input::Component(path) if path.value == Path::new("guests/cart.wasm")));
    let input =
        |part: &str| &recipe.components.iter().find(|(name, _)| name.as_str() == part).expect(part).1.input;
    assert!(matches!(input("legacy"), Input::Module(path) if path.value == Path::new("guests/legacy.wasm")));
    assert!(matches!(input("pay"), Input::Recipe(path) if path.value == Path::new("../pay/recipe.toml")));
    assert!(matches!(input("plugin"), Input::Pattern(path) if path.value.as_str() == "plugins/*.wasm"));
    let Input::Assembly(store) = input("store") else { panic!("{:?}", input("store")) };
    let functions = store.interfaces.iter().flat_map(|(name, functions)| {
        let of = move |(function, provider): (&FunctionName, &Spanned<Provider>)| {
            format!("{name} {function} {}", provider.value.part.value)
        };
        functions.iter().map(of)
    });
    let functions: Vec<String> = functions.collect();
    assert_eq!(functions, ["acme:store/api@1.0.0 get log", "acme:store/api@1.0.0 put auth"]);
    assert!(cart.digest.as_ref().is_some_and(|digest| digest.value.to_string().starts_with("sha256:9f86d0")));
    let named = |world: &WitWorld| (world.path.value.clone(), world.world.value.to_string());
    let world = |part: &str| {
        let (_, part) = recipe.components.iter().find(|(name, _)| name.as_str() == part).expect(part);
        part.world.as_ref().map(named)
    };
    assert_eq!(recipe.app.world.as_ref().map(named), Some(("wit/shop".into(), "acme:shop/shop".to_owned())));
    assert_eq!(world("auth"), Some(("wit".into(), "acme:auth/auth@0.1.0".to_owned())));
    assert_eq!(world("legacy"), Some(("wit".into(), "acme:plugin/decoder@1.0.0".to_owned())));
    assert_eq!(world("cart"), None);
    let auth = recipe.components.values().next().expect("auth");
    assert_eq!(auth.memory.as_ref().map(|memory| memory.value.pages()), Some(1024));
    assert!(cart.memory.is_none());
    let with = cart.with.iter().map(|(import, provider)| {
        let Provider { part, export, own } = &provider.value;
        format!(
            "{import} = {} {own} {}",
            part.value,
            export.as_ref().map(ToString::to_string).unwrap_or_default()
        )
    });
    let with: Vec<String> = with.collect();
    assert_eq!(
        with,
        ["acme:auth/check@0.1.0 = auth false ", "acme:log/sink = auth true acme:trace/sink@1.0.0"]
    );
    assert_eq!(cart.allow[0].value.to_string(), "wasi:http/outgoing-handler");
    assert_eq!(cart.deny[0].value.to_string(), "wasi:sockets/*");
    let policy = |patterns: &[Spanned<InterfacePattern>]| -> Vec<String> {
        patterns.iter().map(|pattern| pattern.value.to_string()).collect()
    };
    assert_eq!(policy(&recipe.policy.allow), ["wasi:http/client"]);
    assert_eq!(policy(&recipe.policy.deny), ["wasi:sockets/*", "wasi:filesystem/types"]);
    let config: Option<Vec<&str>> =
        cart.values.config.as_ref().map(|config| config.value.keys().map(String::as_str).collect());
    assert_eq!(config, Some(vec!["currency", "price.token"]));
    let open = |values: &Values| -> Vec<String> {
        values.open.iter().map(|(source, open)| format!("{source:?} {}", open.value)).collect()
    };
    assert_eq!(open(&cart.values), ["Configuration variables: REGION", "Environment variables: LANG, TZ"]);
    let files = cart.files.iter().map(|(seen, folder)| format!("{seen} {}", folder.value.display()));
    assert_eq!(files.collect::<Vec<_>>(), ["/static assets/static", "/templates assets/templates"]);
    let auth = &recipe.components.values().next().expect("auth").values;
    assert_eq!(auth.env.as_ref().map(|env| env.value["GREETING"].as_str()), Some(""));
    assert_eq!(auth.args.as_ref().map(|args| args.value.len()), Some(2));
    assert_eq!(open(auth), ["Environment variables: HOME"]);
    let grants: Vec<String> =
        recipe.grants.iter().map(|(name, grant)| format!("{name} {}", grant.value)).collect();
    assert_eq!(
        grants,
        [
            "wasi:cli/environment variables: LANG, TZ",
            "wasi:filesystem/preopens mounts: /data (read-write), /etc/shop (read)",
            "wasi:http/outgoing-handler hosts: api.example.com:443, https://cdn.example.com:443, [::1]:8080; \
             networks: 10.0.0.0/8",
        ]
    );
    assert_eq!((limits.memory, limits.concurrency), (256 << 20, 50));
    assert_eq!((limits.request_body, limits.request_headers), (1 << 20, 32 << 10));
    assert_eq!((limits.resources, limits.handles, limits.host_call), (2000, 8000, 1 << 20));
    assert_eq!((limits.fields, limits.random, limits.cpu_quota), (64 << 10, 4096, Some(150)));
    assert_eq!(limits.timeout.map(|time| time.as_millis()), Some(2500));
    assert_eq!(limits.timeout_or_default(true), limits.timeout);
    assert_eq!(limits.body_timeout.as_secs(), 60);
    let targets: Vec<String> = build.targets.iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["x86_64-unknown-linux-gnu (x86-64-v3)"]);
    assert!(!recipe.build.source_lines);
    assert_eq!(recipe.sign.as_ref().map(|sign| sign.keys.len()), Some(2));
    assert_eq!(recipe.exports.len(), 1);
}

#[test]
fn the_smallest_recipe_has_defaults() {
    let text = "recipe = 1\napp = { name = \"a\", version = \"1.2.3\" }\ncomponents.a.path = \"a.wasm\"\n";
    let recipe = parse(FILE, text.to_owned()).unwrap_or_else(|reports| panic!("{}", printed(&reports)));
    assert_eq!(recipe.app.serial, 10_000_200_003);
    assert_eq!(recipe.limits.timeout_or_default(true).map(|time| time.as_secs()), Some(30));
    assert_eq!(recipe.limits.timeout_or_default(false), None);
    assert_eq!((recipe.build.targets.len(), recipe.build.cpu.name()), (1, "baseline"));
    assert!(recipe.build.source_lines);
    assert!(recipe.sign.is_none() && recipe.grants.is_empty() && recipe.exports.is_empty());
}

#[test]
fn the_digest_is_of_the_bytes() {
    assert_eq!(full().digest(), wadoo_signing::digest::Sha256Digest::of(FULL.as_bytes()));
}

#[test]
fn line_ends_do_not_matter_to_what_is_said() {
    let recipe = parse(FILE, FULL.replace('\n', "\r\n")).unwrap_or_else(|r| panic!("{}", printed(&r)));
    assert_eq!(recipe.components.len(), full().components.len());
    let broken = FULL.replace("version =", "verison =");
    let windows = parse(FILE, broken.replace('\n', "\r\n")).expect_err("refused");
    assert_eq!(printed(&windows), printed(&parse(FILE, broken).expect_err("refused")));
}

/// A place that points outside its file would be worse than none.
fn check_places(text: &str, reports: &[Report]) {
    assert!(!reports.is_empty() && reports.len() <= MAX_REPORTS + 1);
    let lines: Vec<&str> = text.split('\n').collect();
    for report in reports {
        let texts = report.because.iter().chain(&report.hint).chain([&report.what]);
        texts.for_each(|text| assert!(!text.contains(char::is_control), "{text:?}"));
        let Some(place) = &report.place else { continue };
        assert!((1..=lines.len()).contains(&place.line), "{report}");
        let length = lines[place.line - 1].chars().count();
        assert!((1..=length + 1).contains(&place.column) || place.text.starts_with('('), "{report}");
        assert!(place.width >= 1, "{report}");
    }
}

fn check(text: &str) {
    let outcome = panic::catch_unwind(|| parse(FILE, text.to_owned()));
    match outcome {
        Ok(Ok(_)) => {}
        Ok(Err(reports)) => check_places(text, &reports),
        Err(_) => panic!("the parser panicked at:\n{text}"),
    }
}

/// Steele and Vigna's splitmix64: mutations are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

#[test]
fn no_mutation_of_a_recipe_makes_the_parser_panic() {
    const SPICE: &[&str] = &[
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "=",
        ",",
        ".",
        "#",
        "\\",
        "\n",
        "\r",
        "\t",
        "\0",
        "ä",
        "[[",
        "]]",
        "\"\"\"",
        "1e9",
        "-1",
        "recipe = 2",
        "[app]",
        "\u{feff}",
        "\u{1b}[31m",
        "99999999999999999999",
        "1979-05-27",
        "a.b.c",
    ];
    let mut random = Random(1);
    for round in 0..4000 {
        let mut text: Vec<u8> = FULL.as_bytes().to_vec();
        for _ in 0..=round % 4 {
            let at = random.below(text.len());
            match random.below(4) {
                0 => text[at] = random.below(256) as u8,
                1 => drop(text.remove(at)),
                2 => drop(text.splice(at..at, SPICE[random.below(SPICE.len())].bytes())),
                _ => {
                    let end = (at + random.below(60)).min(text.len());
                    drop(text.drain(at..end));
                }
            }
        }
        check(&String::from_utf8_lossy(&text));
    }
}

#[test]
fn every_truncation_of_a_recipe_is_read_without_panic() {
    for end in 0..FULL.len() {
        if let Some(text) = FULL.get(..end) {
            check(text);
        }
    }
}

#[test]
fn floods_are_answered_briefly() {
    let unknown: String = (0..20_000).map(|i| format!("key-{i} = {i}\n")).collect();
    let one_line = format!("x = {{ {} }}", (0..20_000).map(|i| format!("k{i} = 1, ")).collect::<String>());
    let brackets = "[".repeat(100_000);
    let nested = format!("a = {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let dotted = format!("{} = 1", vec!["a"; 5_000].join("."));
    let quotes = "\"\n".repeat(50_000);
    for text in [unknown, one_line, brackets, nested, dotted, quotes] {
        let reports = parse(FILE, text.clone()).expect_err("refused");
        check_places(&text, &reports);
        assert!(printed(&reports).len() < 200_000);
    }
}

#[test]
fn too_many_parts_are_refused() {
    let mut text = "recipe = 1\napp = { name = \"a\", version = \"1.0.0\" }\n".to_owned();
    text.extend((0..=recipe::MAX_PARTS).map(|i| format!("components.p{i}.path = \"p.wasm\"\n")));
    let reports = parse(FILE, text).expect_err("refused");
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].what, "the recipe has 257 parts");
}
