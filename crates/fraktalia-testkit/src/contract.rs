#![expect(clippy::missing_panics_doc, reason = "a test suite reports by panicking")]
//! What every system must keep, whether it is simulated or real.
//!
//! A [`Subject`] makes worlds and sessions in them; the suite applies, takes back, repeats and kills.

use std::sync::Arc;

use async_trait::async_trait;
use fraktalia_engine::event::Silent;
use fraktalia_engine::journal::{Fault, FaultAt, JournalError};
use fraktalia_engine::session::Options;
use fraktalia_engine::{ApplyOptions, Ended, OnFailure, Outcome, Session, SessionError, Stop};
use tokio::sync::watch;

/// Something with a session in it whose world can be compared.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A session of a process that was just started. All sessions of one subject share its world and its state.
    fn session(&self, fault: Option<FaultAt>) -> Session;
    /// The world, in a form in which names that a system makes up itself (room ids, image ids) do not count.
    async fn snapshot(&self) -> serde_json::Value;
}

/// How an apply of the tests behaves: rolls back on failure, tells nobody, never stops.
pub fn quiet() -> ApplyOptions {
    let (sender, stop) = watch::channel(Stop::No);
    // The receiver outlives the sender on purpose: a closed channel never changes.
    drop(sender);
    ApplyOptions { on_failure: OnFailure::RollBack, sink: Arc::new(Silent), stop }
}

/// Plans and applies, as `fraktalia apply --yes` does.
///
/// # Errors
/// As [`Session::plan`] and [`Session::apply`].
pub async fn apply(session: &Session) -> Result<Ended, SessionError> {
    let lock = session.lock()?;
    let planned = session.plan(&Options::default(), true).await?;
    session.apply(&lock, planned.plan, &quiet()).await
}

/// What a second plan still wants, one line each.
pub async fn left(session: &Session) -> Vec<String> {
    let planned = session.plan(&Options::default(), true).await.expect("a second plan can be made");
    planned
        .plan
        .changes
        .iter()
        .map(|change| format!("{:?} {} {:?}", change.verb, change.id, change.fields))
        .collect()
}

/// An apply is followed by an empty plan, and a rollback of it gives the first world back.
pub async fn apply_then_roll_back(subject: &dyn Subject) {
    let before = subject.snapshot().await;
    let session = subject.session(None);
    let ended = apply(&session).await.expect("the apply runs");
    assert_eq!(ended.outcome, Some(Outcome::Applied), "{:?}", ended.why);
    assert_eq!(left(&session).await, Vec::<String>::new(), "a second plan is empty");

    let run = session.run(&ended.run).expect("the run is on record");
    let lock = session.lock().expect("nobody else holds the lock");
    let ended = session.roll_back_run(&lock, &run, &quiet()).await.expect("the rollback runs");
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert_eq!(subject.snapshot().await, before, "the first world is back");
}

/// Killed at any entry of the journal, then resumed: the end is as without dying.
pub async fn die_then_resume<S: Subject>(fresh: impl AsyncFn() -> S) {
    let reference = fresh().await;
    let ended = apply(&reference.session(None)).await.expect("the apply runs");
    assert_eq!(ended.outcome, Some(Outcome::Applied));
    let wanted = reference.snapshot().await;
    for_each_death(async |at| {
        let subject = fresh().await;
        if !dies(&subject, at).await {
            return false;
        }
        let session = subject.session(None);
        if session.unfinished().expect("the journals can be read").is_some() {
            let lock = session.lock().expect("the lock of a dead process is free");
            session
                .resume(&lock, &quiet())
                .await
                .unwrap_or_else(|error| panic!("resume after {at:?}: {error}"));
        }
        let ended = apply(&session).await.unwrap_or_else(|error| panic!("apply after {at:?}: {error}"));
        assert_eq!(ended.outcome, Some(Outcome::Applied), "after {at:?}: {:?}", ended.why);
        assert_eq!(left(&session).await, Vec::<String>::new(), "after {at:?}");
        assert_eq!(subject.snapshot().await, wanted, "killed at {at:?} and resumed");
        true
    })
    .await;
}

/// Killed at any entry of the journal, then rolled back: the world is as before.
pub async fn die_then_roll_back<S: Subject>(fresh: impl AsyncFn() -> S) {
    for_each_death(async |at| {
        let subject = fresh().await;
        let before = subject.snapshot().await;
        if !dies(&subject, at).await {
            return false;
        }
        let session = subject.session(None);
        if session.unfinished().expect("the journals can be read").is_some() {
            let lock = session.lock().expect("the lock of a dead process is free");
            let ended = session
                .roll_back_unfinished(&lock, &quiet())
                .await
                .unwrap_or_else(|error| panic!("rollback after {at:?}: {error}"));
            assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "after {at:?}: {ended:?}");
            assert_eq!(subject.snapshot().await, before, "killed at {at:?} and rolled back");
        }
        true
    })
    .await;
}

/// Tries a death before and after each entry, until a run ends without dying.
async fn for_each_death(mut attempt: impl AsyncFnMut(FaultAt) -> bool) {
    let mut deaths = 0;
    for entry in 1.. {
        let before = attempt(FaultAt::Before(entry)).await;
        let after = attempt(FaultAt::After(entry)).await;
        deaths += u32::from(before) + u32::from(after);
        if !before {
            break;
        }
    }
    assert!(deaths > 3, "an apply with steps was killed only {deaths} times");
}

/// Whether an apply died at `at`; otherwise it ran to its end.
///
/// It runs in a runtime of its own, since a dead process does nothing any more: ending the runtime drops what waits,
/// and waits for what is busy with a file.
pub async fn dies(subject: &dyn Subject, at: FaultAt) -> bool {
    let session = subject.session(Some(at));
    let process = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(apply(&session))
    };
    match tokio::task::spawn_blocking(process).await.expect("the apply does not panic") {
        Err(SessionError::Journal(JournalError::Gone)) => true,
        Ok(_) => false,
        Err(other) => panic!("the apply failed by itself: {other}"),
    }
}

/// A fault for a session of a test: the writer goes silent, the process lives on.
pub fn silent(at: Option<FaultAt>) -> Option<Fault> {
    at.map(|at| Fault { at, kill: false })
}
