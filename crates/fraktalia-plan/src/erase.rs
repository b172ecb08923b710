//! The one place where the types of a system are forgotten, so that the planner can hold several.

use std::any::Any;
use std::collections::BTreeMap;

use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{Data, Manifest, Notes, Outputs, ResourceId, Span, SystemId};
use serde_json::Value as Json;

use crate::Fingerprint;
use crate::change::{Delta, FieldChange, Verb};
use crate::ids::ResourceIds;
use crate::plan::Sealed;
use crate::record::{Record, SpecText};
use crate::system::{
    Described, Observed, Owner, Resource, Seen, Spec, StepDraft, System, Work, seen_fingerprint,
};

/// A [`Resource`] of any system.
pub trait AnyResource: Any + Send + Sync {
    /// See [`Resource::id`].
    fn id(&self) -> &ResourceId;
    /// See [`Resource::subject`].
    fn subject(&self) -> &str;
    /// See [`Resource::requires`].
    fn requires(&self) -> &ResourceIds;
    /// See [`Resource::on_remove`].
    fn on_remove(&self) -> OnRemove;
    /// See [`Resource::at`].
    fn at(&self) -> &Span;
    /// See [`Spec::pending`].
    fn pending(&self) -> Vec<ResourceId>;
    /// A copy with what is known filled in.
    fn settled(&self, known: &Outputs) -> Box<dyn AnyResource>;
    /// For `downcast_ref`.
    fn as_any(&self) -> &dyn Any;
}

impl<S: Spec> AnyResource for Resource<S> {
    fn id(&self) -> &ResourceId {
        &self.id
    }
    fn subject(&self) -> &str {
        &self.subject
    }
    fn requires(&self) -> &ResourceIds {
        &self.requires
    }
    fn on_remove(&self) -> OnRemove {
        self.on_remove
    }
    fn at(&self) -> &Span {
        &self.at
    }
    fn pending(&self) -> Vec<ResourceId> {
        self.spec.pending()
    }
    fn settled(&self, known: &Outputs) -> Box<dyn AnyResource> {
        let mut copy = self.clone();
        copy.spec.settle(known);
        Box::new(copy)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl dyn AnyResource + '_ {
    fn typed<S: Spec>(&self) -> &Resource<S> {
        self.as_any().downcast_ref().expect(OWN)
    }
}

/// All resources that a manifest asks of one system: a list that is never copied, whatever its type.
pub struct AnyDesired {
    list: Box<dyn AnyList>,
}

trait AnyList: Send + Sync {
    fn len(&self) -> usize;
    fn at(&self, index: usize) -> &dyn AnyResource;
    fn as_any(&self) -> &dyn Any;
}

impl<S: Spec> AnyList for Vec<Resource<S>> {
    fn len(&self) -> usize {
        self.len()
    }
    fn at(&self, index: usize) -> &dyn AnyResource {
        &self[index]
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl AnyDesired {
    fn of<S: Spec>(resources: Vec<Resource<S>>) -> Self {
        Self { list: Box::new(resources) }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn AnyResource> {
        (0..self.list.len()).map(|index| self.list.at(index))
    }

    /// The resources as their own system knows them; `None` when they belong to another.
    pub fn typed<S: Spec>(&self) -> Option<&[Resource<S>]> {
        self.list.as_any().downcast_ref::<Vec<Resource<S>>>().map(Vec::as_slice)
    }
}

/// A [`Seen`] of any system.
pub struct AnySeen {
    seen: Box<dyn Any + Send + Sync>,
    /// Whose it is.
    pub owner: Owner,
    /// Fingerprint of its state.
    pub fingerprint: Fingerprint,
}

impl AnySeen {
    fn of<T: Data>(seen: Seen<T>) -> Self {
        Self { owner: seen.owner.clone(), fingerprint: seen_fingerprint(&seen), seen: Box::new(seen) }
    }

    fn typed<T: Data>(&self) -> Option<&Seen<T>> {
        self.seen.downcast_ref()
    }
}

/// An [`Observed`] of any system.
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

/// What was last asked of a resource of any system, read from its record.
pub struct AnyLast(Box<dyn Any + Send + Sync>);

/// A [`Work`] of any system.
pub struct AnyWork<'a> {
    /// See [`Work`], as for all fields here.
    pub id: &'a ResourceId,
    /// What is to happen.
    pub verb: Verb,
    /// What is asked.
    pub want: Option<&'a dyn AnyResource>,
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
    fn lower(&self, manifest: &Manifest) -> Result<AnyDesired, Notes>;
    /// See [`System::describe`].
    fn describe(&self, want: &dyn AnyResource) -> Described;
    /// See [`System::describe_seen`].
    fn describe_seen(&self, id: &ResourceId, have: &AnySeen) -> Described;
    /// See [`System::diff`]. What was known of late values is filled in on both sides.
    fn diff(&self, want: &dyn AnyResource, have: &AnySeen, last: Option<&AnyLast>, known: &Outputs) -> Delta;
    /// See [`System::steps`].
    fn steps(&self, work: &[AnyWork<'_>]) -> Vec<StepDraft<Sealed>>;
    /// See [`System::lint`].
    fn lint(&self, desired: &AnyDesired) -> Notes;
    /// What a record says was asked for last; `None` when this version cannot read it.
    fn recall(&self, record: &Record) -> Option<AnyLast>;
    /// What our record is to say of a resource; `None` when it says that already.
    fn remember(&self, want: &dyn AnyResource, now: Option<(&Record, &AnyLast)>) -> Option<Record>;
    /// The spec of a record with what is known by now filled in.
    fn settle_record(&self, spec: &SpecText, known: &Outputs) -> SpecText;
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
    fn lower(&self, manifest: &Manifest) -> Result<AnyDesired, Notes> {
        System::lower(self, manifest).map(AnyDesired::of)
    }
    fn describe(&self, want: &dyn AnyResource) -> Described {
        System::describe(self, &want.typed().spec)
    }
    fn describe_seen(&self, id: &ResourceId, have: &AnySeen) -> Described {
        System::describe_seen(self, id, &have.typed::<S::State>().expect(OWN).state)
    }
    fn diff(&self, want: &dyn AnyResource, have: &AnySeen, last: Option<&AnyLast>, known: &Outputs) -> Delta {
        let last: Option<&S::Spec> = last.map(|last| last.0.downcast_ref().expect(OWN));
        let settled = last.filter(|last| !last.pending().is_empty()).map(|last| {
            let mut last = last.clone();
            last.settle(known);
            last
        });
        System::diff(self, want.typed(), have.typed().expect(OWN), settled.as_ref().or(last))
    }
    fn steps(&self, work: &[AnyWork<'_>]) -> Vec<StepDraft<Sealed>> {
        let lasts: Vec<Option<S::Spec>> =
            work.iter().map(|item| item.last.and_then(last_spec::<S>)).collect();
        let typed: Vec<Work<'_, S>> = work
            .iter()
            .zip(&lasts)
            .map(|(item, last)| Work {
                id: item.id,
                verb: item.verb,
                want: item.want.map(<dyn AnyResource>::typed),
                have: item.have.map(|have| have.typed().expect(OWN)),
                last: last.as_ref(),
                fields: item.fields,
                on_remove: item.on_remove,
            })
            .collect();
        System::steps(self, &typed).into_iter().map(|draft| seal(self, draft)).collect()
    }
    fn lint(&self, desired: &AnyDesired) -> Notes {
        System::lint(self, desired.typed().expect(OWN))
    }
    fn recall(&self, record: &Record) -> Option<AnyLast> {
        last_spec::<S>(record).map(|spec| AnyLast(Box::new(spec)))
    }
    fn remember(&self, want: &dyn AnyResource, now: Option<(&Record, &AnyLast)>) -> Option<Record> {
        let want: &Resource<S::Spec> = want.typed();
        let spec = System::remember(self, &want.spec);
        let same = |(record, last): (&Record, &AnyLast)| {
            record.subject == want.subject
                && record.on_remove == want.on_remove
                && record.requires == want.requires
                && last.0.downcast_ref() == Some(&spec)
        };
        (!now.is_some_and(same)).then(|| Record {
            spec: SpecText::of(&spec),
            requires: want.requires.clone(),
            on_remove: want.on_remove,
            subject: want.subject.clone(),
        })
    }
    fn settle_record(&self, spec: &SpecText, known: &Outputs) -> SpecText {
        let Some(mut typed) = spec.read::<S::Spec>() else { return spec.clone() };
        typed.settle(known);
        SpecText::of(&typed)
    }
    fn default_on_remove(&self, id: &ResourceId) -> OnRemove {
        System::default_on_remove(self, id)
    }
}

/// The spec of a record, if this version can still read it. What it does not understand it does not know.
fn last_spec<S: System>(record: &Record) -> Option<S::Spec> {
    record.spec.read()
}

fn seal<S: System>(system: &S, draft: StepDraft<S::Op>) -> StepDraft<Sealed> {
    let StepDraft { realises, op, impact, title } = draft;
    let op = Sealed { system: System::id(system), format: S::FORMAT, body: json(&op) };
    StepDraft { realises, op, impact, title }
}

fn json<T: Data>(data: &T) -> Json {
    serde_json::to_value(data).expect("our own data types have string keys and become JSON")
}
