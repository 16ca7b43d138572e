//! Which imports an application gets, and from where.
//!
//! Owns the table of interfaces that this launcher can provide, the check of a component's imports against
//! its manifest, and the linking of exactly those. Deliberately absent: what the interfaces do (see `wadoo_host`
//! and `outgoing`) and which of them a recipe may ask for (the composer's business).
//!
//! Invariant: an interface is linked only if the component imports it **and** the signed manifest lists it
//! **and** it is in the base set or granted. Everything else stops the start.

use std::collections::BTreeSet;

use thiserror::Error;
use wadoo_host::{Host, MAX_PARTS, PartIndex, v02, v03};
use wadoo_signing::files::FILES;
use wadoo_signing::manifest::{FilesystemGrant, Grant, Manifest, PartImport};
use wadoo_signing::mount::MAX_MOUNTS;
use wadoo_signing::report::{Exit, Report};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasData, Linker, LinkerInstance, ResourceTable};
use wasmtime::{Engine, Result as WasmResult};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::bindings as wasi02;
use wasmtime_wasi_http::WasiHttp;
use wasmtime_wasi_http::{p2::bindings::http as http02, p3::bindings::http as http03};

/// Why an application is not linked. Every offending import is named.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The payload asks for more than the manifest that was signed for it says.
    #[error("the payload imports what its manifest does not list")]
    Undeclared {
        /// The application.
        app: String,
        /// Full names of the imports.
        imports: Vec<String>,
    },
    /// Imports that no version of this launcher provides, or that are not granted.
    #[error("imports without a provider")]
    Unprovided {
        /// The application.
        app: String,
        /// Full name of each import, and why it is not provided.
        imports: Vec<(String, &'static str)>,
    },
    /// A grant whose values this launcher cannot enforce.
    #[error("a grant that cannot be enforced")]
    Unenforceable {
        /// The application.
        app: String,
        /// Full name of the granted import.
        import: String,
        /// What is wrong with it.
        because: &'static str,
    },
    /// The component does not have the export that its manifest names as its trigger.
    #[error("no export to start the application with")]
    NoTrigger {
        /// The application.
        app: String,
        /// The interface that was expected.
        expected: &'static str,
    },
    /// wasmtime refused the linked set: an import has another type than this launcher provides.
    #[error("an import has another type")]
    Mismatch {
        /// The application.
        app: String,
        /// wasmtime's reason.
        because: String,
    },
}

impl LinkError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Undeclared { .. } => Some("compose the application again with `wadoo compose`".to_owned()),
            Self::Unprovided { .. } => Some(
                "deny these imports in the recipe (`deny = [\"…\"]`), or run the application on a launcher that \
                 provides them"
                    .to_owned(),
            ),
            Self::Unenforceable { .. } | Self::NoTrigger { .. } | Self::Mismatch { .. } => {
                Some("compose the application with the `wadoo` of this launcher's version".to_owned())
            }
        }
    }
}

impl From<LinkError> for Report {
    fn from(error: LinkError) -> Self {
        let hint = error.hint();
        let mut report = match error {
            LinkError::Undeclared { app, imports } => {
                let what =
                    format!("refusing to run `{app}`: its payload imports what its manifest does not list");
                imports.into_iter().fold(Self::new(Exit::NotTrusted, what), Self::because)
            }
            LinkError::Unprovided { app, imports } => {
                let many = if imports.len() == 1 {
                    "1 import has"
                } else {
                    &format!("{} imports have", imports.len())
                };
                let what = format!("cannot run `{app}`: {many} no provider in this launcher");
                let width = imports.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                imports.into_iter().fold(Self::new(Exit::Incompatible, what), |report, (name, why)| {
                    report.because(format!("{name:width$}  ({why})"))
                })
            }
            LinkError::Unenforceable { app, import, because } => {
                let what =
                    format!("cannot run `{app}`: this launcher cannot enforce the grant of `{import}`");
                Self::new(Exit::Incompatible, what).because(because)
            }
            LinkError::NoTrigger { app, expected } => {
                let what = format!("cannot run `{app}`: its payload does not export what its manifest says");
                Self::new(Exit::Incompatible, what).because(format!("expected an export `{expected}`"))
            }
            LinkError::Mismatch { app, because } => {
                let what =
                    format!("cannot run `{app}`: an import has another type than this launcher provides");
                Self::new(Exit::Incompatible, what).because(because)
            }
        };
        report.hint = hint;
        report
    }
}

/// Links `component`: checks its imports against `manifest` and defines each of them.
///
/// # Errors
///
/// When the component imports something undeclared, unknown or not granted. See [`LinkError`].
pub(crate) fn link(
    engine: &Engine,
    component: &Component,
    manifest: &Manifest,
) -> Result<Linker<Host>, LinkError> {
    let app = || manifest.app.name.clone();
    check_grants(manifest)?;

    let wanted = imports(engine, component);
    let undeclared: Vec<String> = wanted.difference(&manifest.imports).cloned().collect();
    if !undeclared.is_empty() {
        return Err(LinkError::Undeclared { app: app(), imports: undeclared });
    }

    let mut linker = Linker::new(engine);
    let mut unprovided = Vec::new();
    let parts = manifest.parts_with_own_imports();
    for name in wanted {
        match find(manifest.interface_of(&name)) {
            Some(interface) if interface.base || manifest.grants.contains_key(&name) => {
                match manifest.part_imports.get(&name) {
                    None => (interface.link)(&mut linker),
                    Some(own) => interface.link_own(&mut linker, &name, own, &parts),
                }
                .map_err(|error| mismatch(manifest, &error))?;
            }
            Some(_) => unprovided.push((name, "not granted")),
            None => unprovided.push((name, "unknown to this launcher")),
        }
    }
    if unprovided.is_empty() {
        Ok(linker)
    } else {
        Err(LinkError::Unprovided { app: app(), imports: unprovided })
    }
}

/// What wasmtime says when types do not fit, without its chain of contexts.
pub(crate) fn mismatch(manifest: &Manifest, error: &wasmtime::Error) -> LinkError {
    let because = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    LinkError::Mismatch { app: manifest.app.name.clone(), because }
}

/// The imports that need a provider. An interface of types only needs none.
fn imports(engine: &Engine, component: &Component) -> BTreeSet<String> {
    let ty = component.component_type();
    ty.imports(engine)
        .filter(|(_, import)| match &import.ty {
            ComponentItem::ComponentInstance(instance) => {
                instance.exports(engine).any(|(_, export)| !matches!(export.ty, ComponentItem::Type(_)))
            }
            _ => true,
        })
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// A grant is accepted only where its values are enforced.
fn check_grants(manifest: &Manifest) -> Result<(), LinkError> {
    let refuse = |import: &str, because| Err(unenforceable(manifest, import, because));
    if manifest.parts_with_own_imports().len() > MAX_PARTS {
        let import = manifest.part_imports.keys().next().map_or("", String::as_str);
        return refuse(import, "more parts have values of their own than this launcher can keep apart");
    }
    for (import, grant) in &manifest.grants {
        let kind = find(manifest.interface_of(import)).map(|interface| interface.grant);
        match (grant, kind) {
            (Grant::OutgoingHttp(_), Some(Some(Kind::OutgoingHttp))) => {}
            (Grant::Environment(_), Some(Some(Kind::Environment))) => {}
            (Grant::Sockets(_), Some(Some(Kind::Sockets))) => {}
            (Grant::Filesystem(filesystem), Some(Some(Kind::Filesystem))) => {
                let FilesystemGrant { mounts, files } = filesystem;
                if mounts.len() + files.len() > MAX_MOUNTS {
                    return refuse(import, "it has more mounts than this launcher can hold");
                }
                if files.keys().any(|seen| mounts.contains_key(seen)) {
                    return refuse(import, "it has files and a mount at one path");
                }
                let attached = |digest| {
                    let mut trees = manifest.attachments.iter().filter(|one| one.kind == FILES);
                    trees.any(|tree| tree.sha256 == digest)
                };
                if !files.values().all(|digest| attached(*digest)) {
                    return refuse(import, "it has files that the artifact does not carry");
                }
            }
            (_, Some(Some(_))) => return refuse(import, "its values are of another kind"),
            (_, Some(None)) => return refuse(import, "this interface takes no grant"),
            (_, None) => return refuse(import, "this launcher does not know the interface"),
        }
    }
    let of_all = std::iter::once(None);
    let of_parts = manifest.parts_with_own_imports().into_iter().map(Some);
    of_all.chain(of_parts).try_for_each(|part| check_versions(manifest, part))
}

fn unenforceable(manifest: &Manifest, import: &str, because: &'static str) -> LinkError {
    LinkError::Unenforceable { app: manifest.app.name.clone(), import: import.to_owned(), because }
}

/// What a part reaches, or all of them, is known by kind, so one version of an interface must not have less than another.
fn check_versions(manifest: &Manifest, part: Option<&str>) -> Result<(), LinkError> {
    let refuse = |import: &str, because| Err(unenforceable(manifest, import, because));
    let of_part = |import: &&String| manifest.part_imports.get(*import).map(|own| own.part.as_str()) == part;
    let imports = || manifest.imports.iter().filter(of_part).map(|import| manifest.interface_of(import));
    for (import, grant) in manifest.grants_of(part) {
        let same = |other: &str| match grant {
            // Every version of it reads the same variables, and sees the same folders.
            Grant::Environment(_) => find(other).is_some_and(|other| other.grant == Some(Kind::Environment)),
            Grant::Filesystem(_) => find(other).is_some_and(|other| other.grant == Some(Kind::Filesystem)),
            // All of them, of every version, share their sockets.
            Grant::Sockets(_) => find(other).is_some_and(|other| other.grant == Some(Kind::Sockets)),
            // 0.2 and 0.3 are enforced apart.
            Grant::OutgoingHttp(_) => find(other)
                .is_some_and(|other| find(import).is_some_and(|interface| std::ptr::eq(interface, other))),
        };
        if let Some((other, _)) = manifest.grants_of(part).find(|(name, other)| same(name) && *other != grant)
        {
            return refuse(other, "another version of the same interface is granted other values");
        }
        let granted = |other: &str| manifest.grants_of(part).any(|(name, _)| name == other);
        if let Some(other) = imports().find(|other| same(other) && !granted(other)) {
            return refuse(other, "another version of the same interface has a grant, and this one has none");
        }
    }
    Ok(())
}

/// An interface that this launcher provides.
struct Interface {
    /// `wasi:io/streams`
    name: &'static str,
    /// The compatible versions.
    track: Track,
    /// Needs no grant.
    base: bool,
    /// The kind of values that a grant of it carries.
    grant: Option<Kind>,
    link: fn(&mut Linker<Host>) -> WasmResult<()>,
    /// For one part alone; not for interfaces that carry no values.
    link_own: Option<LinkOwn>,
}

type LinkOwn = fn(&mut LinkerInstance<'_, Host>, PartIndex) -> WasmResult<()>;

impl Interface {
    /// Defines `import`, which is there for one of `parts` alone.
    fn link_own(
        &self,
        linker: &mut Linker<Host>,
        import: &str,
        own: &PartImport,
        parts: &BTreeSet<&str>,
    ) -> WasmResult<()> {
        let index = parts.iter().position(|part| *part == own.part).and_then(PartIndex::new);
        let (Some(link), Some(index)) = (self.link_own, index) else {
            wasmtime::bail!("`{}` carries no values for one part", self.name);
        };
        link(&mut linker.instance(import)?, index)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    OutgoingHttp,
    Environment,
    Filesystem,
    Sockets,
}

/// Versions that are compatible with each other. A pre-release is compatible with itself only, so none is
/// in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Track {
    /// 0.2.x
    V02,
    /// 0.3.x
    V03,
}

use Track::{V02, V03};

/// Splits `wasi:io/streams@0.2.6` and finds its provider.
fn find(import: &str) -> Option<&'static Interface> {
    let (name, version) = import.split_once('@')?;
    let mut numbers = version.splitn(3, '.');
    let track = match (numbers.next()?, numbers.next()?) {
        ("0", "2") => V02,
        ("0", "3") => V03,
        _ => return None,
    };
    let patch = numbers.next()?;
    if patch.is_empty() || !patch.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    INTERFACES.iter().find(|interface| interface.name == name && interface.track == track)
}

/// `wasi:io` needs the resource table only.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

const fn base(name: &'static str, track: Track, link: fn(&mut Linker<Host>) -> WasmResult<()>) -> Interface {
    Interface { name, track, base: true, grant: None, link, link_own: None }
}

/// In the base set, empty; a grant gives it values.
const fn granted(
    name: &'static str,
    track: Track,
    kind: Kind,
    link: fn(&mut Linker<Host>) -> WasmResult<()>,
    own: LinkOwn,
) -> Interface {
    Interface { name, track, base: true, grant: Some(kind), link, link_own: Some(own) }
}

/// One of `wasi:sockets`.
const fn sockets(
    name: &'static str,
    track: Track,
    link: fn(&mut Linker<Host>) -> WasmResult<()>,
) -> Interface {
    Interface { name, track, base: false, grant: Some(Kind::Sockets), link, link_own: None }
}

/// Everything that can be linked: the base set of WASI 0.2 and 0.3, and what needs a grant. Interfaces
/// that hold types only (`wasi:cli/types@0.3`) need no entry.
static INTERFACES: &[Interface] = &[
    base("wasi:io/error", V02, |l| wasi02::io::error::add_to_linker::<_, Io>(l, |h| h.ctx().table)),
    base("wasi:io/poll", V02, |l| wasi02::io::poll::add_to_linker::<_, Io>(l, |h| h.ctx().table)),
    base("wasi:io/streams", V02, |l| wasi02::io::streams::add_to_linker::<_, Io>(l, |h| h.ctx().table)),
    base("wasi:clocks/wall-clock", V02, v02::wall_clock),
    base("wasi:clocks/monotonic-clock", V02, v02::monotonic_clock),
    base("wasi:random/random", V02, v02::random),
    base("wasi:random/insecure", V02, v02::insecure),
    base("wasi:random/insecure-seed", V02, v02::insecure_seed),
    granted("wasi:cli/environment", V02, Kind::Environment, v02::environment, v02::own_environment),
    base("wasi:cli/exit", V02, v02::exit),
    base("wasi:cli/stdin", V02, v02::stdin),
    base("wasi:cli/stdout", V02, v02::stdout),
    base("wasi:cli/stderr", V02, v02::stderr),
    base("wasi:cli/terminal-input", V02, v02::terminal_input),
    base("wasi:cli/terminal-output", V02, v02::terminal_output),
    base("wasi:cli/terminal-stdin", V02, v02::terminal_stdin),
    base("wasi:cli/terminal-stdout", V02, v02::terminal_stdout),
    base("wasi:cli/terminal-stderr", V02, v02::terminal_stderr),
    base("wasi:filesystem/types", V02, v02::filesystem),
    granted("wasi:filesystem/preopens", V02, Kind::Filesystem, v02::preopens, v02::own_preopens),
    base("wasi:http/types", V02, |l| {
        let options = http02::types::LinkOptions::default();
        http02::types::add_to_linker::<_, WasiHttp>(l, &options, Host::http_02)
    }),
    Interface {
        name: "wasi:http/outgoing-handler",
        track: V02,
        base: false,
        grant: Some(Kind::OutgoingHttp),
        link: |l| http02::outgoing_handler::add_to_linker::<_, WasiHttp>(l, Host::http_02),
        link_own: Some(|import, part| {
            http02::outgoing_handler::add_to_linker_instance::<_, WasiHttp>(import, part.http_02())
        }),
    },
    base("wasi:clocks/system-clock", V03, v03::system_clock),
    base("wasi:clocks/monotonic-clock", V03, v03::monotonic_clock),
    base("wasi:random/random", V03, v03::random),
    base("wasi:random/insecure", V03, v03::insecure),
    base("wasi:random/insecure-seed", V03, v03::insecure_seed),
    granted("wasi:cli/environment", V03, Kind::Environment, v03::environment, v03::own_environment),
    base("wasi:cli/exit", V03, v03::exit),
    base("wasi:cli/stdin", V03, v03::stdin),
    base("wasi:cli/stdout", V03, v03::stdout),
    base("wasi:cli/stderr", V03, v03::stderr),
    base("wasi:cli/terminal-input", V03, v03::terminal_input),
    base("wasi:cli/terminal-output", V03, v03::terminal_output),
    base("wasi:cli/terminal-stdin", V03, v03::terminal_stdin),
    base("wasi:cli/terminal-stdout", V03, v03::terminal_stdout),
    base("wasi:cli/terminal-stderr", V03, v03::terminal_stderr),
    base("wasi:filesystem/types", V03, v03::filesystem),
    granted("wasi:filesystem/preopens", V03, Kind::Filesystem, v03::preopens, v03::own_preopens),
    base("wasi:http/types", V03, |l| http03::types::add_to_linker::<_, WasiHttp>(l, Host::http_03)),
    Interface {
        name: "wasi:http/client",
        track: V03,
        base: false,
        grant: Some(Kind::OutgoingHttp),
        link: |l| http03::client::add_to_linker::<_, WasiHttp>(l, Host::http_03),
        link_own: Some(|import, part| {
            http03::client::add_to_linker_instance::<_, WasiHttp>(import, part.http_03())
        }),
    },
    sockets("wasi:sockets/instance-network", V02, v02::instance_network),
    sockets("wasi:sockets/ip-name-lookup", V02, v02::ip_name_lookup),
    sockets("wasi:sockets/network", V02, v02::network),
    sockets("wasi:sockets/tcp", V02, v02::tcp),
    Interface {
        link_own: Some(v02::own_tcp_create_socket),
        ..sockets("wasi:sockets/tcp-create-socket", V02, v02::tcp_create_socket)
    },
    sockets("wasi:sockets/udp", V02, v02::udp),
    Interface {
        link_own: Some(v02::own_udp_create_socket),
        ..sockets("wasi:sockets/udp-create-socket", V02, v02::udp_create_socket)
    },
    Interface {
        link_own: Some(v03::own_ip_name_lookup),
        ..sockets("wasi:sockets/ip-name-lookup", V03, v03::ip_name_lookup)
    },
    Interface { link_own: Some(v03::own_sockets), ..sockets("wasi:sockets/types", V03, v03::sockets) },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_patch_of_a_track_and_no_other_version() {
        for name in
            ["wasi:io/poll@0.2.0", "wasi:io/poll@0.2.12", "wasi:http/types@0.3.2", "wasi:http/client@0.3.0"]
        {
            assert!(find(name).is_some(), "{name}");
        }
        for name in [
            "wasi:io/poll",
            "wasi:io/poll@0.3.0",
            "wasi:io/poll@0.2",
            "wasi:http/types@0.3.0-rc-2026-01-06",
            "wasi:http/types@1.0.0",
            "wasi:sockets/tcp@0.3.0",
            "wasi:keyvalue/store@0.2.0-draft",
            "",
        ] {
            assert!(find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn only_outgoing_http_and_sockets_need_a_grant() {
        let granted: Vec<_> = INTERFACES.iter().filter(|interface| !interface.base).map(|i| i.name).collect();
        let (sockets, others): (Vec<_>, Vec<_>) =
            granted.into_iter().partition(|name| name.starts_with("wasi:sockets/"));
        assert_eq!(others, ["wasi:http/outgoing-handler", "wasi:http/client"]);
        assert_eq!(sockets.len(), 9);
    }
}
