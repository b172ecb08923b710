//! What can be done on a homeserver: one variant for each effect, with every choice made.

use std::collections::BTreeMap;

use fraktalia_model::manifest::{HistoryVisibility, JoinRule};
use fraktalia_model::output::Unresolved;
use fraktalia_model::{Outputs, ResourceId, RoomId, SecretSource, UserId, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::client::rooms::Key;
use crate::client::spaces::via;
use crate::marker::MARKER;
use crate::spec::{Picture, RoomSpec};

/// Where a picture's SHA-256 stands in `m.room.avatar`, so that nothing has to be downloaded to compare it.
pub const PICTURE_SHA: &str = "io.fraktalia.sha256";

/// One effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatrixOp {
    /// Lifts the rate limits of our own user.
    LiftLimits,
    /// Makes a user, or puts one that we had taken out of use back into it.
    CreateUser {
        /// Who.
        user: UserId,
        /// Global display name.
        display_name: Option<String>,
        /// Whether it is marked as a bot.
        bot: bool,
        /// Its password, if it gets one.
        password: Option<SecretSource>,
    },
    /// Changes a user.
    UpdateUser {
        /// Who.
        user: UserId,
        /// What changes.
        set: UserFields,
    },
    /// Takes a user out of use.
    DeactivateUser {
        /// Who.
        user: UserId,
    },
    /// Makes an access token and keeps it in a file.
    MintToken {
        /// Whose.
        fractal: String,
        /// The user it is for.
        user: UserId,
    },
    /// Makes that token invalid and removes the file.
    DropToken {
        /// Whose.
        fractal: String,
        /// The user it is for.
        user: UserId,
    },
    /// Makes a room, with everything in it but members.
    CreateRoom {
        /// What it is in the manifest.
        resource: ResourceId,
        /// As it is to be.
        spec: Box<RoomSpec>,
    },
    /// Writes one event of a room's state.
    SetState {
        /// Where.
        room: Value<RoomId>,
        /// What.
        event: RoomEvent,
    },
    /// Points an alias to a room.
    AddAlias {
        /// Where to.
        room: Value<RoomId>,
        /// `#lab:chat.home`
        alias: String,
    },
    /// Frees an alias.
    FreeAlias {
        /// Where it points now.
        room: RoomId,
        /// `#lab:chat.home`
        alias: String,
    },
    /// Makes our own user a member of a room of ours that it is not in.
    Enter {
        /// Which.
        room: RoomId,
        /// Whose invitation we take, where nothing else lets us in.
        host: Option<UserId>,
    },
    /// Joins a local user.
    Join {
        /// Where.
        room: Value<RoomId>,
        /// Who.
        user: UserId,
    },
    /// Invites a user of another homeserver.
    Invite {
        /// Where.
        room: Value<RoomId>,
        /// Who.
        user: UserId,
    },
    /// Puts somebody out.
    Kick {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
    },
    /// Gives a local user a name in one room.
    NameInRoom {
        /// Where.
        room: Value<RoomId>,
        /// Who.
        user: UserId,
        /// As whom.
        display_name: String,
    },
    /// Deletes a room with all that was written in it.
    PurgeRoom {
        /// Which.
        room: RoomId,
    },
}

/// Fields of a user that change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserFields {
    /// Global display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Whether it is marked as a bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<bool>,
    /// Whether it is out of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivated: Option<bool>,
}

/// One event of a room's state, as we write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomEvent {
    /// `m.room.name`
    Name(String),
    /// `m.room.topic`
    Topic(String),
    /// `m.room.avatar`
    Avatar(Picture),
    /// `m.room.join_rules`
    JoinRule {
        /// Which.
        rule: JoinRule,
        /// With `restricted`: the space whose members may come in.
        allow: Option<Value<RoomId>>,
    },
    /// `m.room.history_visibility`
    History(HistoryVisibility),
    /// `m.room.encryption`, switched on.
    Encryption,
    /// `m.room.power_levels`, the whole content.
    PowerLevels(Json),
    /// `m.room.canonical_alias`
    CanonicalAlias(String),
    /// The marker: the room is ours, as this resource.
    Owned(ResourceId),
    /// The marker: the room was ours, as this resource, and is out of use.
    Retired(ResourceId),
    /// The marker: the room is no longer ours.
    Released,
    /// `m.space.child`, in the space.
    Child {
        /// The room.
        room: Value<RoomId>,
        /// Whether it is in the space.
        present: bool,
    },
    /// `m.space.parent`, in the room.
    Parent {
        /// The space.
        space: Value<RoomId>,
        /// Whether the room is in it.
        present: bool,
    },
}

impl RoomEvent {
    /// Its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Name(_) => "m.room.name",
            Self::Topic(_) => "m.room.topic",
            Self::Avatar(_) => "m.room.avatar",
            Self::JoinRule { .. } => "m.room.join_rules",
            Self::History(_) => "m.room.history_visibility",
            Self::Encryption => "m.room.encryption",
            Self::PowerLevels(_) => "m.room.power_levels",
            Self::CanonicalAlias(_) => "m.room.canonical_alias",
            Self::Owned(_) | Self::Retired(_) | Self::Released => MARKER,
            Self::Child { .. } => "m.space.child",
            Self::Parent { .. } => "m.space.parent",
        }
    }

    /// Its state key.
    ///
    /// # Errors
    /// When it is the id of a room that is not known yet.
    pub fn state_key(&self, outputs: &Outputs) -> Result<String, Unresolved> {
        match self {
            Self::Child { room: other, .. } | Self::Parent { space: other, .. } => {
                Ok(outputs.resolve(other)?.0)
            }
            _ => Ok(String::new()),
        }
    }

    /// Its content, for those that need neither a stamp nor an upload.
    ///
    /// # Errors
    /// When it holds the id of a room that is not known yet.
    pub fn plain(&self, outputs: &Outputs, server_name: &str) -> Result<Option<Json>, Unresolved> {
        Ok(Some(match self {
            Self::Name(name) => json!({"name": name}),
            Self::Topic(topic) => json!({"topic": topic}),
            Self::JoinRule { rule, allow } => join_rule(*rule, allow.as_ref(), outputs)?,
            Self::History(history) => json!({"history_visibility": history}),
            Self::Encryption => json!({"algorithm": "m.megolm.v1.aes-sha2"}),
            Self::PowerLevels(content) => content.clone(),
            Self::CanonicalAlias(alias) => json!({"alias": alias}),
            Self::Child { present: false, .. } | Self::Parent { present: false, .. } | Self::Released => {
                json!({})
            }
            Self::Child { .. } => via(server_name),
            Self::Parent { .. } => {
                let mut content = via(server_name);
                content["canonical"] = json!(true);
                content
            }
            Self::Avatar(_) | Self::Owned(_) | Self::Retired(_) => return Ok(None),
        }))
    }

    /// What stands for "not there" in an event of this type: Synapse refuses a name or topic without its field.
    pub fn blank(kind: &str) -> Json {
        match kind {
            "m.room.name" => json!({"name": ""}),
            "m.room.topic" => json!({"topic": ""}),
            _ => json!({}),
        }
    }

    /// Where it stands.
    pub fn key<'a>(&self, state_key: &'a str) -> Key<'a> {
        Key { kind: self.kind(), state_key }
    }
}

fn join_rule(rule: JoinRule, allow: Option<&Value<RoomId>>, outputs: &Outputs) -> Result<Json, Unresolved> {
    let mut content = json!({"join_rule": rule});
    if let Some(space) = allow {
        let space = outputs.resolve(space)?;
        content["allow"] = json!([{"type": "m.room_membership", "room_id": space}]);
    }
    Ok(content)
}

/// The level that it takes to write our marker.
pub const MARKER_LEVEL: i64 = 100;

/// `power_level_content_override` of a new room. `creator` is `None` where creators stand in no list.
///
/// The map of events replaces the homeserver's own, so it has to be complete.
pub fn power_levels(spec: &BTreeMap<UserId, i64>, creator: Option<&UserId>) -> Json {
    let mut users: BTreeMap<&UserId, i64> = spec.iter().map(|(user, level)| (user, *level)).collect();
    if let Some(creator) = creator {
        users.insert(creator, 100);
    }
    let tombstone = if creator.is_some() { 100 } else { 150 };
    json!({
        "users": users,
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.name": 50,
            "m.room.topic": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": tombstone,
            MARKER: MARKER_LEVEL,
        },
    })
}
