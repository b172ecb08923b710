//! `history` and `show`: what was done before. No live system is asked.

use fraktalia_engine::Run;

use crate::app::{App, about};
use crate::cli::{Format, HistoryArgs, ShowArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::json::FORMAT;
use crate::render::runs::{self, RunDocument};

#[derive(serde::Serialize)]
struct Runs<'a> {
    format: u16,
    runs: Vec<RunDocument<'a>>,
}

/// Lists the latest runs.
pub fn history(app: &App, args: &HistoryArgs) -> Result<Exit, Failure> {
    let all = app.open()?.session.history()?;
    let latest: &[Run] = &all[all.len().saturating_sub(args.limit)..];
    match args.format {
        Format::Json => {
            let runs = latest.iter().map(|run| runs::document(run, false)).collect();
            out::json(&Runs { format: FORMAT, runs })?
        }
        Format::Text => out::data(&runs::history(latest, &app.out))?,
    };
    Ok(Exit::OK)
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
    match args.format {
        Format::Json => out::json(&runs::document(&run, true))?,
        Format::Text => out::data(&runs::show(&run, &about, &app.out))?,
    };
    Ok(Exit::OK)
}
