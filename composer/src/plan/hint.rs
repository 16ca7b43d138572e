//! What to do about a plan that fails: the hint of a [`PlanError`], a line that can be pasted into the recipe where
//! there is one.

use std::collections::BTreeSet;

use super::conform::{Side, Violation};
use super::error::{
    Candidate, Edge, Fate, MissingImport, Origin, PlanError, View, With, bare, listed, package, quoted,
    split_interface,
};
use super::{Decision, LauncherReason};
use crate::interfaces::{self, nearest};
use crate::recipe::{PartName, Source};
use crate::signature::Difference;

impl PlanError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::RootItem { part, kind, .. } => {
                format!("move the {kind} into an interface of a WIT package, and build `{part}` to import that")
            }
            Self::Mismatch { part, provider, differences, import, assembled, .. } => {
                let lacking = differences.iter().find(|difference| difference.exported.is_none());
                match lacking.filter(|_| *assembled) {
                    Some(lacking) => format!(
                        "say who gives the {}: in the `assemble` of `[components.{provider}]`, like the others",
                        lacking.item
                    ),
                    None => mismatch_hint(part, provider, differences, import),
                }
            }
            Self::Ambiguous { part, import, candidates, advised, has_with } => {
                let provider = advised.as_ref().unwrap_or(&candidates.first()?.part);
                let entry = format!("\"{}\" = \"{provider}\"", bare(import));
                format!("choose one: {}", entry_line(part, *has_with, "with", &entry))
            }
            Self::WithoutExport { part, name, provider, same_shape: Some(export), .. } => format!(
                "if `{export}` is meant, in the `with` of `[components.{part}]`, change the entry to `\"{name}\" = {{ part = \"{provider}\", export = \"{export}\" }}`"
            ),
            Self::WithoutExport { import, exports, .. } => {
                match nearest(bare(import), exports.iter().map(|export| bare(export))) {
                    Some(near) if near == bare(import) => {
                        "rebuild one of them so that both have the same version of the interface".into()
                    }
                    Some(near) => {
                        format!("`{near}` is near; rebuild one of them so that both have the same name")
                    }
                    None => {
                        "name another part, or remove the entry so that the provider is found by type".into()
                    }
                }
            }
            Self::NoNamedExport { export, exports, .. } => {
                let written = |other| if export.contains('@') { other } else { bare(other) };
                match nearest(export, exports.iter().map(|other| written(other))) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "name one of its exports, or another part".into(),
                }
            }
            Self::NamedExportUnclear { exports, .. } => {
                format!("write the version: `export = \"{}\"`", exports.first()?)
            }
            Self::WithUnclear { imports, .. } => {
                format!("write the version: `\"{}\"`", imports.first()?)
            }
            Self::WithDenied { .. } => "remove one of the two".into(),
            Self::NotAllowed { part, import, has_allow, has_deny } => {
                let allow = entry_line(part, *has_allow, "allow", &format!("\"{}\"", bare(import)));
                let deny = entry_line(part, *has_deny, "deny", &format!("\"{}\"", bare(import)));
                format!("{allow}; if it does not need it, {deny}")
            }
            Self::Apart { import, .. } => {
                let import = bare(import);
                format!("grant it to all of them or none: `\"{import}\"` in `[grants]` and in each `allow`, or in `deny`")
            }
            Self::CarriedWithin { .. } => {
                "write `files` into the table of the part that is made of this recipe, where it is used".into()
            }
            Self::ApartConfig { import, .. } => {
                format!("deny it to the parts of that recipe: `[policy]` with `deny = [\"{}\"]`", bare(import))
            }
            Self::Missing { missing, .. } => missing_hint(missing),
            Self::LauncherTypes { part, other, import, .. } => {
                format!("rebuild `{part}` or `{other}`, so that both use the same WIT of `{}`", package(import))
            }
            Self::Reuse { command: true, .. } => "remove `[instances]`".into(),
            Self::Reuse { command: false, .. } => "write `reuse = \"serial\"`".into(),
            Self::IdleAllow { import, decision: Decision::Launcher(LauncherReason::BaseSet), .. }
                if interfaces::capability(import).is_some() =>
            {
                format!("remove it, or {}", grant_line(import))
            }
            Self::OwnName { part, .. } => format!("rename `[components.{}]`", part.in_recipe()),
            Self::TooManyApart { .. } => {
                "let parts share values: put them under `[grants]`, and allow them in each table".into()
            }
            Self::TooManyParts { .. } => {
                "let parts share instances: remove `own = true` where it is not needed".into()
            }
            Self::IdlePolicy { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::IdleAllow { .. } | Self::IdlePolicy { .. } => "remove it".into(),
            Self::UnusedEntry { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::UnusedEntry { part, imports, .. } => {
                format!("remove it; beyond the base set, `{part}` imports {}", listed(imports))
            }
            Self::UnusedGrant {
                name,
                fate: Some((part, Decision::Launcher(LauncherReason::BaseSet))),
                has_allow,
            } => {
                let allow = entry_line(part, *has_allow, "allow", &format!("\"{}\"", bare(name)));
                format!("{allow}, or remove the grant")
            }
            Self::UnusedGrant { .. } => "remove it, or correct its name".into(),
            Self::UnusedPart { part, exports, .. } if exports.is_empty() => {
                format!("remove `[components.{part}]`")
            }
            Self::UnusedPart { part, fate, .. } => {
                format!("remove `[components.{part}]`, or {}", use_it(part, fate.as_ref()))
            }
            Self::NoSuchExport { name, exports, .. } => {
                match nearest(bare(name), exports.iter().map(|export| bare(export))) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "name the part that exports it, or remove the line".into(),
                }
            }
            Self::ExportUnclear { exports, .. } => format!("write the version: `\"{}\"`", exports.first()?),
            Self::NoPartExports { exports, .. } => match exports.first() {
                Some(Candidate { part, export }) => {
                    format!("name what it exports: `[exports]` with `\"{}\" = \"{part}\"`", bare(export))
                }
                None => "add a part that exports an interface".into(),
            },
            Self::NotGranted { part, import } => format!(
                "put `\"{0}\"` into `[grants]` and into the `allow` of `[components.{part}]`, or into its `deny`",
                bare(import)
            ),
            Self::NoTrigger { .. } => {
                "add a component that exports `wasi:http/handler@0.3.x`, `wasi:http/incoming-handler@0.2.x` \
                 or `wasi:cli/run`"
                    .into()
            }
            Self::NoTriggerNamed { .. } => {
                "add a line for `wasi:http/handler`, `wasi:http/incoming-handler` or `wasi:cli/run`".into()
            }
            Self::SeveralTriggers { candidates, .. } => {
                let one = candidates.first()?;
                format!("choose one: add `\"{}\" = \"{}\"` to `[exports]`", bare(&one.export), one.part)
            }
            Self::SeveralTriggersNamed { .. } => {
                "keep one of them; the launcher starts an application in one way".into()
            }
            Self::Cycle { steps } if steps.len() == 1 => "let another part provide it".into(),
            Self::Cycle { .. } => {
                "instantiation must start somewhere: name another part in one `with`, or `deny` one of the imports"
                    .into()
            }
            Self::DenyGap { through, policy: true, .. } => {
                format!("add `\"{}\"` to the `deny` of `[policy]`", bare(through))
            }
            Self::World { who, world, violations, assembled: true } => {
                assembled_world_hint(who, world, violations)
            }
            Self::World { who, world, violations, .. } => world_hint(who, world, violations),
            Self::DenyGap { part, through, .. } => {
                format!("add `\"{}\"` to the `deny` of `[components.{part}]`", bare(through))
            }
            Self::IdleValues { part, what, .. } => format!("remove it, or build `{part}` to import {what}"),
            Self::BakedElsewhere { .. } => "keep one of the two".into(),
            Self::BakedTypes { part, import, .. } => {
                format!("rebuild `{part}` against a version of `{}` with these types", package(import))
            }
            Self::BakedAndOpen { part, of, key, open: true } => {
                format!("take `{key}` out of the `{}` or the `open` of `[components.{part}]`", of.table())
            }
            Self::BakedAndOpen { part, of, key, open: false } => {
                format!(
                    "take `{key}` out of the `{}` of `[components.{part}]`, or out of the grant",
                    of.table()
                )
            }
            Self::Split { edge, first, second, .. } => split_hint(edge, first, second)?,
        })
    }
}

/// How an unused part could be used after all.
fn use_it(part: &PartName, fate: Option<&Fate>) -> String {
    match fate {
        Some(Fate { part: importer, import, fits: false, .. }) => {
            format!("rebuild it with the WIT of `{}` that `{importer}` uses", package(import))
        }
        Some(Fate { part: importer, decision: Decision::Deny { pattern, policy: false }, .. }) => {
            format!("take `{pattern}` out of the `deny` of `[components.{importer}]`")
        }
        Some(Fate { part: importer, import, with, .. }) => {
            format!("choose it: {}", with.line(importer, bare(import), part))
        }
        None => "name it in the `with` of the part that should use it".to_owned(),
    }
}

impl With {
    /// How to have `interface` from `provider` in `part`.
    fn line(&self, part: &PartName, interface: &str, provider: &PartName) -> String {
        let value = format!("\"{interface}\" = \"{provider}\"");
        match self {
            Self::Absent => entry_line(part, false, "with", &value),
            Self::Others => entry_line(part, true, "with", &value),
            Self::Entry(name) => {
                format!(
                    "in the `with` of `[components.{}]`, change the entry to `\"{name}\" = \"{provider}\"`",
                    part.in_recipe()
                )
            }
        }
    }
}

/// "add `deny = ["x"]` to `[components.p]`", or to the list that is there.
fn entry_line(part: &PartName, exists: bool, key: &str, value: &str) -> String {
    let part = part.in_recipe();
    let (open, close) = if key == "with" { ("{ ", " }") } else { ("[", "]") };
    match exists {
        true => format!("add `{value}` to the `{key}` of `[components.{part}]`"),
        false => format!("add `{key} = {open}{value}{close}` to `[components.{part}]`"),
    }
}

fn mismatch_hint(part: &PartName, provider: &PartName, differences: &[Difference], import: &str) -> String {
    if differences.iter().any(|difference| difference.color) {
        return format!(
            "an `async` function and one that is not never fit: rebuild `{provider}` or `{part}`, so that both use the same WIT of `{}`",
            package(import)
        );
    }
    format!("rebuild `{provider}` or `{part}`, so that both use the same WIT of `{}`", package(import))
}

/// "add `"x" = { hosts = ["https://example.com"] }` to `[grants]`"
fn grant_line(import: &str) -> String {
    let (name, values) = match interfaces::capability(import) {
        Some(interfaces::Capability::Environment) => (bare(import), "keys = [\"NAME\"]"),
        Some(interfaces::Capability::Filesystem) => (bare(import), "mounts = [{ path = \"/data\" }]"),
        Some(interfaces::Capability::Sockets) => ("wasi:sockets/*", "connect = [\"10.0.0.5:5432\"]"),
        Some(interfaces::Capability::OutgoingHttp) | None => {
            (bare(import), "hosts = [\"https://example.com\"]")
        }
    };
    format!("add `\"{name}\" = {{ {values} }}` to `[grants]`")
}

/// An import that language runtimes have by habit, and that nobody asked for.
fn is_idle_habit(import: &MissingImport) -> bool {
    interfaces::is_imported_by_habit(&import.import) && !(import.allowed && import.grantable)
}

/// An interface of WASI that no launcher provides, and nothing comes near to.
fn is_beyond_launchers(import: &MissingImport) -> bool {
    package(&import.import).starts_with("wasi:")
        && import.near.is_none()
        && !import.grantable
        && !interfaces::is_imported_by_habit(&import.import)
        && Source::of(&import.import) != Some(Source::Configuration)
}

/// What to do about the imports of one part that can be denied: one line for all of them, or the next run would tell
/// of the others.
fn deny_hint(missing: &[MissingImport]) -> Option<String> {
    let first = missing.iter().find(|import| is_idle_habit(import) || is_beyond_launchers(import))?;
    let of_part = || missing.iter().filter(|import| import.part == first.part);
    let habits: Vec<&MissingImport> = of_part().filter(|import| is_idle_habit(import)).collect();
    let beyond: Vec<&MissingImport> = of_part().filter(|import| is_beyond_launchers(import)).collect();
    // A pattern of the whole package could mean the same as one that stands in the `deny`, and is refused then.
    let patterns: BTreeSet<String> = habits
        .iter()
        .chain(&beyond)
        .map(|import| match package(&import.import) {
            "wasi:sockets" if !first.has_deny => "\"wasi:sockets/*\"".to_owned(),
            _ => format!("\"{}\"", bare(&import.import)),
        })
        .collect();
    let patterns: Vec<String> = patterns.into_iter().collect();
    let deny = entry_line(&first.part, first.has_deny, "deny", &patterns.join(", "));
    let part = &first.part;
    let deny = match habits.iter().chain(&beyond).any(|import| import.allowed) {
        true => format!("remove the `allow` and {deny}"),
        false => deny,
    };
    let packages: BTreeSet<&str> = beyond.iter().map(|import| package(&import.import)).collect();
    let provides = format!("no launcher provides {} yet", quoted(packages));
    let component =
        if beyond.len() == 1 { "a component that exports it" } else { "components that export them" };
    Some(match (habits.first(), beyond.first()) {
        (Some(habit), None) if habit.allowed => {
            format!("the launcher cannot provide them yet; if `{part}` does not need them, {deny}")
        }
        (_, None) => {
            format!(
                "language runtimes import these whether they use them or not; if `{part}` does not, {deny}"
            )
        }
        (None, _) => {
            let others =
                if missing.len() > beyond.len() { "; the others need components as well" } else { "" };
            format!("{provides}: add {component}, or, if `{part}` can do without, {deny}{others}")
        }
        (Some(_), _) => format!(
            "{provides}, and the others are what language runtimes import whether they use them or not: if `{part}` can do without, {deny}"
        ),
    })
}

fn missing_hint(missing: &[MissingImport]) -> String {
    if missing.iter().any(is_idle_habit)
        && let Some(hint) = deny_hint(missing)
    {
        return hint;
    }
    if let Some(import) =
        missing.iter().find(|import| Source::of(&import.import) == Some(Source::Configuration))
    {
        return format!(
            "bake its values: add `config = {{ KEY = \"value\" }}` to `[components.{}]`, or add a component that exports it",
            import.part
        );
    }
    if let Some(import) = missing.iter().find(|import| import.grantable) {
        let grant = grant_line(&import.import);
        return match import.allowed {
            true => grant,
            false => format!("{grant} and allow it for `{}`", import.part),
        };
    }
    let same_shape = missing.iter().find_map(|import| {
        let near = import.near.as_ref()?;
        Some((import, near.part.as_ref()?, near.export.as_ref()?))
    });
    if let Some((MissingImport { part: importer, import, has_with, .. }, part, export)) = same_shape {
        let entry = format!("\"{import}\" = {{ part = \"{part}\", export = \"{export}\" }}");
        return format!("if it is meant, {}", entry_line(importer, *has_with, "with", &entry));
    }
    if let Some((import, part)) =
        missing.iter().find_map(|import| Some((import, import.near.as_ref()?.part.as_ref()?)))
    {
        let (importer, name) = (&import.part, bare(&import.import));
        return format!(
            "rebuild `{importer}` or `{part}`, so that both use one version of `{name}`, or add a component that exports it"
        );
    }
    if let Some(hint) = deny_hint(missing) {
        return hint;
    }
    match missing {
        [_] => "add a component that exports it".to_owned(),
        _ => "add components that export them".to_owned(),
    }
}

fn split_hint(edge: &Edge, first: &View, second: &View) -> Option<String> {
    let interface = split_interface(first, second);
    if let Some(Origin::Stub { part, import }) =
        [&first.origin, &second.origin].into_iter().find(|origin| matches!(origin, Origin::Stub { .. }))
    {
        return Some(match edge {
            Edge::Launcher { part: user, import: used } if user == part => {
                format!("deny `{}` too: its functions use `{}`; or deny neither", bare(used), bare(import))
            }
            Edge::Wire { part: user, import: used, .. } if user == part => {
                format!("deny `{}` too: its functions use `{}`; or deny neither", bare(used), bare(import))
            }
            _ => format!("do not deny `{}` for `{part}`, or do not use `{part}` here", bare(import)),
        });
    }
    let line = |part: &PartName, with: &With, provider: &PartName| {
        let line = with.line(part, interface, provider);
        format!("let `{part}` have it from `{provider}` too: {line}")
    };
    match edge {
        Edge::Launcher { import, .. } => {
            let Origin::Part(provider) = &first.origin else { return None };
            Some(format!("let `{provider}` provide `{}` as well, or do without `{provider}`", bare(import)))
        }
        Edge::Trigger { .. } => {
            let Origin::Part(provider) = &first.origin else { return None };
            Some(format!(
                "do without `{provider}`: what the launcher calls must have `{interface}` from the launcher"
            ))
        }
        Edge::Wire { import, .. } => {
            // What is assembled has one view of all who give it functions: of them, one has to change.
            let assembled = import.starts_with(interfaces::FROM);
            match if assembled { (second, first) } else { (first, second) } {
                // Whoever imports the interface can have it from where the other has it.
                (
                    View { part: Some(part), import: Some(_), with, .. },
                    View { origin: Origin::Part(provider), .. },
                ) if part != provider && !provider.is_own() => Some(line(part, with, provider)),
                (
                    View { origin: Origin::Part(provider), .. },
                    View { part: Some(part), import: Some(_), with, .. },
                ) if part != provider && !provider.is_own() => Some(line(part, with, provider)),
                (View { origin: Origin::LauncherAlone, .. }, _)
                | (_, View { origin: Origin::LauncherAlone, .. }) => {
                    let package = package(interface);
                    Some(format!(
                        "grant both the same: one line for `{package}` in `[grants]`, and `allow` in both"
                    ))
                }
                _ => Some(format!("both must have `{interface}` from one provider")),
            }
        }
    }
}

/// What is assembled is not built: who gives its functions is said anew, or the world is changed.
fn assembled_world_hint(part: &str, world: &str, violations: &[Violation]) -> String {
    let export = violations.iter().find(|violation| violation.side == Side::Export);
    let Some(Violation { name, lacking, differences, .. }) = export else {
        return match violations.iter().find(|violation| violation.lacking) {
            Some(Violation { name, .. }) => {
                format!("its functions use types of `{name}`: add `import {name};` to the world")
            }
            None => format!("name another world than `{world}`"),
        };
    };
    let lacked = differences.iter().filter(|difference| difference.exported.is_none());
    let functions =
        lacked.filter_map(|difference| difference.item.strip_prefix("function `")?.strip_suffix('`'));
    let givers: Vec<String> = functions.map(|function| format!("{function} = \"PART\"")).collect();
    match (givers.as_slice(), *lacking && name.contains('/')) {
        ([], _) => {
            format!("take the functions of parts that were built against `{world}`, or name another world")
        }
        (_, true) => format!(
            "say who gives its functions: add `\"{name}\" = {{ {} }}` to the `assemble` of `[components.{part}]`",
            givers.join(", ")
        ),
        (_, false) => format!(
            "say who gives them: add `{}` to `\"{name}\"` in the `assemble` of `[components.{part}]`",
            givers.join(", ")
        ),
    }
}

/// An import that a world lacks is mended in either of the two; anything else by building the part again.
fn world_hint(who: &str, world: &str, violations: &[Violation]) -> String {
    let is_extra = |violation: &Violation| violation.side == Side::Import && violation.lacking;
    let worst = violations.iter().find(|violation| !is_extra(violation)).or(violations.first());
    let Some(violation) = worst else { return format!("name another world than `{world}`") };
    let Violation { side, owner, name, .. } = violation;
    let builder = owner.as_ref().map_or(who, PartName::as_str);
    match (side, owner) {
        _ if is_extra(violation) => {
            format!(
                "if `{builder}` may have it, add `import {name};` to the world; else build `{builder}` without it"
            )
        }
        (Side::Export, None) => format!(
            "if a part exports it, add `\"{}\" = \"PART\"` to `[exports]`; else take it out of the world",
            bare(name)
        ),
        _ => format!("build `{builder}` against `{world}`, or name the world that it was built against"),
    }
}
