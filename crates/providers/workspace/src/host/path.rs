//! A path inside a workspace that cannot lead out of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of one component that Linux takes, in bytes.
const LONGEST_NAME: usize = 255;

/// A relative path of plain components: `AGENTS.md`, `memory/lasting.md`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

/// Why a text is no [`RelPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Nothing, or nothing between two slashes.
    #[error("it has an empty part")]
    Empty,
    /// Starts with a slash.
    #[error("it is absolute")]
    Absolute,
    /// `.` or `..`
    #[error("it contains `{0}`")]
    Dots(String),
    /// A NUL or another control character.
    #[error("it contains a control character")]
    Control,
    /// A component that no file system takes.
    #[error("a part of it is longer than {LONGEST_NAME} bytes")]
    TooLong,
}

impl RelPath {
    /// Checks a path as the manifest gives it.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        if text.starts_with('/') {
            return Err(BadPath::Absolute);
        }
        if text.chars().any(char::is_control) {
            return Err(BadPath::Control);
        }
        for part in text.split('/') {
            match part {
                "" => return Err(BadPath::Empty),
                "." | ".." => return Err(BadPath::Dots(part.into())),
                long if long.len() > LONGEST_NAME => return Err(BadPath::TooLong),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The directory it is in; `None` for the workspace itself.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('/')?;
        Some(Self(parent.into()))
    }

    /// The directories between the workspace and the file, outermost first.
    pub fn ancestors(&self) -> Vec<Self> {
        self.0.match_indices('/').map(|(end, _)| Self(self.0[..end].into())).collect()
    }

    /// What is called `inner`, in the directory that this is.
    #[must_use]
    pub fn join(&self, inner: &Self) -> Self {
        Self(format!("{}/{}", self.0, inner.0))
    }

    /// The same directory, another name.
    #[must_use]
    pub fn sibling(&self, name: &str) -> Self {
        self.parent().map_or_else(|| Self(name.into()), |parent| Self(format!("{parent}/{name}")))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for RelPath {
    type Error = BadPath;

    fn try_from(text: String) -> Result<Self, BadPath> {
        Self::parse(&text)
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_lead_out_of_the_workspace_is_refused() {
        let long = "x".repeat(256);
        for text in ["", "/etc/passwd", "..", "a/../b", "./a", "a//b", "a/", "a\0b", "a\nb", &long] {
            assert!(RelPath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_path_knows_its_directories_outermost_first() {
        let path = RelPath::parse("a/b/c.md").unwrap();
        let above: Vec<_> = path.ancestors().iter().map(ToString::to_string).collect();
        assert_eq!(above, ["a", "a/b"]);
        assert_eq!((path.name(), path.sibling("d").as_str()), ("c.md", "a/b/d"));
    }

    #[test]
    fn a_path_is_checked_when_it_is_read_from_a_plan() {
        assert!(serde_json::from_str::<RelPath>("\"../../etc/passwd\"").is_err());
    }
}
