//! What can go wrong in a command, the exit code it ends with, and what to do about it.

use std::path::PathBuf;

use fraktalia_engine::lock::LockError;
use fraktalia_engine::session::SessionError;
use fraktalia_model::{Note, Notes, Sources};

use crate::exit::Exit;

/// A command that could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line makes no sense here.
    #[error("{what}")]
    Usage {
        /// What is wrong with it.
        what: String,
        /// What to write instead.
        hint: String,
    },
    /// The manifest has errors.
    #[error("{}", found(.notes, .path))]
    Manifest {
        /// The file that was named.
        path: PathBuf,
        /// All findings.
        notes: Notes,
        /// The text of the files, to show findings in.
        sources: Sources,
    },
    /// The engine could not do it.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The file system said no.
    #[error("cannot {doing} {path}")]
    File {
        /// `read`, `write`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that is no saved plan.
    #[error("{path} is not a plan that this fraktalia can apply")]
    SavedPlan {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process lacks something it needs.
    #[error("{what}")]
    Environment {
        /// What is missing.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// A policy forbids it, or what it is about is not ours or cannot become it.
    #[error("{what}")]
    Forbidden {
        /// What, and why not.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// A system did not do what a command beside the plan asked of it.
    #[error("{what}")]
    System {
        /// What failed, and why.
        what: String,
        /// What to do next.
        hints: Vec<String>,
        /// The code that the program ends with.
        exit: Exit,
    },
    /// Data could not be written to stdout.
    #[error("cannot write the output")]
    Output(#[source] std::io::Error),
    /// The question was answered with no.
    #[error("nothing was changed")]
    Declined,
}

fn found(notes: &[Note], path: &std::path::Path) -> String {
    let errors = notes.iter().filter(|note| note.severity == fraktalia_model::Severity::Error).count();
    let s = if errors == 1 { "" } else { "s" };
    format!("{} has {errors} error{s}", path.display())
}

impl Failure {
    /// Wrong usage.
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: hint.into() }
    }

    /// A system could not be asked; nothing was changed.
    pub fn unseen(error: &dyn std::error::Error, hint: Option<String>) -> Self {
        Self::System { what: chain(error), hints: hint.into_iter().collect(), exit: Exit::OBSERVE }
    }

    /// The code that the program ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::USAGE,
            Self::Manifest { .. } => Exit::MANIFEST,
            Self::Session(error) => session_exit(error),
            Self::SavedPlan { .. } => Exit::STALE,
            Self::Forbidden { .. } => Exit::BLOCKED,
            Self::System { exit, .. } => *exit,
            Self::File { .. } | Self::Environment { .. } | Self::Output(_) | Self::Declined => Exit::FAILURE,
        }
    }

    /// What to do next, one line each.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Usage { hint, .. } | Self::Environment { hint, .. } | Self::Forbidden { hint, .. } => {
                vec![hint.clone()]
            }
            Self::System { hints, .. } => hints.clone(),
            Self::SavedPlan { .. } => vec!["make a new one with `fraktalia plan --out FILE`".into()],
            Self::Session(error) => session_hints(error),
            Self::Manifest { .. } | Self::File { .. } | Self::Output(_) | Self::Declined => Vec::new(),
        }
    }

    /// The findings that are behind it.
    pub fn notes(&self) -> &[Note] {
        match self {
            Self::Manifest { notes, .. }
            | Self::Session(SessionError::Lowering(notes) | SessionError::Blocked(notes)) => notes,
            _ => &[],
        }
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn session_exit(error: &SessionError) -> Exit {
    match error {
        SessionError::Lowering(_) => Exit::MANIFEST,
        SessionError::Observe(_) => Exit::OBSERVE,
        SessionError::Blocked(notes) => blocked(notes),
        SessionError::Stale(_) => Exit::STALE,
        SessionError::Unfinished(_) => Exit::UNFINISHED,
        SessionError::Lock(LockError::Held { .. }) => Exit::LOCKED,
        SessionError::NoRun(_) => Exit::USAGE,
        SessionError::ChangedSince { .. } => Exit::BLOCKED,
        _ => Exit::FAILURE,
    }
}

/// The code of a plan that is not applied.
pub fn blocked(notes: &[Note]) -> Exit {
    let mut errors = notes.iter().filter(|note| note.severity == fraktalia_model::Severity::Error);
    if errors.all(|note| note.code == "plan.incomplete") { Exit::OBSERVE } else { Exit::BLOCKED }
}

fn session_hints(error: &SessionError) -> Vec<String> {
    match error {
        SessionError::Observe(failed) => failed
            .iter()
            .filter_map(|(system, error)| Some(format!("{system}: {}", error.hint.as_ref()?)))
            .collect(),
        SessionError::Stale(_) => vec!["plan again, read it, and apply that one".into()],
        SessionError::Unfinished(_) => {
            vec!["`fraktalia resume` finishes it, `fraktalia rollback` takes it back".into()]
        }
        SessionError::Lock(LockError::Held { .. }) => {
            vec!["wait until it has ended; the lock goes with the process that holds it".into()]
        }
        SessionError::ChangedSince { .. } => {
            vec!["change the manifest to what you want, and apply that".into()]
        }
        SessionError::Audit(_) => vec!["nothing was changed".into()],
        SessionError::State { .. } => vec!["--state names another directory".into()],
        _ => Vec::new(),
    }
}
