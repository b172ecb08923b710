//! Manifests that are kept in git: which commit a file belongs to, and a branch that is followed.
//!
//! All is done by the program `git`, which knows every way to a remote and to its keys; why, and what it may not do
//! here, stands in `docs/design/0011-gitops.md`. Whatever lies in a repository is data: nothing of it is run, none of
//! its links is followed out of it, and none of its configuration holds.

mod checkout;
mod clones;
mod error;
mod files;
mod origin;
pub mod program;
mod remote;

use serde::{Deserialize, Serialize};

pub use clones::{Checkout, Clones};
pub use error::GitError;
pub use files::load;
pub use origin::origin;
pub use remote::{BadRemote, Remote, Signers};

/// The commit that a manifest was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its whole id.
    pub commit: String,
    /// Whether what was read is not what was committed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// The branch, where it is on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The first line of its message, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who wrote it, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

impl Origin {
    /// The beginning of the commit's id, as people write it.
    pub fn short(&self) -> &str {
        short(&self.commit)
    }
}

/// `3f2a91c`, and `3f2a91c+` when what was read is not what was committed.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.short(), if self.changed { "+" } else { "" })
    }
}

/// The beginning of a commit's id.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// Whether a text is the whole id of a commit, and so can be a name in a directory.
pub(crate) fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|at| matches!(at, b'0'..=b'9' | b'a'..=b'f'))
}
