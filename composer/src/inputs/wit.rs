//! WIT beside a part: a folder, or one file, read once. What is digested is what is parsed.
//!
//! A folder has the files of one package, and those of others in `deps`: a file or a folder each. Nothing deeper is
//! read, and nothing but `.wit`: a package in binary form beside them is refused and not passed over.

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;
use wadoo_signing::digest::Sha256Digest;
use wit_parser::{PackageId, Resolve, SourceMap, UnresolvedPackageGroup, WorldId};

use super::component::MAX_TYPE_DEPTH;
use super::error::InputError;
use super::{depth, file};
use crate::interfaces::nearest;
use crate::recipe::InterfaceName;

/// Files that are read of one WIT folder.
pub const MAX_WIT_FILES: usize = 1000;
/// Their length together, in bytes.
pub const MAX_WIT_SIZE: u64 = 16 << 20;

/// How deep brackets in WIT may nest: parsing them recurses.
pub const MAX_WIT_NESTING: usize = 100;

/// Why WIT cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum WitError {
    #[error("it has no `.wit` files")]
    Empty,
    #[error("it has more than {MAX_WIT_FILES} files")]
    TooManyFiles,
    #[error("it has more than {MAX_WIT_SIZE} bytes")]
    TooLarge,
    #[error("`{file}` in it is not UTF-8 text")]
    NotText { file: String },
    #[error("`{file}` in it is WIT in binary form")]
    Binary { file: String },
    #[error("`{file}` in it nests deeper than {MAX_WIT_NESTING}")]
    TooDeep { file: String },
    #[error("its types are nested deeper than {MAX_TYPE_DEPTH}")]
    TooDeepTypes,
    #[error("it is not valid WIT")]
    Invalid { lines: Vec<String> },
    #[error("it has no world `{world}`")]
    NoWorld { world: String, near: Option<String>, worlds: Vec<String> },
}

impl WitError {
    /// Why, where the message does not say all.
    pub(super) fn because(&self) -> Vec<String> {
        match self {
            Self::Invalid { lines } => lines.clone(),
            Self::NoWorld { worlds, .. } if worlds.is_empty() => vec!["it has no worlds at all".to_owned()],
            Self::NoWorld { worlds, .. } => vec![format!("its worlds are {}", worlds.join(", "))],
            _ => Vec::new(),
        }
    }

    /// What to do.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Empty => Some("name the folder in which the `.wit` files of the package lie".into()),
            Self::Binary { .. } => Some("put its text there: `wasm-tools component wit` prints it".into()),
            Self::NoWorld { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            _ => None,
        }
    }
}

/// The files of a WIT package and of those that it needs.
#[derive(Debug)]
pub(super) struct Wit {
    /// By their path in the folder, in byte order.
    files: Vec<(String, String)>,
    digest: Sha256Digest,
}

impl Wit {
    /// Reads `path` relative to `folder`.
    pub(super) fn read(folder: &Path, path: &Path) -> Result<Self, InputError> {
        let root = folder.join(path);
        if !root.is_dir() {
            let bytes = file::read(folder, path)?;
            if bytes.len() as u64 > MAX_WIT_SIZE {
                return Err(WitError::TooLarge.into());
            }
            let digest = Sha256Digest::of(&bytes);
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            return Ok(Self { files: vec![(name.clone(), text(&name, bytes)?)], digest });
        }
        let mut found = Found::default();
        found.folder(&root, "")?;
        let deps = root.join("deps");
        if deps.is_dir() {
            found.folder(&deps, "deps/")?;
            for name in names(&deps)? {
                if deps.join(&name).is_dir() {
                    found.folder(&deps.join(&name), &format!("deps/{name}/"))?;
                }
            }
        }
        let mut files = found.files;
        if files.is_empty() {
            return Err(WitError::Empty.into());
        }
        files.sort();
        let digest = digest(&files);
        Ok(Self { files, digest })
    }

    /// One file: that of its bytes. A folder: that of what `sha256sum` prints of its files in order.
    pub(super) fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// Its packages, and the world that is called `name`. What encodes them recurses, so none of their types nests deep.
    pub(super) fn world(&self, name: &InterfaceName) -> Result<(Resolve, WorldId), WitError> {
        let mut resolve = Resolve::default();
        let main = self.package(&mut resolve)?;
        if !depth::wit_is_within(&resolve, MAX_TYPE_DEPTH) {
            return Err(WitError::TooDeepTypes);
        }
        if let Ok(world) = resolve.select_world(&[main], Some(&name.to_string())) {
            return Ok((resolve, world));
        }
        let mut worlds: Vec<String> = resolve
            .worlds
            .iter()
            .filter_map(|(_, world)| Some(resolve.id_of_name(world.package?, &world.name)))
            .collect();
        worlds.sort();
        let wanted = name.to_string();
        let without_version = |world: &'_ str| world.split('@').next().unwrap_or(world).to_owned();
        let comparable: Vec<String> = match wanted.contains('@') {
            true => worlds.clone(),
            false => worlds.iter().map(|world| without_version(world)).collect(),
        };
        let near = nearest(&wanted, comparable.iter().map(String::as_str)).map(str::to_owned);
        let worlds = worlds.iter().map(|world| format!("`{world}`")).collect();
        Err(WitError::NoWorld { world: wanted, near, worlds })
    }

    fn package(&self, resolve: &mut Resolve) -> Result<PackageId, WitError> {
        let mut groups: Vec<(String, SourceMap)> = Vec::new();
        for (path, text) in &self.files {
            let package = package_of(path);
            match groups.iter_mut().find(|(known, _)| *known == package) {
                Some((_, map)) => map.push_str(path, text.as_str()),
                None => {
                    let mut map = SourceMap::new();
                    map.push_str(path, text.as_str());
                    groups.push((package, map));
                }
            }
        }
        // The package itself is the one without a folder; a folder that has only `deps` has none.
        let Some(at) = groups.iter().position(|(package, _)| package.is_empty()) else {
            return Err(WitError::Empty);
        };
        let main = parse(groups.remove(at).1)?;
        let deps = groups.into_iter().map(|(_, map)| parse(map)).collect::<Result<_, _>>()?;
        resolve.push_groups(main, deps).map_err(|error| invalid(&error.render(&resolve.source_map)))
    }
}

fn parse(map: SourceMap) -> Result<UnresolvedPackageGroup, WitError> {
    map.parse().map_err(|(map, error)| invalid(&error.render(&map)))
}

fn invalid(text: &str) -> WitError {
    let lines = text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty());
    WitError::Invalid { lines: lines.collect() }
}

/// Files of one folder are one package; each file in `deps` itself is another.
fn package_of(path: &str) -> String {
    match path.strip_prefix("deps/") {
        None => String::new(),
        Some(rest) => rest.split('/').next().unwrap_or(rest).to_owned(),
    }
}

#[derive(Default)]
struct Found {
    files: Vec<(String, String)>,
    size: u64,
}

impl Found {
    /// Reads the `.wit` files of one folder, each under `prefix`.
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<(), InputError> {
        for name in names(folder)? {
            let path = format!("{prefix}{name}");
            match Path::new(&name).extension().and_then(|extension| extension.to_str()) {
                Some("wit") => {}
                Some("wasm" | "wat") => return Err(WitError::Binary { file: path }.into()),
                _ => continue,
            }
            if self.files.len() == MAX_WIT_FILES {
                return Err(WitError::TooManyFiles.into());
            }
            let bytes = file::read(folder, Path::new(&name))?;
            self.size += bytes.len() as u64;
            if self.size > MAX_WIT_SIZE {
                return Err(WitError::TooLarge.into());
            }
            self.files.push((path.clone(), text(&path, bytes)?));
        }
        Ok(())
    }
}

/// The names in a folder, in byte order; hidden files are no part of it.
fn names(folder: &Path) -> Result<Vec<String>, InputError> {
    let failed = |error| file::explain(error, folder, folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        if names.len() > MAX_WIT_FILES {
            return Err(WitError::TooManyFiles.into());
        }
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn text(file: &str, bytes: Vec<u8>) -> Result<String, InputError> {
    let text = String::from_utf8(bytes).map_err(|_| WitError::NotText { file: file.to_owned() })?;
    if nesting(&text) > MAX_WIT_NESTING {
        return Err(WitError::TooDeep { file: file.to_owned() }.into());
    }
    Ok(text)
}

/// How deep brackets nest, comments to the end of a line left out. Those of types end with the item that they stand in.
fn nesting(text: &str) -> usize {
    let (mut items, mut types, mut deepest) = (0usize, 0usize, 0);
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        let mut before = ' ';
        for c in code.chars() {
            match c {
                '{' | '}' => {
                    types = 0;
                    items = if c == '{' { items + 1 } else { items.saturating_sub(1) };
                }
                ';' => types = 0,
                '<' | '(' => types += 1,
                '>' if before == '-' => {}
                '>' | ')' => types = types.saturating_sub(1),
                _ => {}
            }
            before = c;
            deepest = deepest.max(items + types);
        }
    }
    deepest
}

fn digest(files: &[(String, String)]) -> Sha256Digest {
    let lines: String = files
        .iter()
        .map(|(path, text)| format!("{}  {path}\n", Sha256Digest::of(text.as_bytes()).hex()))
        .collect();
    Sha256Digest::of(lines.as_bytes())
}

/// The folders whose files are read, for whoever waits for a change of them.
pub(super) fn folders(root: &Path) -> Vec<PathBuf> {
    let deps = root.join("deps");
    let mut folders = vec![root.to_owned(), deps.clone()];
    if let Ok(names) = names(&deps) {
        folders.extend(names.iter().map(|name| deps.join(name)).filter(|path| path.is_dir()));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_counted_and_arrows_and_comments_are_not() {
        assert_eq!(nesting("interface a { f: func(a: list<u8>) -> list<u8>; g: func() -> u8; } // <<<<"), 3);
        assert_eq!(nesting("world w {}\nworld v {}\n"), 1);
    }

    /// The parser would overflow the stack.
    #[test]
    fn endless_nesting_is_refused() {
        let text = format!("package a:b;\ninterface c {{ type d = {}u8", "list<".repeat(200_000));
        assert!(matches!(
            super::text("c.wit", text.into_bytes()),
            Err(InputError::Wit(WitError::TooDeep { .. }))
        ));
    }
}
