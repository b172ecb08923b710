//! The write-ahead journal of a run. It answers one question after a crash: which steps are in doubt?
//!
//! Five rules make it hold:
//! 1. The whole plan is on disk before its first effect.
//! 2. The way back of a step is on disk (`Begun`) before the step has its effect.
//! 3. What a step yielded is on disk (`Done`) before a step that needs it begins.
//! 4. `append` returns after the entry reached the disk, and not before.
//! 5. An entry carries the checksum of all before it. A torn last line never happened; a torn line in the middle
//!    means that somebody changed the file, and nothing is done on the strength of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use fraktalia_model::{Outputs, ResourceId};
use fraktalia_plan::{Fingerprint, Plan, Records, Sealed, StepId};
use serde::{Deserialize, Serialize};

use crate::git::Origin;

pub mod file;
mod writer;

pub use file::{JournalError, list, read};
pub use writer::{Fault, FaultAt, Journal};

/// The version of journals that this program writes and reads.
pub const FORMAT: u16 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Entry {
    /// The first line: what is going to be done.
    Open(#[serde(with = "shared")] Arc<Header>),
    /// A step went on.
    Mark {
        /// Which.
        step: StepId,
        /// How.
        mark: Mark,
    },
    /// A finished run is taken back.
    Reopened {
        /// When, RFC 3339.
        at: String,
        /// What whoever asked for it calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Nothing more is going to happen.
    Close {
        /// When, RFC 3339.
        at: String,
        /// How it ended.
        outcome: Outcome,
        /// The touched resources as they were afterwards: what a later rollback compares with.
        after: BTreeMap<ResourceId, Option<Fingerprint>>,
    },
}

/// A header is large, and held by the journal, the run and the applier at once.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Header;

    pub fn serialize<S: Serializer>(header: &Arc<Header>, serializer: S) -> Result<S::Ok, S::Error> {
        header.as_ref().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Header>, D::Error> {
        Header::deserialize(deserializer).map(Arc::new)
    }
}

/// What a run is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Its name: sorts by time.
    pub run: String,
    /// Format of the journal.
    pub format: u16,
    /// When it began, RFC 3339.
    pub at: String,
    /// The version of fraktalia that began it.
    pub version: String,
    /// What it does.
    pub plan: Plan,
    /// What our record said of the resources that the plan touches.
    pub before: Records,
    /// The commit that the manifest was read from, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What whoever began it calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What happened to a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It is about to have its effect; this is the way back.
    Begun {
        /// Opaque to all but the provider.
        undo: Sealed,
    },
    /// It had its effect.
    Done {
        /// What it yields.
        outputs: Outputs,
    },
    /// It had no effect.
    Failed {
        /// Why not.
        why: String,
    },
    /// It is about to be taken back.
    Undoing,
    /// It was taken back.
    Undone,
    /// It could not be taken back.
    Stuck {
        /// Why not.
        why: String,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is as the plan wanted it.
    Applied,
    /// All steps were done, but a second plan is not empty.
    NotConverged,
    /// It failed or was stopped, and everything is as it was before.
    RolledBack {
        /// What failed.
        why: String,
    },
    /// It failed, and these steps could not be taken back.
    Incomplete {
        /// What failed.
        why: String,
    },
    /// The world changed before it was resumed: steps in doubt were settled, what was done is on record.
    Superseded,
}

/// Where a step stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Status {
    /// Nothing happened yet.
    #[default]
    Untouched,
    /// It may have had its effect.
    Begun {
        /// The way back.
        undo: Sealed,
    },
    /// It had its effect.
    Done {
        /// The way back.
        undo: Sealed,
        /// What it yielded.
        outputs: Outputs,
    },
    /// It had no effect.
    Failed,
    /// It may have been taken back.
    Undoing {
        /// The way back.
        undo: Sealed,
    },
    /// It was taken back.
    Undone,
    /// It could not be taken back.
    Stuck {
        /// The way back.
        undo: Sealed,
    },
}

/// A mark that cannot follow where the step stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step that is {status} cannot become {mark}")]
pub struct BadMark {
    status: &'static str,
    mark: &'static str,
}

impl Status {
    /// Where a step stands after `mark`. This is the only place that knows what may follow what.
    ///
    /// # Errors
    /// When the mark cannot follow.
    pub fn next(self, mark: Mark) -> Result<Self, BadMark> {
        match (self, mark) {
            (Self::Untouched | Self::Failed, Mark::Begun { undo }) => Ok(Self::Begun { undo }),
            (Self::Untouched | Self::Begun { .. }, Mark::Failed { .. }) => Ok(Self::Failed),
            (Self::Begun { undo }, Mark::Done { outputs }) => Ok(Self::Done { undo, outputs }),
            (
                Self::Begun { undo }
                | Self::Done { undo, .. }
                | Self::Undoing { undo }
                | Self::Stuck { undo },
                Mark::Undoing,
            ) => Ok(Self::Undoing { undo }),
            (Self::Undoing { .. }, Mark::Undone) => Ok(Self::Undone),
            (Self::Undoing { undo }, Mark::Stuck { .. }) => Ok(Self::Stuck { undo }),
            (status, mark) => Err(BadMark { status: status.name(), mark: mark.name() }),
        }
    }

    /// The way back of a step that had or may have had its effect.
    pub fn undo(&self) -> Option<&Sealed> {
        match self {
            Self::Begun { undo }
            | Self::Done { undo, .. }
            | Self::Undoing { undo }
            | Self::Stuck { undo } => Some(undo),
            Self::Untouched | Self::Failed | Self::Undone => None,
        }
    }

    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::Begun { .. } => "begun",
            Self::Done { .. } => "done",
            Self::Failed => "failed",
            Self::Undoing { .. } => "being undone",
            Self::Undone => "undone",
            Self::Stuck { .. } => "stuck",
        }
    }
}

impl Mark {
    fn name(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Undoing => "being undone",
            Self::Undone => "undone",
            Self::Stuck { .. } => "stuck",
        }
    }
}

/// A run as its journal tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What it is about.
    pub header: Arc<Header>,
    /// Where each step stands, in the order of the plan.
    pub statuses: Vec<Status>,
    /// How and when it ended; `None` while it is open.
    pub closed: Option<(String, Outcome)>,
    /// The touched resources as they were when it ended.
    pub after: BTreeMap<ResourceId, Option<Fingerprint>>,
    /// Why the first step failed that did.
    pub failure: Option<String>,
    /// What whoever took it back after its end calls that.
    pub reopened: Option<String>,
}

/// A sequence of entries that no run can have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// There is none, or it is not the first.
    #[error("the journal does not begin with its plan")]
    NoHeader,
    /// See [`BadMark`].
    #[error("step {step}: {source}")]
    BadMark {
        /// Which step.
        step: StepId,
        /// What does not fit.
        source: BadMark,
    },
    /// The plan has no such step.
    #[error("the plan has no step {0}")]
    NoStep(StepId),
    /// Something came after the end.
    #[error("the journal goes on after its end")]
    AfterEnd,
}

impl Run {
    /// The run that `entries` tell of.
    ///
    /// # Errors
    /// When no run can have written them.
    pub fn replay(entries: impl IntoIterator<Item = Entry>) -> Result<Self, ReplayError> {
        let mut entries = entries.into_iter();
        let Some(Entry::Open(header)) = entries.next() else {
            return Err(ReplayError::NoHeader);
        };
        let statuses = vec![Status::Untouched; header.plan.steps.len()];
        let mut run =
            Self { header, statuses, closed: None, after: BTreeMap::new(), failure: None, reopened: None };
        for entry in entries {
            run.apply(entry)?;
        }
        Ok(run)
    }

    /// Takes one more entry into account.
    ///
    /// # Errors
    /// When it cannot follow.
    pub fn apply(&mut self, entry: Entry) -> Result<(), ReplayError> {
        match entry {
            Entry::Open(_) => Err(ReplayError::NoHeader),
            Entry::Mark { .. } | Entry::Close { .. } if self.closed.is_some() => Err(ReplayError::AfterEnd),
            Entry::Mark { step, mark } => self.mark(step, mark),
            Entry::Reopened { note, .. } => {
                self.closed = None;
                self.reopened = note;
                Ok(())
            }
            Entry::Close { at, outcome, after } => {
                self.closed = Some((at, outcome));
                self.after = after;
                Ok(())
            }
        }
    }

    fn mark(&mut self, step: StepId, mark: Mark) -> Result<(), ReplayError> {
        if let Mark::Failed { why } = &mark {
            self.failure.get_or_insert_with(|| why.clone());
        }
        let index = usize::try_from(step).ok().and_then(|id| id.checked_sub(1));
        let status = index.and_then(|index| self.statuses.get_mut(index)).ok_or(ReplayError::NoStep(step))?;
        *status =
            std::mem::take(status).next(mark).map_err(|source| ReplayError::BadMark { step, source })?;
        Ok(())
    }

    /// Where a step stands.
    pub fn status(&self, step: StepId) -> &Status {
        &self.statuses[step as usize - 1]
    }

    /// Whether something was, or may have been, done.
    pub fn has_effects(&self) -> bool {
        self.statuses.iter().any(|status| status.undo().is_some())
    }

    /// Whether a step that cannot be taken back was, or may have been, done.
    pub fn passed_the_point_of_no_return(&self) -> bool {
        self.header
            .plan
            .steps
            .iter()
            .zip(&self.statuses)
            .any(|(step, status)| step.impact.is_irreversible() && status.undo().is_some())
    }
}
