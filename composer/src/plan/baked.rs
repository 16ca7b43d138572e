//! Which imports of a part its baked values stand for, and whether they have the types that values can be given in.
//!
//! `wasi:config` never had a release, so equal names carry different types: what is generated fits these and no others.

use std::collections::{BTreeMap, BTreeSet};

use wac_types::{InterfaceId, ItemKind, Types};
use wadoo_signing::manifest::Grant;

use super::error::PlanError;
use super::{Decision, LauncherReason, Problems, Wiring};
use crate::inputs::Inputs;
use crate::interfaces::in_base_set;
use crate::recipe::{Component, PartName, Recipe, Source, Span, Spanned};
use crate::signature::{self, Difference};

/// The function by which a part gets its variables.
pub(super) const VARIABLES: &str = "get-environment";
/// The function by which it gets its arguments.
pub(super) const ARGUMENTS: &str = "get-arguments";

/// By what the device gives the keys of a configuration that are open: every launcher provides it, and so does every other host,
/// whose environment has to be asked for nothing else. Of 0.2 in applications of 0.3 too, since no host has that alone: runtimes
/// of languages import 0.2.
pub(crate) const DEVICE: &str = "wasi:cli/environment@0.2.0";

impl Source {
    /// What the recipe bakes into `component` for it, by name; `None` if nothing.
    pub(super) fn keys(self, component: &Component) -> Option<Vec<String>> {
        let values = &component.values;
        match self {
            Self::Configuration => Some(values.config.as_ref()?.value.keys().cloned().collect()),
            Self::Environment => {
                let variables = values.env.as_ref().map(|env| env.value.keys().cloned());
                let arguments = values.args.as_ref().map(|_| "arguments".to_owned());
                let any = variables.is_some() || arguments.is_some();
                any.then(|| variables.into_iter().flatten().chain(arguments).collect())
            }
        }
    }

    /// What the recipe bakes into `component` for it, with names.
    fn entries(self, component: &Component) -> Option<&Spanned<BTreeMap<String, String>>> {
        match self {
            Self::Configuration => component.values.config.as_ref(),
            Self::Environment => component.values.env.as_ref(),
        }
    }

    /// The functions that an interface of it may have, with their types. `error` is what the interface calls its error.
    fn functions(self, error: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Configuration => vec![
                ("get", format!("func(key: string) -> result<option<string>, {error}>")),
                ("get-all", format!("func() -> result<list<tuple<string, string>>, {error}>")),
            ],
            Self::Environment => vec![
                (VARIABLES, "func() -> list<tuple<string, string>>".to_owned()),
                (ARGUMENTS, "func() -> list<string>".to_owned()),
                ("initial-cwd", "func() -> option<string>".to_owned()),
                ("get-initial-cwd", "func() -> option<string>".to_owned()),
            ],
        }
    }
}

/// The one error of `wasi:config` that a generated component has the layout of.
const ERROR: &str = "variant { upstream(string), io(string) }";

/// How `interface` differs from what values can be given in.
pub(super) fn differences(types: &Types, source: Source, interface: InterfaceId) -> Vec<Difference> {
    let items = signature::items(types, interface);
    let is_function = |name: &str| has(types, interface, name);
    let error = items.iter().find(|(name, text)| !is_function(name) && text == ERROR);
    let known = source.functions(error.map_or("error", |(name, _)| name));
    let mut found = Vec::new();
    for (name, text) in items.iter().filter(|(name, _)| is_function(name)) {
        let expected = known.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone());
        if expected.as_ref() != Some(text) {
            let item = format!("function `{name}`");
            found.push(Difference { item, exported: expected, imported: text.clone(), color: false });
        }
    }
    if source == Source::Configuration && error.is_none() {
        let exported = Some(ERROR.to_owned());
        for (name, text) in items.iter().filter(|(name, _)| !is_function(name)) {
            let item = format!("type `{name}`");
            found.push(Difference { item, exported: exported.clone(), imported: text.clone(), color: false });
        }
    }
    found
}

/// How the function for variables of `interface` differs from that by which open keys are asked for.
pub(super) fn variables_differ(types: &Types, interface: InterfaceId) -> Vec<Difference> {
    let mut found = differences(types, Source::Environment, interface);
    found.retain(|difference| difference.item == format!("function `{VARIABLES}`"));
    found
}

/// Reports values that no import of their part takes, and those that are both baked and left to the device.
pub(super) fn check(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, problems: &mut Problems) {
    for (part, component) in &recipe.components {
        idle(part, component, inputs, problems);
        idle_files(recipe, part, component, wiring, problems);
        let Some(decisions) = wiring.get(part) else { continue };
        for source in Source::ALL {
            if let Some(open) = component.values.open.get(&source)
                && is_unheard(part, source, decisions, inputs)
            {
                let what = match source {
                    Source::Configuration => "`get` or `get-all` of `wasi:config/store`",
                    Source::Environment => "`get-environment` in a version that a launcher provides",
                };
                let problem = PlanError::IdleValues { part: part.clone(), key: "open", what };
                problems.push((Some(open.span.clone()), problem));
            }
            let Some(table) = source.entries(component) else { continue };
            let twice = decisions.iter().find_map(|(import, decision)| {
                let granted = decision.launcher() == Some(LauncherReason::Granted);
                let keys = granted_variables(recipe.grant(part, import).filter(|_| granted)?)?;
                let of_source = Source::of(import) == Some(source);
                keys.iter().find(|key| of_source && table.value.contains_key(*key)).cloned()
            });
            problems.extend(twice.map(|key| {
                let open = component.values.open.contains_key(&source);
                (
                    Some(table.span.clone()),
                    PlanError::BakedAndOpen { part: part.clone(), of: source, key, open },
                )
            }));
        }
    }
}

/// Reports files of a part that does not ask the launcher for its folders.
fn idle_files(
    recipe: &Recipe,
    part: &PartName,
    component: &Component,
    wiring: &Wiring,
    problems: &mut Problems,
) {
    let Some(folder) = component.files.values().next() else { return };
    let granted = |(import, decision): (&String, &Decision)| {
        decision.launcher() == Some(LauncherReason::Granted)
            && matches!(recipe.grant(part, import), Some(Grant::Filesystem(_)))
    };
    if !wiring.get(part).into_iter().flatten().any(granted) {
        let what = "`wasi:filesystem/preopens` from the launcher";
        let problem = PlanError::IdleValues { part: part.clone(), key: "files", what };
        problems.push((Some(folder.span.clone()), problem));
    }
}

/// Whether imports of `part` have values of `source`, and none of them asks the device. That there are no such imports at all is
/// reported with the values.
fn is_unheard(
    part: &PartName,
    source: Source,
    decisions: &BTreeMap<String, Decision>,
    inputs: &Inputs,
) -> bool {
    let has_values = |import: &str| match inputs.world(part).imports.get(import) {
        Some(ItemKind::Instance(interface)) if Source::of(import) == Some(source) => {
            source == Source::Configuration || has(&inputs.types, *interface, VARIABLES)
        }
        _ => false,
    };
    let mut asking = decisions.iter().filter(|(import, _)| has_values(import)).peekable();
    asking.peek().is_some()
        && asking.all(|(_, decision)| decision.launcher() != Some(LauncherReason::Granted))
}

/// Whether a configuration is asked for what it has: its keys can be open then.
pub(super) fn asks_configuration(types: &Types, interface: InterfaceId) -> bool {
    ["get", "get-all"].iter().any(|function| has(types, interface, function))
}

/// Whether keys of the configuration that `import` gets are the device's, which is asked for them by [`DEVICE`].
pub(crate) fn is_open_configuration(import: &str, decision: &Decision) -> bool {
    let is_granted = matches!(decision, Decision::Baked { rest: Some(LauncherReason::Granted), .. });
    is_granted && Source::of(import) == Some(Source::Configuration)
}

/// The variables that a grant lets through.
pub(crate) fn granted_variables(grant: &Grant) -> Option<&BTreeSet<String>> {
    match grant {
        Grant::Environment(environment) => Some(&environment.keys),
        _ => None,
    }
}

fn idle(part: &PartName, component: &Component, inputs: &Inputs, problems: &mut Problems) {
    let values = &component.values;
    let imports = |source: Source, functions: &[&str]| {
        inputs.world(part).imports.iter().any(|(import, kind)| match kind {
            ItemKind::Instance(interface) if Source::of(import) == Some(source) => {
                functions.is_empty() || functions.iter().any(|name| has(&inputs.types, *interface, name))
            }
            _ => false,
        })
    };
    let mut report = |key, span: &Span, what| {
        let problem = PlanError::IdleValues { part: part.clone(), key, what };
        problems.push((Some(span.clone()), problem));
    };
    if let Some(config) = &values.config
        && !imports(Source::Configuration, &[])
    {
        report("config", &config.span, "`wasi:config/store`");
    }
    if let Some(env) = &values.env
        && !imports(Source::Environment, &[VARIABLES])
    {
        report("env", &env.span, "`get-environment` of `wasi:cli/environment`");
    }
    if let Some(args) = &values.args
        && !imports(Source::Environment, &[ARGUMENTS])
    {
        report("args", &args.span, "`get-arguments` of `wasi:cli/environment`");
    }
}

/// Whether something is left of an import beside the values, which a launcher has: arguments where none are baked, and
/// variables that are left to the device. Of a version that no launcher has, nothing is left.
pub(super) fn has_rest(
    recipe: &Recipe,
    inputs: &Inputs,
    part: &PartName,
    import: &str,
    interface: InterfaceId,
) -> bool {
    let has = |function| has(&inputs.types, interface, function);
    let arguments = has(ARGUMENTS) && recipe.component(part).values.args.is_none();
    let variables = has(VARIABLES) && recipe.grant(part, import).is_some();
    in_base_set(import) && (arguments || variables)
}

/// Whether an interface, as a part imports it, has a function. Language tools leave out what is not called.
pub(super) fn has(types: &Types, interface: InterfaceId, function: &str) -> bool {
    matches!(types[interface].exports.get(function), Some(ItemKind::Func(_)))
}

/// What else the recipe says of an import that has values.
pub(super) fn conflict(component: &Component, import: &str) -> Option<String> {
    if let Some(pattern) = component.deny.iter().find(|pattern| pattern.value.matches(import)) {
        return Some(format!("`deny` has `{}`", pattern.value));
    }
    let (with, provider) = component.provider_of(import)?;
    Some(format!("`with` has `{with}` from `{}`", provider.value.part.value))
}
