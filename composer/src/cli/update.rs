//! `wadoo update`: writes `wadoo.lock`. No other command does.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use wadoo_signing::report::Exit;

use super::{Outcome, RecipeArgument, Talk, print_data};
use crate::lock::{self, Difference, Lock, Locked};
use crate::{inputs, output, recipe};

/// The options of `wadoo update`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The recipe, or the folder in which it is called `recipe.toml`.
    #[arg(value_name = "RECIPE", default_value = ".")]
    recipe: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> Outcome {
    let file = RecipeArgument { recipe: arguments.recipe.clone() }.file();
    let gathered = inputs::gather(recipe::read(&file)?);
    let new = Lock::of(gathered.into_accounts()?);
    let old = match lock::read(&file) {
        Ok(old) => old,
        Err(report) => {
            talk.say(&format!("{}: {}", report.what, report.because.join(", ")));
            None
        }
    };
    let text = new.text();
    let path = lock::path(&file);
    if fs::read(&path).is_ok_and(|bytes| bytes == text.as_bytes()) {
        talk.say(&format!("`{}` holds: {}", path.display(), inputs_of(&new)));
        return Ok(Exit::Done);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    output::write(folder, lock::FILE, text.as_bytes()).map_err(|report| vec![report])?;
    talk.say(&format!("wrote `{}`: {}", path.display(), inputs_of(&new)));
    print_data(&changes(old.as_ref(), &new))?;
    Ok(Exit::Done)
}

fn inputs_of(lock: &Lock) -> String {
    match lock.len() {
        1 => "1 input".to_owned(),
        count => format!("{count} inputs"),
    }
}

/// What is new in the lock, a line for each input.
fn changes(old: Option<&Locked>, new: &Lock) -> String {
    let nothing = Lock::of(std::collections::BTreeMap::new());
    let differences = old.map_or(&nothing, |old| &old.lock).differences(new);
    let lines = differences.iter().map(|difference| match difference {
        Difference::Missing(name, input) => format!("added    {name} {} ({})\n", input.digest, input.source),
        Difference::Surplus(name, input) => format!("removed  {name} {} ({})\n", input.digest, input.source),
        Difference::Changed { name, found, .. } => {
            format!("changed  {name} {} ({})\n", found.digest, found.source)
        }
    });
    lines.collect()
}
