//! Questions about the homeserver as a whole: what `doctor` wants to know and a plan does not.

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_model::{RoomId, UserId};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Call, Client, admin_path};
use crate::error::MatrixError;

/// Rooms of one answer.
const PAGE: usize = 1000;
/// More are not asked for.
const MOST: usize = 100_000;

/// A room in the list of all.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedRoom {
    /// Its id.
    pub room_id: RoomId,
    /// Its name, as its people wrote it.
    #[serde(default)]
    pub name: Option<String>,
    /// Its main alias.
    #[serde(default)]
    pub canonical_alias: Option<String>,
    /// How many are in it, those of other homeservers included.
    #[serde(default)]
    pub joined_members: u64,
}

impl ListedRoom {
    /// What people call it.
    pub fn shown(&self) -> &str {
        self.canonical_alias.as_deref().or(self.name.as_deref()).unwrap_or(&self.room_id.0)
    }
}

impl Client {
    /// All rooms that the homeserver knows, by their ids.
    pub async fn all_rooms(&self) -> Result<BTreeMap<RoomId, ListedRoom>, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            rooms: Vec<ListedRoom>,
            next_batch: Option<u64>,
        }
        let mut all = BTreeMap::new();
        let mut from = 0;
        loop {
            let path = format!("{}?limit={PAGE}&from={from}", admin_path(&["v1", "rooms"]));
            let page: Answer = self.call(Call::get(path, "list all rooms")).await?;
            all.extend(page.rooms.into_iter().map(|room| (room.room_id.clone(), room)));
            match page.next_batch {
                Some(next) if next > from && all.len() < MOST => from = next,
                _ => return Ok(all),
            }
        }
    }

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
