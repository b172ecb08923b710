//! What has changed in our own rooms since we last looked, and the state of many rooms in one answer.
//!
//! Two doors of the client API lead there: `/sync`, whose token is a place in the homeserver's one stream of events,
//! and sliding sync (MSC4186), which reads a hundred rooms in one answer, for two thirds of what it costs to ask for each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fraktalia_model::RoomId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::rooms::StateEvent;
use super::{Call, Client, client_path, path};
use crate::error::{MatrixError, code};
use crate::state::WATCHED;

/// How long the homeserver holds its answer when nothing happens.
const HELD: Duration = Duration::from_secs(30);

/// A place in the stream of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(pub String);

impl Position {
    /// Whether the other is further on; `None` when these tokens do not tell. They are the homeserver's own business,
    /// but Synapse writes the number of the last event first: `s4473_2_0_1`.
    pub fn is_before(&self, other: &Self) -> Option<bool> {
        Some(self.event()? < other.event()?)
    }

    fn event(&self) -> Option<u64> {
        self.0.strip_prefix('s')?.split('_').next()?.parse().ok()
    }
}

/// An event that the homeserver has, as long as nobody takes its database back to an earlier day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Where it is.
    pub room: RoomId,
    /// Its id.
    pub event: String,
}

/// What has happened since a place in the stream.
#[derive(Clone, Debug)]
pub struct News {
    /// Where the stream stands now.
    pub position: Position,
    /// The rooms in which something did.
    pub rooms: Vec<RoomId>,
    /// The newest event of all.
    pub newest: Option<Anchor>,
}

#[derive(Deserialize)]
struct Event {
    event_id: String,
    #[serde(default)]
    origin_server_ts: u64,
}

/// The newest of these by the clocks of their servers.
fn newest<'a>(events: impl Iterator<Item = (&'a RoomId, &'a Event)>) -> Option<Anchor> {
    let (room, event) = events.max_by_key(|(_, event)| event.origin_server_ts)?;
    Some(Anchor { room: room.clone(), event: event.event_id.clone() })
}

/// What nobody else asks for: Synapse may answer a question that it was asked two minutes ago as it did then.
fn nonce() -> String {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("@{now:x}-{:x}-{:x}:nobody", std::process::id(), ASKED.fetch_add(1, Ordering::Relaxed))
}

/// A filter that lets nothing through but some events of timelines.
fn filter(timeline: &Json, rooms: Option<&[RoomId]>) -> String {
    let nothing = json!({"types": []});
    let mut room = json!({
        "timeline": timeline,
        "state": nothing,
        "account_data": nothing,
        "ephemeral": {"types": [], "not_senders": [nonce()]},
    });
    if let Some(rooms) = rooms {
        room["rooms"] = json!(rooms);
    }
    json!({"room": room, "presence": nothing, "account_data": nothing}).to_string()
}

impl Client {
    /// Where the stream stands now.
    pub async fn position(&self) -> Result<Position, MatrixError> {
        Ok(self.sync(None, &filter(&json!({"limit": 1}), Some(&[]))).await?.position)
    }

    /// The rooms of ours in which anything happened.
    ///
    /// # Errors
    /// Also when the homeserver does not know the position.
    pub async fn news(&self, since: &Position) -> Result<News, MatrixError> {
        self.sync(Some(since), &filter(&json!({"limit": 1}), None)).await
    }

    /// Which of these rooms changed in what we watch.
    ///
    /// An event that was redacted is still the state, with less in it: a redaction counts as well. What the events say
    /// is not asked: of two that were sent at the same time, only the homeserver knows which one holds.
    pub async fn changed(&self, since: &Position, rooms: &[RoomId]) -> Result<Vec<RoomId>, MatrixError> {
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        let timeline = json!({"limit": 1, "types": watched_events()});
        // A filter travels in the address, which has its limits.
        let named = (rooms.len() <= 50).then_some(rooms);
        Ok(self.sync(Some(since), &filter(&timeline, named)).await?.rooms)
    }

    /// Waits until something happens in a room that is watched, or [`HELD`] has passed; whether something did, and where
    /// the stream stands then. What it was is not told: whoever hears it looks.
    pub async fn wait(&self, since: &Position) -> Result<(Position, bool), MatrixError> {
        let filter = filter(&json!({"limit": 1, "types": watched_events()}), None);
        let answer = self.ask_sync(Some(since), &filter, HELD).await?;
        let rooms = answer.rooms;
        let others = [&rooms.leave, &rooms.invite, &rooms.knock];
        let happened = !rooms.join.is_empty() || others.into_iter().any(|rooms| !rooms.is_empty());
        Ok((Position(answer.next_batch), happened))
    }

    async fn sync(&self, since: Option<&Position>, filter: &str) -> Result<News, MatrixError> {
        let answer = self.ask_sync(since, filter, Duration::ZERO).await?;
        let mut rooms = answer.rooms.join;
        rooms.retain(|_, room| room.timeline.limited || !room.timeline.events.is_empty());
        let events = rooms
            .iter()
            .flat_map(|(room, joined)| joined.timeline.events.iter().map(move |event| (room, event)));
        let newest = newest(events);
        Ok(News { position: Position(answer.next_batch), newest, rooms: rooms.into_keys().collect() })
    }

    async fn ask_sync(
        &self,
        since: Option<&Position>,
        filter: &str,
        held: Duration,
    ) -> Result<Synced, MatrixError> {
        let encode = |text: &str| path(&[text])[1..].to_owned();
        let since = since.map(|since| format!("&since={}", encode(&since.0))).unwrap_or_default();
        let query =
            format!("set_presence=offline&timeout={}&filter={}{since}", held.as_millis(), encode(filter));
        let address = format!("{}?{query}", client_path(&["sync"]));
        self.call(Call { held, ..Call::get(address, "ask what has changed") }).await
    }

    /// Whether an event is there.
    pub async fn has(&self, anchor: &Anchor) -> Result<bool, MatrixError> {
        let path = client_path(&["rooms", &anchor.room.0, "event", &anchor.event]);
        let found: Result<Option<Event>, _> =
            self.find(Call::get(path, format!("look for an event in {}", anchor.room))).await;
        match found {
            Ok(found) => Ok(found.is_some()),
            // Out of a room that we are not in any more, nothing can be told.
            Err(error) if error.is(code::FORBIDDEN) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is watched of the state of these rooms, which our own user is in, in one answer; a room that the homeserver leaves out has none.
    /// `None` where the homeserver cannot do that. `conn` tells questions apart that are asked at the same time.
    pub async fn rooms_at_once(
        &self,
        conn: usize,
        rooms: &[RoomId],
    ) -> Result<Option<BTreeMap<RoomId, Vec<StateEvent>>>, MatrixError> {
        let key = |kind: &str| {
            let many = matches!(kind, "m.room.member" | "m.space.child" | "m.space.parent");
            json!([kind, if many { "*" } else { "" }])
        };
        let watched: Vec<Json> = WATCHED.into_iter().map(key).collect();
        let wanted = json!({"timeline_limit": 0, "required_state": watched});
        let subscriptions: Map<String, Json> =
            rooms.iter().map(|room| (room.0.clone(), wanted.clone())).collect();
        let body = json!({"conn_id": format!("fraktalia-{conn}"), "room_subscriptions": subscriptions});
        let answer = self.sliding(body, format!("read {} rooms", rooms.len())).await?;
        Ok(answer.map(|rooms| rooms.into_iter().map(|(id, room)| (id, room.required_state)).collect()))
    }

    /// The newest event in the room where something was said last, if the homeserver can tell.
    pub async fn newest(&self) -> Result<Option<Anchor>, MatrixError> {
        let list = json!({"ranges": [[0, 0]], "timeline_limit": 1, "required_state": []});
        let body = json!({"conn_id": "fraktalia-newest", "lists": {"newest": list}});
        let rooms = self.sliding(body, "look for the newest event".into()).await?.unwrap_or_default();
        let events = rooms.iter().flat_map(|(id, room)| room.timeline.iter().map(move |event| (id, event)));
        Ok(newest(events))
    }

    async fn sliding(&self, body: Json, what: String) -> Result<Option<BTreeMap<RoomId, Room>>, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            rooms: BTreeMap<RoomId, Room>,
        }
        let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";
        match self.call::<Answer>(Call::post(path.into(), body, what)).await {
            Ok(answer) => Ok(Some(answer.rooms)),
            Err(error) if error.is(code::UNRECOGNIZED) || error.is(code::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Types of events that change what we watch.
fn watched_events() -> Vec<&'static str> {
    WATCHED.into_iter().chain(["m.room.redaction"]).collect()
}

#[derive(Deserialize)]
struct Synced {
    next_batch: String,
    #[serde(default)]
    rooms: SyncedRooms,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SyncedRooms {
    join: BTreeMap<RoomId, Joined>,
    leave: Map<String, Json>,
    invite: Map<String, Json>,
    knock: Map<String, Json>,
}

#[derive(Deserialize)]
struct Joined {
    timeline: Timeline,
}

#[derive(Deserialize)]
struct Timeline {
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    limited: bool,
}

/// A room in an answer of sliding sync.
#[derive(Deserialize)]
struct Room {
    #[serde(default)]
    required_state: Vec<StateEvent>,
    #[serde(default)]
    timeline: Vec<Event>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_compared_by_the_number_of_the_last_event() {
        let at = |text: &str| Position(text.into());
        assert_eq!(at("s9_2_0").is_before(&at("s10_1_0")), Some(true));
        assert_eq!(at("s10_1").is_before(&at("s10_9")), Some(false));
        assert_eq!(at("m9~1.4_2").is_before(&at("s10_1")), None);
    }

    #[test]
    fn invitations_and_leaves_are_something_that_happened() {
        let rooms = |text: &str| serde_json::from_str::<Synced>(text).expect("an answer").rooms;
        assert_eq!(rooms(r#"{"next_batch": "s1"}"#).leave.len(), 0);
        assert_eq!(rooms(r#"{"next_batch": "s1", "rooms": {"leave": {"!a": {}}}}"#).leave.len(), 1);
        assert_eq!(rooms(r#"{"next_batch": "s1", "rooms": {"invite": {"!a": {"x": 1}}}}"#).invite.len(), 1);
    }

    #[test]
    fn no_two_questions_are_the_same() {
        let ask = || filter(&json!({}), None);
        assert_ne!(ask(), ask());
    }
}
