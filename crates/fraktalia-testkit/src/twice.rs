//! Does every effect twice: what must be safe to repeat then shows whether it is.

use async_trait::async_trait;
use fraktalia_engine::{Ask, Landed, ObserveError, Observed, Provider, StepCx, StepError};
use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{Manifest, Notes, Outputs, ResourceId, SystemId};
use fraktalia_plan::{Delta, Described, Resource, Seen, StepDraft, System, Work};

/// A provider whose effects are each had twice.
pub struct Twice<P>(pub P);

impl<P: System> System for Twice<P> {
    type Spec = P::Spec;
    type State = P::State;
    type Op = P::Op;
    const FORMAT: u16 = P::FORMAT;

    fn id(&self) -> SystemId {
        self.0.id()
    }
    fn lower(&self, manifest: &Manifest) -> Result<Vec<Resource<Self::Spec>>, Notes> {
        self.0.lower(manifest)
    }
    fn describe(&self, spec: &Self::Spec) -> Described {
        self.0.describe(spec)
    }
    fn describe_seen(&self, id: &ResourceId, have: &Self::State) -> Described {
        self.0.describe_seen(id, have)
    }
    fn diff(
        &self,
        want: &Resource<Self::Spec>,
        have: &Seen<Self::State>,
        last: Option<&Self::Spec>,
    ) -> Delta {
        self.0.diff(want, have, last)
    }
    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<Self::Op>> {
        let work: Vec<Work<'_, P>> = work
            .iter()
            .map(|item| Work {
                id: item.id,
                verb: item.verb,
                want: item.want,
                have: item.have,
                last: item.last,
                fields: item.fields,
                on_remove: item.on_remove,
            })
            .collect();
        self.0.steps(&work)
    }
    fn lint(&self, desired: &[Resource<Self::Spec>]) -> Notes {
        self.0.lint(desired)
    }
    fn remember(&self, spec: &Self::Spec) -> Self::Spec {
        self.0.remember(spec)
    }
    fn default_on_remove(&self, id: &ResourceId) -> OnRemove {
        self.0.default_on_remove(id)
    }
    fn parallel(&self) -> usize {
        self.0.parallel()
    }
}

#[async_trait]
impl<P: Provider> Provider for Twice<P> {
    type Undo = P::Undo;

    fn looks_last(&self) -> bool {
        self.0.looks_last()
    }
    fn protects(&self) -> bool {
        self.0.protects()
    }
    async fn observe(&self, ask: &Ask<'_, Self::Spec>) -> Result<Observed<Self::State>, ObserveError> {
        self.0.observe(ask).await
    }
    async fn prepare(&self, op: &Self::Op, cx: &StepCx<'_>) -> Result<Self::Undo, StepError> {
        self.0.prepare(op, cx).await
    }
    async fn perform(&self, op: &Self::Op, cx: &StepCx<'_>) -> Result<Outputs, StepError> {
        let first = self.0.perform(op, cx).await?;
        let second = self.0.perform(op, cx).await?;
        assert_eq!(first, second, "a repeated effect yields something else");
        Ok(second)
    }
    async fn landed(&self, op: &Self::Op, undo: &Self::Undo, cx: &StepCx<'_>) -> Result<Landed, StepError> {
        self.0.landed(op, undo, cx).await
    }
    async fn revert(&self, op: &Self::Op, undo: &Self::Undo, cx: &StepCx<'_>) -> Result<(), StepError> {
        self.0.revert(op, undo, cx).await?;
        self.0.revert(op, undo, cx).await
    }
    fn by_hand(&self, op: &Self::Op, undo: &Self::Undo) -> Vec<String> {
        self.0.by_hand(op, undo)
    }
}
