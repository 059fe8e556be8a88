//! Certificate and key, and the handshake that is made with them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// What connections are encrypted with.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

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
        Ok(Tls(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
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
