//! Takes back what was, or may have been, done: the same graph, walked backwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fraktalia_model::Outputs;
use fraktalia_plan::{Edge, Plan, Sealed, Step, StepId};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::{Applier, Direction, Frontier, Stop, chain};
use crate::erase::Executor;
use crate::event::Event;
use crate::journal::{JournalError, Mark, Status};
use crate::provider::StepError;

/// How long to wait before each further try, when the answer to a revert got lost.
const TRY_AGAIN: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8)];

/// How a rollback ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Backward {
    /// Everything is as it was.
    Done,
    /// Some steps could not be taken back, or what they stand on could not.
    Incomplete,
    /// Somebody asked to stop at once.
    Stopped,
}

/// What taking back a step starts from.
struct WayBack {
    undo: Sealed,
    yielded: Outputs,
}

impl WayBack {
    fn of(status: &Status) -> Option<Self> {
        let yielded = match status {
            Status::Done { outputs, .. } => outputs.clone(),
            _ => Outputs::new(),
        };
        Some(Self { undo: status.undo()?.clone(), yielded })
    }
}

impl Applier<'_> {
    /// Takes back all steps that were begun. A step that cannot be taken back keeps no other from it, unless one of the two
    /// protects the other.
    ///
    /// # Errors
    /// When the journal cannot be written: then nothing more is done.
    pub async fn backward(&self, why: &str) -> Result<Backward, JournalError> {
        let (header, undos) = self.with_run(|run| {
            let undos: Vec<Option<WayBack>> = run.statuses.iter().map(WayBack::of).collect();
            (Arc::clone(&run.header), undos)
        });
        let Plan { steps, edges, .. } = &header.plan;
        let mut frontier = Frontier::new(steps, edges, Direction::Backward, |id| self.limit(id));
        for (step, _) in steps.iter().zip(&undos).filter(|(_, undo)| undo.is_none()) {
            frontier.skip(step.id);
        }
        let count = undos.iter().flatten().count();
        self.emit(&Event::RollingBack { steps: count, why: why.into() });
        let mut running = FuturesUnordered::new();
        let mut asked = self.around.stop.clone();
        // What stays as it is, by title.
        let mut stuck: BTreeMap<StepId, &str> = BTreeMap::new();
        while *asked.borrow() != Stop::Now {
            while let Some(id) = frontier.next() {
                let index = id as usize - 1;
                if let Some(way_back) = &undos[index] {
                    let kept_by = self.kept_by(steps, id, edges, &stuck);
                    running.push(self.undo(&steps[index], way_back, kept_by));
                }
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                Some(end) = running.next() => {
                    let (id, undone) = end?;
                    if !undone {
                        stuck.insert(id, &steps[id as usize - 1].title);
                    }
                    frontier.done(id);
                }
                Ok(()) = asked.changed() => {}
            }
        }
        Ok(match frontier.is_done() {
            false => Backward::Stopped,
            true if stuck.is_empty() => Backward::Done,
            true => Backward::Incomplete,
        })
    }

    /// The step that could not be taken back and keeps this one, which it protects or is protected by, as it is.
    fn kept_by<'a>(
        &self,
        steps: &[Step],
        id: StepId,
        edges: &[Edge],
        stuck: &BTreeMap<StepId, &'a str>,
    ) -> Option<&'a str> {
        if stuck.is_empty() {
            return None;
        }
        let protects = |id: StepId| {
            let system = self.around.registry.get(&steps[id as usize - 1].system);
            system.is_some_and(Executor::protects)
        };
        let mut later = edges.iter().filter(|edge| edge.from == id && (protects(id) || protects(edge.to)));
        later.find_map(|edge| stuck.get(&edge.to)).copied()
    }

    /// Whether one step was taken back.
    async fn undo(
        &self,
        step: &Step,
        way_back: &WayBack,
        kept_by: Option<&str>,
    ) -> Result<(StepId, bool), JournalError> {
        self.mark(step.id, Mark::Undoing).await?;
        let by_hand = || {
            self.around
                .registry
                .get(&step.system)
                .map(|system| system.by_hand(&step.op, &way_back.undo))
                .unwrap_or_default()
        };
        let reverted = match kept_by {
            Some(other) => {
                Err(StepError::refused(format!("it stays with `{other}`, one of which protects the other")))
            }
            None => self.revert(step, way_back).await,
        };
        match reverted {
            Ok(()) => {
                self.mark(step.id, Mark::Undone).await?;
                self.emit(&Event::Undone { step: step.id, title: step.title.clone() });
                Ok((step.id, true))
            }
            Err(error) => {
                let why = chain(&error);
                self.mark(step.id, Mark::Stuck { why: why.clone() }).await?;
                self.emit(&Event::Stuck { step: step.id, why, by_hand: by_hand() });
                Ok((step.id, false))
            }
        }
    }

    async fn revert(&self, step: &Step, way_back: &WayBack) -> Result<(), StepError> {
        let Some(system) = self.around.registry.get(&step.system) else {
            return Err(StepError::refused(format!("{} is not in the manifest any more", step.system)));
        };
        let mut known = self.known_to(step.id);
        known.extend(way_back.yielded.clone());
        let cx = self.context(step.id, &known);
        let mut answer = system.revert(&step.op, &way_back.undo, &cx).await;
        for pause in TRY_AGAIN {
            if !matches!(answer, Err(StepError::InDoubt { .. })) {
                break;
            }
            tokio::time::sleep(pause).await;
            answer = system.revert(&step.op, &way_back.undo, &cx).await;
        }
        answer
    }
}
