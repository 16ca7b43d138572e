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
use super::wit::WitError;
use crate::recipe::{Component, Input, PartName, Span, Spanned};

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
    #[error("its types cannot be understood: {0}")]
    Types(String),
}

impl InputError {
    /// Where the recipe of `component` has what is wrong; `path` is that of the input.
    pub(super) fn span(&self, component: &Component, path: &Spanned<PathBuf>) -> Span {
        match (self, &component.digest, &component.input) {
            (Self::Pin { .. }, Some(pin), _) => pin.span.clone(),
            (Self::Wit(WitError::NoWorld { .. }), _, Input::Module { world: Some(world), .. }) => {
                world.world.span.clone()
            }
            _ => path.span.clone(),
        }
    }

    /// What to do about it. `written` is what the recipe has, `path` the same from where the user works, so that a
    /// command works as pasted.
    fn hint(&self, component: &Component, written: &Path, path: &Path) -> Option<String> {
        let input = &component.input;
        let text = path.display().to_string();
        let stem = text.strip_suffix(".wasm").or(text.strip_suffix(".wat")).unwrap_or(&text);
        let beside = |extension: &str| shell(Path::new(&format!("{stem}.{extension}")));
        let path = shell(path);
        let written = written.display();
        match self {
            Self::Missing { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::Missing { folder_missing: true, .. } => {
                Some("its folder does not exist either; paths are relative to the recipe's folder".into())
            }
            Self::Missing { .. } => Some(format!(
                "{}, or correct the path, which is relative to the recipe's folder",
                match input {
                    Input::Component(_) | Input::Pattern(_) => "build the component first",
                    Input::Module { .. } => "build the module first",
                    Input::Recipe(_) => "write the recipe first",
                }
            )),
            Self::Directory | Self::NotRegular if component.pattern.is_some() => {
                Some("narrow the pattern, so that it matches files only".into())
            }
            Self::CoreModule if component.pattern.is_some() => Some(format!(
                "narrow the pattern, and give the module a table of its own, with `module = \"{written}\"`"
            )),
            Self::Directory => Some(match input {
                Input::Recipe(_) => "name the recipe in it: `recipe.toml`".into(),
                _ => "name the `.wasm` file in it".into(),
            }),
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
            Self::Circle { .. } => Some("take one of these parts out of its recipe".into()),
            Self::WitPackage => Some("name the component that was built against this WIT package".into()),
            Self::Truncated { .. } => Some("build or download it again".into()),
            Self::Proposal { .. } => Some("build it without this proposal".into()),
            Self::Invalid { .. } => Some(format!("see what is wrong: `wasm-tools validate {path}`")),
            _ => None,
        }
    }

    /// The report for the part that has this input.
    pub(super) fn report(
        &self,
        part: &PartName,
        component: &Component,
        written: &Path,
        path: &Path,
    ) -> Report {
        let shown = written.display();
        let what = match self {
            Self::Pin { .. } => {
                format!("cannot use `{shown}` for `{part}`: its digest is not the one that the recipe pins")
            }
            _ => format!("cannot use `{shown}` for `{part}`: {self}"),
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
        match self.hint(component, written, path) {
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
