//! Rooms, their members and their places in spaces.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_engine::Ask;
use fraktalia_model::manifest::MembersPolicy;
use fraktalia_model::{Note, ResourceId, RoomId, SystemId, UserId, id};
use fraktalia_plan::{Observed, Owner, Seen};
use serde_json::Value as Json;

use super::read::{Rooms, Wanted};
use super::{Interest, Interests};
use crate::client::Client;
use crate::error::MatrixError;
use crate::marker::{Tag, stamp};
use crate::spec::{MatrixSpec, RoomSpec};
use crate::state::{ChildState, MatrixState, MemberState, Membership, RoomView};

/// Reads the rooms, and what is in them.
pub(super) async fn rooms(
    client: &Client,
    homeserver: &str,
    ask: &Ask<'_, MatrixSpec>,
    interests: &Interests<'_>,
) -> Result<Observed<MatrixState>, MatrixError> {
    let me = client.me().await?;
    let wanted = wanted(interests);
    let read = Rooms::read(client, ask, homeserver, &wanted).await?;
    let mut seen = Observed::default();
    let chosen = choose(&read, interests, &mut seen);
    for (id, (room, owner)) in &chosen {
        let view = &read.views[room];
        // What the manifest names by its id is known, before it is ours as well.
        let named = interests.get(id).is_some_and(|interest| named(interest) == Some(room));
        if *owner == Owner::Ours || (named && *owner == Owner::Unmarked) {
            seen.outputs.set(id, room);
        }
        let state = room_state(&read, view, me, interests.get(id));
        let state = MatrixState::Room(Box::new(state));
        let owner = owner.clone();
        seen.found.insert(id.clone(), Seen { state, owner });
    }
    members(&read, interests, &mut seen);
    names(&read, interests, &mut seen);
    children(&read, me, &chosen, interests, &mut seen);
    let taken: BTreeSet<&RoomId> = interests.values().filter_map(named).collect();
    let ours = |room: &&RoomId| {
        taken.contains(*room) || matches!(read.tags.get(*room), Some(Tag::Ours { .. } | Tag::Retired))
    };
    let strangers = read.joined.iter().filter(|room| !ours(room)).count();
    if strangers > 0 {
        seen.strangers.insert("rooms".into(), strangers);
    }
    seen.how = read.how;
    Ok(seen)
}

/// The rooms that the manifest asks for.
fn wanted(interests: &Interests<'_>) -> Wanted {
    let wanted = interests.values().filter(|interest| interest.want.is_some());
    let specs: Vec<&RoomSpec> = wanted.filter_map(room_spec).collect();
    Wanted {
        aliases: specs.iter().filter(|spec| spec.aliased).map(|spec| spec.alias.clone()).collect(),
        rooms: specs.iter().filter_map(|spec| spec.id.clone()).collect(),
    }
}

/// The room that the manifest names by its id.
fn named<'a>(interest: &'a Interest<'_>) -> Option<&'a RoomId> {
    match interest.want? {
        MatrixSpec::Room(spec) => spec.id.as_ref(),
        _ => None,
    }
}

fn room_spec<'a>(interest: &'a Interest<'_>) -> Option<&'a RoomSpec> {
    match interest.spec() {
        Some(MatrixSpec::Room(spec)) => Some(spec),
        _ => None,
    }
}

/// Which room stands for which resource, and whose it is.
fn choose(
    read: &Rooms,
    interests: &Interests<'_>,
    seen: &mut Observed<MatrixState>,
) -> BTreeMap<ResourceId, (RoomId, Owner)> {
    let holder = |id: &ResourceId| {
        let spec = interests.get(id).and_then(room_spec)?;
        spec.id.as_ref().or_else(|| read.holders.get(&spec.alias))
    };
    let mut chosen: BTreeMap<ResourceId, (RoomId, Owner)> = BTreeMap::new();
    for (id, interest) in interests {
        let Some(room) = named(interest) else { continue };
        if read.views.contains_key(room) {
            chosen.insert(id.clone(), (room.clone(), owner_of_named(read, id, room, interest)));
        } else {
            seen.notes.push(no_such_room(id, room));
        }
    }
    for (room, tag) in &read.tags {
        let Tag::Ours { resource, .. } = tag else { continue };
        if resource.system != SystemId::matrix() || resource.kind != "room" {
            continue;
        }
        let prefer = holder(resource) == Some(room);
        match chosen.get(resource) {
            Some((other, _)) if other == room => {}
            Some((other, _)) => {
                let (kept, spare) = if prefer { (room, other) } else { (other, room) };
                seen.notes.push(second_room(resource, kept, spare));
                if prefer {
                    chosen.insert(resource.clone(), (room.clone(), Owner::Ours));
                }
            }
            None => {
                chosen.insert(resource.clone(), (room.clone(), Owner::Ours));
            }
        }
    }
    for (id, interest) in interests {
        let Some(room) = holder(id) else { continue };
        // Recorded as ours, with no marker of anybody: it was lost, and is put back.
        let lost = interest.owned && matches!(read.tags.get(room), Some(Tag::None));
        let owner = || if lost { Owner::Ours } else { owner_of_stranger(read, room) };
        chosen.entry(id.clone()).or_insert_with(|| (room.clone(), owner()));
    }
    chosen.retain(|_, (room, _)| read.views.contains_key(room));
    chosen
}

/// The manifest itself says that a room is meant which it names by its id: only what others have marked is not ours to
/// take.
fn owner_of_named(read: &Rooms, id: &ResourceId, room: &RoomId, interest: &Interest<'_>) -> Owner {
    let from = interest.want.and_then(|want| match want {
        MatrixSpec::Room(spec) => spec.from_realm.as_deref(),
        _ => None,
    });
    match read.tags.get(room) {
        Some(Tag::Ours { resource, .. }) if resource == id => Owner::Ours,
        Some(Tag::Ours { resource, .. }) => Owner::Foreign(resource.to_string()),
        Some(Tag::Other { realm }) if from != Some(realm) => Owner::Foreign(format!("realm {realm}")),
        _ if interest.owned => Owner::Ours,
        _ => Owner::Unmarked,
    }
}

fn no_such_room(id: &ResourceId, room: &RoomId) -> Note {
    Note::error("matrix-no-such-room", format!("the room {room} is not on this homeserver"))
        .about(id)
        .hint("correct its `id`, or leave it out: then a room is made under its alias")
}

fn second_room(resource: &ResourceId, kept: &RoomId, spare: &RoomId) -> Note {
    Note::warning(
        "matrix-second-room",
        format!("{spare} carries the marker of {resource} too; {kept} is taken for it"),
    )
    .about(resource)
    .hint("somebody copied the marker with our own account; remove it from the other room")
}

fn owner_of_stranger(read: &Rooms, room: &RoomId) -> Owner {
    match read.tags.get(room) {
        Some(Tag::Other { realm }) => Owner::Foreign(format!("realm {realm}")),
        Some(Tag::Released | Tag::Retired) => Owner::Unmarked,
        // Ours, but as another resource: its alias was taken over by hand.
        Some(Tag::Ours { resource, .. }) => Owner::Foreign(resource.to_string()),
        Some(Tag::None) | None => {
            let creator = read.views.get(room).and_then(RoomView::creator);
            Owner::Foreign(creator.map_or_else(|| "somebody".into(), |user| user.to_string()))
        }
    }
}

fn room_state(
    read: &Rooms,
    view: &RoomView,
    me: &UserId,
    interest: Option<&Interest<'_>>,
) -> crate::state::RoomState {
    let marked = matches!(read.tags.get(&view.room), Some(Tag::Ours { in_place: true, .. }));
    let mut state = view.state(me, marked);
    let want = interest.filter(|interest| interest.want.is_some()).and_then(room_spec);
    if let Some(want) = want {
        state.alias_holder = read.holders.get(&want.alias).cloned();
        if want.policy == MembersPolicy::Exact {
            let named: BTreeSet<&UserId> = want.members.iter().chain([me]).collect();
            state.others = view.present().filter(|user| !named.contains(user)).collect();
        }
    } else if let Some(last) = interest.and_then(room_spec) {
        let asked: BTreeSet<&UserId> = last.members.iter().filter(|user| *user != me).collect();
        state.ours = view.present().filter(|user| asked.contains(user)).collect();
    }
    state
}

fn members(read: &Rooms, interests: &Interests<'_>, seen: &mut Observed<MatrixState>) {
    for (id, interest) in interests.iter().filter(|(id, _)| id.kind == "member") {
        // A key holds no slash; a localpart may.
        let Some((key, _)) = id.name.split_once('/') else {
            continue;
        };
        let Some(MatrixSpec::Member(spec)) = interest.spec() else {
            continue;
        };
        let view = seen.outputs.get::<RoomId>(&id::room(key)).and_then(|room| read.views.get(&room));
        let Some(state) = view.and_then(|view| view.member(&spec.user)) else {
            continue;
        };
        let insists = spec.insists();
        if counts(&state, interest, insists) {
            let state = MatrixState::Member(state);
            let owner = Owner::Ours;
            seen.found.insert(id.clone(), Seen { state, owner });
        }
    }
}

/// What users are called in rooms of ours, as far as it is asked for: a name that nobody asks for any more stays, and
/// there is nothing left to be done about it. Who is yet to be brought in has none.
fn names(read: &Rooms, interests: &Interests<'_>, seen: &mut Observed<MatrixState>) {
    for (id, interest) in interests {
        let (Some(MatrixSpec::Name(spec)), Some((key, _))) = (interest.want, id.name.split_once('/')) else {
            continue;
        };
        let room = seen.outputs.get::<RoomId>(&id::room(key));
        let Some(view) = room.and_then(|room| read.views.get(&room)) else {
            continue;
        };
        let insists = match interests.get(&id::member(key, &spec.user.0)).and_then(|member| member.want) {
            Some(MatrixSpec::Member(member)) => member.insists(),
            _ => true,
        };
        let out = view.member(&spec.user).is_some_and(|member| member.membership.stays_out(insists));
        if let Some(state) = view.name(&spec.user).filter(|name| name.joined || out) {
            // In a room of ours a different name was given by somebody else, and is not in the way.
            let (state, owner) = (MatrixState::Name(state), Owner::Ours);
            seen.found.insert(id.clone(), Seen { state, owner });
        }
    }
}

/// Whether somebody's relation to a room is more than having been there once.
fn counts(state: &MemberState, interest: &Interest<'_>, insists: bool) -> bool {
    let present = matches!(state.membership, Membership::Joined | Membership::Invited);
    if interest.want.is_none() {
        return present;
    }
    match state.membership {
        Membership::Kicked => interest.owned,
        Membership::Left => interest.owned || !insists,
        _ => true,
    }
}

fn children(
    read: &Rooms,
    me: &UserId,
    chosen: &BTreeMap<ResourceId, (RoomId, Owner)>,
    interests: &Interests<'_>,
    seen: &mut Observed<MatrixState>,
) {
    let keys: BTreeMap<&RoomId, &str> = chosen
        .iter()
        // Between rooms that were there before, our own user may have made ties that nobody asked us for.
        .filter(|(_, (room, owner))| *owner == Owner::Ours && stamp(&read.views[room], me).is_some())
        .map(|(id, (room, _))| (room, id.name.as_str()))
        .collect();
    let mut pairs: BTreeMap<ResourceId, (RoomId, RoomId)> = BTreeMap::new();
    for id in interests.keys().filter(|id| id.kind == "child") {
        let Some((space, room)) = id.name.split_once('/') else {
            continue;
        };
        let output = |key: &str| seen.outputs.get::<RoomId>(&id::room(key));
        if let (Some(space), Some(room)) = (output(space), output(room)) {
            pairs.insert(id.clone(), (space, room));
        }
    }
    // Places that we gave to rooms of ours, also where our record of them was lost.
    for (space, key) in &keys {
        for (child, event) in
            read.views[*space].of_type("m.space.child").filter(|(_, event)| event.sender == *me)
        {
            let room = RoomId(child.to_owned());
            if let Some(child) = keys.get(&room).filter(|_| tells(&event.content)) {
                pairs.insert(id::child(key, child), ((*space).clone(), room));
            }
        }
    }
    for (id, (space, room)) in pairs {
        let owned = interests.get(&id).is_some_and(|interest| interest.owned);
        if let Some(one) = child(read, me, &space, &room, owned) {
            seen.found.insert(id, one);
        }
    }
}

fn tells(content: &Json) -> bool {
    content.get("via").is_some()
}

fn child(read: &Rooms, me: &UserId, space: &RoomId, room: &RoomId, owned: bool) -> Option<Seen<MatrixState>> {
    let event = |of: &RoomId, kind: &str, other: &RoomId| {
        let event = read.views.get(of)?.get(kind, &other.0)?;
        tells(&event.content).then(|| event.sender.clone())
    };
    let child = event(space, "m.space.child", room);
    let parent = event(room, "m.space.parent", space);
    if child.is_none() && parent.is_none() {
        return None;
    }
    let by_us = [&child, &parent].into_iter().flatten().any(|sender| sender == me);
    // Both rooms are ours, so their ties are as well; a tie that somebody else made is adopted.
    let owner = if owned || by_us { Owner::Ours } else { Owner::Unmarked };
    let state = MatrixState::Child(ChildState {
        space: space.clone(),
        room: room.clone(),
        child: child.is_some(),
        parent: parent.is_some(),
    });
    Some(Seen { state, owner })
}
