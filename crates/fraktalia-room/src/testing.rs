//! A second Matrix client for tests: a device of a person or of a bot, with its keys in memory.

use std::collections::VecDeque;
use std::time::Duration;

use matrix_sdk::config::{RequestConfig, SyncSettings};
use matrix_sdk::encryption::EncryptionSettings;
use matrix_sdk::ruma::api::client::message::send_message_event;
use matrix_sdk::ruma::api::client::room::create_room;
use matrix_sdk::ruma::api::client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier};
use matrix_sdk::ruma::events::InitialStateEvent;
use matrix_sdk::ruma::events::room::encryption::RoomEncryptionEventContent;
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::ruma::{EventId, OwnedRoomId, RoomId, TransactionId, UserId};
use matrix_sdk::{Client, RoomState};
use serde_json::{Value, json};

/// What a test stumbles over.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long a message is waited for before a test fails.
const LIMIT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_secs(2);

/// An event of the room as this device reads it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id.
    pub event: String,
    /// Who sent it.
    pub by: String,
    /// Its type, `m.room.encrypted` where it cannot be read.
    pub kind: String,
    /// Its content.
    pub content: Value,
    /// Whether it was encrypted.
    pub encrypted: bool,
}

impl Message {
    /// Its text.
    pub fn body(&self) -> &str {
        self.content["body"].as_str().unwrap_or_default()
    }
}

/// A device in one room.
#[derive(Debug)]
pub struct Device {
    client: Client,
    password: String,
    room: Option<OwnedRoomId>,
    token: Option<String>,
    seen: VecDeque<Message>,
}

impl Device {
    /// Logs in, which makes a new device.
    ///
    /// # Errors
    /// When the homeserver refuses it.
    pub async fn log_in(base_url: &str, user: &str, password: &str) -> Result<Self> {
        let settings = EncryptionSettings::default();
        let client = Client::builder()
            .homeserver_url(base_url)
            .request_config(RequestConfig::new().retry_limit(3))
            .with_encryption_settings(settings)
            .build()
            .await?;
        client.matrix_auth().login_username(user, password).send().await?;
        Ok(Self { client, password: password.into(), room: None, token: None, seen: VecDeque::new() })
    }

    /// The user's id.
    pub fn user_id(&self) -> &str {
        self.client.user_id().map_or("", UserId::as_str)
    }

    /// The device's id.
    pub fn device_id(&self) -> &str {
        self.client.device_id().map_or("", |id| id.as_str())
    }

    /// Publishes an identity of the user, also where there is one already, and signs this device with it.
    ///
    /// # Errors
    /// When the homeserver refuses it.
    pub async fn bootstrap_cross_signing(&self) -> Result<()> {
        let encryption = self.client.encryption();
        let Err(error) = encryption.bootstrap_cross_signing(None).await else { return Ok(()) };
        let Some(asked) = error.as_uiaa_response() else { return Err(error.into()) };
        let who = UserIdentifier::Matrix(MatrixUserIdentifier::new(self.user_id().to_owned()));
        let mut proof = Password::new(who, self.password.clone());
        proof.session.clone_from(&asked.session);
        Ok(encryption.bootstrap_cross_signing(Some(AuthData::Password(proof))).await?)
    }

    /// Makes a private room and invites these users. Yields its id.
    ///
    /// # Errors
    /// When the homeserver refuses it.
    pub async fn create_room(&mut self, invited: &[&str], encrypted: bool) -> Result<String> {
        let mut request = create_room::v3::Request::new();
        request.preset = Some(create_room::v3::RoomPreset::TrustedPrivateChat);
        for user in invited {
            request.invite.push(UserId::parse(*user)?);
        }
        if encrypted {
            let content = RoomEncryptionEventContent::with_recommended_defaults();
            request.initial_state.push(InitialStateEvent::with_empty_state_key(content).to_raw_any());
        }
        let room = self.client.create_room(request).await?;
        let id = room.room_id().to_string();
        self.join(&id).await?;
        Ok(id)
    }

    /// Joins a room, and stays with it.
    ///
    /// # Errors
    /// When the homeserver refuses it.
    pub async fn join(&mut self, room: &str) -> Result<()> {
        let id = RoomId::parse(room)?;
        self.sync(Duration::ZERO).await?;
        if self.client.get_room(&id).is_none_or(|room| room.state() != RoomState::Joined) {
            self.client.join_room_by_id(&id).await?;
        }
        self.room = Some(id.clone());
        while self.client.get_room(&id).is_none_or(|room| !room.is_state_fully_synced()) {
            self.sync(POLL).await?;
        }
        self.catch_up().await
    }

    /// Hears who is there and with which devices.
    ///
    /// # Errors
    /// When the homeserver is away.
    pub async fn catch_up(&mut self) -> Result<()> {
        self.sync(Duration::ZERO).await
    }

    /// What was said since it was last asked for.
    ///
    /// # Errors
    /// When the homeserver is away.
    pub async fn heard(&mut self) -> Result<Vec<Message>> {
        self.catch_up().await?;
        Ok(self.seen.drain(..).collect())
    }

    /// Says something, encrypted where the room is. Yields the event's id, as the others here.
    ///
    /// # Errors
    /// When the homeserver or the keys fail.
    pub async fn say(&mut self, body: &str) -> Result<String> {
        self.send("m.room.message", json!({ "msgtype": "m.text", "body": body })).await
    }

    /// Sends a file, encrypted where the room is.
    ///
    /// # Errors
    /// When the homeserver or the keys fail.
    pub async fn attach(&mut self, name: &str, mime: &str, bytes: &[u8]) -> Result<String> {
        self.catch_up().await?;
        let config = matrix_sdk::attachment::AttachmentConfig::new();
        let sent =
            self.room()?.send_attachment(name.to_owned(), &mime.parse()?, bytes.to_vec(), config).await?;
        Ok(sent.event_id.to_string())
    }

    /// Reacts, in clear as all clients do.
    ///
    /// # Errors
    /// When the homeserver refuses it.
    pub async fn react(&mut self, on: &str, key: &str) -> Result<String> {
        let relation = json!({ "rel_type": "m.annotation", "event_id": on, "key": key });
        self.send("m.reaction", json!({ "m.relates_to": relation })).await
    }

    /// Edits a message.
    ///
    /// # Errors
    /// When the homeserver or the keys fail.
    pub async fn edit(&mut self, of: &str, body: &str) -> Result<String> {
        let content = json!({
            "msgtype": "m.text",
            "body": format!("* {body}"),
            "m.new_content": { "msgtype": "m.text", "body": body },
            "m.relates_to": { "rel_type": "m.replace", "event_id": of },
        });
        self.send("m.room.message", content).await
    }

    /// Redacts an event.
    ///
    /// # Errors
    /// When the homeserver refuses it.
    pub async fn redact(&mut self, event: &str) -> Result<String> {
        Ok(self.room()?.redact(&EventId::parse(event)?, None, None).await?.event_id.to_string())
    }

    /// Leaves the room.
    ///
    /// # Errors
    /// When the homeserver refuses it.
    pub async fn leave(&mut self) -> Result<()> {
        Ok(self.room()?.leave().await?)
    }

    /// Sends any event, encrypted where the room is and the SDK encrypts its type.
    ///
    /// # Errors
    /// When the homeserver or the keys fail.
    pub async fn send(&mut self, kind: &str, content: Value) -> Result<String> {
        self.catch_up().await?;
        Ok(self.room()?.send_raw(kind, content).await?.response.event_id.to_string())
    }

    /// Sends any event in clear, also where the room is encrypted.
    ///
    /// # Errors
    /// When the homeserver refuses it.
    pub async fn send_in_clear(&mut self, kind: &str, content: &Value) -> Result<String> {
        let room = self.room.clone().ok_or("in no room")?;
        let content = Raw::new(content)?.cast_unchecked();
        let request =
            send_message_event::v3::Request::new_raw(room, TransactionId::new(), kind.into(), content);
        Ok(self.client.send(request).await?.event_id.to_string())
    }

    /// The next event of the room for which `which` holds. Those before it are forgotten.
    ///
    /// # Errors
    /// When it does not come, or the homeserver is away.
    pub async fn next_message(&mut self, which: impl Fn(&Message) -> bool) -> Result<Message> {
        let found = async {
            loop {
                while let Some(message) = self.seen.pop_front() {
                    if which(&message) {
                        return Ok(message);
                    }
                }
                self.sync(POLL).await?;
            }
        };
        tokio::time::timeout(LIMIT, found).await?
    }

    fn room(&self) -> Result<matrix_sdk::Room> {
        let id = self.room.as_ref().ok_or("in no room")?;
        Ok(self.client.get_room(id).ok_or("the room is not known")?)
    }

    async fn sync(&mut self, wait: Duration) -> Result<()> {
        let settings = SyncSettings::new().timeout(wait);
        let settings = match &self.token {
            Some(token) => settings.token(token.clone()),
            None => settings,
        };
        let answer = self.client.sync_once(settings).await?;
        self.token = Some(answer.next_batch);
        let Some(room) = &self.room else { return Ok(()) };
        let events = answer.rooms.joined.get(room).map(|update| &update.timeline.events);
        for event in events.into_iter().flatten() {
            let read: Value = serde_json::from_str(event.raw().json().get())?;
            let text = |key: &str| read[key].as_str().unwrap_or_default().to_owned();
            self.seen.push_back(Message {
                event: text("event_id"),
                by: text("sender"),
                kind: text("type"),
                content: read["content"].clone(),
                encrypted: event.encryption_info().is_some(),
            });
        }
        Ok(())
    }
}
