//! What it takes to go back.

use serde::{Deserialize, Serialize};

use crate::op::Edit;

/// What the edits of an operation meet: each thing as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// One for each edit.
    pub before: Vec<Edit>,
}
