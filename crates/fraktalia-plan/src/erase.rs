//! The one place where the types of a system are forgotten, so that the planner can hold several.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{Data, Manifest, Notes, Outputs, ResourceId, Span, SystemId};
use serde_json::Value as Json;

use crate::Fingerprint;
use crate::change::{Delta, FieldChange, Verb};
use crate::plan::Sealed;
use crate::record::Record;
use crate::system::{
    Described, Observed, Owner, Resource, Seen, Spec, StepDraft, System, Work, seen_fingerprint,
};

/// A spec of any system.
pub trait AnySpec: Any + Send + Sync {
    /// See [`Spec::pending`].
    fn pending(&self) -> Vec<ResourceId>;
    /// A copy with what is known filled in.
    fn settled(&self, known: &Outputs) -> Arc<dyn AnySpec>;
    /// For `downcast_ref`.
    fn as_any(&self) -> &dyn Any;
}

impl<S: Spec> AnySpec for S {
    fn pending(&self) -> Vec<ResourceId> {
        Spec::pending(self)
    }
    fn settled(&self, known: &Outputs) -> Arc<dyn AnySpec> {
        let mut copy = self.clone();
        copy.settle(known);
        Arc::new(copy)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A [`Resource`] of any system.
#[derive(Clone)]
pub struct AnyResource {
    /// Its name.
    pub id: ResourceId,
    /// What is asked of it.
    pub spec: Arc<dyn AnySpec>,
    /// The heading it stands under.
    pub subject: String,
    /// What has to be there first.
    pub requires: BTreeSet<ResourceId>,
    /// What happens when it leaves the manifest.
    pub on_remove: OnRemove,
    /// Where the manifest asks for it.
    pub at: Span,
}

impl AnyResource {
    fn of<S: Spec>(resource: Resource<S>) -> Self {
        let Resource { id, spec, subject, requires, on_remove, at } = resource;
        Self { id, spec: Arc::new(spec), subject, requires, on_remove, at }
    }

    /// The resource as its own system knows it; `None` when it belongs to another.
    pub fn typed<S: Spec>(&self) -> Option<Resource<S>> {
        Some(Resource {
            id: self.id.clone(),
            spec: self.spec.as_any().downcast_ref::<S>()?.clone(),
            subject: self.subject.clone(),
            requires: self.requires.clone(),
            on_remove: self.on_remove,
            at: self.at.clone(),
        })
    }
}

/// A [`Seen`] of any system.
#[derive(Clone)]
pub struct AnySeen {
    seen: Arc<dyn Any + Send + Sync>,
    /// Whose it is.
    pub owner: Owner,
    /// Fingerprint of its state.
    pub fingerprint: Fingerprint,
}

impl AnySeen {
    fn of<T: Data>(seen: Seen<T>) -> Self {
        Self { owner: seen.owner.clone(), fingerprint: seen_fingerprint(&seen), seen: Arc::new(seen) }
    }

    fn typed<T: Data>(&self) -> Option<&Seen<T>> {
        self.seen.downcast_ref()
    }
}

/// An [`Observed`] of any system.
#[derive(Clone)]
pub struct AnyObserved {
    /// See [`Observed::found`].
    pub found: BTreeMap<ResourceId, AnySeen>,
    /// See [`Observed::outputs`].
    pub outputs: Outputs,
    /// See [`Observed::complete`].
    pub complete: bool,
    /// See [`Observed::strangers`].
    pub strangers: BTreeMap<String, usize>,
    /// See [`Observed::how`].
    pub how: String,
    /// See [`Observed::notes`].
    pub notes: Notes,
}

impl<T: Data> From<Observed<T>> for AnyObserved {
    fn from(observed: Observed<T>) -> Self {
        let Observed { found, outputs, complete, strangers, how, notes } = observed;
        let found = found.into_iter().map(|(id, seen)| (id, AnySeen::of(seen))).collect();
        Self { found, outputs, complete, strangers, how, notes }
    }
}

/// A [`Work`] of any system.
pub struct AnyWork<'a> {
    /// See [`Work`], as for all fields here.
    pub id: &'a ResourceId,
    /// What is to happen.
    pub verb: Verb,
    /// What is asked.
    pub want: Option<&'a AnyResource>,
    /// What lives.
    pub have: Option<&'a AnySeen>,
    /// What we last asked.
    pub last: Option<&'a Record>,
    /// What differs.
    pub fields: &'a [FieldChange],
    /// How a `Delete` is meant.
    pub on_remove: OnRemove,
}

/// A [`System`] whose types are forgotten.
pub trait DynSystem: Send + Sync {
    /// See [`System::id`].
    fn id(&self) -> SystemId;
    /// See [`System::FORMAT`].
    fn format(&self) -> u16;
    /// See [`System::parallel`].
    fn parallel(&self) -> usize;
    /// See [`System::lower`].
    ///
    /// # Errors
    /// See [`System::lower`].
    fn lower(&self, manifest: &Manifest) -> Result<Vec<AnyResource>, Notes>;
    /// See [`System::describe`].
    fn describe(&self, want: &AnyResource) -> Described;
    /// See [`System::describe_seen`].
    fn describe_seen(&self, id: &ResourceId, have: &AnySeen) -> Described;
    /// See [`System::diff`]. What was known of late values is filled in on both sides.
    fn diff(&self, want: &AnyResource, have: &AnySeen, last: Option<&Record>, known: &Outputs) -> Delta;
    /// See [`System::steps`].
    fn steps(&self, work: &[AnyWork<'_>]) -> Vec<StepDraft<Sealed>>;
    /// See [`System::lint`].
    fn lint(&self, desired: &[AnyResource]) -> Notes;
    /// What our record is to say of a resource.
    fn remember(&self, want: &AnyResource) -> Json;
    /// The spec of a record with what is known by now filled in.
    fn settle_record(&self, spec: &Json, known: &Outputs) -> Json;
    /// See [`System::default_on_remove`].
    fn default_on_remove(&self, id: &ResourceId) -> OnRemove;
}

/// What a planner can rely on: a system gets back only what it gave away itself.
const OWN: &str = "a system is given its own resources only";

impl<S: System> DynSystem for S {
    fn id(&self) -> SystemId {
        System::id(self)
    }
    fn format(&self) -> u16 {
        S::FORMAT
    }
    fn parallel(&self) -> usize {
        System::parallel(self)
    }
    fn lower(&self, manifest: &Manifest) -> Result<Vec<AnyResource>, Notes> {
        Ok(System::lower(self, manifest)?.into_iter().map(AnyResource::of).collect())
    }
    fn describe(&self, want: &AnyResource) -> Described {
        System::describe(self, want.spec.as_any().downcast_ref::<S::Spec>().expect(OWN))
    }
    fn describe_seen(&self, id: &ResourceId, have: &AnySeen) -> Described {
        System::describe_seen(self, id, &have.typed::<S::State>().expect(OWN).state)
    }
    fn diff(&self, want: &AnyResource, have: &AnySeen, last: Option<&Record>, known: &Outputs) -> Delta {
        let last = last.and_then(|record| last_spec::<S>(record, known));
        System::diff(self, &want.typed().expect(OWN), have.typed().expect(OWN), last.as_ref())
    }
    fn steps(&self, work: &[AnyWork<'_>]) -> Vec<StepDraft<Sealed>> {
        let none = Outputs::new();
        let wants: Vec<Option<Resource<S::Spec>>> =
            work.iter().map(|item| item.want.map(|want| want.typed().expect(OWN))).collect();
        let lasts: Vec<Option<S::Spec>> =
            work.iter().map(|item| item.last.and_then(|last| last_spec::<S>(last, &none))).collect();
        let typed: Vec<Work<'_, S>> = work
            .iter()
            .zip(wants.iter().zip(&lasts))
            .map(|(item, (want, last))| Work {
                id: item.id,
                verb: item.verb,
                want: want.as_ref(),
                have: item.have.map(|have| have.typed().expect(OWN)),
                last: last.as_ref(),
                fields: item.fields,
                on_remove: item.on_remove,
            })
            .collect();
        System::steps(self, &typed).into_iter().map(|draft| seal(self, draft)).collect()
    }
    fn lint(&self, desired: &[AnyResource]) -> Notes {
        let typed: Vec<_> = desired.iter().map(|want| want.typed().expect(OWN)).collect();
        System::lint(self, &typed)
    }
    fn remember(&self, want: &AnyResource) -> Json {
        let spec = want.spec.as_any().downcast_ref::<S::Spec>().expect(OWN);
        json(&System::remember(self, spec))
    }
    fn settle_record(&self, spec: &Json, known: &Outputs) -> Json {
        match <S::Spec as serde::Deserialize>::deserialize(spec) {
            Ok(mut typed) => {
                typed.settle(known);
                json(&typed)
            }
            Err(_) => spec.clone(),
        }
    }
    fn default_on_remove(&self, id: &ResourceId) -> OnRemove {
        System::default_on_remove(self, id)
    }
}

/// The spec of a record, if this version can still read it. What it does not understand it does not know.
fn last_spec<S: System>(record: &Record, known: &Outputs) -> Option<S::Spec> {
    let mut spec: S::Spec = serde::Deserialize::deserialize(&record.spec).ok()?;
    spec.settle(known);
    Some(spec)
}

fn seal<S: System>(system: &S, draft: StepDraft<S::Op>) -> StepDraft<Sealed> {
    let StepDraft { realises, op, impact, title } = draft;
    let op = Sealed { system: System::id(system), format: S::FORMAT, body: json(&op) };
    StepDraft { realises, op, impact, title }
}

fn json<T: Data>(data: &T) -> Json {
    serde_json::to_value(data).expect("our own data types have string keys and become JSON")
}
