//! Why a task ended badly.

use std::path::PathBuf;

use fraktalia_testkit::real::RealError;

/// A task that did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The real systems could not be installed or started.
    #[error(transparent)]
    Real(#[from] RealError),
    /// The workspace could not be read.
    #[error("cargo metadata: {0}")]
    Metadata(#[from] cargo_metadata::Error),
    /// A program could not be started, or a file not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program ended badly; it has said why itself.
    #[error("{what} ended with {status}")]
    Ended {
        /// The command line, in short.
        what: String,
        /// How it ended.
        status: String,
    },
    /// The check found something.
    #[error("{0}")]
    Found(String),
    /// Generated pages are not what the program would write now.
    #[error("out of date: {}\nhint: run `cargo xtask docs` and commit the result", list(.0))]
    OutOfDate(Vec<PathBuf>),
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

/// Adds "what was tried" to an I/O error.
pub trait Context<T> {
    /// `what` in plain words, with the path.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, TaskError>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, TaskError> {
        self.map_err(|source| TaskError::Io { what: what(), source })
    }
}
