//! What can go wrong with a repository, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Something that could not be had from a repository.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no program `git`, or it cannot be started.
    #[error("the program `git` cannot be run")]
    Program(#[source] io::Error),
    /// It ended with an error.
    #[error("cannot {what}: {said}")]
    Failed {
        /// What it was to do.
        what: String,
        /// Its own words.
        said: String,
    },
    /// It did not end.
    #[error("cannot {what}: not done within {} s", after.as_secs())]
    TimedOut {
        /// What it was to do.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The remote answers, and has no such branch.
    #[error("there is no branch `{branch}` at {remote}")]
    NoBranch {
        /// Which branch.
        branch: String,
        /// Where.
        remote: String,
    },
    /// A commit that is not used, whatever its manifest says.
    #[error("commit {} is refused: {why}", super::short(commit))]
    Refused {
        /// Which.
        commit: String,
        /// Why.
        why: String,
        /// What to do about it.
        hint: String,
    },
    /// Another process follows the same branch with the same files.
    #[error("another process uses the clones in {0}")]
    InUse(PathBuf),
    /// The file system said no.
    #[error("cannot {doing} {path}")]
    File {
        /// `make`, `rename`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl GitError {
    pub(super) fn refused(commit: &str, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { commit: commit.into(), why: why.into(), hint: hint.into() }
    }

    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Program(_) => "install git 2.34 or newer".into(),
            Self::Failed { .. } | Self::TimedOut { .. } => {
                "try it by hand, as the user that runs this: `git ls-remote URL`; nobody is asked for a password or \
                 a host key here"
                    .into()
            }
            Self::NoBranch { .. } => "the last good commit stays in force; push the branch again, or name another".into(),
            Self::Refused { hint, .. } => hint.clone(),
            Self::InUse(_) => "end the other one, or give this one a state directory of its own: --state".into(),
            Self::File { .. } => return None,
        })
    }
}
