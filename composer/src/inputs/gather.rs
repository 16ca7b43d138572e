//! Everything that a recipe names, read once: the files of its parts, those that its patterns match, WIT, and, recursively,
//! the recipes that are parts of it.
//!
//! Nothing is made of the bytes here, so what they are can be compared with `wadoo.lock` before anything is. What cannot
//! be read is kept as a failure: the rest is looked at all the same, and every problem is told in one run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::{self, FilesystemGrant, Grant};
use wadoo_signing::report::Report;

use super::error::{Failures, InputError, Subject};
use super::tree::{MAX_CARRIED_SIZE, MAX_CARRIED_TREES, Tree, TreeError};
use super::wit::Wit;
use super::{file, pattern, tree, wit};
use crate::recipe::{self, Component, Input, PartName, Recipe, Spanned, WitWorld};

/// How deep recipes may be parts of recipes.
pub const MAX_RECIPE_DEPTH: usize = 8;
/// Parts of all recipes of a composition together.
pub const MAX_TOTAL_PARTS: usize = 4096;

/// A recipe and the bytes of all that it names.
#[derive(Debug)]
pub struct Gathered {
    /// The recipe; instead of a pattern's part it has one for each file.
    pub(super) recipe: Recipe,
    /// The parts that could be read.
    pub(super) parts: BTreeMap<PartName, Material>,
    /// The WIT of those that have a world.
    pub(super) wits: BTreeMap<PartName, Wit>,
    /// The WIT of the application's own world.
    pub(super) wit: Option<Wit>,
    /// The files of this recipe's parts, each once.
    pub(super) files: BTreeMap<Sha256Digest, Vec<u8>>,
    /// The trees of files that they carry, each once.
    pub(super) trees: BTreeMap<Sha256Digest, Vec<u8>>,
    /// What could not be read.
    pub(super) failures: Failures,
}

/// What a part is made of.
#[derive(Debug)]
pub(super) enum Material {
    /// A component, in `files`.
    Component(Sha256Digest),
    /// A core module, in `files`.
    Module(Sha256Digest),
    /// A recipe of its own.
    Composition(Box<Gathered>),
    /// Functions of other parts.
    Assembly,
}

impl Gathered {
    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Digest and source of every input by its name, those of recipes within recipes as `auth/check`; `None` if one could
    /// not be read.
    pub fn accounts(&self) -> Option<BTreeMap<String, manifest::Input>> {
        let mut accounts = BTreeMap::new();
        self.account("", &mut accounts).then_some(accounts)
    }

    /// The accounts of all inputs.
    ///
    /// # Errors
    ///
    /// Everything that could not be read.
    pub fn into_accounts(self) -> Result<BTreeMap<String, manifest::Input>, Vec<Report>> {
        match self.accounts() {
            Some(accounts) => Ok(accounts),
            None => Err(self.into_failures().into_reports()),
        }
    }

    fn into_failures(self) -> Failures {
        let Self { recipe, parts, mut failures, .. } = self;
        for (name, material) in parts {
            if let Material::Composition(inner) = material {
                let inner = inner.into_failures();
                if !inner.is_empty() {
                    let place = recipe.source.place(&recipe.components[&name].span);
                    failures.add_inner(place, &name, inner.into_reports());
                }
            }
        }
        failures
    }

    fn account(&self, prefix: &str, accounts: &mut BTreeMap<String, manifest::Input>) -> bool {
        let mut whole = self.failures.is_empty();
        let add = |accounts: &mut BTreeMap<_, _>, name: String, digest: Sha256Digest, source: &Path| {
            accounts.insert(name, manifest::Input { digest, source: source.display().to_string() });
        };
        if let (Some(wit), Some(world)) = (&self.wit, &self.recipe.app.world) {
            // No part is called so: its name has no dot.
            add(accounts, format!("{prefix}app.wit"), wit.digest(), &world.path.value);
        }
        for (name, material) in &self.parts {
            let name_in_all = format!("{prefix}{name}");
            let component = &self.recipe.components[name];
            // Not behind a slash, where a part of a recipe could be called the same.
            if let (Some(wit), Some(world)) = (self.wits.get(name), &component.world) {
                add(accounts, format!("{name_in_all}.world"), wit.digest(), &world.path.value);
            }
            if let Some(Grant::Filesystem(FilesystemGrant { files, .. })) = &component.carried {
                for (seen, digest) in files {
                    add(
                        accounts,
                        format!("{name_in_all}.files{seen}"),
                        *digest,
                        &component.files[seen].value,
                    );
                }
            }
            match (material, &component.input) {
                (Material::Component(digest), Input::Component(path))
                | (Material::Module(digest), Input::Module(path)) => {
                    add(accounts, name_in_all, *digest, &path.value);
                }
                (Material::Composition(inner), Input::Recipe(path)) => {
                    let prefix = format!("{name_in_all}/");
                    add(accounts, name_in_all, inner.recipe.digest(), &path.value);
                    whole &= inner.account(&prefix, accounts);
                }
                // What it is made of has accounts of its own.
                (Material::Assembly, Input::Assembly(_)) => {}
                // Materials are made of the inputs, kind by kind.
                _ => whole = false,
            }
        }
        whole
    }
}

/// Reads all that `recipe` names, relative to its folder.
pub fn gather(recipe: Recipe) -> Gathered {
    let file = Path::new(recipe.source.file()).to_owned();
    let mut reader = Reader { open: vec![Open::new(&file)], parts: 0 };
    reader.gather(recipe)
}

/// A recipe that is being read.
struct Open {
    /// The same for every way to name the file.
    identity: PathBuf,
    shown: String,
}

impl Open {
    fn new(file: &Path) -> Self {
        let identity = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        Self { identity, shown: file.display().to_string() }
    }
}

struct Reader {
    /// From the outermost recipe to the one that is being read.
    open: Vec<Open>,
    /// Parts of all recipes so far.
    parts: usize,
}

/// Why one part could not be read: one problem of this recipe, or those of another one.
enum Failure<'a> {
    Here(Box<InputError>, Subject<'a>),
    There(Vec<Report>),
}

impl<'a> Failure<'a> {
    fn here(error: InputError, subject: Subject<'a>) -> Self {
        Self::Here(Box::new(error), subject)
    }
}

impl Reader {
    fn gather(&mut self, mut recipe: Recipe) -> Gathered {
        let folder = folder(recipe.source.file());
        let mut failures = Failures::default();
        pattern::expand(&mut recipe, &folder, &mut failures);
        self.parts += recipe.components.len();
        let (mut parts, mut wits, mut files) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let trees = read_trees(&mut recipe, &folder, &mut failures);
        let here = |error: &InputError, subject: Subject, name: &str| {
            (recipe.source.place(&error.span(subject)), error.report(name, subject, &folder))
        };
        for (name, component) in &recipe.components {
            let found =
                (self.part(&folder, component, &mut files), read_wit(&folder, component.world.as_ref()));
            let failed = match found {
                (Ok(material), Ok(wit)) => {
                    parts.insert(name.clone(), material);
                    wits.extend(wit.map(|wit| (name.clone(), wit)));
                    continue;
                }
                (part, wit) => [part.err(), wit.err()],
            };
            for failure in failed.into_iter().flatten() {
                match failure {
                    Failure::Here(error, subject) => {
                        let (place, report) = here(&error, subject, name.as_str());
                        failures.add(place, report);
                    }
                    Failure::There(reports) => {
                        failures.add_inner(recipe.source.place(&component.span), name, reports);
                    }
                }
            }
        }
        let wit = match read_wit(&folder, recipe.app.world.as_ref()) {
            Err(Failure::Here(error, subject)) => {
                let (place, report) = here(&error, subject, recipe.app.name.as_str());
                failures.add(place, report);
                None
            }
            read => read.ok().flatten(),
        };
        Gathered { recipe, parts, wits, wit, files, trees, failures }
    }

    fn part<'a>(
        &mut self,
        folder: &Path,
        component: &'a Component,
        files: &mut BTreeMap<Sha256Digest, Vec<u8>>,
    ) -> Result<Material, Failure<'a>> {
        match &component.input {
            Input::Component(path) => read(folder, path, component, files).map(Material::Component),
            Input::Module(path) => read(folder, path, component, files).map(Material::Module),
            Input::Recipe(path) => {
                let file = folder.join(&path.value);
                let opened = file::check(folder, &path.value).and_then(|_| self.open(&file));
                opened.map_err(|error| Failure::here(error, Subject::Input(component)))?;
                let recipe = recipe::read(&file).map_err(Failure::There);
                let gathered = recipe.map(|recipe| Material::Composition(Box::new(self.gather(recipe))));
                self.open.pop();
                gathered
            }
            Input::Assembly(_) => Ok(Material::Assembly),
            // `expand` has put parts of files in the place of every pattern, or taken the part out.
            Input::Pattern(_) => Err(Failure::There(Vec::new())),
        }
    }

    /// Begins with another recipe, if it is not being read already.
    fn open(&mut self, file: &Path) -> Result<(), InputError> {
        let open = Open::new(file);
        if let Some(at) = self.open.iter().position(|other| other.identity == open.identity) {
            let circle = self.open[at..].iter().chain([&open]);
            return Err(InputError::Circle { recipes: circle.map(|open| open.shown.clone()).collect() });
        }
        if self.open.len() > MAX_RECIPE_DEPTH {
            return Err(InputError::RecipesTooDeep);
        }
        if self.parts > MAX_TOTAL_PARTS {
            return Err(InputError::TooManyParts);
        }
        self.open.push(open);
        Ok(())
    }
}

/// Reads the folders that parts carry, and says in `recipe` what each part is granted by that.
fn read_trees(
    recipe: &mut Recipe,
    folder: &Path,
    failures: &mut Failures,
) -> BTreeMap<Sha256Digest, Vec<u8>> {
    let mut trees: BTreeMap<Sha256Digest, Vec<u8>> = BTreeMap::new();
    let source = &recipe.source;
    for (name, component) in &mut recipe.components {
        let mut files = BTreeMap::new();
        for (seen, path) in &component.files {
            let tree = Tree::read(folder, &path.value);
            match tree.and_then(|tree| check_room(&trees, &tree).map(|()| tree).map_err(InputError::from)) {
                Ok(tree) => {
                    files.insert(seen.clone(), tree.digest);
                    trees.insert(tree.digest, tree.bytes);
                }
                Err(error) => {
                    let subject = Subject::Files(path);
                    let report = error.report(name.as_str(), subject, folder);
                    failures.add(source.place(&error.span(subject)), report);
                }
            }
        }
        if files.len() == component.files.len() && !files.is_empty() {
            component.carried =
                Some(Grant::Filesystem(FilesystemGrant { mounts: component.own_mounts(), files }));
        }
    }
    trees
}

/// Whether `tree` may be carried beside `trees`. The same folder is carried once, whoever has it.
fn check_room(trees: &BTreeMap<Sha256Digest, Vec<u8>>, tree: &Tree) -> Result<(), TreeError> {
    if trees.contains_key(&tree.digest) {
        return Ok(());
    }
    if trees.len() == MAX_CARRIED_TREES {
        return Err(TreeError::TooManyTrees);
    }
    let held: usize = trees.values().map(Vec::len).sum();
    match held + tree.bytes.len() > MAX_CARRIED_SIZE {
        true => Err(TreeError::TooLarge),
        false => Ok(()),
    }
}

/// Reads the WIT that describes `world`, if there is one.
fn read_wit<'a>(folder: &Path, world: Option<&'a WitWorld>) -> Result<Option<Wit>, Failure<'a>> {
    let Some(world) = world else { return Ok(None) };
    let wit = Wit::read(folder, &world.path.value);
    wit.map(Some).map_err(|error| Failure::here(error, Subject::World(world)))
}

/// Reads one file of `component` into `files`, if its digest is the one that the recipe pins.
fn read<'a>(
    folder: &Path,
    path: &Spanned<PathBuf>,
    component: &'a Component,
    files: &mut BTreeMap<Sha256Digest, Vec<u8>>,
) -> Result<Sha256Digest, Failure<'a>> {
    let here = |error| Failure::here(error, Subject::Input(component));
    let bytes = file::read(folder, &path.value).map_err(here)?;
    let digest = Sha256Digest::of(&bytes);
    match &component.digest {
        Some(pin) if pin.value != digest => Err(here(InputError::Pin { found: digest, pinned: pin.value })),
        _ => {
            files.entry(digest).or_insert(bytes);
            Ok(digest)
        }
    }
}

/// The folder that paths of a recipe start from.
pub(super) fn folder(recipe: &str) -> PathBuf {
    Path::new(recipe).parent().unwrap_or(Path::new("")).to_owned()
}

/// Files and folders of which a change can change the composition, as far as they can be told: `file` itself, what it
/// names, and what the recipes among that name.
pub fn watched(file: &Path) -> Watched {
    let mut watched = Watched::default();
    watched.recipe(file, &mut Vec::new());
    watched
}

/// What a composition is made from, as paths.
#[derive(Debug, Default)]
pub struct Watched {
    /// Files by name.
    pub files: Vec<PathBuf>,
    /// Folders of which every file counts that is not hidden, new ones too.
    pub folders: Vec<PathBuf>,
    /// Folders of which hidden files count as well.
    pub carried: Vec<PathBuf>,
}

impl Watched {
    fn recipe(&mut self, file: &Path, open: &mut Vec<PathBuf>) {
        self.files.push(file.to_owned());
        let identity = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        if open.contains(&identity) || open.len() > MAX_RECIPE_DEPTH {
            return;
        }
        let Ok(recipe) = recipe::read(file) else { return };
        open.push(identity);
        let folder = folder(recipe.source.file());
        for component in recipe.components.values() {
            match &component.input {
                Input::Component(path) | Input::Module(path) => self.files.push(folder.join(&path.value)),
                Input::Pattern(path) => self.folders.extend(pattern::folders(&path.value, &folder)),
                Input::Recipe(path) => self.recipe(&folder.join(&path.value), open),
                Input::Assembly(_) => {}
            }
        }
        let carried = recipe.components.values().flat_map(|component| component.files.values());
        self.carried.extend(carried.flat_map(|path| tree::folders(&folder.join(&path.value))));
        let of_parts = recipe.components.values().filter_map(|component| component.world.as_ref());
        for world in of_parts.chain(&recipe.app.world) {
            let wit = folder.join(&world.path.value);
            self.folders.extend(wit::folders(&wit));
            self.files.push(wit);
        }
        open.pop();
    }
}
