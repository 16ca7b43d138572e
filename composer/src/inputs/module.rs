//! From a core module to a component: its world from its own metadata or from WIT, WASI preview 1 by the adapter of the
//! engine's release.
//!
//! The same module and world give the same bytes. What cannot be encoded is told by import or export: the encoder's own
//! words are about its insides.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_PROXY_ADAPTER, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{AdapterModuleDidNotExport, ComponentEncoder, StringEncoding, embed_component_metadata};

use super::component;
use super::error::InputError;
use super::wit::Wit;
use crate::recipe::InterfaceName;

/// The module that programs of the first WASI snapshot import from.
const OLD_WASI: &str = "wasi_unstable";
/// The export that makes a module a command.
const START: &str = "_start";

/// Why no component can be made of a core module.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ModuleError {
    #[error("it says nothing of what it exports")]
    NoWorld { exports: Vec<String> },
    #[error("it imports `{OLD_WASI}`, the WASI before preview 1")]
    OldWasi,
    #[error("its import `{import}` has no provider")]
    NoProvider { import: String, reason: String },
    #[error("it lacks an export that its world has")]
    NoExport { reason: String, name: String },
    #[error("its export `{name}` has another type than its world says")]
    Signature { name: String, expected: String, found: String },
    #[error("no component can be made of it")]
    Other { reasons: Vec<String> },
}

impl ModuleError {
    /// Why, where the message does not say all.
    pub(super) fn because(&self) -> Vec<String> {
        match self {
            Self::NoWorld { exports } => {
                let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
                vec![
                    format!("it exports {exports}"),
                    format!("expected metadata of a component, `wit` and `world`, or a command's `{START}`"),
                ]
            }
            Self::NoProvider { reason, .. } | Self::NoExport { reason, .. } => vec![reason.clone()],
            Self::Signature { expected, found, .. } => {
                vec![format!("found     {found}"), format!("expected  {expected}")]
            }
            Self::Other { reasons } => reasons.clone(),
            Self::OldWasi => Vec::new(),
        }
    }

    /// What to do.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::NoWorld { .. } => Some(
                "say what it exports: `wit = \"wit\"` and `world = \"acme:plugin/decoder\"`, or build it with bindings"
                    .into(),
            ),
            Self::OldWasi => Some("build it again with a tool chain for `wasm32-wasip1`".into()),
            Self::NoProvider { import, .. } if import.starts_with(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME) => {
                Some("build it without this call: WASI 0.2 has nothing that it could be made of".into())
            }
            Self::NoProvider { import, .. } if import.starts_with("env::") => {
                Some("link what provides it into the module: it is often a function that the linker did not find".into())
            }
            Self::NoProvider { .. } => Some("import it in the module's world, or build the module without it".into()),
            Self::NoExport { name, .. } => Some(format!("export the function under the name `{name}`")),
            Self::Signature { .. } => Some("build it against the same WIT".into()),
            Self::Other { .. } => None,
        }
    }
}

/// A component that was made of a core module.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    /// What was put between it and WASI 0.2.
    pub(super) adapter: Option<Adapter>,
}

/// Which adapter for preview 1 a module needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adapter {
    /// It has a `_start`, which becomes `wasi:cli/run`.
    Command,
    /// It handles HTTP requests; there are no files and no environment in that world.
    Proxy,
    /// Anything else.
    Reactor,
}

impl Adapter {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Command => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
            Self::Proxy => WASI_SNAPSHOT_PREVIEW1_PROXY_ADAPTER,
            Self::Reactor => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        }
    }

    /// How the manifest accounts for it.
    pub(super) fn account(self) -> manifest::Input {
        let kind = match self {
            Self::Command => "command",
            Self::Proxy => "proxy",
            Self::Reactor => "reactor",
        };
        manifest::Input {
            digest: Sha256Digest::of(self.bytes()),
            source: format!(
                "{WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME}.{kind}.wasm of wasmtime {}",
                wadoo_launcher::engine::WASMTIME_VERSION
            ),
        }
    }
}

/// Makes a component of the core module `bytes`, which are hostile. `world` is what the recipe says of it.
pub(super) fn encode(bytes: &[u8], world: Option<(&Wit, &InterfaceName)>) -> Result<Encoded, InputError> {
    component::validate_module(bytes)?;
    let mut module = bytes.to_vec();
    if let Some((wit, name)) = world {
        let (resolve, world) = wit.world(name)?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .map_err(|error| ModuleError::Other { reasons: reasons(error.chain()) })?;
    }
    let surface = Surface::of(&module)?;
    let adapter = surface.adapter(&module)?;
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        let mut encoder = ComponentEncoder::default();
        encoder.module(&module)?;
        if let Some(adapter) = adapter {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter.bytes())?;
        }
        encoder.encode()
    }))
    .map_err(|_| ModuleError::Other { reasons: vec!["the encoder fails on it".to_owned()] })?;
    let bytes = encoded.map_err(|error| {
        explain(reasons(error.chain()), error.downcast_ref::<AdapterModuleDidNotExport>().is_some())
    })?;
    Ok(Encoded { bytes, adapter })
}

/// What a module shows before anything is made of it.
#[derive(Debug, Default)]
struct Surface {
    imports: Vec<(String, String)>,
    exports: Vec<String>,
    has_metadata: bool,
}

impl Surface {
    fn of(module: &[u8]) -> Result<Self, InputError> {
        let mut surface = Self::default();
        // The validator has accepted these bytes; what it would not accept ends the loop.
        for payload in Parser::new(0).parse_all(module).map_while(Result::ok) {
            match payload {
                Payload::ImportSection(section) => {
                    let imports = section.into_imports().filter_map(Result::ok);
                    surface
                        .imports
                        .extend(imports.map(|import| (import.module.to_owned(), import.name.to_owned())));
                }
                Payload::ExportSection(section) => {
                    let exports = section.into_iter().filter_map(Result::ok);
                    surface.exports.extend(exports.map(|export| export.name.to_owned()));
                }
                Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                    component::check_metadata(section.data())?;
                    surface.has_metadata = true;
                }
                _ => {}
            }
        }
        Ok(surface)
    }

    /// The adapter that it needs, if it needs one.
    fn adapter(&self, module: &[u8]) -> Result<Option<Adapter>, ModuleError> {
        let imports_from = |name: &str| self.imports.iter().any(|(module, _)| module == name);
        if imports_from(OLD_WASI) {
            return Err(ModuleError::OldWasi);
        }
        if self.exports.iter().any(|export| export == START) {
            return Ok(Some(Adapter::Command));
        }
        if !self.has_metadata {
            // The encoder would make a component of it that has nothing.
            let exports = self.exports.iter().map(|export| format!("`{export}`")).collect();
            return Err(ModuleError::NoWorld { exports });
        }
        if !imports_from(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME) {
            return Ok(None);
        }
        Ok(Some(if handles_http(module) { Adapter::Proxy } else { Adapter::Reactor }))
    }
}

/// Whether the module's world has the HTTP handler of WASI 0.2.
fn handles_http(module: &[u8]) -> bool {
    let decoded = catch_unwind(|| wit_component::metadata::decode(module).ok()).ok().flatten();
    decoded.is_some_and(|(_, metadata)| {
        let exports = metadata.resolve.worlds[metadata.world].exports.keys();
        let mut names = exports.map(|key| metadata.resolve.name_world_key(key));
        names.any(|name| name.starts_with("wasi:http/incoming-handler"))
    })
}

/// The encoder's error in words about imports and exports.
fn explain(reasons: Vec<String>, not_in_adapter: bool) -> ModuleError {
    let after = |begins: &str| reasons.iter().find_map(|reason| quoted(reason.strip_prefix(begins)?));
    let root = reasons.last().cloned().unwrap_or_default();
    if not_in_adapter {
        let name = quoted(&root).unwrap_or_default();
        return ModuleError::NoProvider {
            import: format!("{WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME}::{name}"),
            reason: "the adapter for WASI preview 1 does not have it".to_owned(),
        };
    }
    if let Some(import) = after("failed to resolve import ") {
        let reason = match import.split_once("::") {
            Some((module, _)) if !module.contains(':') => {
                format!("`{module}` is no interface that a component could import")
            }
            Some((module, _)) if root.starts_with("module requires an import interface named") => {
                format!("its world imports no `{module}`")
            }
            _ if root.starts_with("unknown or invalid component model import syntax") => {
                "it is no import that a component can have".to_owned()
            }
            _ => root,
        };
        return ModuleError::NoProvider { import, reason };
    }
    if let (Some(name), Some(types)) =
        (after("failed to classify export "), root.strip_prefix("type mismatch for function "))
    {
        let ty = |at| types.split('`').nth(at).unwrap_or_default().to_lowercase();
        return ModuleError::Signature { name, expected: ty(3), found: ty(5) };
    }
    if let Some(rest) = root.strip_prefix("failed to find export of interface ")
        && let (Some(interface), Some(function)) = (quoted(rest), rest.rsplit('`').nth(1))
    {
        return ModuleError::NoExport {
            reason: format!("`{interface}` has a function `{function}`"),
            name: format!("{interface}#{function}"),
        };
    }
    if let Some(name) = root.strip_prefix("failed to find export of function ").and_then(quoted) {
        return ModuleError::NoExport { reason: format!("the world has a function `{name}`"), name };
    }
    ModuleError::Other { reasons }
}

/// The first word between back quotes.
fn quoted(text: &str) -> Option<String> {
    text.split('`').nth(1).map(str::to_owned)
}

/// An error and its causes, a line each.
fn reasons<'a>(chain: impl Iterator<Item = &'a (dyn Error + 'static)>) -> Vec<String> {
    chain.map(|cause| cause.to_string().replace('\n', " ")).collect()
}
