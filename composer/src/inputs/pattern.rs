//! Patterns of paths: the files that they match, and a part for each of them.
//!
//! Files are taken in the byte order of their paths, whatever the order in which the system lists them. What a pattern
//! matches and cannot be a part is an error and never passed over.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use wadoo_signing::report::{Exit, Report, system_words};

use super::error::Failures;
use crate::interfaces::nearest;
use crate::recipe::{Component, Input, MAX_PARTS, PartName, PathPattern, Recipe, Span, Spanned, Step};

/// Entries of one folder that are compared with a pattern.
pub const MAX_FOLDER_ENTRIES: usize = 10_000;

/// Why a pattern gives no parts.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum MatchError {
    #[error("no file matches it")]
    Nothing { folders: Vec<PathBuf> },
    #[error("there is no folder `{}`", folder.display())]
    NoFolder { folder: PathBuf, near: Option<String> },
    #[error("the folder `{}` cannot be read", folder.display())]
    Unreadable { folder: PathBuf, error: io::Error },
    #[error("the folder `{}` has more than {MAX_FOLDER_ENTRIES} entries", folder.display())]
    TooManyEntries { folder: PathBuf },
    #[error("with the files that it matches the recipe has {count} parts, and {MAX_PARTS} are the most")]
    TooManyParts { count: usize },
    #[error("no part can be called after the file `{file}`")]
    Name { file: String },
    #[error("`{first}` and `{second}` would both be the part `{name}`")]
    Same { first: String, second: String, name: PartName },
    #[error("`{file}` would be the part `{name}`, which has a table of its own")]
    Taken { file: String, name: PartName },
}

impl MatchError {
    fn report(&self, part: &PartName, pattern: &PathPattern) -> Report {
        let what = format!("cannot use `{}` for `{part}`: {self}", pattern.as_str());
        let report = Report::new(Exit::CouldNot, what);
        match self {
            Self::Nothing { folders } => {
                let looked = folders.iter().map(|folder| format!("`{}`", shown(folder)));
                let report = report.because(format!("looked in {}", looked.collect::<Vec<_>>().join(", ")));
                report.hint("build the components first, or correct the pattern, which is relative to the recipe's folder")
            }
            Self::NoFolder { near: Some(near), .. } => report.hint(format!("did you mean `{near}`?")),
            Self::NoFolder { .. } => {
                report.hint("make it, or correct the pattern, which is relative to the recipe's folder")
            }
            Self::Unreadable { error, .. } => report.because(system_words(error)),
            Self::TooManyEntries { .. } => report.hint("put the components in a folder of their own"),
            Self::TooManyParts { .. } => report.hint("narrow the pattern"),
            Self::Name { .. } => report
                .because(format!("expected letters, digits and hyphens, as in `{part}-json.wasm`"))
                .hint("rename the file, or give it a part of its own"),
            Self::Same { .. } => report
                .because("a part is called after the name of its file, without what follows the last dot")
                .hint("rename one of the files"),
            Self::Taken { name, .. } => {
                report.hint(format!("rename the file, or the table `[components.{name}]`"))
            }
        }
    }
}

fn shown(folder: &Path) -> String {
    if folder.as_os_str().is_empty() { ".".to_owned() } else { folder.display().to_string() }
}

/// Puts a part for each file in the place of every pattern, and checks the names that the rest of the recipe calls them by.
pub(super) fn expand(recipe: &mut Recipe, folder: &Path, failures: &mut Failures) {
    let patterns: BTreeMap<PartName, Spanned<PathPattern>> = recipe
        .components
        .iter()
        .filter_map(|(name, component)| match &component.input {
            Input::Pattern(pattern) => Some((name.clone(), pattern.clone())),
            _ => None,
        })
        .collect();
    let mut made: BTreeMap<PartName, Vec<PartName>> = BTreeMap::new();
    let tables: Vec<(PartName, Component)> =
        patterns.keys().filter_map(|name| recipe.components.remove_entry(name)).collect();
    for (name, table) in &tables {
        let pattern = &patterns[name];
        match parts(name, &pattern.value, folder, recipe) {
            Ok(parts) => {
                made.insert(name.clone(), parts.keys().cloned().collect());
                recipe.components.extend(parts.into_iter().map(|(part, path)| {
                    let path = Spanned { value: PathBuf::from(path), span: pattern.span.clone() };
                    let pattern = Some(name.clone());
                    (part, Component { input: Input::Component(path), pattern, ..table.clone() })
                }));
            }
            Err(error) => {
                failures.add(recipe.source.place(&pattern.span), error.report(name, &pattern.value));
            }
        }
    }
    // Where a pattern failed, what it would have given is not known.
    if made.len() == patterns.len() {
        check_names(recipe, &made, failures);
    }
}

/// The parts of one pattern, each with its path as a recipe would write it.
fn parts(
    name: &PartName,
    pattern: &PathPattern,
    folder: &Path,
    recipe: &Recipe,
) -> Result<BTreeMap<PartName, String>, MatchError> {
    let mut parts: BTreeMap<PartName, String> = BTreeMap::new();
    for file in files(pattern, folder)? {
        let stem = Path::new(&file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Some(part) = PartName::of_file(name, stem) else { return Err(MatchError::Name { file }) };
        if recipe.components.contains_key(&part) {
            return Err(MatchError::Taken { file, name: part });
        }
        if let Some(first) = parts.get(&part) {
            return Err(MatchError::Same { first: first.clone(), second: file, name: part });
        }
        parts.insert(part, file);
    }
    let count = recipe.components.len() + parts.len();
    if count > MAX_PARTS {
        return Err(MatchError::TooManyParts { count });
    }
    Ok(parts)
}

/// What the pattern matches, in byte order. At least one.
fn files(pattern: &PathPattern, folder: &Path) -> Result<Vec<String>, MatchError> {
    let mut found = vec![pattern.root().to_owned()];
    let mut looked = Vec::new();
    let last = pattern.steps().len().saturating_sub(1);
    let mut certain = true;
    for (at, step) in pattern.steps().iter().enumerate() {
        let mut next = Vec::new();
        for base in &found {
            match step {
                Step::Name(name) => {
                    let path = join(base, name);
                    let exists = folder.join(&path).exists();
                    if !exists && certain {
                        let near = near(pattern, at, base, folder);
                        return Err(MatchError::NoFolder { folder: path.into(), near });
                    }
                    next.extend(exists.then_some(path));
                }
                Step::Names(_) => {
                    looked.push(PathBuf::from(base));
                    let matching = entries(&folder.join(base), base)?;
                    let paths = matching.into_iter().filter(|name| step.matches(name));
                    let paths = paths.map(|name| join(base, &name));
                    next.extend(paths.filter(|path| at == last || folder.join(path).is_dir()));
                }
            }
        }
        certain &= matches!(step, Step::Name(_));
        found = next;
    }
    found.sort();
    if found.is_empty() { Err(MatchError::Nothing { folders: looked }) } else { Ok(found) }
}

/// The names in a folder, which the recipe calls `written`.
fn entries(folder: &Path, written: &str) -> Result<Vec<String>, MatchError> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let failed = |error| MatchError::Unreadable { folder: PathBuf::from(written), error };
    let mut names = Vec::new();
    for entry in fs::read_dir(here).map_err(failed)? {
        if names.len() == MAX_FOLDER_ENTRIES {
            return Err(MatchError::TooManyEntries { folder: PathBuf::from(written) });
        }
        let name = entry.map_err(failed)?.file_name();
        names.push(name.into_string().unwrap_or_else(|name| name.to_string_lossy().into_owned()));
    }
    Ok(names)
}

fn join(base: &str, name: &str) -> String {
    match base {
        "" => name.to_owned(),
        "/" => format!("/{name}"),
        base => format!("{base}/{name}"),
    }
}

/// The pattern with the name of the nearest folder that there is in the place of the step that is missing.
fn near(pattern: &PathPattern, missing: usize, base: &str, folder: &Path) -> Option<String> {
    let Step::Name(word) = &pattern.steps()[missing] else { return None };
    let mut names = entries(&folder.join(base), base).ok()?;
    names.retain(|name| folder.join(join(base, name)).is_dir());
    names.sort();
    let name = nearest(word, names.iter().map(String::as_str))?;
    let rest = pattern.steps()[missing + 1..].iter().map(|step| match step {
        Step::Name(name) => name.as_str(),
        Step::Names(names) => names.as_str(),
    });
    Some(rest.fold(join(base, name), |path, step| join(&path, step)))
}

/// Names of parts that `with` and `[exports]` call; the parser let those pass that a pattern could have given.
fn check_names(recipe: &Recipe, made: &BTreeMap<PartName, Vec<PartName>>, failures: &mut Failures) {
    let mut problems: BTreeMap<(usize, usize), (Span, Report)> = BTreeMap::new();
    let mut add = |provider: &Spanned<PartName>, report: Report| {
        let span = provider.span.clone();
        problems.entry((span.start, span.end)).or_insert((span, report));
    };
    for (part, component) in &recipe.components {
        for (import, provider) in &component.with {
            let provider = &provider.value.part;
            if provider.value == *part {
                let what = format!("`{part}` cannot provide its own import `{import}`");
                let hint = "take it out of the pattern, and give it a table of its own";
                add(provider, Report::new(Exit::CouldNot, what).hint(hint));
            }
        }
    }
    let called = recipe.components.values().flat_map(|component| component.with.values());
    let called = called.map(|provider| &provider.value.part).chain(assembled(recipe));
    for provider in called.chain(recipe.exports.values()) {
        if !recipe.components.contains_key(&provider.value) {
            add(provider, unknown(&provider.value, made));
        }
    }
    for (span, report) in problems.into_values() {
        failures.add(recipe.source.place(&span), report);
    }
}

/// Parts that give a function to an assembled interface.
fn assembled(recipe: &Recipe) -> impl Iterator<Item = &Spanned<PartName>> {
    let assemblies = recipe.components.values().filter_map(|component| match &component.input {
        Input::Assembly(assembly) => Some(assembly),
        _ => None,
    });
    assemblies.flat_map(|assembly| assembly.providers().map(|provider| &provider.value.part))
}

fn unknown(name: &PartName, made: &BTreeMap<PartName, Vec<PartName>>) -> Report {
    const SHOWN: usize = 12;
    let report = Report::new(Exit::CouldNot, format!("there is no part `{name}`"));
    let own = |pattern: &&PartName| name.as_str().starts_with(pattern.as_str());
    let Some(pattern) = made.keys().filter(own).max_by_key(|pattern| pattern.as_str().len()) else {
        return report;
    };
    let parts = &made[pattern];
    let near = nearest(name.as_str(), parts.iter().map(PartName::as_str));
    let shown: Vec<String> = parts.iter().take(SHOWN).map(|part| format!("`{part}`")).collect();
    let more = parts.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let report = report.because(format!("the files of `{pattern}` are the parts {}{more}", shown.join(", ")));
    match near {
        Some(near) => report.hint(format!("did you mean `{near}`?")),
        None => report.hint("name one of them"),
    }
}

/// The folders whose files decide what the pattern matches.
pub(super) fn folders(pattern: &PathPattern, folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![pattern.root().to_owned()];
    let mut folders = Vec::new();
    for step in pattern.steps() {
        let mut next = Vec::new();
        for base in &found {
            match step {
                Step::Name(name) => next.push(join(base, name)),
                Step::Names(_) => {
                    folders.push(folder.join(base));
                    let names = entries(&folder.join(base), base).unwrap_or_default();
                    next.extend(names.iter().filter(|name| step.matches(name)).map(|name| join(base, name)));
                }
            }
        }
        found = next;
    }
    folders
}
