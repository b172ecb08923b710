//! What there is to say about a manifest, a system or a plan: a fact, where it is, and the cure.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::id::ResourceId;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Probably not what was meant.
    Warning,
    /// In the way: nothing is applied.
    Error,
}

/// A place in a file of the manifest. Lines and columns start at 1, columns count characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The file, as it was named: relative to the working directory where that is shorter.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters of what is meant; 0 when only the start is known.
    pub length: u32,
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// One finding. `text` says what is, `hint` says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name for this kind of finding: `manifest.unknown-key`.
    pub code: String,
    /// The resource it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<ResourceId>,
    /// The place in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Span>,
    /// A second place, for findings about two things that clash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Span>,
    /// What is the case, in one sentence.
    pub text: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Findings, in the order in which they were made.
pub type Notes = Vec<Note>;

impl Note {
    fn new(severity: Severity, code: &str, text: impl Into<String>) -> Self {
        Self {
            severity,
            code: code.into(),
            about: None,
            at: None,
            other: None,
            text: text.into(),
            hint: None,
        }
    }

    /// Something that is in the way.
    pub fn error(code: &str, text: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, text)
    }

    /// Something that is probably not meant.
    pub fn warning(code: &str, text: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, text)
    }

    /// Something worth knowing.
    pub fn info(code: &str, text: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, text)
    }

    /// With the place it is about.
    #[must_use]
    pub fn at(mut self, span: &Span) -> Self {
        self.at = Some(span.clone());
        self
    }

    /// With the other of two places that clash.
    #[must_use]
    pub fn and_at(mut self, span: &Span) -> Self {
        self.other = Some(span.clone());
        self
    }

    /// With the resource it is about.
    #[must_use]
    pub fn about(mut self, id: &ResourceId) -> Self {
        self.about = Some(id.clone());
        self
    }

    /// With what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
