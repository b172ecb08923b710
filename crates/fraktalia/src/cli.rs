//! The command line: what can be asked, with help that shows how.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

mod adopt;
mod args;
mod daily;
mod doctor;
mod formats;
mod history;
mod init;
mod watch;
mod with;

pub use adopt::{AdoptArgs, AdoptFormat};
pub use args::{
    ApplyArgs, CheckArgs, CompletionsArgs, ExplainArgs, ForwardArgs, GraphArgs, ManArgs, ModesArgs, PlanArgs,
    PlanningArgs, ReferenceArgs, ResumeArgs, RollbackArgs, RunArgs, ShowArgs, StatusArgs,
};
pub use daily::{CleanupArgs, InviteArgs, ResetArgs};
pub use doctor::DoctorArgs;
pub use formats::{Format, GraphFormat, LogFormat, OnFailure, PlanFormat, RunFormat};
pub use history::{HistoryArgs, HistoryFormat};
pub use init::{InitArgs, TokenSource};
pub use watch::{GitArgs, WatchArgs, WatchPolicy};
pub use with::{AsIf, WithArgs};

/// Agents as code: rooms, agents, workspaces and sandboxes from one manifest.
#[derive(Debug, Parser)]
#[command(
    name = "fraktalia",
    version,
    max_term_width = 100,
    long_about = "Agents as code: rooms, agents, workspaces and sandboxes from one manifest.\n\n\
        A manifest says which agents there are, in which Matrix rooms they live, and what they may do. `plan` compares \
        it with Synapse, OpenClaw, Docker and the disk, and shows what would change and why. `apply` does exactly that, \
        or takes all of it back. What is not ours is never touched.",
    after_help = "Data goes to stdout, talk to stderr. Colour follows NO_COLOR and CLICOLOR_FORCE. \
        Exit codes: `fraktalia help` and docs/reference/exit-codes.md.",
    after_long_help = EXAMPLES
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  fraktalia check                     is the manifest right? asks no live system
  fraktalia plan                      what would change, and why
  fraktalia apply                     shows the plan, asks, applies, verifies
  fraktalia plan --out week.plan && fraktalia apply week.plan
  fraktalia status                    in sync or drifted
  fraktalia rollback                  take the last run back

Data goes to stdout, talk to stderr. Colour follows NO_COLOR and CLICOLOR_FORCE.
Exit codes: 0 done, 1 failure, 2 usage, 3 changes pending (with --exit-code), 10 manifest invalid,
11 a system could not be observed, 12 saved plan stale, 13 unfinished run, 14 locked, 15 blocked,
16 doctor found a failure, 17 the audit was changed, 20 failed and rolled back, 21 rollback incomplete, 22 applied but not converged.";

/// What holds for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Common {
    /// The manifest.
    #[arg(short = 'f', long, global = true, value_name = "FILE", env = "FRAKTALIA_MANIFEST", default_value = "fraktalia.yaml", value_hint = ValueHint::FilePath)]
    pub manifest: PathBuf,
    /// Where our own files live: record, journals, backups. Default: `$XDG_STATE_HOME/fraktalia/REALM`.
    #[arg(long, global = true, value_name = "DIR", env = "FRAKTALIA_STATE", value_hint = ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// Say more: steps, resource ids and reasons; twice also what is said to live systems.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a manifest: look at what is there, ask for the rest.
    #[command(after_long_help = init::HELP)]
    Init(InitArgs),
    /// Check the manifest alone; asks no live system.
    Check(CheckArgs),
    /// Show what would change, and why; changes nothing.
    #[command(after_long_help = "Examples:
  fraktalia plan
  fraktalia plan --target gardener         only the fractal `gardener` and what it needs
  fraktalia plan --exclude lounge          all but the room `lounge`
  fraktalia plan --out week.plan           keep it for `fraktalia apply week.plan`
  fraktalia plan --from week.plan          show it again; asks no live system
  fraktalia plan --with fractals.d/cook.yaml=/tmp/cook.yaml
                                           as if that file stood there
  fraktalia plan --exit-code               3 when something would change, for scripts
  fraktalia plan --format markdown         a comment for a pull request")]
    Plan(PlanArgs),
    /// Make it so: plan, ask, apply, verify; on failure take everything back.
    #[command(after_long_help = "Examples:
  fraktalia apply
  fraktalia apply --yes                    do not ask, for scripts
  fraktalia apply week.plan                a saved plan; refused when anything it rests on has changed
  fraktalia apply --target matrix/room/lounge

The whole plan is printed before anything happens, with --yes too: it belongs into the log of a run that nobody
watches. Only `apply FILE --yes` keeps to a summary and what hurts, since that plan was read when it was made;
-v prints it all the same.

Ctrl-C once: what is in flight is finished, then all is taken back. Twice: it stops at once, and
`fraktalia resume` or `fraktalia rollback` goes on from there.")]
    Apply(ApplyArgs),
    /// Finish a run that was interrupted.
    Resume(ResumeArgs),
    /// Take a run back: the unfinished one, or an earlier one as far as nothing else has changed.
    #[command(after_long_help = "Examples:
  fraktalia rollback                       the unfinished run, or else the last one
  fraktalia rollback 20260314-1502         an earlier one, by the beginning or end of its name")]
    Rollback(RollbackArgs),
    /// In sync or drifted, resource by resource.
    Status(StatusArgs),
    /// Take what already lives into the manifest: all of it, or one thing.
    #[command(after_long_help = adopt::HELP)]
    Adopt(AdoptArgs),
    /// Earlier runs, and what was decided in the admin room.
    #[command(after_long_help = history::HELP)]
    History(HistoryArgs),
    /// One run: what it was to do, and what became of each step.
    Show(ShowArgs),
    /// Why a resource is planned as it is.
    #[command(after_long_help = "Examples:
  fraktalia explain matrix/room/gardener
  fraktalia explain gardener               everything of the fractal `gardener`")]
    Explain(ExplainArgs),
    /// The ordered steps of a plan as a picture.
    #[command(after_long_help = "Examples:
  fraktalia graph > plan.svg
  fraktalia graph --format mermaid
  fraktalia graph --format dot | dot -Tpdf > plan.pdf")]
    Graph(GraphArgs),
    /// The helper beside a Docker engine, in the foreground: it keeps networks closed and carries forwarded ports.
    #[command(
        after_long_help = "`apply` brings it to each host as a container and tells it what to hold. Where it is to run as a service \
        instead (`helper: service` at the host), this is what the service runs; examples/systemd has the unit. It asks \
        nobody anything: what it was told last is in its directory, and is held again when it starts.

Examples:
  fraktalia forward --realm home
  fraktalia forward --realm home --metrics 127.0.0.1:9464"
    )]
    Forward(ForwardArgs),
    /// Stay, and keep things as the manifest says, or say that they are not.
    #[command(after_long_help = watch::HELP)]
    Watch(WatchArgs),
    /// Make files readable that an agent's tools left to their owner alone: 0600 becomes 0664.
    #[command(after_long_help = "Examples:
  fraktalia modes                          once, in every workspace of the manifest
  fraktalia modes gardener -v              one workspace, and which files
  fraktalia modes --watch                  until it is ended; examples/systemd has the unit

Needed only where a sandbox's image does not care for it itself; docs/guide/file-modes.md says when. Run it as the user
who owns the workspaces' files. Regular files of that owner with mode 0600 exactly are widened, and nothing else. Keys
stay as they are: .ssh, .gnupg, .git and what is in them, *.key, *.pem, id_* and the like, directories that only their
owner may enter, and whatever begins as a private key does. No link is followed.")]
    Modes(ModesArgs),
    /// Invite a friend: a registration token for one account, and a text to send.
    #[command(after_long_help = daily::INVITE)]
    Invite(InviteArgs),
    /// Empty a room: its media, its history, and what agents remember of it.
    #[command(after_long_help = daily::RESET)]
    Reset(ResetArgs),
    /// List what is left over and used by nothing, and remove it.
    #[command(after_long_help = daily::CLEANUP)]
    Cleanup(CleanupArgs),
    /// Say what is wrong with the systems and the files, and how to cure it.
    #[command(after_long_help = doctor::HELP)]
    Doctor(DoctorArgs),
    /// The JSON Schema of the manifest, for editors.
    #[command(
        after_long_help = "Put this into the first line of a manifest, and editors with a YAML language server \
        complete from it:\n  # yaml-language-server: $schema=./manifest.schema.json"
    )]
    Schema,
    /// Completions for a shell.
    Completions(CompletionsArgs),
    /// Manual pages.
    Man(ManArgs),
    /// A generated page of the reference, for the project's own documentation.
    #[command(hide = true)]
    Reference(ReferenceArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_manifest_may_be_named_before_or_after_the_command() {
        for line in [["fraktalia", "-f", "x.yaml", "plan"], ["fraktalia", "plan", "-f", "x.yaml"]] {
            assert_eq!(Cli::parse_from(line).common.manifest, PathBuf::from("x.yaml"));
        }
    }
}
