//! TLS, with a certificate that may be replaced while the server runs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::connections::Versions;
use crate::config::TlsSettings;

/// How often it is looked whether the certificate is another.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum TlsFault {
    #[error("server.tls: {path} can't be read: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("server.tls.certificate_file: {path} has no certificate in PEM", path = .0.display())]
    NoCertificate(PathBuf),
    #[error("server.tls.key_file: {path} has no private key in PEM: {fault}", path = path.display())]
    NoKey { path: PathBuf, fault: String },
    #[error("server.tls: certificate and key do not go together: {0}")]
    Mismatch(#[from] tokio_rustls::rustls::Error),
}

/// What new connections are met with.
pub struct Tls {
    certificate_file: PathBuf,
    key_file: PathBuf,
    in_force: Mutex<Arc<ServerConfig>>,
}

/// What the files say.
#[derive(PartialEq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// TLS as the `settings` want it; `None` when they want none.
    pub fn of(settings: &TlsSettings) -> Result<Option<Arc<Self>>, TlsFault> {
        if settings.certificate_file.is_empty() {
            return Ok(None);
        }
        let [certificate_file, key_file] = [&settings.certificate_file, &settings.key_file].map(PathBuf::from);
        let files = read(&certificate_file, &key_file)?;
        let in_force = Mutex::new(configured(&files, &certificate_file, &key_file)?);
        Ok(Some(Arc::new(Self { certificate_file, key_file, in_force })))
    }

    /// Puts new certificates in force as they come. Those that can't be used are told of, and the last good one stays.
    pub async fn follow(self: Arc<Self>) {
        let mut known = read(&self.certificate_file, &self.key_file).ok();
        let mut found = None;
        loop {
            sleep(LOOK_INTERVAL).await;
            let now = read(&self.certificate_file, &self.key_file).ok();
            // Two files are seldom replaced in one moment: what two looks find alike is meant.
            let is_meant = now == found && now != known;
            found = now;
            if let Some(files) = found.as_ref().filter(|_| is_meant) {
                match configured(files, &self.certificate_file, &self.key_file) {
                    Ok(config) => {
                        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = config;
                        tracing::info!(file = %self.certificate_file.display(), "New certificate in force");
                    }
                    Err(error) => tracing::error!(%error, "Certificate refused, the last good one stays in force"),
                }
                known = found.take();
            }
        }
    }

    /// Agrees with a client on TLS.
    pub(super) async fn accept(&self, stream: TcpStream, versions: Versions) -> io::Result<TlsStream<TcpStream>> {
        let mut config = Arc::clone(&self.in_force.lock().unwrap_or_else(PoisonError::into_inner));
        if versions == Versions::Http1And2 {
            Arc::make_mut(&mut config).alpn_protocols.insert(0, b"h2".to_vec());
        }
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn read(certificate_file: &Path, key_file: &Path) -> Result<Files, TlsFault> {
    let read = |path: &Path| fs::read(path).map_err(|source| TlsFault::Unreadable { path: path.to_owned(), source });
    Ok(Files { certificate: read(certificate_file)?, key: read(key_file)? })
}

fn configured(files: &Files, certificate_file: &Path, key_file: &Path) -> Result<Arc<ServerConfig>, TlsFault> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&files.certificate).filter_map(Result::ok).collect();
    if certificates.is_empty() {
        return Err(TlsFault::NoCertificate(certificate_file.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&files.key)
        .map_err(|fault| TlsFault::NoKey { path: key_file.to_owned(), fault: fault.to_string() })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
