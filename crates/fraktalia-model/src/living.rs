//! What lives in the systems, whether anybody asks for it or not, in the words that all share.
//!
//! Plain data, read by each provider of its own system and put together elsewhere. Nothing in it is a secret.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::id::ResourceId;
use crate::note::Notes;
use crate::output::{RoomId, UserId};

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Living {
    /// Our own Matrix user.
    pub me: Option<UserId>,
    /// Local users who are in use.
    pub users: Vec<LivingUser>,
    /// Rooms and spaces with somebody of our homeserver in them.
    pub rooms: Vec<LivingRoom>,
    /// Agent entries.
    pub agents: Vec<LivingAgent>,
    /// Bindings, in the order of the file.
    pub bindings: Vec<LivingBinding>,
    /// Settings of rooms.
    pub groups: Vec<LivingGroup>,
    /// What a manifest has no words for.
    pub others: Vec<Other>,
    /// What could not be looked at.
    pub notes: Notes,
}

impl Living {
    /// With what another system found.
    pub fn absorb(&mut self, other: Self) {
        self.me = self.me.take().or(other.me);
        self.users.extend(other.users);
        self.rooms.extend(other.rooms);
        self.agents.extend(other.agents);
        self.bindings.extend(other.bindings);
        self.groups.extend(other.groups);
        self.others.extend(other.others);
        self.notes.extend(other.notes);
    }

    /// The room with this id.
    pub fn room(&self, id: &RoomId) -> Option<&LivingRoom> {
        self.rooms.iter().find(|room| room.id == *id)
    }
}

/// A local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingUser {
    /// Who.
    pub id: UserId,
    /// Global display name.
    pub display_name: Option<String>,
    /// Whether it is marked as a bot.
    pub bot: bool,
}

/// Whose mark a room carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomMark {
    /// Nobody's.
    None,
    /// Ours, as this resource.
    Ours(ResourceId),
    /// Ours once, and put out of use.
    Retired,
    /// Another realm's.
    Realm(String),
}

/// A room or a space.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that have nothing to do with each other")]
pub struct LivingRoom {
    /// Its id.
    pub id: RoomId,
    /// Whether it is a space.
    pub space: bool,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Its canonical alias, if that leads to it.
    pub alias: Option<String>,
    /// `join_rule` as it stands.
    pub join_rule: Option<String>,
    /// With `restricted`: the rooms whose members may come in.
    pub allow: BTreeSet<RoomId>,
    /// `history_visibility` as it stands.
    pub history: Option<String>,
    /// Whether it is end-to-end encrypted.
    pub encrypted: bool,
    /// Levels of users that are not those of everybody, without those whose power has no limit.
    pub power_levels: BTreeMap<UserId, i64>,
    /// Who is in it.
    pub joined: BTreeSet<UserId>,
    /// Who is invited.
    pub invited: BTreeSet<UserId>,
    /// Rooms that it lists, where it is a space.
    pub children: BTreeSet<RoomId>,
    /// Spaces that it names as its own.
    pub parents: BTreeSet<RoomId>,
    /// Whose it is.
    pub mark: RoomMark,
    /// Whether our own user is in it, with the power to do everything.
    pub entered: bool,
    /// Whether another room has taken its place.
    pub replaced: bool,
}

/// An agent entry of `openclaw.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct LivingAgent {
    /// Its id, as the file writes it.
    pub id: String,
    /// Its entry, without what may be a secret.
    pub entry: Map<String, Json>,
    /// Where something was left out of `entry`, because it may be a secret.
    pub secret: Vec<String>,
}

/// What a binding routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LivingPeer {
    /// A room.
    Room(RoomId),
    /// Direct messages of a user.
    Direct(String),
    /// Everything else.
    Any,
    /// Something else, in a few words.
    Other(String),
}

/// A binding of `openclaw.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingBinding {
    /// The agent's id, in small letters.
    pub agent: String,
    /// The account that hears it; the default one when absent.
    pub account: Option<String>,
    /// What is routed.
    pub peer: LivingPeer,
}

/// The settings of a room in `openclaw.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingGroup {
    /// The room.
    pub room: RoomId,
    /// Whether the agent answers without being mentioned.
    pub auto_reply: Option<bool>,
}

/// Something that a manifest has no words for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// What it is: `network`.
    pub kind: &'static str,
    /// What it is called.
    pub name: String,
    /// Why it is left alone.
    pub why: String,
}
