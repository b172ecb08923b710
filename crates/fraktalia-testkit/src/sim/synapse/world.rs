//! Users, rooms, aliases and pictures.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::Setup;
use super::routes::Refusal;
use super::sync::Streamed;

/// A user.
#[derive(Clone, Debug, Default)]
pub(super) struct User {
    pub displayname: Option<String>,
    pub kind: Option<String>,
    pub admin: bool,
    pub deactivated: bool,
    pub password: Option<String>,
    pub external_ids: Vec<Json>,
    pub rate_limit: Option<Json>,
    pub rooms_made: usize,
}

/// A state event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub sender: String,
    pub content: Json,
}

/// A room.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub version: String,
    pub creator: String,
    pub state: BTreeMap<(String, String), Event>,
    /// Types of the events that are not on the stream yet.
    pub fresh: Vec<String>,
}

/// A picture.
#[derive(Clone, Debug)]
pub(super) struct Media {
    pub id: String,
    pub owner: String,
    pub sha256: String,
}

/// Everything that there is.
#[derive(Debug)]
pub(super) struct World {
    pub setup: Setup,
    pub users: BTreeMap<String, User>,
    pub tokens: BTreeMap<String, String>,
    pub rooms: BTreeMap<String, Room>,
    pub aliases: BTreeMap<String, String>,
    pub media: Vec<Media>,
    pub(super) stream: Vec<Streamed>,
    counter: u64,
}

impl World {
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            users: BTreeMap::new(),
            tokens: BTreeMap::new(),
            rooms: BTreeMap::new(),
            aliases: BTreeMap::new(),
            media: Vec::new(),
            stream: Vec::new(),
            counter: 0,
        }
    }

    /// A number that was never given before.
    pub fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn local(&self, localpart: &str) -> String {
        format!("@{localpart}:{}", self.setup.server_name)
    }

    pub fn is_local(&self, id: &str) -> bool {
        id.ends_with(&format!(":{}", self.setup.server_name))
    }

    /// The user and a token of theirs.
    pub fn register(&mut self, localpart: &str, admin: bool) -> (String, String) {
        let user = self.local(localpart);
        let entry = self
            .users
            .entry(user.clone())
            .or_insert_with(|| User { displayname: Some(localpart.to_owned()), ..User::default() });
        entry.admin |= admin;
        let token = self.mint(&user);
        (user, token)
    }

    pub fn mint(&mut self, user: &str) -> String {
        let token = format!("sim_token_{}", self.fresh());
        self.tokens.insert(token.clone(), user.to_owned());
        token
    }

    /// All of it, but for what only counts. A user who is out of use is as good as none: Matrix removes no user.
    pub fn snapshot(&self) -> Json {
        let used = self.users.iter().filter(|(_, user)| !user.deactivated);
        let users: BTreeMap<&String, Json> = used.map(|(id, user)| (id, user.snapshot())).collect();
        let rooms: BTreeMap<&String, Json> =
            self.rooms.iter().map(|(id, room)| (id, room.snapshot())).collect();
        json!({ "users": users, "rooms": rooms, "aliases": self.aliases })
    }

    pub fn room(&self, id: &str) -> Result<&Room, Refusal> {
        self.rooms.get(id).ok_or_else(|| Refusal::not_found("Room not found"))
    }

    pub fn room_mut(&mut self, id: &str) -> Result<&mut Room, Refusal> {
        self.rooms.get_mut(id).ok_or_else(|| Refusal::not_found("Room not found"))
    }
}

impl User {
    fn snapshot(&self) -> Json {
        json!({
            "displayname": self.displayname,
            "kind": self.kind,
            "admin": self.admin,
            "password": self.password.is_some(),
            "external_ids": self.external_ids,
            "rate_limit": self.rate_limit,
        })
    }
}

impl Room {
    fn snapshot(&self) -> Json {
        let state: BTreeMap<String, &Json> =
            self.state.iter().map(|((kind, key), event)| (format!("{kind}/{key}"), &event.content)).collect();
        json!({ "version": self.version, "creator": self.creator, "state": state })
    }

    pub fn content(&self, kind: &str, key: &str) -> Option<&Json> {
        self.state.get(&(kind.to_owned(), key.to_owned())).map(|event| &event.content)
    }

    pub fn set(&mut self, kind: &str, key: &str, sender: &str, content: Json) {
        let at = (kind.to_owned(), key.to_owned());
        let same =
            self.state.get(&at).is_some_and(|event| event.content == content && event.sender == sender);
        if !same {
            self.state.insert(at, Event { sender: sender.to_owned(), content });
            self.fresh.push(kind.to_owned());
        }
    }

    pub fn membership(&self, user: &str) -> Option<&str> {
        self.content("m.room.member", user)?.get("membership")?.as_str()
    }

    pub fn is_joined(&self, user: &str) -> bool {
        self.membership(user) == Some("join")
    }

    pub fn has_creator_power(&self, user: &str) -> bool {
        self.version.parse::<u32>().is_ok_and(|version| version >= 12) && self.creator == user
    }

    pub fn level(&self, user: &str) -> i64 {
        if self.has_creator_power(user) {
            return i64::MAX;
        }
        let Some(levels) = self.content("m.room.power_levels", "") else {
            return if self.creator == user { 100 } else { 0 };
        };
        let own = levels.get("users").and_then(|users| users.get(user));
        own.or_else(|| levels.get("users_default")).and_then(Json::as_i64).unwrap_or(0)
    }

    /// The level that it takes to send a state event of this type.
    pub fn needed(&self, kind: &str) -> i64 {
        let Some(levels) = self.content("m.room.power_levels", "") else {
            return 0;
        };
        let own = levels.get("events").and_then(|events| events.get(kind));
        own.or_else(|| levels.get("state_default")).and_then(Json::as_i64).unwrap_or(50)
    }

    /// The level that it takes to do something: `kick`, `ban`, `invite`.
    pub fn needed_to(&self, action: &str) -> i64 {
        let levels = self.content("m.room.power_levels", "");
        let default = if action == "invite" { 0 } else { 50 };
        levels.and_then(|levels| levels.get(action)).and_then(Json::as_i64).unwrap_or(default)
    }

    pub fn events(&self, room_id: &str) -> Vec<Json> {
        self.state.iter().map(|((kind, key), event)| event_json(room_id, kind, key, event)).collect()
    }
}

pub(super) fn event_json(room_id: &str, kind: &str, key: &str, event: &Event) -> Json {
    json!({
        "type": kind,
        "state_key": key,
        "sender": event.sender,
        "content": event.content,
        "room_id": room_id,
        "event_id": format!("${kind}/{key}"),
    })
}
