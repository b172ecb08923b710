//! What can go wrong with the file and the gateway. Each says what, on what, why; the hint says what to do next.

use std::io;
use std::path::PathBuf;

use crate::document::DocumentError;

/// Why the file could not be read or written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("there is no {}", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be read, or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `read`, `write`, ...
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is a symbolic link.
    #[error("{} is a symbolic link to {}", path.display(), target.display())]
    Symlink {
        /// The link.
        path: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// It is no regular file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// Nobody may write to it.
    #[error("{} is read-only (mode {mode:04o})", path.display())]
    ReadOnly {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Longer than any configuration.
    #[error("{} is larger than {} MiB", path.display(), limit >> 20)]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// Not text.
    #[error("{} is not UTF-8 text (byte {at})", path.display())]
    NotText {
        /// Which.
        path: PathBuf,
        /// Offset of the first byte that is not.
        at: usize,
    },
    /// Somebody else wrote it between our reading and our writing.
    #[error("{} was changed by somebody else while it was being edited", path.display())]
    ChangedMeanwhile {
        /// Which.
        path: PathBuf,
    },
    /// Its text cannot be read or edited.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// There is no agent table, and nothing says which one to write.
    #[error(
        "openclaw.json has no agents yet, and nothing says whether to write `agents.list` or `agents.entries`"
    )]
    NoDialect,
    /// The edit would lose what it does not name.
    #[error("the edit would have removed {what}, which it does not name")]
    WouldLose {
        /// `the agent mox`.
        what: String,
    },
    /// OpenClaw would not accept it.
    #[error("OpenClaw does not accept the new openclaw.json: {}", issues.join("; "))]
    Invalid {
        /// What it says, by path.
        issues: Vec<String>,
    },
    /// The program that checks it did not do so.
    #[error("`{program} config validate` {what}")]
    Validator {
        /// Which.
        program: String,
        /// `cannot be started: ...`, `gave no answer within 90 s`.
        what: String,
    },
    /// The file is as it was before.
    #[error("the gateway did not take the new openclaw.json over: {why}")]
    NotTaken {
        /// What it said last.
        why: String,
    },
}

impl FileError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { .. } => {
                "set `openclaw.config` to the file that the gateway runs on, or make one with `openclaw onboard`".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run fraktalia as the user that owns the file".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room on that file system and apply again".into()
            }
            Self::Io { .. } => "repair the cause and apply again".into(),
            Self::Symlink { target, .. } => format!(
                "set `openclaw.config` to {}: OpenClaw itself replaces a link by a file when it writes",
                target.display()
            ),
            Self::NotAFile { .. } => "set `openclaw.config` to the file that the gateway runs on".into(),
            Self::ReadOnly { path, .. } => format!("if fraktalia is to write it: chmod u+w {}", path.display()),
            Self::TooLarge { .. } | Self::NotText { .. } => "is `openclaw.config` the right file?".into(),
            Self::ChangedMeanwhile { .. } => "nothing was written; plan again".into(),
            Self::Document(error) => error.hint().into(),
            Self::NoDialect => {
                "set `openclaw.dialect` to `entries` (OpenClaw 2026.8 and newer) or `list` (older)".into()
            }
            Self::WouldLose { .. } => "nothing was written; please report this".into(),
            Self::Invalid { .. } => {
                "nothing was written; correct the manifest, or run `openclaw config validate` on the file as it is".into()
            }
            Self::Validator { .. } => "see that `openclaw.cli` names a program that runs, or leave it out".into(),
            Self::NotTaken { .. } => {
                "the old file is in place again; `openclaw logs` shows what the gateway makes of a change".into()
            }
        }
    }
}
