//! `wadoo dev`: compose, sign with the development key, verify, serve, and swap when an input changes.
//!
//! Everything runs through the same library functions as `wadoo compose` and `launcher`: what is served here
//! is a signed artifact that was opened, verified and loaded as a device would. A change that does not compose
//! is reported, and the running application is kept.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use tokio::sync::watch;
use wadoo_launcher::app::App;
use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::server::{Bound, Phase, Server};
use wadoo_launcher::signals;
use wadoo_launcher::{engine, load};
use wadoo_signing::manifest::{Manifest, Trigger};
use wadoo_signing::policy::Policy;
use wadoo_signing::report::{Exit, Report};
use wadoo_signing::trust::TrustStore;

use super::{Outcome, RecipeArgument, Talk, print_data, print_reports};
use crate::keys::{self, Purpose, Signers};
use crate::watch::Watch;
use crate::{output, pipeline};

/// How long running requests may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// The options of `wadoo dev`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArgument,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
}

/// What one composition gave.
struct Built {
    app: App,
    manifest: Manifest,
    took: Duration,
}

pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| {
        vec![Report::new(Exit::HostResource, "cannot make a temporary folder").because(error.to_string())]
    })?;
    let bound = Bound::bind(arguments.addr).map_err(|error| vec![Report::from(error)])?;
    let mut session = Session { file: arguments.recipe.file(), folder: folder.path().to_owned(), inputs: Vec::new() };
    let built = session.build(talk)?;
    let watch = Watch::start(session.watched())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        vec![Report::new(Exit::HostResource, "cannot start the server").because(error.to_string())]
    })?;
    runtime.block_on(serve(bound, built, session, watch, talk))
}

async fn serve(bound: Bound, built: Built, session: Session, watch: Watch, talk: &Talk) -> Outcome {
    let listener = bound.listen().map_err(|error| vec![Report::from(error)])?;
    let Manifest { app, .. } = &built.manifest;
    let ready = format!(
        "serving {} {} on http://{} (development key, composed in {} ms)\n",
        app.name,
        app.version,
        listener.address(),
        built.took.as_millis()
    );
    let server = Server::new(listener, built.app, DRAIN);
    let switch = server.switch();
    let (sender, phase) = watch::channel(Phase::Serving);
    signals::drain_then_stop(sender)?;
    print_data(&ready)?;
    let quiet = talk.clone();
    // Composing takes a core for a while: on a thread of its own, requests are answered meanwhile.
    std::thread::spawn(move || follow(session, watch, &quiet, |built| drop(switch.swap(built))));
    server.run(phase).await;
    Ok(Exit::Done)
}
