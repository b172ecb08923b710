//! What was written and sent in a room: counted, and taken away for good.

use std::collections::BTreeSet;

use fraktalia_model::RoomId;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Call, Client, admin_path, client_path};
use crate::error::{MatrixError, code};

/// Events in one answer. Synapse gives no more than a thousand.
const PAGE: usize = 1000;

/// The media that the events of a room refer to, as `mxc://` addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RoomMedia {
    /// Those that were sent to this homeserver.
    pub local: BTreeSet<String>,
    /// Those of other homeservers, of which this one may keep a copy.
    pub remote: BTreeSet<String>,
}

/// What the homeserver knows of a medium.
#[derive(Clone, Debug, Deserialize)]
pub struct Info {
    /// Who sent it to the homeserver.
    pub user_id: Option<String>,
    /// Its size; none for one that was announced and never sent.
    pub media_length: Option<u64>,
}

/// A page of what happened in a room, newest first.
#[derive(Clone, Debug, Deserialize)]
pub struct Page {
    /// What happened.
    pub chunk: Vec<Json>,
    /// Where it goes on; nowhere when absent.
    #[serde(default)]
    pub end: Option<String>,
}

/// How far the homeserver is with removing a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Not done.
    Running,
    /// Done.
    Done,
    /// Given up.
    Failed(String),
}

impl Client {
    /// The media that the events of a room refer to, those of deleted messages included. What is encrypted does not show.
    pub async fn media_in(&self, room: &RoomId) -> Result<RoomMedia, MatrixError> {
        let path = admin_path(&["v1", "room", &room.0, "media"]);
        self.call(Call::get(path, format!("list the media of {room}"))).await
    }

    /// A local medium; `None` when it is not there.
    pub async fn medium(&self, server: &str, id: &str) -> Result<Option<Info>, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            media_info: Info,
        }
        let path = admin_path(&["v1", "media", server, id]);
        let answer: Option<Answer> = self.find(Call::get(path, "look up a medium")).await?;
        Ok(answer.map(|answer| answer.media_info))
    }

    /// Removes a local medium for good. One that is gone already is fine.
    pub async fn delete_medium(&self, server: &str, id: &str) -> Result<(), MatrixError> {
        let path = admin_path(&["v1", "media", server, id]);
        match self.tell(Call::new(Method::DELETE, path, format!("delete the medium {id}"))).await {
            Err(error) if !error.is(code::NOT_FOUND) => Err(error),
            _ => Ok(()),
        }
    }

    /// What happened in a room, backwards from its end or from where a page said that it goes on.
    pub async fn events(&self, room: &RoomId, from: Option<&str>) -> Result<Page, MatrixError> {
        let path = admin_path(&["v1", "rooms", &room.0, "messages"]);
        let from = from.map(|from| format!("&from={}", super::path(&[from]).trim_start_matches('/')));
        let path = format!("{path}?dir=b&limit={PAGE}{}", from.unwrap_or_default());
        self.call(Call::get(path, format!("read what was written in {room}"))).await
    }

    /// Writes an event into a room, and gives its id. The same `transaction` twice is one event.
    pub async fn send_event(
        &self,
        room: &RoomId,
        kind: &str,
        transaction: &str,
        content: Json,
    ) -> Result<String, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            event_id: String,
        }
        let path = client_path(&["rooms", &room.0, "send", kind, transaction]);
        let call = Call::put(path, content, format!("write into {room}"));
        Ok(self.call::<Answer>(call).await?.event_id)
    }

    /// Has the homeserver remove all that was written in a room before `event`; gives the name by which it is followed.
    /// State stays.
    pub async fn purge_history(&self, room: &RoomId, event: &str) -> Result<String, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            purge_id: String,
        }
        let path = admin_path(&["v1", "purge_history", &room.0]);
        // Without `delete_local_events` only what came from other homeservers would go.
        let body = json!({"purge_up_to_event_id": event, "delete_local_events": true});
        let call = Call::post(path, body, format!("remove the history of {room}"));
        Ok(self.call::<Answer>(call).await?.purge_id)
    }

    /// How far a removal is.
    pub async fn purge_status(&self, purge: &str) -> Result<Purge, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            status: String,
            #[serde(default)]
            error: Option<String>,
        }
        let path = admin_path(&["v1", "purge_history_status", purge]);
        let call = Call::get(path, "follow the removal of a history");
        let answer: Answer = self.call(call).await?;
        Ok(match answer.status.as_str() {
            "complete" => Purge::Done,
            "failed" => Purge::Failed(answer.error.unwrap_or_else(|| "it does not say why".into())),
            _ => Purge::Running,
        })
    }
}
