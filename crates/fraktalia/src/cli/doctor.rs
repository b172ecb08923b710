//! `doctor`: what is looked at, and whether it is mended.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::Format;

/// What `doctor --help` says at its end.
pub(super) const HELP: &str = "Examples:
  fraktalia doctor                         what is well, what is not, and what to do about it
  fraktalia doctor --fix                   mends what is safe to mend; asks first
  fraktalia doctor --format json | jq '.checks[] | select(.standing == \"failure\")'

All systems are asked at once, each for no longer than 20 seconds; one that is away hides nothing of the others. Each
check is ok, a warning, a failure, or not checked, with what is the case and a command to paste or an edit to make.
Ends with 16 when there is a failure, and with 0 otherwise: warnings are for people.

--fix narrows the permissions of our own files and of secrets that the manifest names, lifts the rate limits of our own
user and of the bot, and removes what killed runs left behind. It says each thing that it does, and touches nothing else.

What differs from the manifest is not said here: that is what `fraktalia plan` says.";

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Mend what is safe to mend, and look again.
    #[arg(long)]
    pub fix: bool,
    /// Do not ask.
    #[arg(short, long, requires = "fix")]
    pub yes: bool,
    /// Synapse's own settings, where they are not in one of the usual places.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub homeserver_yaml: Option<PathBuf>,
    /// Shape of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
