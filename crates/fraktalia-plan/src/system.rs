//! The pure half of a provider: what it wants, what it compares, which steps it takes.

use std::collections::BTreeMap;

use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{Data, Manifest, Notes, Outputs, ResourceId, Span, SystemId};

use crate::Fingerprint;
use crate::change::{Delta, FieldChange, Impact, Verb};
use crate::ids::ResourceIds;

/// What is asked of a resource.
///
/// A spec that holds a [`fraktalia_model::Value`] names it in both methods; the audit of a plan finds one that was
/// forgotten.
pub trait Spec: Data {
    /// The resources whose outputs this spec still waits for.
    fn pending(&self) -> Vec<ResourceId> {
        Vec::new()
    }
    /// Fills in what is known.
    fn settle(&mut self, _known: &Outputs) {}
}

/// A resource that the manifest asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource<S> {
    /// Its name.
    pub id: ResourceId,
    /// What is asked of it.
    pub spec: S,
    /// The heading it stands under in a plan: the key of a fractal, a room, a network.
    pub subject: String,
    /// What has to be there first. On removal the order turns round.
    pub requires: ResourceIds,
    /// What happens when it leaves the manifest.
    pub on_remove: OnRemove,
    /// Where the manifest asks for it.
    pub at: Span,
}

/// Whose a living thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Ours, by its marker or by our own record.
    Ours,
    /// Nobody's that we know of: adopted when it is exactly as wanted, in the way when not.
    Unmarked,
    /// Somebody else's, who is named: in the way even when it looks as wanted.
    Foreign(String),
}

/// A living resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<T> {
    /// As it is.
    pub state: T,
    /// Whose it is.
    pub owner: Owner,
}

/// What a system saw. Always allowed to be incomplete, and says so.
#[derive(Clone, Debug)]
pub struct Observed<T> {
    /// What was asked for and is there, and all that carries our mark.
    pub found: BTreeMap<ResourceId, Seen<T>>,
    /// What the found resources yield.
    pub outputs: Outputs,
    /// Whether all that matters could be read. Nothing is made or removed on the strength of an incomplete look.
    pub complete: bool,
    /// What is there and not ours, counted by kind in the plural: `rooms` -> 3.
    pub strangers: BTreeMap<String, usize>,
    /// How it was read, in half a line: `2 changes since the last look`.
    pub how: String,
    /// What else there is to say.
    pub notes: Notes,
}

impl<T> Default for Observed<T> {
    fn default() -> Self {
        Self {
            found: BTreeMap::new(),
            outputs: Outputs::new(),
            complete: true,
            strangers: BTreeMap::new(),
            how: String::new(),
            notes: Notes::new(),
        }
    }
}

/// How a resource is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// What people call it: `#gardener:chat.home`.
    pub title: String,
    /// What it is, in half a line: `invite only; ana, ben, agent`.
    pub summary: String,
}

/// One resource that a system has to turn into steps. The verb is never `Keep`. `Adopt` and
/// `Forget` need a step only where a marker has to be set or taken away.
#[derive(Debug)]
pub struct Work<'a, S: System + ?Sized> {
    /// Which.
    pub id: &'a ResourceId,
    /// What is to happen.
    pub verb: Verb,
    /// What is asked; absent for `Delete`.
    pub want: Option<&'a Resource<S::Spec>>,
    /// What lives; absent for `Create`.
    pub have: Option<&'a Seen<S::State>>,
    /// What we last asked, where we know it.
    pub last: Option<&'a S::Spec>,
    /// What differs.
    pub fields: &'a [FieldChange],
    /// How a `Delete` is meant.
    pub on_remove: OnRemove,
}

/// A step as a system proposes it: one effect.
#[derive(Clone, Debug, PartialEq)]
pub struct StepDraft<Op> {
    /// The resources that are as wanted once it is done.
    pub realises: Vec<ResourceId>,
    /// The effect, with every choice made.
    pub op: Op,
    /// What it does to people meanwhile.
    pub impact: Impact,
    /// What it does, as a short imperative: `create #gardener:chat.home`.
    pub title: String,
}

/// A kind of system, seen from the planner: sync, total, without I/O, clock and randomness.
pub trait System: Send + Sync + 'static {
    /// What is asked of its resources.
    type Spec: Spec;
    /// What is seen of them.
    type State: Data;
    /// What can be done to them.
    type Op: Data;
    /// The version of `Op` and of the provider's undo data on disk. Other versions are refused.
    const FORMAT: u16;

    /// Which system this is: `matrix`, `docker@mox`.
    fn id(&self) -> SystemId;
    /// The resources of this system that the manifest asks for.
    ///
    /// # Errors
    /// Notes on what cannot be asked of this system.
    fn lower(&self, manifest: &Manifest) -> Result<Vec<Resource<Self::Spec>>, Notes>;
    /// How a resource is shown when it comes.
    fn describe(&self, spec: &Self::Spec) -> Described;
    /// How a living resource is shown when it goes.
    fn describe_seen(&self, id: &ResourceId, have: &Self::State) -> Described;
    /// What differs between wanted and seen. `last` is what we asked for last time.
    fn diff(&self, want: &Resource<Self::Spec>, have: &Seen<Self::State>, last: Option<&Self::Spec>)
    -> Delta;
    /// The steps that do the work, with every choice made: one for each change, or one for many.
    ///
    /// Work of verb `Adopt` may need none; it is then only recorded.
    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<Self::Op>>;
    /// What there is to say about the wish as a whole. Errors keep the plan from being applied.
    fn lint(&self, _desired: &[Resource<Self::Spec>]) -> Notes {
        Notes::new()
    }
    /// What our record keeps of a spec: the spec, without what is too large to keep.
    fn remember(&self, spec: &Self::Spec) -> Self::Spec {
        spec.clone()
    }
    /// What happens to a thing that carries our mark, left the manifest, and is not on our record: our state was
    /// lost, but not our ownership.
    fn default_on_remove(&self, _id: &ResourceId) -> OnRemove {
        OnRemove::Delete
    }
    /// How many steps of this system may run at once.
    fn parallel(&self) -> usize {
        4
    }
}

/// Fingerprint of a living resource.
pub fn seen_fingerprint<T: Data>(seen: &Seen<T>) -> Fingerprint {
    crate::fingerprint(&seen.state)
}
