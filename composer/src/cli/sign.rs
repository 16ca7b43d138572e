//! `wadoo sign`: one more signature under an artifact's statement.

use std::path::{Path, PathBuf};

use clap::Args;
use wadoo_signing::framing::{self, Attachment};
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::statement::Statement;

use super::{Outcome, Talk, print_data};
use crate::artifact::Parts;
use crate::recipe::KeySource;
use crate::{keys, output};

/// The options of `wadoo sign`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The artifact; it is replaced whole.
    #[arg(value_name = "ARTIFACT")]
    artifact: PathBuf,
    /// The key: `env:NAME` or `file:PATH`.
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> Outcome {
    sign(arguments, talk).map_err(|report| vec![report])
}

fn sign(arguments: &Arguments, talk: &Talk) -> Result<Exit, Report> {
    let path = &arguments.artifact;
    let failed = |because: &dyn std::fmt::Display| {
        Report::new(Exit::CouldNot, format!("cannot sign `{}`", path.display())).because(because.to_string())
    };
    let mut parts = Parts::read(path)?;
    let statement = Statement::decode(parts.envelope.statement()).map_err(|error| failed(&error))?;
    if statement.manifest.development {
        return Err(failed(&"it is a development artifact, which no other key may sign")
            .hint("name keys under `[sign]` in the recipe and compose again"));
    }
    // What is signed must be what is in the file: a signature is never put under digests that do not hold.
    parts.check_payload(&statement).map_err(|error| failed(&error))?;
    for source in &arguments.key {
        let key = keys::read(&key_source(source)?, Path::new(""))?;
        parts.envelope.add_signature(&key).map_err(|error| failed(&error))?;
    }
    let attachments: Vec<Attachment> = std::mem::take(&mut parts.attachments);
    let bytes = framing::package(&parts.payload, &parts.envelope.encode(), &attachments)
        .map_err(|error| failed(&error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    output::write(folder, &name, &bytes)?;
    let mut text = String::new();
    for signature in parts.envelope.signatures() {
        text.push_str(&format!("signed by     {}\n", signature.key));
    }
    talk.say(&format!("signed {}", path.display()));
    print_data(&text).map_err(|mut reports| reports.remove(0))?;
    Ok(Exit::Done)
}

fn key_source(text: &str) -> Result<KeySource, Report> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(KeySource::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(KeySource::File(path.into())),
        _ => Err(Report::new(Exit::Usage, format!("cannot read the key from `{text}`"))
            .because("it is neither `env:NAME` nor `file:PATH`")
            .hint(format!("if it is a file: `--key file:{text}`"))),
    }
}
