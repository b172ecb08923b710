//! Why a text cannot be read or edited, and where.

use std::fmt;

/// A place in a text. Both numbers start at 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let head = &text.as_bytes()[..offset.min(text.len())];
        let mut lines = head.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        Self { line: lines.count() + 1, column: String::from_utf8_lossy(last).chars().count() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text cannot be read or edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON5.
    #[error("{at}: {what}")]
    Syntax {
        /// Where.
        at: Place,
        /// What is there, and what was expected.
        what: String,
    },
    /// One object has the key twice.
    #[error("{at}: the key `{key}` is there twice, first at {first}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The second one.
        at: Place,
        /// The first one.
        first: Place,
    },
    /// Our reader and the strict one understand the text differently.
    #[error("two readers of JSON5 understand this text differently{detail}")]
    Ambiguous {
        /// What the strict reader says, if it refuses the text.
        detail: String,
    },
    /// A value that is not of the kind it has to be.
    #[error("{at}: `{path}` is {found}, not {wanted}")]
    WrongType {
        /// Where.
        at: Place,
        /// Dotted path.
        path: String,
        /// `an array`, `a string` ...
        found: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// A section that we own, or would write, comes from another file.
    #[error("{at}: `{path}` is taken in from another file with $include")]
    Included {
        /// Where.
        at: Place,
        /// Dotted path.
        path: String,
    },
}

impl DocumentError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => {
                "repair the file; `openclaw config validate` shows what else is wrong with it"
            }
            Self::DuplicateKey { .. } => {
                "remove one of the two: only one of them counts, and not everywhere the same"
            }
            Self::Ambiguous { .. } => {
                "write the value in plain JSON, and please report the text that caused this"
            }
            Self::WrongType { .. } => {
                "repair the value; `openclaw config validate` says what is expected there"
            }
            Self::Included { .. } => {
                "move the section into openclaw.json itself: a change through $include would have to rewrite the other file"
            }
        }
    }
}
