//! The stream of events, and the two ways to ask for it.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json, json};

use super::routes::{Answer, Call, Refusal};
use super::world::World;

/// An event of the stream: its place in it is its number.
#[derive(Clone, Debug)]
pub(super) struct Streamed {
    room: String,
    kind: String,
}

impl World {
    /// Puts on the stream what happened in rooms since the last call.
    pub fn note_events(&mut self) {
        for (id, room) in &mut self.rooms {
            let kinds = std::mem::take(&mut room.fresh);
            self.stream.extend(kinds.into_iter().map(|kind| Streamed { room: id.clone(), kind }));
        }
    }

    /// `GET /sync` with a filter: the last event of each room that the filter lets through.
    pub fn sync(&self, user: &str, call: &Call) -> Answer {
        let query: BTreeMap<&str, String> = call
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key, percent_decode_str(value).decode_utf8_lossy().into_owned()))
            .collect();
        let filter: Json = query
            .get("filter")
            .and_then(|filter| serde_json::from_str(filter).ok())
            .ok_or_else(|| Refusal::bad("only with a filter"))?;
        let since = match query.get("since") {
            None => 0,
            Some(token) => position(token).ok_or_else(|| Refusal::bad("Invalid since token"))?,
        };
        let named = filter["room"]["rooms"].as_array();
        let types = filter["room"]["timeline"]["types"].as_array();
        let lets =
            |list: Option<&Vec<Json>>, what: &str| list.is_none_or(|list| list.iter().any(|one| one == what));
        let mut join = Map::new();
        // A token from a future that never came is no error.
        for (number, event) in self.stream.iter().enumerate().skip(since) {
            let there = self.rooms.get(&event.room).is_some_and(|room| room.is_joined(user));
            if there && lets(named, &event.room) && lets(types, &event.kind) {
                let limited = join.contains_key(&event.room);
                let shown =
                    json!({"event_id": format!("${number}"), "type": event.kind, "origin_server_ts": number});
                join.insert(event.room.clone(), json!({"timeline": {"events": [shown], "limited": limited}}));
            }
        }
        Ok(json!({"next_batch": format!("s{}_sim", self.stream.len()), "rooms": {"join": join}}))
    }

    /// `GET /rooms/{room}/event/{id}`
    pub fn event(&self, user: &str, room: &str, id: &str) -> Answer {
        self.must_have_been_in(user, room)?;
        let number = id.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let event = number.and_then(|number| self.stream.get(number)).filter(|event| event.room == room);
        let event = event.ok_or_else(|| Refusal::not_found("Event not found."))?;
        Ok(json!({"event_id": id, "type": event.kind, "origin_server_ts": number}))
    }

    /// Sliding sync without memory: rooms that are named with the state that is asked for, and the newest event.
    pub fn sliding_sync(&self, user: &str, call: &Call) -> Json {
        let mut rooms = Map::new();
        for (id, asked) in call.body["room_subscriptions"].as_object().into_iter().flatten() {
            let Some(room) = self.rooms.get(id).filter(|room| room.is_joined(user)) else { continue };
            let pairs = asked["required_state"].as_array().into_iter().flatten();
            let pairs: Vec<(&Json, &Json)> = pairs.map(|pair| (&pair[0], &pair[1])).collect();
            let lets = |event: &Json| {
                let fits = |key: &Json| key == "*" || *key == event["state_key"];
                pairs.iter().any(|(kind, key)| **kind == event["type"] && fits(key))
            };
            let state: Vec<Json> = room.events(id).into_iter().filter(lets).collect();
            rooms.insert(id.clone(), json!({"initial": true, "required_state": state}));
        }
        if call.body["lists"]["newest"].is_object() {
            let mine =
                |event: &Streamed| self.rooms.get(&event.room).is_some_and(|room| room.is_joined(user));
            if let Some((number, event)) = self.stream.iter().enumerate().rfind(|(_, event)| mine(event)) {
                let shown =
                    json!({"event_id": format!("${number}"), "type": event.kind, "origin_server_ts": number});
                rooms.insert(event.room.clone(), json!({"timeline": [shown]}));
            }
        }
        json!({"pos": "0/sim", "rooms": rooms})
    }
}

fn position(token: &str) -> Option<usize> {
    token.strip_prefix('s')?.split('_').next()?.parse().ok()
}
