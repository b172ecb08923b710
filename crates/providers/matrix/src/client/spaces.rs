//! What ties rooms to spaces, and a member's name in one room.

use fraktalia_model::{RoomId, UserId};
use serde_json::{Value as Json, json};

use super::rooms::Key;
use super::{Call, Client, client_path};
use crate::error::MatrixError;

/// Which servers know a room: version 12 ids do not say it themselves.
pub fn via(server_name: &str) -> Json {
    json!({"via": [server_name]})
}

impl Client {
    /// Writes a user's own member event, by a token that lives only for this call.
    pub async fn put_own_member(
        &self,
        room: &RoomId,
        user: &UserId,
        content: Json,
    ) -> Result<(), MatrixError> {
        let token = self.login_as(user).await?;
        let key = Key { kind: "m.room.member", state_key: &user.0 };
        let path = client_path(&["rooms", &room.0, "state", key.kind, key.state_key]);
        let call = Call {
            token: Some(&token),
            ..Call::put(path, content, format!("set the name of {user} in {room}"))
        };
        let written = self.tell(call).await;
        // The token goes whether the name was taken or not; a failure to write is the one to report.
        let logged_out = self.logout(&token).await;
        written.and(logged_out)
    }
}
