//! Carries a run out: progress, Ctrl-C, and the words and the exit code at its end.

use std::sync::Arc;
use std::time::Instant;

use fraktalia_engine::{ApplyOptions, Ended, OnFailure, Outcome, SessionError, Stop};
use fraktalia_plan::Plan;
use tokio::sync::watch;

use crate::app::{App, Opened, about};
use crate::cli::RunFormat;
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::progress::{Progress, Story};
use crate::render::runs::Purpose;
use crate::render::{plan, runs};

/// How a run is carried out.
pub struct How<'a> {
    /// What to do when a step fails.
    pub on_failure: OnFailure,
    /// What is said meanwhile.
    pub format: RunFormat,
    /// What somebody wants of it.
    pub purpose: Purpose,
    /// What it does, as far as that is known before it starts.
    pub plan: Option<&'a Plan>,
}

/// Carries out `work`, and tells how it ended.
pub async fn carry_out<F>(
    app: &App,
    opened: &Opened,
    how: How<'_>,
    work: impl FnOnce(ApplyOptions) -> F,
) -> Result<(Ended, Exit), Failure>
where
    F: Future<Output = Result<Ended, SessionError>>,
{
    let progress = Arc::new(Progress::new(app.err, how.format, how.plan));
    let (asked, stop) = watch::channel(Stop::No);
    let listener = tokio::spawn(listen(asked, Arc::clone(&progress)));
    let sink: Arc<dyn fraktalia_engine::EventSink> = Arc::<Progress>::clone(&progress);
    let began = Instant::now();
    let result = work(ApplyOptions { on_failure: how.on_failure, sink, stop }).await;
    listener.abort();
    let story = progress.end();
    let ended = result?;
    out::talk(&runs::ending(&ended, &story, how.purpose, began.elapsed(), &app.err));
    leftover(app, opened, &story);
    let exit = exit(&ended);
    Ok((ended, exit))
}

/// What a second plan still wants.
fn leftover(app: &App, opened: &Opened, story: &Story) {
    if let Some(left) = &story.left {
        let about = about(&opened.session, None);
        out::talk(&format!("\n{}", plan::text(left, &about, &opened.sources, &app.err)));
    }
}

fn exit(ended: &Ended) -> Exit {
    match ended.outcome {
        Some(Outcome::Applied | Outcome::Superseded) => Exit::OK,
        Some(Outcome::NotConverged) => Exit::NOT_CONVERGED,
        Some(Outcome::RolledBack { .. }) => Exit::ROLLED_BACK,
        Some(Outcome::Incomplete { .. }) => Exit::INCOMPLETE,
        None => Exit::UNFINISHED,
    }
}

/// Once: finish what is in flight, then take all back. Twice: stop at once. A third time ends the process; the
/// journal stands for that as for any crash.
async fn listen(asked: watch::Sender<Stop>, progress: Arc<Progress>) {
    for wish in [Stop::RollBack, Stop::Now] {
        if interrupted().await.is_err() {
            return;
        }
        // Nobody listens any more: the run has ended meanwhile.
        if asked.send(wish).is_err() {
            return;
        }
    }
    if interrupted().await.is_ok() {
        progress.end();
        std::process::exit(i32::from(Exit::UNFINISHED.code));
    }
}

/// Ctrl-C, or what a service manager sends.
async fn interrupted() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
