//! An authority of a test's own, with a server and clients.

use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, date_time_ymd,
};

use crate::real::error::{Context, RealError, Result};

/// An authority and the server that it vouches for.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    server: IpAddr,
}

/// A certificate with its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new authority, for the server at `server`.
    pub fn new(name: &str, server: IpAddr) -> Result<Self> {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(failed)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(failed)?;
        Ok(Self { issuer, server })
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for the server.
    pub fn server(&self) -> Result<Identity> {
        self.server_at(self.server)
    }

    /// A certificate for a server somewhere else.
    pub fn server_at(&self, address: IpAddr) -> Result<Identity> {
        let mut params = named("engine");
        params.subject_alt_names = vec![SanType::IpAddress(address)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// A certificate for the server that was valid once.
    pub fn expired_server(&self) -> Result<Identity> {
        let mut params = named("engine");
        params.subject_alt_names = vec![SanType::IpAddress(self.server)];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(&params)
    }

    /// A certificate for a client.
    pub fn client(&self) -> Result<Identity> {
        let mut params = named("fraktalia");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate().map_err(failed)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Identity { cert: cert.pem(), key: key.serialize_pem() })
    }

    /// Writes what a server and a client need: `ca.pem`, `server.pem`, `server-key.pem`, `cert.pem`, `key.pem`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let (server, client) = (self.server()?, self.client()?);
        for (name, text) in [
            ("ca.pem", &self.pem()),
            ("server.pem", &server.cert),
            ("server-key.pem", &server.key),
            ("cert.pem", &client.cert),
            ("key.pem", &client.key),
        ] {
            let path = dir.join(name);
            std::fs::write(&path, text).context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("server", &self.server).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn failed(error: rcgen::Error) -> RealError {
    RealError::Io { what: "make a certificate".to_owned(), source: std::io::Error::other(error) }
}
