//! Certificate and key, the handshake that is made with them, and those that take their place while the daemon runs.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::task::block_in_place;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::log;

/// Between two looks at the files.
const EVERY: Duration = Duration::from_secs(1);

/// What connections are encrypted with.
#[derive(Clone)]
pub struct Tls(Arc<Files>);

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    config: Mutex<Arc<ServerConfig>>,
}

/// What tells that a file is another than before.
type Look = Option<(u64, u64, SystemTime)>;

/// Why nothing can be encrypted.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    File(PathBuf, pem::Error),
    /// There is no certificate in the file.
    NoCertificate(PathBuf),
    /// They do not belong together, or are of a kind that is not known.
    Refused(PathBuf, tokio_rustls::rustls::Error),
}

impl Tls {
    /// Reads a certificate, with those that vouch for it, and its key.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Tls(Arc::new(Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            config: Mutex::new(config(certificate, key)?),
        })))
    }

    fn config(&self) -> MutexGuard<'_, Arc<ServerConfig>> {
        self.0.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handshakes that begin from now on are made with what the files hold as soon as that has changed. What cannot be used, also because only one of them is
    /// there yet, is left out. For as long as the task is let live.
    pub(super) async fn keep_fresh(self) {
        let mut before = self.look();
        loop {
            tokio::time::sleep(EVERY).await;
            let now = self.look();
            if now == before {
                continue;
            }
            before = now;
            match block_in_place(|| config(&self.0.certificate, &self.0.key)) {
                Ok(config) => {
                    *self.config() = config;
                    log::info!("the certificate was read anew");
                }
                Err(error) => log::warn!(%error, "the certificate has changed, and the one before is kept"),
            }
        }
    }

    fn look(&self) -> [Look; 2] {
        [&self.0.certificate, &self.0.key].map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.ino(), found.len(), found.modified().ok()?))
        })
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.config());
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let of = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::File(path, error)
    };
    let certificates = CertificateDer::pem_file_iter(certificate).map_err(of(certificate))?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(of(certificate))?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(of(key))?;
    let refused = |error| TlsError::Refused(certificate.to_owned(), error);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(refused)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::File(path, error) => {
                write!(
                    f,
                    "{}: {error}: it has to be a file of PEM that can be read",
                    path.display()
                )
            }
            TlsError::NoCertificate(path) => write!(f, "there is no certificate in {}", path.display()),
            TlsError::Refused(path, error) => write!(
                f,
                "the certificate {} cannot be used with its key: {error}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for TlsError {}
