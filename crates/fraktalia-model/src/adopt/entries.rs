//! What a manifest says of one thing: only what it has to say, so that nothing is managed that nobody asked for.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::compose::{Composer, called};
use super::{Entry, What};
use crate::living::{LivingAgent, LivingRoom, LivingUser, RoomMark};
use crate::manifest::edit::Value;
use crate::output::{RoomId, UserId};

/// Keys of an agent entry that are not passed on: the manifest has words of its own for them.
const OWN_WORDS: [&str; 5] = ["id", "name", "workspace", "model", "sandbox"];
/// More people than this in a room are not listed.
const CROWD: usize = 200;

type Fields = Vec<(String, Value)>;

fn field(key: &str, value: impl Into<Value>) -> (String, Value) {
    (key.to_owned(), value.into())
}

fn entry(what: What, key: &str, value: Value) -> Entry {
    Entry {
        what,
        key: key.to_owned(),
        value,
        title: String::new(),
        summary: String::new(),
        room: None,
        enters: false,
        unmanaged: Vec::new(),
        needs: BTreeSet::new(),
    }
}

pub(super) fn user(user: &LivingUser, name: &str) -> Entry {
    // A homeserver calls those who chose no name by their localpart.
    let display_name = user.display_name.as_ref().filter(|shown| *shown != name);
    let mut fields: Fields =
        display_name.map(|shown| field("display_name", shown.as_str())).into_iter().collect();
    fields.extend(user.bot.then(|| ("bot".to_owned(), Value::Bool(true))));
    let bot = if user.bot { "a bot" } else { "" };
    let parts = [display_name.map_or("", String::as_str), bot];
    Entry {
        title: user.id.0.clone(),
        summary: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
        ..entry(What::User, name, Value::Map(fields))
    }
}

pub(super) fn room(composer: &Composer<'_>, key: &str, room: &LivingRoom, bound: bool) -> Entry {
    let mut built = entry(What::Room, key, Value::Null);
    let mut fields = room_fields(composer, room, &mut built);
    let members = members(composer, room, bound, &mut built);
    if !members.is_empty() {
        fields.push(("members".to_owned(), Value::List(members)));
    }
    fields.extend(late_fields(composer, room, &mut built));
    built.value = Value::Map(fields);
    about_room(&mut built, room);
    built
}

fn about_room(entry: &mut Entry, room: &LivingRoom) {
    let people = room.joined.len();
    let kind = if room.space { "a space, " } else { "" };
    let named = room.name.as_ref().filter(|_| room.alias.is_some());
    let name = named.map(|name| format!("{name}, ")).unwrap_or_default();
    let alias = if room.alias.is_none() { ", no address" } else { "" };
    entry.title = called(room);
    entry.summary = format!("{kind}{name}{people} in it{alias}");
    entry.room = Some(room.id.clone());
    entry.enters = !room.entered;
}

/// What comes first of a room.
fn room_fields(composer: &Composer<'_>, room: &LivingRoom, entry: &mut Entry) -> Fields {
    let mut fields = vec![field("id", room.id.0.as_str())];
    if let RoomMark::Realm(realm) = &room.mark {
        fields.push(field("from_realm", realm.as_str()));
    }
    if room.space {
        fields.push(("space".to_owned(), Value::Bool(true)));
    }
    fields.extend(room.name.as_ref().map(|name| field("name", name.as_str())));
    fields.extend(room.topic.as_ref().map(|topic| field("topic", topic.as_str())));
    if let Some(alias) = &room.alias {
        match alias.strip_prefix('#').and_then(|alias| alias.split_once(':')) {
            Some((local, server)) if server == composer.matrix.server_name => {
                fields.push(field("alias", local));
            }
            _ => entry.unmanaged.push(format!("its address {alias}, which is not of this homeserver")),
        }
    }
    fields
}

/// What comes last of a room. What is as everywhere is left out.
fn late_fields(composer: &Composer<'_>, room: &LivingRoom, entry: &mut Entry) -> Fields {
    let mut fields = Fields::new();
    let parent = room.parents.iter().find_map(|parent| {
        let space =
            composer.living.room(parent).filter(|space| space.space && space.children.contains(&room.id))?;
        Some((parent, composer.keys.get(&space.id)?))
    });
    let lets_in_space = parent.is_some_and(|(parent, _)| room.allow.contains(parent));
    match room.join_rule.as_deref() {
        None | Some("invite") => {}
        Some(rule @ ("public" | "knock")) => fields.push(field("join_rule", rule)),
        Some("restricted") if lets_in_space => fields.push(field("join_rule", "restricted")),
        Some(rule) => entry.unmanaged.push(format!("who can enter it (`{rule}`)")),
    }
    match room.history.as_deref() {
        None | Some("shared") => {}
        Some(rule @ ("invited" | "joined" | "world_readable")) => fields.push(field("history", rule)),
        Some(rule) => entry.unmanaged.push(format!("who can read what was said (`{rule}`)")),
    }
    if room.encrypted {
        fields.push(("encrypted".to_owned(), Value::Bool(true)));
    }
    let levels: Fields = room
        .power_levels
        .iter()
        .filter(|(user, _)| composer.living.me.as_ref() != Some(*user) && room.joined.contains(*user))
        .map(|(user, level)| (name_of(composer, user, entry), Value::Int(*level)))
        .collect();
    if !levels.is_empty() {
        fields.push(("power_levels".to_owned(), Value::Map(levels)));
    }
    if let Some((_, key)) = parent {
        entry.needs.insert((What::Room, key.clone()));
        fields.push(field("in", key.as_str()));
    }
    fields
}

/// As a manifest names a user: by localpart where it knows them.
fn name_of(composer: &Composer<'_>, user: &UserId, entry: &mut Entry) -> String {
    match composer.matrix.localpart(user).filter(|_| composer.users.contains(user)) {
        Some(name) => {
            entry.needs.insert((What::User, name.to_owned()));
            name.to_owned()
        }
        None => user.0.clone(),
    }
}

/// Who is in a room, without our own user and without the bot where that goes without saying.
fn members(composer: &Composer<'_>, room: &LivingRoom, bound: bool, entry: &mut Entry) -> Vec<Value> {
    let is_remote = |user: &&UserId| composer.matrix.localpart(user).is_none();
    let all = room.joined.iter().chain(room.invited.iter().filter(is_remote));
    let named: Vec<&UserId> = all
        .filter(|user| composer.living.me.as_ref() != Some(*user))
        .filter(|user| !(bound && **user == composer.matrix.bot))
        .collect();
    if named.len() > CROWD {
        entry.unmanaged.push(format!("its {} members", named.len()));
        return Vec::new();
    }
    named.into_iter().map(|user| name_of(composer, user, entry).into()).collect()
}

pub(super) fn fractal(composer: &Composer<'_>, agent: &LivingAgent, room: &LivingRoom) -> Entry {
    let mut built = entry(What::Fractal, &agent.id, Value::Null);
    let mut fields = vec![("defaults".to_owned(), Value::Bool(false))];
    if let Some(name) = agent.entry.get("name").and_then(Json::as_str) {
        fields.push(field("name", name));
    }
    let model = model(&agent.entry, &mut built);
    fields.extend(model.clone().map(|model| ("model".to_owned(), model)));
    let people = members(composer, room, true, &mut built);
    if !people.is_empty() {
        fields.push(("members".to_owned(), Value::List(people)));
    }
    let mut of_room = room_fields(composer, room, &mut built);
    of_room.extend(late_fields(composer, room, &mut built));
    fields.push(("room".to_owned(), Value::Map(of_room)));
    let group = composer.living.groups.iter().find(|group| group.room == room.id);
    if let Some(auto_reply) = group.and_then(|group| group.auto_reply) {
        fields.push(("auto_reply".to_owned(), Value::Bool(auto_reply)));
    }
    fields.extend(workspace(&agent.entry, &mut built));
    let passed = passed(&agent.entry);
    if !passed.is_empty() {
        fields.push(("openclaw".to_owned(), Value::from(&Json::Object(passed))));
    }
    if agent.entry.contains_key("sandbox") {
        built.unmanaged.push("its sandbox, which stays as openclaw.json has it".into());
    }
    let secret = agent.secret.iter().map(|path| format!("`{path}`, which may hold a secret"));
    built.unmanaged.extend(secret);
    built.value = Value::Map(fields);
    about_room(&mut built, room);
    let model = match &model {
        Some(Value::Text(model)) => format!(", {model}"),
        _ => String::new(),
    };
    built.summary = format!("in {}, {}{model}", built.title, built.summary);
    built.title.clone_from(&agent.id);
    built
}

/// Any other key of the entry, as it stands.
pub(super) fn passed(agent: &Map<String, Json>) -> Map<String, Json> {
    let others = agent.iter().filter(|(key, _)| !OWN_WORDS.contains(&key.as_str()));
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}

pub(super) fn model(agent: &Map<String, Json>, entry: &mut Entry) -> Option<Value> {
    let model = agent.get("model")?;
    let texts = |json: &Json| {
        let items = json.as_array()?.iter().map(|item| Some(Value::from(item.as_str()?)));
        items.collect::<Option<Vec<Value>>>()
    };
    let said = match model {
        Json::String(primary) => Some(Value::from(primary.as_str())),
        Json::Object(parts) => {
            let primary = parts.get("primary").and_then(Json::as_str);
            match (primary, parts.get("fallbacks")) {
                (Some(primary), None) => Some(Value::from(primary)),
                (Some(primary), Some(fallbacks)) => texts(fallbacks).map(|fallbacks| {
                    Value::Map(vec![
                        field("primary", primary),
                        ("fallbacks".to_owned(), Value::List(fallbacks)),
                    ])
                }),
                _ => None,
            }
        }
        _ => None,
    };
    if said.is_none() {
        entry.unmanaged.push("its model, which is written in a way of its own".into());
    }
    said
}

fn workspace(agent: &Map<String, Json>, entry: &mut Entry) -> Option<(String, Value)> {
    let path = agent.get("workspace")?;
    // What the manifest says is compared letter by letter, with `~` and `..` resolved.
    let usable = path.as_str().filter(|path| {
        path.starts_with('/') && crate::files::normal(std::path::Path::new(path)).to_str() == Some(path)
    });
    let Some(path) = usable else {
        entry.unmanaged.push(format!("its workspace, as `{path}` is not a whole path"));
        return None;
    };
    Some(("workspace".to_owned(), Value::Map(vec![field("path", path)])))
}

pub(super) fn room_binding(composer: &Composer<'_>, agent: &str, key: &str, room: &RoomId) -> Entry {
    let shown = composer.living.room(room).map_or_else(|| key.to_owned(), called);
    let value = Value::Map(vec![field("agent", agent), field("room", key)]);
    Entry {
        title: format!("{shown} -> {agent}"),
        needs: [(What::Room, key.to_owned())].into(),
        ..entry(What::Binding, &format!("{agent}/room/{key}"), value)
    }
}

pub(super) fn direct_binding(composer: &Composer<'_>, agent: &str, user: &UserId) -> Entry {
    let mut built = entry(What::Binding, &format!("{agent}/direct/{user}"), Value::Null);
    let name = name_of(composer, user, &mut built);
    built.title = format!("direct messages of {user} -> {agent}");
    built.value = Value::Map(vec![field("agent", agent), field("direct", name)]);
    built
}

pub(super) fn catch_all(agent: &str) -> Entry {
    Entry { title: format!("all other rooms -> {agent}"), ..entry(What::CatchAll, agent, Value::from(agent)) }
}
