//! All users and all rooms of a homeserver.

use fraktalia_model::{RoomId, UserId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Call, Client, admin_path};
use crate::error::MatrixError;

/// How many are asked for at once.
const PAGE: usize = 500;

/// A local user, as the list of all shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedUser {
    /// The full id.
    pub name: UserId,
    /// Global display name.
    pub displayname: Option<String>,
    /// `bot`, `support`, or nothing for a person.
    pub user_type: Option<String>,
}

/// A room, as the list of all shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedRoom {
    /// Its id.
    pub room_id: RoomId,
    /// How many of our homeserver are in it.
    #[serde(default)]
    pub joined_local_members: u64,
}

impl Client {
    /// Local users who are in use, without guests; about `most` at most.
    pub async fn local_users(&self, most: usize) -> Result<Vec<ListedUser>, MatrixError> {
        #[derive(Deserialize)]
        struct Page {
            users: Vec<ListedUser>,
        }
        let path = format!("{}?guests=false&deactivated=false&order_by=name", admin_path(&["v2", "users"]));
        self.pages(&path, "list users", most, |page: Page| page.users).await
    }

    /// All rooms that the homeserver knows; about `most` at most.
    pub async fn all_rooms(&self, most: usize) -> Result<Vec<ListedRoom>, MatrixError> {
        #[derive(Deserialize)]
        struct Page {
            rooms: Vec<ListedRoom>,
        }
        let path = format!("{}?order_by=name", admin_path(&["v1", "rooms"]));
        self.pages(&path, "list rooms", most, |page: Page| page.rooms).await
    }

    async fn pages<P: DeserializeOwned, T>(
        &self,
        path: &str,
        what: &str,
        most: usize,
        items: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, MatrixError> {
        let mut all = Vec::new();
        loop {
            let call = Call::get(format!("{path}&limit={PAGE}&from={}", all.len()), what);
            let page = items(self.call(call).await?);
            let last = page.len() < PAGE;
            all.extend(page);
            if last || all.len() >= most {
                return Ok(all);
            }
        }
    }
}
