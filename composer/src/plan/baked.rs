//! Which imports of a part its baked values stand for, and whether they have the types that values can be given in.
//!
//! `wasi:config` never had a release, so equal names carry different types: what is generated fits these and no others.

use std::collections::BTreeSet;

use wac_types::{InterfaceId, ItemKind, Types};
use wadoo_signing::manifest::Grant;

use super::error::PlanError;
use super::{Decision, LauncherReason, Problems, Wiring};
use crate::inputs::Inputs;
use crate::interfaces::in_base_set;
use crate::recipe::{Component, PartName, Recipe, Span};
use crate::signature::{self, Difference};

/// The function by which a part gets its variables.
pub(super) const VARIABLES: &str = "get-environment";
/// The function by which it gets its arguments.
pub(super) const ARGUMENTS: &str = "get-arguments";

/// What a part can be given by its recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `config`
    Configuration,
    /// `env` and `args`
    Environment,
}

impl Source {
    /// Whose values an import has, if it is one of those that can be baked.
    pub(crate) fn of(import: &str) -> Option<Self> {
        match import.split('@').next() {
            Some("wasi:config/store" | "wasi:config/runtime") => Some(Self::Configuration),
            Some("wasi:cli/environment") => Some(Self::Environment),
            _ => None,
        }
    }

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

/// Reports values that no import of their part takes, and variables that are both baked and left to the device.
pub(super) fn check(recipe: &Recipe, inputs: &Inputs, wiring: &Wiring, problems: &mut Problems) {
    for (part, component) in &recipe.components {
        idle(part, component, inputs, problems);
        if let (Some(open), Some(decisions)) = (&component.values.open, wiring.get(part)) {
            let of_variables = |import: &str| {
                Source::of(import) == Some(Source::Environment)
                    && matches!(inputs.world(part).imports.get(import),
                        Some(ItemKind::Instance(interface)) if has(&inputs.types, *interface, VARIABLES))
            };
            let mut asking = decisions.iter().filter(|(import, _)| of_variables(import)).peekable();
            let unheard = asking.peek().is_some();
            if unheard && asking.all(|(_, decision)| decision.launcher() != Some(LauncherReason::Granted)) {
                let what = "`get-environment` in a version that a launcher provides";
                let problem = PlanError::IdleValues { part: part.clone(), key: "open", what };
                problems.push((Some(open.span.clone()), problem));
            }
        }
        let Some(env) = &component.values.env else { continue };
        let twice = wiring.get(part).into_iter().flatten().find_map(|(import, decision)| {
            let Decision::Baked { rest: Some(LauncherReason::Granted), .. } = decision else { return None };
            let keys = granted_variables(recipe.grant(part, import)?)?;
            keys.iter().find(|key| env.value.contains_key(*key)).cloned()
        });
        problems.extend(twice.map(|key| {
            let open = component.values.open.is_some();
            (Some(env.span.clone()), PlanError::BakedAndOpen { part: part.clone(), key, open })
        }));
    }
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
