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

    /// Puts a reaction on a message of ours, in clear as all clients do. One that stands there already is enough.
    ///
    /// # Errors
    /// When it may not stand there. Do it again with the same key.
    pub async fn react(&self, key: &Key, on: &EventId, with: &str) -> Result<(), RoomError> {
        let relation = json!({ "rel_type": "m.annotation", "event_id": on.as_str(), "key": with });
        let transaction: &TransactionId = key.as_str().into();
        let content = json!({ "m.relates_to": relation });
        let sent = self.inner().send_raw("m.reaction", content).with_transaction_id(transaction).await;
        let what = format!("put a reaction on a message in {}", self.inner().room_id());
        match sent.map_err(RoomError::client(&what)) {
            Ok(_) => Ok(()),
            Err(error @ RoomError::SignedOut) => Err(error),
            Err(error) if error.may_pass() => Err(error),
            Err(error) => {
                // Put there by a device that was lost, or the message was deleted: nobody waits for it.
                tracing::info!(%error, "a choice is not put on a plan");
                Ok(())
            }
        }
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
