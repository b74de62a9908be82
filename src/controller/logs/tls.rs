//! The certificate of a listener for logs: one that an operator gives, or one made at the start. The API server's proxy checks
//! neither; who comes directly can check the first.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};

/// A certificate with its key. There is no `Debug`, so that the key gets into no log by accident.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

impl Identity {
    /// One made for these names or addresses. Its key is only in memory.
    ///
    /// # Errors
    /// If a name is none.
    pub fn self_signed(names: Vec<String>) -> anyhow::Result<Identity> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).context("making a certificate for the listener for logs")?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        Identity::new(vec![cert.der().clone()], key, None)
    }

    /// One made for these names or addresses, which lets in only who has a certificate of one of the authorities in this file
    /// of PEM.
    ///
    /// # Errors
    /// If a name is none, or the file has no authority.
    pub fn self_signed_for(names: Vec<String>, clients: &Path) -> anyhow::Result<Identity> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).context("making a certificate for the listener")?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let mut authorities = RootCertStore::empty();
        for authority in certificates(clients)? {
            authorities.add(authority).with_context(|| format!("{}: not an authority", clients.display()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider());
        let verifier = verifier.build().with_context(|| clients.display().to_string())?;
        Identity::new(vec![cert.der().clone()], key, Some(verifier))
    }

    /// One in files of PEM, the certificates of the chain after that of the listener itself.
    ///
    /// # Errors
    /// If they can't be read, or don't fit together. The text shows nothing of the key.
    pub fn read(certificate: &Path, key: &Path) -> anyhow::Result<Identity> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).ok().with_context(|| unreadable(key, "private key"))?;
        Identity::new(chain, key, None).with_context(|| certificate.display().to_string())
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> anyhow::Result<Identity> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .context("setting up TLS")?
            .with_client_cert_verifier(clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
            .with_single_cert(chain, key)
            .ok()
            .context("the certificate and the key can't be used for TLS together")?;
        Ok(Identity(Arc::new(config)))
    }

    /// Makes connections of it.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.clone())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificates of a file of PEM, of which there must be one.
fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<_, _>>);
    all.ok().filter(|all| !all.is_empty()).with_context(|| unreadable(file, "certificate"))
}

fn unreadable(file: &Path, what: &str) -> String {
    format!("{}: no {what} in PEM can be read", file.display())
}
