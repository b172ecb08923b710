//! The cheapest ways to read the state of all rooms, by a bare client: what a cold plan is held against.

use std::time::Instant;

use fraktalia_testkit::real::{Person, encode};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::server::{Asked, Server};
use crate::error::TaskError;

/// Calls that a bare client has under way: as many as the program reads rooms by, and has steps of Synapse.
pub const AT_ONCE: usize = 8;
/// The room state that the program looks at.
const NEEDED: [&str; 13] = [
    "m.room.create",
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.power_levels",
    "m.room.encryption",
    "m.room.member",
    "m.space.child",
    "m.space.parent",
    "io.fraktalia.owner",
];

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One sliding sync (MSC4186) over all rooms, with the state that is needed.
    Sliding,
    /// The whole state of each room, eight calls at once.
    EachRoom,
}

/// What reading took.
#[derive(Clone, Debug)]
pub struct Read {
    /// Until the last byte was there, in seconds.
    pub wall: f64,
    /// Of the homeserver.
    pub asked: Asked,
    /// How many rooms there were.
    pub rooms: usize,
}

/// Reads all rooms of the administrator.
pub async fn read(server: &Server, way: Way, round: usize) -> Result<Read, TaskError> {
    let client = server.admin().clone();
    let mark = server.mark().await?;
    let start = Instant::now();
    let rooms = match way {
        Way::Sliding => sliding(&client, round).await?,
        Way::EachRoom => each_room(&client).await?,
    };
    let wall = start.elapsed().as_secs_f64();
    Ok(Read { wall, asked: server.since(mark).await?, rooms })
}

async fn sliding(client: &Person, round: usize) -> Result<usize, TaskError> {
    let state: Vec<[&str; 2]> = NEEDED.iter().map(|kind| [*kind, "*"]).collect();
    // A name that the homeserver has not seen: it would go on from what that connection has got already.
    let name = format!("bench-{}-{round}", std::process::id());
    let list = json!({ "ranges": [[0, 99_999]], "timeline_limit": 0, "required_state": state });
    let body = json!({ "conn_id": name, "lists": { "all": list } });
    let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";
    let answer = client.post(path, &body).await?;
    let rooms = answer["rooms"].as_object().map_or(0, serde_json::Map::len);
    let has_state = |room: &Value| room["required_state"].as_array().is_some_and(|state| state.len() > 5);
    if answer["rooms"].as_object().is_some_and(|rooms| rooms.values().all(has_state)) {
        return Ok(rooms);
    }
    Err(TaskError::Found("the sliding sync did not bring the state of the rooms".to_owned()))
}

async fn each_room(client: &Person) -> Result<usize, TaskError> {
    let joined = client.get("/_matrix/client/v3/joined_rooms").await?;
    let rooms: Vec<String> = joined["joined_rooms"]
        .as_array()
        .map(|rooms| rooms.iter().filter_map(|room| Some(room.as_str()?.to_owned())).collect())
        .unwrap_or_default();
    let read = |room: &String| {
        let path = format!("/_matrix/client/v3/rooms/{}/state", encode(room));
        async move { client.get(&path).await.map(drop) }
    };
    let reads: Vec<_> = rooms.iter().map(read).collect();
    stream::iter(reads).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(rooms.len())
}
