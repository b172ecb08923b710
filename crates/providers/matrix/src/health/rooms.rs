//! Rooms that agents are to hear: whether OpenClaw will take them for rooms, and its user is in them.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_engine::health::{BoundRoom, Checklist, Cure, Standing};
use fraktalia_model::{RoomId, UserId};

use super::{Exam, failed};
use crate::client::Client;
use crate::client::lists::ListedRoom;
use crate::error::MatrixError;
use crate::observe::each;

/// With fewer members than this, OpenClaw takes a room for a direct chat.
const MEMBERS: u64 = 3;

/// What is known of a user whom the gateway listens as.
struct Listener {
    rooms: BTreeSet<RoomId>,
    direct: BTreeSet<RoomId>,
}

pub(super) async fn examine(
    list: &Checklist,
    client: &Client,
    rooms: &BTreeMap<RoomId, ListedRoom>,
    exam: &Exam<'_>,
    server: &str,
) {
    let (code, title) = ("matrix.rooms", "agents' rooms");
    if exam.bound.is_empty() {
        return list.ok(code, title, "no agent is bound to a room yet");
    }
    let listeners = match listeners(client, exam, server).await {
        Ok(listeners) => listeners,
        Err(error) => return failed(list, code, title, &error),
    };
    let mut fine = 0;
    for bound in exam.bound {
        let listener = bound.listener.as_ref().unwrap_or(exam.bot);
        if look(list, bound, rooms.get(&bound.room), listener, listeners.get(listener)) {
            fine += 1;
        }
    }
    if fine > 0 {
        let s = if fine == 1 { "" } else { "s" };
        list.ok(code, title, format!("{fine} binding{s} to rooms where the agent is heard"));
    }
}

/// Each user of ours whom the gateway listens as.
async fn listeners(
    client: &Client,
    exam: &Exam<'_>,
    server: &str,
) -> Result<BTreeMap<UserId, Listener>, MatrixError> {
    let all = exam.bound.iter().map(|bound| bound.listener.as_ref().unwrap_or(exam.bot));
    let local: BTreeSet<UserId> =
        all.filter(|user| user.0.ends_with(&format!(":{server}"))).cloned().collect();
    let read = |user: UserId| async move {
        let (rooms, direct) = tokio::try_join!(client.rooms_of(&user), client.direct_rooms_of(&user))?;
        Ok((user, Listener { rooms, direct }))
    };
    Ok(each(local.into_iter().collect(), read).await?.into_iter().collect())
}

/// Whether an agent hears its room.
fn look(
    list: &Checklist,
    bound: &BoundRoom,
    room: Option<&ListedRoom>,
    listener: &UserId,
    known: Option<&Listener>,
) -> bool {
    let (code, title) = ("matrix.rooms", "agents' rooms");
    let agent = &bound.agent;
    let Some(room) = room else {
        let text = format!("`{agent}` is bound to {}, which the homeserver does not know", bound.room);
        let cure = Cure::edit("take the binding out of openclaw.json, or correct its room");
        list.note(list.warning(code, title, text).cure(cure));
        return false;
    };
    let shown = room.shown();
    if known.is_some_and(|known| !known.rooms.contains(&bound.room)) {
        let text = format!("{listener} is not in {shown}, so `{agent}` hears nothing there");
        let cure = Cure::edit(format!(
            "`fraktalia apply` joins it if the manifest has the room; else invite {listener}"
        ));
        list.note(list.failure(code, title, text).cure(cure));
        return false;
    }
    let marked = known.is_some_and(|known| known.direct.contains(&bound.room));
    let (standing, comes) = bound.if_direct;
    if room.joined_members >= MEMBERS && !marked || standing == Standing::Ok {
        return true;
    }
    let (why, cure) = if marked {
        (
            format!("is marked as a direct chat of {listener} (`m.direct`)"),
            "take it out of `m.direct` of that user, or give its room an entry under `channels.matrix.groups`".to_owned(),
        )
    } else {
        let s = if room.joined_members == 1 { "" } else { "s" };
        (
            format!("has {} member{s}; invited ones do not count", room.joined_members),
            "let a third member join: anybody, or a user that `matrix.padding` names".to_owned(),
        )
    };
    let text = format!("{shown} {why}: {comes} (`{agent}`)");
    list.note(list.check(standing, code, title, text).cure(Cure::edit(cure)));
    false
}
