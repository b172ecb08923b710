//! Reads all that lives on the homeserver, asked for or not.

use std::collections::BTreeSet;

use fraktalia_engine::{ObserveError, Survey};
use fraktalia_model::living::{Living, LivingRoom, LivingUser, RoomMark};
use fraktalia_model::{Note, RoomId, UserId};
use serde_json::Value as Json;

use crate::client::Client;
use crate::client::lists::Users;
use crate::client::rooms::StateEvent;
use crate::error::MatrixError;
use crate::marker::{Tag, tag};
use crate::observe::each;
use crate::state::{Membership, RoomView};
use crate::system::Matrix;

/// More than this of one kind is not listed: nobody takes over so many at once.
const MOST: usize = 5_000;
/// Longer texts than this are left to the room: a manifest is no place for them.
const LONGEST: usize = 2_000;

/// See [`fraktalia_engine::Provider::discover`].
pub(crate) async fn discover(matrix: &Matrix, survey: Survey<'_>) -> Result<Living, ObserveError> {
    let client = matrix.connect(survey.secrets).await?;
    let me = client.me().await?;
    if !client.is_admin().await? {
        return Err(ObserveError::new(format!("{me} has no admin rights on {}", matrix.homeserver))
            .with_hint("`matrix.admin_token` has to be the token of a server admin"));
    }
    let (users, listed) = tokio::try_join!(client.users(Users::InUse, MOST), client.all_rooms(MOST))?;
    let mut living = Living { me: Some(me.clone()), ..Living::default() };
    for (what, many) in [("users", users.len()), ("rooms", listed.len())] {
        if many >= MOST {
            let text = format!("the homeserver has more than {MOST} {what}: the others are not looked at");
            living.notes.push(Note::warning("matrix-too-many", text));
        }
    }
    living.users = users
        .into_iter()
        .map(|user| LivingUser {
            id: user.name,
            display_name: user.displayname.and_then(short),
            bot: user.user_type.as_deref() == Some("bot"),
        })
        .collect();
    let inhabited = listed.into_iter().filter(|room| room.joined_local_members > 0);
    let rooms: Vec<RoomId> = inhabited.map(|room| room.room_id).collect();
    let realm = survey.manifest.realm.as_str();
    let read = |room: RoomId| room_of(&client, me, realm, room);
    living.rooms = each(rooms, read).await?.into_iter().flatten().collect();
    living
        .rooms
        .sort_by(|one, other| (&one.alias, &one.name, &one.id).cmp(&(&other.alias, &other.name, &other.id)));
    Ok(living)
}

fn short(text: String) -> Option<String> {
    (text.len() <= LONGEST && !text.is_empty()).then_some(text)
}

async fn room_of(
    client: &Client,
    me: &UserId,
    realm: &str,
    room: RoomId,
) -> Result<Option<LivingRoom>, MatrixError> {
    let Some(events) = client.room_state(&room).await? else { return Ok(None) };
    let replaced =
        events.iter().any(|event| event.kind == "m.room.tombstone" && says(event, "replacement_room"));
    let view = RoomView::new(room, events);
    let mut found = living(&view, me, realm, replaced);
    if let Some(alias) = &found.alias
        && client.resolve(alias).await?.as_ref() != Some(&found.id)
    {
        found.alias = None;
    }
    Ok(Some(found))
}

fn says(event: &StateEvent, field: &str) -> bool {
    event.content.get(field).and_then(Json::as_str).is_some_and(|text| !text.is_empty())
}

fn living(view: &RoomView, me: &UserId, realm: &str, replaced: bool) -> LivingRoom {
    let state = view.state(me, false);
    let with = |wanted: Membership| -> BTreeSet<UserId> {
        let users =
            view.present().filter(|user| view.member(user).is_some_and(|one| one.membership == wanted));
        users.collect()
    };
    let ties = |kind: &str| -> BTreeSet<RoomId> {
        let told = view.of_type(kind).filter(|(_, event)| event.content.get("via").is_some());
        told.map(|(room, _)| RoomId(room.to_owned())).collect()
    };
    let default = state.power_levels.get("users_default").and_then(Json::as_i64).unwrap_or(0);
    let levels = state.power_levels.get("users").and_then(Json::as_object).into_iter().flatten();
    LivingRoom {
        id: view.room.clone(),
        space: state.space,
        name: state.name.clone().and_then(short),
        topic: state.topic.clone().and_then(short),
        alias: state.alias.clone().and_then(short),
        join_rule: state.join_rule.clone(),
        allow: state.allow.clone(),
        history: state.history.clone(),
        encrypted: state.encrypted,
        power_levels: levels
            .filter_map(|(user, level)| Some((UserId(user.clone()), level.as_i64()?)))
            .filter(|(user, level)| *level != default && !state.creators.contains(user))
            .collect(),
        joined: with(Membership::Joined),
        invited: with(Membership::Invited),
        children: ties("m.space.child"),
        parents: ties("m.space.parent"),
        mark: match tag(view, me, realm) {
            Tag::Ours { resource, .. } => RoomMark::Ours(resource),
            Tag::Retired => RoomMark::Retired,
            Tag::Other { realm } => RoomMark::Realm(realm),
            Tag::Released | Tag::None => RoomMark::None,
        },
        entered: state.entered,
        replaced,
    }
}
