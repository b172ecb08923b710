//! Our device: made once, with keys that lie in the folder, and made anew when they are lost.
//!
//! A token that an administrator gets for a user belongs to no device, and without one nothing can be encrypted. So the
//! user is given a random password, which is used twice, to log in and to publish the identity, and known to nobody after.

use std::fs;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fraktalia_model::SecretText;
use matrix_sdk::authentication::matrix::MatrixSession;
use matrix_sdk::config::RequestConfig;
use matrix_sdk::encryption::EncryptionSettings;
use matrix_sdk::reqwest::{self, Url};
use matrix_sdk::ruma::api::client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier};
use matrix_sdk::ruma::{OwnedDeviceId, OwnedUserId};
use matrix_sdk::{Client, SessionMeta, SessionTokens};
use matrix_sdk_base::crypto::CollectStrategy;
use serde::{Deserialize, Serialize};

use crate::error::RoomError;
use crate::files;
use crate::server::{Admin, http};

const NAME: &str = "fraktalia-admin";
const TRIES: usize = 3;
const REQUEST: Duration = Duration::from_secs(30);

/// What is kept of a device, beside the store with its keys.
#[derive(Serialize, Deserialize)]
struct Kept {
    user: OwnedUserId,
    device: OwnedDeviceId,
    access_token: String,
    /// Opens the store.
    passphrase: String,
    /// The device's own key: a store that has another is not the one that belongs to this device.
    fingerprint: String,
}

/// Where the session comes from and goes to.
pub(crate) struct Place<'a> {
    pub(crate) homeserver: &'a Url,
    pub(crate) user: &'a OwnedUserId,
    pub(crate) dir: &'a Path,
    pub(crate) admin_token: &'a SecretText,
}

/// A client that is logged in.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) http: reqwest::Client,
    pub(crate) is_new: bool,
}

impl Place<'_> {
    fn file(&self) -> PathBuf {
        self.dir.join("session.json")
    }

    fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// The device that is kept, or a new one.
    pub(crate) async fn open(&self) -> Result<Opened, RoomError> {
        let http = http(self.homeserver)?;
        let kept: Option<Kept> = files::read(&self.file());
        if let Some(kept) = &kept
            && let Some(client) = self.restore(&http, kept).await?
        {
            return Ok(Opened { client, http, is_new: false });
        }
        let client = self.make(&http, kept.as_ref()).await?;
        Ok(Opened { client, http, is_new: true })
    }

    /// The kept device, unless it is of no use any more.
    async fn restore(&self, http: &reqwest::Client, kept: &Kept) -> Result<Option<Client>, RoomError> {
        if kept.user != *self.user || !self.store().is_dir() {
            return Ok(None);
        }
        let client = match self.build(http, &kept.passphrase).await {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!(%error, "the store of the room's keys does not open: a new device is made");
                return Ok(None);
            }
        };
        let session = MatrixSession {
            meta: SessionMeta { user_id: kept.user.clone(), device_id: kept.device.clone() },
            tokens: SessionTokens { access_token: kept.access_token.clone(), refresh_token: None },
        };
        if let Err(error) = client.restore_session(session).await {
            tracing::warn!(%error, "the session of the room does not open: a new device is made");
            return Ok(None);
        }
        let encryption = client.encryption();
        let ours = encryption.ed25519_key().await.is_some_and(|key| key == kept.fingerprint);
        let signs = encryption.cross_signing_status().await.is_some_and(|status| status.is_complete());
        if !ours || !signs {
            tracing::warn!("the store of the room's keys was lost: a new device is made");
            return Ok(None);
        }
        match client
            .whoami()
            .await
            .map_err(|error| RoomError::client("ask whose token we have")(error.into()))
        {
            Ok(_) => Ok(Some(client)),
            Err(RoomError::SignedOut) => {
                tracing::warn!("the device of the room was removed: a new one is made");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A new device with a new identity. It is kept when both are complete; killed before that, it is made again.
    async fn make(&self, http: &reqwest::Client, old: Option<&Kept>) -> Result<Client, RoomError> {
        let admin = Admin { http, homeserver: self.homeserver, token: self.admin_token };
        remove(&self.file(), |path| fs::remove_file(path))?;
        remove(&self.store(), |path| fs::remove_dir_all(path))?;
        let (password, passphrase) = (random()?, random()?);
        admin.set_password(self.user.as_str(), &SecretText::new(&*password)).await?;
        let client = self.build(http, &passphrase).await?;
        let login = client.matrix_auth().login_username(self.user.as_str(), &password);
        let session = login.initial_device_display_name(NAME).send().await;
        let session = session.map_err(RoomError::client(format!("log in as {}", self.user)))?;
        self.publish_identity(&client, password).await?;
        let fingerprint = client.encryption().ed25519_key().await.unwrap_or_default();
        let kept = Kept {
            user: session.user_id,
            device: session.device_id,
            access_token: session.access_token,
            passphrase,
            fingerprint,
        };
        files::write(&self.file(), &kept)?;
        if let Some(old) = old.filter(|old| old.user == kept.user)
            && let Err(error) = admin.forget_device(old.user.as_str(), old.device.as_str()).await
        {
            tracing::warn!(%error, "an old device is left");
        }
        Ok(client)
    }

    async fn publish_identity(&self, client: &Client, password: String) -> Result<(), RoomError> {
        let what = || RoomError::client(format!("publish the identity of {}", self.user));
        let encryption = client.encryption();
        let Err(error) = encryption.bootstrap_cross_signing(None).await else { return Ok(()) };
        let Some(asked) = error.as_uiaa_response() else { return Err(what()(error)) };
        let who = UserIdentifier::Matrix(MatrixUserIdentifier::new(self.user.to_string()));
        let mut proof = Password::new(who, password);
        proof.session.clone_from(&asked.session);
        encryption.bootstrap_cross_signing(Some(AuthData::Password(proof))).await.map_err(what())
    }

    async fn build(&self, http: &reqwest::Client, passphrase: &str) -> Result<Client, RoomError> {
        let built = Client::builder()
            .homeserver_url(self.homeserver.as_str())
            .http_client(http.clone())
            .request_config(RequestConfig::new().retry_limit(TRIES).timeout(REQUEST))
            .with_encryption_settings(EncryptionSettings::default())
            .with_room_key_recipient_strategy(CollectStrategy::AllDevices)
            // Nobody is to send us keys of what others said before.
            .with_enable_share_history_on_invite(false)
            .sqlite_store(self.store(), Some(passphrase))
            .build()
            .await;
        built.map_err(|source| RoomError::Store { dir: self.store(), source: Box::new(source) })
    }
}

fn remove(path: &Path, remove: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), RoomError> {
    match remove(path) {
        Err(error) if error.kind() != Io::NotFound => Err(RoomError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

fn random() -> Result<String, RoomError> {
    let mut bytes = [0; 32];
    let filled = getrandom::fill(&mut bytes).map_err(std::io::Error::other);
    filled.map_err(RoomError::file("read random bytes from", "the kernel"))?;
    Ok(fraktalia_model::files::hex(&bytes))
}
