//! The audit: what the encoded bytes say, against what the plan says.
//!
//! It reads root imports, which component each part's instance is made of, what each argument of it is, and
//! exports. The graph is not asked: it merges imports by the id of their interface and does not show it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::{Grant, PartSpan};
use wasmparser::{
    ComponentAlias, ComponentExport, ComponentExternalKind, ComponentInstance, ComponentName, KnownCustom,
    Parser, Payload, ValidPayload, Validator, WasmFeatures,
};

use super::Form;
use super::error::LinkError;
use super::stubs::{Stubs, baked_name, files_name, open_name, stub_name};
use crate::inputs::Inputs;
use crate::interfaces::track;
use crate::plan::{DEVICE, Decision, Plan, carries_values, is_open_configuration};
use crate::recipe::PartName;

/// Validates everything but function bodies, which are copies of validated ones.
pub(super) fn validate(bytes: &[u8], features: WasmFeatures) -> Result<(), LinkError> {
    let mut validator = Validator::new_with_features(features);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| LinkError::Invalid(error.to_string()))?;
        match validator.payload(&payload).map_err(|error| LinkError::Invalid(error.to_string()))? {
            ValidPayload::Ok | ValidPayload::Func(..) | ValidPayload::Parser(_) | ValidPayload::End(_) => {}
        }
    }
    Ok(())
}

/// The root of a component, as far as the audit looks.
#[derive(Debug, Default)]
pub(super) struct Root {
    /// Digests of the nested components by index.
    components: Vec<Sha256Digest>,
    /// Where they stand.
    ranges: Vec<Range<u64>>,
    /// Where each instance comes from, by index.
    instances: Vec<Source>,
    /// Names of instances by index, from the name section.
    names: BTreeMap<u32, String>,
    /// Names of imports with their kinds.
    imports: Vec<(String, ComponentExternalKind)>,
    /// Instances that are exported, by name.
    pub(super) exports: BTreeMap<String, u32>,
    /// Exports that are no instances.
    odd_exports: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Import(String),
    Instance { component: u32, arguments: BTreeMap<String, u32> },
    Export { instance: u32, name: String },
    Other,
}

impl Source {
    fn of_instance(instance: &ComponentInstance) -> Self {
        match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let arguments = args.iter().map(|arg| (arg.name.to_owned(), arg.index)).collect();
                Self::Instance { component: *component_index, arguments }
            }
            ComponentInstance::FromExports(_) => Self::Other,
        }
    }

    /// `None` if it is an alias of no instance.
    fn of_alias(alias: &ComponentAlias) -> Option<Self> {
        match alias {
            ComponentAlias::InstanceExport {
                kind: ComponentExternalKind::Instance,
                instance_index,
                name,
            } => Some(Self::Export { instance: *instance_index, name: (*name).to_owned() }),
            _ => None,
        }
    }
}

/// Reads the root of `bytes`, which are valid.
pub(super) fn read(bytes: &[u8]) -> Result<Root, LinkError> {
    let mut root = Root::default();
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| LinkError::Invalid(error.to_string()))?;
        match &payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ if depth == 1 => {
                root.payload(&payload, bytes).map_err(|error| LinkError::Invalid(error.to_string()))?
            }
            _ => {}
        }
    }
    Ok(root)
}

impl Root {
    /// Where the code of each part stands, in the order of the bytes. Parts that are the same component share it.
    pub(super) fn parts(&self) -> Vec<PartSpan> {
        let span =
            |range: &Range<u64>| PartSpan { start: range.start, end: range.end, names: BTreeSet::new() };
        let mut parts: Vec<PartSpan> = self.ranges.iter().map(span).collect();
        for (index, name) in &self.names {
            if let Some(Source::Instance { component, .. }) = self.instances.get(*index as usize)
                && let Some(part) = parts.get_mut(*component as usize)
            {
                part.names.insert(name.clone());
            }
        }
        parts.retain(|part| !part.names.is_empty());
        parts
    }

    fn payload(&mut self, payload: &Payload, bytes: &[u8]) -> wasmparser::Result<()> {
        match payload {
            Payload::ComponentSection { unchecked_range: range, .. } => {
                let nested = bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
                self.components.push(Sha256Digest::of(nested));
                self.ranges.push(range.clone());
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import?;
                    if import.ty.kind() == ComponentExternalKind::Instance {
                        self.instances.push(Source::Import(import.name.name.to_owned()));
                    }
                    self.imports.push((import.name.name.to_owned(), import.ty.kind()));
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    self.instances.push(Source::of_instance(&instance?));
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.instances.extend(Source::of_alias(&alias?));
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    self.export(&export?);
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::ComponentName(names) = section.as_known() {
                    for name in names {
                        self.name(name?)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn export(&mut self, export: &ComponentExport) {
        let name = export.name.name.to_owned();
        if export.kind == ComponentExternalKind::Instance {
            // An export is a new index for the same instance.
            self.instances.push(self.source(export.index).clone());
            self.exports.insert(name, export.index);
        } else {
            self.odd_exports.push(name);
        }
    }

    fn name(&mut self, names: ComponentName) -> wasmparser::Result<()> {
        if let ComponentName::Instances(map) = names {
            for naming in map {
                let naming = naming?;
                self.names.insert(naming.index, naming.name.to_owned());
            }
        }
        Ok(())
    }

    fn source(&self, index: u32) -> &Source {
        self.instances.get(index as usize).unwrap_or(&Source::Other)
    }

    /// Whether the instance at `index` is what `decision` says of an import of `part`; `root` is its name if the launcher
    /// provides it.
    fn fits(
        &self,
        index: u32,
        import: &str,
        root: Option<&str>,
        decision: &Decision,
        part: &PartName,
    ) -> bool {
        match decision {
            Decision::Launcher(_) => self.is_import(index, root),
            Decision::Wire { part, export, .. } => self.exported_by(index, export, &part.to_string()),
            Decision::Deny { .. } => self.exported_by(index, import, &stub_name(part)),
            Decision::Baked { .. } if is_open_configuration(import, decision) => {
                self.exported_by(index, import, &open_name(part))
            }
            Decision::Baked { .. } => self.exported_by(index, import, &baked_name(part)),
        }
    }

    /// Whether the instance at `index` is what the launcher provides as `root`.
    fn is_import(&self, index: u32, root: Option<&str>) -> bool {
        match (self.source(index), root) {
            (Source::Import(name), Some(root)) => track(name) == track(root),
            _ => false,
        }
    }

    fn exported_by(&self, index: u32, export: &str, part: &str) -> bool {
        match self.source(index) {
            Source::Export { instance, name } => {
                name == export && self.names.get(instance).is_some_and(|found| found == part)
            }
            _ => false,
        }
    }
}

/// Compares the bytes with the plan; gives the root imports by track.
pub(super) fn check(
    plan: &Plan,
    inputs: &Inputs,
    stubs: &Stubs,
    root: &Root,
    form: Form,
) -> Result<BTreeMap<String, String>, LinkError> {
    let imports = check_imports(plan, stubs, root, form)?;
    for (index, source) in root.instances.iter().enumerate() {
        if let Source::Instance { component, arguments } = source {
            let name = root.names.get(&(index as u32)).map_or("", String::as_str);
            check_instance(&Expected { plan, inputs, stubs, form }, root, name, *component, arguments)?;
        }
    }
    if form == Form::Linked {
        check_values(plan, root)?;
    }
    check_count(plan, stubs.len(form), root)?;
    check_exports(plan, root)?;
    Ok(imports)
}

/// The root imports what the plan leaves to the launcher, and nothing else.
fn check_imports(
    plan: &Plan,
    stubs: &Stubs,
    root: &Root,
    form: Form,
) -> Result<BTreeMap<String, String>, LinkError> {
    let mut imports = BTreeMap::new();
    for (name, kind) in &root.imports {
        if *kind != ComponentExternalKind::Instance || imports.insert(track(name), name.clone()).is_some() {
            return differs(format!("it imports `{name}` unexpectedly"));
        }
    }
    let planned = planned_imports(plan, stubs, form);
    let found: BTreeSet<String> = imports.keys().cloned().collect();
    match planned.symmetric_difference(&found).next() {
        Some(name) => differs(format!("it and the plan differ about the import `{name}`")),
        None => Ok(imports),
    }
}

/// The tracks of the imports that the root must have. What only parts import that have it with their files, it has not.
fn planned_imports(plan: &Plan, stubs: &Stubs, form: Form) -> BTreeSet<String> {
    let from_host = |part: &PartName, interface: &str| {
        let mut imports = plan.parts[part].imports.keys();
        let named = imports.find(|import| track(import) == track(interface));
        !named.is_some_and(|import| stubs.have_files(form, part, import))
    };
    let mut planned = BTreeSet::new();
    for (name, import) in &plan.launcher {
        let asked = import.parts.iter().any(|part| from_host(part, &import.interface));
        if asked || !import.config_of.is_empty() {
            planned.insert(track(if form == Form::Portable { &import.interface } else { name }));
        }
    }
    // What only types of are used is there as long as one of those that use it is.
    loop {
        let by_types = plan.launcher.iter().filter(|(_, import)| {
            let used = import.used_by.iter().any(|user| planned.contains(&track(user)));
            import.parts.is_empty() && import.config_of.is_empty() && used
        });
        let before = planned.len();
        let by_types: Vec<String> = by_types.map(|(name, _)| track(name)).collect();
        planned.extend(by_types);
        if planned.len() == before {
            return planned;
        }
    }
}

/// There is one instance for each part, and for each of the `generated` things.
fn check_count(plan: &Plan, generated: usize, root: &Root) -> Result<(), LinkError> {
    let instances = root.instances.iter().filter(|source| matches!(source, Source::Instance { .. })).count();
    if instances != plan.parts.len() + generated {
        return differs(format!(
            "it has {instances} instances for {} parts and {generated} generated ones",
            plan.parts.len()
        ));
    }
    let names: BTreeSet<&String> = root.names.values().collect();
    if names.len() != instances {
        return differs("two of its instances have one name".to_owned());
    }
    Ok(())
}

/// The exports are those of the plan, each of the part that it should be of.
fn check_exports(plan: &Plan, root: &Root) -> Result<(), LinkError> {
    let exported: BTreeSet<&String> = root.exports.keys().collect();
    if exported != plan.exports.keys().collect() || !root.odd_exports.is_empty() {
        return differs("its exports are not those of the plan".to_owned());
    }
    for (export, part) in &plan.exports {
        if !root.exported_by(root.exports[export], export, &part.to_string()) {
            return differs(format!("its export `{export}` is not that of `{part}`"));
        }
    }
    Ok(())
}

fn differs<T>(what: String) -> Result<T, LinkError> {
    Err(LinkError::Audit(what))
}

/// What the bytes should be.
struct Expected<'a> {
    plan: &'a Plan,
    inputs: &'a Inputs,
    stubs: &'a Stubs,
    form: Form,
}

/// No import of the root feeds two parts that were granted different values, whatever its name is. What has the values of a
/// part is fed as the part, and what has its open configuration as that.
fn check_values(plan: &Plan, root: &Root) -> Result<(), LinkError> {
    let mut fed: BTreeMap<&str, (&str, Option<&Grant>)> = BTreeMap::new();
    for (index, source) in root.instances.iter().enumerate() {
        let Source::Instance { arguments, .. } = source else { continue };
        let name = root.names.get(&(index as u32)).map_or("", String::as_str);
        let Some((part, role)) = owner(plan, name).filter(|(_, role)| *role != Role::Denied) else {
            continue;
        };
        for (import, index) in arguments {
            let Source::Import(from) = root.source(*index) else { continue };
            let grant = match role {
                Role::Open => plan.parts[part].open_configuration(),
                _ => plan.parts[part].grants.get(import),
            };
            let (other, values) = fed.entry(from).or_insert((name, grant));
            if *values != grant && carries_values(import) {
                return Err(LinkError::Audit(format!(
                    "its import `{from}` feeds `{other}` and `{name}`, which were granted different values"
                )));
            }
        }
    }
    Ok(())
}

/// What an instance is there for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It is the part.
    Part,
    /// It stands in for what the part is denied.
    Denied,
    /// It has the part's values.
    Baked,
    /// It has the part's configuration, of which the device gives some keys.
    Open,
    /// It has the part's files.
    Files,
}

impl Role {
    /// Whether an instance of this role may have an argument of which `decision` is for the part.
    fn takes(self, decision: &Decision) -> bool {
        match self {
            Self::Part => true,
            // A stub must not stand in for itself.
            Self::Denied => !matches!(decision, Decision::Deny { .. }),
            Self::Baked => matches!(decision, Decision::Baked { rest: Some(_), .. }),
            // They have none of the part's imports.
            Self::Open | Self::Files => false,
        }
    }
}

/// Whose instance has this name, and what it is there for.
fn owner<'a>(plan: &'a Plan, name: &str) -> Option<(&'a PartName, Role)> {
    plan.parts.keys().find_map(|part| {
        let roles = [
            (Role::Part, part.to_string()),
            (Role::Denied, stub_name(part)),
            (Role::Baked, baked_name(part)),
            (Role::Open, open_name(part)),
            (Role::Files, files_name(part)),
        ];
        let (role, _) = roles.into_iter().find(|(_, known)| known == name)?;
        Some((part, role))
    })
}

fn check_instance(
    expected: &Expected,
    root: &Root,
    name: &str,
    component: u32,
    arguments: &BTreeMap<String, u32>,
) -> Result<(), LinkError> {
    let Expected { plan, inputs, stubs, form } = expected;
    let Some((part, role)) = owner(plan, name) else {
        return differs(format!("it has an instance `{name}` that is not planned"));
    };
    let decisions = &plan.parts[part].imports;
    let digest =
        |generated: &BTreeMap<PartName, Vec<u8>>| generated.get(part).map(|bytes| Sha256Digest::of(bytes));
    let expected = match role {
        Role::Part => inputs.digest(part).cloned(),
        Role::Denied => digest(&stubs.denied),
        Role::Baked => digest(&stubs.baked),
        Role::Open => digest(&stubs.open),
        Role::Files => stubs.files.get(part).map(|files| Sha256Digest::of(&files.bytes)),
    };
    if root.components.get(component as usize) != expected.as_ref() {
        return differs(format!("its instance `{name}` is made of another component"));
    }
    if role == Role::Part && !arguments.keys().eq(decisions.keys()) {
        return differs(format!("its instance `{name}` has not the planned arguments"));
    }
    if role == Role::Open {
        return match has_device_alone(plan, *form, part, root, arguments) {
            true => Ok(()),
            false => differs(format!("the arguments of its instance `{name}` are not what was planned")),
        };
    }
    for (import, index) in arguments {
        let from = form.name(plan, part, import);
        let fits = |decision: &Decision| match role {
            Role::Baked => root.is_import(*index, from),
            Role::Part | Role::Denied if stubs.have_files(*form, part, import) => {
                root.exported_by(*index, import, &files_name(part))
            }
            Role::Part | Role::Denied | Role::Open | Role::Files => {
                root.fits(*index, import, from, decision, part)
            }
        };
        if !decisions.get(import).is_some_and(|decision| role.takes(decision) && fits(decision)) {
            return differs(format!("argument `{import}` of its instance `{name}` is not what was planned"));
        }
    }
    Ok(())
}

/// Whether what has the open configuration of a part has the device's variables, by the import that is there for that part,
/// and nothing else.
fn has_device_alone(
    plan: &Plan,
    form: Form,
    part: &PartName,
    root: &Root,
    arguments: &BTreeMap<String, u32>,
) -> bool {
    let from = form.name_of_config(plan, part);
    arguments.len() == 1 && arguments.get(DEVICE).is_some_and(|index| root.is_import(*index, from))
}

#[cfg(test)]
mod tests;
