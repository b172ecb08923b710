//! `apply`, `resume`, `rollback`: the commands that write.

use fraktalia_engine::session::Options;
use fraktalia_engine::{Lock, OnFailure, Outcome, Run, SessionError};
use fraktalia_plan::{Plan, Verb};

use super::run::{How, carry_out};
use super::{plan as planning, saved};
use crate::app::{App, Opened, about};
use crate::cli::{ApplyArgs, ResumeArgs, RollbackArgs, RunArgs, RunFormat};
use crate::error::{Failure, blocked};
use crate::exit::Exit;
use crate::out;
use crate::render::look::Detail;
use crate::render::plan::number;
use crate::render::runs::Purpose;
use crate::render::{Line, Tone, plan};

/// Whether a person is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Yes,
    No,
}

impl From<bool> for Asking {
    /// From `--yes`.
    fn from(yes: bool) -> Self {
        if yes { Self::No } else { Self::Yes }
    }
}

/// Plans or takes a saved plan, shows it, asks, applies, verifies.
pub async fn apply(app: &App, args: &ApplyArgs) -> Result<Exit, Failure> {
    let kept = args.file.as_deref().map(saved::read).transpose()?;
    let opened = app.open()?.with_note(args.note.as_ref());
    // The lock comes first: what is planned under it is what is applied.
    let lock = opened.session.lock()?;
    if let Some(run) = opened.session.unfinished()? {
        return Err(SessionError::Unfinished(run.header.run.clone()).into());
    }
    let options = planning::options(&args.planning);
    let planned = opened.plan(&options, args.planning.refresh || kept.is_some()).await?;
    let about = about(&opened.session, Some(&planned));
    // Whoever kept a plan has read it. In every other case it stands where it is agreed to, or at least in the log.
    let known = kept.is_some() && args.yes && app.out.detail == Detail::Brief;
    let plan = match kept {
        Some(kept) => {
            opened.session.check_basis(&kept, &planned)?;
            kept
        }
        None => planned.plan,
    };
    let show = if known { plan::summary } else { plan::text };
    say(args.run.format, &show(&plan, &about, &opened.sources, &app.look(args.run.format)))?;
    go_ahead(app, &opened, &lock, plan, args.yes.into(), args.run).await
}

/// The plan is data, unless the events are.
fn say(format: RunFormat, text: &str) -> Result<(), Failure> {
    match format {
        RunFormat::Text => out::data(text).map(drop),
        RunFormat::Jsonl => {
            out::talk(text);
            Ok(())
        }
    }
}

async fn go_ahead(
    app: &App,
    opened: &Opened,
    lock: &Lock,
    plan: Plan,
    asking: Asking,
    args: RunArgs,
) -> Result<Exit, Failure> {
    if plan.is_blocked() {
        return Ok(blocked(&plan.notes));
    }
    if !plan.steps.is_empty() {
        ask(app, asking, &question(&plan))?;
        out::talk("\n");
    } else if plan.is_empty() && plan.records.is_empty() && plan.forgotten.is_empty() {
        return Ok(Exit::OK);
    }
    let how = How {
        on_failure: args.on_failure.into(),
        format: args.format,
        purpose: Purpose::Apply,
        plan: Some(&plan.clone()),
    };
    let (_, exit) =
        carry_out(
            app,
            opened,
            how,
            |options| async move { opened.session.apply(lock, plan, &options).await },
        )
        .await?;
    Ok(exit)
}

fn question(plan: &Plan) -> String {
    let steps = number(plan.steps.len(), "step");
    let removed = plan.count(Verb::Delete);
    let irreversible = plan.steps.iter().filter(|step| step.impact.is_irreversible()).count();
    match (irreversible, removed) {
        (0, 0) => format!("Apply {steps}?"),
        (0, removed) => format!("Apply {steps}, of which some remove {}?", number(removed, "thing")),
        (last, _) => format!("Apply {steps}, of which {last} cannot be taken back?"),
    }
}

fn ask(app: &App, asking: Asking, question: &str) -> Result<(), Failure> {
    if asking == Asking::No {
        return Ok(());
    }
    let mut page = String::from("\n");
    Line::new().text(Tone::Strong, question).plain(" [y/N]").write(&app.err, &mut page);
    if out::confirm(&format!("{} ", page.trim_end()))? { Ok(()) } else { Err(Failure::Declined) }
}

/// Finishes a run that was interrupted. When the world has changed since, it is settled and a new plan does the rest.
pub async fn resume(app: &App, args: &ResumeArgs) -> Result<Exit, Failure> {
    let opened = app.open()?;
    let lock = opened.session.lock()?;
    let Some(run) = opened.session.unfinished()? else {
        out::talk("Nothing to resume: no run is unfinished.\n");
        return Ok(Exit::OK);
    };
    let how = How {
        on_failure: args.run.on_failure.into(),
        format: args.run.format,
        purpose: Purpose::Apply,
        plan: Some(&run.header.plan),
    };
    let (session, lock) = (&opened.session, &lock);
    let (ended, exit) =
        carry_out(app, &opened, how, |options| async move { session.resume(lock, &options).await }).await?;
    if ended.outcome != Some(Outcome::Superseded) {
        return Ok(exit);
    }
    let planned = session.plan(&Options::default(), true).await?;
    let about = about(session, Some(&planned));
    say(args.run.format, &plan::text(&planned.plan, &about, &opened.sources, &app.look(args.run.format)))?;
    if planned.plan.is_empty() {
        return Ok(Exit::OK);
    }
    // The new plan is not the one that somebody agreed to.
    out::talk("This is a new plan: `fraktalia apply` applies it.\n");
    Ok(Exit::PENDING)
}

/// Takes back the unfinished run, or one that ended.
pub async fn rollback(app: &App, args: &RollbackArgs) -> Result<Exit, Failure> {
    let opened = app.open()?.with_note(args.note.as_ref());
    let lock = opened.session.lock()?;
    let session = &opened.session;
    let unfinished = session.unfinished()?;
    let run = match (&args.run, &unfinished) {
        (None, Some(run)) => run.clone(),
        (Some(name), _) => session.run(name)?,
        (None, None) => last(session.history()?)?,
    };
    let open = unfinished.as_ref().is_some_and(|unfinished| unfinished.header.run == run.header.run);
    if let (false, Some(unfinished)) = (open, unfinished) {
        return Err(SessionError::Unfinished(unfinished.header.run.clone()).into());
    }
    if !open && !session.paths().backup(&run.header.run).is_dir() {
        return Err(Failure::usage(
            format!("the run {} cannot be taken back: its backup was removed", run.header.run),
            "change the manifest to what you want, and apply that; `cleanup --keep-runs` says how many are kept",
        ));
    }
    let what = plan::counts(&run.header.plan).unwrap_or_else(|| "nothing to change".into());
    ask(
        app,
        args.yes.into(),
        &format!("Take back the run {} of {} ({what})?", run.header.run, run.header.at),
    )?;
    let how = How {
        on_failure: OnFailure::Stop,
        format: args.format,
        purpose: Purpose::TakeBack,
        plan: Some(&run.header.plan),
    };
    let (lock, run) = (&lock, &run);
    let (_, exit) = carry_out(app, &opened, how, |options| async move {
        if open {
            session.roll_back_unfinished(lock, &options).await
        } else {
            session.roll_back_run(lock, run, &options).await
        }
    })
    .await?;
    // Here that is what was asked for.
    Ok(if exit == Exit::ROLLED_BACK { Exit::OK } else { exit })
}

fn last(runs: Vec<Run>) -> Result<Run, Failure> {
    let undone = |run: &Run| matches!(run.closed, Some((_, Outcome::RolledBack { .. })));
    runs.into_iter()
        .rev()
        .find(|run| !undone(run))
        .ok_or_else(|| Failure::usage("there is no run to take back", "`fraktalia history` lists all runs"))
}
