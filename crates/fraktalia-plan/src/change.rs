//! What would change, in the words of people. Nothing in here steers an apply.

use fraktalia_model::{Note, Notes, ResourceId};
use serde::{Deserialize, Serialize};

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// It is made.
    Create,
    /// Some of its fields change in place.
    Update,
    /// It has to be made anew, because what changes cannot be changed in place.
    Replace,
    /// It is there and as wanted; from now on it is ours.
    Adopt,
    /// It is no longer ours, and stays as it is.
    Forget,
    /// It goes.
    Delete,
    /// Nothing.
    Keep,
}

impl Verb {
    /// The mark in front of a line of a plan.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Create => "+",
            Self::Update => "~",
            Self::Replace => "-/+",
            Self::Adopt => "=",
            Self::Forget => ".",
            Self::Delete => "-",
            Self::Keep => " ",
        }
    }
}

/// Why a field differs, judged by what we asked for last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// We never asked for anything here.
    New,
    /// The manifest asks for something else than last time.
    Manifest,
    /// What lives is not what we made it: somebody else changed it.
    Drift,
    /// Both at once.
    Both,
}

impl Cause {
    /// In the words of a plan.
    pub fn text(self) -> &'static str {
        match self {
            Self::New => "not managed before",
            Self::Manifest => "manifest changed",
            Self::Drift => "changed by hand, back to the manifest",
            Self::Both => "changed by hand and in the manifest",
        }
    }
}

/// One field that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Path inside the resource: `sandbox.docker.memory`.
    pub field: String,
    /// As it is; `None` when it is absent.
    pub from: Option<String>,
    /// As it is to be; `None` when it is to be absent.
    pub to: Option<String>,
    /// Why they differ.
    pub cause: Cause,
}

/// One resource that does not stay as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub id: ResourceId,
    /// The heading it stands under: the key of a fractal, a room, a network.
    pub subject: String,
    /// What happens to it.
    pub verb: Verb,
    /// What people call it: `#gardener:chat.home`.
    pub title: String,
    /// What it is, in half a line, for things that come or go.
    pub summary: String,
    /// What differs, for things that change in place.
    pub fields: Vec<FieldChange>,
    /// Why, in half a sentence.
    pub why: String,
}

/// What a system finds when it compares a wanted resource with a living one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// What differs; empty when all is as wanted.
    pub fields: Vec<FieldChange>,
    /// Why it cannot be changed in place.
    pub replace: Option<String>,
    /// In the way: nothing is applied while this stands.
    pub blocked: Option<Note>,
    /// What else there is to say.
    pub notes: Notes,
}

impl Delta {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.replace.is_none()
    }
}

/// What a step does to those who use the system meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Nobody notices.
    #[default]
    Quiet,
    /// Something stops for a moment, or a session ends.
    Disruptive(String),
    /// It cannot be taken back. Such steps run after all others.
    Irreversible(String),
}

impl Impact {
    /// Whether it cannot be taken back.
    pub fn is_irreversible(&self) -> bool {
        matches!(self, Self::Irreversible(_))
    }
}
