//! `cargo xtask bench`: figures, side by side with what others have made, in one run on one machine.

mod forward;
mod isolation;

use std::net::SocketAddr;

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
        Bench::ForwardServer { listen } => forward::server::run(listen).await,
        Bench::ForwardClient(ask) => forward::client::run(&ask),
    }
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
