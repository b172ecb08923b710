//! What the desk wants done. Acts may be done more than once and count once: each has a key.

use std::fmt;

use fraktalia_model::UserId;
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::commands::Question;
use crate::ids::{Applicant, CaseId, EventId, Key};
use crate::words::Words;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// What tells it from all others.
    pub key: Key,
    /// What it is.
    pub what: Do,
}

/// Who does an act. Within a lane, acts are done one after the other, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The room.
    Room,
    /// The planner, which changes nothing.
    Planner,
    /// Whoever writes, commits and applies.
    Applier,
    /// Whoever can stop the applier while it is at work.
    Brake,
    /// The audit.
    Audit,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Room, Self::Planner, Self::Applier, Self::Brake, Self::Audit];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Planner => "planner",
            Self::Applier => "applier",
            Self::Brake => "brake",
            Self::Audit => "audit",
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Do {
    /// Say something. Answered by [`What::Posted`](crate::What::Posted).
    Say {
        /// The first message of the thread to say it in.
        thread: Option<EventId>,
        /// What.
        words: Words,
    },
    /// Change a message of ours.
    Edit {
        /// The act that posted it.
        of: Key,
        /// What it is to say now.
        words: Words,
    },
    /// Put a reaction on a message of ours, so that people only have to click. It is never an answer.
    React {
        /// The act that posted it.
        to: Key,
        /// The reaction.
        with: String,
    },
    /// Say what would happen. Answered by [`What::Planned`](crate::What::Planned).
    Plan {
        /// The case.
        case: CaseId,
        /// What would be done.
        order: Order,
    },
    /// Do it, if the plan still has that fingerprint: write and commit, then apply. Answered by
    /// [`What::Ran`](crate::What::Ran).
    Run {
        /// The case.
        case: CaseId,
        /// What is to be done.
        order: Order,
        /// The plan that was approved.
        fingerprint: String,
        /// Who is to thank, for the commit and the history.
        credits: Credits,
    },
    /// Stop that run: what is at work ends, and all is taken back. Too late, it changes nothing. A run that was not begun
    /// is not begun any more: [`Desk::is_stopped`](crate::Desk::is_stopped) says so after a crash as well.
    Stop {
        /// The act that began it.
        run: Key,
    },
    /// Take back the commit of a run that failed. Answered by [`What::TakenBack`](crate::What::TakenBack).
    TakeBack {
        /// The act that made it.
        run: Key,
    },
    /// Find out what an operator asks. Answered by [`What::Looked`](crate::What::Looked).
    Look(Question),
    /// Write it into the audit.
    Record(audit::Event),
}

impl Do {
    /// Who does it.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Say { .. } | Self::Edit { .. } | Self::React { .. } => Lane::Room,
            Self::Plan { .. } | Self::Look(_) => Lane::Planner,
            Self::Run { .. } | Self::TakeBack { .. } => Lane::Applier,
            Self::Stop { .. } => Lane::Brake,
            Self::Record(_) => Lane::Audit,
        }
    }
}

/// What can be planned, approved and done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Write a fragment as a file of its own, and apply the manifest with it.
    Add {
        /// The key of its fractal, and the name of the file.
        name: String,
        /// Its text.
        fragment: String,
    },
    /// Remove the file that an approved proposal became, and apply the manifest without it. Whoever does it looks first
    /// that the file holds that fractal and nothing else.
    Remove {
        /// The key of its fractal, and the name of the file.
        name: String,
    },
    /// Take the last run back.
    Rollback,
    /// Make the live systems what the manifest says.
    PutBack,
    /// Make the manifest what the live systems are.
    TakeIn,
}

impl Order {
    /// Whether doing it leaves a commit, which goes when it fails.
    pub(crate) fn commits(&self) -> bool {
        matches!(self, Self::Add { .. } | Self::Remove { .. } | Self::TakeIn)
    }
}

/// Who proposed, who approved, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credits {
    /// Who proposed it; nobody where it began with drift.
    pub proposed_by: Option<Applicant>,
    /// The event that it was proposed by, where it came from the room.
    pub proposal: Option<EventId>,
    /// Who approved it.
    pub approved: Approval,
}

/// Who approved something, and to what they said yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// An operator.
    Operator {
        /// Who.
        by: UserId,
        /// The reaction.
        reaction: EventId,
        /// The message with the plan that it was on.
        message: EventId,
    },
    /// A token that may apply without anybody's answer.
    Token {
        /// Its name.
        name: String,
        /// The plan.
        fingerprint: String,
    },
}

impl Approval {
    /// The operator, where it was one.
    pub fn operator(&self) -> Option<&UserId> {
        match self {
            Self::Operator { by, .. } => Some(by),
            Self::Token { .. } => None,
        }
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { by, .. } => write!(f, "{by}"),
            Self::Token { name, .. } => write!(f, "the API's token `{name}`"),
        }
    }
}
