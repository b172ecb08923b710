//! The watch against real systems: what it hears, what it says and does, how it ends. Latencies are printed, not judged.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what is measured is for whoever reads the log"
)]

mod watch {
    pub mod drift;
    pub mod git;
    pub mod notify;
    pub mod policy;
    pub mod running;
    pub mod saved;
    pub mod service;
}
