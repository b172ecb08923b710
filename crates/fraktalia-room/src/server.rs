//! The few calls that a Matrix client does not have: Synapse's admin API, and downloads within a bound.

use std::time::Duration;

use fraktalia_model::SecretText;
use matrix_sdk::reqwest::{self, Method, Response, Url, redirect};
use serde_json::{Value, json};

use crate::error::RoomError;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// Largest answer of the admin API that is read.
const LONGEST: usize = 256 * 1024;
/// How often a call is made that the homeserver asks to make later.
const TRIES: u32 = 5;
const LATER: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_mins(1);

/// The HTTP client of everything here: it follows no redirect, which would carry a token elsewhere.
pub(crate) fn http(homeserver: &Url) -> Result<reqwest::Client, RoomError> {
    let mut http = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("fraktalia-admin/", env!("CARGO_PKG_VERSION")));
    if matches!(homeserver.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        http = http.no_proxy();
    }
    http.build().map_err(|source| RoomError::Unreachable { what: "set up an HTTP client".into(), source })
}

/// A URL below the homeserver's; each segment is encoded.
pub(crate) fn url(homeserver: &Url, segments: &[&str]) -> Result<Url, RoomError> {
    let mut url = homeserver.clone();
    match url.path_segments_mut() {
        Ok(mut path) => path.pop_if_empty().extend(segments),
        Err(()) => {
            let why = "it is no address of a server".into();
            return Err(RoomError::Setting { what: "the homeserver", value: homeserver.to_string(), why });
        }
    };
    Ok(url)
}

/// Speaks as the server's administrator.
pub(crate) struct Admin<'a> {
    pub(crate) http: &'a reqwest::Client,
    pub(crate) homeserver: &'a Url,
    pub(crate) token: &'a SecretText,
}

impl Admin<'_> {
    /// Gives a user a password, and makes the user where there is none. Devices stay.
    pub(crate) async fn set_password(&self, user: &str, password: &SecretText) -> Result<(), RoomError> {
        let body = json!({ "password": password.expose(), "logout_devices": false });
        let what = format!("set a password of {user}");
        let hint = "the token has to be of a server admin, and the homeserver has to be Synapse with passwords of its own";
        self.call(Method::PUT, &["_synapse", "admin", "v2", "users", user], body, what, hint)
            .await
            .map(|_| ())
    }

    /// Brings a local user into a room.
    pub(crate) async fn join(&self, user: &str, room: &str) -> Result<(), RoomError> {
        let what = format!("bring {user} into {room}");
        let hint = "invite the user into the room, or make the admin a member of it who may invite";
        let body = json!({ "user_id": user });
        self.call(Method::POST, &["_synapse", "admin", "v1", "join", room], body, what, hint)
            .await
            .map(|_| ())
    }

    /// Removes a device. One that is gone is no error.
    pub(crate) async fn forget_device(&self, user: &str, device: &str) -> Result<(), RoomError> {
        let what = format!("remove the old device {device} of {user}");
        let hint = "remove it by hand, it cannot be used any more";
        let path = ["_synapse", "admin", "v2", "users", user, "devices", device];
        match self.call(Method::DELETE, &path, Value::Null, what, hint).await {
            Err(RoomError::Refused { status: 404, .. }) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Value,
        what: String,
        hint: &'static str,
    ) -> Result<Value, RoomError> {
        let url = url(self.homeserver, path)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut request = self.http.request(method.clone(), url.clone()).timeout(ANSWER);
            request = request.bearer_auth(self.token.expose());
            if !body.is_null() {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            let unreachable = |source| RoomError::Unreachable { what: what.clone(), source };
            let answer = request.send().await.map_err(unreachable)?;
            let status = answer.status();
            let answer = up_to(answer, LONGEST).await.map_err(unreachable)?;
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            if status.is_success() {
                return Ok(answer);
            }
            if status.as_u16() == 429 && tries < TRIES {
                let asked = answer["retry_after_ms"].as_u64().map_or(LATER, Duration::from_millis);
                tokio::time::sleep(asked.min(LATEST)).await;
                continue;
            }
            let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
            let (code, message) = (text("errcode"), text("error"));
            return Err(RoomError::Refused { what, status: status.as_u16(), code, message, hint });
        }
    }
}

/// At most so many bytes of an answer; one more where there are more.
pub(crate) async fn up_to(mut answer: Response, longest: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk[..chunk.len().min(longest + 1 - bytes.len())]);
        if bytes.len() > longest {
            break;
        }
    }
    Ok(bytes)
}
