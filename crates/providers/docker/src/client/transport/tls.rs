//! TLS with certificates on both sides. Only the authority that the manifest names is believed: an engine is root on
//! its host, and no public authority has a say in who that is.

use std::path::Path;
use std::sync::Arc;

use fraktalia_model::manifest::HostTls;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::DockerError;

/// What a connection with these files rests on. `endpoint` is only for the error.
///
/// # Errors
/// When a file cannot be read, or is not what it should be.
pub(super) fn tls_of(files: &HostTls, endpoint: &str) -> Result<ClientConfig, DockerError> {
    let bad = |path: &Path, why: String| DockerError::Certificate {
        endpoint: endpoint.into(),
        path: path.into(),
        why,
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(&files.ca).map_err(|why| bad(&files.ca, why))? {
        roots.add(authority).map_err(|error| bad(&files.ca, error.to_string()))?;
    }
    let chain = certificates(&files.cert).map_err(|why| bad(&files.cert, why))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| bad(&files.key, said(error, "private key")))?;
    // Named here rather than installed for the process: a library does not decide for others.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&files.ca, error.to_string()))?;
    builder
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| bad(&files.key, format!("does not fit {}: {error}", files.cert.display())))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| said(error, "certificate"))?;
    if found.is_empty() { Err("holds no certificate".into()) } else { Ok(found) }
}

fn said(error: pem::Error, wanted: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("holds no {wanted}"),
        other => format!("is no PEM file with a {wanted}: {other}"),
    }
}
