//! What the engine says while it works. Who shows it, and how, is not its business.

use fraktalia_plan::{Plan, StepId};
use serde::Serialize;

use crate::journal::Outcome;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A run begins, or goes on.
    Started {
        /// Its name.
        run: String,
        /// How many steps there are.
        steps: usize,
        /// How many of them are done already.
        done: usize,
    },
    /// A step is about to have its effect.
    Begun {
        /// Which.
        step: StepId,
        /// What it does.
        title: String,
    },
    /// A step has something to show.
    Progress {
        /// Which.
        step: StepId,
        /// One line.
        line: String,
    },
    /// A step's answer got lost; the system is asked whether it happened.
    Doubt {
        /// Which.
        step: StepId,
        /// How the answer got lost.
        why: String,
    },
    /// A step had its effect.
    Done {
        /// Which.
        step: StepId,
    },
    /// A step had no effect, or only a part of it.
    Failed {
        /// Which.
        step: StepId,
        /// What failed, with all causes.
        why: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Somebody asked to stop: what is in flight is finished first.
    Stopping,
    /// What was done is taken back.
    RollingBack {
        /// How many steps.
        steps: usize,
        /// What failed.
        why: String,
    },
    /// A step was taken back.
    Undone {
        /// Which.
        step: StepId,
        /// What it had done.
        title: String,
    },
    /// Something stays though its step is taken back: mostly what others have changed since.
    Stays {
        /// Which step.
        step: StepId,
        /// What stays, and why.
        what: String,
    },
    /// A step could not be taken back.
    Stuck {
        /// Which.
        step: StepId,
        /// Why not.
        why: String,
        /// What a person can do instead.
        by_hand: Vec<String>,
    },
    /// The systems are looked at again.
    Verifying,
    /// A second look found something left to do.
    NotConverged {
        /// What is left.
        #[serde(skip)]
        plan: Box<Plan>,
    },
    /// The run ended.
    Finished {
        /// How.
        outcome: Outcome,
    },
}

/// Somebody who listens.
pub trait EventSink: Send + Sync {
    /// Takes notice. Must not block.
    fn emit(&self, event: &Event);
}

/// Nobody listens.
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _event: &Event) {}
}

impl<F: Fn(&Event) + Send + Sync> EventSink for F {
    fn emit(&self, event: &Event) {
        self(event);
    }
}
