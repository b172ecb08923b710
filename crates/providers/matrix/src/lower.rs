//! From the manifest to what is asked of the homeserver.

use std::collections::BTreeMap;

use fraktalia_model::manifest::{self, JoinRule, Manifest, MembersPolicy, OnRemove, Peer};
use fraktalia_model::{Note, Notes, Span, Value, id};
use fraktalia_plan::{Resource, ResourceIds};

use crate::marker::localpart;
use crate::spec::{ChildSpec, MatrixSpec, MemberSpec, NameSpec, Picture, RoomSpec, TokenSpec, UserSpec};

type Wanted = Resource<MatrixSpec>;

/// All that the manifest asks for.
pub(crate) fn lower(manifest: &Manifest) -> Vec<Wanted> {
    let Some(matrix) = &manifest.matrix else {
        return Vec::new();
    };
    let bindings = bindings(manifest);
    let mut wanted = Vec::new();
    // Rooms that were there before need no calls by the hundred.
    if manifest.rooms.values().any(|room| room.id.is_none()) {
        wanted.push(limits(&matrix.at));
    }
    for (name, user) in &manifest.users {
        wanted.push(account(name, user));
        wanted.extend(user.owned_by.as_ref().map(|fractal| token(fractal, name, user)));
    }
    for room in manifest.rooms.values() {
        wanted.push(self::room(matrix, manifest, room));
        wanted.extend(child(matrix, manifest, room));
        wanted.extend(room.members.iter().map(|one| member(matrix, manifest, room, one)));
        wanted.extend(room.members.iter().filter_map(|one| name(matrix, &bindings, room, one)));
    }
    wanted
}

/// What leads to each room.
type Bindings<'a> = BTreeMap<&'a str, Vec<&'a manifest::Binding>>;

fn bindings(manifest: &Manifest) -> Bindings<'_> {
    let mut bindings = Bindings::new();
    for binding in &manifest.bindings {
        if let Peer::Room(room) = &binding.peer {
            bindings.entry(room.as_str()).or_default().push(binding);
        }
    }
    bindings
}

fn limits(at: &Span) -> Wanted {
    Resource {
        id: id::rate_limit(),
        spec: MatrixSpec::Override,
        subject: "matrix".into(),
        requires: ResourceIds::new(),
        on_remove: OnRemove::Keep,
        at: at.clone(),
    }
}

fn account(name: &str, user: &manifest::User) -> Wanted {
    Resource {
        id: id::user(name),
        spec: MatrixSpec::User(UserSpec {
            user: user.id.clone(),
            display_name: user.display_name.clone(),
            bot: user.bot,
            password: user.password.clone(),
        }),
        subject: user.owned_by.clone().unwrap_or_else(|| name.to_owned()),
        requires: ResourceIds::new(),
        on_remove: user.on_remove,
        at: user.at.clone(),
    }
}

fn token(fractal: &str, name: &str, user: &manifest::User) -> Wanted {
    Resource {
        id: id::token(fractal),
        spec: MatrixSpec::Token(TokenSpec { fractal: fractal.to_owned(), user: user.id.clone() }),
        subject: fractal.to_owned(),
        requires: [id::user(name)].into(),
        on_remove: OnRemove::Delete,
        at: user.at.clone(),
    }
}

fn subject(room: &manifest::Room) -> String {
    room.fractal.clone().unwrap_or_else(|| room.key.clone())
}

fn room(matrix: &manifest::Matrix, manifest: &Manifest, room: &manifest::Room) -> Wanted {
    let parent = room.parent.as_deref().filter(|parent| manifest.rooms.contains_key(*parent));
    let restricted = room.join_rule == Some(JoinRule::Restricted);
    Resource {
        id: id::room(&room.key),
        spec: MatrixSpec::Room(Box::new(RoomSpec {
            key: room.key.clone(),
            id: room.id.clone(),
            from_realm: room.from_realm.clone(),
            alias: room.shown(matrix),
            aliased: room.aliased,
            space: room.space,
            name: room.name.clone(),
            topic: room.topic.clone(),
            avatar: room
                .avatar
                .as_ref()
                .map(|file| Picture { path: file.path.clone(), sha256: file.sha256.clone() }),
            members: room.members.iter().map(|member| member.user.clone()).collect(),
            policy: room.members_policy,
            join_rule: room.join_rule,
            allow: parent.filter(|_| restricted).map(|parent| Value::after(id::room(parent))),
            history: room.history,
            encrypted: room.encrypted,
            power_levels: room.power_levels.clone(),
        })),
        subject: subject(room),
        requires: room.id.is_none().then(id::rate_limit).into_iter().collect(),
        on_remove: room.on_remove,
        at: room.at.clone(),
    }
}

fn child(matrix: &manifest::Matrix, manifest: &Manifest, room: &manifest::Room) -> Option<Wanted> {
    let space = manifest.rooms.get(room.parent.as_ref()?)?;
    let (space_id, room_id) = (id::room(&space.key), id::room(&room.key));
    Some(Resource {
        id: id::child(&space.key, &room.key),
        spec: MatrixSpec::Child(ChildSpec {
            space_alias: space.shown(matrix),
            room_alias: room.shown(matrix),
            space: Value::after(space_id.clone()),
            room: Value::after(room_id.clone()),
        }),
        subject: subject(room),
        requires: [space_id, room_id].into(),
        on_remove: OnRemove::Delete,
        at: room.at.clone(),
    })
}

fn member(
    matrix: &manifest::Matrix,
    manifest: &Manifest,
    room: &manifest::Room,
    member: &manifest::Member,
) -> Wanted {
    let local = matrix.localpart(&member.user);
    let mut requires: ResourceIds = [id::room(&room.key)].into();
    requires.extend(local.filter(|name| manifest.users.contains_key(*name)).map(id::user));
    Resource {
        id: id::member(&room.key, &member.user.0),
        spec: MatrixSpec::Member(MemberSpec {
            alias: room.shown(matrix),
            room: Value::after(id::room(&room.key)),
            user: member.user.clone(),
            local: local.is_some(),
            role: member.role,
            policy: room.members_policy,
        }),
        subject: subject(room),
        requires,
        // With `at-least` nobody is ever put out: a member who leaves the manifest is forgotten.
        on_remove: match room.members_policy {
            MembersPolicy::AtLeast => OnRemove::Keep,
            MembersPolicy::Exact => OnRemove::Delete,
        },
        at: room.at.clone(),
    }
}

/// A bot is named only when the gateway has taken up every binding that leads to the room.
///
/// A bot that we join is invited and joined at once. The gateway (seen on OpenClaw 2026.9.6 with `autoJoin: always`)
/// hears of the invitation some hundred milliseconds to seconds later and joins as well, though the bot is in the room
/// by then. That second join writes the member event anew, with the name of the profile: a name that we gave in
/// between is lost. Once `openclaw.json` is written and the gateway is seen to use it, that is over.
fn name(
    matrix: &manifest::Matrix,
    bindings: &Bindings<'_>,
    room: &manifest::Room,
    member: &manifest::Member,
) -> Option<Wanted> {
    matrix.localpart(&member.user)?;
    let display_name = member.display_name.clone()?;
    let bindings = bindings.get(room.key.as_str()).into_iter().flatten();
    let mut requires: ResourceIds =
        bindings.map(|binding| id::binding(&binding.agent, &binding.peer.to_string())).collect();
    requires.insert(id::member(&room.key, &member.user.0));
    Some(Resource {
        id: id::room_name(&room.key, &member.user.0),
        spec: MatrixSpec::Name(NameSpec {
            alias: room.shown(matrix),
            room: Value::after(id::room(&room.key)),
            user: member.user.clone(),
            display_name,
        }),
        subject: subject(room),
        requires,
        on_remove: OnRemove::Keep,
        at: room.at.clone(),
    })
}

/// What does not fit together.
pub(crate) fn lint(desired: &[Wanted]) -> Notes {
    let mut notes = Notes::new();
    for want in desired {
        let MatrixSpec::Room(room) = &want.spec else {
            continue;
        };
        if room.join_rule == Some(JoinRule::Restricted) && room.allow.is_none() {
            notes.push(
                Note::error(
                    "matrix-restricted-without-space",
                    format!("{} lets in the members of a space, but is in none", room.alias),
                )
                .about(&want.id)
                .at(&want.at)
                .hint("say which space with `in:`, or choose another `join_rule`"),
            );
        }
    }
    notes
}

/// `@ana:chat.home` as people of the same homeserver say it.
pub(crate) fn names<'a>(users: impl IntoIterator<Item = &'a fraktalia_model::UserId>) -> String {
    users.into_iter().map(localpart).collect::<Vec<_>>().join(", ")
}
