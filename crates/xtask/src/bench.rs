//! `cargo xtask bench`: figures, side by side with what others have made, in one run on one machine.

mod forward;

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
        Bench::ForwardServer { listen } => forward::server::run(listen).await,
        Bench::ForwardClient(ask) => forward::client::run(&ask),
    }
}
