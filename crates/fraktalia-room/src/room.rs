//! The room itself: how we get into it, and what is known of those who are there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fraktalia_model::{RoomId, SecretText, UserId};
use matrix_sdk::config::SyncSettings;
use matrix_sdk::reqwest::{self, Url};
use matrix_sdk::ruma::api::client::filter::{Filter, FilterDefinition, RoomEventFilter, RoomFilter};
use matrix_sdk::ruma::api::client::sync::sync_events::v3::Filter as SyncFilter;
use matrix_sdk::ruma::{self, OwnedRoomId, OwnedUserId, RoomAliasId, ServerName, UInt};
use matrix_sdk::{Client, RoomState};
use matrix_sdk_base::crypto::{IdentityState, RoomIdentityProvider as _};

use crate::error::RoomError;
use crate::files;
use crate::listen::Listening;
use crate::server::Admin;
use crate::session::{Opened, Place};
use crate::vouch::Identity;

/// What is needed to enter a room.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the homeserver is, a Synapse.
    pub homeserver: String,
    /// As whom: a user of this homeserver for this purpose alone, made if there is none.
    pub user: UserId,
    /// Which room: its alias or id.
    pub room: String,
    /// Where the device and its keys are kept. Nobody else can read it.
    pub dir: PathBuf,
    /// The token of an administrator of the homeserver. Used where the user has no device, or is not in the room.
    pub admin_token: SecretText,
    /// How long a message waits for its key.
    pub keys_within: Duration,
}

impl Settings {
    /// How long a message waits for its key unless it is said otherwise.
    pub const KEYS_WITHIN: Duration = Duration::from_mins(10);
}

/// A room that we are in. Clones are the same room; say and edit while one of them listens.
#[derive(Clone)]
pub struct Room(Arc<Inner>);

struct Inner {
    client: Client,
    http: reqwest::Client,
    room: matrix_sdk::Room,
    user: OwnedUserId,
    dir: PathBuf,
    is_new_device: bool,
    keys_within: Duration,
    /// Whether the last try to hear what happens was answered.
    hears: AtomicBool,
    /// Ours as long as it is open.
    _lock: File,
}

impl Room {
    /// Gets a device, or the one that it has, and into the room: by an invitation, an open door, or the administrator.
    ///
    /// # Errors
    /// When the homeserver is away or refuses it, and when another program uses the folder.
    pub async fn enter(settings: &Settings) -> Result<Self, RoomError> {
        let setting = |what, value: &str, why: String| RoomError::Setting { what, value: value.into(), why };
        let homeserver = Url::parse(&settings.homeserver)
            .map_err(|why| setting("the homeserver", &settings.homeserver, why.to_string()))?;
        let user = ruma::UserId::parse(&settings.user.0)
            .map_err(|why| setting("the user", &settings.user.0, why.to_string()))?;
        let lock = files::take(&settings.dir)?;
        let place = Place {
            homeserver: &homeserver,
            user: &user,
            dir: &settings.dir,
            admin_token: &settings.admin_token,
        };
        let Opened { client, http, is_new } = place.open().await?;
        let id = resolve(&client, &settings.room).await?;
        let admin = Admin { http: &http, homeserver: &homeserver, token: &settings.admin_token };
        let room = join(&client, &id, &admin, &user).await?;
        room.sync_members().await.map_err(RoomError::client(format!("read the members of {id}")))?;
        let encryption = room.latest_encryption_state().await;
        encryption.map_err(RoomError::client(format!("find out whether {id} is encrypted")))?;
        // Asks for the keys of the members that were just read.
        sync(&client, &id).await?;
        let (dir, keys_within) = (settings.dir.clone(), settings.keys_within);
        Ok(Self(Arc::new(Inner {
            client,
            http,
            room,
            user,
            dir,
            is_new_device: is_new,
            keys_within,
            hears: AtomicBool::new(true),
            _lock: lock,
        })))
    }

    /// Hears what happens from a position on: that of the last [`Batch`](crate::Batch) that is on disk. Without one,
    /// from the last hundred events on; of these, what cannot be read is older than our device, and left out.
    pub fn listen(&self, since: Option<String>) -> Listening {
        Listening::new(self.clone(), since)
    }

    /// Its id.
    pub fn id(&self) -> RoomId {
        RoomId(self.0.room.room_id().to_string())
    }

    /// As whom we are there.
    pub fn user(&self) -> UserId {
        UserId(self.0.user.to_string())
    }

    /// Whether a new device was made: at the first start, or because the old one was lost. What was said to the old one
    /// and not heard yet cannot be read, and others see a new identity.
    pub fn is_new_device(&self) -> bool {
        self.0.is_new_device
    }

    /// Whether the homeserver answered when it was last asked what happens.
    pub fn hears(&self) -> bool {
        self.0.hears.load(Ordering::Relaxed)
    }

    pub(crate) fn set_hears(&self, hears: bool) {
        self.0.hears.store(hears, Ordering::Relaxed);
    }

    /// Whether it is encrypted; also where that cannot be known.
    pub fn is_encrypted(&self) -> bool {
        let state = self.0.room.encryption_state();
        state.is_encrypted() || state.is_unknown()
    }

    /// Trusts the identity that a user has now, after it changed. Whether it is theirs is to be made sure of elsewhere.
    /// Yields whether the user has one.
    ///
    /// # Errors
    /// When the homeserver or the store fails.
    pub async fn trust(&self, user: &UserId) -> Result<bool, RoomError> {
        let what = || RoomError::client(format!("trust the identity of {user}"));
        let id = ruma::UserId::parse(&user.0).map_err(|error| what()(error.into()))?;
        let identity = self.client().encryption().request_user_identity(&id).await.map_err(what())?;
        let Some(identity) = identity else { return Ok(false) };
        identity.pin().await.map_err(|error| what()(error.into()))?;
        if identity.was_previously_verified() && !identity.is_verified() {
            identity.withdraw_verification().await.map_err(|error| what()(error.into()))?;
        }
        Ok(true)
    }

    pub(crate) async fn identity(&self, user: &ruma::UserId) -> Identity {
        let Some(identity) = self.0.room.user_identity(user).await else { return Identity::Missing };
        match self.0.room.state_of(&identity) {
            IdentityState::Verified | IdentityState::Pinned => Identity::Steady,
            IdentityState::PinViolation | IdentityState::VerificationViolation => Identity::Changed,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    pub(crate) fn inner(&self) -> &matrix_sdk::Room {
        &self.0.room
    }

    pub(crate) fn me(&self) -> &ruma::UserId {
        &self.0.user
    }

    pub(crate) fn server(&self) -> &ServerName {
        self.0.user.server_name()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0.dir
    }

    pub(crate) fn keys_within(&self) -> Duration {
        self.0.keys_within
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Room").field(&self.0.room.room_id()).finish()
    }
}

/// Of all rooms that the user may be in, this one alone is heard of; events are read elsewhere.
pub(crate) fn filter(room: &ruma::RoomId) -> SyncFilter {
    let mut timeline = RoomEventFilter::default();
    timeline.limit = Some(UInt::from(1_u32));
    let mut rooms = RoomFilter::default();
    rooms.rooms = Some(vec![room.to_owned()]);
    rooms.timeline = timeline;
    rooms.ephemeral = RoomEventFilter::ignore_all();
    rooms.account_data = RoomEventFilter::ignore_all();
    let mut filter = FilterDefinition::default();
    filter.room = rooms;
    filter.presence = Filter::ignore_all();
    filter.account_data = Filter::ignore_all();
    SyncFilter::FilterDefinition(filter)
}

/// Brings the client up to date. What happens meanwhile in the room is heard again, from the caller's position on.
async fn sync(client: &Client, room: &ruma::RoomId) -> Result<(), RoomError> {
    let settings = SyncSettings::new().filter(filter(room)).timeout(Duration::ZERO);
    let synced = client.sync_once(settings).await;
    synced.map(|_| ()).map_err(RoomError::client(format!("read the state of {room}")))
}

async fn resolve(client: &Client, room: &str) -> Result<OwnedRoomId, RoomError> {
    let setting = |why: ruma::IdParseError| RoomError::Setting {
        what: "the room",
        value: room.into(),
        why: why.to_string(),
    };
    if !room.starts_with('#') {
        return ruma::RoomId::parse(room).map_err(setting);
    }
    let alias = RoomAliasId::parse(room).map_err(setting)?;
    let found = client.resolve_room_alias(&alias).await;
    found.map(|found| found.room_id).map_err(|error| RoomError::client(format!("find {room}"))(error.into()))
}

/// Synapse may tell of a room that was joined a moment later.
const LOOKS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(250);

async fn join(
    client: &Client,
    id: &OwnedRoomId,
    admin: &Admin<'_>,
    user: &OwnedUserId,
) -> Result<matrix_sdk::Room, RoomError> {
    let joined = || client.get_room(id).filter(|room| room.state() == RoomState::Joined);
    sync(client, id).await?;
    if let Some(room) = joined() {
        return Ok(room);
    }
    if let Err(error) = client.join_room_by_id(id).await {
        let error = RoomError::client(format!("join {id}"))(error);
        if error.may_pass() {
            return Err(error);
        }
        tracing::info!(%error, "asking the administrator");
        admin.join(user.as_str(), id.as_str()).await?;
    }
    for _ in 0..LOOKS {
        sync(client, id).await?;
        if let Some(room) = joined().filter(|room| room.is_state_fully_synced()) {
            return Ok(room);
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Err(RoomError::NotJoined { room: id.to_string() })
}
