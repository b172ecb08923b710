//! Messages that we write, as a user whose token we hold.

use fraktalia_model::{RoomId, SecretText};
use serde_json::{Value as Json, json};

use super::{Call, Client, client_path};
use crate::error::MatrixError;

impl Client {
    /// Whether a room is end-to-end encrypted, asked as a member of it.
    pub async fn is_encrypted(&self, room: &RoomId, member: &SecretText) -> Result<bool, MatrixError> {
        let path = client_path(&["rooms", &room.0, "state", "m.room.encryption", ""]);
        let call =
            Call { token: Some(member), ..Call::get(path, format!("ask whether {room} is encrypted")) };
        Ok(self.find::<Json>(call).await?.is_some())
    }

    /// Writes a notice: a message that no bot answers, and that calls nobody by name. The same `transaction` of the same
    /// token twice is one message.
    pub async fn notice(
        &self,
        room: &RoomId,
        member: &SecretText,
        transaction: &str,
        (plain, html): (&str, &str),
    ) -> Result<(), MatrixError> {
        let path = client_path(&["rooms", &room.0, "send", "m.room.message", transaction]);
        let body = json!({
            "msgtype": "m.notice",
            "body": plain,
            "format": "org.matrix.custom.html",
            "formatted_body": html,
            "m.mentions": {},
        });
        self.tell(Call { token: Some(member), ..Call::put(path, body, format!("write into {room}")) }).await
    }
}
