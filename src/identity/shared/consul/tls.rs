//! TLS as Consul's HTTP API speaks it.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::identity::StoreError;
use crate::identity::shared::{StoreSettings, TlsSettings};

/// How to speak TLS. The certificates that the system trusts are read only where they are needed.
///
/// # Errors
///
/// When a PEM text is not one, or the system has no certificates.
pub(super) fn config(settings: &StoreSettings) -> Result<ClientConfig, StoreError> {
    let TlsSettings { ca, identity } = &settings.tls;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError(format!("TLS: {error}")))?;
    let builder = match ca {
        Some(pem) => builder.with_root_certificates(roots(pem)?),
        None if settings.endpoints.iter().any(|endpoint| endpoint.is_https()) => {
            builder.with_native_roots().map_err(|error| {
                StoreError(format!("TLS: the system's certificates cannot be read: {error}"))
            })?
        }
        None => builder.with_root_certificates(RootCertStore::empty()),
    };
    let Some((certificate, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate, "the certificate of this node")?;
    let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
        .map_err(|_| StoreError("TLS: the key of this node is not PEM".to_owned()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| StoreError(format!("TLS: certificate and key of this node: {error}")))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "the certificate of the authority")? {
        roots.add(certificate).map_err(|error| {
            StoreError(format!("TLS: the certificate of the authority: {error}"))
        })?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8], whose: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(StoreError(format!("TLS: {whose} is not PEM"))),
    }
}
