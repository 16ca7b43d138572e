//! Listening sockets that a service manager hands over (systemd's protocol: `LISTEN_FDS`, `LISTEN_PID`,
//! `LISTEN_FDNAMES`).
//!
//! Owns taking them and finding out what they are. The sockets' files, modes and owners are the service manager's.
//!
//! Invariant: everything that was handed over is served, or the start is refused.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;
use rustix::net::{SocketAddrAny, SocketAddrUnix, sockopt};
use thiserror::Error;
use wadoo_signing::report::{Exit, Report};

use crate::listen::{Address, Bound};

/// Sockets that may be handed over.
pub const MAX_SOCKETS: usize = 64;

/// What the name of a socket begins with that is to be served with TLS (`FileDescriptorName=` in a unit).
pub const TLS_NAME: &str = "tls";

/// A socket that was handed over.
pub struct Inherited {
    /// The socket.
    pub bound: Bound,
    /// Whether its name asks for TLS.
    pub tls: bool,
}

/// Why the sockets cannot be taken.
#[derive(Debug, Error)]
pub enum ActivationError {
    /// More than [`MAX_SOCKETS`].
    #[error("{0} sockets were handed over, at most {MAX_SOCKETS} are taken")]
    Many(usize),
    /// One of them is nothing to listen on.
    #[error("descriptor {number} was handed over and cannot be listened on")]
    Unfit {
        /// The descriptor.
        number: usize,
        /// Why.
        source: io::Error,
    },
}

impl From<ActivationError> for Report {
    fn from(error: ActivationError) -> Self {
        let report = Self::new(Exit::CouldNot, error.to_string());
        match error {
            ActivationError::Many(_) => report,
            ActivationError::Unfit { source, .. } => report.because(source.to_string()).hint(
                "a socket unit for the launcher has `ListenStream=` with an address or a path, and no `Accept=yes`",
            ),
        }
    }
}

/// Takes what was handed over to this process; nothing if nothing was. To be called once, and before threads are
/// started: the variables are removed, so that nobody takes the sockets a second time.
///
/// # Errors
///
/// One of the descriptors is no listening stream socket, or there are too many.
pub fn take() -> Result<Vec<Inherited>, ActivationError> {
    // Most starts have none; the names are looked up for those that have.
    if env::var_os("LISTEN_FDS").is_none() {
        return Ok(Vec::new());
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut handed = ListenFd::from_env();
    let count = handed.len();
    if count > MAX_SOCKETS {
        return Err(ActivationError::Many(count));
    }
    let take_one = |index| {
        let tls = names.next().is_some_and(|name| name.starts_with(TLS_NAME));
        let unfit = |source| ActivationError::Unfit { number: index + 3, source };
        let bound = take_socket(&mut handed, index).and_then(inherit).map_err(unfit)?;
        Ok(Inherited { bound, tls })
    };
    (0..count).map(take_one).collect()
}

fn take_socket(handed: &mut ListenFd, index: usize) -> io::Result<OwnedFd> {
    let missing = || io::Error::other("it was taken already");
    if let Ok(socket) = handed.take_unix_listener(index) {
        return socket.map(OwnedFd::from).ok_or_else(missing);
    }
    handed.take_tcp_listener(index)?.map(OwnedFd::from).ok_or_else(missing)
}

fn inherit(socket: OwnedFd) -> io::Result<Bound> {
    if !sockopt::socket_acceptconn(&socket)? {
        return Err(io::Error::other("it does not listen"));
    }
    rustix::io::ioctl_fionbio(&socket, true)?;
    let name = rustix::net::getsockname(&socket)?;
    let address = match SocketAddr::try_from(name.clone()) {
        Ok(address) => Address::Tcp(address),
        Err(_) => Address::Unix { path: unix_path(name)?.into(), mode: 0 },
    };
    Ok(Bound::inherited(socket, address))
}

/// The file of a Unix socket, or its abstract name as systemd writes it.
fn unix_path(name: SocketAddrAny) -> io::Result<String> {
    let name = SocketAddrUnix::try_from(name)?;
    if let Some(path) = name.path() {
        return Ok(path.to_string_lossy().into_owned());
    }
    let name = name.abstract_name().unwrap_or_default();
    Ok(format!("@{}", String::from_utf8_lossy(name)))
}
