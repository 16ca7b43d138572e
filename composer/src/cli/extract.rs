//! `wadoo extract`: an artifact taken apart, for stock tools and for the split form.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use wadoo_launcher::open::{SPLIT_ENVELOPE, SPLIT_PAYLOAD, split_attachment};
use wadoo_signing::envelope;
use wadoo_signing::report::{Exit, Report, system_words};

use super::compose::size;
use super::{Outcome, json_line, print_data};
use crate::artifact::Parts;
use crate::output;

/// The options of `wadoo extract`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The artifact.
    #[arg(value_name = "ARTIFACT")]
    artifact: PathBuf,
    /// The folder to write to: a new one, or an empty one.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Write the split form only, which `launcher DIR` runs: `payload`, `manifest.dsse.json` and the attachments.
    #[arg(long)]
    split: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let text = extract(arguments).map_err(|report| vec![report])?;
    print_data(&text)?;
    Ok(Exit::Done)
}

fn extract(arguments: &Arguments) -> Result<String, Report> {
    let parts = Parts::read(&arguments.artifact)?;
    let folder = &arguments.output;
    fs::create_dir_all(folder).map_err(|error| {
        Report::new(Exit::CouldNot, format!("cannot make the folder `{}`", folder.display()))
            .because(system_words(&error))
    })?;
    // A signature left over from another artifact would stand beside a statement that it is not for.
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Report::new(Exit::CouldNot, format!("cannot extract to `{}`", folder.display()))
            .because("the folder is not empty")
            .hint("name a new folder, or empty this one"));
    }
    let mut written = Vec::new();
    let mut write = |name: &str, bytes: &[u8]| -> Result<(), Report> {
        let path = output::write(folder, name, bytes)?;
        written.push((path, bytes.len()));
        Ok(())
    };
    write(SPLIT_PAYLOAD, &parts.payload)?;
    write(SPLIT_ENVELOPE, &parts.envelope.encode())?;
    if !arguments.split {
        let statement = parts.envelope.statement();
        write("statement.json", statement)?;
        write("pae.bin", &envelope::pae(statement))?;
        for signature in parts.envelope.signatures() {
            write(&format!("{}.sig", signature.key), &signature.bytes)?;
        }
    }
    for (index, attachment) in parts.attachments.iter().enumerate() {
        write(&split_attachment(index), &attachment.bytes)?;
    }
    if arguments.json {
        let files: Vec<_> =
            written.iter().map(|(path, size)| json!({ "path": path, "size": size })).collect();
        return Ok(json_line(json!({ "files": files })));
    }
    Ok(written.iter().map(|(path, bytes)| format!("{} ({})\n", path.display(), size(*bytes))).collect())
}
