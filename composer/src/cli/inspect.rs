//! `wadoo inspect`: what an artifact says of itself, or a component or recipe as text. Believes nothing.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use wadoo_launcher::open::SPLIT_ENVELOPE;
use wadoo_signing::manifest::{Concurrent, Lifetime, Manifest, Reuse};
use wadoo_signing::regular;
use wadoo_signing::report::{Exit, Report, Shown, shell, system_words};
use wadoo_signing::statement::Statement;

use super::compose::size;
use super::{Outcome, json_line, print_data};
use crate::artifact::Parts;
use crate::inputs::{self, MAX_COMPONENT_SIZE};
use crate::{pipeline, recipe};

/// The options of `wadoo inspect`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// An artifact (`.cwasm`), a component (`.wasm`), or a recipe (`.toml`).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the manifest as JSON.
    #[arg(long, conflicts_with = "wat")]
    json: bool,
    /// Print the component, or what the recipe links to, as WebAssembly text.
    #[arg(long)]
    wat: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let file = &arguments.file;
    let recipe = file.is_dir() && !file.join(SPLIT_ENVELOPE).exists();
    let text = if recipe || file.extension().is_some_and(|extension| extension == "toml") {
        inspect_recipe(arguments)?
    } else {
        inspect_file(arguments).map_err(|report| vec![report])?
    };
    print_data(&text)?;
    Ok(Exit::Done)
}

fn inspect_recipe(arguments: &Arguments) -> Result<String, Vec<Report>> {
    let file =
        if arguments.file.is_dir() { arguments.file.join("recipe.toml") } else { arguments.file.clone() };
    if arguments.wat {
        let composed = pipeline::link(pipeline::plan(inputs::gather(recipe::read(&file)?), None)?)?;
        return wat(&file, &composed.linked.bytes).map_err(|report| vec![report]);
    }
    Err(vec![
        Report::new(Exit::Usage, format!("cannot inspect the recipe `{}`", file.display()))
            .because("a recipe says nothing of itself before it is composed")
            .hint(format!(
                "`wadoo plan {0}` shows its imports, `wadoo inspect --wat {0}` its text",
                shell(&file)
            )),
    ])
}

fn inspect_file(arguments: &Arguments) -> Result<String, Report> {
    let file = &arguments.file;
    let mut start = [0; 4];
    let is_wasm = regular::open(file).and_then(|(mut file, _)| file.read_exact(&mut start)).is_ok()
        && start == *b"\0asm";
    if is_wasm && arguments.wat {
        let length = fs::metadata(file).map_or(0, |metadata| metadata.len());
        if length > MAX_COMPONENT_SIZE {
            return Err(Report::new(Exit::CouldNot, format!("cannot print `{}`", file.display()))
                .because(format!("it has {length} bytes, more than the limit of {MAX_COMPONENT_SIZE}")));
        }
        let bytes = fs::read(file).map_err(|error| {
            Report::new(Exit::CouldNot, format!("cannot read `{}`", file.display()))
                .because(system_words(&error))
        })?;
        return wat(file, &bytes);
    }
    if is_wasm {
        return Err(Report::new(Exit::Usage, format!("cannot inspect `{}`", file.display()))
            .because("it is WebAssembly, which has no manifest")
            .hint(format!("`wadoo inspect --wat {}` prints it", shell(file))));
    }
    let parts = Parts::read(file)?;
    if arguments.wat {
        return Err(Report::new(
            Exit::Usage,
            format!("cannot print `{}` as WebAssembly text", file.display()),
        )
        .because("it holds native code; the component that it was compiled from is not in it")
        .hint("`wadoo compose --emit wasm` keeps the component"));
    }
    let statement = Statement::decode(parts.envelope.statement()).map_err(|error| {
        Report::new(Exit::Incompatible, format!("cannot inspect `{}`", file.display()))
            .because(error.to_string())
    })?;
    let signers: Vec<String> = parts.envelope.signatures().iter().map(|one| one.key.to_string()).collect();
    let identity = Statement::identity(parts.envelope.statement());
    if arguments.json {
        return Ok(json_line(json!({
            "verified": false,
            "identity": identity,
            "claimedSigners": signers,
            "payload": statement.payload,
            "manifest": statement.manifest,
        })));
    }
    Ok(show(&statement.manifest, &identity.to_string(), &signers))
}

fn wat(file: &Path, bytes: &[u8]) -> Result<String, Report> {
    wasmprinter::print_bytes(bytes).map_err(|error| {
        Report::new(Exit::CouldNot, format!("cannot print `{}`", file.display()))
            .because(format!("{error:#}"))
    })
}

fn show(manifest: &Manifest, identity: &str, signers: &[String]) -> String {
    let mut lines = vec![
        format!(
            "app           {} {} (serial {})",
            manifest.app.name, manifest.app.version, manifest.app.serial
        ),
        format!("identity      {identity}"),
        "signature     not checked; `wadoo verify` checks it".to_owned(),
    ];
    lines.extend(signers.iter().map(|signer| {
        format!("signed by     {signer}{}", if manifest.development { " (development key)" } else { "" })
    }));
    lines.push(format!("target        {} ({})", manifest.target.triple, manifest.target.cpu));
    lines.push(format!(
        "engine        wasmtime {}, profile {}",
        manifest.engine.wasmtime, manifest.engine.profile.name
    ));
    lines.push(format!("payload       {}", size(manifest.payload_size as usize)));
    lines.push(format!("component     {}", manifest.component.linked));
    for (title, names) in [("exports", &manifest.exports), ("imports", &manifest.imports)] {
        lines.extend(column(title, names.iter().cloned()));
    }
    lines.extend(column("grants", manifest.grants.iter().map(|(name, grant)| format!("{name}: {grant}"))));
    if manifest.component.portable != manifest.component.linked {
        let own = manifest.part_imports.iter();
        lines.extend(column("of one part", own.map(|(name, own)| format!("{name}: {}", own.interface))));
    }
    let limits = &manifest.limits;
    lines.extend(column(
        "limits",
        [
            format!("memory {}", size(limits.memory as usize)),
            limits.timeout_ms.map_or("no timeout".to_owned(), |ms| format!("timeout {ms} ms")),
            format!("body-timeout {} ms", limits.body_timeout_ms),
            format!("concurrency {}", limits.concurrency),
            format!("request-body {}", size(limits.request_body as usize)),
            format!("request-headers {}", size(limits.request_headers as usize)),
            format!("resources {}", limits.resources),
            format!("handles {}", limits.handles),
            format!("host-call {}", size(limits.host_call as usize)),
            format!("fields {}", size(limits.fields as usize)),
            format!("random {}", size(limits.random as usize)),
            limits.cpu_quota_percent.map_or("no cpu-quota".to_owned(), |quota| format!("cpu-quota {quota}%")),
        ]
        .into_iter(),
    ));
    lines.extend(column("instances", std::iter::once(reuse(&manifest.reuse))));
    lines.extend(column(
        "inputs",
        manifest.inputs.iter().map(|(name, input)| format!("{name}: {} ({})", input.digest, input.source)),
    ));
    lines.extend(column(
        "attached",
        manifest.attachments.iter().map(|one| format!("{} ({})", one.title(), size(one.length as usize))),
    ));
    let lock = manifest.lock.as_ref();
    lines.push(format!("lock          {}", lock.map_or("none".to_owned(), ToString::to_string)));
    // Nobody vouches for what an unverified manifest says.
    lines.iter().map(|line| format!("{}\n", Shown(line))).collect()
}

/// One title, and a line for each item.
fn column(title: &str, items: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = items
        .enumerate()
        .map(|(index, item)| format!("{:<13} {item}", if index == 0 { title } else { "" }))
        .collect();
    if lines.is_empty() {
        lines.push(format!("{title:<13} none"));
    }
    lines
}

/// How requests share instances.
fn reuse(reuse: &Reuse) -> String {
    let until = |Lifetime { requests, idle_ms }: &Lifetime| {
        format!("until {requests} requests or {idle_ms} ms without one")
    };
    let ahead = |warm| if warm == 0 { String::new() } else { format!(", {warm} made ahead") };
    match reuse {
        Reuse::None { warm } => format!("one for each request{}", ahead(*warm)),
        Reuse::Serial { lifetime, warm } => format!("reused, {}{}", until(lifetime), ahead(*warm)),
        Reuse::Concurrent(Concurrent { at_once, lifetime }) => {
            format!("reused, {at_once} requests at once, {}", until(lifetime))
        }
    }
}
