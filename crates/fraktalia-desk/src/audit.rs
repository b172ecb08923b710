//! Who proposed, decided and ran what: JSON lines, each with the hash of the one before it.
//!
//! A line is on disk, with `fsync`, before anything says that it is. It is written once for each key, so that an act that
//! is done again after a crash leaves one line. Whoever can write the file can write it anew from any line on, hashes
//! included; that is seen by the [`Anchor`], which is kept elsewhere.

pub mod anchor;
mod file;
mod verify;

use fraktalia_model::UserId;
use serde::{Deserialize, Serialize};

use crate::case::Choice;
use crate::commands::Question;
use crate::ids::{Applicant, CaseId, EventId, Key, Moment};

pub use self::file::{Audit, AuditError};
pub use self::verify::{Finding, Verdict, export, history, verify};

/// What the first line has in the place of a hash.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Something that happened, for the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was heard.
    pub at: Moment,
    /// The case that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// Which plan of that case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// What.
    #[serde(flatten)]
    pub what: Happened,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Happened {
    /// Somebody proposed a fractal, or changed a proposal.
    Proposed {
        /// Who.
        by: UserId,
        /// The message.
        event: EventId,
        /// The key of the fractal.
        name: String,
        /// SHA-256 of the fragment, hex.
        sha256: String,
    },
    /// Something was filed through the API.
    Filed {
        /// By which token.
        by: Applicant,
        /// What tells it from all others.
        origin: String,
        /// The key of the fractal.
        name: String,
        /// SHA-256 of the fragment, hex; absent where it is a removal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// Something filed through the API was not taken up.
    FiledInVain {
        /// By which token.
        by: Applicant,
        /// What tells it from all others.
        origin: String,
        /// Why.
        why: String,
    },
    /// Something was not taken up.
    Refused {
        /// Whose.
        by: UserId,
        /// The event.
        event: EventId,
        /// Why.
        why: String,
    },
    /// There is a plan.
    Planned {
        /// Its fingerprint.
        fingerprint: String,
    },
    /// An operator approved it.
    Approved {
        /// Who.
        by: UserId,
        /// The reaction.
        event: EventId,
        /// The message that showed the plan.
        message: EventId,
        /// The fingerprint of that plan.
        fingerprint: String,
        /// What they chose.
        choice: Choice,
    },
    /// A token approved what it had filed.
    ApprovedByToken {
        /// Its name.
        token: String,
        /// The fingerprint of the plan.
        fingerprint: String,
    },
    /// An operator declined it.
    Declined {
        /// Who.
        by: UserId,
        /// The event.
        event: EventId,
    },
    /// An approval does not count any more.
    Withdrawn {
        /// Why.
        why: String,
    },
    /// A plan is void.
    Void {
        /// Why.
        why: String,
    },
    /// It ended without a decision.
    Closed {
        /// Why.
        why: String,
    },
    /// It was begun.
    Started {
        /// The key of the act.
        run: Key,
    },
    /// It was done.
    Applied {
        /// The run, as `history` has it.
        run: String,
        /// The commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
    },
    /// It failed.
    Failed {
        /// The run, as `history` has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<String>,
        /// Why.
        reason: String,
    },
    /// The commit of what failed was to be taken back.
    TakenBack {
        /// Why it could not be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    /// An operator asked something.
    Asked {
        /// Who.
        by: UserId,
        /// The message.
        event: EventId,
        /// What.
        question: Question,
    },
    /// An operator asked what the removal of a fractal would do.
    AskedRemoval {
        /// Who.
        by: UserId,
        /// The message.
        event: EventId,
        /// The key of the fractal.
        name: String,
    },
    /// An operator asked what taking back the last run would do.
    AskedRollback {
        /// Who.
        by: UserId,
        /// The message.
        event: EventId,
    },
    /// We have a new device in the room.
    NewDevice,
}

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// The hash of the line before it.
    pub before: String,
    /// The key of the act that it is.
    pub key: Key,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// A line of the audit as it was when it was written: kept in another place, it shows that what leads to it was not
/// rewritten or cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}
