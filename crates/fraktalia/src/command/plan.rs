//! `plan`: what would change, and why.

use std::path::Path;

use fraktalia_engine::session::Options;
use fraktalia_model::Sources;
use fraktalia_plan::Plan;

use super::saved;
use crate::app::{App, about};
use crate::cli::{PlanArgs, PlanFormat, PlanningArgs};
use crate::error::{Failure, blocked};
use crate::exit::Exit;
use crate::out;
use crate::render::look::Look;
use crate::render::{Line, Tone, json, markdown, plan};

/// Plans, shows the plan, and keeps it where that was asked.
pub async fn run(app: &App, args: &PlanArgs) -> Result<Exit, Failure> {
    let app = &app.with(&args.with)?;
    if let Some(path) = &args.from {
        return kept(app, args, path);
    }
    let opened = app.open()?;
    let planned = opened.plan(&options(&args.planning), args.planning.refresh).await?;
    let about = about(&opened.session, Some(&planned));
    let shown = match args.format {
        PlanFormat::Text => text(app, args, &planned.plan, &about, &opened.sources),
        PlanFormat::Markdown => markdown::plan(&planned.plan, &about),
        PlanFormat::Json => {
            let show = |plan: &Plan| out::json(&json::plan(plan, about.origin.as_ref()));
            return finish(app, args, &planned.plan, show);
        }
    };
    finish(app, args, &planned.plan, |_| out::data(&shown))
}

fn text(app: &App, args: &PlanArgs, plan: &Plan, about: &plan::About, sources: &Sources) -> String {
    let width = args.width.map_or(app.out.width, usize::from);
    let look = Look { width, ..app.out };
    if args.changes_only {
        plan::changes(plan, about, &look)
    } else {
        plan::text(plan, about, sources, &look)
    }
}

/// Shows a plan that was kept.
fn kept(app: &App, args: &PlanArgs, path: &Path) -> Result<Exit, Failure> {
    let kept = saved::read(path)?;
    let opened = app.open()?;
    let about = about(&opened.session, None);
    match args.format {
        PlanFormat::Text => out::data(&text(app, args, &kept, &about, &opened.sources))?,
        PlanFormat::Markdown => out::data(&markdown::plan(&kept, &about))?,
        PlanFormat::Json => out::json(&json::plan(&kept, None))?,
    };
    if kept.is_blocked() {
        return Ok(blocked(&kept.notes));
    }
    Ok(if args.exit_code && !kept.is_empty() { Exit::PENDING } else { Exit::OK })
}

fn finish(
    app: &App,
    args: &PlanArgs,
    plan: &Plan,
    show: impl FnOnce(&Plan) -> Result<out::Reader, Failure>,
) -> Result<Exit, Failure> {
    show(plan)?;
    if plan.is_blocked() {
        return Ok(blocked(&plan.notes));
    }
    if let Some(path) = &args.out {
        saved::write(path, plan)?;
        let mut page = String::new();
        Line::new()
            .plain("Kept. To apply it: ")
            .text(Tone::Strong, &format!("fraktalia apply {}", path.display()))
            .write(&app.err, &mut page);
        out::talk(&page);
    }
    Ok(if args.exit_code && !plan.is_empty() { Exit::PENDING } else { Exit::OK })
}

/// What the planner is told besides the manifest.
pub fn options(args: &PlanningArgs) -> Options {
    Options {
        targets: args.target.iter().cloned().collect(),
        excludes: args.exclude.iter().cloned().collect(),
        allow_removals: args.allow_removals,
        ..Options::default()
    }
}
