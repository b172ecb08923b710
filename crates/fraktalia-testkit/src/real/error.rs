//! What can go wrong while installing, starting or talking to a real system.

use std::path::PathBuf;
use std::time::Duration;

/// A failure of the test bench itself, never of what is under test.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// Something that must be on the machine beforehand is not.
    #[error("{what} is needed and was not found\nhint: {hint}")]
    Missing {
        /// The thing in plain words.
        what: String,
        /// How to get it.
        hint: String,
    },
    /// A component has not been put into the cache yet.
    #[error("{component} is not in {}\nhint: run `cargo xtask install`", cache.display())]
    NotInstalled {
        /// Which component.
        component: String,
        /// The cache folder that was looked at.
        cache: PathBuf,
    },
    /// A command that we ran ended badly.
    #[error("{what} failed ({status})\n{tail}\nhint: the whole output is in {}", log.display())]
    Command {
        /// What the command was for.
        what: String,
        /// How it ended.
        status: String,
        /// Last lines of its output.
        tail: String,
        /// Where the rest is.
        log: PathBuf,
    },
    /// A child process ended before it was ready.
    #[error("{name} ended before it was ready ({status})\n{tail}")]
    Died {
        /// Which process.
        name: String,
        /// How it ended.
        status: String,
        /// Last lines of its log.
        tail: String,
    },
    /// Something expected did not come in time.
    #[error("{what} did not come within {} s\n{tail}", after.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// Last lines of the log, if there is one.
        tail: String,
    },
    /// A server answered, and not with what was asked for.
    #[error("{what}: HTTP {status}: {body}")]
    Answer {
        /// The request in plain words.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// No answer at all.
    #[error("{what}: {source}")]
    Http {
        /// The request in plain words.
        what: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A file or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// Shorthand of this module.
pub type Result<T> = std::result::Result<T, RealError>;

/// Adds "what was tried" to an I/O or HTTP error.
pub(crate) trait Context<T> {
    /// `what` in plain words, with the path or address.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| RealError::Io { what: what(), source })
    }
}

impl<T> Context<T> for std::result::Result<T, reqwest::Error> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| RealError::Http { what: what(), source })
    }
}

/// The last `lines` lines of a file, for error texts; empty when there is none.
pub(crate) fn tail(path: &std::path::Path, lines: usize) -> String {
    let text =
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
