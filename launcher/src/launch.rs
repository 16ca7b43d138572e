//! From a file to a running application: the order of things at the start, and what is said about it.
//!
//! Invariant: what can be refused is refused before a client is heard. The address is taken early, so that
//! a wrong one is told at once; it is listened on last.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use wadoo_launcher::app::App;
use wadoo_launcher::command::Command;
use wadoo_launcher::engine::{self, Serving};
use wadoo_launcher::open::{OpenOptions, UnverifiedArtifact};
use wadoo_launcher::place::Why;
use wadoo_launcher::server::{self, Bound, Drained, Server};
use wadoo_launcher::trusting::Trusting;
use wadoo_launcher::verify::AuthenticArtifact;
use wadoo_launcher::{compat, load, log};
use wadoo_signing::manifest::{Grant, Manifest, Trigger};
use wadoo_signing::report::{Exit, Report};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cli::Options;

/// Checks that the artifact could be run here, and says what it is.
pub(crate) fn check(options: &Options) -> Result<u8, Report> {
    let authentic = authenticate(options)?;
    let why = authentic.why();
    let loaded = Loaded::from(authentic)?;
    let mut text = format!("{} {}: can be run here\n", loaded.manifest.app.name, loaded.manifest.app.version);
    text += &format!("  identity   {}\n", loaded.identity);
    text += &format!("  signed by  {}\n", loaded.signers);
    text += &format!("  payload    {why}\n");
    for (import, grant) in &loaded.manifest.grants {
        text += &format!("  grant      {import}: {}\n", values(grant));
    }
    match loaded.manifest.trigger {
        Trigger::Http02 | Trigger::Http03 => drop(loaded.app()?),
        Trigger::Command02 | Trigger::Command03 => drop(loaded.command()?),
    }
    print(&text)?;
    Ok(Exit::Done as u8)
}

/// Runs the artifact to its end, which for a server is a signal.
pub(crate) fn run(options: &Options, arguments: &[String], start: Instant) -> Result<u8, Report> {
    let authentic = authenticate(options)?;
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
            let bound = Bound::bind(options.address)?;
            serve(bound, Loaded::from(authentic)?, options.drain, start)
        }
        Trigger::Command02 | Trigger::Command03 => {
            let command = Loaded::from(authentic)?.command()?;
            Ok(block_on(command.run(arguments))??)
        }
    }
}

fn serve(bound: Bound, loaded: Loaded, drain: Duration, start: Instant) -> Result<u8, Report> {
    let (verify, loading) = (loaded.verify, Instant::now());
    let (load, development) = (loaded.load, loaded.manifest.development);
    let title = format!("{} {}", loaded.manifest.app.name, loaded.manifest.app.version);
    let app = loaded.app()?;
    let load = load + loading.elapsed();
    let drained = block_on(async {
        // Before anybody is told that the server is ready, so that no signal meets the default action.
        let phase = server::signals().map_err(|error| no_resource("watch for signals", &error))?;
        let listener = bound.listen()?;
        let ready = Ready { title, address: listener.address(), verify, load, start, development };
        let server = Server::new(listener, app, drain);
        print(&ready.line())?;
        Ok::<_, Report>(server.run(phase).await)
    })??;
    let exit = match drained {
        Drained::Clean => Exit::Done,
        Drained::Cut(left) => {
            log::write(format_args!("stopped with {left} requests and connections unfinished"));
            Exit::CouldNot
        }
    };
    log::flush(log::FLUSH_TIME);
    Ok(exit as u8)
}

/// Everything that must hold before a byte of the payload is read: trust, policy, framing, signature, and
/// that this machine is the one that the payload was compiled for.
fn authenticate(options: &Options) -> Result<AuthenticArtifact, Report> {
    // The file first: a wrong name is told as such, whatever the trust store.
    let open = OpenOptions { map_in_place: options.map_in_place };
    let unverified = UnverifiedArtifact::open(&options.artifact, &open)?;
    let Trusting { store, policy } = Trusting::of_process(options.trust.as_deref())?;
    let authentic = unverified.authenticate(&store, &policy, SystemTime::now())?;
    compat::check(authentic.manifest())
        .map_err(|incompatible| incompatible.report(&options.artifact.display().to_string()))?;
    if authentic.why() == Why::Asked {
        log::write(format_args!("running `{}` {}", options.artifact.display(), authentic.why()));
    }
    Ok(authentic)
}

/// A verified payload, mapped into the engine that will run it.
struct Loaded {
    engine: Engine,
    component: Component,
    manifest: Manifest,
    identity: String,
    signers: String,
    verify: Duration,
    load: Duration,
}

impl Loaded {
    /// Hashes the payload while another thread makes the engine, then loads it.
    fn from(authentic: AuthenticArtifact) -> Result<Self, Report> {
        let begin = Instant::now();
        let manifest = authentic.manifest().clone();
        let (verified, serving) = thread::scope(|scope| {
            let engine = scope.spawn(|| engine::serving(&manifest));
            let verified = authentic.hash();
            let verify = begin.elapsed();
            let engine = engine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (verified.map(|verified| (verified, verify)), engine)
        });
        let (verified, verify) = verified?;
        let Serving { engine, unpooled } = serving.map_err(|error| {
            Report::new(Exit::HostResource, "cannot set up the engine")
                .because(error.root_cause().to_string())
                .hint("raise the limit on address space, 4 GiB for each memory: `ulimit -v unlimited`")
        })?;
        if let Some(because) = unpooled {
            log::write(format_args!("instances are not pooled, which is slower: {because}"));
        }
        let loading = Instant::now();
        let component = load::load(&engine, &verified)?;
        let signers: Vec<_> = verified.signers().iter().map(ToString::to_string).collect();
        Ok(Self {
            engine,
            component,
            identity: verified.identity().to_string(),
            signers: signers.join(", "),
            manifest,
            verify,
            load: loading.elapsed(),
        })
    }

    fn app(self) -> Result<App, Report> {
        Ok(App::new(self.engine, &self.component, self.manifest)?)
    }

    fn command(self) -> Result<Command, Report> {
        Ok(Command::new(self.engine, &self.component, self.manifest)?)
    }
}

/// What the ready line tells.
struct Ready {
    title: String,
    address: SocketAddr,
    verify: Duration,
    load: Duration,
    start: Instant,
    development: bool,
}

impl Ready {
    fn line(&self) -> String {
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        format!(
            "serving {} on http://{} (verify {:.1} ms, load {:.1} ms, ready {:.1} ms{})\n",
            self.title,
            self.address,
            millis(self.verify),
            millis(self.load),
            millis(self.start.elapsed()),
            if self.development { ", development key" } else { "" },
        )
    }
}

/// The values of a grant as an operator reads them.
fn values(grant: &Grant) -> String {
    let values = match grant {
        Grant::OutgoingHttp(outgoing) => &outgoing.hosts,
        Grant::Environment(environment) => &environment.keys,
    };
    values.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
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
                    thread::park();
                }
            });
            begins.recv().expect("the call begins");
            Err(Report::new(Exit::HostResource, "early"))
        });
        assert!(result.expect("a runtime").is_err());
    }
}
