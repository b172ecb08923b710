//! Tells the helper, and asks whether it was told.

use fraktalia_engine::{Landed, StepError};
use fraktalia_model::Outputs;
use fraktalia_plane::config::Config;
use fraktalia_plane::protocol::{Answer, Link, LinkError, Request, View, fingerprint};

use crate::op::{Edit, Op};
use crate::undo::Undo;

/// Asks what is held now.
async fn look(link: &dyn Link) -> Result<View, StepError> {
    match link.ask(&Request::Look).await {
        Ok(Answer::Holding(view)) => Ok(view),
        Ok(Answer::Refused { what, hint }) => Err(refused(what, hint)),
        Err(error) => Err(of(error)),
    }
}

fn refused(what: String, hint: Option<String>) -> StepError {
    let error = StepError::refused(what);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn of(error: LinkError) -> StepError {
    match error {
        LinkError::Absent { what } => refused(what, Some("`fraktalia apply` brings the helper".into())),
        LinkError::Failed { what, .. } => StepError::in_doubt(what),
    }
}

async fn set(link: &dyn Link, was: &Config, config: Config) -> Result<(), StepError> {
    match link.ask(&Request::Set { was: fingerprint(was), config }).await {
        Ok(Answer::Holding(_)) => Ok(()),
        Ok(Answer::Refused { what, hint }) => Err(refused(what, hint)),
        Err(error) => Err(of(error)),
    }
}

/// Each thing as it is before the edits.
pub async fn prepare(link: &dyn Link, op: &Op) -> Result<Undo, StepError> {
    let view = look(link).await?;
    Ok(Undo { before: op.edits.iter().map(|edit| edit.of(&view.config)).collect() })
}

/// Does the edits, all at once.
pub async fn perform(link: &dyn Link, op: &Op) -> Result<Outputs, StepError> {
    let view = look(link).await?;
    let mut config = view.config.clone();
    op.edits.iter().for_each(|edit| edit.apply(&mut config));
    // Also when nothing is new: what it was told may not be in force.
    set(link, &view.config, config).await?;
    Ok(Outputs::new())
}

/// Whether the edits are done.
pub async fn landed(link: &dyn Link, op: &Op, undo: &Undo) -> Result<Landed, StepError> {
    let view = match link.ask(&Request::Look).await {
        Ok(Answer::Holding(view)) => view,
        Ok(Answer::Refused { what, hint }) => return Err(refused(what, hint)),
        Err(LinkError::Absent { .. }) => return Ok(Landed::No),
        Err(error) => return Err(of(error)),
    };
    let now: Vec<Edit> = op.edits.iter().map(|edit| edit.of(&view.config)).collect();
    Ok(if now == op.edits {
        Landed::Yes(Outputs::new())
    } else if now == undo.before {
        Landed::No
    } else {
        // The helper takes over all or nothing, so a mixture is somebody else's work.
        Landed::Torn { why: "the helper holds something else by now".into() }
    })
}

/// Puts back what the edits met, as far as it still is as they left it.
pub async fn revert(link: &dyn Link, op: &Op, undo: &Undo) -> Result<(), StepError> {
    let view = match link.ask(&Request::Look).await {
        Ok(Answer::Holding(view)) => view,
        // Nobody holds anything, which is as it was.
        Err(LinkError::Absent { .. }) if undo.before.iter().all(Edit::is_absent) => return Ok(()),
        Ok(Answer::Refused { what, hint }) => return Err(refused(what, hint)),
        Err(error) => return Err(of(error)),
    };
    let mut config = view.config.clone();
    for (edit, before) in op.edits.iter().zip(&undo.before) {
        if edit.of(&view.config) == *edit {
            before.apply(&mut config);
        }
    }
    if config == view.config { Ok(()) } else { set(link, &view.config, config).await }
}
