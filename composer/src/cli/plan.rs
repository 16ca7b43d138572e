//! `wadoo plan`: every import of every part, and what was decided.

use clap::Args;
use wadoo_signing::report::{Exit, Report};

use super::{LockArgument, Outcome, RecipeArgument, Talk, print_data};
use crate::{inputs, pipeline, recipe};

/// The options of `wadoo plan`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArgument,
    #[command(flatten)]
    lock: LockArgument,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> Outcome {
    let gathered = inputs::gather(recipe::read(&arguments.recipe.file())?);
    let lock = arguments.lock.check(&gathered, talk).map_err(|report| vec![report])?;
    let planned = pipeline::plan(gathered, lock)?;
    let text = if arguments.json {
        let json = serde_json::to_string(&planned.plan).map_err(|error| {
            vec![Report::new(Exit::Bug, "cannot print the plan").because(error.to_string())]
        })?;
        json + "\n"
    } else {
        planned.plan.to_string()
    };
    print_data(&text)?;
    Ok(Exit::Done)
}
