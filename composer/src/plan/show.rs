//! How a plan is printed, for people and for machines.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeStruct, Serializer};

use super::{Decision, LauncherImport, LauncherReason, PartPlan, Plan, is_open_configuration};
use crate::interfaces;
use crate::recipe::MemorySize;

/// The number of the JSON form of a plan; it changes when a reader could misread it.
pub const SCHEMA: u32 = 1;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.app, self.version)?;
        let names = || self.parts.values().flat_map(|part| part.imports.keys()).chain(self.exports.keys());
        let width = names().chain(self.launcher.keys()).map(|name| name.chars().count()).max().unwrap_or(0);
        for (name, part) in &self.parts {
            writeln!(f, "\n{name}")?;
            if part.imports.is_empty() {
                writeln!(f, "  imports nothing")?;
            }
            for (import, decision) in &part.imports {
                writeln!(f, "  {import:width$}  {}", Because { import, decision })?;
            }
            if let Some(most) = part.memory {
                writeln!(f, "  {:width$}  at most {most}", "memory")?;
            }
            for export in &part.left_over {
                writeln!(f, "  {export:width$}  exported, and nothing uses it")?;
            }
        }
        writeln!(f, "\nexports")?;
        for (export, part) in &self.exports {
            writeln!(f, "  {export:width$}  {part}")?;
        }
        writeln!(f, "\nleft to the launcher")?;
        if self.launcher.is_empty() {
            writeln!(f, "  nothing")?;
        }
        for (import, what) in &self.launcher {
            writeln!(f, "  {import:width$}  {what}")?;
        }
        Ok(())
    }
}

/// A decision with its reason.
struct Because<'a> {
    import: &'a str,
    decision: &'a Decision,
}

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decision {
            Decision::Wire { part, export, explicit } => {
                write!(f, "from {part}")?;
                if export != self.import {
                    write!(f, ", which exports {export}")?;
                }
                f.write_str(match explicit {
                    true if self.import.starts_with(interfaces::FROM) => " (assemble)",
                    true => " (with)",
                    false => " (the one that fits)",
                })
            }
            Decision::Deny { pattern, policy } => {
                let of = if *policy { ", by [policy]" } else { "" };
                write!(f, "denied: every call fails ({pattern}{of})")
            }
            Decision::Baked { keys, rest } => {
                let keys = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
                write!(f, "baked: {keys}")?;
                if is_open_configuration(self.import, self.decision) {
                    return f.write_str("; open keys from the launcher's environment (granted)");
                }
                rest.map_or(Ok(()), |reason| write!(f, "; the rest from the launcher ({reason})"))
            }
            Decision::Launcher(reason) => write!(f, "from the launcher ({reason})"),
        }
    }
}

impl fmt::Display for LauncherReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BaseSet => "base set",
            Self::Granted => "granted",
            Self::TypesOnly => "types only",
        })
    }
}

impl fmt::Display for LauncherImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter().map(ToString::to_string);
        let config_of = self.config_of.iter().map(|part| format!("`config` of {part}"));
        let parts: Vec<String> = parts.chain(config_of).collect();
        match parts.is_empty() {
            true => {
                let users: Vec<&str> = self.used_by.iter().map(String::as_str).collect();
                write!(f, "types of it are used by {}", users.join(", "))?;
            }
            false => f.write_str(&parts.join(", "))?,
        }
        match &self.grant {
            None => Ok(()),
            Some(grant) => write!(f, "; {grant}"),
        }
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut plan = serializer.serialize_struct("Plan", 7)?;
        plan.serialize_field("schema", &SCHEMA)?;
        plan.serialize_field("app", &self.app)?;
        plan.serialize_field("version", &self.version)?;
        plan.serialize_field("trigger", &self.trigger)?;
        plan.serialize_field(
            "parts",
            &Named(self.parts.iter().map(|(name, part)| (name.to_string(), part)).collect()),
        )?;
        let exports = self.exports.iter().map(|(name, part)| (name.clone(), part.to_string())).collect();
        plan.serialize_field("exports", &Named(exports))?;
        plan.serialize_field("launcher", &self.launcher)?;
        plan.end()
    }
}

/// A map in the order of its entries.
struct Named<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for PartPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut part = serializer.serialize_struct("PartPlan", 4)?;
        part.serialize_field("digest", &self.digest.to_string())?;
        part.serialize_field("imports", &self.imports)?;
        part.serialize_field("memory", &self.memory.map(MemorySize::bytes))?;
        part.serialize_field("leftOver", &self.left_over)?;
        part.end()
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Wire { part, export, explicit } => {
                let mut decision = serializer.serialize_struct("Decision", 4)?;
                decision.serialize_field("decision", "wire")?;
                decision.serialize_field("part", &part.to_string())?;
                decision.serialize_field("export", export)?;
                decision.serialize_field("explicit", explicit)?;
                decision.end()
            }
            Self::Deny { pattern, policy } => {
                let mut decision = serializer.serialize_struct("Decision", 3)?;
                decision.serialize_field("decision", "deny")?;
                decision.serialize_field("pattern", pattern)?;
                decision.serialize_field("policy", policy)?;
                decision.end()
            }
            Self::Baked { keys, rest } => {
                let mut decision = serializer.serialize_struct("Decision", 3)?;
                decision.serialize_field("decision", "baked")?;
                decision.serialize_field("keys", keys)?;
                decision.serialize_field("rest", &rest.map(LauncherReason::word))?;
                decision.end()
            }
            Self::Launcher(reason) => {
                let mut decision = serializer.serialize_struct("Decision", 2)?;
                decision.serialize_field("decision", "launcher")?;
                decision.serialize_field("reason", reason.word())?;
                decision.end()
            }
        }
    }
}

impl LauncherReason {
    /// Its word for machines.
    fn word(self) -> &'static str {
        match self {
            Self::BaseSet => "base-set",
            Self::Granted => "granted",
            Self::TypesOnly => "types-only",
        }
    }
}

impl Serialize for LauncherImport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut import = serializer.serialize_struct("LauncherImport", 5)?;
        import.serialize_field("interface", &self.interface)?;
        import.serialize_field("parts", &self.parts.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        import.serialize_field(
            "configOf",
            &self.config_of.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )?;
        import.serialize_field("usedBy", &self.used_by)?;
        import.serialize_field("grant", &self.grant)?;
        import.end()
    }
}
