//! The effectful half of a provider: look, do, ask whether it was done, take back.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use fraktalia_model::{Data, Living, Manifest, Outputs, ResourceId, SystemId};
use fraktalia_plan::{Record, Records, Resource, StepId, System};

use crate::paths::StatePaths;
use crate::secrets::Secrets;
use crate::watch::wake::Bell;

pub use fraktalia_plan::Observed;

/// What an observation is about.
pub struct Ask<'a, S> {
    /// The scope of ownership: a marker of another realm is somebody else's.
    pub realm: &'a str,
    /// What the manifest asks for.
    pub wanted: &'a [Resource<S>],
    /// What our record says is ours in this system, with what we last asked for. The record is the only proof of
    /// ownership where a system cannot carry a marker.
    pub owned: Owned<'a>,
    /// What the other systems yielded, for a system that [looks last](Provider::looks_last); empty for others.
    pub known: &'a Outputs,
    /// Read everything afresh; believe no cache.
    pub refresh: bool,
    /// Where our own files live.
    pub paths: &'a StatePaths,
    /// Finds the text of a secret.
    pub secrets: &'a Secrets,
}

/// What our record says is ours in one system: a part of the whole record, which is never copied.
#[derive(Clone, Copy, Debug)]
pub struct Owned<'a> {
    records: &'a Records,
    system: &'a SystemId,
}

impl<'a> Owned<'a> {
    /// The part of `records` that is about `system`.
    pub fn of(records: &'a Records, system: &'a SystemId) -> Self {
        Self { records, system }
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = (&'a ResourceId, &'a Record)> {
        // Ids are sorted by system first.
        let first = ResourceId::new(self.system.clone(), "", "");
        self.records.range(first..).take_while(move |(id, _)| id.system == *self.system)
    }

    /// What our record says of one resource.
    pub fn get(self, id: &ResourceId) -> Option<&'a Record> {
        self.records.get(id).filter(|_| id.system == *self.system)
    }

    /// Whether nothing of the system is ours.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }
}

/// What looking at all that lives in a system has at hand.
#[derive(Clone, Copy)]
pub struct Survey<'a> {
    /// What is asked for: what of it is there already needs no telling.
    pub manifest: &'a Manifest,
    /// Finds the text of a secret.
    pub secrets: &'a Secrets,
}

/// What listening to a system has at hand.
pub struct Follow<'a, S> {
    /// The scope of ownership.
    pub realm: &'a str,
    /// What the manifest asks for.
    pub wanted: &'a [Resource<S>],
    /// Where our own files live.
    pub paths: &'a StatePaths,
    /// Finds the text of a secret.
    pub secrets: &'a Secrets,
    /// To be rung when something may have changed; see [`Bell::listening`].
    pub bell: &'a Bell,
}

/// What a step has to say while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// A line of progress, for instance of a build; of no interest any more when the step is done.
    Progress(String),
    /// What stays though the step is taken back, and why: mostly that others have changed it since.
    Stays(String),
}

/// What a step has at hand.
pub struct StepCx<'a> {
    /// The scope of ownership.
    pub realm: &'a str,
    /// The run, as in `history`: goes into markers, so that a later run can tell who made a thing.
    pub run: &'a str,
    /// The step within the run.
    pub step: StepId,
    /// What is known by now: outputs of observed resources and of the steps that are done.
    pub outputs: &'a Outputs,
    /// Where our own files live.
    pub paths: &'a StatePaths,
    /// `STATE/backup/<run>`, made with mode 0700: before-images go here, with mode 0600, and never into the journal.
    pub backup: &'a Path,
    /// Finds the text of a secret.
    pub secrets: &'a Secrets,
    /// Takes what people should see.
    pub remarks: Arc<dyn Fn(Remark) + Send + Sync>,
}

impl StepCx<'_> {
    /// Shows a line of progress.
    pub fn say(&self, line: impl Into<String>) {
        (self.remarks)(Remark::Progress(line.into()));
    }

    /// Tells of something that stays though the step is taken back.
    pub fn leave(&self, what: impl Into<String>) {
        (self.remarks)(Remark::Stays(what.into()));
    }
}

/// What became of a step of which we do not know whether it ran.
#[derive(Clone, Debug, PartialEq)]
pub enum Landed {
    /// It had no effect.
    No,
    /// It had its whole effect, and yields this.
    Yes(Outputs),
    /// It had a part of its effect, and nobody else was at it: `perform` once more completes it.
    Partly {
        /// What is there, and what is missing.
        why: String,
    },
    /// What is there is neither what was nor what was to be, or is not ours.
    Torn {
        /// What was found.
        why: String,
    },
}

/// Why a step did not get done. The two are different things.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The system said no, and nothing changed.
    #[error("{what}")]
    Refused {
        /// What was refused, on what, and why.
        what: String,
        /// What to do next.
        hint: Option<String>,
        /// The cause, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// We never heard, so it may have happened, in part or whole.
    #[error("{what}")]
    InDoubt {
        /// What was asked, and how the answer failed to come.
        what: String,
        /// The cause, where there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl StepError {
    /// The system said no.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), hint: None, source: None }
    }

    /// We never heard.
    pub fn in_doubt(what: impl Into<String>) -> Self {
        Self::InDoubt { what: what.into(), source: None }
    }

    /// With what to do next.
    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Refused { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// With its cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let (Self::Refused { source, .. } | Self::InDoubt { source, .. }) = &mut self;
        *source = Some(cause.into());
        self
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } => hint.as_deref(),
            Self::InDoubt { .. } => None,
        }
    }
}

/// A system that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct ObserveError {
    /// What could not be read, and why.
    pub what: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ObserveError {
    /// What could not be read, and why.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, source: None }
    }

    /// With what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With its cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }
}

/// A system that can be looked at and changed.
///
/// The engine calls, for each step: `prepare`, writes what it returned to disk, `perform`. After a crash or a lost
/// answer it calls `landed`. To take a step back it calls `revert`. Each of them may be called again after a
/// crash, so each must be safe to repeat; `revert` must also be safe when the effect never happened. Every call
/// must end within a deadline of its own: a system that hangs is an error, never a wait without end.
#[async_trait]
pub trait Provider: System {
    /// What it takes to undo a step: names, old values, paths of before-images. Never a secret.
    type Undo: Data;

    /// Whether it is observed after the other systems, with what they yielded: its resources can be recognised only
    /// by the outputs of others, as a binding is by its room's id.
    fn looks_last(&self) -> bool {
        false
    }

    /// Whether its resources protect what requires them, as the rules of a network do. Then a rollback that cannot bring
    /// them back does not bring back what they protect, and one that cannot take away what they protect leaves them.
    fn protects(&self) -> bool {
        false
    }

    /// Reads what lives.
    ///
    /// # Errors
    /// When the system cannot be read at all. A part that cannot be read makes the observation incomplete instead.
    async fn observe(&self, ask: &Ask<'_, Self::Spec>) -> Result<Observed<Self::State>, ObserveError>;

    /// Reads all that lives there, whether anybody asks for it or not, as far as a manifest could ask for it. What is read
    /// is bounded, and no secret is in it.
    ///
    /// # Errors
    /// When the system cannot be read.
    async fn discover(&self, _survey: Survey<'_>) -> Result<Living, ObserveError> {
        Ok(Living::default())
    }

    /// Reads the before-image. Changes nothing in the system.
    async fn prepare(&self, op: &Self::Op, cx: &StepCx<'_>) -> Result<Self::Undo, StepError>;

    /// Has the effect. Yields what the realised resources put out.
    async fn perform(&self, op: &Self::Op, cx: &StepCx<'_>) -> Result<Outputs, StepError>;

    /// Finds out whether `perform` had its effect.
    async fn landed(&self, op: &Self::Op, undo: &Self::Undo, cx: &StepCx<'_>) -> Result<Landed, StepError>;

    /// Takes the effect back. `op` is what was done or may have been done.
    async fn revert(&self, op: &Self::Op, undo: &Self::Undo, cx: &StepCx<'_>) -> Result<(), StepError>;

    /// Listens, and rings when something may have changed. An event only wakes: what is looked at then decides, so one
    /// too many does no harm. Ends when events are not heard any more, and is called again then. A system that tells of
    /// nothing never ends; it is looked at by the clock.
    ///
    /// # Errors
    /// When it cannot be listened to, or no longer.
    async fn watch(&self, _follow: &Follow<'_, Self::Spec>) -> Result<(), ObserveError> {
        std::future::pending().await
    }

    /// The commands that a person could run to do by hand what `revert` could not.
    fn by_hand(&self, op: &Self::Op, undo: &Self::Undo) -> Vec<String>;
}
