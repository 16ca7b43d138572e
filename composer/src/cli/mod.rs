//! The command line of `wadoo`: what can be asked, and how answers and problems are printed.
//!
//! stdout is data, stderr is talk. Each command is one module with one function that returns its exit code
//! or the reports of everything that was wrong.

mod compose;
mod dev;
mod extract;
mod inspect;
mod key;
mod plan;
mod sign;
mod update;
mod verify;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use clap::{Args, Parser, Subcommand, ValueEnum};
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::report::{Exit, Report};

use crate::inputs::Gathered;
use crate::lock::{self, Comparison, Lock, Strictness};

/// Compose WebAssembly components, compile them ahead of time, sign them.
///
/// A recipe names components; wadoo links them by type into one, compiles it for its target, signs it, and
/// writes `<app>.cwasm`, which `launcher` verifies and serves.
#[derive(Debug, Parser)]
#[command(name = "wadoo", version = version(), max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    talk: Talk,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wadoo dev recipes/wadoocore/recipe.toml        compose, sign with a development key, serve, swap on change
  wadoo plan recipe.toml                         every import of every part, and what was decided
  wadoo compose recipe.toml                      write <app>.cwasm
  wadoo update recipe.toml                       write wadoo.lock; `wadoo compose --locked` accepts no other inputs
  wadoo key new signing.pem                      make a signing key; then `[sign] keys = [\"file:signing.pem\"]`
  wadoo verify shop.cwasm --trust trusted/       check signature and every digest

Exit codes:
  0 done   1 could not   2 usage   3 refused: not trusted   4 refused: incompatible   5 host resource   70 bug";

/// How much is said on stderr.
#[derive(Clone, Debug, Args)]
pub(crate) struct Talk {
    /// Say nothing but errors on stderr.
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Link, compile, sign and write `<app>.cwasm`.
    Compose(compose::Arguments),
    /// Print every import of every part and what was decided, without compiling.
    Plan(plan::Arguments),
    /// Write `wadoo.lock`: the digest of every input, which `--locked` then demands.
    Update(update::Arguments),
    /// Compose, sign with the development key, serve, and swap when an input changes.
    Dev(dev::Arguments),
    /// Make, show and trust keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Add a signature to an artifact.
    Sign(sign::Arguments),
    /// Check an artifact: signature, every digest, attachments.
    Verify(verify::Arguments),
    /// Show what an artifact says of itself, or a component or recipe as text.
    Inspect(inspect::Arguments),
    /// Take an artifact apart: payload, envelope, statement, signatures.
    Extract(extract::Arguments),
}

/// The recipe that a command works on.
#[derive(Debug, Args)]
pub(crate) struct RecipeArgument {
    /// The recipe, or the folder in which it is called `recipe.toml`.
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
}

impl RecipeArgument {
    /// The recipe's file.
    fn file(&self) -> PathBuf {
        if self.recipe.is_dir() { self.recipe.join("recipe.toml") } else { self.recipe.clone() }
    }
}

/// Whether the inputs must be those of the lock.
#[derive(Debug, Args)]
pub(crate) struct LockArgument {
    /// Fail if an input is not what `wadoo.lock` says, or if there is no lock.
    #[arg(long)]
    locked: bool,
}

impl LockArgument {
    /// Compares the lock beside the recipe with what was gathered; the lock's digest, if it holds.
    fn check(&self, gathered: &Gathered, talk: &Talk) -> Result<Option<Sha256Digest>, Report> {
        // What cannot be read is told by whoever makes components of it.
        let Some(accounts) = gathered.accounts() else { return Ok(None) };
        let strictness = if self.locked { Strictness::Locked } else { Strictness::Lenient };
        let recipe = Path::new(gathered.recipe().source.file());
        match lock::compare(recipe, &Lock::of(accounts), strictness)? {
            Comparison::Holds(digest) => Ok(Some(digest)),
            Comparison::Absent => Ok(None),
            Comparison::Differs(line) => {
                talk.say(&line);
                Ok(None)
            }
        }
    }
}

/// What `compose` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emit {
    /// The portable component, `<app>.wasm`.
    Wasm,
    /// The signed native artifact, `<app>.cwasm`.
    Cwasm,
    /// Both.
    Both,
}

fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), "\nwasmtime 48.0.8\nrecipe format 1, artifact format 1")
}

/// What a command ends with: an exit code, or everything that was wrong.
pub(crate) type Outcome = Result<Exit, Vec<Report>>;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    note_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match catch_unwind(AssertUnwindSafe(|| dispatch(&cli))) {
        Ok(outcome) => ExitCode::from(outcome.unwrap_or_else(|reports| print_reports(&reports)) as u8),
        Err(_) => ExitCode::from(print_reports(&[bug()]) as u8),
    }
}

fn dispatch(cli: &Cli) -> Outcome {
    match &cli.command {
        Command::Compose(arguments) => compose::run(arguments, &cli.talk),
        Command::Plan(arguments) => plan::run(arguments, &cli.talk),
        Command::Update(arguments) => update::run(arguments, &cli.talk),
        Command::Dev(arguments) => dev::run(arguments, &cli.talk),
        Command::Key(command) => key::run(command),
        Command::Sign(arguments) => sign::run(arguments, &cli.talk),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Extract(arguments) => extract::run(arguments),
    }
}

/// Where the last panic was, for the report of one that nobody contained.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Keeps panics from the user's eyes: one that is contained is told by who contained it, any other by [`bug`].
fn note_panics() {
    std::panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
}

fn bug() -> Report {
    let panic = PANIC.lock().unwrap_or_else(PoisonError::into_inner).replace('\n', " ");
    Report::new(Exit::Bug, "wadoo met a bug of its own")
        .because(panic)
        .hint("report it with this text and the recipe; nothing was written")
}

/// clap's own words for help, version and wrong usage, on the stream and with the code that each deserves.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed stdout or stderr leaves nobody to tell.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { Exit::Usage } else { Exit::Done } as u8)
}

/// Prints every report to stderr, a blank line between two, and gives the gravest exit code.
fn print_reports(reports: &[Report]) -> Exit {
    let text = reports.iter().map(Report::to_string).collect::<Vec<_>>().join("\n");
    // A closed stderr leaves nobody to tell.
    let _ = io::stderr().write_all(text.as_bytes());
    reports.iter().map(|report| report.exit).max().unwrap_or(Exit::Bug)
}

/// One line of JSON with the number of its form, which changes when a reader could misread it.
pub(crate) fn json_line(mut value: serde_json::Value) -> String {
    if let Some(object) = value.as_object_mut() {
        object.insert("schema".to_owned(), 1.into());
    }
    format!("{value}\n")
}

/// Writes data to stdout; a reader that went away ends the command quietly.
///
/// # Errors
///
/// stdout cannot be written for another reason, a full disk behind a redirection for example.
pub(crate) fn print_data(text: &str) -> Result<(), Vec<Report>> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            Err(vec![Report::new(Exit::HostResource, "cannot write to stdout").because(error.to_string())])
        }
    }
}

impl Talk {
    /// Says what somebody may want to know, a line each.
    pub(crate) fn notes(&self, notes: &[String]) {
        for note in notes {
            self.say(&format!("note: {note}"));
        }
    }

    /// Says one line on stderr, unless asked to be quiet.
    pub(crate) fn say(&self, line: &str) {
        if !self.quiet {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_names_the_engine_that_is_linked() {
        let engine = format!("wasmtime {}\n", wadoo_launcher::engine::WASMTIME_VERSION);
        assert!(version().contains(&engine));
    }

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
