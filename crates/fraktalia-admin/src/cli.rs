//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};

/// The admin room: agents propose, operators approve in chat, fraktalia applies.
#[derive(Debug, Parser)]
#[command(
    name = "fraktalia-admin",
    version,
    max_term_width = 100,
    long_about = "The admin room: agents propose, operators approve in chat, fraktalia applies.\n\n\
        A member of the room that `admin_room` of the manifest names posts a fragment of a manifest. The plan comes as an \
        answer; an operator's own reaction to it decides. What is approved is written as a file, committed, and applied by \
        `fraktalia apply`, which has to be the same version. Talk goes to stderr; the room is where things are said.",
    after_help = "docs/guide/admin-room.md shows how to set it up, and what an agent that was taken over can do there."
)]
pub struct Cli {
    /// The manifest.
    #[arg(short = 'f', long, global = true, value_name = "FILE", env = "FRAKTALIA_MANIFEST", default_value = "fraktalia.yaml", value_hint = ValueHint::FilePath)]
    pub manifest: PathBuf,
    /// Where our own files live, as for `fraktalia`. Default: `$XDG_STATE_HOME/fraktalia/REALM`.
    #[arg(long, global = true, value_name = "DIR", env = "FRAKTALIA_STATE", value_hint = ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// The `fraktalia` command. Default: the one beside this program, or else the one on the PATH.
    #[arg(long, global = true, value_name = "PROGRAM", env = "FRAKTALIA_PROGRAM", value_hint = ValueHint::ExecutablePath)]
    pub program: Option<PathBuf>,
    /// Say more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sit in the room until it is ended; this is what happens without a command as well.
    Run,
    /// Trust the identity that a user has now. To be used when somebody's has changed, after asking them face to face;
    /// end the service first.
    Trust {
        /// The full id, `@name:server`.
        user: String,
    },
}
