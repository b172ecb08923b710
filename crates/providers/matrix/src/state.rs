//! What is seen on a homeserver.

use std::collections::BTreeSet;

use fraktalia_model::shared::SharedText;
use fraktalia_model::{RoomId, UserId};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

use crate::client::rooms::StateEvent;
use crate::marker::MARKER;
use crate::op::{MARKER_LEVEL, PICTURE_SHA};

/// A living resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatrixState {
    /// Our own user has a limit of its own, or the homeserver has none to give.
    Override,
    /// A local user.
    User(UserState),
    /// The file of an access token.
    Token(TokenState),
    /// A room or a space.
    Room(Box<RoomState>),
    /// A room's place in a space.
    Child(ChildState),
    /// Somebody's relation to a room.
    Member(MemberState),
    /// What a user is called in one room.
    Name(NameState),
}

/// A local user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserState {
    /// Who.
    pub user: UserId,
    /// Global display name.
    pub display_name: Option<String>,
    /// Whether it is marked as a bot.
    pub bot: bool,
    /// Whether it is out of use.
    pub deactivated: bool,
}

/// The file of an access token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenState {
    /// The user whose token it is to be.
    pub user: UserId,
    /// Whether the homeserver takes it as that user's.
    pub valid: bool,
}

/// A room or a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "five facts that have nothing to do with each other")]
pub struct RoomState {
    /// Its id.
    pub room: RoomId,
    /// Users whose power has no limit and stands in no list (since version 12).
    pub creators: BTreeSet<UserId>,
    /// Whether our own user is one of them.
    #[serde(default)]
    pub made_by_us: bool,
    /// Whether it is a space.
    pub space: bool,
    /// `m.room.name`
    pub name: Option<String>,
    /// `m.room.topic`
    pub topic: Option<String>,
    /// The canonical alias.
    pub alias: Option<String>,
    /// The room behind the alias that is asked for; `None` when the alias is free or none is asked for.
    pub alias_holder: Option<RoomId>,
    /// `join_rule` as it stands.
    pub join_rule: Option<String>,
    /// Rooms whose members may come in.
    pub allow: BTreeSet<RoomId>,
    /// `history_visibility` as it stands.
    pub history: Option<String>,
    /// Whether it is end-to-end encrypted.
    pub encrypted: bool,
    /// The whole content of `m.room.power_levels`.
    pub power_levels: Json,
    /// SHA-256 of the picture, where we set it.
    pub picture: Option<String>,
    /// Address of the picture.
    pub picture_url: Option<String>,
    /// Whether our marker event is in place.
    pub marked: bool,
    /// Whether our own user is in it, with the power to do everything.
    pub entered: bool,
    /// Where it is not so: the local member with the most power, who can let us in.
    pub host: Option<UserId>,
    /// Members and invited whom the manifest does not name, where that matters.
    pub others: BTreeSet<UserId>,
    /// Members whom we last asked for and who are in it, where the room is to go.
    pub ours: BTreeSet<UserId>,
}

/// A room's place in a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildState {
    /// The space.
    pub space: RoomId,
    /// The room.
    pub room: RoomId,
    /// Whether the space names the room.
    pub child: bool,
    /// Whether the room names the space.
    pub parent: bool,
}

/// Somebody's relation to a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberState {
    /// The room.
    pub room: RoomId,
    /// Who.
    pub user: UserId,
    /// How they stand to it.
    pub membership: Membership,
}

/// What a user is called in one room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NameState {
    /// The room.
    pub room: RoomId,
    /// Who.
    pub user: UserId,
    /// Whether they are in it: who is not has no name there, and can be given none.
    pub joined: bool,
    /// Their name in it.
    pub display_name: Option<String>,
}

/// How somebody stands to a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// In it.
    Joined,
    /// Invited, and not in it yet.
    Invited,
    /// Asked to be let in.
    Knocking,
    /// Left by themselves, or declined.
    Left,
    /// Was put out.
    Kicked,
    /// Must not come back.
    Banned,
}

impl Membership {
    /// In the words of a plan.
    pub fn text(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Invited => "invited",
            Self::Knocking => "asks to be let in",
            Self::Left => "left",
            Self::Kicked => "put out",
            Self::Banned => "banned",
        }
    }

    /// Whether somebody who stands so to a room is left out of it, where the manifest names them. `insists` is
    /// [`MemberSpec::insists`](crate::spec::MemberSpec::insists).
    pub fn stays_out(self, insists: bool) -> bool {
        match self {
            Self::Banned => true,
            Self::Left => !insists,
            Self::Joined | Self::Invited | Self::Knocking | Self::Kicked => false,
        }
    }

    fn of(user: &str, event: &Stated) -> Option<Self> {
        match event.content.get("membership")?.as_str()? {
            "join" => Some(Self::Joined),
            "invite" => Some(Self::Invited),
            "knock" => Some(Self::Knocking),
            "ban" => Some(Self::Banned),
            "leave" if event.sender.0 == user => Some(Self::Left),
            "leave" => Some(Self::Kicked),
            _ => None,
        }
    }
}

/// The types of state that say what we need to know of a room; a view keeps these alone.
pub(crate) const WATCHED: [&str; 13] = [
    "m.room.create",
    "m.room.member",
    "m.room.name",
    "m.room.topic",
    "m.room.canonical_alias",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.encryption",
    "m.room.power_levels",
    "m.room.avatar",
    "m.space.child",
    "m.space.parent",
    MARKER,
];

/// What the state of a room says under one type and state key.
#[derive(Clone, Debug, PartialEq)]
pub struct Stated {
    /// Who said so. The homeserver vouches for this, and for nothing in `content`.
    pub sender: UserId,
    /// What it says.
    pub content: Json,
}

/// The state of one room, as it was read, as far as it is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomView {
    /// Its id.
    pub room: RoomId,
    /// In order of type and state key, each pair once. There are many rooms with a dozen events each: maps would take three
    /// times the memory.
    events: Vec<Watched>,
}

/// One event of a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Watched {
    #[serde(deserialize_with = "word")]
    kind: SharedText,
    key: String,
    sender: UserId,
    /// What it says, as JSON: as a text, for the same reason.
    content: Box<str>,
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SharedText, D::Error> {
    String::deserialize(deserializer).map(|text| SharedText::word(&text))
}

impl Watched {
    fn new(event: StateEvent) -> Self {
        let StateEvent { kind, state_key, sender, mut content } = event;
        // Members are many, and of most of what they say of themselves nothing is asked.
        if let Some(fields) = content.as_object_mut().filter(|_| kind == "m.room.member") {
            fields.retain(|field, _| matches!(field.as_str(), "membership" | "displayname"));
        }
        let content = content.to_string().into();
        Self { kind: SharedText::word(&kind), key: state_key, sender, content }
    }

    fn stated(&self) -> Stated {
        let content = serde_json::from_str(&self.content).unwrap_or_default();
        Stated { sender: self.sender.clone(), content }
    }
}

impl RoomView {
    /// The room with these state events.
    pub fn new(room: RoomId, events: Vec<StateEvent>) -> Self {
        let watched = events.into_iter().filter(|event| WATCHED.contains(&event.kind.as_str()));
        let mut events: Vec<Watched> = watched.map(Watched::new).collect();
        events.sort_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
        events.shrink_to_fit();
        Self { room, events }
    }

    /// An event of the state. One without content counts as there: the caller knows what that means.
    pub fn get(&self, kind: &str, state_key: &str) -> Option<Stated> {
        let at = self.events.binary_search_by(|one| (&*one.kind, &*one.key).cmp(&(kind, state_key))).ok()?;
        Some(self.events[at].stated())
    }

    /// A text inside an event; an empty one is as good as none.
    pub fn text(&self, kind: &str, field: &str) -> Option<String> {
        let event = self.get(kind, "")?;
        let text = event.content.get(field)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// All events of a type, each with its state key.
    pub fn of_type(&self, kind: &str) -> impl Iterator<Item = (&str, Stated)> {
        let first = self.events.partition_point(|one| &*one.kind < kind);
        self.events[first..]
            .iter()
            .take_while(move |one| one.kind == kind)
            .map(|one| (one.key.as_str(), one.stated()))
    }

    /// How a user stands to the room.
    pub fn member(&self, user: &UserId) -> Option<MemberState> {
        let event = self.get("m.room.member", &user.0)?;
        Some(MemberState {
            room: self.room.clone(),
            user: user.clone(),
            membership: Membership::of(&user.0, &event)?,
        })
    }

    /// What a user is called in the room.
    pub fn name(&self, user: &UserId) -> Option<NameState> {
        let event = self.get("m.room.member", &user.0)?;
        Some(NameState {
            room: self.room.clone(),
            user: user.clone(),
            joined: Membership::of(&user.0, &event)? == Membership::Joined,
            display_name: event.content.get("displayname").and_then(Json::as_str).map(ToOwned::to_owned),
        })
    }

    /// Who is in it or invited.
    pub fn present(&self) -> impl Iterator<Item = UserId> {
        self.of_type("m.room.member")
            .filter(|(user, event)| {
                matches!(Membership::of(user, event), Some(Membership::Joined | Membership::Invited))
            })
            .map(|(user, _)| UserId(user.to_owned()))
    }

    /// Who made it.
    pub fn creator(&self) -> Option<UserId> {
        self.get("m.room.create", "").map(|event| event.sender)
    }

    fn creators(&self) -> BTreeSet<UserId> {
        let Some(create) = self.get("m.room.create", "") else {
            return BTreeSet::new();
        };
        let version = create.content.get("room_version").and_then(Json::as_str).unwrap_or("1");
        if !creators_rule(version) {
            return BTreeSet::new();
        }
        let more = create.content.get("additional_creators").and_then(Json::as_array);
        more.into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .map(|user| UserId(user.to_owned()))
            .chain([create.sender.clone()])
            .collect()
    }

    /// What the room is, seen by our own user `me`.
    pub fn state(&self, me: &UserId, marked: bool) -> RoomState {
        let mut state = self.fields(marked);
        let joined = self.member(me).is_some_and(|member| member.membership == Membership::Joined);
        state.made_by_us = state.creators.contains(me);
        state.entered = joined && state.level(me).is_none_or(|level| level >= MARKER_LEVEL);
        if !state.entered {
            state.host = self.host(me, &state);
        }
        state
    }

    fn host(&self, me: &UserId, state: &RoomState) -> Option<UserId> {
        let (_, server) = me.0.split_once(':')?;
        let power = |user: &UserId| state.level(user).unwrap_or(i64::MAX);
        self.of_type("m.room.member")
            .filter(|(user, event)| Membership::of(user, event) == Some(Membership::Joined))
            .map(|(user, _)| UserId(user.to_owned()))
            .filter(|user| user.0.split_once(':').is_some_and(|(_, its)| its == server))
            .max_by_key(|user| (power(user), std::cmp::Reverse(user.clone())))
    }

    fn fields(&self, marked: bool) -> RoomState {
        let rules = self.get("m.room.join_rules", "");
        let allow = rules.as_ref().and_then(|event| event.content.get("allow"));
        RoomState {
            room: self.room.clone(),
            creators: self.creators(),
            made_by_us: false,
            space: self.text("m.room.create", "type").as_deref() == Some("m.space"),
            name: self.text("m.room.name", "name"),
            topic: self.text("m.room.topic", "topic"),
            alias: self.text("m.room.canonical_alias", "alias"),
            alias_holder: None,
            join_rule: self.text("m.room.join_rules", "join_rule"),
            allow: allow
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.get("room_id")?.as_str())
                .map(|room| RoomId(room.to_owned()))
                .collect(),
            history: self.text("m.room.history_visibility", "history_visibility"),
            encrypted: self.text("m.room.encryption", "algorithm").is_some(),
            power_levels: self
                .get("m.room.power_levels", "")
                .map_or_else(|| serde_json::json!({}), |event| event.content),
            picture: self.text("m.room.avatar", PICTURE_SHA),
            picture_url: self.text("m.room.avatar", "url"),
            marked,
            entered: false,
            host: None,
            others: BTreeSet::new(),
            ours: BTreeSet::new(),
        }
    }
}

/// Whether creators of rooms of this version have unlimited power and must not stand in the list of levels.
pub fn creators_rule(version: &str) -> bool {
    version == "org.matrix.hydra.11" || version.parse::<u32>().is_ok_and(|number| number >= 12)
}

impl RoomState {
    /// The level of a user, unlimited ones as `None`.
    pub fn level(&self, user: &UserId) -> Option<i64> {
        if self.creators.contains(user) {
            return None;
        }
        let default = self.power_levels.get("users_default");
        let own = self.power_levels.get("users").and_then(|users| users.get(&user.0));
        Some(own.or(default).and_then(Json::as_i64).unwrap_or(0))
    }

    /// The level that it takes to write our marker.
    pub fn marker_level(&self) -> i64 {
        let events = self.power_levels.get("events");
        let own = events.and_then(|events| events.get(MARKER));
        own.or_else(|| self.power_levels.get("state_default")).and_then(Json::as_i64).unwrap_or(50)
    }
}
