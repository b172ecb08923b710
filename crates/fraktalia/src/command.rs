//! One file for each command; here is who does what.

mod adopt;
mod apply;
mod check;
mod cleanup;
mod doctor;
mod explain;
pub(crate) mod forward;
mod graph;
mod history;
mod homeserver;
pub(crate) mod init;
mod invite;
mod modes;
mod pages;
mod plan;
mod reset;
mod run;
mod saved;
mod status;
mod watch;

use crate::app::App;
use crate::cli::Command;
use crate::error::Failure;
use crate::exit::Exit;

/// Does what was asked.
pub fn run(app: &App, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => wait(init::run(app, &args)),
        Command::Check(args) => check::run(app, &args),
        Command::Plan(args) => wait(plan::run(app, &args)),
        Command::Apply(args) => wait(apply::apply(app, &args)),
        Command::Resume(args) => wait(apply::resume(app, &args)),
        Command::Rollback(args) => wait(apply::rollback(app, &args)),
        Command::Status(args) => wait(status::run(app, &args)),
        Command::Adopt(args) => wait(adopt::run(app, &args)),
        Command::History(args) => history::history(app, &args),
        Command::Show(args) => history::show(app, &args),
        Command::Explain(args) => wait(explain::run(app, &args)),
        Command::Graph(args) => wait(graph::run(app, &args)),
        Command::Forward(args) => wait(forward::run(app, &args)),
        Command::Watch(args) => wait(watch::run(app, &args)),
        Command::Modes(args) => wait(modes::run(app, &args)),
        Command::Invite(args) => wait(invite::run(app, &args)),
        Command::Reset(args) => wait(reset::run(app, &args)),
        Command::Cleanup(args) => wait(cleanup::run(app, &args)),
        Command::Doctor(args) => wait(doctor::run(app, &args)),
        Command::Schema => pages::schema(),
        Command::Completions(args) => pages::completions(&args),
        Command::Man(args) => pages::man(&args),
        Command::Reference(args) => pages::reference(&args),
    }
}

/// Runs a command that talks to systems.
fn wait(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|source| {
        Failure::Environment {
            what: format!("cannot start the runtime: {source}"),
            hint: "the process may have too few threads or files: see `ulimit -a`".into(),
        }
    })?;
    runtime.block_on(command)
}
