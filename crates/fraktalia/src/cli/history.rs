//! `history`: earlier runs, and what the desk of the admin room wrote down about them.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// What `history --help` says at its end.
pub(super) const HELP: &str = "Examples:
  fraktalia history
  fraktalia history -n 5 --format json
  fraktalia history --verify               was the audit of the admin room changed? 17 when it was
  fraktalia history --export audit.jsonl   the audit and the runs, one JSON document a line

What the desk of the admin room wrote down stands among the runs: who proposed, decided and ran what, with the case and
the events in the room. Each line of the audit holds the hash of the one before it, and `--verify` finds what was
changed, inserted, moved, removed or cut off. It also looks whether each run that the audit calls applied has a journal.";

/// `history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// At most so many, the latest.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub limit: usize,
    /// Only runs that were begun or taken back with this note.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Say whether the audit of the admin room is as it was written; end with 17 when it is not.
    #[arg(long, conflicts_with_all = ["note", "export"])]
    pub verify: bool,
    /// Write the whole audit and all runs into a file, one JSON document a line.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "note")]
    pub export: Option<PathBuf>,
    /// Shape of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: HistoryFormat,
}

/// Shapes of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HistoryFormat {
    /// For people.
    #[default]
    Text,
    /// The runs, as one document for programs.
    Json,
    /// The whole audit and all runs, one document a line.
    Jsonl,
}
