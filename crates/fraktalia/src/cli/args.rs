//! What each command takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;
use fraktalia_model::ResourceId;

use super::{Format, GraphFormat, OnFailure, PlanFormat, RunFormat, WithArgs};

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
    /// What is to be read besides.
    #[command(flatten)]
    pub with: WithArgs,
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
    /// All but this resource, fractal, room or network, and what cannot be done without it. May be given several times.
    #[arg(long, value_name = "ID")]
    pub exclude: Vec<String>,
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
    /// What is to be read besides.
    #[command(flatten)]
    pub with: WithArgs,
    /// Show a plan that was kept with `--out`, as it was made; no live system is asked.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["target", "exclude", "allow_removals", "refresh", "out"])]
    pub from: Option<PathBuf>,
    /// Show what changes and nothing else: not what was read, no counts, no findings.
    #[arg(long, conflicts_with = "format")]
    pub changes_only: bool,
    /// Columns of the text. Default: those of the terminal.
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..=140))]
    pub width: Option<u16>,
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
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["target", "exclude", "allow_removals"])]
    pub file: Option<PathBuf>,
    /// What it is about.
    #[command(flatten)]
    pub planning: PlanningArgs,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Put a line of your own on record with the run; `history` shows it and finds the run by it.
    #[arg(long, value_name = "TEXT", value_parser = note)]
    pub note: Option<String>,
    /// How it is carried out.
    #[command(flatten)]
    pub run: RunArgs,
}

/// A line that a journal may hold.
fn note(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err("write one line of at most 200 bytes".into());
    }
    Ok(text.into())
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
    /// Put a line of your own on record with what is taken back; `history` shows it and finds the run by it.
    #[arg(long, value_name = "TEXT", value_parser = note)]
    pub note: Option<String>,
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

/// `show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The run, by its name or the beginning or end of it; `last` for the last one.
    pub run: String,
    /// Show what it was to change and nothing else.
    #[arg(long, conflicts_with = "format")]
    pub changes_only: bool,
    /// Columns of the text. Default: those of the terminal.
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..=140))]
    pub width: Option<u16>,
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
