//! The generated components: those that stand in for what is denied, and those that have what the recipe gives a part.
//!
//! What each is made of is decided in `stub`, `baked` and `files`; how they are wired, in the module above.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use wadoo_signing::files::FileTree;
use wadoo_signing::manifest::{FilesystemGrant, Grant};

use super::baked::{self, Baked};
use super::{Form, LinkError, files, panic_text, stub};
use crate::inputs::Inputs;
use crate::plan::{DEVICE, Decision, PartPlan, Plan, granted_variables, is_open_configuration};
use crate::recipe::PartName;

/// The generated components.
#[derive(Default)]
pub(super) struct Stubs {
    /// Those that trap, by the part whose denied imports they stand in for.
    pub(super) denied: BTreeMap<PartName, Vec<u8>>,
    /// Those that have values, by the part whose values they are.
    pub(super) baked: BTreeMap<PartName, Vec<u8>>,
    /// Those that have a configuration of which the device gives some keys, by the part whose it is.
    pub(super) open: BTreeMap<PartName, Vec<u8>>,
    /// Those that have files, by the part that carries them: in the portable component only.
    pub(super) files: BTreeMap<PartName, Files>,
    /// The parts whose files cannot be in the portable component, and why.
    pub(super) unportable: BTreeMap<PartName, String>,
}

impl Stubs {
    /// How many instances of them there are.
    pub(super) fn len(&self, form: Form) -> usize {
        let files = if form == Form::Portable { self.files.len() } else { 0 };
        self.denied.len() + self.baked.len() + self.open.len() + files
    }

    /// Whether the part has `import` from what has its files.
    pub(super) fn have_files(&self, form: Form, part: &PartName, import: &str) -> bool {
        form == Form::Portable && self.files.get(part).is_some_and(|files| files.imports.contains(import))
    }
}

/// What has the files of a part.
pub(super) struct Files {
    /// The component.
    pub(super) bytes: Vec<u8>,
    /// What it exports: imports of the part.
    pub(super) imports: BTreeSet<String>,
}

/// Makes all that has to be generated.
pub(super) fn stubs(plan: &Plan, inputs: &Inputs) -> Result<Stubs, LinkError> {
    let mut stubs = Stubs::default();
    for (part, planned) in &plan.parts {
        let component = inputs.package(part).bytes();
        let denied: Vec<&str> = planned
            .imports
            .iter()
            .filter(|(_, decision)| matches!(decision, Decision::Deny { .. }))
            .map(|(import, _)| import.as_str())
            .collect();
        if !denied.is_empty() {
            let stub = generated(|| stub::generate(component, &denied));
            let stub = stub.map_err(|message| LinkError::Stub { part: part.clone(), message })?;
            stubs.denied.insert(part.clone(), stub);
        }
        let baked = planned.imports.keys().filter_map(|import| baked(planned, import));
        // Apart, because of one component the variables and the open keys would come by one import.
        let (open, baked): (Vec<Baked>, Vec<Baked>) = baked.partition(Baked::is_open_configuration);
        for (imports, providers) in [(baked, &mut stubs.baked), (open, &mut stubs.open)] {
            if !imports.is_empty() {
                let provider = generated(|| baked::generate(component, &plan.app, &planned.values, &imports));
                let provider =
                    provider.map_err(|message| LinkError::Baked { part: part.clone(), message })?;
                providers.insert(part.clone(), provider);
            }
        }
        let carries = |grant: &&FilesystemGrant| !grant.files.is_empty();
        if let Some(grant) = planned.grants.values().find_map(folders).filter(carries) {
            match files(component, grant, inputs) {
                Ok(files) => drop(stubs.files.insert(part.clone(), files)),
                Err(because) => drop(stubs.unportable.insert(part.clone(), because)),
            }
        }
    }
    Ok(stubs)
}

/// The libraries that encode components panic where their assumptions fail.
fn generated(make: impl FnOnce() -> Result<Vec<u8>, String>) -> Result<Vec<u8>, String> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| Err(panic_text(panic.as_ref())))
}

/// What has to be generated for an import, if its values are baked.
fn baked<'a>(part: &'a PartPlan, import: &'a str) -> Option<Baked<'a>> {
    let decision = part.imports.get(import)?;
    let Decision::Baked { rest, .. } = decision else { return None };
    let open = part.grants.get(import).and_then(granted_variables);
    let open = open.into_iter().flatten().map(String::as_str).collect();
    let host = if is_open_configuration(import, decision) { DEVICE } else { import };
    Some(Baked { import, open, host: rest.map(|_| host) })
}

fn folders(grant: &Grant) -> Option<&FilesystemGrant> {
    match grant {
        Grant::Filesystem(folders) => Some(folders),
        _ => None,
    }
}

/// What has the files of a part, or why there can be no such thing, in one line.
fn files(component: &[u8], grant: &FilesystemGrant, inputs: &Inputs) -> Result<Files, String> {
    if let Some(mount) = grant.mounts.keys().next() {
        return Err(format!("it has the mount `{mount}` of the device as well, by the same interface"));
    }
    let mut mounts = files::Mounts::new();
    for (seen, digest) in &grant.files {
        let bytes = inputs.trees.get(digest).ok_or_else(|| format!("there is no tree {digest}"))?;
        mounts.insert(seen.as_str(), FileTree::decode(bytes).map_err(|error| error.to_string())?);
    }
    let imports = files::imports(component)?;
    let names: Vec<&str> = imports.iter().map(String::as_str).collect();
    let bytes = generated(|| files::generate(component, &names, &mounts))?;
    Ok(Files { bytes, imports: imports.into_iter().collect() })
}

/// The name of a stub's instance. A part's name has no slash.
pub(super) fn stub_name(part: &PartName) -> String {
    format!("{part}/denied")
}

/// The name of the instance that has a part's values.
pub(super) fn baked_name(part: &PartName) -> String {
    format!("{part}/baked")
}

/// The name of the instance that has a part's configuration, where the device gives some of it.
pub(super) fn open_name(part: &PartName) -> String {
    format!("{part}/open")
}

/// The name of the instance that has the files of a part.
pub(super) fn files_name(part: &PartName) -> String {
    format!("{part}/files")
}
