//! The rules: one decision for every import.

use std::collections::{BTreeMap, BTreeSet};

use wac_types::{InterfaceId, ItemKind, Type};

use super::baked;
use super::error::{Candidate, MissingImport, Near, PlanError};
use super::{Decision, LauncherReason, Problems, Wiring};
use crate::inputs::Inputs;
use crate::interfaces::{self, FullName};
use crate::recipe::{Component, Input, InterfaceName, PartName, Provider, Recipe, Source, Spanned};
use crate::signature;

/// Decides every import of every part; an import without a decision has a problem.
pub(super) fn decide(recipe: &Recipe, inputs: &Inputs, problems: &mut Problems) -> Wiring {
    let mut missing = Vec::new();
    let mut wiring = Wiring::new();
    for (part, component) in &recipe.components {
        let rules = Rules { recipe, inputs, part, component };
        let mut decisions = BTreeMap::new();
        for (import, kind) in &inputs.world(part).imports {
            let decided = match kind {
                ItemKind::Instance(interface) => rules.decide(import, *interface),
                other => Err(Refusal::Problem(Box::new(PlanError::RootItem {
                    part: part.clone(),
                    name: import.clone(),
                    kind: describe(*other),
                    exporters: rules.exporters(import, *other),
                }))),
            };
            match decided {
                Ok(decision) => {
                    decisions.insert(import.clone(), decision);
                }
                Err(Refusal::Missing(import)) => missing.push(import),
                Err(Refusal::Problem(problem)) => {
                    let span = rules.with(import).map_or(&component.span, |(_, provider)| &provider.span);
                    problems.push((Some(span.clone()), *problem));
                }
            }
        }
        wiring.insert(part.clone(), decisions);
    }
    if let Some(first) = missing.first() {
        let span = recipe.components[&first.part].span.clone();
        problems.push((Some(span), PlanError::Missing { app: recipe.app.name.to_string(), missing }));
    }
    wiring
}

/// How the kind of a root import is called in a message.
fn describe(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Func(_) => "function",
        ItemKind::Component(_) => "component",
        ItemKind::Module(_) => "core module",
        ItemKind::Type(_) => "type",
        ItemKind::Value(_) => "value",
        ItemKind::Instance(_) => "instance",
    }
}

/// Why an import has no decision. Missing imports of all parts are told together.
enum Refusal {
    Missing(MissingImport),
    Problem(Box<PlanError>),
}

/// The rules for one part.
struct Rules<'a> {
    recipe: &'a Recipe,
    inputs: &'a Inputs,
    part: &'a PartName,
    component: &'a Component,
}

/// An export of another part whose name is on the import's track.
struct Offer<'a> {
    part: &'a PartName,
    export: &'a str,
    interface: InterfaceId,
}

impl Rules<'_> {
    /// The other parts that export an item of this name and kind at their root.
    fn exporters(&self, name: &str, kind: ItemKind) -> Vec<PartName> {
        let others = self.recipe.components.keys().filter(|other| *other != self.part);
        let has = |other: &&PartName| {
            let export = self.inputs.world(other).exports.get(name);
            export.is_some_and(|export| describe(*export) == describe(kind))
        };
        others.filter(has).cloned().collect()
    }

    fn decide(&self, import: &str, interface: InterfaceId) -> Result<Decision, Refusal> {
        if let Some(source) = Source::of(import)
            && let Some(keys) = source.keys(self.component)
        {
            return self.baked(import, interface, source, keys);
        }
        if let Some(pattern) = self.recipe.denies(self.part, import) {
            return Ok(Decision::Deny { pattern: pattern.to_string(), policy: false });
        }
        if let Some((name, provider)) = self.with(import) {
            return self.explicit(import, interface, name, &provider.value).map_err(Refusal::Problem);
        }
        if let Some(pattern) = self.recipe.policy_denies(self.part, import) {
            return Ok(Decision::Deny { pattern: pattern.to_string(), policy: true });
        }
        if let Some(decision) = self.automatic(import, interface).map_err(Refusal::Problem)? {
            return Ok(decision);
        }
        self.launcher(import, interface).map(Decision::Launcher)
    }

    fn baked(
        &self,
        import: &str,
        interface: InterfaceId,
        source: Source,
        keys: Vec<String>,
    ) -> Result<Decision, Refusal> {
        let (part, import) = (self.part.clone(), import.to_owned());
        if let Some(other) = baked::conflict(self.component, &import) {
            return Err(Refusal::Problem(Box::new(PlanError::BakedElsewhere { part, import, other })));
        }
        let differences = baked::differences(&self.inputs.types, source, interface);
        if !differences.is_empty() {
            return Err(Refusal::Problem(Box::new(PlanError::BakedTypes { part, import, differences })));
        }
        // What `[policy]` denies the part, it has no more of than its values.
        let withheld = self.recipe.policy_denies(&part, &import).is_some();
        let rest = match source {
            Source::Configuration => self.is_open(interface).then_some(LauncherReason::Granted),
            Source::Environment
                if !withheld && baked::has_rest(self.recipe, self.inputs, &part, &import, interface) =>
            {
                Some(self.launcher(&import, interface)?)
            }
            Source::Environment => None,
        };
        Ok(Decision::Baked { keys, rest })
    }

    /// Whether the device gives keys of the part's configuration. `[policy]` may deny the part its environment all the same:
    /// `open` stands in the part's own table, which wins.
    fn is_open(&self, interface: InterfaceId) -> bool {
        self.component.values.open.contains_key(&Source::Configuration)
            && baked::asks_configuration(&self.inputs.types, interface)
    }

    /// The `with` entry for `import`; the parser sees to it that no two mean the same.
    fn with(&self, import: &str) -> Option<(&InterfaceName, &Spanned<Provider>)> {
        self.component.provider_of(import)
    }

    fn explicit(
        &self,
        import: &str,
        interface: InterfaceId,
        name: &InterfaceName,
        Provider { part: Spanned { value: provider, .. }, export, .. }: &Provider,
    ) -> Result<Decision, Box<PlanError>> {
        let meant: Vec<String> = self
            .inputs
            .world(self.part)
            .imports
            .keys()
            .filter(|other| name.matches(other))
            .cloned()
            .collect();
        if meant.iter().any(|other| interfaces::track(other) != interfaces::track(import)) {
            return Err(Box::new(PlanError::WithUnclear {
                part: self.part.clone(),
                name: name.to_string(),
                imports: meant,
            }));
        }
        let offers = match export {
            Some(export) => self.offers_named(provider, export)?,
            None => self.offers_of(provider, import),
        };
        if let Some(offer) = self.fitting(&offers, interface) {
            return Ok(offer.wire(true));
        }
        match offers.first() {
            Some(offer) => Err(self.mismatch(import, interface, offer)),
            None => Err(Box::new(PlanError::WithoutExport {
                part: self.part.clone(),
                import: import.to_owned(),
                name: name.to_string(),
                provider: provider.clone(),
                exports: self.inputs.world(provider).exports.keys().cloned().collect(),
                same_shape: self
                    .same_shape(import, interface, [provider])
                    .map(|(_, export)| export.to_owned()),
            })),
        }
    }

    fn automatic(&self, import: &str, interface: InterfaceId) -> Result<Option<Decision>, Box<PlanError>> {
        let others = self.recipe.components.keys().filter(|other| *other != self.part);
        let offers: Vec<Vec<Offer>> =
            others.map(|other| self.offers_of(other, import)).filter(|offers| !offers.is_empty()).collect();
        let fitting: Vec<&Offer> =
            offers.iter().filter_map(|offers| self.fitting(offers, interface)).collect();
        match (fitting.as_slice(), offers.first().and_then(|offers| offers.first())) {
            ([offer], _) => Ok(Some(offer.wire(false))),
            ([], None) => Ok(None),
            ([], Some(offer)) => Err(self.mismatch(import, interface, offer)),
            (several, _) => Err(Box::new(PlanError::Ambiguous {
                part: self.part.clone(),
                import: import.to_owned(),
                candidates: several
                    .iter()
                    .map(|offer| Candidate { part: offer.part.clone(), export: offer.export.to_owned() })
                    .collect(),
                advised: self.advised(several).cloned(),
                has_with: self.component.has_with(),
            })),
        }
    }

    /// The offer that is probably meant: none that needs this part itself, and what is made of others before those.
    fn advised<'b>(&self, offers: &[&'b Offer<'b>]) -> Option<&'b PartName> {
        let parts = offers.iter().map(|offer| offer.part).filter(|part| !self.needs_us(part));
        parts.min_by_key(|part| !self.is_assembled(part))
    }

    /// Exports of `provider` on the import's track: the same name first, then the highest version.
    fn offers_of<'b>(&'b self, provider: &'b PartName, import: &str) -> Vec<Offer<'b>> {
        let mut offers: Vec<Offer> = self
            .inputs
            .exported_instances(provider)
            .filter(|(export, _)| interfaces::compatible(export, import))
            .map(|(export, interface)| Offer { part: provider, export, interface })
            .collect();
        offers.sort_by_key(|offer| {
            (offer.export != import, std::cmp::Reverse(interfaces::version(offer.export)))
        });
        offers
    }

    /// What a `with` means by an export: whatever its name and version, where it is only one, on its track; of several
    /// versions the one that it has in full first, then the highest.
    fn offers_named<'b>(
        &'b self,
        provider: &'b PartName,
        name: &InterfaceName,
    ) -> Result<Vec<Offer<'b>>, Box<PlanError>> {
        let exports = || self.inputs.exported_instances(provider);
        let named = || exports().filter(|(export, _)| name.matches(export));
        let unclear = |(first, _): (&str, InterfaceId)| {
            named().any(|(export, _)| interfaces::track(export) != interfaces::track(first))
        };
        let (part, provider_name, export) = (self.part.clone(), provider.clone(), name.to_string());
        match named().next() {
            None => Err(Box::new(PlanError::NoNamedExport {
                part,
                provider: provider_name,
                export,
                exports: exports().map(|(export, _)| export.to_owned()).collect(),
            })),
            Some(first) if unclear(first) => Err(Box::new(PlanError::NamedExportUnclear {
                part,
                provider: provider_name,
                export,
                exports: named().map(|(export, _)| export.to_owned()).collect(),
            })),
            Some(_) => {
                let offer = |(export, interface)| Offer { part: provider, export, interface };
                let mut offers: Vec<Offer> = named().map(offer).collect();
                let full = name.to_string();
                offers.sort_by_key(|offer| {
                    (offer.export != full, std::cmp::Reverse(interfaces::version(offer.export)))
                });
                Ok(offers)
            }
        }
    }

    fn fitting<'b>(&self, offers: &'b [Offer<'b>], interface: InterfaceId) -> Option<&'b Offer<'b>> {
        let wanted = ItemKind::Instance(interface);
        offers.iter().find(|offer| {
            signature::is_subtype(&self.inputs.types, ItemKind::Instance(offer.interface), wanted)
        })
    }

    /// Whether `part` has its imports, by `with` alone, from this part: it cannot be its provider.
    fn needs_us(&self, part: &PartName) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![part];
        while let Some(part) = open.pop() {
            if part == self.part {
                return true;
            }
            if seen.insert(part) {
                let with = self.recipe.components[part].with.values();
                open.extend(with.map(|provider| &provider.value.part.value));
            }
        }
        false
    }

    fn is_assembled(&self, part: &PartName) -> bool {
        matches!(self.recipe.component(part).input, Input::Assembly(_))
    }

    fn mismatch(&self, import: &str, interface: InterfaceId, offer: &Offer) -> Box<PlanError> {
        Box::new(PlanError::Mismatch {
            part: self.part.clone(),
            import: import.to_owned(),
            provider: offer.part.clone(),
            export: offer.export.to_owned(),
            differences: signature::differences(&self.inputs.types, offer.interface, interface),
            assembled: self.is_assembled(offer.part),
        })
    }

    fn launcher(&self, import: &str, interface: InterfaceId) -> Result<LauncherReason, Refusal> {
        let capability = interfaces::capability(import);
        if capability.is_some() && self.recipe.grant(self.part, import).is_some() {
            return Ok(LauncherReason::Granted);
        }
        if interfaces::in_base_set(import) {
            // Environment and folders are in the base set, empty: only a grant gives them values.
            return Ok(LauncherReason::BaseSet);
        }
        let allowed = self.recipe.allows(self.part, import);
        let granted = self.recipe.grants.keys().any(|name| name.matches(import));
        match (capability.is_some() && granted, allowed) {
            (true, false) => Err(Refusal::Problem(Box::new(PlanError::NotAllowed {
                part: self.part.clone(),
                import: import.to_owned(),
                has_allow: !self.component.allow.is_empty(),
                has_deny: !self.component.deny.is_empty(),
            }))),
            _ if is_types_only(self.inputs, interface) => Ok(LauncherReason::TypesOnly),
            _ => Err(Refusal::Missing(MissingImport {
                part: self.part.clone(),
                import: import.to_owned(),
                near: self.near_miss(import, interface),
                allowed,
                has_deny: !self.component.deny.is_empty(),
                has_with: self.component.has_with(),
                grantable: capability.is_some(),
            })),
        }
    }

    /// What another part, or the launcher, has instead.
    fn near_miss(&self, import: &str, interface: InterfaceId) -> Option<Near> {
        let others =
            self.recipe.components.keys().filter(|other| *other != self.part && !self.needs_us(other));
        if let Some((part, export)) = self.same_shape(import, interface, others) {
            let note = format!("`{part}` exports `{export}`, of the same shape");
            return Some(Near { note, part: Some(part.clone()), export: Some(export.to_owned()) });
        }
        if interfaces::is_prerelease_of_known(import) {
            return Some(Near {
                note: "the launcher provides releases, not this prerelease".to_owned(),
                part: None,
                export: None,
            });
        }
        let wanted = FullName::new(import)?;
        let others = || {
            let parts = self.recipe.components.keys().filter(|other| *other != self.part);
            parts.flat_map(|part| self.inputs.exported_instances(part).map(move |(export, _)| (part, export)))
        };
        let same_id =
            others().find(|(_, export)| FullName::new(export).is_some_and(|full| full.id == wanted.id));
        if let Some((part, export)) = same_id {
            let why = match (&wanted.version, interfaces::version(export)) {
                (Some(a), Some(b)) if !a.pre.is_empty() || !b.pre.is_empty() => {
                    format!("{b}, and prereleases match only exactly")
                }
                (_, Some(version)) => format!("{version}, which is not compatible"),
                (_, None) => "it without a version".to_owned(),
            };
            return Some(Near {
                note: format!("`{part}` exports {why}"),
                part: Some(part.clone()),
                export: None,
            });
        }
        let same_interface = others()
            .find(|(_, export)| FullName::new(export).is_some_and(|full| full.interface == wanted.interface));
        if let Some((part, export)) = same_interface {
            let note = format!("`{part}` exports `{export}`, of another package");
            return Some(Near { note, part: Some(part.clone()), export: None });
        }
        let near = interfaces::nearest(import, others().map(|(_, export)| export))?;
        let (part, _) = others().find(|(_, export)| *export == near)?;
        Some(Near { note: format!("`{part}` exports `{near}`"), part: Some(part.clone()), export: None })
    }

    /// An export of one of `parts` whose type fits, and whose name does not. The nearest name, if there are several.
    fn same_shape<'b>(
        &'b self,
        import: &str,
        interface: InterfaceId,
        parts: impl IntoIterator<Item = &'b PartName>,
    ) -> Option<(&'b PartName, &'b str)> {
        let wanted = FullName::new(import)?;
        let exports = parts.into_iter().flat_map(|part| {
            self.inputs.exported_instances(part).map(move |(export, offered)| (part, export, offered))
        });
        let fits = |offered: InterfaceId| {
            let (offered, wanted) = (ItemKind::Instance(offered), ItemKind::Instance(interface));
            signature::is_subtype(&self.inputs.types, offered, wanted)
        };
        let distance = |export: &str| {
            // `export` names interfaces of packages only.
            FullName::new(export).map(|full| (full.id != wanted.id, full.interface != wanted.interface))
        };
        let fitting = exports.filter(|(_, _, offered)| fits(*offered));
        let named = fitting.filter_map(|(part, export, _)| Some((distance(export)?, part, export)));
        named.min_by_key(|(distance, ..)| *distance).map(|(_, part, export)| (part, export))
    }
}

impl Offer<'_> {
    fn wire(&self, explicit: bool) -> Decision {
        Decision::Wire { part: self.part.clone(), export: self.export.to_owned(), explicit }
    }
}

/// Whether an interface has neither functions nor resources of its own.
pub(super) fn is_types_only(inputs: &Inputs, interface: InterfaceId) -> bool {
    let types = &inputs.types;
    types[interface].exports.values().all(|kind| match kind {
        ItemKind::Type(Type::Resource(resource)) => types[*resource].alias.is_some(),
        ItemKind::Type(_) => true,
        _ => false,
    })
}
