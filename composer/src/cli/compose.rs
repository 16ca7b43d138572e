//! `wadoo compose`: the whole line, and what its last lines say.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use wadoo_signing::manifest::Manifest;
use wadoo_signing::report::{Exit, Report};

use super::{Emit, Outcome, RecipeArgument, Talk, print_data};
use crate::keys::{self, Purpose, Signers};
use crate::output;
use crate::pipeline::{self, Artifact, Composed, LoadedBack};
use crate::target::{TRIPLES, Target};

/// The options of `wadoo compose`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArgument,
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

/// One file that was written.
struct Written {
    path: PathBuf,
    artifact: Artifact,
    loaded: LoadedBack,
}

pub(crate) fn run(arguments: &Arguments, talk: &Talk) -> Outcome {
    let composed = pipeline::link(pipeline::plan(&arguments.recipe.file())?)?;
    let targets = targets(arguments, &composed)?;
    if arguments.dry_run {
        print_data(&dry_run(arguments, &composed, &targets))?;
        return Ok(Exit::Done);
    }

    let mut component = None;
    if arguments.emit != Emit::Cwasm {
        let name = format!("{}.wasm", composed.recipe.app.name);
        let path =
            output::write(&arguments.output, &name, &composed.linked.bytes).map_err(|report| vec![report])?;
        component = Some(path);
    }
    let mut written = Vec::new();
    if arguments.emit != Emit::Wasm {
        let signers = keys::signers(&composed.recipe, Purpose::of_process(arguments.release))?;
        if let Some(file) = &signers.made {
            talk.say(&format!(
                "made a development key: {} (trusted by this user's launcher only)",
                file.display()
            ));
        }
        for target in &targets {
            talk.say(&format!("compiling {} for {}", composed.recipe.app.name, target.triple()));
            written.push(write_artifact(arguments, &composed, target, targets.len() > 1, &signers)?);
        }
    }
    print_data(&if arguments.json {
        as_json(&composed, component.as_ref(), &written)
    } else {
        as_text(&composed, component.as_ref(), &written)
    })?;
    Ok(Exit::Done)
}

/// The one target of the flag, or those of the recipe.
fn targets(arguments: &Arguments, composed: &Composed) -> Result<Vec<Target>, Vec<Report>> {
    let build = &composed.recipe.build;
    let Some(triple) = &arguments.target else { return Ok(build.targets()) };
    if let Some(target) = Target::new(triple, build.level()) {
        return Ok(vec![target]);
    }
    let known = TRIPLES.contains(&triple.as_str());
    let report = Report::new(Exit::Usage, format!("cannot compile for `{triple}`"));
    Err(vec![if known {
        report.because(format!(
            "the recipe asks for the CPU level `{}`, which it does not have",
            build.level().name()
        ))
    } else {
        report
            .because(format!("this version knows {}", TRIPLES.map(|triple| format!("`{triple}`")).join(", ")))
    }])
}

fn write_artifact(
    arguments: &Arguments,
    composed: &Composed,
    target: &Target,
    several: bool,
    signers: &Signers,
) -> Result<Written, Vec<Report>> {
    let artifact = pipeline::build(composed, target, signers)?;
    let name = artifact_name(composed, target, several);
    let path = output::write(&arguments.output, &name, &artifact.bytes).map_err(|report| vec![report])?;
    let loaded = pipeline::load_back(&path, signers).map_err(|report| vec![report])?;
    Ok(Written { path, artifact, loaded })
}

fn dry_run(arguments: &Arguments, composed: &Composed, targets: &[Target]) -> String {
    let app = &composed.recipe.app;
    let mut text =
        format!("would compose {} {} from {} parts\n", app.name, app.version, composed.inputs.len());
    let folder = arguments.output.display();
    if arguments.emit != Emit::Cwasm {
        let _ = writeln!(text, "would write   {folder}/{}.wasm", app.name);
    }
    if arguments.emit != Emit::Wasm {
        for target in targets {
            let name = artifact_name(composed, target, targets.len() > 1);
            let _ = writeln!(text, "would write   {folder}/{name} for {target}");
        }
    }
    let _ = writeln!(text, "imports       {}", imports(composed));
    text
}

fn artifact_name(composed: &Composed, target: &Target, several: bool) -> String {
    let app = &composed.recipe.app.name;
    if several { format!("{app}-{}.cwasm", target.triple()) } else { format!("{app}.cwasm") }
}

fn imports(composed: &Composed) -> String {
    if composed.linked.imports.is_empty() {
        return "nothing".to_owned();
    }
    composed.linked.imports.iter().map(String::as_str).collect::<Vec<_>>().join("\n              ")
}

fn as_text(composed: &Composed, component: Option<&PathBuf>, written: &[Written]) -> String {
    let mut text = String::new();
    if let Some(path) = component {
        let _ = writeln!(text, "component     {} ({})", path.display(), size(composed.linked.bytes.len()));
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
        let _ = writeln!(text, "imports       {}", imports(composed));
        let _ = writeln!(text, "checked       {}", one.loaded);
        let _ = writeln!(text, "run           {}", run_command(manifest, &one.path));
    }
    text
}

/// The command that starts the artifact, with what the reader has to fill in.
fn run_command(manifest: &Manifest, path: &std::path::Path) -> String {
    match manifest.development {
        true => format!("launcher {}", path.display()),
        false => format!("launcher --trust DIR {}    (DIR holds the signer's public key)", path.display()),
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
                "compileMicroseconds": one.artifact.compile_time.as_micros() as u64,
            })
        })
        .collect();
    let result = json!({
        "schema": 1,
        "app": composed.recipe.app.name.to_string(),
        "version": composed.recipe.app.version.to_string(),
        "component": component,
        "imports": composed.linked.imports,
        "exports": composed.linked.exports,
        "artifacts": artifacts,
    });
    format!("{result}\n")
}
