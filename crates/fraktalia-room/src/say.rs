//! What we say. The key of an act is the transaction id, so that the homeserver makes one event of it, however often
//! it is said by this device. Synapse remembers them for a day, also over a restart.

use fraktalia_desk::{EventId, Key, Words};
use matrix_sdk::ruma::TransactionId;
use serde_json::{Value, json};

use crate::error::RoomError;
use crate::room::Room;

impl Room {
    /// Says something, in a thread where one is named. In an encrypted room for the devices that the members have now.
    ///
    /// # Errors
    /// When it may not have been said. Say it again with the same key.
    pub async fn say(
        &self,
        key: &Key,
        thread: Option<&EventId>,
        words: &Words,
    ) -> Result<EventId, RoomError> {
        let mut content = content(words, "");
        if let Some(root) = thread {
            content["m.relates_to"] = json!({
                "rel_type": "m.thread",
                "event_id": root.as_str(),
                // What clients without threads show.
                "is_falling_back": true,
                "m.in_reply_to": { "event_id": root.as_str() },
            });
        }
        self.send(key, content).await
    }

    /// Changes what we said.
    ///
    /// # Errors
    /// When it may not have been changed. Do it again with the same key.
    pub async fn edit(&self, key: &Key, of: &EventId, words: &Words) -> Result<(), RoomError> {
        let mut edit = content(words, "* ");
        edit["m.new_content"] = content(words, "");
        edit["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": of.as_str() });
        self.send(key, edit).await.map(|_| ())
    }

    async fn send(&self, key: &Key, content: Value) -> Result<EventId, RoomError> {
        let transaction: &TransactionId = key.as_str().into();
        let sent = self.inner().send_raw("m.room.message", content).with_transaction_id(transaction).await;
        let what = format!("say something in {}", self.inner().room_id());
        let id = sent.map_err(RoomError::client(&what))?.response.event_id;
        EventId::new(id.as_str()).ok_or_else(|| RoomError::Setting {
            what: "the homeserver's event id",
            value: id.to_string(),
            why: "it is longer than ids are".into(),
        })
    }
}

/// Both forms of a message, which calls nobody.
fn content(words: &Words, before: &str) -> Value {
    json!({
        "msgtype": "m.text",
        "body": format!("{before}{}", words.plain()),
        "format": "org.matrix.custom.html",
        "formatted_body": format!("{before}{}", words.html()),
        "m.mentions": {},
    })
}
