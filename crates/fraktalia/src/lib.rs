//! The `fraktalia` command: arguments, wiring of the providers, rendering, exit codes.
//!
//! This is the only crate that knows all providers, and the only one that prints. It is a library besides its thin
//! `main`, so that the reference pages are generated from the same definitions that run.

mod app;
pub mod cli;
mod command;
pub mod docs;
pub mod error;
pub mod exit;
mod link;
mod out;
pub mod registry;
pub mod render;

use std::process::ExitCode;

use clap::Parser;

use app::App;
use cli::Cli;
use exit::Exit;
use render::look::{Detail, Look, Stream};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let detail = if cli.common.verbose > 0 { Detail::Full } else { Detail::Brief };
    let look = Look::of(Stream::Err, detail);
    // Whoever reads the log of a service did not ask for `-v`.
    let talk = if matches!(cli.command, cli::Command::Forward(_)) { Some("fraktalia=info") } else { None };
    trace(cli.common.verbose, talk);
    match command::run(&App::new(cli.common, detail), cli.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let mut page = String::new();
            render::note::write_failure(&failure, &look, &mut page);
            out::talk(&page);
            failure.exit().into()
        }
    }
}

/// Help and version go to stdout and are no error; everything else is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is no reason to fail here either.
    let _ = error.print();
    if error.use_stderr() { Exit::USAGE.into() } else { Exit::OK.into() }
}

/// What is said to live systems, for `-vv`; `FRAKTALIA_LOG` asks for more, and `usual` is said anyway.
fn trace(verbose: u8, usual: Option<&str>) {
    use tracing_subscriber::EnvFilter;
    let wanted = std::env::var("FRAKTALIA_LOG").ok();
    let level = if verbose < 2 { usual } else { Some("fraktalia=debug") };
    if level.is_none() && wanted.is_none() {
        return;
    }
    let filter = wanted
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| EnvFilter::new(level.unwrap_or("fraktalia=debug")));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_ansi(ansi).with_env_filter(filter).with_writer(std::io::stderr).init();
}
