//! The project's menu: `cargo xtask <task>`.

mod bench;
mod demo;
mod docs;
mod error;
mod install;
mod layers;
mod say;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fraktalia_testkit::real::Cache;

use error::TaskError;

/// What can be done in this repository, beyond cargo's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Menu {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Watch fraktalia at work: real Synapse, real OpenClaw, two agents that answer in their rooms
    Demo {
        /// Leave everything running until Ctrl-C, and tell how to look around
        #[arg(long)]
        keep: bool,
        /// The admin room instead: an agent proposes another one in an encrypted room, and Ana approves it there
        #[arg(long, conflicts_with_all = ["keep", "svg"])]
        admin_room: bool,
        /// Draw the steps of its plan into this file, as `docs/images/plan.svg` shows them
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Run every test, those against the real systems included
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Put the real systems into the cache folder (`.cache`, or $`FRAKTALIA_CACHE`)
    Install {
        /// The small Debian image as well (slow; some tests of sandboxes want it)
        #[arg(long)]
        debian: bool,
    },
    /// Measure side by side with what others have made
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Check that no crate depends on one that it must not know
    CheckLayers,
    /// Write the reference pages that are generated from the program
    Docs {
        /// Only say whether they are up to date
        #[arg(long)]
        check: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Menu::parse().task).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(task: Task) -> Result<(), TaskError> {
    match task {
        Task::Demo { admin_room: true, .. } => demo::admin_room(&Cache::locate()).await,
        Task::Demo { keep, svg, .. } => demo::run(&Cache::locate(), keep, svg.as_deref()).await,
        Task::Test { filter } => test::run(&Cache::locate(), filter.as_deref()).await,
        Task::Install { debian } => install::run(&Cache::locate(), debian),
        Task::Bench(bench) => bench::run(bench).await,
        Task::CheckLayers => layers::run(),
        Task::Docs { check } => docs::run(check),
    }
}
