//! `wadoo key`: make, show and trust keys.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use wadoo_signing::key::{self, KeyError, PublicKey, SigningKey};
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::trust::{self, Surroundings, UserFolder};

use super::{Outcome, print_data};

/// The commands of `wadoo key`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a signing key and write both halves: NAME.pem (secret, mode 0600) and NAME.pub.pem.
    New(New),
    /// Show the id and kind of a key.
    Show(Show),
    /// Trust a public key: copy it into a trust store under its id.
    Trust(Trust),
}

/// The options of `wadoo key new`.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The file of the private half.
    #[arg(value_name = "FILE.pem", default_value = "signing.pem")]
    file: PathBuf,
}

/// The options of `wadoo key show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A private or public key.
    #[arg(value_name = "FILE.pem")]
    file: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// The options of `wadoo key trust`.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// A public key.
    #[arg(value_name = "FILE.pub.pem")]
    file: PathBuf,
    /// The trust store; without it, this user's own.
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
}

pub(crate) fn run(command: &Command) -> Outcome {
    let text = match command {
        Command::New(arguments) => new(&arguments.file),
        Command::Show(arguments) => show(&arguments.file, arguments.json),
        Command::Trust(arguments) => trust(arguments),
    };
    print_data(&text.map_err(|report| vec![report])?)?;
    Ok(Exit::Done)
}

fn new(file: &Path) -> Result<String, Report> {
    let key = SigningKey::generate().map_err(|error| error.report(&file.display().to_string()))?;
    let public = file.with_extension("pub.pem");
    trust::write_private(file, &key)?;
    trust::write_public(&public, &key.public())?;
    Ok(format!(
        "private   {} (keep it secret)\npublic    {}\nkey id    {}\n",
        file.display(),
        public.display(),
        key.public().id()
    ))
}

/// A key of either kind: the public half, and whether the file holds the private one.
fn read_any(file: &Path) -> Result<(PublicKey, bool), Report> {
    match key::read_private(file) {
        Ok(private) => Ok((private.public(), true)),
        // Only the kind of the file decides which half it is read as.
        Err(report) => match key::read_public(file) {
            Ok(public) => Ok((public, false)),
            Err(other) if report.because.iter().any(|line| line.contains("`PUBLIC KEY`")) => Err(other),
            Err(_) => Err(report),
        },
    }
}

fn show(file: &Path, as_json: bool) -> Result<String, Report> {
    let (public, private) = read_any(file)?;
    let pem = public.to_pem().map_err(|error| error.report(&file.display().to_string()))?;
    if as_json {
        let result = json!({ "schema": 1, "id": public.id().to_string(), "private": private, "public": pem });
        return Ok(format!("{result}\n"));
    }
    let kind = if private { "private (keep it secret)" } else { "public" };
    Ok(format!("kind      {kind}, Ed25519\nkey id    {}\n\n{pem}", public.id()))
}

fn trust(arguments: &Trust) -> Result<String, Report> {
    let file = &arguments.file;
    let (public, private) = read_any(file)?;
    if private {
        return Err(KeyError::Kind { found: "PRIVATE KEY".to_owned(), expected: "PUBLIC KEY" }
            .report(&file.display().to_string()));
    }
    let store = match &arguments.trust {
        Some(folder) => folder.clone(),
        None => UserFolder::of(&Surroundings::of_process())?.trusted(),
    };
    let path = store.join(format!("{}.pem", public.id()));
    if path.exists() {
        return Ok(format!("trusted already: {}\n", path.display()));
    }
    trust::write_public(&path, &public)?;
    Ok(format!("trusted   {}\nkey id    {}\n", path.display(), public.id()))
}
