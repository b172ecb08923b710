//! `cargo xtask bench`: figures, side by side with what others have made, in one run on one machine.

mod fleet;
mod forward;
mod isolation;
mod process;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Subcommand;

use crate::error::TaskError;

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Forwarded ports: ours, `HAProxy`, nginx, socat, docker-proxy and the kernel; writes docs/bench/forward.md
    Forward {
        /// How often each is measured; the middle one counts
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// What gets through while the rules of closed networks are exchanged under load; writes docs/bench/isolation.md
    Isolation {
        /// How often it is measured
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// A hundred fractals, a thousand: ours, Terraform, Ansible and bare HTTP; writes docs/bench/fleet.md
    Fleet(fleet::Ask),
    /// How soon a watch plans what was saved, and says what somebody changed by hand; writes docs/bench/watch.md
    Watch(watch::Ask),
    /// Runs a program and writes down what it took
    #[command(hide = true)]
    MeasureOne(fleet::measure::MeasureOne),
    /// The server in the container
    #[command(hide = true)]
    ForwardServer {
        /// Where it listens
        listen: SocketAddr,
    },
    /// The clients, which print what they measured as JSON
    #[command(hide = true)]
    ForwardClient(forward::client::Ask),
}

/// Measures.
pub async fn run(bench: Bench) -> Result<(), TaskError> {
    match bench {
        Bench::Forward { rounds } => forward::run(rounds.max(1)),
        Bench::Isolation { rounds } => isolation::run(rounds.max(1)),
        Bench::Fleet(ask) => fleet::run(&ask).await,
        Bench::Watch(ask) => watch::run(&ask).await,
        Bench::MeasureOne(ask) => fleet::measure::one(&ask),
        Bench::ForwardServer { listen } => forward::server::run(listen).await,
        Bench::ForwardClient(ask) => forward::client::run(&ask),
    }
}

/// Builds a program as it ships, by these arguments of `cargo build`.
fn build_release(arguments: &[&str]) -> Result<PathBuf, TaskError> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--message-format", "json-render-diagnostics", "--quiet", "--release"])
        .args(arguments);
    let printed = forward::output(build.stderr(Stdio::inherit()))?;
    let messages = cargo_metadata::Message::parse_stream(printed.as_bytes());
    let program = messages.filter_map(Result::ok).find_map(|message| match message {
        cargo_metadata::Message::CompilerArtifact(artifact) => artifact.executable,
        _ => None,
    });
    program.map(PathBuf::from).ok_or_else(|| TaskError::Found("cargo build made no program".to_owned()))
}

/// What figures depend on.
fn machine() -> Vec<(String, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        ("processor".to_owned(), format!("{}, {cores} cores", model.trim_start_matches(['\t', ' ', ':']))),
        ("kernel".to_owned(), read("/proc/sys/kernel/osrelease").trim().to_owned()),
        // What measures and what is measured are part of it.
        (
            "load at the end".to_owned(),
            read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(", "),
        ),
    ]
}
