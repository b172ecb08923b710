//! What can go wrong between us and a homeserver, with the cure.

use std::time::Duration;

use fraktalia_engine::{ObserveError, SecretError, StepError};

/// A call that did not bring what was asked for. `what` is a short imperative: `create room #lab:chat.home`.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// No connection; nothing was sent.
    #[error("cannot {what}: the homeserver at {url} does not answer")]
    Unreachable {
        /// What was asked.
        what: String,
        /// Base URL of the homeserver.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke after the request was sent.
    #[error("cannot {what}: the connection broke before the answer came")]
    Lost {
        /// What was asked.
        what: String,
        /// How it broke.
        #[source]
        source: reqwest::Error,
    },
    /// No answer in time.
    #[error("cannot {what}: no answer within {} s", .after.as_secs_f32())]
    TimedOut {
        /// What was asked.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// The homeserver said no.
    #[error("cannot {what}: the homeserver says {errcode} ({status}): {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// HTTP status, 4xx.
        status: u16,
        /// The Matrix error code: the only thing to match on.
        errcode: String,
        /// For people.
        message: String,
    },
    /// The homeserver failed, or something between us and it did.
    #[error("cannot {what}: the homeserver failed with {status} {errcode}: {message}")]
    Failed {
        /// What was asked.
        what: String,
        /// HTTP status, 5xx.
        status: u16,
        /// The Matrix error code.
        errcode: String,
        /// For people.
        message: String,
    },
    /// The answer is no Matrix answer, for instance a proxy's HTML page.
    #[error("cannot {what}: {url} answers {status} with something that is not Matrix: {excerpt}")]
    NotMatrix {
        /// What was asked.
        what: String,
        /// Base URL of the homeserver.
        url: String,
        /// HTTP status.
        status: u16,
        /// How the answer begins.
        excerpt: String,
    },
    /// The answer is larger than anything we ask for.
    #[error("cannot {what}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// What was asked.
        what: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Slowed down for longer than we are ready to wait.
    #[error("cannot {what}: rate-limited, the next try would be in {} s", .retry_after.as_secs())]
    RateLimited {
        /// What was asked.
        what: String,
        /// When the homeserver wants to be asked again.
        retry_after: Duration,
    },
    /// The answer lacks something that it has to have.
    #[error("cannot {what}: the answer is not understood")]
    Misunderstood {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The admin token could not be had.
    #[error("cannot read the admin token of the homeserver")]
    Token(#[from] SecretError),
}

/// Matrix error codes that we act on.
pub(crate) mod code {
    pub(crate) const NOT_FOUND: &str = "M_NOT_FOUND";
    pub(crate) const FORBIDDEN: &str = "M_FORBIDDEN";
    pub(crate) const ROOM_IN_USE: &str = "M_ROOM_IN_USE";
    pub(crate) const UNKNOWN_TOKEN: &str = "M_UNKNOWN_TOKEN";
    pub(crate) const MISSING_TOKEN: &str = "M_MISSING_TOKEN";
    pub(crate) const UNRECOGNIZED: &str = "M_UNRECOGNIZED";
}

impl MatrixError {
    /// The Matrix error code, if the homeserver gave one.
    pub fn errcode(&self) -> Option<&str> {
        match self {
            Self::Refused { errcode, .. } | Self::Failed { errcode, .. } => Some(errcode),
            _ => None,
        }
    }

    /// Why it did not come, without what was asked.
    fn reason(&self) -> String {
        let text = self.to_string();
        let asked = match self {
            Self::Unreachable { what, .. }
            | Self::Lost { what, .. }
            | Self::TimedOut { what, .. }
            | Self::Refused { what, .. }
            | Self::Failed { what, .. }
            | Self::NotMatrix { what, .. }
            | Self::TooLarge { what, .. }
            | Self::RateLimited { what, .. }
            | Self::Misunderstood { what, .. } => what,
            Self::Token(_) => return text,
        };
        text.strip_prefix(&format!("cannot {asked}: ")).unwrap_or(&text).into()
    }

    /// Whether the homeserver refused with this code.
    pub fn is(&self, errcode: &str) -> bool {
        matches!(self, Self::Refused { errcode: have, .. } if have == errcode)
    }

    /// Whether a write may have had its effect all the same.
    pub fn in_doubt(&self) -> bool {
        match self {
            Self::Lost { .. }
            | Self::TimedOut { .. }
            | Self::Failed { .. }
            | Self::TooLarge { .. }
            | Self::Misunderstood { .. } => true,
            // A proxy that answers 4xx has not let the request through; anything else may have.
            Self::NotMatrix { status, .. } => !(400..500).contains(status),
            Self::Unreachable { .. } | Self::Refused { .. } | Self::RateLimited { .. } | Self::Token(_) => {
                false
            }
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { url, .. } => format!("is the homeserver running, and is `matrix.homeserver` ({url}) right?"),
            Self::Lost { .. } | Self::Failed { .. } => "look into the homeserver's log, then plan again".into(),
            Self::TimedOut { .. } => "is the homeserver overloaded or hung? look into its log, then plan again".into(),
            Self::NotMatrix { url, .. } => {
                format!("`matrix.homeserver` ({url}) has to be the base URL of Synapse itself, with /_synapse/admin reachable")
            }
            Self::RateLimited { .. } => "wait, or lift the limit for the admin user: POST /_synapse/admin/v1/users/USER/override_ratelimit".into(),
            Self::Refused { errcode, .. } => match errcode.as_str() {
                code::UNKNOWN_TOKEN | code::MISSING_TOKEN => "the token behind `matrix.admin_token` is not valid any more: log in again and store the new one".into(),
                code::FORBIDDEN => "does the user of `matrix.admin_token` have admin rights on the homeserver, and power in the room?".into(),
                code::UNRECOGNIZED => "this homeserver does not offer the call: is it Synapse, in a version of its own accounts (no delegated login)?".into(),
                _ => return None,
            },
            Self::TooLarge { .. } | Self::Misunderstood { .. } | Self::Token(_) => return None,
        };
        Some(text)
    }
}

/// The last of its causes: those before it name the layers of a library.
fn root(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error).to_string()
}

/// The title of the step says what was asked, and calls the room by its alias: only the reason is added.
impl From<MatrixError> for StepError {
    fn from(error: MatrixError) -> Self {
        let hint = error.hint();
        let reason = error.reason();
        let step = if error.in_doubt() { Self::in_doubt(reason) } else { Self::refused(reason) };
        let step = match hint {
            Some(hint) => step.with_hint(hint),
            None => step,
        };
        match error {
            MatrixError::Unreachable { source, .. } | MatrixError::Lost { source, .. } => {
                step.because(root(&source))
            }
            MatrixError::Misunderstood { source, .. } => step.because(source),
            MatrixError::Token(source) => step.because(source),
            _ => step,
        }
    }
}

impl From<MatrixError> for ObserveError {
    fn from(error: MatrixError) -> Self {
        let observe = Self::new(error.to_string());
        let observe = match error.hint() {
            Some(hint) => observe.with_hint(hint),
            None => observe,
        };
        observe.because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_repeats_neither_its_title_nor_the_id_of_the_room() {
        let error = MatrixError::Refused {
            what: "join @ana:chat.home to !dR49x".into(),
            status: 403,
            errcode: code::FORBIDDEN.into(),
            message: "You are banned".into(),
        };
        let step = StepError::from(error);
        assert_eq!(step.to_string(), "the homeserver says M_FORBIDDEN (403): You are banned");
        assert!(step.hint().is_some());
    }
}
