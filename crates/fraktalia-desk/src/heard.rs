//! What the desk is told. All of it happened elsewhere; who tells it vouches for who sent what, and for nothing else.

use fraktalia_model::{Notes, UserId};
use serde::{Deserialize, Serialize};

use crate::filed::Filing;
use crate::ids::{EventId, Key, Moment};

/// Something that happened, and when we were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When. Never earlier than what was heard before.
    pub at: Moment,
    /// What.
    pub what: What,
}

/// An event of the room: who sent it, and what the caller knows about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub event: EventId,
    /// Who sent it.
    pub by: UserId,
    /// When, by the homeserver.
    pub at: Moment,
    /// Whether they are in the room.
    pub joined: bool,
    /// Whether the caller vouches that they are who they are said to be: in an encrypted room, that a verified device of
    /// theirs encrypted it.
    pub vouched: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Somebody wrote a message.
    Message {
        /// Who, and when.
        sent: Sent,
        /// The first message of the thread that it is in, or the message that it answers.
        answers: Option<EventId>,
        /// Its text.
        body: String,
        /// The text of a file that came with it.
        attachment: Option<String>,
    },
    /// A message was edited.
    Edited {
        /// By whom.
        sent: Sent,
        /// Which.
        of: EventId,
    },
    /// An event was redacted.
    Redacted {
        /// By whom.
        sent: Sent,
        /// Which.
        of: EventId,
    },
    /// Somebody reacted to a message.
    Reaction {
        /// Who.
        sent: Sent,
        /// To which.
        on: EventId,
        /// With what.
        key: String,
    },
    /// Somebody is not in the room any more.
    Left {
        /// The event that says so.
        event: EventId,
        /// Who.
        who: UserId,
    },
    /// A message, or the file that came with it, could not be read, and is not tried again.
    Unread {
        /// Which.
        event: EventId,
        /// Who sent it, as the homeserver says.
        by: UserId,
        /// Why, to go on with after "this could not be read".
        why: String,
    },
    /// We sit in the room for the first time.
    Began,
    /// We sit in the room with a new device, since the files of the old one were lost.
    NewDevice,
    /// A program filed something through the API. Whoever tells it vouches for the token.
    Filed(Filing),
    /// A message of ours stands in the room.
    Posted {
        /// The act that it was.
        key: Key,
        /// Its id.
        event: EventId,
    },
    /// The planner's answer.
    Planned {
        /// The act that asked.
        key: Key,
        /// What it says.
        answer: Planned,
    },
    /// How far a run is, in a line.
    Progress {
        /// The act that it is about.
        key: Key,
        /// The line.
        text: String,
    },
    /// What became of a run.
    Ran {
        /// The act that it was.
        key: Key,
        /// What became of it.
        outcome: Outcome,
    },
    /// Whether the commit of a failed run could be taken back.
    TakenBack {
        /// The act that asked.
        key: Key,
        /// Why not.
        failed: Option<String>,
    },
    /// The answer to an operator's question.
    Looked {
        /// The act that asked.
        key: Key,
        /// The answer, several lines.
        text: String,
    },
    /// The live systems are not as the manifest says.
    Drifted {
        /// What would put them back.
        plan: Plan,
    },
    /// They are again.
    Settled,
    /// Time passed.
    Tick,
}

/// A plan as people are to see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What tells it from every other plan, and from the same one in another world.
    pub fingerprint: String,
    /// In a line: what is made, changed, removed.
    pub summary: String,
    /// The changes, as `fraktalia plan` shows them.
    pub changes: String,
    /// What an operator should know before saying yes.
    pub warnings: Vec<String>,
    /// Whether it does anything.
    pub empty: bool,
}

/// The planner's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// This is what would happen.
    Plan(Plan),
    /// The manifest would be wrong with it, or something is in the way.
    Findings(Notes),
    /// It could not be planned now.
    Unable(String),
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied, and looked at again.
    Applied {
        /// The run, as `history` has it.
        run: String,
        /// The commit, where there is one.
        commit: Option<String>,
    },
    /// Nothing was done: another run is at work.
    Busy(String),
    /// Nothing was done: the plan is not any more the one with that fingerprint.
    Stale,
    /// It failed, and the live systems are as they were.
    RolledBack {
        /// The run, where it came to one.
        run: Option<String>,
        /// Why.
        reason: String,
    },
    /// It failed, and not all could be taken back.
    Stuck {
        /// The run.
        run: Option<String>,
        /// Why, and what is left to do by hand.
        reason: String,
    },
}

impl What {
    /// The id of the event, and when it was sent; for events of the room.
    pub(crate) fn event(&self) -> Option<(&EventId, Option<Moment>)> {
        match self {
            Self::Message { sent, .. }
            | Self::Edited { sent, .. }
            | Self::Redacted { sent, .. }
            | Self::Reaction { sent, .. } => Some((&sent.event, Some(sent.at))),
            Self::Left { event, .. } => Some((event, None)),
            _ => None,
        }
    }

    /// The act that is done by this.
    pub fn completes(&self) -> Option<&Key> {
        match self {
            Self::Posted { key, .. }
            | Self::Planned { key, .. }
            | Self::Ran { key, .. }
            | Self::TakenBack { key, .. }
            | Self::Looked { key, .. } => Some(key),
            _ => None,
        }
    }
}
