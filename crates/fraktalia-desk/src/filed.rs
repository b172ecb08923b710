//! What comes through the API: programs file, and ask what became of it.

use fraktalia_model::Notes;
use serde::{Deserialize, Serialize};

use crate::ids::EventId;

/// Something that a program files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filing {
    /// What tells it from all others, and begins its case: filed again, it is the same.
    pub origin: String,
    /// A hash of all that was sent, so that something else under the same origin is seen.
    pub digest: String,
    /// The name of the token. Who tells it vouches that it was shown.
    pub token: String,
    /// What is asked for.
    pub ask: Ask,
    /// Whether it is to be done without an operator's answer. The policy has to allow the token that as well.
    pub may_apply: bool,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A fractal.
    Add {
        /// The fragment that describes it.
        fragment: String,
    },
    /// The end of one; or of one's own proposal of it, where it is not there yet.
    Remove {
        /// Its key.
        name: String,
    },
}

/// What a case keeps of its filing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filed {
    /// What tells it from all others.
    pub origin: String,
    /// The hash of all that was sent.
    pub digest: String,
    /// Whether it is done without an operator's answer.
    pub may_apply: bool,
    /// The message that tells the room of a run that nobody was asked about: an operator's ❌ to it stops the run.
    pub notice: Option<EventId>,
    /// What there is to tell beyond the stage of the case.
    pub reply: Option<Reply>,
}

/// What a program is told that nobody in the room is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The token may not do that, or not any more.
    Forbidden(String),
    /// The fragment, or the manifest with it, would not be in order.
    Findings(Notes),
    /// Something else of that name is under way.
    Clash(String),
    /// There is no such fractal.
    NoSuch(String),
    /// It is there, and not one that can be removed here.
    Fixed(String),
    /// More than one token has.
    TooMany {
        /// Of what.
        text: String,
        /// Until when, in seconds.
        wait_s: u64,
    },
    /// It cannot be planned now.
    Unable(String),
    /// It would change nothing.
    Nothing,
    /// Nobody's answer counts any more.
    Void(String),
    /// It was tried, and failed.
    Failed(String),
    /// What was to be removed was a proposal of this token, which is void now.
    Withdrawn,
}

impl Reply {
    /// Whether the same may be answered in another way later, so that filing it again is a new try.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Forbidden(_) | Self::TooMany { .. } | Self::Unable(_))
    }
}
