//! `history` and `show`: what was done before. No live system is asked.

mod desk;

use fraktalia_desk::audit::Entry;
use fraktalia_engine::{Run, SessionError, StatePaths, journal};

use crate::app::{App, Place, about};
use crate::cli::{Format, HistoryArgs, HistoryFormat, ShowArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::json::FORMAT;
use crate::render::look::Look;
use crate::render::plan::changes;
use crate::render::runs::{RunDocument, document, history as shown};

#[derive(serde::Serialize)]
struct Document<'a> {
    format: u16,
    runs: Vec<RunDocument<'a>>,
    /// What the desk of the admin room wrote down meanwhile.
    #[serde(skip_serializing_if = "<[Entry]>::is_empty")]
    desk: &'a [Entry],
}

/// Lists the latest runs, and what was decided meanwhile; or verifies or exports all of it.
pub fn history(app: &App, args: &HistoryArgs) -> Result<Exit, Failure> {
    let paths = state(app)?;
    let mut all = runs(&paths)?;
    let audit = desk::Files::of(&paths);
    if args.verify {
        return audit.verify(&all, app);
    }
    if let Some(path) = &args.export {
        return audit.export_to(path, &all, app);
    }
    if args.format == HistoryFormat::Jsonl {
        out::data(&audit.lines(&all)?)?;
        return Ok(Exit::OK);
    }
    let mut entries = Vec::new();
    if let Some(note) = &args.note {
        all.retain(|run| run.header.note.as_ref() == Some(note) || run.reopened.as_ref() == Some(note));
    } else {
        entries = audit.entries()?;
    }
    let earlier = all.len().saturating_sub(args.limit);
    let latest: &[Run] = &all[earlier..];
    // What was decided before the first run that is shown belongs to those that are not.
    let since = if earlier > 0 { latest.first().map(|run| run.header.at.as_str()) } else { None };
    entries.retain(|entry| since.is_none_or(|since| desk::when(entry).as_str() >= since));
    let entries = &entries[entries.len().saturating_sub(args.limit.saturating_mul(10))..];
    match args.format {
        HistoryFormat::Text => out::data(&shown(latest, entries, &app.out))?,
        _ => {
            let runs = latest.iter().map(|run| document(run, false)).collect();
            out::json(&Document { format: FORMAT, runs, desk: entries })?
        }
    };
    Ok(Exit::OK)
}

/// Where the journals are. Where that was said, the manifest is not asked: what was done is on record, whatever has become
/// of it since.
fn state(app: &App) -> Result<StatePaths, Failure> {
    match app.place()? {
        Place::Here(_) => app.place()?.of(""),
        Place::Below(_) => Ok(app.open()?.session.paths().clone()),
    }
}

fn runs(paths: &StatePaths) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    for path in journal::list(paths).map_err(SessionError::from)? {
        runs.extend(journal::read(&path).map_err(SessionError::from)?);
    }
    Ok(runs)
}

/// Shows one run.
pub fn show(app: &App, args: &ShowArgs) -> Result<Exit, Failure> {
    let session = app.open()?.session;
    let about = about(&session, None);
    let run = if args.run == "last" {
        session
            .history()?
            .pop()
            .ok_or_else(|| Failure::usage("there is no run yet", "`fraktalia apply` makes the first one"))?
    } else {
        session.run(&args.run)?
    };
    let look = Look { width: args.width.map_or(app.out.width, usize::from), ..app.out };
    match args.format {
        Format::Json => out::json(&document(&run, true))?,
        Format::Text if args.changes_only => out::data(&changes(&run.header.plan, &about, &look))?,
        Format::Text => out::data(&crate::render::runs::show(&run, &about, &look))?,
    };
    Ok(Exit::OK)
}
