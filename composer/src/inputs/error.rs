//! Why an input cannot be used, and how that is told.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::report::{Exit, Place, Report, shell};

use super::component::{MAX_IMPORTS_AND_EXPORTS, MAX_TYPE_DEPTH};
use super::file::MAX_COMPONENT_SIZE;
use super::gather::{MAX_RECIPE_DEPTH, MAX_TOTAL_PARTS};
use super::module::ModuleError;
use super::tree::TreeError;
use super::wit::WitError;
use crate::link::MAX_NESTING;
use crate::recipe::{Component, Input, MemorySize, PartName, Span, Spanned, WitWorld};

/// Why an input cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum InputError {
    #[error("there is no such file")]
    Missing { near: Option<String>, folder_missing: bool },
    #[error("it is a directory")]
    Directory,
    #[error("it is not a regular file")]
    NotRegular,
    #[error("its symbolic links lead in a circle")]
    SymlinkLoop,
    #[error("it may not be read by this user")]
    Permission,
    #[error("reading it failed: {0}")]
    Io(io::Error),
    #[error("it has {size} bytes, and {MAX_COMPONENT_SIZE} are the most")]
    TooLarge { size: u64 },
    #[error("found {found}, expected {pinned}")]
    Pin { found: Sha256Digest, pinned: Sha256Digest },
    #[error("it is empty")]
    Empty,
    #[error("it is WebAssembly text, and its binary form is expected")]
    Text,
    #[error("it is a core module, and a component is expected")]
    CoreModule,
    #[error("it is a component, and a core module is expected")]
    Component,
    #[error(transparent)]
    Module(#[from] ModuleError),
    #[error(transparent)]
    Wit(#[from] WitError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("it is a part of itself")]
    Circle { recipes: Vec<String> },
    #[error("recipes are parts of recipes more than {MAX_RECIPE_DEPTH} deep")]
    RecipesTooDeep,
    #[error("all recipes together have more than {MAX_TOTAL_PARTS} parts")]
    TooManyParts,
    #[error("it is a WIT package, which has types and no code")]
    WitPackage,
    #[error("it is not WebAssembly: it starts with {start}")]
    NotWasm { start: String },
    #[error("it has the unknown WebAssembly version {version:#x}")]
    UnknownVersion { version: u32 },
    #[error("it ends in the middle of a section, after {size} bytes")]
    Truncated { size: u64 },
    #[error("it needs {proposal}, which the engine does not have")]
    Proposal { proposal: String },
    #[error("it is damaged at byte {offset}: {message}")]
    Invalid { offset: u64, message: String },
    #[error("it has {count} imports and exports, and {MAX_IMPORTS_AND_EXPORTS} are the most")]
    TooManyItems { count: usize },
    #[error("its types are nested deeper than {MAX_TYPE_DEPTH}")]
    TooDeep,
    #[error("its components are nested deeper than {MAX_NESTING}")]
    TooNested,
    #[error("a memory of it has `{initial}` from the start, and `memory` allows `{most}`")]
    Memory { initial: MemorySize, most: MemorySize },
    #[error("its types cannot be understood: {0}")]
    Types(String),
}

/// What of a recipe cannot be used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// What a part is made of: one file or recipe, since `gather` leaves no pattern.
    Input(&'a Component),
    /// The WIT of a world, and the world in it.
    World(&'a WitWorld),
    /// A folder that a part carries.
    Files(&'a Spanned<PathBuf>),
}

impl<'a> Subject<'a> {
    /// The path that the recipe has for it.
    pub(super) fn path(self) -> &'a Spanned<PathBuf> {
        match self {
            Self::World(world) => &world.path,
            Self::Files(path) => path,
            Self::Input(component) => match &component.input {
                Input::Component(path) | Input::Module(path) | Input::Recipe(path) => path,
                Input::Pattern(_) | Input::Assembly(_) => {
                    unreachable!("`gather` leaves no pattern, and nothing is read for an assembly")
                }
            },
        }
    }
}

impl InputError {
    /// Where the recipe has what is wrong.
    pub(super) fn span(&self, subject: Subject<'_>) -> Span {
        match (self, subject) {
            (Self::Pin { .. }, Subject::Input(Component { digest: Some(pin), .. })) => pin.span.clone(),
            (Self::Memory { .. }, Subject::Input(Component { memory: Some(memory), .. })) => {
                memory.span.clone()
            }
            (Self::Wit(WitError::NoWorld { .. }), Subject::World(world)) => world.world.span.clone(),
            _ => subject.path().span.clone(),
        }
    }

    /// What to do about it. `path` is that of the subject from where the user works, so that a command works as pasted.
    fn hint(&self, subject: Subject<'_>, path: &Path) -> Option<String> {
        let of_pattern = matches!(subject, Subject::Input(Component { pattern: Some(_), .. }));
        let of_recipe = matches!(subject, Subject::Input(Component { input: Input::Recipe(_), .. }));
        let written = subject.path().value.display();
        let text = path.display().to_string();
        let stem = text.strip_suffix(".wasm").or(text.strip_suffix(".wat")).unwrap_or(&text);
        let beside = |extension: &str| shell(Path::new(&format!("{stem}.{extension}")));
        let path = shell(path);
        match self {
            Self::Missing { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::Missing { folder_missing: true, .. } => {
                Some("its folder does not exist either; paths are relative to the recipe's folder".into())
            }
            Self::Missing { .. } => Some(format!(
                "{}, or correct the path, which is relative to the recipe's folder",
                match subject {
                    Subject::World(_) => "write the WIT first",
                    Subject::Files(_) => "make the folder first",
                    Subject::Input(component) => match component.input {
                        Input::Component(_) | Input::Pattern(_) => "build the component first",
                        Input::Module(_) => "build the module first",
                        Input::Recipe(_) | Input::Assembly(_) => "write the recipe first",
                    },
                }
            )),
            Self::Directory | Self::NotRegular if of_pattern => {
                Some("narrow the pattern, so that it matches files only".into())
            }
            Self::CoreModule if of_pattern => Some(format!(
                "narrow the pattern, and give the module a table of its own, with `module = \"{written}\"`"
            )),
            Self::Directory if of_recipe => Some("name the recipe in it: `recipe.toml`".into()),
            Self::Directory => Some("name the `.wasm` file in it".into()),
            Self::TooLarge { .. } => {
                Some("check that the path names WebAssembly and not an image or an archive".into())
            }
            Self::Pin { found, .. } => {
                Some(format!("if the new file is the right one, write `digest = \"{found}\"`"))
            }
            Self::Empty => Some("build it again; an interrupted build leaves an empty file".into()),
            Self::Text => Some(format!("convert it: `wasm-tools parse {path} -o {}`", beside("wasm"))),
            Self::CoreModule => Some(format!(
                "build it for `wasm32-wasip2`, or let wadoo make a component of it: write `module = \"{written}\"` \
                 in place of `path`"
            )),
            Self::Component => Some(format!("write `path = \"{written}\"` in place of `module`")),
            Self::Module(error) => error.hint(),
            Self::Wit(error) => error.hint(),
            Self::Tree(error) => error.hint(Path::new(&text)),
            Self::Memory { initial, .. } => Some(format!(
                "write `memory = \"{initial}\"` or more, or build it with a smaller stack and less static data"
            )),
            Self::Circle { .. } => Some("take one of these parts out of its recipe".into()),
            Self::WitPackage => Some("name the component that was built against this WIT package".into()),
            Self::Truncated { .. } => Some("build or download it again".into()),
            Self::Proposal { .. } => Some("build it without this proposal".into()),
            Self::Invalid { .. } => Some(format!("see what is wrong: `wasm-tools validate {path}`")),
            _ => None,
        }
    }

    /// The report for the part or application that is called `name`, of a recipe in `folder`.
    pub(super) fn report(&self, name: &str, subject: Subject<'_>, folder: &Path) -> Report {
        let path = &subject.path().value;
        let shown = path.display();
        let what = match self {
            Self::Pin { .. } => {
                format!("cannot use `{shown}` for `{name}`: its digest is not the one that the recipe pins")
            }
            Self::Missing { .. } if matches!(subject, Subject::Files(_)) => {
                format!("cannot use `{shown}` for `{name}`: there is no such folder")
            }
            _ => format!("cannot use `{shown}` for `{name}`: {self}"),
        };
        let mut report = Report::new(Exit::CouldNot, what);
        match self {
            Self::Pin { found, pinned } => {
                report = report.because(format!("found     {found}")).because(format!("expected  {pinned}"));
            }
            Self::Wit(error) => report.because = error.because(),
            Self::Module(error) => report.because = error.because(),
            Self::Circle { recipes } => {
                let steps =
                    recipes.windows(2).map(|pair| format!("`{}` has a part from `{}`", pair[0], pair[1]));
                report.because = steps.collect();
            }
            _ => {}
        }
        match self.hint(subject, &folder.join(path)) {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

/// What was found wrong with the inputs of one recipe, each with where the recipe has it.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<(Place, Vec<Report>)>);

impl Failures {
    /// Adds one that is told at its place in this recipe.
    pub(super) fn add(&mut self, place: Place, report: Report) {
        self.0.push((place.clone(), vec![report.at(place)]));
    }

    /// Adds those of another recipe, which have their own places; `part` of this one brought it in.
    pub(super) fn add_inner(&mut self, place: Place, part: &PartName, reports: Vec<Report>) {
        let brought = format!("`{part}` of {}, line {}, is made of this recipe", place.file, place.line);
        let reports = reports.into_iter().map(|report| report.because(brought.clone())).collect();
        self.0.push((place, reports));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of the recipe.
    pub(super) fn into_reports(mut self) -> Vec<Report> {
        self.0.sort_by_key(|(place, _)| (place.line, place.column));
        self.0.into_iter().flat_map(|(_, reports)| reports).collect()
    }
}
