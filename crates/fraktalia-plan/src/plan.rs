//! The plan: a value that can be read, saved, drawn and run. Nothing that runs it decides anything.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_model::{Note, Notes, ResourceId, Severity, SystemId};
use serde::{Deserialize, Serialize};

use crate::Fingerprint;
use crate::change::{Change, Impact, Verb};
use crate::record::Records;

/// The version of a saved plan and of the plan in a journal.
pub const FORMAT: u16 = 1;

/// Position of a step in its plan, from 1.
pub type StepId = u32;

/// Data that only the provider that sealed it can open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sealed {
    /// Who sealed it.
    pub system: SystemId,
    /// In which version.
    pub format: u16,
    /// What only they understand.
    pub body: serde_json::Value,
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its position in the plan.
    pub id: StepId,
    /// The system it acts on.
    pub system: SystemId,
    /// What it does, as a short imperative.
    pub title: String,
    /// The resources that are as wanted once it is done.
    pub realises: Vec<ResourceId>,
    /// The effect.
    pub op: Sealed,
    /// What it does to people meanwhile.
    pub impact: Impact,
}

/// Why one step waits for another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It uses what the other yields.
    NeedsOutput(ResourceId),
    /// What it makes stands on what the other makes.
    Requires(ResourceId),
    /// What it removes carries what the other removes or moves away.
    TearDown(ResourceId),
    /// Both act on the same resource, in this order.
    Sequence(ResourceId),
}

/// `to` starts once `from` is done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// The step that goes first.
    pub from: StepId,
    /// The step that waits.
    pub to: StepId,
    /// For what.
    pub why: Why,
}

/// What a plan rests on. A saved plan whose basis is gone is stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Format of the plan.
    pub format: u16,
    /// Fingerprint of the manifest and all it includes.
    pub manifest: Fingerprint,
    /// The resources that the plan touches or whose outputs it uses, as they were seen; `None` where there was
    /// nothing.
    pub touched: BTreeMap<ResourceId, Option<Fingerprint>>,
}

/// What would be done, and why.
///
/// Besides the edges there is one rule of order: a step that cannot be taken back waits for all that can.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The scope of ownership.
    pub realm: String,
    /// What it rests on.
    pub basis: Basis,
    /// For people: one for each resource that does not stay as it is, sorted by subject and id.
    pub changes: Vec<Change>,
    /// For the machine: one for each effect, in an order in which they could run one by one.
    pub steps: Vec<Step>,
    /// What waits for what.
    pub edges: Vec<Edge>,
    /// What there is to say. With an error among them the plan is not applied.
    pub notes: Notes,
    /// What our record is to say of each wanted resource once it is as wanted; only where that differs from what
    /// it says now.
    pub records: Records,
    /// What our record no longer needs to name: it left the manifest and is gone.
    pub forgotten: BTreeSet<ResourceId>,
    /// What is there and not ours, counted by kind in the plural.
    pub strangers: BTreeMap<String, usize>,
}

impl Plan {
    /// Whether nothing would change: no effect, nothing to adopt or forget.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.steps.is_empty()
    }

    /// What keeps it from being applied.
    pub fn blockers(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(|note| note.severity == Severity::Error)
    }

    /// Whether something keeps it from being applied.
    pub fn is_blocked(&self) -> bool {
        self.blockers().next().is_some()
    }

    /// The step with this id.
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// How many changes have this verb.
    pub fn count(&self, verb: Verb) -> usize {
        self.changes.iter().filter(|change| change.verb == verb).count()
    }

    /// Tells plans apart, also when they were made at different times: a fingerprint of all that is done.
    pub fn fingerprint(&self) -> Fingerprint {
        crate::fingerprint(&(&self.realm, &self.basis, &self.steps, &self.edges))
    }

    /// Step ids in waves: each wave could run at once when the ones before it are done.
    pub fn waves(&self) -> Vec<Vec<StepId>> {
        crate::graph::waves(&self.steps, &self.edges)
    }
}
