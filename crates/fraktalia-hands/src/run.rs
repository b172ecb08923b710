//! Doing what was approved: written, committed, applied; each once, whatever dies in between.

use std::ffi::OsString;
use std::path::PathBuf;

use fraktalia_desk::{Credits, Key, Order, Outcome, Planned};
use fraktalia_model::files::sha256_hex;
use serde::Deserialize;
use tokio::sync::watch;

use crate::child::{Said, args};
use crate::journal::Past;
use crate::manifest::Writing;
use crate::plan::fingerprint_of;
use crate::record::{Record, began_at};
use crate::{Hands, NO_RUN, write};

/// How often a run that died is gone on with before it is left to people.
const ATTEMPTS: usize = 3;

/// The lines that people see meanwhile.
pub(crate) type Progress<'p> = &'p mut (dyn FnMut(String) + Send);

/// What a child is to begin.
pub(crate) enum Begin {
    /// The plan in that file.
    Apply(PathBuf),
    /// Taking back that run.
    TakeBack(String),
}

/// What was changed in the operator's tree.
pub(crate) struct Tree {
    /// The file that was written or removed.
    pub path: PathBuf,
    /// The first line of its commit.
    pub subject: String,
    /// Whether there is one, and what becomes of it.
    pub writing: Writing,
}

/// An event of `apply --format jsonl`.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Started {
        run: String,
        steps: usize,
        done: usize,
    },
    Begun {
        title: String,
    },
    Stopping,
    RollingBack {
        why: String,
    },
    Verifying,
    #[serde(other)]
    Other,
}

impl Hands {
    /// Does it, if the plan still has that fingerprint. Under the same key it is done once: after a crash it goes on where
    /// it stood, or says how it ended. `stop` turned true, what is in flight ends and all is taken back, if it still can.
    pub async fn run(
        &self,
        key: &Key,
        order: &Order,
        fingerprint: &str,
        credits: &Credits,
        mut progress: impl FnMut(String) + Send,
        stop: watch::Receiver<bool>,
    ) -> Outcome {
        let _at_work = self.begin();
        let doing = Doing { hands: self, key, fingerprint, credits };
        let done = match order {
            Order::Add { name, fragment } => doing.add(name, fragment, &mut progress, stop).await,
            Order::Remove { name } => doing.remove(name, &mut progress, stop).await,
            Order::PutBack => doing.put_back(&mut progress, stop).await,
            Order::TakeIn => doing.take_in(&mut progress).await,
            Order::Rollback => doing.roll_back(&mut progress, stop).await,
        };
        done.unwrap_or_else(|why| {
            let reason = format!("could not {}: {why}", crate::named(order));
            Outcome::RolledBack { run: None, reason }
        })
    }
}

/// One order that is being done.
pub(crate) struct Doing<'a> {
    pub hands: &'a Hands,
    pub key: &'a Key,
    pub fingerprint: &'a str,
    pub credits: &'a Credits,
}

impl Doing<'_> {
    async fn add(
        &self,
        name: &str,
        fragment: &str,
        progress: Progress<'_>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Outcome, String> {
        let name = crate::manifest::checked(name)?;
        let begun = self.hands.record(self.key)?;
        match self.earlier().await {
            Ok(None) => {}
            Ok(past) => return Ok(self.go_on(past, None, progress, &mut stop).await),
            Err(unknown) => return Ok(unknown),
        }
        let writing = self.hands.writing()?;
        let path = writing.dir.join(format!("{name}.yaml"));
        let text = write::text(self.key, self.credits, fragment);
        if begun.is_none() && path.symlink_metadata().is_ok() {
            return Err(format!("{} is there already, and is not ours to write", path.display()));
        }
        if let Some(outcome) = self.is_in_the_way(&stop).await? {
            return Ok(self.without_traces(outcome).await);
        }
        let plan = self.hands.kept(self.fingerprint)?;
        if !plan.is_file() {
            return Ok(self.without_traces(Outcome::Stale).await);
        }
        if begun.is_none() {
            let file = Some((path.clone(), sha256_hex(text.as_bytes())));
            let record = Record { file, commit: writing.commit, push: writing.push, ..Record::default() };
            self.hands.keep(self.key, &record)?;
            self.hands.step("recorded");
        }
        progress(format!("writing {}", self.hands.place(&path)));
        write::create(&path, &text, 0o644)?;
        self.hands.step("written");
        let tree = Tree { path, subject: format!("Add the fractal {name}"), writing };
        Ok(self.commit_and_apply(tree, plan, progress, &mut stop).await)
    }

    /// What was changed in the tree is committed, and the plan that goes with it applied. Where nothing is applied, nothing
    /// stays in the tree either.
    pub(crate) async fn commit_and_apply(
        &self,
        tree: Tree,
        plan: PathBuf,
        progress: Progress<'_>,
        stop: &mut watch::Receiver<bool>,
    ) -> Outcome {
        let message = write::message(&tree.subject, self.key, self.credits);
        if let Err(why) = self.hands.commit(self.key, &[tree.path], &message, &tree.writing).await {
            let reason = format!("nothing was applied, since {why}");
            return self.without_traces(Outcome::RolledBack { run: None, reason }).await;
        }
        match self.go_on(None, Some(Begin::Apply(plan)), progress, stop).await {
            outcome @ (Outcome::Busy(_) | Outcome::Stale) => self.without_traces(outcome).await,
            outcome => outcome,
        }
    }

    async fn put_back(
        &self,
        progress: Progress<'_>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Outcome, String> {
        let past = match self.earlier().await {
            Ok(past) => past,
            Err(unknown) => return Ok(unknown),
        };
        let plan = self.hands.kept(self.fingerprint)?;
        if past.is_none() && !plan.is_file() {
            return Ok(Outcome::Stale);
        }
        Ok(self.go_on(past, Some(Begin::Apply(plan)), progress, &mut stop).await)
    }

    async fn roll_back(
        &self,
        progress: Progress<'_>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Outcome, String> {
        let past = match self.earlier().await {
            Ok(past) => past,
            Err(unknown) => return Ok(unknown),
        };
        let run = match self.hands.record(self.key)?.and_then(|record| record.rolls_back) {
            Some(run) => run,
            None => {
                let last = self.hands.last_to_take_back().await?;
                if fingerprint_of(&last) != self.fingerprint {
                    return Ok(Outcome::Stale);
                }
                let record = Record { rolls_back: Some(last.run.clone()), ..Record::default() };
                self.hands.keep(self.key, &record)?;
                self.hands.step("recorded");
                last.run
            }
        };
        let outcome = self.go_on(past, Some(Begin::TakeBack(run.clone())), progress, &mut stop).await;
        if !matches!(outcome, Outcome::Applied { .. }) {
            return Ok(outcome);
        }
        // Else the next apply would do it all again.
        Ok(match self.take_back_commit_of_the_run().await {
            Ok(()) => outcome,
            Err(why) => {
                let reason = format!("the run was taken back, and its commit was not: {why}");
                Outcome::Stuck { run: Some(run), reason }
            }
        })
    }

    async fn take_back_commit_of_the_run(&self) -> Result<(), String> {
        let note = self.hands.past(self.key).await?.and_then(|past| past.note);
        match note.as_deref().and_then(crate::journal::key) {
            Some(theirs) if theirs != *self.key => self.hands.take_back(&theirs).await,
            _ => Ok(()),
        }
    }

    /// What an earlier life began under this key. Where that cannot be found out, nothing is said to be undone.
    pub(crate) async fn earlier(&self) -> Result<Option<Past>, Outcome> {
        let unknown = |why: String| {
            let reason =
                format!("it is not known whether it was begun before: {why}; `fraktalia history` shows it");
            Outcome::Stuck { run: None, reason }
        };
        let Some(record) = self.hands.record(self.key).map_err(unknown)? else { return Ok(None) };
        self.hands.wait_for_child(&record).await;
        self.hands.past(self.key).await.map_err(unknown)
    }

    /// Whether it can be begun at all; asked before anything is written.
    pub(crate) async fn is_in_the_way(
        &self,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<Outcome>, String> {
        if *stop.borrow() {
            let reason = "it was stopped before it began".into();
            return Ok(Some(Outcome::RolledBack { run: None, reason }));
        }
        if let Some(holder) = fraktalia_engine::Lock::holder(&self.hands.state) {
            let who = holder.map_or_else(String::new, |pid| format!(" (process {pid})"));
            return Ok(Some(Outcome::Busy(format!("another run is at work{who}"))));
        }
        let last = self.hands.latest(1).await?.pop();
        Ok(last.filter(|run| run.outcome == "open").map(|run| {
            let cure = "`fraktalia resume` or `fraktalia rollback` at a terminal goes on";
            Outcome::Busy(format!("the run {} is not finished; {cure}", run.run))
        }))
    }

    /// Nothing was applied, so nothing is left in the tree either.
    pub(crate) async fn without_traces(&self, outcome: Outcome) -> Outcome {
        match self.hands.take_back(self.key).await {
            Ok(()) => outcome,
            Err(why) => {
                let first = match &outcome {
                    Outcome::RolledBack { reason, .. } | Outcome::Busy(reason) => reason.as_str(),
                    _ => "the plan is stale",
                };
                let reason = format!(
                    "{first}; nothing was applied, and what was written could not be taken back: {why}"
                );
                Outcome::Stuck { run: None, reason }
            }
        }
    }

    /// Begins, or goes on with, a run until it has ended. What the journal says counts, and the child's exit code only where
    /// there is none.
    pub(crate) async fn go_on(
        &self,
        mut past: Option<Past>,
        begin: Option<Begin>,
        progress: Progress<'_>,
        stop: &mut watch::Receiver<bool>,
    ) -> Outcome {
        let takes_back = matches!(begin, Some(Begin::TakeBack(_)));
        let mut said: Option<Said> = None;
        // A signal that comes too early would end the child that takes back.
        let (_nobody, never) = watch::channel(false);
        for _ in 0..ATTEMPTS {
            let stopped = *stop.borrow();
            let asked = match (&past, &begin, &said) {
                (Some(past), ..) if past.outcome != "open" => break,
                (Some(_), ..) => {
                    self.hands.wait_for_lock().await;
                    if stopped {
                        args(["rollback", "--yes", "--format", "jsonl"])
                    } else {
                        args(["resume", "--format", "jsonl"])
                    }
                }
                (None, Some(begin), None) => self.begin(begin),
                (None, ..) => break,
            };
            let resumed = past.is_some();
            let stop = if takes_back || (resumed && stopped) { &mut never.clone() } else { &mut *stop };
            match self.work(&asked, progress, stop).await {
                Ok((ended, run)) => {
                    let open = resumed && ended.code == Some(13);
                    past = match (self.hands.past(self.key).await, run) {
                        (Ok(past), _) => past,
                        // The manifest may have been made invalid meanwhile; the exit code says it too.
                        (Err(_), Some(run)) => Some(by_code(run, ended.code, takes_back)),
                        (Err(_), None) => past,
                    };
                    said = Some(ended);
                    if open {
                        break;
                    }
                }
                // It could not even be started.
                Err(reason) => {
                    return match past {
                        Some(past) => Outcome::Stuck { run: Some(past.run), reason },
                        None => Outcome::RolledBack { run: None, reason },
                    };
                }
            }
        }
        let stopped = *stop.borrow();
        match past {
            Some(past) => self.ended(past, said.as_ref(), takes_back, stopped).await,
            None => not_begun(said.as_ref(), stopped),
        }
    }

    fn begin(&self, begin: &Begin) -> Vec<OsString> {
        let note = OsString::from(format!("--note={}", self.key));
        let (command, what) = match begin {
            Begin::Apply(plan) => ("apply", plan.clone().into_os_string()),
            Begin::TakeBack(run) => ("rollback", run.into()),
        };
        let mut asked = args([command, "--yes", "--format", "jsonl"]);
        asked.extend([note, "--".into(), what]);
        asked
    }

    async fn work(
        &self,
        asked: &[OsString],
        progress: Progress<'_>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(Said, Option<String>), String> {
        let mut record = self.hands.record(self.key)?.unwrap_or_default();
        record = Record { begun: true, child: None, ..record };
        self.hands.keep(self.key, &record)?;
        self.hands.step("beginning");
        let begun = |pid| {
            record.child = began_at(pid).map(|began| (pid, began));
            // It runs: nothing is gained by leaving it alone because of that.
            if let Err(why) = self.hands.keep(self.key, &record) {
                tracing::warn!(key = %self.key, why, "the process of the run is not on record");
            }
            self.hands.step("begun");
        };
        let mut begun_as = None;
        let mut at = (0, 0);
        let tell = |line: &str| {
            let Ok(event) = serde_json::from_str::<Event>(line) else { return };
            match event {
                Event::Started { run, steps, done } => {
                    begun_as = Some(run);
                    at = (done, steps);
                }
                Event::Begun { title } => {
                    at.0 = (at.0 + 1).min(at.1);
                    progress(format!("{} of {}: {title}", at.0, at.1));
                }
                Event::Stopping => progress("stopping after what is in flight".into()),
                Event::RollingBack { why } => progress(format!("taking back: {why}")),
                Event::Verifying => progress("looking again".into()),
                Event::Other => {}
            }
        };
        let said = self.hands.work(asked, begun, tell, stop).await?;
        Ok((said, begun_as))
    }

    /// How a run ended, by its journal.
    async fn ended(&self, past: Past, said: Option<&Said>, takes_back: bool, stopped: bool) -> Outcome {
        let why = past.why.clone().unwrap_or_default();
        let run = Some(past.run.clone());
        match past.outcome.as_str() {
            "rolled_back" if takes_back => Outcome::Applied { run: past.run, commit: None },
            "rolled_back" if stopped => {
                Outcome::RolledBack { run, reason: format!("it was stopped: {why}") }
            }
            "rolled_back" => {
                // With the cure, where it was said just now.
                let reason = said.and_then(|said| crate::text::error(&said.talk)).unwrap_or(why);
                Outcome::RolledBack { run, reason }
            }
            "applied" if takes_back => Outcome::RolledBack { run: None, reason: reason_of(said) },
            "applied" => {
                Outcome::Applied { run: past.run, commit: self.hands.commit_of(self.key).await }
            }
            "not_converged" => Outcome::Stuck {
                run,
                reason: "it was applied, and something else changes the same things; `fraktalia plan` shows what is left"
                    .into(),
            },
            "incomplete" => {
                let left = said.map(Said::reason).unwrap_or_default();
                let more = format!("`fraktalia show {}` says what is left", past.run);
                Outcome::Stuck { run, reason: format!("{why}; {left} {more}") }
            }
            "superseded" => Outcome::Stuck {
                run,
                reason: "the world changed before it was resumed; what was done is on record, `fraktalia plan` shows the rest"
                    .into(),
            },
            _ => Outcome::Stuck {
                run,
                reason: format!("it was left open: {why}; `fraktalia resume` or `fraktalia rollback` goes on"),
            },
        }
    }

    /// Whether the plan of the drift is still the one that was approved.
    pub(crate) async fn is_still_the_drift(&self) -> Result<bool, String> {
        match self.hands.plan_drift("take-in").await? {
            Planned::Plan(plan) => Ok(plan.fingerprint == self.fingerprint),
            Planned::Findings(_) | Planned::Unable(_) => Ok(false),
        }
    }
}

/// How a run ended, by the exit code alone.
fn by_code(run: String, code: Option<i32>, takes_back: bool) -> Past {
    let outcome = match code {
        Some(0) if takes_back => "rolled_back",
        Some(0) => "applied",
        Some(20) => "rolled_back",
        Some(21) => "incomplete",
        Some(22) => "not_converged",
        _ => "open",
    };
    Past { run, outcome: outcome.into(), ..Past::default() }
}

fn reason_of(said: Option<&Said>) -> String {
    said.map_or_else(|| "it did not begin".into(), Said::reason)
}

/// There is no journal: nothing was changed.
fn not_begun(said: Option<&Said>, stopped: bool) -> Outcome {
    match said.and_then(|said| said.code) {
        Some(0) => Outcome::Applied { run: NO_RUN.into(), commit: None },
        Some(12) => Outcome::Stale,
        Some(13 | 14) => Outcome::Busy(reason_of(said)),
        _ if stopped => Outcome::RolledBack { run: None, reason: "it was stopped before it began".into() },
        _ => Outcome::RolledBack { run: None, reason: reason_of(said) },
    }
}
