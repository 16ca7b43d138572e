//! `wadoo plan`: every import of every part, and what was decided.

use clap::Args;
use wadoo_signing::report::{Exit, Report};

use super::{Outcome, RecipeArgument, print_data};
use crate::{pipeline, recipe};

/// The options of `wadoo plan`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArgument,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let planned = pipeline::plan(recipe::read(&arguments.recipe.file())?)?;
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
