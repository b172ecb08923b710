//! Rooms, their state, aliases and members.

use fraktalia_model::{RoomId, UserId};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use super::{Call, Client, admin_path, client_path};
use crate::error::{MatrixError, code};

/// A state event, as far as we look at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateEvent {
    /// `m.room.name`
    #[serde(rename = "type")]
    pub kind: String,
    /// What tells two events of one type apart; often empty.
    pub state_key: String,
    /// Who sent it. The homeserver vouches for this, and for nothing in `content`.
    pub sender: UserId,
    /// What it says.
    pub content: Json,
}

/// Which part of a room's state is read.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Event type.
    pub kind: &'a str,
    /// State key.
    pub state_key: &'a str,
}

impl Client {
    /// The rooms that our own user is in.
    pub async fn joined_rooms(&self) -> Result<Vec<RoomId>, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            joined_rooms: Vec<RoomId>,
        }
        let call = Call::get(client_path(&["joined_rooms"]), "list our own rooms");
        Ok(self.call::<Answer>(call).await?.joined_rooms)
    }

    /// The room behind a full alias.
    pub async fn resolve(&self, alias: &str) -> Result<Option<RoomId>, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            room_id: RoomId,
        }
        let path = client_path(&["directory", "room", alias]);
        let found: Option<Answer> = self.find(Call::get(path, format!("look up {alias}"))).await?;
        Ok(found.map(|answer| answer.room_id))
    }

    /// The whole state of a room, whether our own user is in it or not; `None` when there is no such room.
    pub async fn room_state(&self, room: &RoomId) -> Result<Option<Vec<StateEvent>>, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            state: Vec<StateEvent>,
        }
        let path = admin_path(&["v1", "rooms", &room.0, "state"]);
        let found: Option<Answer> = self.find(Call::get(path, format!("read the state of {room}"))).await?;
        Ok(found.map(|answer| answer.state))
    }

    /// One event of the state of a room that our own user is or was in.
    pub async fn state_event(&self, room: &RoomId, key: Key<'_>) -> Result<Option<StateEvent>, MatrixError> {
        let path = client_path(&["rooms", &room.0, "state", key.kind, key.state_key]);
        let call = Call::get(format!("{path}?format=event"), format!("read {} of {room}", key.kind));
        self.find(call).await
    }

    /// Writes one event of the state of a room. The same content twice is one event.
    pub async fn put_state(&self, room: &RoomId, key: Key<'_>, content: Json) -> Result<(), MatrixError> {
        let path = client_path(&["rooms", &room.0, "state", key.kind, key.state_key]);
        self.tell(Call::put(path, content, format!("set {} of {room}", key.kind))).await
    }

    /// Makes a room; `request` is the body of `createRoom`.
    ///
    /// # Errors
    /// A refusal or a failure can leave a part of a room behind that holds the alias.
    pub async fn create_room(&self, alias: &str, request: Json) -> Result<RoomId, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            room_id: RoomId,
        }
        let path = client_path(&["createRoom"]);
        let answer: Answer = self.call(Call::post(path, request, format!("create room {alias}"))).await?;
        Ok(answer.room_id)
    }

    /// Points an alias to a room. One that does already is fine.
    pub async fn put_alias(&self, alias: &str, room: &RoomId) -> Result<(), MatrixError> {
        let path = client_path(&["directory", "room", alias]);
        let call = Call::put(path, json!({"room_id": room}), format!("point {alias} to {room}"));
        match self.tell(call).await {
            Err(error @ MatrixError::Refused { status: 409, .. }) => match self.resolve(alias).await? {
                Some(holder) if holder == *room => Ok(()),
                _ => Err(error),
            },
            done => done,
        }
    }

    /// Frees an alias. One that is free already is fine.
    pub async fn delete_alias(&self, alias: &str) -> Result<(), MatrixError> {
        let path = client_path(&["directory", "room", alias]);
        let call = Call::new(Method::DELETE, path, format!("free {alias}"));
        match self.tell(call).await {
            Err(error) if !error.is(code::NOT_FOUND) => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes our own user a member with every right, also of a room that we are not in.
    ///
    /// `host` is a local member whose invitation we take. It is needed where our own user is a creator with
    /// unlimited power: Synapse would write it into the list of levels first, which refuses it.
    pub async fn enter(&self, room: &RoomId, host: Option<&UserId>) -> Result<(), MatrixError> {
        let me = self.me().await?;
        if let Some(host) = host {
            self.invite_as(host, room, me).await?;
        } else {
            let path = admin_path(&["v1", "rooms", &room.0, "make_room_admin"]);
            let call = Call::post(path, json!({"user_id": me}), format!("become admin of {room}"));
            self.tell(call).await?;
        }
        let path = client_path(&["join", &room.0]);
        self.tell(Call::post(path, json!({}), format!("join {room}"))).await
    }

    /// Lets somebody of ours invite, by a token that lives only for this call. Who is in the room is fine.
    async fn invite_as(&self, host: &UserId, room: &RoomId, user: &UserId) -> Result<(), MatrixError> {
        let token = self.login_as(host).await?;
        let path = client_path(&["rooms", &room.0, "invite"]);
        let call = Call {
            token: Some(&token),
            ..Call::post(path, json!({"user_id": user}), format!("have {host} invite {user} to {room}"))
        };
        let invited = match self.tell(call).await {
            // Refused also when we are in the room already; the join that follows tells the two apart.
            Err(error) if error.is(code::FORBIDDEN) => Ok(()),
            other => other,
        };
        let logged_out = self.logout(&token).await;
        invited.and(logged_out)
    }

    /// Leaves a room.
    pub async fn leave(&self, room: &RoomId) -> Result<(), MatrixError> {
        let path = client_path(&["rooms", &room.0, "leave"]);
        self.tell(Call::post(path, json!({}), format!("leave {room}"))).await
    }

    /// Joins a local user, without asking them.
    pub async fn force_join(&self, room: &RoomId, user: &UserId) -> Result<(), MatrixError> {
        let path = admin_path(&["v1", "join", &room.0]);
        let call = Call::post(path, json!({"user_id": user}), format!("join {user} to {room}"));
        self.tell(call).await
    }

    /// Invites a user.
    pub async fn invite(&self, room: &RoomId, user: &UserId) -> Result<(), MatrixError> {
        let path = client_path(&["rooms", &room.0, "invite"]);
        let call = Call::post(path, json!({"user_id": user}), format!("invite {user} to {room}"));
        self.tell(call).await
    }

    /// Puts a member out, or takes an invitation back.
    pub async fn kick(&self, room: &RoomId, user: &UserId, reason: &str) -> Result<(), MatrixError> {
        let path = client_path(&["rooms", &room.0, "kick"]);
        let body = json!({"user_id": user, "reason": reason});
        self.tell(Call::post(path, body, format!("put {user} out of {room}"))).await
    }

    /// Deletes a room with all that was written in it, for everybody here, and waits until that is done. A room
    /// that is gone already is fine.
    pub async fn purge_room(&self, room: &RoomId) -> Result<(), MatrixError> {
        let deadline = Instant::now() + self.limits.total;
        let path = admin_path(&["v2", "rooms", &room.0]);
        let call = Call {
            body: super::Body::Json(json!({"purge": true, "block": false})),
            ..Call::new(Method::DELETE, path, format!("delete {room}"))
        };
        match self.tell(call).await {
            // A deletion that is under way is refused with 400; its end is what we wait for.
            Ok(()) | Err(MatrixError::Refused { status: 400, .. }) => {}
            Err(error) => return Err(error),
        }
        let mut pause = std::time::Duration::from_millis(50);
        while self.deletion(room).await? == Deletion::Running {
            if Instant::now() >= deadline {
                return Err(MatrixError::TimedOut {
                    what: format!("delete {room}"),
                    after: self.limits.total,
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(std::time::Duration::from_secs(2));
        }
        Ok(())
    }

    async fn exists(&self, room: &RoomId) -> Result<bool, MatrixError> {
        let path = admin_path(&["v1", "rooms", &room.0]);
        let answer: Option<Json> = self.find(Call::get(path, format!("look for {room}"))).await?;
        Ok(answer.is_some())
    }

    async fn deletion(&self, room: &RoomId) -> Result<Deletion, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            results: Vec<Attempt>,
        }
        #[derive(Deserialize)]
        struct Attempt {
            status: String,
            #[serde(default)]
            error: Option<String>,
        }
        let path = admin_path(&["v2", "rooms", &room.0, "delete_status"]);
        let what = format!("follow the deletion of {room}");
        let answer: Option<Answer> = self.find(Call::get(path, what)).await?;
        let Some(answer) = answer else {
            // Synapse knows nothing of a deletion that it took on a moment ago and has not begun yet: only the room
            // itself tells whether there is nothing left to do.
            return Ok(if self.exists(room).await? { Deletion::Running } else { Deletion::Done });
        };
        let last = answer.results.last();
        match last.map(|attempt| attempt.status.as_str()) {
            None | Some("complete") => Ok(Deletion::Done),
            Some("failed") => Err(MatrixError::Failed {
                what: format!("delete {room}"),
                status: 500,
                errcode: "deletion failed".into(),
                message: last.and_then(|attempt| attempt.error.clone()).unwrap_or_default(),
            }),
            Some(_) => Ok(Deletion::Running),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletion {
    Running,
    Done,
}
