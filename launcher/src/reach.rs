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
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::task::yield_now;
use wadoo_host::{Host, Reached};
use wadoo_signing::digest::Sha256Digest;
use wadoo_signing::manifest::{EnvironmentGrant, FilesystemGrant, Grant, Limits, Manifest};
use wadoo_signing::mount::{Access, MountPath};
use wadoo_signing::report::{Exit, Report};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use crate::authorities::Authorities;
use crate::egress::{self, Egress};
use crate::files::CarriedFiles;
use crate::mounts::{Folder, Matched, MountPoint, Mounts};
use crate::outgoing::{NotGranted, Outgoing};
use crate::upstream::Upstreams;

/// What an application reaches. A copy is cheap, and shares its connections.
#[derive(Clone)]
pub struct Reach {
    all: Values,
    /// By the order of the parts that have imports of their own.
    parts: Vec<Values>,
    /// Removed with the last copy.
    _carried: Arc<CarriedFiles>,
}

/// The values of the grants of one part, or of all.
#[derive(Clone)]
struct Values {
    http_02: Option<Arc<Upstreams>>,
    http_03: Option<Arc<Upstreams>>,
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
        missing: Vec<(MountPoint, Access)>,
        /// Given, and not declared.
        surplus: Vec<MountPoint>,
    },
    /// A folder that cannot be opened.
    #[error("a folder cannot be mounted")]
    Folder {
        /// Where it would be seen.
        seen: MountPoint,
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

fn mounts_report(app: &str, missing: &[(MountPoint, Access)], surplus: &[MountPoint]) -> Report {
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
    /// What `manifest` grants, of this process's environment, of the folders in `mounts`, and of the files that the artifact
    /// `carried`. Outgoing requests believe `authorities` as well as those that are compiled in.
    ///
    /// # Errors
    ///
    /// When `mounts` are not those that are declared, a folder cannot be opened, a variable cannot be passed on, or there
    /// is no use for `authorities`.
    pub fn of(
        manifest: &Manifest,
        mounts: &Mounts,
        carried: Arc<CarriedFiles>,
        authorities: Option<&Authorities>,
    ) -> Result<Self, ReachError> {
        let is_tls = |grant: &Grant| matches!(grant, Grant::OutgoingHttp(http) if egress::takes_tls(http));
        if authorities.is_some() && !manifest.grants.values().any(is_tls) {
            return Err(ReachError::NoTls(manifest.app.name.clone()));
        }
        let Matched { folders, missing, surplus } = Matched::new(manifest, mounts);
        if !missing.is_empty() || !surplus.is_empty() {
            return Err(ReachError::Mounts { app: manifest.app.name.clone(), missing, surplus });
        }
        let values = |part: Option<&str>| {
            let folders = folders.get(&part).map(Vec::as_slice).unwrap_or_default();
            let files = Files { part, folders, carried: &carried };
            Values::of(manifest, &files, authorities)
        };
        let parts = manifest.parts_with_own_imports();
        Ok(Self {
            all: values(None)?,
            parts: parts.into_iter().map(|part| values(Some(part))).collect::<Result<_, _>>()?,
            _carried: carried,
        })
    }

    /// A store for the application of `manifest`: `wasi`, with its arguments and everything that is granted, and every limit
    /// set.
    pub(crate) fn store(
        &self,
        wasi: &mut WasiCtxBuilder,
        arguments: &[String],
        manifest: &Manifest,
        engine: &Engine,
    ) -> Store<Host> {
        wasi.max_random_size(manifest.limits.random);
        let all = self.all.reached(wasi.args(arguments));
        let reached = |part: &Values| part.reached(WasiCtx::builder().args(arguments));
        let parts = self.parts.iter().map(reached).collect();
        store(engine, Host::new(all, parts, manifest), &manifest.limits)
    }
}

impl Values {
    fn of(
        manifest: &Manifest,
        files: &Files<'_>,
        authorities: Option<&Authorities>,
    ) -> Result<Self, ReachError> {
        let grants = || manifest.grants_of(files.part);
        let upstreams = |interface: &str| {
            let egress = egress(grants().filter(|(name, _)| name.starts_with(interface)))?;
            Some(Arc::new(Upstreams::new(egress, authorities.cloned())))
        };
        Ok(Self {
            http_02: upstreams("wasi:http/outgoing-handler@"),
            http_03: upstreams("wasi:http/client@"),
            variables: variables(grants())?,
            files: files.open(manifest)?,
            sockets: sockets(grants()),
        })
    }

    fn reached(&self, wasi: &mut WasiCtxBuilder) -> Reached {
        if let Some(granted) = &self.sockets {
            let granted = Arc::clone(granted);
            wasi.allow_tcp(true).allow_udp(true).socket_addr_check(move |address, used| {
                let may = may_use(&granted, address, used);
                Box::pin(async move { may })
            });
        }
        let mut wasi = wasi.envs(&self.variables).build();
        *wasi.filesystem() = self.files.clone();
        Reached {
            wasi,
            outgoing_02: outgoing(self.http_02.as_ref()),
            outgoing_03: outgoing(self.http_03.as_ref()),
        }
    }
}

/// A store around `host`, with every limit set. A guest in it yields at each tick of the epoch.
fn store(engine: &Engine, host: Host, limits: &Limits) -> Store<Host> {
    let mut store = Store::new(engine, host);
    store.limiter(|host| host.memory());
    store.set_hostcall_fuel(usize::try_from(limits.host_call).unwrap_or(usize::MAX));
    store.set_max_component_handles(limits.handles as usize);
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(limits.handles as usize);
    }
    store.set_epoch_deadline(1);
    // Not wasmtime's own yield, which wakes at once: tokio would then look at sockets and timers only
    // after 61 turns of a guest that spins.
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(yield_now()))));
    store
}

/// The destinations of the versions of one interface, if it is granted. Others have their own, and their own connections:
/// what one was granted never decides for another.
fn egress<'a>(grants: impl Iterator<Item = (&'a str, &'a Grant)>) -> Option<Egress> {
    let mut granted = grants.filter_map(|(_, grant)| match grant {
        Grant::OutgoingHttp(http) => Some(http),
        _ => None,
    });
    let mut all = granted.next()?.clone();
    for http in granted {
        all.hosts.extend(http.hosts.iter().cloned());
        all.networks.extend(&http.networks);
    }
    Some(Egress::new(all))
}

/// How requests of one instance are sent to `upstreams`.
fn outgoing(upstreams: Option<&Arc<Upstreams>>) -> wadoo_host::Outgoing {
    match upstreams {
        Some(upstreams) => Box::new(Outgoing::new(Arc::clone(upstreams))),
        None => Box::new(NotGranted),
    }
}

fn variables<'a>(
    grants: impl Iterator<Item = (&'a str, &'a Grant)>,
) -> Result<Arc<[(String, String)]>, ReachError> {
    let mut variables = BTreeMap::new();
    for (_, grant) in grants {
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

/// The folders of one part, or of all.
struct Files<'a> {
    part: Option<&'a str>,
    /// Those of the device.
    folders: &'a [(&'a MountPath, Access, &'a Folder)],
    /// Those of the artifact.
    carried: &'a CarriedFiles,
}

impl Files<'_> {
    fn open(&self, manifest: &Manifest) -> Result<WasiFilesystemCtx, ReachError> {
        let carried = carried(manifest, self.part);
        if self.folders.is_empty() && carried.is_empty() {
            return Ok(WasiFilesystemCtx::default());
        }
        let mut wasi = WasiCtx::builder();
        for (seen, access, Folder { path, read_only }) in self.folders {
            let rights = match (access, read_only) {
                (Access::ReadWrite, false) => FsPerms::ReadWrite,
                (Access::ReadWrite, true) | (Access::Read, _) => FsPerms::ReadOnly,
            };
            self.mount(&mut wasi, seen, path, rights)?;
        }
        for (seen, digest) in carried {
            // The linker has found that the manifest has an attachment for each.
            if let Some(path) = self.carried.folder(digest) {
                self.mount(&mut wasi, seen, path, FsPerms::ReadOnly)?;
            }
        }
        Ok(wasi.build().filesystem().clone())
    }

    fn mount(
        &self,
        wasi: &mut WasiCtxBuilder,
        seen: &MountPath,
        path: &Path,
        rights: FsPerms,
    ) -> Result<(), ReachError> {
        wasi.preopened_dir(path, seen.as_str(), rights).map_err(|error| ReachError::Folder {
            seen: MountPoint { part: self.part.map(str::to_owned), path: seen.clone() },
            path: path.to_owned(),
            because: error.root_cause().to_string(),
        })?;
        Ok(())
    }
}

/// The files that a part sees; every version of the interface sees the same, which the linker has checked.
fn carried<'a>(manifest: &'a Manifest, part: Option<&'a str>) -> BTreeMap<&'a MountPath, &'a Sha256Digest> {
    let grants = manifest.grants_of(part).filter_map(|(_, grant)| match grant {
        Grant::Filesystem(FilesystemGrant { files, .. }) => Some(files),
        _ => None,
    });
    grants.flatten().collect()
}

/// Every interface of sockets has the same addresses, which the linker has checked.
fn sockets<'a>(mut grants: impl Iterator<Item = (&'a str, &'a Grant)>) -> Option<Arc<BTreeSet<SocketAddr>>> {
    grants.find_map(|(_, grant)| match grant {
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
}
