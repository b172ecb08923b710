//! What the manifest asks of a homeserver.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fraktalia_model::manifest::{HistoryVisibility, JoinRule, MemberRole, MembersPolicy};
use fraktalia_model::{Outputs, ResourceId, RoomId, SecretSource, UserId, Value};
use fraktalia_plan::Spec;
use serde::{Deserialize, Serialize};

/// What is asked of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatrixSpec {
    /// No rate limits for our own user.
    Override,
    /// A local user.
    User(UserSpec),
    /// An access token of a fractal's own user.
    Token(TokenSpec),
    /// A room or a space.
    Room(Box<RoomSpec>),
    /// A room's place in a space.
    Child(ChildSpec),
    /// Somebody in a room.
    Member(MemberSpec),
    /// What a local user is called in one room.
    Name(NameSpec),
}

/// A local user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserSpec {
    /// Who.
    pub user: UserId,
    /// Global display name.
    pub display_name: Option<String>,
    /// Whether it has to be marked as a bot. A user of whom nothing is said may be anything.
    pub bot: bool,
    /// Used once, at creation.
    pub password: Option<SecretSource>,
}

/// An access token of a fractal's own user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenSpec {
    /// Whose.
    pub fractal: String,
    /// The user it is for.
    pub user: UserId,
}

/// A room or a space. What is `None` is not managed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomSpec {
    /// The key in the manifest.
    pub key: String,
    /// The room that is meant, where the manifest names it by its id: one that was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RoomId>,
    /// The realm whose marker it may still carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_realm: Option<String>,
    /// The full canonical alias: `#lab:chat.home`. Where none is asked for: what people call the room.
    pub alias: String,
    /// Whether the alias is asked for.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub aliased: bool,
    /// Whether it is a space. Cannot change.
    pub space: bool,
    /// `m.room.name`
    pub name: Option<String>,
    /// `m.room.topic`
    pub topic: Option<String>,
    /// `m.room.avatar`
    pub avatar: Option<Picture>,
    /// Who is to be in it. Their membership is a resource of its own; here it says who else is too many.
    pub members: Vec<UserId>,
    /// Whether others are put out.
    pub policy: MembersPolicy,
    /// `m.room.join_rules`
    pub join_rule: Option<JoinRule>,
    /// With `restricted`: the space whose members may come in.
    pub allow: Option<Value<RoomId>>,
    /// `m.room.history_visibility`
    pub history: Option<HistoryVisibility>,
    /// Only `Some(true)` asks for anything.
    pub encrypted: Option<bool>,
    /// Levels of users; others keep theirs.
    pub power_levels: BTreeMap<UserId, i64>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(asked: &bool) -> bool {
    *asked
}

/// A picture beside the manifest, known by its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Absolute path.
    pub path: PathBuf,
    /// SHA-256 of its content, hex.
    pub sha256: String,
}

/// A room's place in a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildSpec {
    /// What people call the space.
    pub space_alias: String,
    /// What people call the room.
    pub room_alias: String,
    /// The space.
    pub space: Value<RoomId>,
    /// The room.
    pub room: Value<RoomId>,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberSpec {
    /// What people call the room.
    pub alias: String,
    /// The room.
    pub room: Value<RoomId>,
    /// Who.
    pub user: UserId,
    /// Whether they live on our homeserver: those are joined, others are invited.
    pub local: bool,
    /// Why they are in it.
    pub role: MemberRole,
    /// Whether somebody who left is joined again.
    pub policy: MembersPolicy,
}

/// What a local user is called in one room. It takes their own token to say so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NameSpec {
    /// What people call the room.
    pub alias: String,
    /// The room.
    pub room: Value<RoomId>,
    /// Who.
    pub user: UserId,
    /// Their name in this room.
    pub display_name: String,
}

impl MemberSpec {
    /// Whether to join them again although they left by themselves. Only people have a will of their own.
    pub fn insists(&self) -> bool {
        self.policy == MembersPolicy::Exact || self.role != MemberRole::Named
    }
}

impl Spec for MatrixSpec {
    fn pending(&self) -> Vec<ResourceId> {
        self.values().filter_map(Value::pending).cloned().collect()
    }

    fn settle(&mut self, known: &Outputs) {
        match self {
            Self::Override | Self::User(_) | Self::Token(_) => {}
            Self::Room(room) => {
                if let Some(allow) = &mut room.allow {
                    allow.settle(known);
                }
            }
            Self::Child(child) => {
                child.space.settle(known);
                child.room.settle(known);
            }
            Self::Member(member) => member.room.settle(known),
            Self::Name(name) => name.room.settle(known),
        }
    }
}

impl MatrixSpec {
    fn values(&self) -> impl Iterator<Item = &Value<RoomId>> {
        let (first, second) = match self {
            Self::Override | Self::User(_) | Self::Token(_) => (None, None),
            Self::Room(room) => (room.allow.as_ref(), None),
            Self::Child(child) => (Some(&child.space), Some(&child.room)),
            Self::Member(member) => (Some(&member.room), None),
            Self::Name(name) => (Some(&name.room), None),
        };
        first.into_iter().chain(second)
    }
}
