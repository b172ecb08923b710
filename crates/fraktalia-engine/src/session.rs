//! One manifest and the systems it is about: look, plan, apply, go on, take back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fraktalia_model::{Living, Manifest, Notes, Outputs, ResourceId, SystemId};
use fraktalia_plan::erase::{AnyDesired, AnyObserved};
use fraktalia_plan::planner::{self, Input, View};
use fraktalia_plan::{Fingerprint, Plan, Records, audit};
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::applier::{Applier, Forward, OnFailure, Stop, Surroundings, chain};
use crate::clock;
use crate::erase::{AnyAsk, Executor, Registry};
use crate::event::{Event, EventSink};
use crate::git::Origin;
use crate::journal::{self, Entry, Fault, Header, Journal, JournalError, Outcome, Run};
use crate::ledger::{Ledger, LedgerError};
use crate::lock::{Lock, LockError};
use crate::paths::StatePaths;
use crate::provider::{ObserveError, Owned, Survey};
use crate::secrets::Secrets;

pub use fraktalia_plan::planner::Options;

mod end;

/// A manifest, its systems, and our own record of them.
pub struct Session {
    manifest: Manifest,
    registry: Registry,
    paths: StatePaths,
    secrets: Secrets,
    fault: Option<Fault>,
    origin: Mutex<Option<Origin>>,
    note: Option<String>,
}

/// A plan, and how it came about.
#[derive(Debug)]
pub struct Planned {
    /// What would be done.
    pub plan: Plan,
    /// How each system was read, and how long it took.
    pub looks: BTreeMap<SystemId, Look>,
    /// Every resource that the manifest asks for.
    pub desired: BTreeSet<ResourceId>,
    /// Every resource that is there, with its fingerprint.
    pub found: BTreeMap<ResourceId, Fingerprint>,
    /// What is ours.
    pub records: Records,
}

/// How a system was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// In half a line.
    pub how: String,
    /// Wall time.
    pub took: Duration,
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub struct Ended {
    /// Its name.
    pub run: String,
    /// How it ended; `None` when it was left open.
    pub outcome: Option<Outcome>,
    /// Why it failed, where it did.
    pub why: Option<String>,
}

/// Something that keeps us from planning or applying.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The manifest asks a system for what it cannot do.
    #[error("the manifest asks for what cannot be done")]
    Lowering(Notes),
    /// Systems could not be looked at: which, and why.
    #[error("{}", systems_text(.0))]
    Observe(Vec<(SystemId, ObserveError)>),
    /// A plan that must not be run: a fault of fraktalia.
    #[error("this plan is not sound, please report it: {}", .0.join("; "))]
    Audit(Vec<String>),
    /// Errors among the notes of a plan.
    #[error("the plan is blocked")]
    Blocked(Notes),
    /// What a saved plan rests on has changed.
    #[error("the saved plan is stale: {}", .0.join(", "))]
    Stale(Vec<String>),
    /// A run was not finished.
    #[error("the run {0} is not finished")]
    Unfinished(String),
    /// There is no such run, or nothing to go on with.
    #[error("{0}")]
    NoRun(String),
    /// What a run did was changed since.
    #[error("the run {run} cannot be taken back: changed since: {}", changed.join(", "))]
    ChangedSince {
        /// Which run.
        run: String,
        /// What has changed.
        changed: Vec<String>,
    },
    /// See [`LockError`].
    #[error(transparent)]
    Lock(#[from] LockError),
    /// See [`LedgerError`].
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// See [`JournalError`].
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state directory could not be made.
    #[error("cannot make the state directory {path}")]
    State {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn systems_text(failed: &[(SystemId, ObserveError)]) -> String {
    let names: Vec<String> =
        failed.iter().map(|(system, error)| format!("{system}: {}", chain(error))).collect();
    names.join("; ")
}

/// What an apply is told besides its plan.
pub struct ApplyOptions {
    /// What to do when a step fails.
    pub on_failure: OnFailure,
    /// Who is told what happens.
    pub sink: Arc<dyn EventSink>,
    /// How somebody asks to stop.
    pub stop: watch::Receiver<Stop>,
}

impl Session {
    /// A session for `manifest`, with one provider for each system that it is about.
    pub fn new(manifest: Manifest, registry: Registry, paths: StatePaths) -> Self {
        let secrets = Secrets::new(&manifest.base);
        Self { manifest, registry, paths, secrets, fault: None, origin: Mutex::default(), note: None }
    }

    /// With a journal that dies at a chosen entry, for tests of crashes.
    #[must_use]
    pub fn with_fault(mut self, fault: Option<Fault>) -> Self {
        self.fault = fault;
        self
    }

    /// With a note for the journals of what this session does: by it, whoever began a run finds it again.
    #[must_use]
    pub fn with_note(mut self, note: Option<String>) -> Self {
        self.note = note;
        self
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The commit that the manifest was read from, as far as that was said.
    pub fn origin(&self) -> Option<Origin> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says which commit the manifest was read from. Runs that begin from now on put it on record.
    pub fn set_origin(&self, origin: Option<Origin>) {
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = origin;
    }

    /// Where our own files live.
    pub fn paths(&self) -> &StatePaths {
        &self.paths
    }

    /// Finds the text of a secret.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The systems.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes the lock of the realm.
    ///
    /// # Errors
    /// When another process has it.
    pub fn lock(&self) -> Result<Lock, SessionError> {
        self.create_state()?;
        Ok(Lock::acquire(&self.paths)?)
    }

    fn create_state(&self) -> Result<(), SessionError> {
        self.paths.create().map_err(|source| SessionError::State { path: self.paths.root().into(), source })
    }

    /// Looks at all systems and plans. Changes nothing.
    ///
    /// # Errors
    /// When a system could not be looked at, or the manifest asks for what cannot be done.
    pub async fn plan(&self, options: &Options, refresh: bool) -> Result<Planned, SessionError> {
        let ledger = Ledger::load(&self.paths, &self.manifest.realm, &self.registry)?;
        let desired = self.lower()?;
        let looks = self.observe(&desired, &ledger.records, refresh).await?;
        let systems = self.registry.iter().zip(&desired).zip(&looks);
        let views = systems.map(|((system, desired), (observed, _))| {
            let system: &dyn fraktalia_plan::erase::DynSystem = system.as_ref();
            View { system, desired, observed }
        });
        let plan = planner::plan(&Input {
            manifest: &self.manifest,
            systems: views.collect(),
            records: &ledger.records,
            options,
        });
        let findings = audit::audit(&plan);
        if !findings.is_empty() {
            return Err(SessionError::Audit(findings));
        }
        let desired = desired.iter().flat_map(AnyDesired::iter).map(|want| want.id().clone()).collect();
        let mut how = BTreeMap::new();
        let mut found = BTreeMap::new();
        for (system, (observed, look)) in self.registry.iter().zip(looks) {
            how.insert(system.id(), look);
            found.extend(observed.found.into_iter().map(|(id, seen)| (id, seen.fingerprint)));
        }
        Ok(Planned { plan, looks: how, desired, found, records: ledger.records })
    }

    /// Looks at all that lives in all systems. Changes nothing.
    ///
    /// # Errors
    /// When a system could not be looked at.
    pub async fn discover(&self) -> Result<Living, SessionError> {
        let survey = Survey { manifest: &self.manifest, secrets: &self.secrets };
        let looks = self
            .registry
            .iter()
            .map(|system| async move { system.discover(survey).await.map_err(|error| (system.id(), error)) });
        let mut living = Living::default();
        let mut failed = Vec::new();
        for look in join_all(looks).await {
            match look {
                Ok(found) => living.absorb(found),
                Err(error) => failed.push(error),
            }
        }
        if failed.is_empty() { Ok(living) } else { Err(SessionError::Observe(failed)) }
    }

    /// What the manifest asks of each system; no system is asked for it.
    ///
    /// # Errors
    /// When it asks one for what cannot be done.
    pub fn lower(&self) -> Result<Vec<AnyDesired>, SessionError> {
        let mut desired = Vec::new();
        let mut notes = Notes::new();
        for system in self.registry.iter() {
            match system.lower(&self.manifest) {
                Ok(resources) => desired.push(resources),
                Err(more) => notes.extend(more),
            }
        }
        if notes.is_empty() { Ok(desired) } else { Err(SessionError::Lowering(notes)) }
    }

    /// Looks at all systems at once, but for those that need to know what the others yield.
    async fn observe(
        &self,
        desired: &[AnyDesired],
        records: &Records,
        refresh: bool,
    ) -> Result<Vec<(AnyObserved, Look)>, SessionError> {
        let mut known = Outputs::new();
        let mut answers = BTreeMap::new();
        for last in [false, true] {
            let systems = self.registry.iter().zip(desired).enumerate();
            let asks =
                systems.filter(|(_, (system, _))| system.looks_last() == last).map(
                    |(index, (system, wanted))| {
                        let known = &known;
                        async move {
                            (index, self.look_at(system.as_ref(), wanted, records, known, refresh).await)
                        }
                    },
                );
            let looks = join_all(asks).await;
            for (observed, _) in looks.iter().filter_map(|(_, answer)| answer.as_ref().ok()) {
                known.extend(observed.outputs.clone());
            }
            answers.extend(looks);
        }
        let mut seen = Vec::new();
        let mut failed = Vec::new();
        for answer in answers.into_values() {
            match answer {
                Ok(look) => seen.push(look),
                Err(error) => failed.push(error),
            }
        }
        if failed.is_empty() { Ok(seen) } else { Err(SessionError::Observe(failed)) }
    }

    async fn look_at(
        &self,
        system: &dyn Executor,
        wanted: &AnyDesired,
        records: &Records,
        known: &Outputs,
        refresh: bool,
    ) -> Result<(AnyObserved, Look), (SystemId, ObserveError)> {
        let id = system.id();
        let ask = AnyAsk {
            realm: &self.manifest.realm,
            wanted,
            owned: Owned::of(records, &id),
            known,
            refresh,
            paths: &self.paths,
            secrets: &self.secrets,
        };
        let start = Instant::now();
        let observed = system.observe(&ask).await.map_err(|error| (id.clone(), error))?;
        let look = Look { how: observed.how.clone(), took: start.elapsed() };
        Ok((observed, look))
    }

    /// Whether what a saved plan rests on still holds; `now` is a plan made just now.
    ///
    /// # Errors
    /// [`SessionError::Stale`], with what has changed.
    pub fn check_basis(&self, saved: &Plan, now: &Planned) -> Result<(), SessionError> {
        let mut changed = Vec::new();
        if saved.basis.manifest != now.plan.basis.manifest {
            changed.push("the manifest".to_owned());
        }
        if saved.realm != now.plan.realm {
            changed.push("the realm".to_owned());
        }
        for (id, fingerprint) in &saved.basis.touched {
            if now.found.get(id) != fingerprint.as_ref() {
                changed.push(id.to_string());
            }
        }
        if changed.is_empty() { Ok(()) } else { Err(SessionError::Stale(changed)) }
    }

    /// Runs a plan, and looks again afterwards. The caller holds the lock, and made the plan or checked its basis
    /// while holding it.
    ///
    /// # Errors
    /// When nothing was begun, because something is in the way; or when our own files cannot be written.
    pub async fn apply(
        &self,
        _lock: &Lock,
        plan: Plan,
        options: &ApplyOptions,
    ) -> Result<Ended, SessionError> {
        if plan.is_blocked() {
            let notes = plan.blockers().cloned().collect();
            return Err(SessionError::Blocked(notes));
        }
        if let Some(run) = self.unfinished()? {
            return Err(SessionError::Unfinished(run.header.run.clone()));
        }
        let ledger = Ledger::load(&self.paths, &self.manifest.realm, &self.registry)?;
        let header = Arc::new(Header {
            origin: self.origin(),
            note: self.note.clone(),
            ..header(plan, &ledger.records)
        });
        let name = header.run.clone();
        if header.plan.steps.is_empty() && header.plan.changes.is_empty() {
            return self.record_only(header, ledger);
        }
        self.make_backup(&name)?;
        let run = Run::replay([Entry::Open(Arc::clone(&header))])
            .map_err(|source| JournalError::Replay { path: self.paths.journal(&name), source })?;
        let entry = Entry::Open(header);
        let journal = Journal::create(&self.paths.journal(&name), entry, self.fault).await?;
        let applier = Applier::new(self.surroundings(options), journal, run);
        self.go_on(applier, options).await
    }

    /// A plan without effect may still have something to put on record.
    fn record_only(&self, header: Arc<Header>, mut ledger: Ledger) -> Result<Ended, SessionError> {
        let name = header.run.clone();
        if !header.plan.records.is_empty() || !header.plan.forgotten.is_empty() {
            let statuses = Vec::new();
            let run =
                Run { header, statuses, closed: None, after: BTreeMap::new(), failure: None, reopened: None };
            ledger.fold(&run, &Outcome::Applied, &self.registry);
            ledger.save(&self.paths, &self.manifest.realm)?;
        }
        Ok(Ended { run: name, outcome: Some(Outcome::Applied), why: None })
    }

    fn make_backup(&self, run: &str) -> Result<(), SessionError> {
        use std::os::unix::fs::DirBuilderExt;
        let path = self.paths.backup(run);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|source| SessionError::State { path, source })
    }

    fn surroundings<'a>(&'a self, options: &ApplyOptions) -> Surroundings<'a> {
        Surroundings {
            registry: &self.registry,
            realm: &self.manifest.realm,
            paths: &self.paths,
            secrets: &self.secrets,
            sink: Arc::clone(&options.sink),
            stop: options.stop.clone(),
        }
    }

    /// The run that was not finished, if there is one.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn unfinished(&self) -> Result<Option<Run>, SessionError> {
        // Only the newest run can be open: no run begins before the one before it is closed.
        for path in journal::list(&self.paths)?.into_iter().rev() {
            if let Some(run) = journal::read(&path)? {
                return Ok(run.closed.is_none().then_some(run));
            }
        }
        Ok(None)
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn history(&self) -> Result<Vec<Run>, SessionError> {
        let mut runs = Vec::new();
        for path in journal::list(&self.paths)? {
            runs.extend(journal::read(&path)?);
        }
        Ok(runs)
    }

    /// The run of this name, or of the only one whose name begins or ends so.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn run(&self, name: &str) -> Result<Run, SessionError> {
        let mut hits: Vec<Run> = self
            .history()?
            .into_iter()
            .filter(|run| run.header.run.starts_with(name) || run.header.run.ends_with(name))
            .collect();
        match (hits.pop(), hits.len()) {
            (Some(run), 0) => Ok(run),
            (Some(_), more) => Err(SessionError::NoRun(format!("`{name}` names {} runs", more + 1))),
            (None, _) => {
                Err(SessionError::NoRun(format!("there is no run `{name}`: see `fraktalia history`")))
            }
        }
    }
}

fn header(plan: Plan, records: &Records) -> Header {
    let touched: BTreeSet<&ResourceId> = plan
        .changes
        .iter()
        .map(|change| &change.id)
        .chain(plan.records.keys())
        .chain(&plan.forgotten)
        .collect();
    let before = touched
        .into_iter()
        .filter_map(|id| records.get(id).map(|record| (id.clone(), record.clone())))
        .collect();
    Header {
        run: clock::run_name(),
        format: journal::FORMAT,
        at: clock::now(),
        version: env!("CARGO_PKG_VERSION").into(),
        plan,
        before,
        origin: None,
        note: None,
    }
}
