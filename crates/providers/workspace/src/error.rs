//! What goes wrong with files, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use fraktalia_engine::{ObserveError, StepError};
use rustix::io::Errno;

/// Something that could not be done to a file or directory.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The system said no.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried: `write`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Something is there that we never touch.
    #[error("{} is {what}, and is left alone", path.display())]
    Odd {
        /// Where.
        path: PathBuf,
        /// What it is: `a symbolic link`.
        what: String,
    },
    /// It is not what it was when the plan was made.
    #[error("{} {what} since the plan was made", path.display())]
    Changed {
        /// What.
        path: PathBuf,
        /// How: `appeared`, `changed`, `disappeared`.
        what: &'static str,
    },
}

impl HostError {
    /// The system said no.
    pub fn io(what: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { what, path: path.into(), source: source.into() }
    }

    /// Something is there that we never touch.
    pub fn odd(path: &Path, what: &str) -> Self {
        Self::Odd { path: path.into(), what: what.into() }
    }

    /// It is not what it was.
    pub fn changed(path: &Path, what: &'static str) -> Self {
        Self::Changed { path: path.into(), what }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Odd { what, .. } if what.contains("symbolic link") => Some(
                "remove the link, or name the real directory in `openclaw.workspaces`: links are not followed, because \
                 the agent could make them point anywhere"
                    .into(),
            ),
            Self::Odd { .. } => Some("move it out of the way".into()),
            Self::Changed { .. } => Some("plan again".into()),
            Self::Io { source, path, .. } => io_hint(source, path),
        }
    }
}

fn io_hint(source: &io::Error, path: &Path) -> Option<String> {
    let path = path.display();
    Some(match Errno::from_io_error(source)? {
        Errno::NOSPC | Errno::DQUOT => format!("make room on the file system of {path}"),
        Errno::ROFS => format!("the file system of {path} is mounted read-only: mount it for writing"),
        Errno::PERM | Errno::ACCESS => {
            format!(
                "run fraktalia as root or as the owner of {path}: only root may give files to another user"
            )
        }
        Errno::NOSYS => {
            "this needs Linux 5.6 or later: without openat2 a workspace cannot be written safely".into()
        }
        _ => return None,
    })
}

impl From<HostError> for StepError {
    /// For failures that changed nothing.
    fn from(error: HostError) -> Self {
        let hint = error.hint();
        let refused = Self::refused(error.to_string());
        match hint {
            Some(hint) => refused.with_hint(hint),
            None => refused,
        }
    }
}

impl From<HostError> for ObserveError {
    fn from(error: HostError) -> Self {
        let hint = error.hint();
        let failed = Self::new(error.to_string());
        match hint {
            Some(hint) => failed.with_hint(hint),
            None => failed,
        }
    }
}
