//! What an application reaches of this device: the values of its grants, made ready once at the start.
//!
//! Owns the variables, the folders, the destinations and the addresses that every store of an application gets.
//! Deliberately absent: which interfaces are linked (see `linker`).
//!
//! Invariants: everything is looked up once, at the start, so that a variable or a folder that is
//! changed, moved or replaced later does not change what a running application reaches; a folder is given only if
//! the signed manifest declares it, and never with more rights than it declares.

use std::collections::{BTreeMap, BTreeSet};
use std::env::{self, VarError};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use wadoo_signing::manifest::{EnvironmentGrant, Grant, Manifest, OutgoingHttp};
use wadoo_signing::mount::{Access, MountPath};
use wadoo_signing::report::{Exit, Report};
use wasmtime::{Engine, Store};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use crate::authorities::Authorities;
use crate::egress::Egress;
use crate::host::Host;
use crate::outgoing::Outgoing;
use crate::upstream::Upstreams;

/// A folder of this device, as the operator gives it: `/data=/var/lib/shop` or `/data=/var/lib/shop:ro`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Nothing is written there, whatever the manifest declares.
    pub read_only: bool,
}

/// The folders that the operator gives, by where the application sees them.
pub type Mounts = BTreeMap<MountPath, Folder>;

/// How a mount is written on a command line.
pub const MOUNT_SYNTAX: &str = "a mount, `/data=/srv/shop` or `/data=/srv/shop:ro` for example";

/// Reads `/data=/var/lib/shop` or `/data=/var/lib/shop:ro`. `None` for anything else: `:rw`, too, since only the
/// manifest decides about writing. A folder whose own name ends so is written with a slash behind it.
pub fn mount_of(text: &OsStr) -> Option<(MountPath, Folder)> {
    let bytes = text.as_bytes();
    let at = bytes.iter().position(|&byte| byte == b'=')?;
    let seen = str::from_utf8(&bytes[..at]).ok()?.parse().ok()?;
    let folder = &bytes[at + 1..];
    let path = folder.strip_suffix(b":ro").unwrap_or(folder);
    if path.is_empty() || path.ends_with(b":rw") {
        return None;
    }
    let read_only = path.len() < folder.len();
    Some((seen, Folder { path: OsString::from_vec(path.to_vec()).into(), read_only }))
}

/// What an application reaches. A copy is cheap, and shares its connections.
#[derive(Clone)]
pub struct Reach {
    http_02: Arc<Upstreams>,
    http_03: Arc<Upstreams>,
    variables: Arc<[(String, String)]>,
    files: WasiFilesystemCtx,
    /// The addresses that sockets may exchange data with; `None`: there are no sockets.
    sockets: Option<Arc<BTreeSet<SocketAddr>>>,
}

/// Why an application does not get what it was granted.
#[derive(Debug, Error)]
pub enum ReachError {
    /// The manifest and the operator do not name the same mounts.
    #[error("the mounts that are declared are not those that are given")]
    Mounts {
        /// The application.
        app: String,
        /// Declared, and no folder is given.
        missing: Vec<(MountPath, Access)>,
        /// Given, and not declared.
        surplus: Vec<MountPath>,
    },
    /// A folder that cannot be opened.
    #[error("a folder cannot be mounted")]
    Folder {
        /// Where it would be seen.
        seen: MountPath,
        /// Where it is.
        path: PathBuf,
        /// Why not.
        because: String,
    },
    /// A component can take nothing but UTF-8.
    #[error("the variable `{0}` is not UTF-8")]
    NotText(String),
    /// Authorities are given to an application that sends nothing through TLS.
    #[error("`{0}` has no use for authorities")]
    NoTls(String),
}

impl From<ReachError> for Report {
    fn from(error: ReachError) -> Self {
        match error {
            ReachError::Mounts { app, missing, surplus } => mounts_report(&app, &missing, &surplus),
            ReachError::Folder { seen, path, because } => {
                Self::new(Exit::CouldNot, format!("cannot mount `{}` at `{seen}`", path.display()))
                    .because(because)
                    .hint(format!("name a folder that this user may open: `--mount {seen}=FOLDER`"))
            }
            ReachError::NotText(key) => {
                Self::new(Exit::CouldNot, format!("cannot pass on the variable `{key}`"))
                    .because("its value is not UTF-8, which is all that a component can take")
                    .hint(format!("set it to text, or remove it: `unset {key}`"))
            }
            ReachError::NoTls(app) => Self::new(
                Exit::Usage,
                format!("`--egress-ca` is given, and `{app}` sends nothing through TLS"),
            )
            .because("no destination that its manifest grants takes `https`")
            .hint("remove `--egress-ca`; `launcher check ARTIFACT` lists the grants"),
        }
    }
}

fn mounts_report(app: &str, missing: &[(MountPath, Access)], surplus: &[MountPath]) -> Report {
    let mut report = Report::new(Exit::Usage, format!("cannot give `{app}` its folders"));
    for (seen, access) in missing {
        report = report
            .because(format!("`{seen}` ({access}) is declared in its manifest, and no folder is given"));
    }
    for seen in surplus {
        report = report.because(format!("`{seen}` is given, and its manifest does not declare it"));
    }
    let add: Vec<String> = missing.iter().map(|(seen, _)| format!("--mount {seen}=FOLDER")).collect();
    let remove: Vec<String> = surplus.iter().map(|seen| format!("`--mount {seen}=…`")).collect();
    let hint = match (add.is_empty(), remove.is_empty()) {
        (false, true) => format!("add `{}`", add.join(" ")),
        (true, _) => format!("remove {}", remove.join(" and ")),
        (false, false) => format!("add `{}` and remove {}", add.join(" "), remove.join(" and ")),
    };
    report.hint(hint)
}

impl Reach {
    /// What `manifest` grants, of this process's environment and of the folders in `mounts`. Outgoing requests believe
    /// `authorities` as well as those that are compiled in.
    ///
    /// # Errors
    ///
    /// When `mounts` are not those that are declared, a folder cannot be opened, a variable cannot be passed on, or there
    /// is no use for `authorities`.
    pub fn of(
        manifest: &Manifest,
        mounts: &Mounts,
        authorities: Option<&Authorities>,
    ) -> Result<Self, ReachError> {
        let destinations =
            ["wasi:http/outgoing-handler@", "wasi:http/client@"].map(|interface| egress(manifest, interface));
        if authorities.is_some() && !destinations.iter().any(Egress::allows_tls) {
            return Err(ReachError::NoTls(manifest.app.name.clone()));
        }
        let [http_02, http_03] =
            destinations.map(|egress| Arc::new(Upstreams::new(egress, authorities.cloned())));
        Ok(Self {
            http_02,
            http_03,
            variables: variables(manifest)?,
            files: files(manifest, mounts)?,
            sockets: sockets(manifest),
        })
    }

    /// A store for the application of `manifest`: `wasi`, with everything that is granted, and every limit set.
    pub(crate) fn store(
        &self,
        wasi: &mut WasiCtxBuilder,
        manifest: &Manifest,
        engine: &Engine,
    ) -> Store<Host> {
        wasi.max_random_size(manifest.limits.random);
        if let Some(granted) = &self.sockets {
            let granted = Arc::clone(granted);
            wasi.allow_tcp(true).allow_udp(true).socket_addr_check(move |address, used| {
                let may = may_use(&granted, address, used);
                Box::pin(async move { may })
            });
        }
        let mut wasi = wasi.envs(&self.variables).build();
        *wasi.filesystem() = self.files.clone();
        let outgoing = |upstreams: &Arc<Upstreams>| Outgoing::new(Arc::clone(upstreams));
        let host = Host::new(wasi, manifest, outgoing(&self.http_02), outgoing(&self.http_03));
        host.into_store(engine, &manifest.limits)
    }
}

/// The destinations of the versions of one interface. Others have their own, and their own connections: what one
/// was granted never decides for another.
fn egress(manifest: &Manifest, interface: &str) -> Egress {
    let mut all = OutgoingHttp::default();
    for (import, grant) in &manifest.grants {
        if let Grant::OutgoingHttp(http) = grant
            && import.starts_with(interface)
        {
            all.hosts.extend(http.hosts.iter().cloned());
            all.networks.extend(&http.networks);
        }
    }
    Egress::new(all)
}

fn variables(manifest: &Manifest) -> Result<Arc<[(String, String)]>, ReachError> {
    let mut variables = BTreeMap::new();
    for grant in manifest.grants.values() {
        let Grant::Environment(EnvironmentGrant { keys }) = grant else { continue };
        for key in keys {
            match env::var(key) {
                Ok(value) => drop(variables.insert(key.clone(), value)),
                Err(VarError::NotPresent) => {}
                Err(VarError::NotUnicode(_)) => return Err(ReachError::NotText(key.clone())),
            }
        }
    }
    Ok(variables.into_iter().collect())
}

/// Every version of the interface sees the same folders, which the linker has checked.
fn files(manifest: &Manifest, mounts: &Mounts) -> Result<WasiFilesystemCtx, ReachError> {
    let declared: BTreeMap<&MountPath, Access> = manifest
        .grants
        .values()
        .filter_map(|grant| match grant {
            Grant::Filesystem(filesystem) => Some(&filesystem.mounts),
            _ => None,
        })
        .flatten()
        .map(|(seen, access)| (seen, *access))
        .collect();
    let missing: Vec<_> = declared
        .iter()
        .filter(|(seen, _)| !mounts.contains_key(*seen))
        .map(|(seen, access)| ((*seen).clone(), *access))
        .collect();
    let surplus: Vec<_> = mounts.keys().filter(|seen| !declared.contains_key(seen)).cloned().collect();
    if !missing.is_empty() || !surplus.is_empty() {
        return Err(ReachError::Mounts { app: manifest.app.name.clone(), missing, surplus });
    }
    if declared.is_empty() {
        return Ok(WasiFilesystemCtx::default());
    }
    let mut wasi = WasiCtx::builder();
    for (seen, access) in declared {
        let Folder { path, read_only } = &mounts[seen];
        let rights = match (access, read_only) {
            (Access::ReadWrite, false) => FsPerms::ReadWrite,
            (Access::ReadWrite, true) | (Access::Read, _) => FsPerms::ReadOnly,
        };
        wasi.preopened_dir(path, seen.as_str(), rights).map_err(|error| ReachError::Folder {
            seen: seen.clone(),
            path: path.clone(),
            because: error.root_cause().to_string(),
        })?;
    }
    Ok(wasi.build().filesystem().clone())
}

/// Every interface of sockets has the same addresses, which the linker has checked.
fn sockets(manifest: &Manifest) -> Option<Arc<BTreeSet<SocketAddr>>> {
    manifest.grants.values().find_map(|grant| match grant {
        Grant::Sockets(sockets) => Some(Arc::new(sockets.connect.clone())),
        _ => None,
    })
}

/// Data goes to the granted addresses and comes from them; nobody else may be waited for.
fn may_use(granted: &BTreeSet<SocketAddr>, address: SocketAddr, used: SocketAddrUse) -> bool {
    match used {
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            granted.contains(&SocketAddr::new(address.ip().to_canonical(), address.port()))
        }
        // Every socket is bound before it connects: to whatever address and port the system takes.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
            address.ip().is_unspecified() && address.port() == 0
        }
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_talk_to_granted_addresses_and_listen_to_nobody() {
        let granted = ["10.0.0.5:5432", "[fd00::5]:53"].map(|address| address.parse().unwrap()).into();
        let may = |address: &str, used| may_use(&granted, address.parse().unwrap(), used);
        use SocketAddrUse::{TcpAccept, TcpBind, TcpConnect, TcpListen, UdpBind, UdpReceive, UdpSend};
        for used in [TcpConnect, UdpSend, UdpReceive] {
            for address in ["10.0.0.5:5432", "[::ffff:10.0.0.5]:5432", "[fd00::5]:53"] {
                assert!(may(address, used), "{address} {used:?}");
            }
            for address in ["10.0.0.5:5433", "10.0.0.6:5432", "127.0.0.1:5432", "0.0.0.0:0"] {
                assert!(!may(address, used), "{address} {used:?}");
            }
        }
        for used in [TcpBind, UdpBind] {
            assert!(may("0.0.0.0:0", used) && may("[::]:0", used));
            assert!(!may("0.0.0.0:8080", used) && !may("10.0.0.5:5432", used));
        }
        for used in [TcpListen, TcpAccept] {
            assert!(!may("10.0.0.5:5432", used) && !may("0.0.0.0:0", used));
        }
    }

    #[test]
    fn a_mount_is_where_it_is_seen_and_where_it_is() {
        let folder = |path: &str, read_only| Some(Folder { path: path.into(), read_only });
        for (text, seen, expected) in [
            ("/data=/srv/shop", "/data", folder("/srv/shop", false)),
            ("/data=/srv/shop:ro", "/data", folder("/srv/shop", true)),
            ("/=relative/folder", "/", folder("relative/folder", false)),
            ("/data=/a=b:c", "/data", folder("/a=b:c", false)),
            ("/data=/srv/x:ro/", "/data", folder("/srv/x:ro/", false)),
        ] {
            let found = mount_of(OsStr::new(text));
            assert_eq!(found, Some((seen.parse().unwrap(), expected.unwrap())), "{text}");
        }
        for bad in [
            "",
            "/data",
            "/data=",
            "/data=:ro",
            "/data=/x:rw",
            "/data=/x:rw:ro",
            "data=/x",
            "/data/=/x",
            "=/x",
        ] {
            assert_eq!(mount_of(OsStr::new(bad)), None, "{bad}");
        }
    }
}
