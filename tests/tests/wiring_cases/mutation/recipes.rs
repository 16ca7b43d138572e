//! Damaged recipes: those of the golden cases, with their components beside them, after one to three changes each.

use std::fs;

use tempfile::TempDir;

use super::random::Random;
use super::{Tally, rounds, seed};
use crate::{cases, prepare};

/// What stands in recipes, and what should not.
const SPICE: &[&str] = &[
    "[",
    "]",
    "[[",
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
    "\0",
    "ä",
    "\u{feff}",
    "\u{1b}[31m",
    "\"\"\"",
    "true",
    "-1",
    "1e9",
    "99999999999999999999",
    "1979-05-27",
    "\"64MiB\"",
    "\"*\"",
    "\"../\"",
    "\"/dev/zero\"",
    "[grants]\n",
    "[exports]\n",
    "[components.extra]\n",
    "path = \"front.wasm\"\n",
    "memory = \"64KiB\"\n",
    "memory = \"1MiB\"\n",
    "config = { key = \"value\" }\n",
    "env = { LOG = \"info\" }\n",
    "args = [\"-v\"]\n",
    "open = [\"HOME\"]\n",
    "open = { config = [\"HOME\"], env = [\"LANG\"] }\n",
    "files = { \"/data\" = \"static\" }\n",
    "wit = \"wit\"\n",
    "world = \"a:b/c\"\n",
    "deny = [\"wasi:*/*\"]\n",
    "deny = [\"wasi:cli/*\"]\n",
    "allow = [\"wasi:http/types\"]\n",
    "with = { }\n",
    "with = { \"wasi:io/streams\" = \"front\" }\n",
    "\"wasi:cli/environment\" = { keys = [\"A\"] }\n",
];

/// A case in a folder of its own.
struct Case {
    folder: TempDir,
    text: String,
}

fn prepared() -> Vec<Case> {
    let mut folders: Vec<_> = fs::read_dir(cases())
        .expect("cases")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
        .iter()
        .map(|case| {
            let folder = tempfile::tempdir().expect("folder");
            prepare(case, folder.path());
            let text = fs::read_to_string(case.join("recipe.toml")).expect("recipe");
            Case { folder, text }
        })
        .collect()
}

/// What stands behind the first `=` of a line, if there is one.
fn value(line: &str) -> Option<(&str, &str)> {
    line.split_once(" = ")
}

fn damage(random: &mut Random, text: &str, others: &[Case]) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let other = |random: &mut Random| {
        let lines: Vec<&str> = random.one(others).text.lines().collect();
        (*random.one(&lines)).to_owned()
    };
    for _ in 0..=random.below(3) {
        if lines.is_empty() {
            break;
        }
        let (at, another) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(12) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[another].clone()),
            2 => lines.insert(at, other(random)),
            3 => lines.swap(at, another),
            4 => lines.truncate(at),
            5..=8 => {
                // The value of another line, of this recipe or another.
                let taken = match random.below(2) {
                    0 => lines[another].clone(),
                    _ => other(random),
                };
                if let (Some((key, _)), Some((_, taken))) = (value(&lines[at]), value(&taken)) {
                    lines[at] = format!("{key} = {taken}");
                }
            }
            _ => {
                let mut line: Vec<char> = lines[at].chars().collect();
                let place = random.below(line.len() + 1);
                let end = (place + random.below(6)).min(line.len());
                line.splice(place..end, random.one(SPICE).chars());
                lines[at] = line.into_iter().collect();
            }
        }
    }
    let mut bytes = lines.join("\n").into_bytes();
    if random.below(10) == 0 && !bytes.is_empty() {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }
    bytes
}

#[test]
fn damaged_recipes_are_refused_with_a_place_or_composed() {
    let cases = prepared();
    let mut tally = Tally::default();
    for round in 0..rounds(600, 20_000) {
        let mut random = Random::of_round(seed(), round);
        let case = random.one(&cases);
        let recipe = case.folder.path().join("recipe.toml");
        fs::write(&recipe, damage(&mut random, &case.text, &cases)).expect("written");
        let text =
            fs::read(&recipe).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).expect("written");
        // A problem of several parts has the place of none.
        let parts: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("[components.")?.strip_suffix(']')).collect();
        tally.compose(&recipe, &parts, &format!("seed {}, round {round}:\n{text}", seed()));
    }
    let (accepted, refused) = tally.finish("recipes");
    assert!(accepted > 20 && refused > 200, "{accepted} accepted, {refused} refused");
}
