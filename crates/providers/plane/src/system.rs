//! The provider: one plane as the planner and the engine see it.

use std::sync::Arc;

use async_trait::async_trait;
use fraktalia_engine::{Ask, Landed, ObserveError, Provider, StepCx, StepError};
use fraktalia_model::{Manifest, Notes, Outputs, ResourceId, SystemId};
use fraktalia_plan::{Delta, Described, Observed, Resource, Seen, StepDraft, System, Work};
use fraktalia_plane::protocol::Link;

use crate::op::Op;
use crate::spec::Spec;
use crate::state::State;
use crate::undo::Undo;
use crate::{diff, observe, op, perform, spec};

/// What runs beside the Docker engine of one host of the manifest.
#[derive(Clone, Debug)]
pub struct Plane {
    host: String,
    link: Arc<dyn Link>,
}

impl Plane {
    /// The plane of the host called `host`, whose helper is asked through `link`.
    pub fn new(host: impl Into<String>, link: Arc<dyn Link>) -> Self {
        Self { host: host.into(), link }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn link(&self) -> &dyn Link {
        &*self.link
    }
}

impl System for Plane {
    type Spec = Spec;
    type State = State;
    type Op = Op;
    const FORMAT: u16 = 1;

    fn id(&self) -> SystemId {
        SystemId::plane(&self.host)
    }

    fn lower(&self, manifest: &Manifest) -> Result<Vec<Resource<Spec>>, Notes> {
        spec::lower(manifest, &self.host)
    }

    fn describe(&self, spec: &Spec) -> Described {
        match spec {
            Spec::Isolation { network, rules } => {
                Described { title: network.clone(), summary: diff::reach(rules) }
            }
            Spec::Forward { listen, to } => Described {
                title: format!("{listen} -> {}:{}", to.agent, to.port),
                summary: if listen.ip().is_loopback() { "this machine only" } else { "" }.into(),
            },
        }
    }

    fn describe_seen(&self, id: &ResourceId, have: &State) -> Described {
        match have {
            State::Isolation { rules, .. } => {
                Described { title: id.name.to_string(), summary: diff::reach(rules) }
            }
            State::Forward { listen, to, .. } => {
                Described { title: format!("{listen} -> {}:{}", to.agent, to.port), summary: String::new() }
            }
        }
    }

    fn diff(&self, want: &Resource<Spec>, have: &Seen<State>, last: Option<&Spec>) -> Delta {
        diff::diff(&want.spec, &have.state, last)
    }

    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<Op>> {
        op::steps(work, &self.host)
    }

    fn parallel(&self) -> usize {
        1
    }
}

#[async_trait]
impl Provider for Plane {
    type Undo = Undo;

    fn protects(&self) -> bool {
        true
    }

    async fn observe(&self, ask: &Ask<'_, Spec>) -> Result<Observed<State>, ObserveError> {
        if ask.wanted.is_empty() && ask.owned.is_empty() {
            return Ok(Observed { how: "not asked".into(), ..Observed::default() });
        }
        observe::observe(&*self.link, &self.host).await
    }

    async fn prepare(&self, op: &Op, _cx: &StepCx<'_>) -> Result<Undo, StepError> {
        perform::prepare(&*self.link, op).await
    }

    async fn perform(&self, op: &Op, _cx: &StepCx<'_>) -> Result<Outputs, StepError> {
        perform::perform(&*self.link, op).await
    }

    async fn landed(&self, op: &Op, undo: &Undo, _cx: &StepCx<'_>) -> Result<Landed, StepError> {
        perform::landed(&*self.link, op, undo).await
    }

    async fn revert(&self, op: &Op, undo: &Undo, _cx: &StepCx<'_>) -> Result<(), StepError> {
        perform::revert(&*self.link, op, undo).await
    }

    fn by_hand(&self, op: &Op, _undo: &Undo) -> Vec<String> {
        vec![format!(
            "fraktalia plan    # shows what the helper of `{}` holds otherwise than the manifest ({} entries)",
            self.host,
            op.edits.len()
        )]
    }
}
