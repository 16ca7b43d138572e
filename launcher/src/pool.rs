//! The pool of a server that answers already.
//!
//! A pool takes a quarter of a small application's start: its stacks are guarded one by one, and its tables ask the
//! system for the number of processors six times. The first answer needs none of it, so a server starts with
//! instances allocated on demand, and the same application on a pooled engine takes over a moment later.
//!
//! Invariants: no request is dropped or refused by the change; both engines load the same verified bytes; together
//! they run no more than `limits.concurrency` requests.

use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::sleep;
use wadoo_signing::manifest::Manifest;
use wadoo_signing::report::Report;

use crate::app::LinkedApp;
use crate::server::Switch;
use crate::verify::VerifiedArtifact;
use crate::{engine, load, log};

/// When the pool is made, counted from the moment when the server listens: after the first answer of a client that
/// waits for the server, and long before a load could miss it.
pub const POOL_AFTER: Duration = Duration::from_millis(20);

/// Replaces the application behind `switch`, which `artifact` holds, by itself on a pooled engine. Where that cannot
/// be, it stays as it is, and a line of the log says why. `manifest` is the artifact's, its limits narrowed by the
/// operator.
pub async fn follow(artifact: VerifiedArtifact, manifest: Manifest, switch: Switch, tell: bool) {
    sleep(POOL_AFTER).await;
    // On a thread of its own: where there is a second processor, requests are answered meanwhile.
    let runtime = Handle::current();
    let behind = switch.clone();
    let thread = thread::Builder::new().name("pool".to_owned()).spawn(move || {
        let begin = Instant::now();
        match replace(&artifact, manifest, &switch) {
            Ok(()) if tell => log::line!(Timing: "pool {:.3} ms", begin.elapsed().as_secs_f64() * 1000.0),
            Ok(()) => {}
            Err(because) => not_pooled(&because),
        }
        let _entered = runtime.enter();
        switch.current().warm_up();
    });
    if let Err(error) = thread {
        not_pooled(&error.to_string());
        behind.current().warm_up();
    }
}

/// Says that instances are not pooled.
pub fn not_pooled(because: &str) {
    log::line!(NotPooled: "instances are not pooled, which is slower: {because}");
}

fn replace(artifact: &VerifiedArtifact, manifest: Manifest, switch: &Switch) -> Result<(), String> {
    let reason = |report: Report| report.because.first().cloned().unwrap_or(report.what);
    let engine = engine::pooled(&manifest)?;
    let component = load::load(&engine, artifact).map_err(|error| reason(error.into()))?;
    let linked = LinkedApp::new(engine, &component, manifest);
    let app = linked.and_then(|linked| linked.succeed(&switch.current()));
    switch.swap(app.map_err(|error| reason(error.into()))?);
    Ok(())
}
