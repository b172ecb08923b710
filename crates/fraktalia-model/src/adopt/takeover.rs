//! "What is live is right": what a manifest has to say so that one difference is none.

use std::path::Path;

use serde_json::Value as Json;

use super::What;
use super::entries;
use crate::id::ResourceId;
use crate::living::{Living, LivingAgent, LivingRoom, RoomMark};
use crate::manifest::edit::Value;
use crate::manifest::{Manifest, Peer};
use crate::output::UserId;

/// A change of a manifest's file.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// This value stands there.
    Set(Vec<String>, Value),
    /// Nothing stands there.
    Remove(Vec<String>),
    /// The list has this item no more.
    Take(Vec<String>, usize),
    /// The list has these items as well.
    Push(Vec<String>, Vec<Value>),
}

/// What is known when a difference is taken over.
pub struct Known<'a> {
    /// The manifest as it is.
    pub manifest: &'a Manifest,
    /// What lives.
    pub living: &'a Living,
    /// What stands at a place of the file that the thing is declared in.
    pub get: &'a dyn Fn(&[&str]) -> Option<Value>,
}

/// The file in which a resource is asked for.
pub fn file_of<'m>(manifest: &'m Manifest, id: &ResourceId) -> Option<&'m Path> {
    let name = id.name.as_str();
    let first = name.split('/').next().unwrap_or(name);
    let at = match id.kind.as_str() {
        "user" => &manifest.users.get(name)?.at,
        "room" | "group" => &manifest.rooms.get(name)?.at,
        "member" | "name" => &manifest.rooms.get(first)?.at,
        "child" => &manifest.rooms.get(name.split_once('/')?.1)?.at,
        "binding" => {
            let of = |agent: &str, peer: &Peer| format!("{agent}/{peer}") == name;
            &manifest.bindings.iter().find(|binding| of(&binding.agent, &binding.peer))?.at
        }
        "agent" => &manifest.fractals.get(name)?.at,
        _ => return None,
    };
    Some(&at.file)
}

/// What `field` of a resource that is there takes to be as it is.
///
/// # Errors
/// Why a manifest cannot say so.
pub fn field(known: &Known<'_>, id: &ResourceId, field: &str) -> Result<Vec<Edit>, String> {
    match id.kind.as_str() {
        "user" => known.user(&id.name, field),
        "room" => known.room(id, field),
        "member" => known.member(&id.name),
        "child" => {
            let room = id.name.split_once('/').map_or("", |(_, room)| room);
            Ok(vec![Edit::Remove(known.of_room(room, "in"))])
        }
        "agent" => known.agent(&id.name, field),
        "group" => known.group(&id.name, field),
        "name" => Err("the bot is called there as the fractal is: change the fractal's `name`".into()),
        _ => Err("a manifest says that in other words: change it by hand".into()),
    }
}

/// What it takes that a resource which is not there is not asked for.
///
/// # Errors
/// Why that is not to be decided here.
pub fn absent(known: &Known<'_>, id: &ResourceId) -> Result<Vec<Edit>, String> {
    match id.kind.as_str() {
        "member" => known.member(&id.name),
        "binding" => known.binding(&id.name),
        "child" => field(known, id, ""),
        _ => {
            Err("it is not there any more: take its entry out of the manifest, or apply to have it again"
                .into())
        }
    }
}

/// What it takes that a room which somebody else made is the one that is meant.
///
/// # Errors
/// Why it cannot be taken.
pub fn room_of_others(known: &Known<'_>, id: &ResourceId, from: Option<&str>) -> Result<Vec<Edit>, String> {
    let room = known.living_room(id)?;
    let mut edits = vec![Edit::Set(known.of_room(&id.name, "id"), room.id.0.as_str().into())];
    match &room.mark {
        RoomMark::Realm(realm) if from == Some(realm) => {
            edits.push(Edit::Set(known.of_room(&id.name, "from_realm"), realm.as_str().into()));
        }
        RoomMark::Realm(realm) => {
            return Err(format!(
                "it carries the marker of the realm `{realm}`: `--from-realm {realm}` takes it over"
            ));
        }
        _ => {}
    }
    Ok(edits)
}

fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

fn set_or_remove(path: Vec<String>, value: Option<Value>) -> Vec<Edit> {
    match value {
        Some(value) => vec![Edit::Set(path, value)],
        None => vec![Edit::Remove(path)],
    }
}

impl Known<'_> {
    /// A key of a room, which stands in its fractal where it is one's own.
    fn of_room(&self, key: &str, field: &str) -> Vec<String> {
        if self.manifest.fractals.contains_key(key) {
            path(&["fractals", key, "room", field])
        } else {
            path(&["rooms", key, field])
        }
    }

    fn living_room(&self, id: &ResourceId) -> Result<&LivingRoom, String> {
        let room = self.manifest.rooms.get(id.name.as_str()).ok_or("the manifest has no such room")?;
        let server = self.manifest.matrix.as_ref().map_or("", |matrix| &matrix.server_name);
        let alias = format!("#{}:{server}", room.alias);
        let living = &self.living.rooms;
        let found = match &room.id {
            Some(named) => living.iter().find(|one| one.id == *named),
            None => living
                .iter()
                .find(|one| one.mark == RoomMark::Ours(id.clone()))
                .or_else(|| living.iter().find(|one| one.alias.as_ref() == Some(&alias))),
        };
        found.ok_or_else(|| "nobody of this homeserver is in it, if it is there at all".into())
    }

    fn user(&self, name: &str, field: &str) -> Result<Vec<Edit>, String> {
        let user = self
            .living
            .users
            .iter()
            .find(|user| self.manifest.users.get(name).is_some_and(|asked| asked.id == user.id));
        let user =
            user.ok_or("the user is out of use: put it back by `apply`, or take it out of the manifest")?;
        match field {
            "display_name" => {
                let shown = user.display_name.as_deref().map(Value::from);
                Ok(set_or_remove(path(&["users", name, "display_name"]), shown))
            }
            "bot" => Ok(vec![Edit::Remove(path(&["users", name, "bot"]))]),
            _ => Err("that is not a matter of the manifest".into()),
        }
    }

    fn room(&self, id: &ResourceId, field: &str) -> Result<Vec<Edit>, String> {
        let room = self.living_room(id)?;
        let key = id.name.as_str();
        let at = |field: &str| self.of_room(key, field);
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let word = |text: &Option<String>, words: &[&str]| {
            text.as_deref().filter(|text| words.contains(text)).map(Value::from)
        };
        if let Some(user) = field.strip_prefix("power_levels.") {
            return self.level(key, room, user);
        }
        match field {
            "our own membership" | "marker" => Ok(vec![Edit::Set(at("id"), room.id.0.as_str().into())]),
            "name" | "topic" => {
                let live = if field == "name" { &room.name } else { &room.topic };
                let written = (self.get)(&at(field).iter().map(String::as_str).collect::<Vec<_>>()).is_some();
                match live {
                    None if !written => Err(format!("the fractal gives its room a {field}, and it has none")),
                    live => Ok(set_or_remove(at(field), text(live))),
                }
            }
            "alias" => {
                let local =
                    room.alias.as_deref().and_then(|alias| alias.strip_prefix('#')?.split(':').next());
                match local {
                    Some(local) => Ok(vec![Edit::Set(at("alias"), local.into())]),
                    None => {
                        Ok(vec![Edit::Set(at("id"), room.id.0.as_str().into()), Edit::Remove(at("alias"))])
                    }
                }
            }
            "avatar" => Ok(vec![Edit::Remove(at("avatar"))]),
            "join_rule" => {
                Ok(set_or_remove(at(field), word(&room.join_rule, &["public", "invite", "knock"])))
            }
            "history" => {
                let words = ["shared", "invited", "joined", "world_readable"];
                Ok(set_or_remove(at(field), word(&room.history, &words)))
            }
            "encrypted" => Ok(set_or_remove(at(field), room.encrypted.then_some(Value::Bool(true)))),
            "members" => Ok(self.more_members(key, room)),
            _ => Err("a manifest has no word for that".into()),
        }
    }

    fn level(&self, key: &str, room: &LivingRoom, user: &str) -> Result<Vec<Edit>, String> {
        if !user.starts_with('@') {
            return Err("that level guards our marker".into());
        }
        let user = UserId(user.to_owned());
        let mut at = self.of_room(key, "power_levels");
        at.push(self.written_as(&at, &user).unwrap_or_else(|| user.0.clone()));
        Ok(set_or_remove(at, room.power_levels.get(&user).map(|level| Value::Int(*level))))
    }

    /// The key under which a mapping has a user.
    fn written_as(&self, at: &[String], user: &UserId) -> Option<String> {
        let at: Vec<&str> = at.iter().map(String::as_str).collect();
        let Value::Map(entries) = (self.get)(&at)? else { return None };
        entries.into_iter().map(|(key, _)| key).find(|key| self.means(key, user))
    }

    fn means(&self, name: &str, user: &UserId) -> bool {
        let local = self.manifest.matrix.as_ref().and_then(|matrix| matrix.localpart(user));
        name == user.0 || local == Some(name)
    }

    /// The lists that the members of a room can stand in.
    fn lists(&self, key: &str) -> Vec<Vec<String>> {
        let mut lists = vec![self.of_room(key, "members")];
        if self.manifest.fractals.contains_key(key) {
            lists.insert(0, path(&["fractals", key, "members"]));
        }
        lists
    }

    fn member(&self, name: &str) -> Result<Vec<Edit>, String> {
        let (key, user) = name.split_once('/').ok_or("that is no member of a room")?;
        let user = UserId(user.to_owned());
        for list in self.lists(key) {
            let at: Vec<&str> = list.iter().map(String::as_str).collect();
            let Some(Value::List(items)) = (self.get)(&at) else { continue };
            let named = |item: &Value| matches!(item, Value::Text(text) if self.means(text, &user));
            if let Some(index) = items.iter().position(named) {
                return Ok(vec![Edit::Take(list, index)]);
            }
        }
        Err("an agent speaks through that user, so it has to be in the room".into())
    }

    /// Everybody who is there, where the manifest puts others out.
    fn more_members(&self, key: &str, room: &LivingRoom) -> Vec<Edit> {
        let asked = self.manifest.rooms.get(key).map(|room| room.members.as_slice()).unwrap_or_default();
        let users = &self.manifest.users;
        let more: Vec<Value> = room
            .joined
            .iter()
            .chain(&room.invited)
            .filter(|user| self.living.me.as_ref() != Some(*user))
            .filter(|user| !asked.iter().any(|member| member.user == **user))
            .map(|user| {
                let known = users.iter().find(|(_, known)| known.id == *user).map(|(name, _)| name.as_str());
                Value::from(known.unwrap_or(&user.0))
            })
            .collect();
        let lists = self.lists(key);
        let written = lists
            .iter()
            .find(|list| (self.get)(&list.iter().map(String::as_str).collect::<Vec<_>>()).is_some());
        written.or(lists.first()).map(|list| Edit::Push(list.clone(), more)).into_iter().collect()
    }

    fn living_agent(&self, key: &str) -> Result<&LivingAgent, String> {
        let agent = self.living.agents.iter().find(|agent| agent.id.eq_ignore_ascii_case(key));
        agent.ok_or_else(|| "the agent is not in openclaw.json any more".into())
    }

    fn agent(&self, key: &str, field: &str) -> Result<Vec<Edit>, String> {
        let agent = self.living_agent(key)?;
        let live = |field: &str| agent.entry.get(field);
        let text = |json: Option<&Json>| json.and_then(Json::as_str).map(Value::from);
        let in_fractal = |field: &str| path(&["fractals", key, field]);
        match field.split('.').collect::<Vec<_>>()[..] {
            ["name"] => Ok(set_or_remove(in_fractal("name"), text(live("name")))),
            ["identity", "name"]
                if self.manifest.fractals.get(key).is_some_and(|one| one.managed.identity) =>
            {
                let identity = live("identity").and_then(|identity| identity.get("name"));
                match (text(identity), text(live("name"))) {
                    (Some(one), Some(other)) if one == other => Ok(vec![Edit::Set(in_fractal("name"), one)]),
                    _ => Err("its name and its identity are not the same: `defaults: false` leaves them as they are".into()),
                }
            }
            ["workspace"] => match text(live("workspace")) {
                Some(place) => Ok(vec![Edit::Set(path(&["fractals", key, "workspace", "path"]), place)]),
                None => Err("its entry names no workspace any more".into()),
            },
            ["model", _] => {
                let mut aside = super::Entry {
                    what: What::Fractal,
                    key: key.into(),
                    value: Value::Null,
                    title: String::new(),
                    summary: String::new(),
                    room: None,
                    enters: false,
                    unmanaged: Vec::new(),
                    needs: std::collections::BTreeSet::new(),
                };
                Ok(set_or_remove(in_fractal("model"), entries::model(&agent.entry, &mut aside)))
            }
            ["sandbox", ..] => {
                Err("it comes from the fractal's sandbox, which may serve others: change that by hand".into())
            }
            ref keys => {
                if agent.secret.iter().any(|secret| field.starts_with(secret.as_str())) {
                    return Err("it may hold a secret, which is not copied".into());
                }
                let now = keys
                    .iter()
                    .try_fold(&Json::Object(agent.entry.clone()), |json, key| json.get(*key))
                    .cloned();
                let at: Vec<&str> =
                    ["fractals", key, "openclaw"].into_iter().chain(keys.iter().copied()).collect();
                Ok(set_or_remove(path(&at), now.as_ref().map(Value::from)))
            }
        }
    }

    fn group(&self, key: &str, field: &str) -> Result<Vec<Edit>, String> {
        let room = self.living_room(&crate::id::room(key))?;
        let group = self.living.groups.iter().find(|group| group.room == room.id);
        match (field, group.and_then(|group| group.auto_reply)) {
            ("autoReply", Some(on)) => {
                Ok(vec![Edit::Set(path(&["fractals", key, "auto_reply"]), Value::Bool(on))])
            }
            ("autoReply", None) => {
                Err("openclaw.json does not say whether it answers without being mentioned".into())
            }
            _ => Err("the room is switched off in openclaw.json, and a fractal's is on".into()),
        }
    }

    fn binding(&self, name: &str) -> Result<Vec<Edit>, String> {
        let list = path(&["bindings"]);
        let Some(Value::List(items)) = (self.get)(&["bindings"]) else {
            return Err("it is the fractal's own, and goes with the fractal".into());
        };
        let (agent, peer) = name.split_once('/').ok_or("that is no binding")?;
        let is_it = |item: &Value| {
            let Value::Map(fields) = item else { return false };
            let get = |key: &str| fields.iter().find(|(name, _)| name == key).map(|(_, value)| value);
            let room = peer.strip_prefix("room/").map(Value::from);
            let direct = peer.strip_prefix("direct/").map(|user| UserId(user.to_owned()));
            get("agent") == Some(&agent.into())
                && (room.as_ref() == get("room") && room.is_some()
                    || direct.is_some_and(
                        |user| matches!(get("direct"), Some(Value::Text(text)) if self.means(text, &user)),
                    ))
        };
        let index = items.iter().position(is_it);
        index.map(|index| vec![Edit::Take(list, index)]).ok_or_else(|| "it is the fractal's own".into())
    }
}
