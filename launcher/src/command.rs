//! Runs a command (`wasi:cli/run`, 0.2 or 0.3) once, from start to exit code.
//!
//! The command gets its arguments, this process's stdin, stdout and stderr, and otherwise what its `Reach` has.
//! Time and memory are limited as for requests.

use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;
use wadoo_host::Host;
use wadoo_signing::manifest::{Manifest, Trigger};
use wadoo_signing::report::{Exit, Report};
use wasmtime::component::{Accessor, Component, InstancePre};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::{Command as Command02, CommandPre as Command02Pre};
use wasmtime_wasi::p3::bindings::{Command as Command03, CommandIndices as Command03Indices};
use wasmtime_wasi::{I32Exit, WasiCtx};

use crate::app::{StartError, check_memory};
use crate::guest::Failure;
use crate::lines::SourceLines;
use crate::linker::{self, LinkError};
use crate::problem::seconds;
use crate::quota::Quota;
use crate::reach::Reach;
use crate::ticker::Ticker;

/// A command, linked and ready to run. The name that it sees as its first argument is the application's.
pub struct Command {
    manifest: Manifest,
    engine: Engine,
    entry: Entry,
    lines: SourceLines,
}

enum Entry {
    Run02(Command02Pre<Host>),
    Run03(InstancePre<Host>),
}

/// Why a command did not come to its own end.
#[derive(Debug, Error)]
pub enum RunError {
    /// The system has no thread to spare for the epoch ticker, and without it no guest may run.
    #[error("no thread for the epoch ticker")]
    Ticker(#[source] std::io::Error),
    /// It trapped, or could not be instantiated.
    #[error("the command failed")]
    Failed {
        /// The application.
        app: String,
        /// The trap's name.
        because: String,
    },
    /// It ran longer than its manifest allows.
    #[error("the command ran out of time")]
    TimedOut {
        /// The application.
        app: String,
        /// `limits.timeout`.
        limit: Duration,
    },
}

impl From<RunError> for Report {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Ticker(error) => StartError::Ticker(error).into(),
            RunError::Failed { app, because } => {
                Self::new(Exit::CouldNot, format!("`{app}` failed")).because(because)
            }
            RunError::TimedOut { app, limit } => {
                Self::new(Exit::CouldNot, format!("stopped `{app}`: it ran longer than {}", seconds(limit)))
                    .hint("raise `timeout` under `[limits]` in the recipe and compose again")
            }
        }
    }
}

impl Command {
    /// Links `component` as `manifest` says. `engine` is what it was loaded with.
    ///
    /// # Errors
    ///
    /// When the component does not fit its manifest or this launcher.
    pub fn new(engine: Engine, component: &Component, manifest: Manifest) -> Result<Self, StartError> {
        check_memory(component, &manifest)?;
        let linker = linker::link(&engine, component, &manifest)?;
        let pre = linker.instantiate_pre(component).map_err(|error| linker::mismatch(&manifest, &error))?;
        let missing = |expected| LinkError::NoTrigger { app: manifest.app.name.clone(), expected };
        let entry = match manifest.trigger {
            Trigger::Command02 => {
                Command02Pre::new(pre).map(Entry::Run02).map_err(|_| missing("wasi:cli/run@0.2"))?
            }
            Trigger::Command03 => {
                // Only asked whether it is there; the instance looks it up again.
                Command03Indices::new(&pre).map_err(|_| missing("wasi:cli/run@0.3"))?;
                Entry::Run03(pre)
            }
            Trigger::Http02 | Trigger::Http03 => return Err(missing("wasi:cli/run@0.3").into()),
        };
        Ok(Self { manifest, engine, entry, lines: SourceLines::default() })
    }

    /// Tells a trap with the source lines of its artifact.
    pub fn with_lines(self, lines: SourceLines) -> Self {
        Self { lines, ..self }
    }

    /// Runs the command with `arguments` (without its name) within `reach`, which is of its manifest, and returns
    /// its exit code.
    ///
    /// # Errors
    ///
    /// When it traps or runs out of time, or there is no thread for the epoch ticker. Its own failure is an exit
    /// code, not an error.
    pub async fn run(&self, arguments: &[String], reach: &Reach) -> Result<u8, RunError> {
        let ticker = Ticker::start(&self.engine).map_err(RunError::Ticker)?;
        let _running = ticker.run();
        let mut store = self.store(arguments, reach);
        let quota = Quota::of(&self.manifest.limits);
        let enter = self.enter(&mut store);
        let run = async {
            match quota {
                None => enter.await,
                Some(quota) => quota.meter(enter).await,
            }
        };
        let result = match self.manifest.limits.timeout_ms.map(Duration::from_millis) {
            Some(limit) => timeout(limit, run)
                .await
                .map_err(|_| RunError::TimedOut { app: self.manifest.app.name.clone(), limit })?,
            None => run.await,
        };
        match result {
            Ok(Ok(())) => Ok(0),
            Ok(Err(())) => Ok(1),
            Err(error) => match error.downcast_ref() {
                // What a shell sees of a greater number is its last byte; 0 must stay the only success.
                Some(I32Exit(status)) => Ok(u8::try_from(*status).unwrap_or(u8::MAX)),
                None => Err(RunError::Failed {
                    app: self.manifest.app.name.clone(),
                    because: Failure::of(&error).within(&self.manifest, &self.lines).to_string(),
                }),
            },
        }
    }

    async fn enter(&self, store: &mut Store<Host>) -> wasmtime::Result<Result<(), ()>> {
        match &self.entry {
            Entry::Run02(pre) => {
                let command: Command02 = pre.instantiate_async(&mut *store).await?;
                command.wasi_cli_run().call_run(&mut *store).await
            }
            Entry::Run03(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                let command = Command03::new(&mut *store, &instance)?;
                store
                    .run_concurrent(async |accessor: &Accessor<Host>| {
                        command.wasi_cli_run().call_run(accessor).await
                    })
                    .await?
            }
        }
    }

    fn store(&self, arguments: &[String], reach: &Reach) -> Store<Host> {
        let mut wasi = WasiCtx::builder();
        let name = std::iter::once(self.manifest.app.name.clone());
        let arguments: Vec<String> = name.chain(arguments.iter().cloned()).collect();
        reach.store(wasi.inherit_stdio(), &arguments, &self.manifest, &self.engine)
    }
}
