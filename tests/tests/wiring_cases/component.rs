//! Components for tests, made from WIT: a world with functions that trap.

use std::fs;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, UnresolvedPackageGroup};

/// The component of the one world in `text`. The first line may be `// wasi: 0.2.3`: the WASI packages of
/// `wit` then have that version. Without it they are 0.2.12; `// wasi: 0.3.0` takes the others.
pub(crate) fn from_wit(text: &str) -> Vec<u8> {
    let mut resolve =
        wasi(text.lines().next().and_then(|line| line.strip_prefix("// wasi: ")).unwrap_or("0.2.12"));
    let group = UnresolvedPackageGroup::parse("part.wit", text)
        .unwrap_or_else(|(map, error)| panic!("{error:?} {map:?}"));
    let package = resolve.push_group(group).unwrap_or_else(|error| panic!("{error:#}\n{text}"));
    let world = resolve.select_world(&[package], None).expect("one world");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    let mut encoder = ComponentEncoder::default();
    encoder.merge_imports_based_on_semver(false).module(&module).expect("module");
    encoder.encode().expect("component")
}

fn wasi(version: &str) -> Resolve {
    let (folder, shipped) =
        if version.starts_with("0.3") { ("wasi-0.3", "0.3.0") } else { ("wasi-0.2", "0.2.12") };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit").join(folder).join("deps");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("wit folder").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    let mut groups: Vec<UnresolvedPackageGroup> = files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).expect("wit").replace(shipped, version);
            UnresolvedPackageGroup::parse(file, &text)
                .unwrap_or_else(|(map, error)| panic!("{error:?} {map:?}"))
        })
        .collect();
    let main = groups.remove(0);
    let mut resolve = Resolve::default();
    resolve.push_groups(main, groups).unwrap_or_else(|error| panic!("{error:#}"));
    resolve
}
