//! `wadoo verify`: everything about an artifact that a signature stands for, by the launcher's own reader.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use serde_json::json;
use wadoo_launcher::compat;
use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::trusting::Trusting;
use wadoo_signing::report::{Exit, Report};

use super::{Outcome, json_line, print_data};

/// The options of `wadoo verify`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The artifact, or a folder in the split form.
    #[arg(value_name = "ARTIFACT")]
    artifact: PathBuf,
    /// The trust store; without it, `$WADOO_TRUST`, then `/etc/wadoo/trusted.d`, then this user's.
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let text = verify(arguments).map_err(|report| vec![report])?;
    print_data(&text)?;
    Ok(Exit::Done)
}

fn verify(arguments: &Arguments) -> Result<String, Report> {
    let artifact = UnverifiedArtifact::open(&arguments.artifact, &OpenOptions::default())?;
    let trusting = Trusting::of_process(arguments.trust.as_deref())?;
    let artifact = artifact.authenticate(&trusting.store, &trusting.policy, SystemTime::now())?;
    let artifact = artifact.hash()?;
    artifact.check_all_digests()?;
    let manifest = artifact.manifest();
    let runs_here = compat::check(manifest);
    let signers: Vec<String> = artifact.signers().iter().map(ToString::to_string).collect();
    if arguments.json {
        return Ok(json_line(json!({
            "identity": artifact.identity(),
            "signers": signers,
            "development": manifest.development,
            "runsHere": runs_here.is_ok(),
            "manifest": manifest,
        })));
    }
    let kind = if manifest.development { " (development key)" } else { "" };
    let mut text = format!("verified      {} {}\n", manifest.app.name, manifest.app.version);
    text.push_str(&format!("identity      {}\n", artifact.identity()));
    for signer in signers {
        text.push_str(&format!("signed by     {signer}{kind}\n"));
    }
    text.push_str("digests       sha256, blake3 and fs-verity hold\n");
    for attachment in &manifest.attachments {
        text.push_str(&format!("attached      {}: sha256 holds\n", attachment.title()));
    }
    text.push_str(&match runs_here {
        Ok(()) => "here          this machine can run it\n".to_owned(),
        Err(reason) => format!("here          this machine cannot run it: {reason}\n"),
    });
    Ok(text)
}
