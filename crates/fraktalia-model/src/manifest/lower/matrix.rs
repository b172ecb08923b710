//! The homeserver, its users, and who is in which room.

use std::collections::{BTreeMap, HashMap};

use super::policy::{DESK_USER, makes_user};
use super::{Declared, Lowering};
use crate::files::sha256_hex;
use crate::manifest::finding::{Located, Mark};
use crate::manifest::raw::{self, Text};
use crate::manifest::read::Entries;
use crate::manifest::{
    Account, Binding, Fractal, LocalFile, Matrix, Member, MemberRole, MembersPolicy, OnRemove, Peer, Room,
    User, text,
};
use crate::output::{RoomId, UserId};

/// With fewer joined members, OpenClaw takes a room for a direct chat.
const LEAST_MEMBERS: usize = 3;

/// Who speaks in each room, by the room's key.
type Speakers<'a> = HashMap<&'a str, Vec<(UserId, Option<String>)>>;

impl Lowering<'_> {
    pub(super) fn matrix(&mut self, raw: &raw::Matrix) -> Option<Matrix> {
        let url = raw.homeserver.value.trim_end_matches('/');
        let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"));
        if !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) {
            let message = format!("`{url}` is not the address of a homeserver");
            let hint = "write its base URL: `http://127.0.0.1:8008`";
            self.findings.error("manifest.bad-url", raw.homeserver.at, message, hint);
        }
        let server = &raw.server_name;
        if !text::is_server_name(&server.value) {
            let message = format!("`{}` cannot be the name of a homeserver", server.value);
            let hint = "write the part of user ids after the colon, without `http://`";
            self.findings.error("manifest.bad-server-name", server.at, message, hint);
            return None;
        }
        Some(Matrix {
            at: self.span(raw.at),
            homeserver: url.into(),
            server_name: server.value.clone(),
            admin_token: self.secret(&raw.admin_token),
            bot: self.of_server(&raw.bot, &server.value)?,
            padding: raw.padding.iter().filter_map(|user| self.of_server(user, &server.value)).collect(),
        })
    }

    /// A user of the homeserver, before it is known which ones the manifest declares.
    fn of_server(&mut self, named: &Text, server: &str) -> Option<UserId> {
        let name = named.value.as_str();
        let (localpart, of) = match name.strip_prefix('@').map(|rest| rest.split_once(':')) {
            Some(Some((localpart, of))) => (localpart, of),
            Some(None) => ("", server),
            None => (name, server),
        };
        if localpart.is_empty() || localpart.contains([':', ' ']) {
            let message = format!("`{name}` is not a Matrix user id");
            let hint = format!("write `@name:{server}`");
            self.findings.error("manifest.bad-user-id", named.at, message, hint);
            return None;
        }
        if of != server {
            let message = format!("`{name}` is not a user of the homeserver `{server}`");
            let hint = format!("write `@{localpart}:{server}`, or correct `server_name`");
            self.findings.error("manifest.foreign-user", named.at, message, hint);
            return None;
        }
        Some(UserId(format!("@{localpart}:{server}")))
    }

    /// The declared users, and those that fractals have for themselves.
    pub(super) fn users(&mut self) -> BTreeMap<String, User> {
        let Some(server) = self.server.clone() else {
            return BTreeMap::new();
        };
        let root = self.root;
        let id = |localpart: &str| UserId(format!("@{localpart}:{server}"));
        let mut users = BTreeMap::new();
        for (key, raw) in root.users.iter() {
            let user = User {
                at: self.span(key.at),
                id: id(&key.value),
                display_name: raw.display_name.as_ref().map(|name| name.value.clone()),
                password: raw.password.as_ref().map(|password| self.secret(password)),
                bot: raw.bot.unwrap_or(false),
                on_remove: raw.on_remove.map_or(OnRemove::Keep, |word| word.0),
                owned_by: None,
            };
            users.insert(key.value.clone(), user);
        }
        if let Some(admin) = root.admin_room.as_ref().filter(|admin| makes_user(admin)) {
            // Somebody may have declared it, to give it a name.
            users.entry(DESK_USER.into()).or_insert_with(|| User {
                at: self.span(admin.at),
                id: id(DESK_USER),
                display_name: None,
                password: None,
                bot: true,
                on_remove: OnRemove::Keep,
                owned_by: None,
            });
        }
        let declared: HashMap<&str, Mark> =
            root.users.keys().map(|key| (key.value.as_str(), key.at)).collect();
        let bot = root.matrix.as_ref().map(|matrix| &matrix.bot);
        for (key, raw) in root.fractals.iter() {
            if !is_own(raw) {
                continue;
            }
            let taken = declared
                .get(key.value.as_str())
                .copied()
                .or(bot.filter(|bot| bot.value == id(&key.value).0).map(|bot| bot.at));
            if let Some(other) = taken {
                let message = format!("the fractal `{}` would get a user that exists already", key.value);
                let hint = "rename the fractal, leave the user away, or use `account: shared`";
                self.findings.clash("manifest.user-clash", key.at, other, message, hint);
                continue;
            }
            let user = User {
                at: self.span(key.at),
                id: id(&key.value),
                display_name: Some(super::fractals::name(key, raw)),
                password: None,
                bot: true,
                on_remove: OnRemove::Keep,
                owned_by: Some(key.value.clone()),
            };
            users.insert(key.value.clone(), user);
        }
        users
    }

    /// All rooms: those under `rooms`, and one for each fractal.
    pub(super) fn rooms(
        &mut self,
        matrix: &Matrix,
        fractals: &BTreeMap<String, Fractal>,
        bindings: &[Binding],
    ) -> BTreeMap<String, Room> {
        let root = self.root;
        let speakers = speakers(matrix, fractals, bindings);
        let mut lowered = BTreeMap::new();
        // A key that is both was reported; the fractal's room goes on alone.
        for (key, raw) in root.rooms.iter().filter(|(key, _)| !fractals.contains_key(&key.value)) {
            let members = raw.members.as_ref();
            let own = self.room(key, Some(raw), members, None, &speakers, matrix);
            lowered.insert(key.value.clone(), own);
        }
        for (key, raw) in root.fractals.iter() {
            let Some(fractal) = fractals.get(&key.value) else {
                continue;
            };
            let members = self.one_list(raw);
            let own = self.room(key, raw.room.as_ref(), members, Some(fractal), &speakers, matrix);
            lowered.insert(key.value.clone(), own);
        }
        lowered
    }

    /// The members of a fractal's room, which may stand at the fractal or at its room.
    fn one_list<'r>(&mut self, raw: &'r raw::Fractal) -> Option<&'r Located<Vec<Text>>> {
        let in_room = raw.room.as_ref().and_then(|room| room.members.as_ref());
        if let (Some(first), Some(second)) = (&raw.members, in_room) {
            let hint = "keep one of the two lists";
            let message = "the members of this room are given twice";
            self.findings.clash("manifest.members-twice", second.at, first.at, message, hint);
        }
        raw.members.as_ref().or(in_room)
    }

    fn room(
        &mut self,
        key: &Text,
        raw: Option<&raw::Room>,
        members: Option<&Located<Vec<Text>>>,
        fractal: Option<&Fractal>,
        speakers: &Speakers<'_>,
        matrix: &Matrix,
    ) -> Room {
        let text = |field: fn(&raw::Room) -> &Option<Text>| {
            raw.and_then(|raw| field(raw).as_ref()).map(|text| text.value.clone())
        };
        let bound = speakers.get(key.value.as_str());
        let space = raw.and_then(|raw| raw.space.as_ref()).is_some_and(|space| space.value);
        if space && (fractal.is_some() || bound.is_some()) {
            let at = raw.and_then(|raw| raw.space.as_ref()).map_or(key.at, |space| space.at);
            let message = format!("`{}` is a space, and an agent is bound to it", key.value);
            self.findings.error("manifest.bound-space", at, message, "bind the agent to a room in the space");
        }
        let named = members.map_or(&[][..], |members| &members.value);
        let errors = self.findings.errors();
        let mut members = self.members(named, bound.map_or(&[], Vec::as_slice));
        if self.root.admin_room.as_ref().is_some_and(|admin| admin.room.value == key.value)
            && let Some(user) = self.desk_user()
            && !members.iter().any(|member| member.user == user)
        {
            members.push(Member { user, display_name: None, role: MemberRole::Named });
        }
        let id = raw.and_then(|raw| self.room_id(raw));
        // Whoever is in a room that was there before is enough: nobody is brought in to make up the number.
        if bound.is_some() && !space && id.is_none() {
            // A member who was found to be unknown would have counted.
            let sure = self.findings.errors() == errors;
            self.pad(key, &mut members, matrix, sure);
        }
        let levels = raw.map(|raw| self.power_levels(&raw.power_levels, &members));
        Room {
            at: self.span(key.at),
            key: key.value.clone(),
            fractal: fractal.map(|fractal| fractal.key.clone()),
            bound: bound.is_some(),
            space,
            name: text(|raw| &raw.name)
                .or(fractal.filter(|fractal| fractal.managed.identity).map(|fractal| fractal.name.clone())),
            topic: text(|raw| &raw.topic).or(fractal.and_then(|fractal| fractal.purpose.clone())),
            aliased: id.is_none() || raw.is_some_and(|raw| raw.alias.is_some()),
            id,
            from_realm: text(|raw| &raw.from_realm),
            alias: text(|raw| &raw.alias).unwrap_or_else(|| key.value.clone()),
            avatar: raw.and_then(|raw| raw.avatar.as_ref()).and_then(|text| self.picture(text)),
            members,
            members_policy: raw
                .and_then(|raw| raw.members_policy)
                .map_or(MembersPolicy::AtLeast, |word| word.0),
            join_rule: raw.and_then(|raw| raw.join_rule).map(|word| word.0),
            history: raw.and_then(|raw| raw.history).map(|word| word.0),
            encrypted: raw.and_then(|raw| raw.encrypted),
            power_levels: levels.unwrap_or_default(),
            parent: raw
                .and_then(|raw| raw.r#in.as_ref())
                .and_then(|named| self.declared(named, Declared::Room)),
            on_remove: raw.and_then(|raw| raw.on_remove).map_or(OnRemove::Retire, |word| word.0),
        }
    }

    /// The id by which a room is named, and what goes with it.
    fn room_id(&mut self, raw: &raw::Room) -> Option<RoomId> {
        let Some(id) = &raw.id else {
            if let Some(realm) = &raw.from_realm {
                let message = "`from_realm` is about a room that is named by its `id`, and this one is not";
                self.findings.error("manifest.from-realm", realm.at, message, "add the room's `id`");
            }
            return None;
        };
        if !text::is_room_id(&id.value) {
            let message = format!("`{}` is not the id of a room", id.value);
            let hint = "write it as Matrix shows it, in quotes: `\"!...\"`";
            self.findings.error("manifest.bad-room-id", id.at, message, hint);
            return None;
        }
        Some(RoomId(id.value.clone()))
    }

    /// Who is named, then who speaks for agents. Nobody twice.
    fn members(&mut self, named: &[Text], speakers: &[(UserId, Option<String>)]) -> Vec<Member> {
        let mut members: Vec<Member> = self
            .users_named(named)
            .into_iter()
            .map(|user| Member { user, display_name: None, role: MemberRole::Named })
            .collect();
        for (user, display_name) in speakers {
            let speaker =
                Member { user: user.clone(), display_name: display_name.clone(), role: MemberRole::Agent };
            match members.iter_mut().find(|member| member.user == *user) {
                Some(member) => *member = speaker,
                None => members.push(speaker),
            }
        }
        members
    }

    /// Fills up a room of an agent. Users of other servers do not count: they are only invited.
    fn pad(&mut self, key: &Text, members: &mut Vec<Member>, matrix: &Matrix, sure: bool) {
        let mut local = members.iter().filter(|member| matrix.localpart(&member.user).is_some()).count();
        for user in &matrix.padding {
            if local >= LEAST_MEMBERS {
                break;
            }
            if !members.iter().any(|member| member.user == *user) {
                members.push(Member { user: user.clone(), display_name: None, role: MemberRole::Padding });
                local += 1;
            }
        }
        if local < LEAST_MEMBERS && sure && !self.findings.damaged {
            let message = format!(
                "the room of `{}` has {local} of the {LEAST_MEMBERS} local members that an agent's room needs",
                key.value
            );
            let hint = "OpenClaw would take it for a direct chat: name more `members`, or fill up with `matrix.padding`";
            self.findings.error("manifest.room-too-small", key.at, message, hint);
        }
    }

    fn power_levels(&mut self, raw: &Entries<i64>, members: &[Member]) -> BTreeMap<UserId, i64> {
        let mut levels = BTreeMap::new();
        for (key, level) in raw.iter() {
            let Some(user) = self.user(key) else { continue };
            if !members.iter().any(|member| member.user == user) {
                let message = format!("`{}` gets a power level, and is not a member", key.value);
                let hint = "add them to `members`, or leave the level away";
                self.findings.warning("manifest.power-of-stranger", key.at, message, hint);
            }
            levels.insert(user, *level);
        }
        levels
    }

    fn picture(&mut self, text: &Text) -> Option<LocalFile> {
        let (path, bytes) = self.referenced(text)?;
        Some(LocalFile { path, sha256: sha256_hex(&bytes) })
    }
}

pub(super) fn is_own(raw: &raw::Fractal) -> bool {
    raw.account.is_some_and(|word| word.0 == Account::Own)
}

/// Who speaks in each room that an agent is bound to, and under which name.
fn speakers<'a>(
    matrix: &Matrix,
    fractals: &BTreeMap<String, Fractal>,
    bindings: &'a [Binding],
) -> Speakers<'a> {
    let mut speakers = Speakers::new();
    for binding in bindings {
        let Peer::Room(room) = &binding.peer else { continue };
        let fractal = fractals.get(&binding.agent);
        let speaker = match fractal {
            Some(fractal) if fractal.account == Account::Own => (matrix.local(&fractal.key), None),
            // The bot is everybody's: only in this room is it called as the fractal is.
            Some(fractal) => {
                let name = fractal.managed.identity.then(|| fractal.name.clone());
                (matrix.bot.clone(), name)
            }
            None => (matrix.bot.clone(), None),
        };
        let here = speakers.entry(room.as_str()).or_default();
        if !here.contains(&speaker) {
            here.push(speaker);
        }
    }
    speakers
}
