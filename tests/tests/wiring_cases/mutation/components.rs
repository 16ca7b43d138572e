//! Damaged components: prebuilt guests and those of the golden cases, with bits flipped, bytes cut out or put in, sections of another one.

use std::fs;
use std::ops::Range;
use std::path::Path;

use wasmparser::{Parser, Payload};

use super::random::Random;
use super::{Tally, rounds, seed};
use crate::component;

/// Its parts take what they can from each other.
const RECIPE: &str = "recipe = 1\n[app]\nname = \"app\"\nversion = \"1.0.0\"\n[components.front]\npath = \"front.wasm\"\n\
                      [components.store]\npath = \"store.wasm\"\nmemory = \"4MiB\"\n";
const STORE: &str = "package test:part;
package acme:store@1.0.0 {
  interface types { resource item { name: func() -> string; } record size { x: u32, y: option<list<u8>> } }
  interface shelf { use types.{item, size}; take: func(size: size) -> result<item, string>; put: func(item: borrow<item>); }
}
world part { ";

/// A recipe and the components that it names, each of which is damaged in turn.
struct Pair {
    recipe: String,
    files: Vec<(&'static str, Vec<u8>)>,
}

fn pairs() -> Vec<Pair> {
    let store = format!("{STORE} export acme:store/types@1.0.0; export acme:store/shelf@1.0.0; }}");
    let front = format!("{STORE} import acme:store/shelf@1.0.0; export wasi:cli/run@0.2.12; }}");
    let guest = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guests/{name}.wasm"));
        fs::read(path).expect("the guest is built")
    };
    let pair = |front: Vec<u8>, store: Vec<u8>, more: &str| Pair {
        recipe: format!("{RECIPE}{more}"),
        files: vec![("front.wasm", front), ("store.wasm", store)],
    };
    vec![
        pair(component::from_wit(&front), component::from_wit(&store), ""),
        pair(guest("auth-user"), guest("auth-provider"), ""),
        pair(
            guest("observe-02"),
            guest("hostile-02"),
            "[exports]\n\"wasi:http/incoming-handler\" = \"front\"\n",
        ),
    ]
}

/// Where the sections of the outermost component stand, their headers included.
fn sections(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut ends = vec![8];
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match &payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ModuleSection { unchecked_range: range, .. }
            | Payload::ComponentSection { unchecked_range: range, .. }
                if depth == 1 =>
            {
                ends.push(range.end as usize);
            }
            payload if depth == 1 => ends.extend(payload.as_section().map(|(_, range)| range.end as usize)),
            _ => {}
        }
    }
    // The length of a damaged one may lead past the end.
    let whole = |range: &Range<usize>| range.start < range.end && range.end <= bytes.len();
    ends.windows(2).map(|pair| pair[0]..pair[1]).filter(whole).collect()
}

fn damage(random: &mut Random, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(damaged.len());
        match random.below(10) {
            0 => damaged.truncate(at.max(1)),
            1 => drop(damaged.drain(at..(at + 1 + random.below(16)).min(damaged.len()))),
            2 => drop(damaged.splice(at..at, vec![damaged[at]; random.below(16)])),
            // Sections left out, twice, in another order, or of another component.
            3..=6 => {
                let sections = sections(&damaged);
                if sections.is_empty() {
                    continue;
                }
                let (one, two) = (random.one(&sections).clone(), random.one(&sections).clone());
                let theirs = self::sections(other);
                let theirs = &other[random.one(&theirs).clone()];
                match random.below(4) {
                    0 => drop(damaged.drain(one)),
                    1 => {
                        let copy = damaged[one].to_vec();
                        drop(damaged.splice(two.start..two.start, copy));
                    }
                    2 => drop(damaged.splice(one, theirs.iter().copied())),
                    _ => drop(damaged.splice(two.start..two.start, theirs.iter().copied())),
                }
            }
            _ => damaged[at] ^= 1 << random.below(8),
        }
        if damaged.is_empty() {
            return damaged;
        }
    }
    damaged
}

#[test]
fn damaged_components_are_refused_by_part_or_composed() {
    let folder = tempfile::tempdir().expect("folder");
    let recipe = folder.path().join("recipe.toml");
    let pairs = pairs();
    let mut tally = Tally::default();
    for round in 0..rounds(400, 5_000) {
        let mut random = Random::of_round(seed(), round);
        let pair = random.one(&pairs);
        let others = &random.one(&pairs).files;
        let (_, other) = random.one(others);
        let chosen = random.below(pair.files.len());
        fs::write(&recipe, &pair.recipe).expect("written");
        for (i, (name, bytes)) in pair.files.iter().enumerate() {
            let bytes = if i == chosen { damage(&mut random, bytes, other) } else { bytes.clone() };
            fs::write(folder.path().join(name), bytes).expect("written");
        }
        tally.compose(&recipe, &["front", "store"], &format!("seed {}, round {round}", seed()));
    }
    let (accepted, refused) = tally.finish("components");
    assert!(accepted > 10 && refused > 100, "{accepted} accepted, {refused} refused");
}
