//! `graph`: the steps as a picture.

use super::{plan, saved};
use crate::app::App;
use crate::cli::{GraphArgs, GraphFormat};
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::graph;

/// Draws a plan made now, or one that was kept.
pub async fn run(app: &App, args: &GraphArgs) -> Result<Exit, Failure> {
    let plan = match &args.plan {
        Some(path) => saved::read(path)?,
        None => app.open()?.session.plan(&plan::options(&args.planning), args.planning.refresh).await?.plan,
    };
    out::data(&match args.format {
        GraphFormat::Svg => graph::svg(&plan),
        GraphFormat::Mermaid => graph::mermaid(&plan),
        GraphFormat::Dot => graph::dot(&plan),
    })?;
    Ok(Exit::OK)
}
