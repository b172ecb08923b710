//! The provider: workspaces as the planner and the engine see them.

use std::time::Duration;

use async_trait::async_trait;
use fraktalia_engine::{Ask, Follow, Landed, ObserveError, Provider, StepCx, StepError, Survey};
use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{Living, Manifest, Notes, Outputs, ResourceId, SystemId};
use fraktalia_plan::{Delta, Described, Observed, Resource, Seen, StepDraft, System, Work};

use crate::diff::show_owner;
use crate::observe::Recorded;
use crate::op::Op;
use crate::spec::Spec;
use crate::state::State;
use crate::undo::Undo;
use crate::{diff, discover, observe, op, spec, undo, watch};

/// How long one call may take. Only a file system that hangs (a dead sshfs) comes near it.
const DEADLINE: Duration = Duration::from_mins(2);

/// The workspaces of this machine, those mounted from elsewhere included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Workspaces;

impl System for Workspaces {
    type Spec = Spec;
    type State = State;
    type Op = Op;
    const FORMAT: u16 = 1;

    fn id(&self) -> SystemId {
        SystemId::workspace()
    }

    fn lower(&self, manifest: &Manifest) -> Result<Vec<Resource<Spec>>, Notes> {
        spec::lower(manifest)
    }

    fn describe(&self, spec: &Spec) -> Described {
        match spec {
            Spec::Tree(tree) => {
                let owner = tree.owner.map(|owner| format!(", {}", show_owner(owner)));
                Described {
                    title: tree.path.display().to_string(),
                    summary: format!("{} files{}", tree.files, owner.unwrap_or_default()),
                }
            }
            Spec::File(file) => Described {
                title: file.path.to_string(),
                summary: match file.keep {
                    fraktalia_model::manifest::KeepFile::Seed => "written once".into(),
                    fraktalia_model::manifest::KeepFile::Sync => "kept as written in the manifest".into(),
                },
            },
        }
    }

    fn describe_seen(&self, _id: &ResourceId, have: &State) -> Described {
        let (path, summary) = match have {
            State::Tree { path, access } | State::File { path, access, .. } => {
                (path, show_owner(access.owner))
            }
            State::GivenUp { path } => (path, "deleted by the agent".into()),
            State::Odd { path, what } => (path, what.clone()),
        };
        Described { title: path.display().to_string(), summary }
    }

    fn diff(&self, want: &Resource<Spec>, have: &Seen<State>, last: Option<&Spec>) -> Delta {
        diff::diff(&want.spec, &have.state, last)
    }

    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<Op>> {
        op::steps(work)
    }

    fn lint(&self, desired: &[Resource<Spec>]) -> Notes {
        spec::lint(desired)
    }

    fn remember(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        if let Spec::File(file) = &mut spec {
            file.text = None;
        }
        spec
    }

    fn default_on_remove(&self, _id: &ResourceId) -> OnRemove {
        OnRemove::Keep
    }
}

#[async_trait]
impl Provider for Workspaces {
    type Undo = Undo;

    async fn observe(&self, ask: &Ask<'_, Spec>) -> Result<Observed<State>, ObserveError> {
        // Where it may block, it needs all for itself; so it gets what a record would keep, without the texts.
        let wanted = ask.wanted.iter().map(|want| (want.id.clone(), self.remember(&want.spec))).collect();
        let owned = ask.owned.iter().map(|(id, record)| (id.clone(), Recorded::of(record))).collect();
        let paths = ask.paths.clone();
        within(move || observe::observe(wanted, &owned, &paths)).await.ok_or_else(|| {
            ObserveError::new("reading the workspaces takes too long: a file system does not answer")
        })
    }

    async fn discover(&self, survey: Survey<'_>) -> Result<Living, ObserveError> {
        let Some(openclaw) = &survey.manifest.openclaw else { return Ok(Living::default()) };
        let folder = openclaw.workspaces.clone();
        within(move || discover::discover(&folder)).await.ok_or_else(|| {
            ObserveError::new("reading the workspaces takes too long: a file system does not answer")
        })
    }

    async fn prepare(&self, op: &Op, cx: &StepCx<'_>) -> Result<Undo, StepError> {
        let (op, backup) = (op.clone(), cx.backup.to_path_buf());
        within(move || undo::prepare(&op, &backup)).await.ok_or_else(hangs)?
    }

    async fn perform(&self, op: &Op, cx: &StepCx<'_>) -> Result<Outputs, StepError> {
        let (op, run) = (op.clone(), op::Run::of(cx));
        within(move || op::perform(&op, &run)).await.ok_or_else(hangs)??;
        Ok(Outputs::new())
    }

    async fn landed(&self, op: &Op, undo: &Undo, _cx: &StepCx<'_>) -> Result<Landed, StepError> {
        let (op, undo) = (op.clone(), undo.clone());
        within(move || undo::landed(&op, &undo)).await.ok_or_else(hangs)?
    }

    async fn revert(&self, op: &Op, undo: &Undo, cx: &StepCx<'_>) -> Result<(), StepError> {
        let (op, undo, run) = (op.clone(), undo.clone(), op::Run::of(cx));
        within(move || undo::revert(&op, &undo, &run)).await.ok_or_else(hangs)?
    }

    async fn watch(&self, follow: &Follow<'_, Spec>) -> Result<(), ObserveError> {
        watch::follow(follow).await
    }

    fn by_hand(&self, op: &Op, undo: &Undo) -> Vec<String> {
        undo::by_hand(op, undo)
    }
}

/// Runs `work` where it may block; `None` when it took too long.
async fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
        Err(_) => None,
    }
}

fn hangs() -> StepError {
    StepError::in_doubt(format!("a file system did not answer within {} s", DEADLINE.as_secs()))
}
