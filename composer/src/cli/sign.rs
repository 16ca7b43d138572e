//! `wadoo sign`: one more signature under an artifact's statement.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_signing::framing::{self, Attachment};
use wadoo_signing::key::SigningKey;
use wadoo_signing::ownership::OwnershipError;
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::statement::Statement;
use wadoo_signing::trust::{Surroundings, TrustError, TrustPlace, TrustStore};

use super::{Outcome, Talk, json_line, print_data};
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
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> Outcome {
    let keys = read_keys(&arguments.key)?;
    let text = sign(arguments, &keys).map_err(|report| vec![report])?;
    talk.say(&format!("signed {}", arguments.artifact.display()));
    print_data(&text)?;
    Ok(Exit::Done)
}

/// Every key, or everything that is wrong with them.
fn read_keys(sources: &[String]) -> Result<Vec<SigningKey>, Vec<Report>> {
    let (mut keys, mut reports) = (Vec::new(), Vec::new());
    for source in sources {
        match key_source(source).and_then(|source| keys::read(&source, Path::new(""))) {
            Ok(key) => keys.push(key),
            Err(report) => reports.push(report),
        }
    }
    if reports.is_empty() { Ok(keys) } else { Err(reports) }
}

fn sign(arguments: &Arguments, keys: &[SigningKey]) -> Result<String, Report> {
    let failed = |because: &dyn std::fmt::Display| {
        Report::new(Exit::CouldNot, format!("cannot sign `{}`", arguments.artifact.display()))
            .because(because.to_string())
    };
    // Through a link to the file itself: the link stays one.
    let path = &arguments.artifact.canonicalize().unwrap_or_else(|_| arguments.artifact.clone());
    if path.is_dir() {
        return Err(failed(&"it is a folder").hint("sign the artifact, and extract it again with `--split`"));
    }
    // What the launcher would not open is not made acceptable by writing it again.
    let opened = UnverifiedArtifact::open(path, &OpenOptions::default())?;
    let mut parts = Parts::of(opened.file(), path)?;
    let refused = |because: &dyn std::fmt::Display| Report { exit: Exit::NotTrusted, ..failed(because) };
    if let Some(store) = trust_store()? {
        parts.envelope.verify(|id| store.key(id)).map_err(|error| refused(&error))?;
    }
    let statement = Statement::decode(parts.envelope.statement()).map_err(|error| refused(&error))?;
    if statement.manifest.development {
        return Err(failed(&"it is a development artifact, which no other key may sign")
            .hint("name keys under `[sign]` in the recipe and compose again"));
    }
    // What is signed must be what is in the file: a signature is never put under digests that do not hold.
    parts.check_payload(&statement).map_err(|error| refused(&error))?;
    for key in keys {
        parts.envelope.add_signature(key).map_err(|error| failed(&error))?;
    }
    let attachments: Vec<Attachment> = std::mem::take(&mut parts.attachments);
    let bytes = framing::package(&parts.payload, &parts.envelope.encode(), &attachments)
        .map_err(|error| failed(&error))?;
    let name = path.file_name().unwrap_or_default();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    output::write(folder, name, &bytes)?;
    let signers: Vec<String> = parts.envelope.signatures().iter().map(|one| one.key.to_string()).collect();
    if arguments.json {
        return Ok(json_line(json!({ "path": path, "claimedSigners": signers })));
    }
    Ok(signers.iter().map(|signer| format!("signed by     {signer}\n")).collect())
}

/// Whom this user trusts: the signatures that are there are checked as far as it goes. Nobody yet is no error, or a
/// first signature would be impossible.
fn trust_store() -> Result<Option<TrustStore>, Report> {
    let store =
        TrustPlace::resolve(None, &Surroundings::of_process()).and_then(|place| TrustStore::read(&place));
    match store {
        Ok(store) => Ok(Some(store)),
        Err(
            TrustError::NoUser
            | TrustError::Empty { .. }
            | TrustError::Place { source: OwnershipError::Missing, .. },
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn key_source(text: &str) -> Result<KeySource, Report> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(KeySource::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(KeySource::File(path.into())),
        // Not printed: it may be the key itself.
        _ => Err(Report::new(Exit::Usage, "cannot tell where `--key` says that the key is")
            .because("expected `env:NAME`, a variable that holds the key, or `file:PATH`")
            .hint("if it is a file: `--key file:signing.pem`")),
    }
}
