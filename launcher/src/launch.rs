//! From a file to a running application: the order of things at the start, and what is said about it.
//!
//! Invariant: what can be refused is refused before a client is heard. The address is taken early, so that
//! a wrong one is told at once; it is listened on when only an exhausted system could still refuse.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

use wadoo_launcher::activation::{self, Inherited};
use wadoo_launcher::app::{LinkedApp, MAX_WAITING};
use wadoo_launcher::authorities::Authorities;
use wadoo_launcher::command::Command;
use wadoo_launcher::engine::{self, Serving};
use wadoo_launcher::files::CarriedFiles;
use wadoo_launcher::limits::{self, Caps};
use wadoo_launcher::lines::SourceLines;
use wadoo_launcher::listen::{Address, Bound, DEFAULT_ADDRESS};
use wadoo_launcher::log::{Event, Kind, Ready};
use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::place::Why;
use wadoo_launcher::reach::Reach;
use wadoo_launcher::server::{self, Door, Drained, Server};
use wadoo_launcher::tls::Tls;
use wadoo_launcher::trusting::Trusting;
use wadoo_launcher::verify::{AuthenticArtifact, VerifiedArtifact};
use wadoo_launcher::{compat, load, log, pool};
use wadoo_signing::manifest::{Manifest, Trigger};
use wadoo_signing::report::{Exit, Report};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cli::Options;
use crate::timings::{Step, Timings};

/// Checks that the artifact could be run here, and says what it is.
pub(crate) fn check(options: &Options, mut timings: Timings) -> Result<u8, Report> {
    let authentic = authenticate(options, &mut timings)?;
    let why = authentic.why();
    let loaded = Loaded::from(authentic, &options.caps, with_pool, &mut timings)?;
    let (verified, manifest) = (&loaded.verified, &loaded.manifest);
    if let Some(lines) = verified.lines() {
        lines.read()?;
    }
    let mut text = format!("{} {}: can be run here\n", manifest.app.name, manifest.app.version);
    text += &format!("  identity   {}\n", verified.identity());
    let signers: Vec<_> = verified.signers().iter().map(ToString::to_string).collect();
    let development = if manifest.development { " (development key)" } else { "" };
    text += &format!("  signed by  {}{development}\n", signers.join(", "));
    text += &format!("  payload    {why}\n");
    for (import, grant) in &manifest.grants {
        text += &format!("  grant      {import}: {grant}\n");
    }
    for (seen, folder) in &options.mounts {
        let narrowed = if folder.read_only { " (read-only)" } else { "" };
        text += &format!("  mount      {seen} = {}{narrowed}\n", folder.path.display());
    }
    if let Some(file) = &options.authorities {
        text += &format!("  authority  {}\n", file.display());
    }
    drop(loaded.reach(options)?);
    match manifest.trigger {
        Trigger::Http02 | Trigger::Http03 => drop(loaded.app()?),
        Trigger::Command02 | Trigger::Command03 => drop(loaded.command()?),
    }
    timings.end(Step::Link);
    print(&text)?;
    tell(options, &timings);
    Ok(Exit::Done as u8)
}

/// Runs the artifact to its end, which for a server is a signal.
pub(crate) fn run(options: &Options, arguments: &[String], mut timings: Timings) -> Result<u8, Report> {
    let authentic = authenticate(options, &mut timings)?;
    match authentic.manifest().trigger {
        Trigger::Http02 | Trigger::Http03 => {
            if let Some(first) = arguments.first() {
                let app = &authentic.manifest().app.name;
                return Err(Report::new(
                    Exit::Usage,
                    format!("`{app}` is a server and takes no argument `{first}`"),
                )
                .hint("`launcher --help` shows the launcher's own options"));
            }
            let entrance = Entrance::take(options)?;
            timings.end(Step::Bind);
            let loaded = Loaded::from(authentic, &options.caps, engine::unpooled, &mut timings)?;
            serve(options, entrance, loaded, timings)
        }
        Trigger::Command02 | Trigger::Command03 => {
            if let Some(name) = options.server_limit {
                let app = &authentic.manifest().app.name;
                return Err(Report::new(
                    Exit::Usage,
                    format!("`{app}` is a command and has no limit `{name}`"),
                )
                .hint(format!("the limits of a command are {}", limits::OF_COMMANDS.join(", "))));
            }
            let loaded = Loaded::from(authentic, &options.caps, engine::unpooled, &mut timings)?;
            let (reach, carried) = loaded.reach(options)?;
            let command = loaded.command()?;
            timings.end(Step::Link);
            tell(options, &timings);
            let ended = block_on(command.run(arguments, &reach));
            carried.remove();
            Ok(ended??)
        }
    }
}

fn serve(options: &Options, entrance: Entrance, loaded: Loaded, mut timings: Timings) -> Result<u8, Report> {
    let (reach, carried) = loaded.reach(options)?;
    let app = loaded.app()?.with_queue(options.caps.queue().unwrap_or(MAX_WAITING));
    timings.end(Step::Link);
    let drained = block_on(async {
        // Before anybody can connect, so that no signal meets the default action.
        let phase = server::signals().map_err(|error| no_resource("watch for signals", &error))?;
        let doors = entrance.open()?;
        // While the first client connects: a thread, which only an exhausted system refuses.
        let mut app = app.start(reach)?;
        app.tell_first_instance(options.timings);
        timings.end(Step::Listen);
        let ready = ready(&loaded.manifest, &doors, &timings);
        let server = Server::new(doors, app, options.connection.clone(), options.drain)
            .with_threads(options.threads)
            .with_log_rate(options.caps.log_rate().unwrap_or(log::LOG_RATE));
        print(&Event::ready(&ready).line())?;
        tell(options, &timings);
        let (verified, manifest) = (loaded.verified, loaded.manifest);
        tokio::spawn(pool::follow(verified, manifest, server.switch(), options.timings));
        Ok::<_, Report>(server.run(phase).await)
    });
    carried.remove();
    let drained = drained??;
    let exit = match drained {
        Drained::Clean => Exit::Done,
        Drained::Cut(left) => {
            log::write(Kind::Cut, format_args!("stopped with {left} requests and connections unfinished"));
            Exit::CouldNot
        }
    };
    log::flush(log::FLUSH_TIME);
    Ok(exit as u8)
}

/// The addresses that are taken and not listened on yet, and what clients meet there.
struct Entrance {
    plain: Vec<Bound>,
    secure: Vec<Bound>,
    tls: Option<Arc<Tls>>,
}

impl Entrance {
    /// Takes everything that the command line names and the service manager handed over, or else the default.
    fn take(options: &Options) -> Result<Self, Report> {
        let (mut plain, mut secure) = (Vec::new(), Vec::new());
        for Inherited { bound, tls } in activation::take()? {
            if tls { &mut secure } else { &mut plain }.push(bound);
        }
        for address in &options.addresses {
            plain.push(Bound::bind(address.clone())?);
        }
        for address in &options.tls_addresses {
            secure.push(Bound::bind(*address)?);
        }
        if plain.is_empty() && secure.is_empty() {
            plain.push(Bound::bind(DEFAULT_ADDRESS)?);
        }
        let tls = match &options.tls {
            Some(files) if !secure.is_empty() => Some(Arc::new(Tls::load(files.clone())?)),
            Some(_) => {
                return Err(usage("`--tls-cert` is given, and nothing is served with TLS", "--tls-addr"));
            }
            None if secure.is_empty() => None,
            None => {
                return Err(usage(
                    "a socket named `tls` was handed over without a certificate",
                    "--tls-cert",
                ));
            }
        };
        Ok(Self { plain, secure, tls })
    }

    /// Starts to listen. Must be called within a tokio runtime.
    fn open(self) -> Result<Vec<Door>, Report> {
        let Self { plain, secure, tls } = self;
        if let Some(tls) = &tls {
            let follow = tls.follow_hangups().map_err(|error| no_resource("watch for signals", &error))?;
            tokio::spawn(follow);
        }
        let mut doors = Vec::with_capacity(plain.len() + secure.len());
        for bound in plain {
            doors.push(Door { listener: bound.listen()?, tls: None });
        }
        for bound in secure {
            doors.push(Door { listener: bound.listen()?, tls: tls.clone() });
        }
        Ok(doors)
    }
}

fn usage(what: &str, missing: &str) -> Report {
    Report::new(Exit::Usage, what).hint(format!("add `{missing}`; `launcher --help` shows what can be asked"))
}

/// What clients connect to: `http://127.0.0.1:8080`, `https://0.0.0.0:443`, `unix:/run/shop.sock`.
fn address(door: &Door) -> String {
    match (door.listener.address(), &door.tls) {
        (Address::Tcp(address), None) => format!("http://{address}"),
        (Address::Tcp(address), Some(_)) => format!("https://{address}"),
        (unix, None) => unix.to_string(),
        (unix, Some(_)) => format!("{unix} (TLS)"),
    }
}

/// Everything that must hold before a byte of the payload is read: trust, policy, framing, signature, and
/// that this machine is the one that the payload was compiled for.
fn authenticate(options: &Options, timings: &mut Timings) -> Result<AuthenticArtifact, Report> {
    timings.end(Step::Arguments);
    // The file first: a wrong name is told as such, whatever the trust store.
    let open = OpenOptions { map_in_place: options.map_in_place };
    let unverified = UnverifiedArtifact::open(&options.artifact, &open)?;
    timings.end(Step::Open);
    let Trusting { store, policy } = Trusting::of_process(options.trust.as_deref())?;
    timings.end(Step::Trust);
    let authentic = unverified.authenticate(&store, &policy, SystemTime::now())?;
    compat::check(authentic.manifest())
        .map_err(|incompatible| incompatible.report(&options.artifact.display().to_string()))?;
    if authentic.why() == Why::Asked {
        let message = format_args!("running `{}` {}", options.artifact.display(), authentic.why());
        log::write(Kind::InPlace, message);
    }
    timings.end(Step::Signature);
    Ok(authentic)
}

/// A verified payload, mapped into the engine that will run it.
struct Loaded {
    engine: Engine,
    component: Component,
    verified: VerifiedArtifact,
    /// The artifact's, its limits narrowed by the operator.
    manifest: Manifest,
}

impl Loaded {
    /// Hashes the payload, and loads it into the engine that `make` makes.
    fn from(
        authentic: AuthenticArtifact,
        caps: &Caps,
        make: impl FnOnce(&Manifest) -> wasmtime::Result<Engine>,
        timings: &mut Timings,
    ) -> Result<Self, Report> {
        let verified = authentic.hash()?;
        timings.end(Step::Hash);
        let mut manifest = verified.manifest().clone();
        caps.narrow(&mut manifest.limits, &mut manifest.reuse);
        let engine = make(&manifest).map_err(|error| {
            Report::new(Exit::HostResource, "cannot set up the engine")
                .because(error.root_cause().to_string())
                .hint("raise the limit on address space, 4 GiB for each memory: `ulimit -v unlimited`")
        })?;
        timings.end(Step::Engine);
        let component = load::load(&engine, &verified)?;
        timings.end(Step::Load);
        Ok(Self { engine, component, verified, manifest })
    }

    /// What it reaches, and its files, which whoever ends the process removes.
    fn reach(&self, options: &Options) -> Result<(Reach, Arc<CarriedFiles>), Report> {
        let authorities = options.authorities.as_deref().map(Authorities::load).transpose()?;
        let carried = Arc::new(CarriedFiles::unpack(&self.verified)?);
        let reach = Reach::of(&self.manifest, &options.mounts, Arc::clone(&carried), authorities.as_ref())?;
        Ok((reach, carried))
    }

    fn app(&self) -> Result<LinkedApp, Report> {
        let app = LinkedApp::new(self.engine.clone(), &self.component, self.manifest.clone())?;
        Ok(app.with_lines(SourceLines::of(&self.verified)))
    }

    fn command(&self) -> Result<Command, Report> {
        let command = Command::new(self.engine.clone(), &self.component, self.manifest.clone())?;
        Ok(command.with_lines(SourceLines::of(&self.verified)))
    }
}

/// An engine as a server has it in the end, with its pool.
fn with_pool(manifest: &Manifest) -> wasmtime::Result<Engine> {
    let Serving { engine, unpooled } = engine::serving(manifest)?;
    if let Some(because) = unpooled {
        pool::not_pooled(&because);
    }
    Ok(engine)
}

/// The line that tells that the application can answer.
fn ready(manifest: &Manifest, doors: &[Door], timings: &Timings) -> Ready {
    Ready {
        app: manifest.app.name.clone(),
        version: manifest.app.version.clone(),
        addresses: doors.iter().map(address).collect(),
        verify: timings.of(&[Step::Signature, Step::Hash]),
        load: timings.of(&[Step::Load, Step::Link]),
        ready: timings.total(),
        development: manifest.development,
    }
}

/// What `--timings` asks for.
fn tell(options: &Options, timings: &Timings) {
    if options.timings {
        log::write(Kind::Timing, format_args!("start: {timings}"));
    }
}

/// Runs `future` on a runtime of its own. A name that is being looked up, or a read of stdin, that nobody waits
/// for any more does not keep the process.
fn block_on<F: Future>(future: F) -> Result<F::Output, Report> {
    let runtime = server::runtime().map_err(|error| no_resource("start", &error))?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

fn no_resource(what: &str, error: &io::Error) -> Report {
    Report::new(Exit::HostResource, format!("cannot {what}"))
        .because(error.to_string())
        .hint("raise the limit on open files: `ulimit -n`")
}

/// Writes data to stdout. Nobody reading it is no reason not to serve.
fn print(text: &str) -> Result<(), Report> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            Err(Report::new(Exit::HostResource, "cannot write to stdout").because(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocking_call_that_hangs_does_not_keep_the_process() {
        let (begun, begins) = std::sync::mpsc::channel();
        let result: Result<Result<(), Report>, Report> = block_on(async {
            tokio::task::spawn_blocking(move || {
                begun.send(()).expect("the test waits");
                loop {
                    std::thread::park();
                }
            });
            begins.recv().expect("the call begins");
            Err(Report::new(Exit::HostResource, "early"))
        });
        assert!(result.expect("a runtime").is_err());
    }
}
