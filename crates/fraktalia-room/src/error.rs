//! What can go wrong, and what to do then.

use std::io;
use std::path::PathBuf;

use matrix_sdk::ruma::api::error::ErrorKind;

/// Why something could not be done in the room.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// A setting is none.
    #[error("{what} {value:?} cannot be used: {why}")]
    Setting {
        /// Which.
        what: &'static str,
        /// What it is.
        value: String,
        /// Why.
        why: String,
    },
    /// A file of ours.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another program has the folder.
    #[error("{} is in use by another program\nhint: one room has one fraktalia-admin; stop the other one", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The Matrix client failed.
    #[error("cannot {what}: {source}")]
    Client {
        /// What was tried.
        what: String,
        /// Why not.
        source: Box<matrix_sdk::Error>,
    },
    /// The store of the keys cannot be made.
    #[error("cannot set up the Matrix client with its store in {}: {source}", dir.display())]
    Store {
        /// Where.
        dir: PathBuf,
        /// Why not.
        source: Box<matrix_sdk::ClientBuildError>,
    },
    /// The homeserver did not answer.
    // The cause at the end, where whoever adds all causes finds it.
    #[error("cannot {what} (is the homeserver up, and is its address right?): {source}")]
    Unreachable {
        /// What was tried.
        what: String,
        /// Why not.
        source: matrix_sdk::reqwest::Error,
    },
    /// The homeserver refused something.
    #[error("cannot {what}: the homeserver answered {status} {code}: {message}\nhint: {hint}")]
    Refused {
        /// What was tried.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The Matrix error code.
        code: String,
        /// What it says.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// Our device is not known any more.
    #[error("our device was removed from the homeserver\nhint: enter the room again; that makes a new one")]
    SignedOut,
    /// We are not in the room, and it did not come up after joining either.
    #[error(
        "{room} did not come up after it was joined\nhint: is the user invited, and is the room on this homeserver?"
    )]
    NotJoined {
        /// Which.
        room: String,
    },
}

impl RoomError {
    pub(crate) fn client(what: impl Into<String>) -> impl FnOnce(matrix_sdk::Error) -> Self {
        let what = what.into();
        move |source| match source.client_api_error_kind() {
            Some(ErrorKind::UnknownToken(_)) => Self::SignedOut,
            _ => Self::Client { what, source: Box::new(source) },
        }
    }

    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    /// Whether trying again can help: the homeserver is away, busy, or something stands in for it.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => passes(*status),
            Self::Client { source, .. } => match &**source {
                matrix_sdk::Error::Http(http) => {
                    http.as_client_api_error().is_none_or(|answer| passes(answer.status_code.as_u16()))
                }
                _ => false,
            },
            _ => false,
        }
    }
}

fn passes(status: u16) -> bool {
    status == 429 || status == 408 || status >= 500
}
