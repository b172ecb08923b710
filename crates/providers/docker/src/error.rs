//! What goes wrong with an engine, and what to do about it.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Duration;

use bollard::errors::Error as Bollard;
use fraktalia_engine::{ObserveError, StepError};

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
    #[error("the Docker engine refused to {what}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// HTTP status.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// It did not answer in time.
    #[error("the Docker engine did not {what} within {} s", .after.as_secs())]
    Late {
        /// What was asked.
        what: String,
        /// How long we waited.
        after: Duration,
    },
    /// The connection broke, or what came was no answer.
    #[error("asked the Docker engine to {what}, but its answer did not arrive: {why}")]
    Lost {
        /// What was asked.
        what: String,
        /// How it failed.
        why: String,
    },
}

impl DockerError {
    /// Tells apart what went wrong with a call.
    pub fn of(error: &Bollard, endpoint: &str, what: &str, deadline: Duration) -> Self {
        match error {
            Bollard::SocketNotFoundError(_) => Self::NotRunning { endpoint: endpoint.into() },
            Bollard::RequestTimeoutError => Self::Late { what: what.into(), after: deadline },
            Bollard::DockerResponseServerError { status_code, message } => {
                Self::Refused { what: what.into(), status: *status_code, message: message.trim().into() }
            }
            other => match io_kind(other) {
                Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                    Self::NotRunning { endpoint: endpoint.into() }
                }
                Some(ErrorKind::PermissionDenied) => Self::Forbidden { endpoint: endpoint.into() },
                _ => Self::Lost { what: what.into(), why: innermost(other) },
            },
        }
    }

    /// Whether the engine answered that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
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
    } else if message.contains("manifest unknown") || message.contains("pull access denied") {
        "correct the image that the Dockerfile starts from"
    } else {
        return None;
    };
    Some(hint.into())
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = source(error);
    }
    None
}

/// Some of bollard's variants are transparent and some hide their source; the second kind is opened here.
fn source<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<Bollard>() {
        Some(Bollard::HyperLegacyError { err }) => Some(err),
        Some(Bollard::IOError { err }) => Some(err),
        _ => error.source(),
    }
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = source(last) {
        last = next;
    }
    last.to_string()
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
