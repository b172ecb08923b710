//! Waits until something happens in a room. What happened is not read: whoever hears it looks for himself.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Call, Client, client_path, path};
use crate::error::MatrixError;
use crate::marker::MARKER;

/// How long the homeserver holds its answer when nothing happens.
const HELD: Duration = Duration::from_secs(30);
/// What is waited for beyond that.
const GRACE: Duration = Duration::from_secs(15);

/// State that a look reads, and redactions, which change it too. Without this list each message would wake us.
const TYPES: [&str; 14] = [
    MARKER,
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.encryption",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.member",
    "m.room.name",
    "m.room.power_levels",
    "m.room.redaction",
    "m.room.tombstone",
    "m.room.topic",
    "m.space.child",
];

impl Client {
    /// Where the stream of events is now.
    pub async fn stream_position(&self) -> Result<String, MatrixError> {
        // Without any room the answer costs nothing, however many rooms there are.
        let mut filter = filter();
        filter["room"]["rooms"] = json!([]);
        Ok(self.sync(&filter, None).await?.next)
    }

    /// Waits until something happens after `since`, or for half a minute: where the stream is then, and whether something
    /// did.
    pub async fn wait_for_rooms(&self, since: &str) -> Result<(String, bool), MatrixError> {
        let synced = self.sync(&filter(), Some(since)).await?;
        Ok((synced.next, synced.rooms))
    }

    async fn sync(&self, filter: &Json, since: Option<&str>) -> Result<Synced, MatrixError> {
        let position = since.map_or_else(
            || "&timeout=0".to_owned(),
            |since| format!("&timeout={}&since={}", HELD.as_millis(), &path(&[since])[1..]),
        );
        let filter = &path(&[&filter.to_string()])[1..];
        let query = format!("?set_presence=offline&filter={filter}{position}");
        let call = Call::get(client_path(&["sync"]) + &query, "wait for something to happen in a room");
        let request = self.http.get(format!("{}{}", self.base, call.path)).bearer_auth(self.token.expose());
        // Waiting is what this is for: the limit of other reads would end it.
        let response = request.timeout(HELD + GRACE).send().await;
        let response = response.map_err(|error| self.transport(&call, error))?;
        let status = response.status();
        let patience = super::retry_after(&response);
        let body = self.read(&call, response).await?;
        let answer = self.judge(&call, status, patience, &body)?;
        serde_json::from_value::<Answer>(answer).map(Synced::from).map_err(|source| {
            MatrixError::Misunderstood { what: "wait for something to happen in a room".into(), source }
        })
    }
}

fn filter() -> Json {
    let nothing = json!({ "types": [], "limit": 0 });
    json!({
        "presence": nothing,
        "account_data": nothing,
        "event_fields": ["type"],
        "room": {
            "account_data": nothing,
            "ephemeral": nothing,
            "state": { "types": TYPES, "lazy_load_members": true },
            "timeline": { "types": TYPES, "limit": 1 },
        },
    })
}

#[derive(serde::Deserialize)]
struct Answer {
    next_batch: String,
    #[serde(default)]
    rooms: Json,
}

struct Synced {
    next: String,
    rooms: bool,
}

impl From<Answer> for Synced {
    fn from(answer: Answer) -> Self {
        let any = |kind: &str| answer.rooms[kind].as_object().is_some_and(|rooms| !rooms.is_empty());
        let rooms = ["join", "leave", "invite", "knock"].into_iter().any(any);
        Self { next: answer.next_batch, rooms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(text: &str) -> bool {
        Synced::from(serde_json::from_str::<Answer>(text).unwrap()).rooms
    }

    #[test]
    fn only_rooms_are_a_reason_to_look() {
        assert!(!rooms(r#"{ "next_batch": "s1" }"#));
        assert!(!rooms(
            r#"{ "next_batch": "s1", "rooms": { "join": {} }, "to_device": { "events": [{}] } }"#
        ));
        assert!(rooms(r#"{ "next_batch": "s1", "rooms": { "join": { "!a": {} } } }"#));
        assert!(rooms(r#"{ "next_batch": "s1", "rooms": { "leave": { "!a": {} } } }"#));
    }
}
