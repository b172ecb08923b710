//! Runs the steps of a plan. Decides nothing: what runs, and in which order, was decided in the plan.
//!
//! Resuming is not a second way: it is the same loop, started with a journal that is not empty.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fraktalia_model::{Outputs, SystemId};
use fraktalia_plan::{Plan, Sealed, Step, StepId};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use crate::erase::{Executor, Registry};
use crate::event::{Event, EventSink};
use crate::journal::{Entry, Journal, JournalError, Mark, Run, Status};
use crate::paths::StatePaths;
use crate::provider::{Landed, Remark, StepCx, StepError};
use crate::secrets::Secrets;

mod frontier;
mod rollback;

use frontier::{Direction, Frontier};
pub(crate) use rollback::Backward;

/// How long to wait before each further question, when a system cannot say whether a step landed.
const ASK_AGAIN: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// How much somebody wants a run to stop. Only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// Finish what is in flight, then roll back.
    RollBack,
    /// Stop at once; the run stays open and can be resumed.
    Now,
}

/// What to do when a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Take back what was done.
    #[default]
    RollBack,
    /// Leave the run open, for `resume` or `rollback`.
    Stop,
}

/// How the forward loop ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Forward {
    /// All steps are done.
    Done,
    /// A step failed, or somebody asked to stop: why.
    Failed(String),
    /// Somebody asked to stop at once.
    Stopped,
}

/// What a run needs besides its journal.
#[derive(Clone)]
pub(crate) struct Surroundings<'a> {
    pub registry: &'a Registry,
    pub realm: &'a str,
    pub paths: &'a StatePaths,
    pub secrets: &'a Secrets,
    pub sink: Arc<dyn EventSink>,
    pub stop: watch::Receiver<Stop>,
}

/// Runs the steps of one journal.
pub(crate) struct Applier<'a> {
    around: Surroundings<'a>,
    journal: Journal,
    run: Mutex<Run>,
    name: String,
    backup: PathBuf,
    /// The steps that each step waits for.
    before: BTreeMap<StepId, Vec<StepId>>,
}

/// Whether the journal knows of a step; if not, there is nothing to write about its failure.
#[derive(PartialEq, Eq)]
enum Begun {
    Yes,
    No,
}

/// What a step in doubt turned out to be.
enum Settled {
    /// It has ended, one way or the other.
    End(StepEnd),
    /// It never happened.
    Not,
    /// A part of it happened: what is there, and what is missing.
    Partly(String),
}

/// The doubt of a step that a crash interrupted.
const CRASHED: &str = "the last run ended in the middle of it";

/// How one step ended.
enum StepEnd {
    Done,
    Failed(String),
}

impl<'a> Applier<'a> {
    /// An applier for an open journal and the run it tells of.
    pub fn new(around: Surroundings<'a>, journal: Journal, run: Run) -> Self {
        let name = run.header.run.clone();
        let mut before: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
        for edge in &run.header.plan.edges {
            before.entry(edge.to).or_default().push(edge.from);
        }
        let backup = around.paths.backup(&name);
        Self { around, journal, run: Mutex::new(run), name, backup, before }
    }

    /// The run as it stands.
    pub fn run(&self) -> Run {
        self.with_run(|run| run.clone())
    }

    /// Writes an entry, and takes it into account.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn append(&self, entry: Entry) -> Result<(), JournalError> {
        self.journal.append(entry.clone()).await?;
        self.with_run(|run| run.apply(entry))
            .map_err(|source| JournalError::Replay { path: self.around.paths.journal(&self.name), source })
    }

    /// Runs what is not done yet, as far as it goes.
    ///
    /// # Errors
    /// When the journal cannot be written: then nothing more is done.
    pub async fn forward(&self) -> Result<Forward, JournalError> {
        let header = self.with_run(|run| Arc::clone(&run.header));
        let Plan { steps, edges, .. } = &header.plan;
        let mut frontier = Frontier::new(steps, edges, Direction::Forward, |id| self.limit(id));
        for step in steps {
            if self.with_run(|run| matches!(run.status(step.id), Status::Done { .. })) {
                frontier.skip(step.id);
            }
        }
        let mut running = FuturesUnordered::new();
        let mut failure: Option<String> = None;
        let mut asked = self.around.stop.clone();
        loop {
            if failure.is_none() && *asked.borrow() == Stop::No {
                while let Some(id) = frontier.next() {
                    let step = &steps[id as usize - 1];
                    running.push(async move { (id, self.step(step).await) });
                }
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                Some((id, end)) = running.next() => match end? {
                    StepEnd::Done => frontier.done(id),
                    StepEnd::Failed(why) => { failure.get_or_insert(why); }
                },
                Ok(()) = asked.changed() => match *asked.borrow_and_update() {
                    Stop::No => {}
                    Stop::RollBack => self.emit(&Event::Stopping),
                    Stop::Now => return Ok(Forward::Stopped),
                },
            }
        }
        Ok(match failure {
            Some(why) => Forward::Failed(why),
            None if frontier.is_done() => Forward::Done,
            None if *asked.borrow() == Stop::Now => Forward::Stopped,
            None => Forward::Failed("it was asked to stop".into()),
        })
    }

    /// Finds out about the steps in doubt, and runs nothing.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn settle_doubts(&self) -> Result<(), JournalError> {
        let header = self.with_run(|run| Arc::clone(&run.header));
        for step in &header.plan.steps {
            let Status::Begun { undo } = self.with_run(|run| run.status(step.id).clone()) else {
                continue;
            };
            let Some(system) = self.around.registry.get(&step.system) else {
                continue;
            };
            let known = self.known_to(step.id);
            let cx = self.context(step.id, &known);
            // What is there in part stays begun: it goes on record as ours, and the next plan sees what it lacks.
            if let Settled::Not = self.settle(system, step, &undo, &cx, CRASHED).await? {
                self.mark(step.id, Mark::Failed { why: CRASHED.into() }).await?;
            }
        }
        Ok(())
    }

    /// One step: the way back, the journal, the effect, the journal.
    async fn step(&self, step: &Step) -> Result<StepEnd, JournalError> {
        let Some(system) = self.around.registry.get(&step.system) else {
            return self
                .failed(
                    step,
                    Begun::No,
                    &StepError::refused(format!("{} is not in the manifest", step.system)),
                )
                .await;
        };
        let status = self.with_run(|run| run.status(step.id).clone());
        let known = self.known_to(step.id);
        let cx = self.context(step.id, &known);
        if let Status::Begun { undo } = status {
            // A crash came between the way back and the news of its effect.
            if let Settled::End(end) = self.settle(system, step, &undo, &cx, CRASHED).await? {
                return Ok(end);
            }
            self.emit(&Event::Begun { step: step.id, title: step.title.clone() });
            return self.perform(system, step, &undo, &cx).await;
        }
        self.emit(&Event::Begun { step: step.id, title: step.title.clone() });
        let undo = match system.prepare(&step.op, &cx).await {
            Ok(undo) => undo,
            Err(error) => return self.failed(step, Begun::No, &error).await,
        };
        self.mark(step.id, Mark::Begun { undo: undo.clone() }).await?;
        self.perform(system, step, &undo, &cx).await
    }

    async fn perform(
        &self,
        system: &dyn Executor,
        step: &Step,
        undo: &Sealed,
        cx: &StepCx<'_>,
    ) -> Result<StepEnd, JournalError> {
        match system.perform(&step.op, cx).await {
            Ok(outputs) => self.done(step, outputs).await,
            Err(error @ StepError::Refused { .. }) => self.failed(step, Begun::Yes, &error).await,
            Err(error @ StepError::InDoubt { .. }) => {
                let why = chain(&error);
                self.emit(&Event::Doubt { step: step.id, why: why.clone() });
                match self.settle(system, step, undo, cx, &why).await? {
                    Settled::End(end) => Ok(end),
                    Settled::Not => self.failed(step, Begun::Yes, &error).await,
                    Settled::Partly(more) => Ok(self.torn(step, &format!("{why}; {more}"), None)),
                }
            }
        }
    }

    /// Finds out whether a step in doubt happened.
    async fn settle(
        &self,
        system: &dyn Executor,
        step: &Step,
        undo: &Sealed,
        cx: &StepCx<'_>,
        doubt: &str,
    ) -> Result<Settled, JournalError> {
        match ask_until_answered(system, step, undo, cx).await {
            Ok(Landed::Yes(outputs)) => self.done(step, outputs).await.map(Settled::End),
            Ok(Landed::No) => Ok(Settled::Not),
            Ok(Landed::Partly { why }) => Ok(Settled::Partly(why)),
            Ok(Landed::Torn { why }) => Ok(Settled::End(self.torn(step, &format!("{doubt}; {why}"), None))),
            Err(error) => Ok(Settled::End(self.torn(
                step,
                &format!("{doubt}; and whether it happened cannot be found out: {}", chain(&error)),
                error.hint().map(ToOwned::to_owned),
            ))),
        }
    }

    /// It may have had a part of its effect: it stays begun, so that a rollback takes it back.
    fn torn(&self, step: &Step, why: &str, hint: Option<String>) -> StepEnd {
        self.emit(&Event::Failed { step: step.id, why: why.into(), hint });
        StepEnd::Failed(format!("{}: {why}", step.title))
    }

    async fn done(&self, step: &Step, outputs: Outputs) -> Result<StepEnd, JournalError> {
        self.mark(step.id, Mark::Done { outputs }).await?;
        self.emit(&Event::Done { step: step.id });
        Ok(StepEnd::Done)
    }

    async fn failed(&self, step: &Step, begun: Begun, error: &StepError) -> Result<StepEnd, JournalError> {
        let why = chain(error);
        if begun == Begun::Yes {
            self.mark(step.id, Mark::Failed { why: why.clone() }).await?;
        }
        let hint = error.hint().map(ToOwned::to_owned);
        self.emit(&Event::Failed { step: step.id, why: why.clone(), hint });
        Ok(StepEnd::Failed(format!("{}: {why}", step.title)))
    }

    async fn mark(&self, step: StepId, mark: Mark) -> Result<(), JournalError> {
        self.append(Entry::Mark { step, mark }).await
    }

    fn context<'b>(&'b self, step: StepId, known: &'b Outputs) -> StepCx<'b> {
        let sink = Arc::clone(&self.around.sink);
        StepCx {
            realm: self.around.realm,
            run: &self.name,
            step,
            outputs: known,
            paths: self.around.paths,
            backup: &self.backup,
            secrets: self.around.secrets,
            remarks: Arc::new(move |remark| {
                sink.emit(&match remark {
                    Remark::Progress(line) => Event::Progress { step, line },
                    Remark::Stays(what) => Event::Stays { step, what },
                });
            }),
        }
    }

    fn emit(&self, event: &Event) {
        self.around.sink.emit(event);
    }

    /// What the steps that `step` waits for have yielded.
    fn known_to(&self, step: StepId) -> Outputs {
        self.with_run(|run| {
            let mut known = Outputs::new();
            for &before in self.before.get(&step).into_iter().flatten() {
                if let Status::Done { outputs, .. } = run.status(before) {
                    known.extend(outputs.clone());
                }
            }
            known
        })
    }

    fn limit(&self, system: &SystemId) -> usize {
        self.around.registry.get(system).map_or(1, fraktalia_plan::erase::DynSystem::parallel)
    }

    fn with_run<T>(&self, look: impl FnOnce(&mut Run) -> T) -> T {
        look(&mut self.run.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Asks a system whether a step happened, again and again for a while.
async fn ask_until_answered(
    system: &dyn Executor,
    step: &Step,
    undo: &Sealed,
    cx: &StepCx<'_>,
) -> Result<Landed, StepError> {
    let mut answer = system.landed(&step.op, undo, cx).await;
    for pause in ASK_AGAIN {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(pause).await;
        answer = system.landed(&step.op, undo, cx).await;
    }
    answer
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
