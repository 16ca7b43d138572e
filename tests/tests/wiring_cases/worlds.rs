//! Guests of compilers against the worlds that they were built for, and against less.

use std::fs;
use std::path::Path;

use crate::run;

/// What becomes of a prebuilt guest that must conform to a world of `wit/` in the repository.
fn plan(guest: &str, wasi: &str, world: &str, more: &str) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (guest, wit) = (root.join(format!("guests/{guest}.wasm")), root.with_file_name("wit").join(wasi));
    let folder = tempfile::tempdir().expect("folder");
    let recipe = folder.path().join("recipe.toml");
    let keys = format!("wit = {wit:?}\nworld = \"wadoo:guest/{world}\"\n");
    let text = format!(
        "recipe = 1\n[app]\nname = \"app\"\nversion = \"1.0.0\"\n{keys}\
         [components.guest]\npath = {guest:?}\n{keys}{more}\n"
    );
    fs::write(&recipe, text).expect("written");
    run(&recipe).map(drop).map_err(|reports| reports.iter().map(ToString::to_string).collect())
}

#[test]
fn guests_conform_to_the_worlds_that_they_were_built_for() {
    for (guest, wasi, world) in [
        ("hostile-02", "wasi-0.2", "http-service"),
        ("hostile-03", "wasi-0.3", "http-service"),
        ("command-02", "wasi-0.2", "command"),
        ("command-03", "wasi-0.3", "command"),
    ] {
        plan(guest, wasi, world, "").unwrap_or_else(|reports| panic!("{guest}:\n{reports}"));
    }
}

/// Of the composition nothing is said: what is denied to the part is no import of it.
#[test]
fn what_a_guest_imports_beyond_its_world_is_named() {
    for (guest, wasi, interface) in
        [("fetch-02", "wasi-0.2", "wasi:http/outgoing-handler"), ("fetch-03", "wasi-0.3", "wasi:http/client")]
    {
        let reports = plan(guest, wasi, "http-service", &format!("deny = [\"{interface}\"]")).unwrap_err();
        assert!(
            reports.starts_with("error: `guest` does not conform to the world `wadoo:guest/http-service`\n"),
            "{reports}"
        );
        assert!(reports.contains(&format!("`guest` imports `{interface}@")), "{reports}");
        assert_eq!(reports.matches("error:").count(), 1, "{reports}");
    }
}
