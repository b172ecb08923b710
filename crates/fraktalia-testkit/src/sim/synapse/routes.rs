//! Which call is what, and who may make it.

use hyper::body::Bytes;
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};

use super::world::World;

/// A request, taken apart.
#[derive(Debug)]
pub(super) struct Call {
    pub method: String,
    pub segments: Vec<String>,
    pub query: String,
    pub token: String,
    pub body: Json,
    pub bytes: Bytes,
}

impl Call {
    pub fn new(head: &Parts, bytes: Bytes) -> Self {
        let decode = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        let token = head
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        Self {
            method: head.method.to_string(),
            segments: head.uri.path().trim_start_matches('/').split('/').map(decode).collect(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            token: token.unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({})),
            bytes,
        }
    }

    pub fn text(&self, key: &str) -> String {
        self.body.get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
    }
}

/// A refusal in the words of Matrix.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: u16,
    pub errcode: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, errcode: &'static str, message: impl Into<String>) -> Self {
        Self { status, errcode, message: message.into() }
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, "M_FORBIDDEN", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "M_NOT_FOUND", message)
    }

    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "M_UNKNOWN", message)
    }

    pub fn unrecognized() -> Self {
        Self::new(404, "M_UNRECOGNIZED", "Unrecognized request")
    }
}

pub(super) type Answer = Result<Json, Refusal>;

impl World {
    pub fn handle(&mut self, call: &Call) -> Answer {
        let answer = self.answer(call);
        self.note_events();
        answer
    }

    fn answer(&mut self, call: &Call) -> Answer {
        let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        if let ["_synapse", "admin", "v1", "server_version"] = segments.as_slice() {
            return Ok(json!({"server_version": "1.163.2"}));
        }
        if segments.ends_with(&["auth_metadata"]) {
            let metadata = json!({"issuer": "https://accounts.chat.test/"});
            return if self.setup.delegated { Ok(metadata) } else { Err(Refusal::unrecognized()) };
        }
        let user = self.tokens.get(&call.token).cloned();
        let Some(user) = user else {
            return Err(Refusal::new(401, "M_UNKNOWN_TOKEN", "Invalid access token passed."));
        };
        match segments.as_slice() {
            ["_synapse", "admin", rest @ ..] => {
                if !self.users.get(&user).is_some_and(|user| user.admin) {
                    return Err(Refusal::forbidden("You are not a server admin"));
                }
                self.admin(&user, call, rest)
            }
            ["_matrix", "client", "v3", rest @ ..] => self.client(&user, call, rest),
            ["_matrix", "client", "unstable", "org.matrix.simplified_msc3575", "sync"] => {
                Ok(self.sliding_sync(&user, call))
            }
            ["_matrix", "media", "v3", "upload"] => Ok(self.upload(&user, &call.bytes)),
            _ => Err(Refusal::unrecognized()),
        }
    }

    fn client(&mut self, user: &str, call: &Call, path: &[&str]) -> Answer {
        match (call.method.as_str(), path) {
            ("GET", ["account", "whoami"]) => Ok(json!({"user_id": user})),
            ("GET", ["capabilities"]) => Ok(json!({
                "capabilities": {"m.room_versions": {"default": self.setup.room_version}}
            })),
            ("GET", ["joined_rooms"]) => {
                let joined: Vec<&String> =
                    self.rooms.iter().filter(|(_, room)| room.is_joined(user)).map(|(id, _)| id).collect();
                Ok(json!({"joined_rooms": joined}))
            }
            ("GET", ["sync"]) => self.sync(user, call),
            ("GET", ["rooms", room, "event", id]) => self.event(user, room, id),
            ("POST", ["logout"]) => {
                self.tokens.remove(&call.token);
                Ok(json!({}))
            }
            ("POST", ["createRoom"]) => self.create_room(user, &call.body),
            (_, ["directory", "room", alias]) => self.directory(user, call, alias),
            ("GET", ["rooms", room, "state"]) => {
                self.must_have_been_in(user, room)?;
                Ok(Json::Array(self.room(room)?.events(room)))
            }
            ("GET", ["rooms", room, "joined_members"]) => self.joined_members(user, room),
            (_, ["rooms", room, "state", kind, key]) => self.state(user, call, room, kind, key),
            (_, ["rooms", room, "state", kind]) => self.state(user, call, room, kind, ""),
            ("POST", ["join", room]) => self.join(user, room),
            ("POST", ["rooms", room, action]) => self.membership(user, room, action, call),
            _ => Err(Refusal::unrecognized()),
        }
    }
}
