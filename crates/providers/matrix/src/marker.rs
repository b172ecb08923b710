//! Whose a room is: the marker that we leave in it, and who counts as its author.
//!
//! The marker is written twice by the one call that makes a room. As the state event [`MARKER`] it can be changed
//! when a room is retired or given up. Inside `m.room.create` it can never be changed, and it is there from the
//! first moment: so also a room whose creation broke off half-way says whose it is. A marker that anybody but our
//! own user sent is a forgery and counts for nothing.

use fraktalia_model::{ResourceId, UserId};
use fraktalia_plan::StepId;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::state::{RoomView, Stated};

/// Type of the state event, and key of the stamp inside `m.room.create`.
pub const MARKER: &str = "io.fraktalia.owner";

/// `auth_provider` of the identity by which a user of ours is known; only admins can write those.
pub const PROVIDER: &str = "io.fraktalia";

/// What a marker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The scope of ownership.
    pub realm: String,
    /// What it is in the manifest.
    pub resource: ResourceId,
    /// The run that wrote it.
    pub run: String,
    /// The step of that run.
    pub step: StepId,
    /// Put out of use: it is no longer what the manifest means by `resource`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

impl Marker {
    /// As content of an event.
    pub fn content(&self) -> Json {
        json!(self)
    }

    fn read(content: &Json) -> Option<Self> {
        serde_json::from_value(content.clone()).ok()
    }
}

/// Whose a room is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Ours. `in_place` is false when only the stamp of its creation says so.
    Ours {
        /// What it is in the manifest.
        resource: ResourceId,
        /// Whether the marker event is there.
        in_place: bool,
    },
    /// Ours once, and put out of use.
    Retired,
    /// Ours once, and given up.
    Released,
    /// Another realm's.
    Other {
        /// Which.
        realm: String,
    },
    /// Nobody of ours ever marked it.
    None,
}

/// Whose the room is, for `realm` and our own user `me`.
pub fn tag(room: &RoomView, me: &UserId, realm: &str) -> Tag {
    let by_us = |event: &Stated| event.sender == *me;
    if let Some(event) = room.get(MARKER, "").filter(by_us) {
        return match Marker::read(&event.content) {
            Some(marker) if marker.realm != realm => Tag::Other { realm: marker.realm },
            Some(marker) if marker.retired => Tag::Retired,
            Some(marker) => Tag::Ours { resource: marker.resource, in_place: true },
            None => Tag::Released,
        };
    }
    match stamp(room, me) {
        Some(stamp) if stamp.realm == realm => Tag::Ours { resource: stamp.resource, in_place: false },
        Some(stamp) => Tag::Other { realm: stamp.realm },
        None => Tag::None,
    }
}

/// The stamp of the room's creation, if our own user made it.
pub fn stamp(room: &RoomView, me: &UserId) -> Option<Marker> {
    let create = room.get("m.room.create", "").filter(|event| event.sender == *me)?;
    Marker::read(create.content.get(MARKER)?)
}

/// The identity that marks a user as made by us: `realm/run/step/localpart`.
pub fn user_mark(realm: &str, run: &str, step: StepId, user: &UserId) -> String {
    format!("{realm}/{run}/{step}/{}", localpart(user))
}

/// Whether an identity marks a user as made in this realm.
pub fn marks_user(external_id: &str, realm: &str) -> bool {
    external_id.strip_prefix(realm).is_some_and(|rest| rest.starts_with('/'))
}

/// `ana` for `@ana:chat.home`.
pub fn localpart(user: &UserId) -> &str {
    let name = user.0.strip_prefix('@').unwrap_or(&user.0);
    name.split(':').next().unwrap_or(name)
}
