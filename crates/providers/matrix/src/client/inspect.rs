//! Questions about the homeserver as a whole: what `doctor` wants to know and a plan does not.

use std::collections::BTreeSet;

use fraktalia_model::{RoomId, UserId};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Call, Client, admin_path};
use crate::error::MatrixError;

impl Client {
    /// The rooms that a local user is in.
    pub async fn rooms_of(&self, user: &UserId) -> Result<BTreeSet<RoomId>, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            joined_rooms: BTreeSet<RoomId>,
        }
        let path = admin_path(&["v1", "users", &user.0, "joined_rooms"]);
        let answer: Answer = self.call(Call::get(path, format!("list the rooms of {user}"))).await?;
        Ok(answer.joined_rooms)
    }

    /// The rooms that a local user's clients take for direct chats (`m.direct`).
    pub async fn direct_rooms_of(&self, user: &UserId) -> Result<BTreeSet<RoomId>, MatrixError> {
        let path = admin_path(&["v1", "users", &user.0, "accountdata"]);
        let answer: Json = self.call(Call::get(path, format!("read the account data of {user}"))).await?;
        let of_all = answer["account_data"]["global"]["m.direct"].as_object();
        let rooms = of_all.into_iter().flatten().filter_map(|(_, rooms)| rooms.as_array()).flatten();
        Ok(rooms.filter_map(Json::as_str).map(|room| RoomId(room.to_owned())).collect())
    }
}
