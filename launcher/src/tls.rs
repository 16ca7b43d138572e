//! TLS towards clients: one certificate with its key, taken from files and renewed from them.
//!
//! Owns reading the pair, the handshake, and the change to a new pair while the server runs. Deliberately absent:
//! client certificates, and several names with a certificate each.
//!
//! Invariants: the key's file is readable by its owner and group only; a pair that does not fit together is never
//! taken, and what is wrong with a new one is one line in the log, while the old one stays; nothing of this is
//! loaded or run in a launcher that was not asked for TLS.

use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use wadoo_signing::regular;
use wadoo_signing::report::{Exit, Report, shell, system_words};

use crate::connection::PROTOCOLS;
use crate::log;
use crate::socket::Watched;

/// Length of a file with certificates, or with a key.
pub const MAX_PEM_BYTES: u64 = 1 << 20;

/// Certificates of one chain.
pub const MAX_CHAIN: usize = 16;

/// How often the files are looked at, at most: at the first handshake after this time.
pub const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, the server's own certificate first, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why a pair cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is too long.
    #[error("`{}` is longer than {MAX_PEM_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
    /// Others can read, or somebody else can write, what must be secret.
    #[error("the key `{}` is not secret", path.display())]
    NotSecret {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else's file.
    #[error("the key `{}` belongs to somebody else", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// A file has not what it should have.
    #[error("`{}` has no {expected}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// Why it was not found.
        because: String,
    },
    /// Certificate and key do not fit together, or one of them is of no use.
    #[error("cannot use `{}` with `{}`", files.certificate.display(), files.key.display())]
    Unusable {
        /// The files.
        files: Files,
        /// Why.
        source: rustls::Error,
    },
}

impl From<TlsError> for Report {
    fn from(error: TlsError) -> Self {
        let exit = match error {
            TlsError::NotSecret { .. } | TlsError::Owner { .. } => Exit::NotTrusted,
            _ => Exit::CouldNot,
        };
        let report = Self::new(exit, error.to_string());
        match error {
            TlsError::Read { source, .. } => report.because(system_words(&source)),
            TlsError::TooLong(_) => report,
            TlsError::NotSecret { path, mode } => report
                .because(format!("its mode is {mode:04o}, expected 0600 or 0640"))
                .hint(format!("`chmod 0600 {}`", shell(&path))),
            TlsError::Owner { path, owner } => report
                .because(format!("it belongs to user {owner}, expected root or the user that runs this"))
                .hint(format!("`chown root {}`", shell(&path))),
            TlsError::Empty { because, .. } => report
                .because(because)
                .hint("both files are PEM: `openssl x509 -in FILE`, `openssl pkey -in FILE` read them"),
            TlsError::Unusable { source, .. } => report.because(source.to_string()).hint(
                "compare their public keys: `openssl x509 -noout -pubkey -in FILE`, `openssl pkey -pubout -in FILE`",
            ),
        }
    }
}

/// What a server needs to speak TLS.
pub struct Tls {
    files: Files,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    /// The files when they were last read, whether or not they could be used.
    seen: [Option<Stamp>; 2],
    looked: Instant,
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    ///
    /// They cannot be read, are not secret, or do not fit together. See [`TlsError`].
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let seen = stamps(&files);
        let config = configure(&files)?;
        Ok(Self { files, state: Mutex::new(State { config, seen, looked: Instant::now() }) })
    }

    /// Reads the files again at every SIGHUP. To be spawned.
    ///
    /// # Errors
    ///
    /// When the signal cannot be watched. Must be called within a tokio runtime.
    pub fn follow_hangups(self: &Arc<Self>) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let mut hangup = signal(SignalKind::hangup())?;
        let tls = Arc::clone(self);
        Ok(async move {
            while hangup.recv().await.is_some() {
                tls.reload(&mut tls.lock());
            }
        })
    }

    /// Shakes hands. Connections that are open already keep what they have.
    pub(crate) async fn accept(&self, stream: Watched) -> io::Result<TlsStream<Watched>> {
        TlsAcceptor::from(self.current()).accept(stream).await
    }

    fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.lock();
        if state.looked.elapsed() >= LOOK_AGAIN {
            state.looked = Instant::now();
            if stamps(&self.files) != state.seen {
                self.reload(&mut state);
            }
        }
        Arc::clone(&state.config)
    }

    fn reload(&self, state: &mut State) {
        // Before they are read: a change in between is seen next time.
        state.seen = stamps(&self.files);
        match configure(&self.files) {
            Ok(config) => {
                state.config = config;
                log::line!(Certificate: "certificate `{}` is in use now", self.files.certificate.display());
            }
            Err(error) => {
                let report = Report::from(error);
                let because = report.because.join(", ");
                log::line!(CertificateKept: "the certificate stays as it was: {} ({because})", report.what);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

fn stamps(files: &Files) -> [Option<Stamp>; 2] {
    [&files.certificate, &files.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    })
}

fn configure(files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = chain(&files.certificate)?;
    let key = key(&files.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let unusable = |source| TlsError::Unusable { files: files.clone(), source };
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&versions).map_err(unusable)?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let empty = |because| TlsError::Empty {
        path: path.to_owned(),
        expected: "chain of certificates in PEM",
        because,
    };
    let (pem, _) = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).take(MAX_CHAIN + 1).collect();
    match chain.map_err(|error| empty(error.to_string()))? {
        chain if chain.is_empty() => Err(empty("there is no `BEGIN CERTIFICATE` in it".to_owned())),
        chain if chain.len() > MAX_CHAIN => Err(empty(format!("there are more than {MAX_CHAIN} in it"))),
        chain => Ok(chain),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (pem, metadata) = read(path)?;
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(TlsError::Owner { path: path.to_owned(), owner });
    }
    let mode = metadata.mode() & 0o7777;
    // The group may read: that is how distributions share keys with servers.
    if mode & 0o027 != 0 {
        return Err(TlsError::NotSecret { path: path.to_owned(), mode });
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| TlsError::Empty {
        path: path.to_owned(),
        expected: "private key in PEM",
        because: error.to_string(),
    })
}

fn read(path: &Path) -> Result<(Vec<u8>, Metadata), TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let (file, metadata) = regular::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let length = file.take(MAX_PEM_BYTES + 1).read_to_end(&mut bytes).map_err(failed)? as u64;
    if length > MAX_PEM_BYTES { Err(TlsError::TooLong(path.to_owned())) } else { Ok((bytes, metadata)) }
}
