//! Where a server listens: addresses as an operator writes them, and the sockets behind them.
//!
//! Owns taking an address, listening on it, and leaving it. Deliberately absent: accepting (see `server`) and the
//! sockets that a service manager hands over (see `activation`).
//!
//! Invariants: nobody can connect before [`Bound::listen`]; a socket's file is removed only by the server that
//! made it, and replaced only if nobody listens on it.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use wadoo_signing::report::{Exit, Report, shell};

use crate::socket::Socket;

/// Length of the queue of connections that are not accepted yet.
pub const LISTEN_QUEUE: i32 = 1024;

/// Where the launcher listens unless it is told otherwise: this machine only.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The mode of a socket's file unless it is told otherwise: only this user may connect.
pub const SOCKET_MODE: u32 = 0o600;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `127.0.0.1:8080`
    Tcp(SocketAddr),
    /// `unix:/run/shop.sock`, `unix:/run/shop.sock?mode=0660`
    Unix {
        /// The socket's file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

impl Address {
    /// The address, if it is one of the network.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix { .. } => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// What is no address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("expected {expected}")]
pub struct AddressError {
    /// What it should have been.
    pub expected: &'static str,
}

/// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `unix:PATH`. Other names are not looked up: what a name means
/// could change between two starts, and where a server listens should not.
impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(unix) = text.strip_prefix("unix:") {
            return unix_address(unix);
        }
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let local = local.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let expected = "an address with a port, `127.0.0.1:8080` for example, or `unix:PATH`";
        local.or_else(|| text.parse().ok()).map(Self::Tcp).ok_or(AddressError { expected })
    }
}

fn unix_address(text: &str) -> Result<Address, AddressError> {
    let (path, mode) = match text.split_once('?') {
        None => (text, SOCKET_MODE),
        Some((path, query)) => {
            let mode = query.strip_prefix("mode=").and_then(|mode| u32::from_str_radix(mode, 8).ok());
            let expected = "`unix:PATH`, with at most `?mode=0660` after it";
            (path, mode.filter(|mode| *mode <= 0o777).ok_or(AddressError { expected })?)
        }
    };
    // The kernel has room for 107 bytes and a zero.
    if SocketAddrUnix::new(path).is_err() || path.is_empty() {
        return Err(AddressError { expected: "`unix:` and a path of 1 to 107 bytes" });
    }
    Ok(Address::Unix { path: path.into(), mode })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why the server cannot listen.
#[derive(Debug, Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: Address,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

impl BindError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match &self.address {
            Address::Tcp(address) => tcp_hint(*address, self.source.kind()),
            Address::Unix { path, .. } => unix_hint(path, self.source.kind()),
        }
    }

    fn because(&self) -> String {
        let unix = self.address.tcp().is_none();
        match self.source.kind() {
            io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
            io::ErrorKind::AlreadyExists => "a file that is no socket has this name".to_owned(),
            io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
            io::ErrorKind::PermissionDenied if unix => "this user may not write that folder".to_owned(),
            io::ErrorKind::PermissionDenied => "this user may not use that port".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => self.source.to_string(),
        }
    }
}

fn tcp_hint(address: SocketAddr, kind: io::ErrorKind) -> Option<String> {
    let free = SocketAddr::new(address.ip(), 0);
    match kind {
        io::ErrorKind::AddrInUse => Some(format!(
            "stop what listens there (`ss -ltnp 'sport = :{}'` names it), or choose another port: `--addr {free}` \
             takes a free one",
            address.port()
        )),
        io::ErrorKind::PermissionDenied => {
            Some("choose a port above 1023: `--addr 127.0.0.1:8080`".to_owned())
        }
        io::ErrorKind::AddrNotAvailable => {
            Some("choose an address of this machine: `ip -brief address` lists them".to_owned())
        }
        _ => None,
    }
}

fn unix_hint(path: &Path, kind: io::ErrorKind) -> Option<String> {
    match kind {
        io::ErrorKind::AddrInUse => Some(format!(
            "stop what listens there (`ss -lxp src {}` names it), or choose another name",
            shell(path)
        )),
        io::ErrorKind::AlreadyExists => Some("choose a name that no file has".to_owned()),
        io::ErrorKind::NotFound => {
            path.parent().map(|folder| format!("make it: `mkdir -p {}`", shell(folder)))
        }
        io::ErrorKind::PermissionDenied => Some("choose a folder that this user may write".to_owned()),
        _ => None,
    }
}

impl From<BindError> for Report {
    fn from(error: BindError) -> Self {
        let mut report = Self::new(Exit::HostResource, format!("cannot listen on `{}`", error.address))
            .because(error.because());
        report.hint = error.hint();
        report
    }
}

/// An address that is taken but not listened on yet: nobody can connect before there is an answer.
pub struct Bound {
    socket: OwnedFd,
    address: Address,
    file: Option<SocketFile>,
}

impl Bound {
    /// Takes `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// When the address is in use, not allowed, or not of this machine.
    pub fn bind(address: impl Into<Address>) -> Result<Self, BindError> {
        let address = address.into();
        let bound = match &address {
            Address::Tcp(address) => bind_tcp(*address),
            Address::Unix { path, mode } => bind_unix(path, *mode),
        };
        bound.map_err(|source| BindError { address, source })
    }

    /// A socket that somebody else took, and listens on already.
    pub(crate) fn inherited(socket: OwnedFd, address: Address) -> Self {
        Self { socket, address, file: None }
    }

    /// The address, with its real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Starts to listen: from here on clients are heard.
    ///
    /// # Errors
    ///
    /// When the system refuses. Must be called within a tokio runtime.
    pub fn listen(self) -> Result<Listener, BindError> {
        let Self { socket, address, file } = self;
        let listen = || -> io::Result<Incoming> {
            rustix::net::listen(&socket, LISTEN_QUEUE)?;
            match &address {
                Address::Tcp(_) => TcpListener::from_std(socket.into()).map(Incoming::Tcp),
                Address::Unix { .. } => UnixListener::from_std(socket.into()).map(Incoming::Unix),
            }
        };
        match listen() {
            Ok(incoming) => Ok(Listener { incoming, address, _file: file }),
            Err(source) => Err(BindError { address, source }),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Bound> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = stream_socket(family)?;
    // Connections of a server that just ended do not keep the next one from the address.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    let address = Address::Tcp(SocketAddr::try_from(rustix::net::getsockname(&socket)?)?);
    Ok(Bound { socket, address, file: None })
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<Bound> {
    remove_stale(path)?;
    let socket = stream_socket(AddressFamily::UNIX)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Nobody can connect yet, because nobody listens yet: the mode comes in time.
    let made = SocketFile::of(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(Bound { socket, address: Address::Unix { path: path.to_owned(), mode }, file: Some(made) })
}

/// Removes the socket that a server left behind which ended without removing it.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match rustix::net::connect(&stream_socket(AddressFamily::UNIX)?, &SocketAddrUnix::new(path)?) {
        Err(rustix::io::Errno::CONNREFUSED) => fs::remove_file(path),
        // Somebody answers, or would if its queue were not full.
        Ok(()) | Err(rustix::io::Errno::AGAIN) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) => Err(error.into()),
    }
}

/// The file of a socket that this process made. It goes when the server stops listening.
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: inode(path)? })
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another server may have taken the name since.
        if inode(&self.path).is_ok_and(|now| now == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A listening socket.
pub struct Listener {
    incoming: Incoming,
    address: Address,
    _file: Option<SocketFile>,
}

enum Incoming {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// The address, with its real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next client.
    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        match &self.incoming {
            Incoming::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Without it the last part of an answer waits for the acknowledgement of the part before.
                let _ = stream.set_nodelay(true);
                Ok(Socket::Tcp(stream))
            }
            Incoming::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:80", "[::1]:8080", "unix:/run/a.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("localhost:80".parse::<Address>().unwrap().to_string(), "127.0.0.1:80");
        let shared = Address::Unix { path: "a.sock".into(), mode: 0o660 };
        assert_eq!("unix:a.sock?mode=0660".parse(), Ok(shared));
        let long = format!("unix:/{}", "x".repeat(200));
        for bad in ["8080", "example.com:80", "unix:", "unix:a?mode=9", "unix:a?mode=7777", "unix:a?", &long]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_one_that_answers_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let address = Address::Unix { path: path.clone(), mode: SOCKET_MODE };
        // As a server leaves it that was killed: no destructor of the standard library removes it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = Bound::bind(address.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        drop(bound);
        assert!(!path.exists(), "it is removed at the end");

        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = Bound::bind(address.clone()).err().expect("somebody listens");
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        drop(other);

        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        let report = Report::from(Bound::bind(address).err().expect("it is no socket")).to_string();
        assert!(report.contains("a file that is no socket has this name"), "{report}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
