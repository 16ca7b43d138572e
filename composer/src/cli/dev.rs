//! `wadoo dev`: compose, sign with the development key, verify, serve, and swap when an input changes.
//!
//! Everything runs through the same library functions as `wadoo compose` and `launcher`: what is served here
//! is a signed artifact that was opened, verified and loaded as a device would. A change that does not compose
//! is reported, and the running application is kept.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use tokio::runtime::Handle;
use wadoo_launcher::app::{App, LinkedApp};
use wadoo_launcher::authorities::Authorities;
use wadoo_launcher::files::CarriedFiles;
use wadoo_launcher::limits::ConnectionLimits;
use wadoo_launcher::lines::SourceLines;
use wadoo_launcher::listen::Bound;
use wadoo_launcher::mounts::{self, Folder, MountPoint, Mounts};
use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::reach::Reach;
use wadoo_launcher::server::{self, Server, Switch};
use wadoo_launcher::{engine, load, log};
use wadoo_signing::key::SigningKey;
use wadoo_signing::manifest::Manifest;
use wadoo_signing::policy::Policy;
use wadoo_signing::report::{Exit, Report, shell};
use wadoo_signing::trust::TrustStore;

use super::{Outcome, RecipeArgument, Talk, print_data, print_reports};
use crate::inputs::Watched;
use crate::interfaces::is_command;
use crate::keys::{self, Signers};
use crate::watch::Watch;
use crate::{inputs, output, pipeline, recipe};

/// How long running requests may take at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// The artifact that is served, in a folder of its own.
const ARTIFACT: &str = "dev.cwasm";

/// The options of `wadoo dev`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArgument,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// Give the application the folder that its recipe mounts at SEEN; `:ro` never lets it write there. Once for
    /// each.
    #[arg(long, value_name = "SEEN=FOLDER[:ro]", value_parser = OsStringValueParser::new().try_map(mount))]
    mount: Vec<(MountPoint, Folder)>,
    /// Certificates, in PEM, of authorities that outgoing HTTPS requests believe beside the public ones.
    #[arg(long, value_name = "FILE")]
    egress_ca: Option<PathBuf>,
}

fn mount(text: OsString) -> Result<(MountPoint, Folder), String> {
    mounts::mount_of(&text).ok_or_else(|| format!("expected {}", mounts::MOUNT_SYNTAX))
}

pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| {
        vec![
            Report::new(Exit::HostResource, "cannot make a temporary folder")
                .because(error.to_string())
                .hint("set `TMPDIR` to a folder that you may write"),
        ]
    })?;
    // The address first: whether it is free is known at once, composing takes a while.
    let bound = Bound::bind(arguments.addr).map_err(|error| vec![Report::from(error)])?;
    let mut mounts = Mounts::new();
    for (seen, folder) in &arguments.mount {
        if mounts.insert(seen.clone(), folder.clone()).is_some() {
            return Err(vec![Report::new(Exit::Usage, format!("`--mount` is given twice for `{seen}`"))]);
        }
    }
    let authorities = arguments.egress_ca.as_deref().map(Authorities::load).transpose();
    let authorities = authorities.map_err(|error| vec![Report::from(error)])?;
    let session = Session::start(arguments.recipe.file(), folder.path(), (mounts, authorities), talk)?;
    // Watched before it is composed, so that no change between the two is missed; told after, because what is
    // wrong with the recipe explains itself better.
    let watch = Watch::start(&session.inputs());
    let built = session.build()?;
    let watch = watch.map_err(|report| vec![report])?;
    let runtime = server::runtime().map_err(|error| no_resource("start", &error))?;
    runtime.block_on(async {
        let phase = server::signals().map_err(|error| no_resource("watch for signals", &error))?;
        let listener = bound.listen().map_err(|error| vec![Report::from(error)])?;
        let ready = format!(
            "serving {} on http://{} (development key, composed in {} ms)\n",
            built.title(),
            listener.address(),
            built.took.as_millis()
        );
        let server = Server::new(vec![listener.into()], built.app, ConnectionLimits::default(), DRAIN);
        let switch = server.switch();
        switch.current().warm_up();
        print_data(&ready)?;
        // Composing takes a core for a while: on a thread of its own, requests are answered meanwhile. The
        // thread ends with the process.
        let runtime = Handle::current();
        std::thread::spawn(move || {
            let _entered = runtime.enter();
            session.follow(watch, &switch);
        });
        server.run(phase).await;
        log::flush(log::FLUSH_TIME);
        Ok(Exit::Done)
    })
}

/// One composition, verified and ready to answer.
struct Built {
    app: App,
    manifest: Manifest,
    took: Duration,
}

impl Built {
    fn title(&self) -> String {
        format!("{} {}", self.manifest.app.name, self.manifest.app.version)
    }
}

/// What stays the same from one composition to the next.
struct Session {
    recipe: PathBuf,
    folder: PathBuf,
    mounts: Mounts,
    authorities: Option<Authorities>,
    signers: Signers,
    talk: Talk,
}

impl Session {
    fn start(
        recipe: PathBuf,
        folder: &Path,
        (mounts, authorities): (Mounts, Option<Authorities>),
        talk: &Talk,
    ) -> Result<Self, Vec<Report>> {
        let signers = keys::development().map_err(|report| vec![report])?;
        if let Some(file) = &signers.made {
            talk.say(&format!("made a development key: {}", file.display()));
        }
        Ok(Self { recipe, folder: folder.to_owned(), mounts, authorities, signers, talk: talk.clone() })
    }

    /// The recipe and all that takes part, as far as it can be read.
    fn inputs(&self) -> Watched {
        inputs::watched(&self.recipe)
    }

    /// The whole line: compose, sign, write, open, verify, load, link.
    fn build(&self) -> Result<Built, Vec<Report>> {
        let begin = Instant::now();
        let composed = pipeline::link(pipeline::plan(inputs::gather(recipe::read(&self.recipe)?), None)?)?;
        if is_command(&composed.linked.trigger) {
            let what = format!("cannot serve `{}`: it is a command", composed.recipe.app.name);
            let hint = format!("compose and run it: `wadoo compose {}`", shell(&self.recipe));
            return Err(vec![Report::new(Exit::CouldNot, what).hint(hint)]);
        }
        let target = crate::target::Target::here(composed.recipe.build.cpu).ok_or_else(|| {
            let what = "cannot serve on this machine: it is no target of this version";
            vec![
                Report::new(Exit::Incompatible, what)
                    .hint("`wadoo compose --target` composes for another machine"),
            ]
        })?;
        self.talk.notes(&composed.lines.notes);
        let artifact = pipeline::build(&composed, &target, &self.signers)?;
        output::write(&self.folder, ARTIFACT, &artifact.bytes)
            .and_then(|path| self.load(&path))
            .map(|(app, manifest)| Built { app, manifest, took: begin.elapsed() })
            .map_err(|report| vec![report])
    }

    /// What the launcher does with an artifact.
    fn load(&self, path: &Path) -> Result<(App, Manifest), Report> {
        let store = TrustStore::of(self.signers.keys.iter().map(SigningKey::public), true);
        let artifact = UnverifiedArtifact::open(path, &OpenOptions::default())?
            .authenticate(&store, &Policy::default(), SystemTime::now())?
            .hash()?;
        let manifest = artifact.manifest().clone();
        wadoo_launcher::compat::check(&manifest).map_err(|error| error.report(&manifest.app.name))?;
        let serving = engine::serving(&manifest).map_err(|error| {
            Report::new(Exit::HostResource, "cannot set up the engine")
                .because(error.root_cause().to_string())
        })?;
        let component = load::load(&serving.engine, &artifact)?;
        // Gone with the session's folder.
        let carried = Arc::new(CarriedFiles::unpack_below(&artifact, &self.folder)?);
        let reach = Reach::of(&manifest, &self.mounts, carried, self.authorities.as_ref())?;
        let app = LinkedApp::new(serving.engine, &component, manifest.clone())?;
        Ok((app.with_lines(SourceLines::of(&artifact)).start(reach)?, manifest))
    }

    /// Composes again whenever an input changed; what does not compose leaves the application as it is.
    fn follow(&self, mut watch: Watch, switch: &Switch) {
        while watch.changed() {
            let line = match self.build() {
                Ok(built) => {
                    let line = format!("swapped in {} ({} ms)\n", built.title(), built.took.as_millis());
                    // Running requests hold on to the old application until they are finished.
                    drop(switch.swap(built.app));
                    switch.current().warm_up();
                    line
                }
                Err(reports) => {
                    print_reports(&reports);
                    "kept the running application: the change does not compose\n".to_owned()
                }
            };
            // A reader of stdout that went away does not end the server.
            let _ = print_data(&line);
            if let Err(report) = watch.follow(&self.inputs()) {
                print_reports(&[report]);
            }
        }
    }
}

fn no_resource(what: &str, error: &std::io::Error) -> Vec<Report> {
    vec![
        Report::new(Exit::HostResource, format!("cannot {what}"))
            .because(error.to_string())
            .hint("raise the limit on open files: `ulimit -n`"),
    ]
}
