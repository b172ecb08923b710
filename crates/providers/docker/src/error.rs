//! What goes wrong with an engine, and what to do about it.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as Bollard;
use fraktalia_engine::{ObserveError, StepError};
use rustls::{AlertDescription, CertificateError, Error as Tls};

use crate::client::{Endpoint, Silent, SshFailed, TooMuch, Unreached};

/// What of an engine's own words is shown.
const LONGEST: usize = 2000;

/// Something that an engine did not do.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Nobody listens on the socket.
    #[error("no Docker engine answers at {endpoint}")]
    NotRunning {
        /// Where.
        endpoint: String,
    },
    /// The socket is there, and we may not use it.
    #[error("this user may not talk to the Docker engine at {endpoint}")]
    Forbidden {
        /// Where.
        endpoint: String,
    },
    /// What stands in the manifest is no address of an engine.
    #[error("{endpoint} is no address of a Docker engine: {why}")]
    BadEndpoint {
        /// As written.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate or key of ours cannot be used.
    #[error("{path} {why}, and the Docker engine at {endpoint} is reached with it", path = .path.display())]
    Certificate {
        /// Where to.
        endpoint: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Its certificate does not prove that it is the engine that is meant.
    #[error("the Docker engine at {endpoint} is not who it should be: {why}")]
    Untrusted {
        /// Where.
        endpoint: String,
        /// What its certificate lacks.
        why: String,
    },
    /// It does not take our certificate.
    #[error("the Docker engine at {endpoint} does not accept our certificate: {why}")]
    Unwelcome {
        /// Where.
        endpoint: String,
        /// What it said.
        why: String,
    },
    /// No network leads there, or nobody takes the connection.
    #[error("the Docker engine at {endpoint} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// How it failed.
        why: String,
        /// What to do about it, where that is known.
        hint: Option<&'static str>,
    },
    /// Its API is older than we can work with.
    #[error("the Docker engine at {endpoint} speaks API {found}, and {needed} is needed")]
    TooOld {
        /// Where.
        endpoint: String,
        /// What it speaks.
        found: String,
        /// What we need.
        needed: String,
    },
    /// It said no.
    #[error("the Docker engine at {endpoint} refused to {what}: {message}")]
    Refused {
        /// Where.
        endpoint: String,
        /// What was asked.
        what: String,
        /// HTTP status.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// It did not answer in time.
    #[error("the Docker engine at {endpoint} did not {what} within {} s", .after.as_secs())]
    Late {
        /// Where.
        endpoint: String,
        /// What was asked.
        what: String,
        /// How long we waited.
        after: Duration,
    },
    /// The connection broke, or what came was no answer.
    #[error("asked the Docker engine at {endpoint} to {what}, but its answer did not arrive: {why}")]
    Lost {
        /// Where.
        endpoint: String,
        /// What was asked.
        what: String,
        /// How it failed.
        why: String,
    },
}

impl DockerError {
    /// Tells apart what went wrong with a call.
    pub fn of(error: &Bollard, engine: &Endpoint, what: &str, deadline: Duration) -> Self {
        let (endpoint, what) = (engine.to_string(), what.to_owned());
        match error {
            Bollard::RequestTimeoutError => return Self::Late { endpoint, what, after: deadline },
            Bollard::DockerResponseServerError { status_code, message } => {
                let message = bounded(message, LONGEST);
                return Self::Refused { endpoint, what, status: *status_code, message };
            }
            _ => {}
        }
        if let Some(tls) = find::<Tls>(error) {
            return Self::of_tls(tls, endpoint, what);
        }
        if let Some(silent) = find::<Silent>(error) {
            let hint = "see whether the host runs, and whether a firewall is in between";
            return Self::Unreachable { endpoint, why: silent.to_string(), hint: Some(hint) };
        }
        if let Some(ssh) = find::<SshFailed>(error) {
            return Self::Unreachable { endpoint, why: ssh.to_string(), hint: Some(ssh.hint()) };
        }
        let lost = |why| Self::Lost { endpoint: engine.to_string(), what, why };
        if let Some(much) = find::<TooMuch>(error) {
            return lost(much.to_string());
        }
        let unreached = find::<Unreached>(error).map(Unreached::kind);
        match unreached.or_else(|| find::<io::Error>(error).map(io::Error::kind)) {
            Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused) if engine.is_local() => {
                Self::NotRunning { endpoint }
            }
            Some(ErrorKind::PermissionDenied) if engine.is_local() => Self::Forbidden { endpoint },
            _ if unreached.is_some() => {
                let hint = "see whether the host runs and its engine listens there, or correct `hosts` in the manifest";
                Self::Unreachable { endpoint, why: innermost(error), hint: Some(hint) }
            }
            _ => lost(innermost(error)),
        }
    }

    fn of_tls(tls: &Tls, endpoint: String, what: String) -> Self {
        match tls {
            Tls::InvalidCertificate(found) => Self::Untrusted { endpoint, why: lacks(found) },
            Tls::AlertReceived(alert) if is_about_us(*alert) => {
                Self::Unwelcome { endpoint, why: format!("{alert:?}") }
            }
            Tls::InvalidMessage(_) => {
                let hint = "it may not speak TLS at this port: dockerd does with `--tlsverify`";
                Self::Unreachable { endpoint, why: "what it answers is not TLS".into(), hint: Some(hint) }
            }
            other => Self::Lost { endpoint, what, why: other.to_string() },
        }
    }

    /// Whether the engine answered that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether something is in another state than it would have to be: a container that does not run.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Whether the engine may have done it all the same.
    fn in_doubt(&self) -> bool {
        match self {
            Self::Late { .. } | Self::Lost { .. } => true,
            // A 500 of Docker may come after half of the work.
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotRunning { .. } => {
                "start it (`systemctl start docker`), install it (Debian: `apt install docker.io`), or correct \
                 `hosts` in the manifest"
                    .into()
            }
            Self::Forbidden { .. } => {
                "run fraktalia as root, or put this user into the group `docker` and log in again".into()
            }
            Self::TooOld { .. } => "update Docker Engine to 20.10 or later".into(),
            Self::Late { .. } => "look at the engine's log (`journalctl -u docker`), then try again".into(),
            Self::BadEndpoint { .. } => {
                "write `unix:///path`, `tcp://address:port` or `ssh://user@name:port` in `hosts`".into()
            }
            Self::Certificate { .. } => "correct `hosts.*.tls` in the manifest, or the file".into(),
            Self::Untrusted { why, .. } => untrusted_hint(why).into(),
            Self::Unwelcome { .. } => {
                "give a certificate in `hosts.*.tls` that is signed by the authority that dockerd has as `--tlscacert`, \
                 and is not expired"
                    .into()
            }
            Self::Unreachable { hint, .. } => return hint.map(Into::into),
            Self::Refused { message, .. } => return refusal_hint(message),
            Self::Lost { .. } => return None,
        })
    }
}

fn refusal_hint(message: &str) -> Option<String> {
    let message = message.to_ascii_lowercase();
    let hint = if message.contains("pool overlaps") || message.contains("overlap with other") {
        "another network has addresses of this subnet: choose another `subnet`"
    } else if message.contains("active endpoints") {
        "containers are on it: `docker network inspect` names them"
    } else if message.contains("no space left") {
        "make room on the disk of the engine: `docker system df` says what takes it"
    } else if message.contains("http request to an https server") {
        "it speaks TLS: give the host `tls` in the manifest"
    } else if message.contains("manifest unknown") || message.contains("pull access denied") {
        "correct the image that the Dockerfile starts from"
    } else {
        return None;
    };
    Some(hint.into())
}

fn untrusted_hint(why: &str) -> &'static str {
    if why.contains("name") {
        "write the host in `hosts` as its certificate has it, or give it a certificate with this name or address"
    } else if why.contains("expired") || why.contains("not yet") {
        "renew the engine's certificate, and see that the clocks of both machines are right"
    } else {
        "if the engine's certificate was renewed by another authority, put that into `hosts.*.tls.ca`; if not, \
         somebody else answers there"
    }
}

fn lacks(found: &CertificateError) -> String {
    match found {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate is expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not yet valid".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name or address".into()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not signed by the authority in `tls.ca`".into()
        }
        other => bounded(&other.to_string(), LONGEST),
    }
}

/// Alerts by which the other side says what it thinks of our certificate.
fn is_about_us(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

/// The first error of a kind among the causes of `error`.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = source(error);
    }
    None
}

/// Some of bollard's variants are transparent and some hide their source; the second kind is opened here. An I/O error
/// gives the source of what it carries rather than what it carries.
fn source<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return io.get_ref().map(|inner| inner as &(dyn StdError + 'static));
    }
    match error.downcast_ref::<Bollard>() {
        Some(Bollard::IOError { err }) => Some(err),
        Some(Bollard::HyperResponseError { err }) => Some(err),
        _ => error.source(),
    }
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = source(last) {
        last = next;
    }
    bounded(&last.to_string(), LONGEST)
}

/// Of words from outside only so many characters, and none that could steer a terminal.
pub(crate) fn bounded(text: &str, characters: usize) -> String {
    let mut all = text.char_indices();
    let Some((end, _)) = all.nth(characters) else { return plain(text.trim()) };
    format!("{}...", plain(text[..end].trim()))
}

/// Without the sequences that colour a terminal, and without anything else that could steer one.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                // `ESC [ ... letter`; of other sequences only the start is cut off.
                if chars.as_str().starts_with('[') {
                    chars.by_ref().skip(1).find(char::is_ascii_alphabetic);
                }
            }
            '\t' => plain.push(' '),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain.trim_end().to_owned()
}

impl From<DockerError> for StepError {
    fn from(error: DockerError) -> Self {
        let (text, hint) = (error.to_string(), error.hint());
        if error.in_doubt() {
            return Self::in_doubt(text);
        }
        match hint {
            Some(hint) => Self::refused(text).with_hint(hint),
            None => Self::refused(text),
        }
    }
}

impl From<DockerError> for ObserveError {
    fn from(error: DockerError) -> Self {
        let (text, hint) = (error.to_string(), error.hint());
        match hint {
            Some(hint) => Self::new(text).with_hint(hint),
            None => Self::new(text),
        }
    }
}
