//! The command line: what can be asked, with help that shows how.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use fraktalia_model::ResourceId;

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
20 failed and rolled back, 21 rollback incomplete, 22 applied but not converged.";

const WATCH: &str = "Examples:
  fraktalia watch                          says what drifts, and changes nothing
  fraktalia watch --policy safe            does what nobody notices and removes nothing
  fraktalia watch --policy full --every 1m
  fraktalia watch --log-format json | jq

It looks whenever the manifest or a file that it names is saved, whenever one of the systems says that something
happened, by the clock, and on SIGHUP. What happened only wakes it; what it does follows from what it then sees. A
manifest with errors is said once, and the last good one stays in force. What cannot be taken back is never done
unattended. A plan that fails three times is left alone until it changes, or until SIGHUP.

SIGTERM or Ctrl-C once: what is in flight is finished and taken back, and it ends. Twice: it stops at once, and
`fraktalia resume` or `fraktalia rollback` goes on from there. examples/systemd has the unit.";

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
    /// Check the manifest alone; asks no live system.
    Check(CheckArgs),
    /// Show what would change, and why; changes nothing.
    #[command(after_long_help = "Examples:
  fraktalia plan
  fraktalia plan --target gardener         only the fractal `gardener` and what it needs
  fraktalia plan --out week.plan           keep it for `fraktalia apply week.plan`
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
    /// Earlier runs.
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
    #[command(after_long_help = WATCH)]
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

/// `forward`
#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// The realm that it works for. Default: the manifest's.
    #[arg(long)]
    pub realm: Option<String>,
    /// Where it keeps what it was told. Default: `/var/lib/fraktalia/REALM`.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// The socket on which it is told. Default: `/run/fraktalia/REALM.sock`.
    #[arg(long, value_name = "SOCKET", value_hint = ValueHint::FilePath)]
    pub control: Option<PathBuf>,
    /// The socket of the Docker engine that it follows.
    #[arg(long, value_name = "SOCKET", default_value = "/var/run/docker.sock", value_hint = ValueHint::FilePath)]
    pub docker: PathBuf,
    /// Where Prometheus may read its metrics.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Put the question that comes on stdin to the helper that runs, and print its answer.
    #[arg(long, hide = true)]
    pub ask: bool,
}

/// `watch`
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// How far it goes by itself.
    #[arg(long, value_enum, default_value_t)]
    pub policy: WatchPolicy,
    /// Look at least this often: `30s`, `5m`, `1h`.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = span)]
    pub every: Duration,
    /// Where others may read how it is: `/healthz`, `/readyz`, `/metrics`, `/status`. A port alone is one of this machine.
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = listen_at)]
    pub listen: Option<SocketAddr>,
    /// Shape of what is said.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// `modes`
#[derive(Debug, Args)]
pub struct ModesArgs {
    /// The fractals whose workspaces are meant. Default: all.
    #[arg(value_name = "FRACTAL")]
    pub fractals: Vec<String>,
    /// Stay, and look again whenever something changes, and once a minute.
    #[arg(short, long)]
    pub watch: bool,
    /// Work as root, for the owner that the manifest gives each workspace.
    #[arg(long)]
    pub as_root: bool,
}

/// `check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Shape of the findings.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What a plan is about.
#[derive(Clone, Debug, Default, Args)]
pub struct PlanningArgs {
    /// Only this resource, fractal, room or network, with what it needs. May be given several times.
    #[arg(long, value_name = "ID")]
    pub target: Vec<String>,
    /// Let the plan remove more than `policy.max_removals` allows.
    #[arg(long)]
    pub allow_removals: bool,
    /// Read every system afresh; believe no cache.
    #[arg(long)]
    pub refresh: bool,
}

/// `plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// What it is about.
    #[command(flatten)]
    pub planning: PlanningArgs,
    /// Keep the plan in a file for `apply FILE`. Readable by you alone.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// End with 3 when something would change.
    #[arg(long)]
    pub exit_code: bool,
    /// Shape of the plan.
    #[arg(long, value_enum, default_value_t)]
    pub format: PlanFormat,
}

/// How a run is carried out.
#[derive(Clone, Copy, Debug, Args)]
pub struct RunArgs {
    /// When a step fails: take everything back, or leave the run open for `resume`.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub on_failure: OnFailure,
    /// Shape of what is said while it runs: `jsonl` writes one event a line to stdout.
    #[arg(long, value_enum, default_value_t)]
    pub format: RunFormat,
}

/// `apply`
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A plan that was kept with `plan --out`.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["target", "allow_removals"])]
    pub file: Option<PathBuf>,
    /// What it is about.
    #[command(flatten)]
    pub planning: PlanningArgs,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// How it is carried out.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `resume`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// How it is carried out.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `rollback`
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The run, by its name or the beginning or end of it [default: the unfinished one, or else the last].
    pub run: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Shape of what is said while it runs.
    #[arg(long, value_enum, default_value_t)]
    pub format: RunFormat,
}

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// End with 3 when something is not in sync.
    #[arg(long)]
    pub exit_code: bool,
    /// Read every system afresh; believe no cache.
    #[arg(long)]
    pub refresh: bool,
    /// Shape of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// At most so many, the latest.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub limit: usize,
    /// Shape of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The run, by its name or the beginning or end of it; `last` for the last one.
    pub run: String,
    /// Shape of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A resource id such as `matrix/room/lab`, or the key of a fractal, room or network.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Shape of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl ExplainArgs {
    /// The id, when it is one.
    pub fn resource(&self) -> Option<ResourceId> {
        self.id.parse().ok()
    }
}

/// `graph`
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// What it is about.
    #[command(flatten)]
    pub planning: PlanningArgs,
    /// A plan that was kept with `plan --out`; no live system is asked then.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plan: Option<PathBuf>,
    /// Kind of picture.
    #[arg(long, value_enum, default_value_t)]
    pub format: GraphFormat,
}

/// `completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell.
    pub shell: Shell,
}

/// `man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write one page for each command into this directory, instead of the main page to stdout.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}

/// `reference`
#[derive(Debug, Args)]
pub struct ReferenceArgs {
    /// Which page.
    pub page: crate::docs::Page,
}

/// Text for people, or JSON for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Shapes of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    #[default]
    Text,
    /// A versioned document for programs.
    Json,
    /// A comment for a pull request.
    Markdown,
}

/// Shapes of what is said during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RunFormat {
    /// For people.
    #[default]
    Text,
    /// One event a line, for programs.
    Jsonl,
}

/// Kinds of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Drawn here; opens in any browser.
    #[default]
    Svg,
    /// For Markdown that draws Mermaid.
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// What to do when a step fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnFailure {
    /// Take everything back.
    #[default]
    Rollback,
    /// Leave the run open.
    Stop,
}

impl From<OnFailure> for fraktalia_engine::OnFailure {
    fn from(wish: OnFailure) -> Self {
        match wish {
            OnFailure::Rollback => Self::RollBack,
            OnFailure::Stop => Self::Stop,
        }
    }
}

/// How far a watch goes by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WatchPolicy {
    /// It says what it sees, and changes nothing.
    #[default]
    Report,
    /// It does what nobody notices and what removes nothing.
    Safe,
    /// It does all that can be taken back.
    Full,
}

impl From<WatchPolicy> for fraktalia_engine::watch::Policy {
    fn from(wish: WatchPolicy) -> Self {
        match wish {
            WatchPolicy::Report => Self::Report,
            WatchPolicy::Safe => Self::Safe,
            WatchPolicy::Full => Self::Full,
        }
    }
}

/// Shapes of what a service says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for each thing, for people.
    #[default]
    Text,
    /// A JSON document a line, for programs.
    Json,
}

/// `9465`, `0.0.0.0:9465`
fn listen_at(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| "write a port, or an address with one: `9465`, `10.0.0.5:9465`".into())
}

/// `30s`, `5m`, `1h`
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and s, m or h: `30s`, `5m`, `1h`".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(60 * 60),
        _ => None,
    };
    // Sooner than a second would be a loop, and later than a day no watch.
    match seconds.ok_or_else(wrong)? {
        seconds @ 1..=86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err("between 1s and 24h".into()),
    }
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
    fn a_port_alone_is_one_of_this_machine() {
        assert_eq!(listen_at("9465"), Ok("127.0.0.1:9465".parse().unwrap()));
        assert_eq!(listen_at("[::]:80"), Ok("[::]:80".parse().unwrap()));
        assert!(listen_at("localhost").is_err());
    }

    #[test]
    fn a_span_of_time_has_a_unit_and_is_not_endless() {
        assert_eq!(span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(span("2h"), Ok(Duration::from_hours(2)));
        for wrong in ["", "5", "m", "5d", "-1s", "0s", "25h", "18446744073709551615h", "5\u{fc}"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_manifest_may_be_named_before_or_after_the_command() {
        for line in [["fraktalia", "-f", "x.yaml", "plan"], ["fraktalia", "plan", "-f", "x.yaml"]] {
            assert_eq!(Cli::parse_from(line).common.manifest, PathBuf::from("x.yaml"));
        }
    }
}
