//! Rooms: creation, state, aliases, members.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::routes::{Answer, Call, Refusal};
use super::world::{Event, Media, Room, World, event_json};

/// Where a creation ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    UpToTheCreator,
}

impl World {
    pub fn create_room(&mut self, user: &str, body: &Json) -> Answer {
        let limit = self.setup.room_limit;
        let maker = self.users.get_mut(user).ok_or_else(|| Refusal::forbidden("who?"))?;
        maker.rooms_made += 1;
        if limit.is_some_and(|limit| maker.rooms_made > limit) && maker.rate_limit.is_none() {
            return Err(Refusal::new(429, "M_LIMIT_EXCEEDED", "Too Many Requests"));
        }
        self.make_room(user, body, Extent::Whole)
    }

    /// A homeserver that dies in the middle of a creation.
    pub fn handle_half(&mut self, call: &Call) -> Answer {
        let user = self.tokens.get(&call.token).cloned().unwrap_or_default();
        self.make_room(&user, &call.body, Extent::UpToTheCreator)?;
        self.note_events();
        Err(Refusal::new(500, "M_UNKNOWN", "Internal server error"))
    }

    fn make_room(&mut self, user: &str, body: &Json, extent: Extent) -> Answer {
        let text = |key: &str| body.get(key).and_then(Json::as_str).map(ToOwned::to_owned);
        let alias = text("room_alias_name").map(|name| format!("#{name}:{}", self.setup.server_name));
        if alias.as_ref().is_some_and(|alias| self.aliases.contains_key(alias)) {
            return Err(Refusal::new(400, "M_ROOM_IN_USE", "Room alias already taken"));
        }
        if body["invite"].as_array().is_some_and(|invite| invite.len() > 10) {
            return Err(Refusal::bad("Cannot invite so many users at once"));
        }
        let version = text("room_version").unwrap_or_else(|| self.setup.room_version.clone());
        let modern = version.parse::<u32>().is_ok_and(|version| version >= 12);
        let number = self.fresh();
        // Version 12 ids name no server, and may begin with a dash.
        let id = if modern {
            format!("!-sim_{number}")
        } else {
            format!("!sim{number}:{}", self.setup.server_name)
        };
        let (creator, state, fresh) = (user.to_owned(), BTreeMap::new(), Vec::new());
        let mut room = Room { version: version.clone(), creator, state, fresh };
        let mut create = body.get("creation_content").cloned().unwrap_or_else(|| json!({}));
        create["room_version"] = json!(version);
        room.set("m.room.create", "", user, create);
        let name = self.users.get(user).and_then(|user| user.displayname.clone());
        room.set("m.room.member", user, user, json!({"membership": "join", "displayname": name}));
        // The alias is taken first of all, so that it stays taken when the rest fails.
        if let Some(alias) = &alias {
            self.aliases.insert(alias.clone(), id.clone());
        }
        self.rooms.insert(id.clone(), room.clone());
        if extent == Extent::UpToTheCreator {
            return Ok(json!({"room_id": id}));
        }
        room.set("m.room.power_levels", "", user, levels(user, modern, body)?);
        if let Some(alias) = &alias {
            room.set("m.room.canonical_alias", "", user, json!({"alias": alias}));
        }
        room.set("m.room.join_rules", "", user, json!({"join_rule": "invite"}));
        room.set("m.room.history_visibility", "", user, json!({"history_visibility": "shared"}));
        for event in body["initial_state"].as_array().into_iter().flatten() {
            let part = |key: &str| event.get(key).and_then(Json::as_str).unwrap_or_default();
            room.set(part("type"), part("state_key"), user, event["content"].clone());
        }
        if let Some(name) = text("name") {
            room.set("m.room.name", "", user, json!({"name": name}));
        }
        if let Some(topic) = text("topic") {
            let content = json!({"topic": topic, "m.topic": {"m.text": [{"body": topic}]}});
            room.set("m.room.topic", "", user, content);
        }
        self.rooms.insert(id.clone(), room);
        Ok(json!({"room_id": id}))
    }

    pub fn directory(&mut self, user: &str, call: &Call, alias: &str) -> Answer {
        match call.method.as_str() {
            "GET" => match self.aliases.get(alias) {
                Some(room) => Ok(json!({"room_id": room, "servers": [self.setup.server_name]})),
                None => Err(Refusal::not_found(format!("Room alias {alias} not found"))),
            },
            "PUT" if self.aliases.contains_key(alias) => {
                Err(Refusal::new(409, "M_UNKNOWN", format!("Room alias {alias} already exists")))
            }
            "PUT" => {
                let room = call.text("room_id");
                self.must_be_in(user, &room)?;
                self.aliases.insert(alias.to_owned(), room);
                Ok(json!({}))
            }
            "DELETE" => {
                let room =
                    self.aliases.remove(alias).ok_or_else(|| Refusal::not_found("Unknown room alias"))?;
                self.forget_alias(user, &room, alias);
                Ok(json!({}))
            }
            _ => Err(Refusal::unrecognized()),
        }
    }

    /// An alias that goes also goes from the event that names it, where the one who frees it may write that.
    fn forget_alias(&mut self, user: &str, room: &str, alias: &str) {
        let Some(room) = self.rooms.get_mut(room) else { return };
        let names =
            room.content("m.room.canonical_alias", "").is_some_and(|content| content["alias"] == *alias);
        if names && room.is_joined(user) && room.level(user) >= room.needed("m.room.canonical_alias") {
            room.set("m.room.canonical_alias", "", user, json!({}));
        }
    }

    pub fn must_be_in(&self, user: &str, room: &str) -> Result<(), Refusal> {
        if self.room(room)?.is_joined(user) {
            return Ok(());
        }
        Err(Refusal::forbidden(format!("User {user} not in room {room}")))
    }

    /// Who left may still look at what was there then.
    pub fn must_have_been_in(&self, user: &str, room: &str) -> Result<(), Refusal> {
        match self.rooms.get(room).and_then(|room| room.membership(user)) {
            Some("join" | "leave") => Ok(()),
            _ => Err(Refusal::forbidden(format!("User {user} not in room {room}"))),
        }
    }

    pub fn state(&mut self, user: &str, call: &Call, room_id: &str, kind: &str, key: &str) -> Answer {
        if call.method == "GET" {
            self.must_have_been_in(user, room_id)?;
            let event = self.room(room_id)?.state.get(&(kind.to_owned(), key.to_owned()));
            let event = event.ok_or_else(|| Refusal::not_found("Event not found."))?;
            let whole = call.query.contains("format=event");
            return Ok(if whole { event_json(room_id, kind, key, event) } else { event.content.clone() });
        }
        self.must_be_in(user, room_id)?;
        let aliases = self.aliases.clone();
        let room = self.room_mut(room_id)?;
        let own_member = kind == "m.room.member" && key == user;
        if !own_member && room.level(user) < room.needed(kind) {
            return Err(Refusal::forbidden("You don't have permission to post that to the room."));
        }
        valid(kind, &call.body, |alias| aliases.get(alias).is_some_and(|at| at == room_id))?;
        room.set(kind, key, user, call.body.clone());
        Ok(json!({"event_id": format!("${kind}/{key}")}))
    }

    pub fn joined_members(&self, user: &str, room: &str) -> Answer {
        self.must_be_in(user, room)?;
        let joined: serde_json::Map<String, Json> = self
            .room(room)?
            .state
            .iter()
            .filter(|((kind, _), event)| kind == "m.room.member" && event.content["membership"] == "join")
            .map(|((_, user), event)| (user.clone(), json!({"display_name": event.content["displayname"]})))
            .collect();
        Ok(json!({"joined": joined}))
    }

    pub fn join(&mut self, user: &str, room: &str) -> Answer {
        let name = self.users.get(user).and_then(|user| user.displayname.clone());
        let there = self.room_mut(room)?;
        let open = there.content("m.room.join_rules", "").is_some_and(|rules| rules["join_rule"] == "public");
        if there.is_joined(user) || there.membership(user) == Some("invite") || open {
            there.set("m.room.member", user, user, json!({"membership": "join", "displayname": name}));
            return Ok(json!({"room_id": room}));
        }
        Err(Refusal::forbidden("You are not invited to this room."))
    }

    pub fn membership(&mut self, user: &str, room: &str, action: &str, call: &Call) -> Answer {
        let target = call.text("user_id");
        if action == "invite" && !self.is_local(&target) && target.ends_with(".invalid") {
            return Err(Refusal::new(502, "M_UNKNOWN", "Can't connect to server"));
        }
        self.must_be_in(user, room)?;
        let there = self.room_mut(room)?;
        let now = there.membership(&target).map(ToOwned::to_owned);
        let power = |action: &str| there.level(user) >= there.needed_to(action);
        let membership = match (action, now.as_deref()) {
            ("leave", _) => {
                there.set("m.room.member", user, user, json!({"membership": "leave"}));
                return Ok(json!({}));
            }
            ("invite", Some("join")) => return Err(Refusal::forbidden("is already in the room.")),
            ("invite", Some("ban")) => {
                return Err(Refusal::new(403, "M_BAD_STATE", "Cannot invite user who was banned"));
            }
            ("invite", _) if power("invite") => "invite",
            ("kick", None | Some("leave")) => {
                return Err(Refusal::forbidden("The target user is not in the room"));
            }
            ("kick", _) if power("kick") => "leave",
            ("ban", _) if power("ban") => "ban",
            ("unban", Some("ban")) if power("ban") => "leave",
            _ => return Err(Refusal::forbidden("You don't have permission to do that.")),
        };
        there.set("m.room.member", &target, user, json!({"membership": membership}));
        Ok(json!({}))
    }

    pub fn upload(&mut self, user: &str, bytes: &Bytes) -> Json {
        use std::fmt::Write;
        let id = format!("picture{}", self.fresh());
        let sha256 = Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        self.media.push(Media { id: id.clone(), owner: user.to_owned(), sha256 });
        json!({"content_uri": format!("mxc://{}/{id}", self.setup.server_name)})
    }

    /// Takes a room away with its aliases, as a purge does.
    pub fn purge(&mut self, room: &str) {
        self.rooms.remove(room);
        self.aliases.retain(|_, at| at != room);
    }

    /// Makes a user a member with every right there is to give.
    pub fn make_admin(&mut self, user: &str, room: &str) -> Answer {
        let local: Vec<String> = self.users.keys().cloned().collect();
        let there = self.room_mut(room)?;
        let giver = local.iter().find(|one| there.is_joined(one) && there.level(one) >= 100).cloned();
        let giver = giver.ok_or_else(|| Refusal::bad("Server not in room"))?;
        if there.has_creator_power(user) {
            return Err(Refusal::bad(format!("Creator user {user} must not appear in content.users")));
        }
        let mut levels = there.content("m.room.power_levels", "").cloned().unwrap_or_else(|| json!({}));
        levels["users"][user] = json!(100);
        there.set("m.room.power_levels", "", &giver, levels);
        if !there.is_joined(user) {
            there.set("m.room.member", user, &giver, json!({"membership": "invite"}));
        }
        Ok(json!({}))
    }
}

fn levels(user: &str, modern: bool, body: &Json) -> Answer {
    let over = body.get("power_level_content_override").cloned().unwrap_or_else(|| json!({}));
    let listed = over.get("users").map(|users| users.get(user).is_some());
    match (modern, listed) {
        (true, Some(true)) => {
            return Err(Refusal::bad(format!("Creator user {user} must not appear in content.users")));
        }
        (false, Some(false)) => {
            return Err(Refusal::bad("Not a valid power_level_content_override"));
        }
        _ => {}
    }
    let own = if modern { json!({}) } else { json!({user: 100}) };
    let mut levels = json!({
        "users": own, "users_default": 0, "events_default": 0, "state_default": 50,
        "ban": 50, "kick": 50, "redact": 50, "invite": 0,
        "events": {"m.room.name": 50, "m.room.power_levels": 100},
    });
    for (key, value) in over.as_object().into_iter().flatten() {
        levels[key] = value.clone();
    }
    Ok(levels)
}

/// What Synapse checks of the content of an event.
fn valid(kind: &str, content: &Json, points_here: impl Fn(&str) -> bool) -> Result<(), Refusal> {
    match kind {
        "m.room.create" => Err(Refusal::new(500, "M_UNKNOWN", "Internal server error")),
        "m.room.name" if content.get("name").is_none() => Err(Refusal::bad("'name' not in content")),
        "m.room.topic" if content.get("topic").is_none() => Err(Refusal::bad("'topic' not in content")),
        "m.room.canonical_alias" => match content.get("alias").and_then(Json::as_str) {
            Some(alias) if !points_here(alias) => Err(Refusal::new(
                400,
                "M_BAD_ALIAS",
                format!("Room alias {alias} does not point to the room"),
            )),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

impl Event {
    /// An event of this sender.
    pub fn by(sender: &str, content: Json) -> Self {
        Self { sender: sender.to_owned(), content }
    }
}
