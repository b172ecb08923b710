//! `explain`: why a resource is planned as it is.

use fraktalia_engine::session::Options;

use crate::app::App;
use crate::cli::{ExplainArgs, Format};
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::explain::{Explained, similar};

/// Plans, and explains one resource, or all of a fractal.
pub async fn run(app: &App, args: &ExplainArgs) -> Result<Exit, Failure> {
    let opened = app.open()?;
    let planned = opened.plan(&Options::default(), false).await?;
    let explained = Explained::of(&planned, &args.id);
    if explained.is_empty() {
        let hint = match similar(&planned, &args.id) {
            Some(id) => format!("did you mean `{id}`?"),
            None => {
                "an id is system/kind/name, for instance matrix/room/lab; `fraktalia status -v` lists all"
                    .into()
            }
        };
        return Err(Failure::usage(format!("nothing here is called `{}`", args.id), hint));
    }
    match args.format {
        Format::Json => out::json(&explained)?,
        Format::Text => {
            let pages: Vec<String> = explained.iter().map(|one| one.text(&app.out)).collect();
            out::data(&pages.join("\n"))?
        }
    };
    Ok(Exit::OK)
}
