//! How a run goes on, is resumed, is taken back, and ends.

use super::{
    Applier, ApplyOptions, BTreeMap, Ended, Entry, Event, Fingerprint, Forward, Journal, JournalError,
    Ledger, Lock, OnFailure, Options, Outcome, Plan, Planned, ResourceId, Run, Session, SessionError, clock,
};
use crate::applier::Backward;
use crate::journal::Status;
use fraktalia_plan::Step;

impl Session {
    /// Goes on with the run that was not finished.
    ///
    /// When what its open steps rest on has changed meanwhile, only the steps in doubt are settled; what was done is
    /// put on record, and a new plan does the rest.
    ///
    /// # Errors
    /// When there is none, or our own files cannot be read or written.
    pub async fn resume(&self, _lock: &Lock, options: &ApplyOptions) -> Result<Ended, SessionError> {
        let (applier, run) = self.reopen_unfinished(options)?;
        if run
            .statuses
            .iter()
            .any(|status| matches!(status, Status::Undoing { .. } | Status::Undone | Status::Stuck { .. }))
        {
            // It was being taken back when it stopped: that is what it goes on with.
            let why = run.failure.unwrap_or_else(|| "the last run ended while it was taken back".into());
            return self.roll_back(applier, why, options).await;
        }
        let now = self.plan(&Options::default(), true).await?;
        if moved(&run, &now) {
            return self.supersede(applier, options).await;
        }
        self.go_on(applier, options).await
    }

    /// Takes back the run that was not finished.
    ///
    /// # Errors
    /// When there is none, or our own files cannot be read or written.
    pub async fn roll_back_unfinished(
        &self,
        _lock: &Lock,
        options: &ApplyOptions,
    ) -> Result<Ended, SessionError> {
        let (applier, run) = self.reopen_unfinished(options)?;
        let why = run.failure.unwrap_or_else(|| "it was asked for".into());
        self.roll_back(applier, why, options).await
    }

    /// Takes back a run that ended, as far as nothing else has changed what it did.
    ///
    /// # Errors
    /// When something has, when it holds steps that cannot be taken back, or when it was taken back already.
    pub async fn roll_back_run(
        &self,
        _lock: &Lock,
        run: &Run,
        options: &ApplyOptions,
    ) -> Result<Ended, SessionError> {
        let name = run.header.run.clone();
        match &run.closed {
            Some((_, Outcome::RolledBack { .. })) => {
                return Err(SessionError::NoRun(format!("the run {name} was taken back already")));
            }
            Some((_, Outcome::Superseded)) => {
                return Err(SessionError::NoRun(format!(
                    "the run {name} was left half done and a later one took over: take that one back"
                )));
            }
            Some(_) if run.passed_the_point_of_no_return() => {
                return Err(SessionError::NoRun(format!("the run {name} did what cannot be taken back")));
            }
            _ => {}
        }
        let now = self.plan(&Options::default(), true).await?;
        let changed: Vec<String> = run
            .after
            .iter()
            .filter(|(id, then)| now.found.get(*id) != then.as_ref())
            .map(|(id, _)| id.to_string())
            .collect();
        if !changed.is_empty() {
            return Err(SessionError::ChangedSince { run: name, changed });
        }
        let path = self.paths.journal(&name);
        let (journal, run) = Journal::reopen(&path, self.fault)?.ok_or_else(|| no_journal(&name))?;
        let applier = Applier::new(self.surroundings(options), journal, run);
        applier.append(Entry::Reopened { at: clock::now(), note: self.note.clone() }).await?;
        self.roll_back(applier, "it was asked for".into(), options).await
    }

    fn reopen_unfinished(&self, options: &ApplyOptions) -> Result<(Applier<'_>, Run), SessionError> {
        let nothing = || SessionError::NoRun("there is no unfinished run".into());
        let name = self.unfinished()?.ok_or_else(nothing)?.header.run.clone();
        let path = self.paths.journal(&name);
        let (journal, run) = Journal::reopen(&path, self.fault)?.ok_or_else(nothing)?;
        self.make_backup(&name)?;
        Ok((Applier::new(self.surroundings(options), journal, run.clone()), run))
    }

    pub(super) async fn go_on(
        &self,
        applier: Applier<'_>,
        options: &ApplyOptions,
    ) -> Result<Ended, SessionError> {
        let run = applier.run();
        let done = run.statuses.iter().filter(|status| matches!(status, Status::Done { .. })).count();
        let name = run.header.run.clone();
        options.sink.emit(&Event::Started { run: name.clone(), steps: run.statuses.len(), done });
        match applier.forward().await? {
            Forward::Done => self.verify(applier, options).await,
            Forward::Stopped => {
                Ok(Ended { run: name, outcome: None, why: Some("it was asked to stop".into()) })
            }
            Forward::Failed(why) if options.on_failure == OnFailure::Stop => {
                Ok(Ended { run: name, outcome: None, why: Some(why) })
            }
            Forward::Failed(why) if applier.run().passed_the_point_of_no_return() => {
                // The barrier ran these last: everything before is done, and cannot be wanted back any more.
                Ok(Ended { run: name, outcome: None, why: Some(why) })
            }
            Forward::Failed(why) => self.roll_back(applier, why, options).await,
        }
    }

    /// Looks again: a second plan must be empty.
    async fn verify(&self, applier: Applier<'_>, options: &ApplyOptions) -> Result<Ended, SessionError> {
        options.sink.emit(&Event::Verifying);
        // The record has to be in place before the second look: it says what is ours.
        let mut ledger = Ledger::load(&self.paths, &self.manifest.realm, &self.registry)?;
        ledger.fold(&applier.run(), &Outcome::Applied, &self.registry);
        ledger.save(&self.paths, &self.manifest.realm)?;
        let now = self.plan(&Options::default(), true).await?;
        let left = left_over(&applier.run().header.plan, &now.plan);
        let outcome = if left { Outcome::NotConverged } else { Outcome::Applied };
        if left {
            options.sink.emit(&Event::NotConverged { plan: Box::new(now.plan.clone()) });
        }
        self.close(applier, outcome, &now, None, options).await
    }

    async fn roll_back(
        &self,
        applier: Applier<'_>,
        why: String,
        options: &ApplyOptions,
    ) -> Result<Ended, SessionError> {
        let name = applier.run().header.run.clone();
        let outcome = match applier.backward(&why).await? {
            Backward::Stopped => {
                return Ok(Ended { run: name, outcome: None, why: Some(why) });
            }
            Backward::Done => Outcome::RolledBack { why: why.clone() },
            Backward::Incomplete => Outcome::Incomplete { why: why.clone() },
        };
        self.finish(applier, outcome, BTreeMap::new(), Some(why), options).await
    }

    /// Settles the steps in doubt, and leaves the rest to a new plan.
    async fn supersede(&self, applier: Applier<'_>, options: &ApplyOptions) -> Result<Ended, SessionError> {
        applier.settle_doubts().await?;
        self.finish(applier, Outcome::Superseded, BTreeMap::new(), None, options).await
    }

    async fn close(
        &self,
        applier: Applier<'_>,
        outcome: Outcome,
        now: &Planned,
        why: Option<String>,
        options: &ApplyOptions,
    ) -> Result<Ended, SessionError> {
        let header = applier.run().header;
        let touched = header.plan.basis.touched.keys();
        let after: BTreeMap<ResourceId, Option<Fingerprint>> =
            touched.map(|id| (id.clone(), now.found.get(id).cloned())).collect();
        self.finish(applier, outcome, after, why, options).await
    }

    /// The record first, then the end of the journal: a crash between the two folds the same end once more.
    async fn finish(
        &self,
        applier: Applier<'_>,
        outcome: Outcome,
        after: BTreeMap<ResourceId, Option<Fingerprint>>,
        why: Option<String>,
        options: &ApplyOptions,
    ) -> Result<Ended, SessionError> {
        let run = applier.run();
        let mut ledger = Ledger::load(&self.paths, &self.manifest.realm, &self.registry)?;
        ledger.fold(&run, &outcome, &self.registry);
        ledger.save(&self.paths, &self.manifest.realm)?;
        applier.append(Entry::Close { at: clock::now(), outcome: outcome.clone(), after }).await?;
        options.sink.emit(&Event::Finished { outcome: outcome.clone() });
        Ok(Ended { run: run.header.run.clone(), outcome: Some(outcome), why })
    }
}

/// Whether what the steps that are still to come rest on is no longer as it was planned.
fn moved(run: &Run, now: &Planned) -> bool {
    let plan = &run.header.plan;
    if plan.basis.manifest != now.plan.basis.manifest {
        return true;
    }
    let changed = |id: &ResourceId| plan.basis.touched.get(id).and_then(Option::as_ref) != now.found.get(id);
    plan.steps
        .iter()
        .filter(|step| *run.status(step.id) == Status::Untouched)
        .any(|step| step.realises.iter().any(changed) && !still_wanted(step, &now.plan))
}

/// Whether a plan made just now has the same step: then what has changed is what the run itself has done. A bot that has
/// joined a room has a name there, for one, and is still to be given another.
fn still_wanted(step: &Step, now: &Plan) -> bool {
    !now.is_blocked()
        && now.steps.iter().any(|other| other.title == step.title && other.realises == step.realises)
}

/// Whether a plan made after a run still wants something of what the run was about.
fn left_over(done: &Plan, now: &Plan) -> bool {
    now.changes.iter().any(|change| done.basis.touched.contains_key(&change.id))
}

fn no_journal(run: &str) -> SessionError {
    SessionError::Journal(JournalError::Io {
        doing: "find",
        path: format!("{run}.jsonl").into(),
        source: std::io::ErrorKind::NotFound.into(),
    })
}
