//! What is seen of a workspace.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::Access;

/// One living resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A directory.
    Tree {
        /// Absolute path.
        path: PathBuf,
        /// Mode and owner.
        access: Access,
    },
    /// A regular file.
    File {
        /// Absolute path.
        path: PathBuf,
        /// SHA-256 of its content, hex; absent for a file that is the agent's own, so that nothing ever depends on
        /// what the agent wrote there.
        sha256: Option<String>,
        /// Mode and owner.
        access: Access,
    },
    /// A file that was written once, and that the agent took away since. It stays away.
    GivenUp {
        /// Absolute path.
        path: PathBuf,
    },
    /// Something that we never touch.
    Odd {
        /// Absolute path.
        path: PathBuf,
        /// What it is: `a symbolic link`.
        what: String,
    },
}
