//! `wadoo key`: make, show and trust keys.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use wadoo_signing::key::{self, KeyError, PublicKey, SigningKey};
use wadoo_signing::ownership::{self, OwnershipError};
use wadoo_signing::report::{Exit, Report, shell};
use wadoo_signing::trust::{self, Surroundings, TrustPlace};

use super::{Outcome, json_line, print_data};

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
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
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
    /// The trust store; without it, the one that this user's launcher reads.
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Command) -> Outcome {
    let text = match command {
        Command::New(arguments) => new(&arguments.file, arguments.json),
        Command::Show(arguments) => show(&arguments.file, arguments.json),
        Command::Trust(arguments) => trust(arguments),
    };
    print_data(&text.map_err(|report| vec![report])?)?;
    Ok(Exit::Done)
}

fn new(file: &Path, as_json: bool) -> Result<String, Report> {
    let key = SigningKey::generate().map_err(|error| error.report(&file.display().to_string()))?;
    let public = file.with_extension("pub.pem");
    // Both names before either file: half a pair beside another key's half would be worse than none.
    for path in [file, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(Report::new(Exit::CouldNot, format!("cannot write the key `{}`", path.display()))
                .because("the file is there already, and a key is never replaced")
                .hint("name another file, or move that one away"));
        }
    }
    trust::write_private(file, &key)?;
    trust::write_public(&public, &key.public())?;
    if as_json {
        let id = key.public().id().to_string();
        return Ok(json_line(json!({ "id": id, "private": file, "public": public })));
    }
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
        return Ok(json_line(json!({ "id": public.id().to_string(), "private": private, "public": pem })));
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
    // Where the launcher of this user would look, by its own rules: a key anywhere else would be of no use.
    let place = TrustPlace::resolve(arguments.trust.as_deref(), &Surroundings::of_process())?;
    let store = place.folder();
    if store.exists() {
        ownership::check_folder(store).map_err(|error| unusable(store, &error))?;
    }
    let path = store.join(format!("{}.pem", public.id()));
    let already = path.exists();
    if already && key::read_public(&path)? != public {
        return Err(Report::new(Exit::CouldNot, format!("cannot trust `{}`", file.display()))
            .because(format!("`{}` has its name and holds another key", path.display()))
            .hint(format!("remove it: `rm {}`", shell(&path))));
    }
    if !already {
        trust::write_public(&path, &public)?;
    }
    if arguments.json {
        return Ok(json_line(json!({ "id": public.id().to_string(), "path": path, "already": already })));
    }
    let word = if already { "trusted already:" } else { "trusted  " };
    Ok(format!("{word} {}\nkey id    {}\n", path.display(), public.id()))
}

fn unusable(store: &Path, error: &OwnershipError) -> Report {
    let report =
        Report::new(Exit::NotTrusted, format!("the trust store `{}` cannot be used", store.display()))
            .because(error.to_string());
    match error.hint(store) {
        Some(hint) => report.hint(hint),
        None => report,
    }
}
