//! Users, tokens and limits.

use fraktalia_model::{SecretText, UserId};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json, json};

use super::{Call, Client, admin_path, client_path};
use crate::error::{MatrixError, code};

/// A local user, as the admin API shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    /// Global display name.
    pub displayname: Option<String>,
    /// `bot`, `support`, or nothing for a person.
    pub user_type: Option<String>,
    /// Whether it is out of use.
    #[serde(default)]
    pub deactivated: bool,
    /// Identities under which other systems know the user. Only admins can write them.
    #[serde(default)]
    pub external_ids: Vec<ExternalId>,
}

/// An identity of a user elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExternalId {
    /// Who knows the user so.
    pub auth_provider: String,
    /// As whom.
    pub external_id: String,
}

/// What is set of a user; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// Global display name.
    pub displayname: Option<String>,
    /// `Some(None)` makes it a person.
    pub user_type: Option<Option<String>>,
    /// Takes it out of use or puts it back.
    pub deactivated: Option<bool>,
    /// Only ever sent at creation: it logs every device out.
    pub password: Option<SecretText>,
    /// All identities elsewhere.
    pub external_ids: Option<Vec<ExternalId>>,
}

impl AccountChange {
    fn body(&self) -> Json {
        let mut body = Map::new();
        if let Some(name) = &self.displayname {
            body.insert("displayname".into(), json!(name));
        }
        if let Some(kind) = &self.user_type {
            body.insert("user_type".into(), json!(kind));
        }
        if let Some(deactivated) = self.deactivated {
            body.insert("deactivated".into(), json!(deactivated));
        }
        if let Some(password) = &self.password {
            body.insert("password".into(), json!(password.expose()));
        }
        if let Some(ids) = &self.external_ids {
            let ids: Vec<Json> = ids
                .iter()
                .map(|id| json!({"auth_provider": id.auth_provider, "external_id": id.external_id}))
                .collect();
            body.insert("external_ids".into(), json!(ids));
        }
        Json::Object(body)
    }
}

/// A limit of its own for a user. Synapse takes 0 for "no limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct RateLimit {
    /// Actions a second.
    pub messages_per_second: u64,
    /// Actions at once.
    pub burst_count: u64,
}

impl Client {
    /// Whose token this is; our own for `None`.
    pub async fn whoami(&self, token: Option<&SecretText>) -> Result<UserId, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            user_id: UserId,
        }
        let call = Call { token, ..Call::get(client_path(&["account", "whoami"]), "ask whose token it is") };
        Ok(self.call::<Answer>(call).await?.user_id)
    }

    /// Whether our own user is a server admin.
    pub async fn is_admin(&self) -> Result<bool, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            admin: bool,
        }
        let me = self.me().await?;
        let call =
            Call::get(admin_path(&["v1", "users", &me.0, "admin"]), format!("use the admin API as {me}"));
        Ok(self.call::<Answer>(call).await?.admin)
    }

    /// The version of Synapse.
    pub async fn server_version(&self) -> Result<String, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            server_version: String,
        }
        let call = Call::get(admin_path(&["v1", "server_version"]), "read the version of the homeserver");
        Ok(self.call::<Answer>(call).await?.server_version)
    }

    /// Whether accounts live in an authentication service beside Synapse, which then makes them.
    pub async fn delegates_accounts(&self) -> Result<bool, MatrixError> {
        let call = Call::get("/_matrix/client/v1/auth_metadata".into(), "ask where accounts live");
        match self.tell(call).await {
            Ok(()) => Ok(true),
            Err(MatrixError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A local user, deactivated ones included.
    pub async fn account(&self, user: &UserId) -> Result<Option<Account>, MatrixError> {
        let call = Call::get(admin_path(&["v2", "users", &user.0]), format!("look up {user}"));
        self.find(call).await
    }

    /// Makes a local user, or changes one.
    pub async fn put_account(&self, user: &UserId, change: &AccountChange) -> Result<(), MatrixError> {
        let path = admin_path(&["v2", "users", &user.0]);
        self.tell(Call::put(path, change.body(), format!("write user {user}"))).await
    }

    /// Puts a user out of use; what they wrote stays.
    pub async fn deactivate(&self, user: &UserId) -> Result<(), MatrixError> {
        let path = admin_path(&["v1", "deactivate", &user.0]);
        let body = json!({"erase": false});
        self.tell(Call::post(path, body, format!("deactivate {user}"))).await
    }

    /// A new access token of a local user, without a device of its own.
    pub async fn login_as(&self, user: &UserId) -> Result<SecretText, MatrixError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(deserialize_with = "secret")]
            access_token: SecretText,
        }
        let path = admin_path(&["v1", "users", &user.0, "login"]);
        let call = Call::post(path, json!({}), format!("mint a token of {user}"));
        Ok(self.call::<Answer>(call).await?.access_token)
    }

    /// Makes a token invalid. One that is invalid already is fine.
    pub async fn logout(&self, token: &SecretText) -> Result<(), MatrixError> {
        let call =
            Call { token: Some(token), ..Call::post(client_path(&["logout"]), json!({}), "log a token out") };
        match self.tell(call).await {
            Err(error) if !error.is(code::UNKNOWN_TOKEN) => Err(error),
            _ => Ok(()),
        }
    }

    /// The limit that an admin gave to this user; `None` when the server's own holds.
    pub async fn rate_limit(&self, user: &UserId) -> Result<Option<RateLimit>, MatrixError> {
        let path = admin_path(&["v1", "users", &user.0, "override_ratelimit"]);
        let call = Call::get(path, format!("read the rate limit of {user}"));
        let answer: Json = self.call(call).await?;
        Ok(serde_json::from_value(answer).ok())
    }

    /// Gives a user a limit of its own, or the server's with `None`.
    pub async fn set_rate_limit(&self, user: &UserId, limit: Option<RateLimit>) -> Result<(), MatrixError> {
        let path = admin_path(&["v1", "users", &user.0, "override_ratelimit"]);
        let what = format!("set the rate limit of {user}");
        let call = match limit {
            Some(limit) => Call::post(path, json!(limit), what),
            None => Call::new(reqwest::Method::DELETE, path, what),
        };
        self.tell(call).await
    }
}

pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
    String::deserialize(deserializer).map(SecretText::new)
}
