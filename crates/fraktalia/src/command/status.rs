//! `status`: in sync or drifted.

use fraktalia_engine::session::Options;

use crate::app::App;
use crate::cli::{Format, StatusArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::note;
use crate::render::runs;
use crate::render::status::Status;

/// Plans, and says how each resource stands.
pub async fn run(app: &App, args: &StatusArgs) -> Result<Exit, Failure> {
    let opened = app.open()?;
    let unfinished = opened.session.unfinished()?.map(|run| run.header.run.clone());
    let last = opened.session.history()?.pop();
    let last = last
        .map(|run| format!("{}, {}", run.header.run, runs::document(&run, false).outcome.replace('_', " ")));
    let planned = opened.plan(&Options::default(), args.refresh).await?;
    let status = Status::of(&planned, unfinished, last);
    match args.format {
        Format::Json => out::json(&status)?,
        Format::Text => out::data(&status.text(&app.out))?,
    };
    let mut page = String::new();
    note::write_all(&planned.plan.notes, &opened.sources, &app.err, &mut page);
    out::talk(&page);
    let pending = !status.in_sync || status.unfinished.is_some();
    Ok(if args.exit_code && pending { Exit::PENDING } else { Exit::OK })
}
