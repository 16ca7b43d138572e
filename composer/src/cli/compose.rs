//! `wadoo compose`: the whole line, and what its last lines say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::Trigger;
use wadoo_signing::report::{Exit, Report, shell};

use super::{Emit, LockArgument, Outcome, RecipeArgument, Talk, json_line, print_data};
use crate::inputs;
use crate::keys::{self, Declared, Purpose, Signers};
use crate::output::{self, Staged};
use crate::pipeline::{self, Artifact, Composed, LoadedBack};
use crate::target::{TRIPLES, Target};

/// The options of `wadoo compose`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArgument,
    #[command(flatten)]
    lock: LockArgument,
    /// The folder to write to.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Compile for this target only, whatever the recipe lists.
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// What to write.
    #[arg(long, value_enum, default_value = "cwasm")]
    emit: Emit,
    /// Read, plan and link, and say what would be written; compile, sign and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Refuse development keys, as `CI=true` does.
    #[arg(long)]
    release: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// One artifact, written or about to be.
struct Made {
    artifact: Artifact,
    staged: Staged,
    path: PathBuf,
    loaded: LoadedBack,
}

pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> Outcome {
    let gathered = inputs::gather(crate::recipe::read(&arguments.recipe.file())?);
    let lock = arguments.lock.check(&gathered, talk).map_err(|report| vec![report])?;
    // Neither depends on the other, and a user wants to hear of both.
    let declared = match arguments.emit {
        Emit::Wasm => Ok(Declared::Development),
        Emit::Cwasm | Emit::Both => keys::declared(gathered.recipe(), Purpose::of_process(arguments.release)),
    };
    let folder = output::check_folder(&arguments.output).map_err(|report| vec![report]);
    let composed = pipeline::plan(gathered, lock).and_then(pipeline::link);
    let (composed, declared) = all(composed, all(declared, folder))?;
    let (declared, ()) = declared;
    let targets = targets(arguments, &composed)?;
    talk.notes(&composed.lines.notes);
    if arguments.emit != Emit::Cwasm {
        check_portable(&composed)?;
    }
    if arguments.dry_run {
        print_data(&dry_run(arguments, &composed, &targets))?;
        return Ok(Exit::Done);
    }

    if arguments.emit != Emit::Cwasm {
        for shared in composed.linked.shared_when_portable() {
            talk.say(&shared);
        }
    }
    // Everything is made before anything gets its name: a refusal leaves the folder as it was.
    let component = match arguments.emit {
        Emit::Cwasm => None,
        Emit::Wasm | Emit::Both => {
            let name = format!("{}.wasm", composed.recipe.app.name);
            Some(
                output::stage(&arguments.output, name, composed.linked.portable())
                    .map_err(|report| vec![report])?,
            )
        }
    };
    let mut made = Vec::new();
    if arguments.emit != Emit::Wasm {
        let signers = declared.signers().map_err(|report| vec![report])?;
        if let Some(file) = &signers.made {
            talk.say(&format!(
                "made a development key: {} (trusted by this user's launcher only)",
                file.display()
            ));
        }
        for target in &targets {
            talk.say(&format!("compiling {} for {}", composed.recipe.app.name, target.triple()));
            made.push(make(arguments, &composed, target, targets.len() > 1, &signers)?);
        }
    }
    let component = component.map(Staged::commit).transpose().map_err(|report| vec![report])?;
    let written =
        made.into_iter().map(Made::commit).collect::<Result<Vec<_>, _>>().map_err(|report| vec![report])?;
    print_data(&if arguments.json {
        as_json(&composed, component.as_ref(), &written)
    } else {
        as_text(&composed, component.as_deref(), &written)
    })?;
    Ok(Exit::Done)
}

/// Both results, or the problems of both.
fn all<A, B>(a: Result<A, Vec<Report>>, b: Result<B, Vec<Report>>) -> Result<(A, B), Vec<Report>> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(mut a), Err(b)) => {
            a.extend(b);
            Err(a)
        }
        (Err(reports), Ok(_)) | (Ok(_), Err(reports)) => Err(reports),
    }
}

/// The one target of the flag, or those of the recipe.
fn targets(arguments: &Arguments, composed: &Composed) -> Result<Vec<Target>, Vec<Report>> {
    let build = &composed.recipe.build;
    let Some(triple) = &arguments.target else { return Ok(build.targets.clone()) };
    if let Some(target) = Target::new(triple, build.cpu) {
        return Ok(vec![target]);
    }
    let known = TRIPLES.contains(&triple.as_str());
    let report = Report::new(Exit::Usage, format!("cannot compile for `{triple}`"));
    Err(vec![if known {
        report.because(format!(
            "the recipe asks for the CPU level `{}`, which it does not have",
            build.cpu.name()
        ))
    } else {
        report
            .because(format!("this version knows {}", TRIPLES.map(|triple| format!("`{triple}`")).join(", ")))
    }])
}

/// Compiles and signs for one target, and reads the result back before it gets its name.
fn make(
    arguments: &Arguments,
    composed: &Composed,
    target: &Target,
    several: bool,
    signers: &Signers,
) -> Result<Made, Vec<Report>> {
    let artifact = pipeline::build(composed, target, signers)?;
    let name = artifact_name(composed, target, several);
    let path = arguments.output.join(&name);
    let staged = output::stage(&arguments.output, name, &artifact.bytes).map_err(|report| vec![report])?;
    let (flushed, loaded) = rayon::join(|| staged.flush(), || pipeline::load_back(staged.file(), signers));
    let loaded = flushed.and(loaded).map_err(|report| vec![report])?;
    Ok(Made { artifact, staged, path, loaded })
}

/// An artifact that has its name.
struct Written {
    artifact: Artifact,
    path: PathBuf,
    loaded: LoadedBack,
}

impl Made {
    fn commit(self) -> Result<Written, Report> {
        let Self { artifact, staged, path, loaded } = self;
        staged.commit()?;
        Ok(Written { artifact, path, loaded })
    }
}

fn dry_run(arguments: &Arguments, composed: &Composed, targets: &[Target]) -> String {
    let app = &composed.recipe.app;
    let mut files = Vec::new();
    if arguments.emit != Emit::Cwasm {
        files.push(arguments.output.join(format!("{}.wasm", app.name)));
    }
    if arguments.emit != Emit::Wasm {
        files.extend(
            targets
                .iter()
                .map(|target| arguments.output.join(artifact_name(composed, target, targets.len() > 1))),
        );
    }
    if arguments.json {
        return json_line(json!({
            "dryRun": true,
            "app": app.name.to_string(),
            "version": app.version.to_string(),
            "wouldWrite": files,
            "targets": targets.iter().map(Target::triple).collect::<Vec<_>>(),
            "imports": composed.linked.imports,
            "exports": composed.linked.exports,
        }));
    }
    let parts = match composed.recipe.components.len() {
        1 => "1 part".to_owned(),
        several => format!("{several} parts"),
    };
    let mut text = format!("would compose {} {} from {parts}\n", app.name, app.version);
    for file in files {
        let _ = writeln!(text, "would write   {}", file.display());
    }
    let _ = writeln!(text, "imports       {}", imports(composed.linked.imports.iter().map(String::as_str)));
    text
}

fn artifact_name(composed: &Composed, target: &Target, several: bool) -> String {
    let app = &composed.recipe.app.name;
    if several { format!("{app}-{}.cwasm", target.triple()) } else { format!("{app}.cwasm") }
}

fn imports<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join("\n              ") }
}

fn as_text(composed: &Composed, component: Option<&Path>, written: &[Written]) -> String {
    let mut text = String::new();
    if let Some(path) = component {
        let bytes = composed.linked.portable();
        let _ = writeln!(text, "component     {} ({})", path.display(), size(bytes.len()));
        let _ = writeln!(text, "digest        {}", Sha256Digest::of(bytes));
        if written.is_empty() {
            let names = composed.linked.portable_imports().iter().map(String::as_str);
            let _ = writeln!(text, "imports       {}", imports(names));
            let _ = writeln!(text, "run           {} {}", stock(&composed.linked.trigger), shell(path));
        }
    }
    for one in written {
        let Artifact { bytes, manifest, payload, identity, signers, .. } = &one.artifact;
        let _ = writeln!(text, "artifact      {} ({})", one.path.display(), size(bytes.len()));
        let _ = writeln!(text, "target        {} ({})", manifest.target.triple, manifest.target.cpu);
        let _ = writeln!(text, "identity      {identity}");
        let _ = writeln!(text, "payload       {}", payload.sha256);
        for key in signers {
            let note = if manifest.development { " (development key)" } else { "" };
            let _ = writeln!(text, "signed by     {key}{note}");
        }
        let _ =
            writeln!(text, "imports       {}", imports(composed.linked.imports.iter().map(String::as_str)));
        for attachment in &manifest.attachments {
            let _ =
                writeln!(text, "attached      {} ({})", attachment.title(), size(attachment.length as usize));
        }
        let _ = writeln!(text, "checked       {}", one.loaded);
        if !manifest.development {
            let _ = writeln!(
                text,
                "trust         a folder with the signer's public key: `wadoo key trust FILE.pub.pem --trust DIR`"
            );
        }
        let trust = if manifest.development { "" } else { "--trust DIR " };
        let _ = writeln!(text, "run           launcher {trust}{}", shell(&one.path));
    }
    text
}

/// Refuses to write a component for every host that lacks what parts carry.
fn check_portable(composed: &Composed) -> Result<(), Vec<Report>> {
    let unportable = &composed.linked.unportable;
    if unportable.is_empty() {
        return Ok(());
    }
    let name = &composed.recipe.app.name;
    let report = Report::new(Exit::CouldNot, format!("cannot write `{name}.wasm`: it cannot carry files"));
    let report =
        unportable.iter().fold(report, |report, (part, why)| report.because(format!("`{part}`: {why}")));
    Err(vec![
        report.hint("compose without `--emit`: the launcher gives the parts of an artifact their files"),
    ])
}

/// How stock wasmtime runs a portable component.
fn stock(trigger: &Trigger) -> &'static str {
    match trigger {
        Trigger::Http02 => "wasmtime serve -Scli",
        Trigger::Http03 => "wasmtime serve -Scli,p3 -Wcomponent-model-async",
        Trigger::Command02 => "wasmtime run",
        Trigger::Command03 => "wasmtime run -Sp3 -Wcomponent-model-async",
    }
}

/// A length for people.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..=1023 => format!("{bytes} bytes"),
        1024..=1_048_575 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn as_json(composed: &Composed, component: Option<&PathBuf>, written: &[Written]) -> String {
    let artifacts: Vec<_> = written
        .iter()
        .map(|one| {
            json!({
                "path": one.path,
                "size": one.artifact.bytes.len(),
                "target": one.artifact.manifest.target,
                "identity": one.artifact.identity,
                "payload": one.artifact.payload,
                "signers": one.artifact.signers.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "development": one.artifact.manifest.development,
                "loaded": one.loaded == LoadedBack::Loaded,
                "checked": one.loaded.to_string(),
                "compileMicroseconds": one.artifact.compile_time.as_micros() as u64,
            })
        })
        .collect();
    json_line(json!({
        "app": composed.recipe.app.name.to_string(),
        "version": composed.recipe.app.version.to_string(),
        "component": component.map(|path| {
            let bytes = composed.linked.portable();
            json!({ "path": path, "size": bytes.len(), "digest": Sha256Digest::of(bytes) })
        }),
        "imports": composed.linked.imports,
        "exports": composed.linked.exports,
        "artifacts": artifacts,
    }))
}
