//! Puts together what belongs together: an agent and the room that is bound to it are a fractal.

use std::collections::{BTreeMap, BTreeSet};

use super::{Composed, Left, Options, entries};
use crate::living::{Living, LivingAgent, LivingBinding, LivingPeer, LivingRoom, RoomMark};
use crate::manifest::{Manifest, Matrix, Peer, text};
use crate::output::{RoomId, UserId};

/// Proposes entries for all that lives and that the manifest does not know.
pub fn compose(manifest: &Manifest, living: &Living, options: &Options) -> Composed {
    let Some(matrix) = &manifest.matrix else { return Composed::default() };
    let mut composer = Composer {
        manifest,
        matrix,
        living,
        options,
        keys: BTreeMap::new(),
        taken: manifest.rooms.keys().cloned().collect(),
        users: manifest.users.values().map(|user| user.id.clone()).collect(),
        composed: Composed::default(),
    };
    composer.users();
    composer.known_rooms();
    composer.agents_and_rooms();
    composer.others();
    composer.composed
}

/// Which binding leads where, as far as a manifest can say it.
struct Routes<'a> {
    /// The agent of each bound room: the first one gets every message.
    rooms: Vec<(&'a RoomId, &'a str)>,
    /// Direct messages.
    direct: Vec<(&'a str, UserId)>,
    /// The agent for everything else.
    any: Option<&'a str>,
}

pub(super) struct Composer<'a> {
    pub manifest: &'a Manifest,
    pub matrix: &'a Matrix,
    pub living: &'a Living,
    pub options: &'a Options,
    /// The key of each room that the manifest knows, or is to know.
    pub keys: BTreeMap<RoomId, String>,
    /// Keys of rooms and fractals.
    taken: BTreeSet<String>,
    /// Users who can be named by their localpart.
    pub users: BTreeSet<UserId>,
    composed: Composed,
}

impl<'a> Composer<'a> {
    fn leave(&mut self, kind: &str, name: impl Into<String>, why: impl Into<String>) {
        self.composed.left.push(Left { kind: kind.into(), name: name.into(), why: why.into() });
    }

    fn users(&mut self) {
        let (living, matrix) = (self.living, self.matrix);
        let own = [Some(&matrix.bot), living.me.as_ref()];
        for user in &living.users {
            let known = self.users.contains(&user.id) || matrix.padding.contains(&user.id);
            if known || own.contains(&Some(&user.id)) {
                continue;
            }
            match matrix.localpart(&user.id) {
                Some(name) if text::is_localpart(name) => {
                    self.users.insert(user.id.clone());
                    self.composed.entries.push(entries::user(user, name));
                }
                _ => self.leave("user", user.id.0.clone(), "a manifest cannot give a user such a name"),
            }
        }
        self.users.insert(matrix.bot.clone());
        self.users.extend(matrix.padding.iter().cloned());
    }

    /// Which of the rooms the manifest asks for already.
    fn known_rooms(&mut self) {
        let rooms = &self.manifest.rooms;
        for room in &self.living.rooms {
            let by_mark = match &room.mark {
                RoomMark::Ours(id) => rooms.get(id.name.as_str()).filter(|known| known.id.is_none()),
                _ => None,
            };
            let full = |alias: &str| format!("#{alias}:{}", self.matrix.server_name);
            let known = by_mark.or_else(|| {
                rooms.values().find(|known| match &known.id {
                    Some(id) => *id == room.id,
                    None => room.alias.as_ref() == Some(&full(&known.alias)),
                })
            });
            let Some(known) = known else { continue };
            self.keys.insert(room.id.clone(), known.key.clone());
            if known.id.is_none() && by_mark.is_none() {
                let why = format!(
                    "the manifest asks for it: `fraktalia adopt matrix/room/{}` takes it over",
                    known.key
                );
                self.leave("room", called(room), why);
            }
        }
    }

    fn agents_and_rooms(&mut self) {
        let (living, manifest) = (self.living, self.manifest);
        let routes = self.routes();
        let own = self.own_rooms(&routes);
        let owned: BTreeSet<&RoomId> = own.values().map(|room| &room.id).collect();
        let bound: BTreeSet<&RoomId> = routes.rooms.iter().map(|(room, _)| *room).collect();
        self.taken.extend(own.keys().map(|agent| (*agent).to_owned()));
        self.keys.extend(own.iter().map(|(agent, room)| (room.id.clone(), (*agent).to_owned())));
        let mut rooms = Vec::new();
        for room in &living.rooms {
            if owned.contains(&room.id) || self.keys.contains_key(&room.id) {
                continue;
            }
            match self.takes(room, bound.contains(&room.id)) {
                Ok(()) => {
                    let key = self.key_for(room);
                    self.keys.insert(room.id.clone(), key.clone());
                    rooms.push((key, room));
                }
                Err(why) => self.leave("room", called(room), why),
            }
        }
        for (key, room) in rooms {
            let entry = entries::room(self, &key, room, bound.contains(&room.id));
            self.composed.entries.push(entry);
        }
        for agent in &living.agents {
            if let Some(room) = own.get(agent.id.as_str()) {
                let entry = entries::fractal(self, agent, room);
                self.composed.entries.push(entry);
            } else if !manifest.fractals.contains_key(&agent.id) {
                let why = self.why_no_fractal(agent, &routes);
                self.leave("agent", agent.id.clone(), why);
            }
        }
        self.bindings(&routes, &own);
    }

    /// Where each binding leads. Those that a manifest cannot say are left.
    fn routes(&mut self) -> Routes<'a> {
        let living = self.living;
        let mut routes = Routes { rooms: Vec::new(), direct: Vec::new(), any: None };
        for binding in &living.bindings {
            if let Err((what, why)) = self.route(binding, &mut routes) {
                self.leave("binding", format!("{what} -> {}", binding.agent), why);
            }
        }
        routes
    }

    fn route(&self, binding: &'a LivingBinding, routes: &mut Routes<'a>) -> Result<(), (String, String)> {
        let agent = binding.agent.as_str();
        let shown = match &binding.peer {
            LivingPeer::Room(room) => self.living.room(room).map_or_else(|| room.0.clone(), called),
            LivingPeer::Direct(user) => format!("direct messages of {user}"),
            LivingPeer::Any => "all other rooms".into(),
            LivingPeer::Other(what) => what.clone(),
        };
        let no = |why: &str| Err((shown.clone(), why.to_owned()));
        let everywhere = binding.peer == LivingPeer::Any && binding.account.as_deref() == Some("*");
        if let Some(account) = binding.account.as_deref().filter(|_| !everywhere) {
            return no(&format!(
                "it is about the account `{account}`, and a manifest names only accounts of its own"
            ));
        }
        if !text::is_agent_id(agent) {
            return no("a manifest cannot name such an agent");
        }
        match &binding.peer {
            LivingPeer::Room(room) if routes.rooms.iter().any(|(bound, _)| *bound == room) => {
                no("it is never used: another binding of this room stands before it")
            }
            LivingPeer::Room(room) => {
                routes.rooms.push((room, agent));
                match self.living.room(room) {
                    Some(_) => Ok(()),
                    None => no("nobody of this homeserver is in that room, if it is there at all"),
                }
            }
            LivingPeer::Direct(user) if !text::is_user_id(user) => no("that is not the id of a Matrix user"),
            LivingPeer::Direct(user) => {
                routes.direct.push((agent, UserId(user.clone())));
                Ok(())
            }
            LivingPeer::Any if routes.any.is_some() => no("it is never used: another one stands before it"),
            LivingPeer::Any => {
                routes.any = Some(agent);
                Ok(())
            }
            LivingPeer::Other(_) => no("it is about another channel, or says more than a manifest can"),
        }
    }

    /// The room of each agent that becomes a fractal: the one that is called as it is, or else the first.
    fn own_rooms(&self, routes: &Routes<'a>) -> BTreeMap<&'a str, &'a LivingRoom> {
        let mut own: BTreeMap<&str, (u8, &LivingRoom)> = BTreeMap::new();
        for (room, agent) in &routes.rooms {
            let Some(entry) = self.living.agents.iter().find(|entry| entry.id == *agent) else { continue };
            let Some(room) = self.living.room(room) else { continue };
            let is_new = !self.keys.contains_key(&room.id)
                && !self.manifest.fractals.contains_key(*agent)
                && !self.taken.contains(*agent);
            if !is_new || room.space || self.takes(room, true).is_err() {
                continue;
            }
            let rank = self.likeness(entry, room);
            if own.get(agent).is_none_or(|(best, _)| rank > *best) {
                own.insert(agent, (rank, room));
            }
        }
        own.into_iter().map(|(agent, (_, room))| (agent, room)).collect()
    }

    /// How much a room looks like the agent's own.
    fn likeness(&self, agent: &LivingAgent, room: &LivingRoom) -> u8 {
        let alias = room
            .alias
            .as_ref()
            .is_some_and(|alias| *alias == format!("#{}:{}", agent.id, self.matrix.server_name));
        let agent_name = agent.entry.get("name").and_then(serde_json::Value::as_str);
        let name = room.name.as_deref().is_some_and(|name| {
            name.eq_ignore_ascii_case(&agent.id) || agent_name.is_some_and(|called| called == name)
        });
        if alias { 2 } else { u8::from(name) }
    }

    /// Whether a room is to be taken over, or why not.
    pub(super) fn takes(&self, room: &LivingRoom, bound: bool) -> Result<(), String> {
        if room.replaced {
            return Err("it was upgraded: another room has taken its place".into());
        }
        match &room.mark {
            RoomMark::Realm(realm) if self.options.from_realm.as_ref() != Some(realm) => {
                return Err(format!(
                    "it carries the marker of the realm `{realm}`: `--from-realm {realm}` takes it over"
                ));
            }
            RoomMark::Retired => return Err("it was put out of use by this realm".into()),
            RoomMark::Ours(id) => {
                return Err(format!("it is ours as {id}, which the manifest does not ask for"));
            }
            RoomMark::None | RoomMark::Realm(_) => {}
        }
        if bound && !room.joined.contains(&self.matrix.bot) {
            return Err("an agent is bound to it, and the gateway's user is not in it".into());
        }
        if !bound && room.name.is_none() && room.alias.is_none() {
            let people = room.joined.len() + room.invited.len();
            return Err(format!(
                "it has no name and no address: with {people} in it, a direct chat by the look of it"
            ));
        }
        if !room.entered && !self.options.enter {
            return Err(
                "our own user is not in it, or without the power to mark it: `--enter` takes it over too"
                    .into(),
            );
        }
        Ok(())
    }

    fn key_for(&mut self, room: &LivingRoom) -> String {
        let alias = room.alias.as_deref().and_then(|alias| alias.strip_prefix('#')?.split(':').next());
        let base = match (alias, &room.name) {
            (Some(alias), _) if text::is_key(alias) => alias.to_owned(),
            (Some(words), _) => slug(words),
            (None, Some(words)) => slug(words),
            (None, None) => "room".to_owned(),
        };
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let mut keys = [base.clone()].into_iter().chain(numbered);
        let key = keys.find(|key| !self.taken.contains(key)).unwrap_or(base);
        self.taken.insert(key.clone());
        key
    }

    fn why_no_fractal(&self, agent: &LivingAgent, routes: &Routes<'_>) -> String {
        if !text::is_agent_id(&agent.id) {
            return "a manifest cannot name such an agent".into();
        }
        let mut rooms = routes.rooms.iter().filter(|(_, bound)| *bound == agent.id).map(|(room, _)| *room);
        let room = rooms.find_map(|room| self.living.room(room));
        match room {
            Some(room) => match self.takes(room, true) {
                Err(why) => format!("its room {} stays out: {why}", called(room)),
                Ok(()) => format!("the key `{}` is taken by a room of the manifest", agent.id),
            },
            None if routes.any == Some(agent.id.as_str()) => {
                "it answers wherever no other does, and has no room of its own, which a fractal has".into()
            }
            None => "no binding leads from a room to it, and a fractal has a room of its own".into(),
        }
    }

    /// What is bound besides the fractals' own rooms.
    fn bindings(&mut self, routes: &Routes<'a>, own: &BTreeMap<&'a str, &'a LivingRoom>) {
        let manifest = self.manifest;
        let known = |agent: &str, peer: &Peer| {
            manifest.bindings.iter().any(|binding| binding.agent == agent && binding.peer == *peer)
        };
        for (room, agent) in &routes.rooms {
            let is_own = own.get(agent).is_some_and(|own| own.id == **room);
            let Some(key) = self.keys.get(*room).cloned().filter(|_| !is_own) else { continue };
            if !known(agent, &Peer::Room(key.clone())) {
                let entry = entries::room_binding(self, agent, &key, room);
                self.composed.entries.push(entry);
            }
        }
        for (agent, user) in &routes.direct {
            if !known(agent, &Peer::Direct(user.clone())) {
                let entry = entries::direct_binding(self, agent, user);
                self.composed.entries.push(entry);
            }
        }
        let asked = manifest.openclaw.as_ref().and_then(|openclaw| openclaw.catch_all.as_deref());
        match (routes.any, asked) {
            (Some(agent), None) => self.composed.entries.push(entries::catch_all(agent)),
            (Some(agent), Some(asked)) if agent != asked => {
                let why = format!("the manifest says `{asked}` for that");
                self.leave("binding", format!("all other rooms -> {agent}"), why);
            }
            _ => {}
        }
    }

    fn others(&mut self) {
        let (living, manifest) = (self.living, self.manifest);
        let of_agents = living.agents.iter().filter_map(|agent| agent.entry.get("workspace")?.as_str());
        let of_fractals = manifest.fractals.values().filter_map(|fractal| fractal.workspace.path.to_str());
        let workspaces: BTreeSet<&str> =
            of_agents.chain(of_fractals).map(|path| path.trim_end_matches('/')).collect();
        for other in &living.others {
            let known = match other.kind {
                "workspace" => workspaces.contains(other.name.as_str()),
                "account" => manifest.fractals.contains_key(&other.name),
                _ => false,
            };
            if !known {
                self.leave(other.kind, other.name.clone(), other.why.clone());
            }
        }
    }
}

/// What people call a room.
pub(super) fn called(room: &LivingRoom) -> String {
    room.alias.clone().or_else(|| room.name.clone()).unwrap_or_else(|| room.id.0.clone())
}

/// A key near some words.
fn slug(words: &str) -> String {
    let has_letters = words.chars().any(|c| c.is_ascii_alphanumeric());
    if has_letters { text::slug(words) } else { "room".into() }
}
