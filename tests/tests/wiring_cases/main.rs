//! Golden cases of wiring: one folder each under `cases/wiring`.
//!
//! `recipe.toml` names files `x.wasm`; each is made from `x.wit` (a component whose functions trap) or `x.wat`,
//! or stands in the folder as it is; so do those of folders in it, and a folder `wit` is copied. What is expected is `plan.txt`, and `linked.wat` where the folder has one,
//! or `error.txt`. `BLESS=1` writes what was found; a case without expectation fails.

mod component;
mod determinism;
mod engine;
mod files;
mod json;
mod modules;
mod mutation;
mod resources;
mod values;
mod worlds;

use std::fs;
use std::path::{Path, PathBuf};

use wadoo::link::Linked;
use wadoo::plan::Plan;
use wadoo::{inputs, link, pipeline, plan, recipe};
use wadoo_signing::report::Report;

/// Recipe to component, as the commands do it.
fn run(recipe: &Path) -> Result<(Plan, Linked), Vec<Report>> {
    let (recipe, inputs) = pipeline::read(inputs::gather(recipe::read(recipe)?))?;
    let plan = plan::plan(&recipe, &inputs)?;
    let linked = link::link(&plan, &inputs)?;
    Ok((plan, linked))
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/wiring")
}

/// Copies a case and makes its components.
fn prepare(case: &Path, folder: &Path) {
    for entry in fs::read_dir(case).expect("case") {
        let path = entry.expect("entry").path();
        let target = folder.join(path.file_name().expect("name"));
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => {
                fs::create_dir(&target).expect("folder");
                // What lies in these is read as it is.
                let as_it_is = path.ends_with("wit") || path.ends_with("static");
                if as_it_is { copy(&path, &target) } else { prepare(&path, &target) }
            }
            Some("wit") => {
                let text = fs::read_to_string(&path).expect("wit");
                fs::write(target.with_extension("wasm"), component::from_wit(&text)).expect("written");
            }
            Some("wat") if path.file_stem().is_some_and(|stem| stem != "linked") => {
                let bytes =
                    wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                fs::write(target.with_extension("wasm"), bytes).expect("written");
            }
            Some("toml" | "wasm") => {
                fs::copy(&path, &target).expect("copied");
            }
            _ => {}
        }
    }
}

/// Copies all that is in a folder.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("folder") {
        let path = entry.expect("entry").path();
        let target = to.join(path.file_name().expect("name"));
        if path.is_dir() {
            fs::create_dir(&target).expect("folder");
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

/// Compares with the file, or writes it; says what differs.
fn expect(file: &Path, found: &str, failures: &mut Vec<String>) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(file, found).expect("written");
        return;
    }
    let expected = fs::read_to_string(file).unwrap_or_else(|_| "(no such file)\n".into());
    if expected != found {
        failures.push(format!("{}\nexpected:\n{expected}\nfound:\n{found}", file.display()));
    }
}

fn check(case: &Path, failures: &mut Vec<String>) {
    let folder = tempfile::tempdir().expect("folder");
    prepare(case, folder.path());
    let (plan, linked, error) = (case.join("plan.txt"), case.join("linked.wat"), case.join("error.txt"));
    let bless = std::env::var_os("BLESS").is_some();
    match run(&folder.path().join("recipe.toml")) {
        Ok((found, component)) => {
            if error.exists() && bless {
                fs::remove_file(&error).expect("removed");
            } else if error.exists() {
                failures.push(format!("{}: expected an error, found a plan", case.display()));
            }
            expect(&plan, &found.to_string(), failures);
            if linked.exists() {
                let text = wasmprinter::print_bytes(&component.bytes).expect("printed");
                expect(&linked, &text, failures);
            }
        }
        Err(reports) => {
            if plan.exists() && bless {
                fs::remove_file(&plan).expect("removed");
            } else if plan.exists() {
                failures.push(format!("{}: expected a plan, found an error", case.display()));
            }
            let reports: Vec<String> = reports.iter().map(ToString::to_string).collect();
            let prefix = format!("{}/", folder.path().display());
            expect(&error, &reports.join("\n").replace(&prefix, ""), failures);
        }
    }
}

#[test]
fn every_case_is_as_expected() {
    let mut folders: Vec<PathBuf> = fs::read_dir(cases())
        .expect("cases")
        .map(|entry| entry.expect("entry").path())
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() >= 30, "found {} cases", folders.len());
    let mut failures = Vec::new();
    for case in folders {
        check(&case, &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
