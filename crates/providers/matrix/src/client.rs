//! A small typed client for the part of the Matrix client API and Synapse's admin API that we use.
//!
//! Every call ends: a single read within [`Limits::read`], any other request within [`Limits::request`], all tries of a call together within
//! [`Limits::total`]. Answers are read up to [`Limits::body`] bytes. What the homeserver refuses keeps its
//! `errcode`; nothing here or above matches on the text of a message.

use std::time::Duration;

use fraktalia_model::{SecretText, UserId};
use reqwest::{Method, Response, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value as Json;
use serde_json::error::Category;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::error::MatrixError;

pub mod lists;
pub mod rooms;
pub mod spaces;
pub mod sync;
pub mod users;

/// How long and how much we are ready to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a connection.
    pub connect: Duration,
    /// For one read with its answer.
    pub read: Duration,
    /// For one request that changes something, with its answer: making a room can take long.
    pub request: Duration,
    /// For a call with all its tries, and for an asynchronous deletion.
    pub total: Duration,
    /// How long a room whose creation we did not hear of may still turn up.
    pub settle: Duration,
    /// Largest answer in bytes.
    pub body: usize,
    /// How many rooms are read in one answer: enough to be cheap, and not so many that it takes long or much memory.
    /// With 0 each is asked for.
    pub rooms_at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(20),
            request: Duration::from_mins(1),
            total: Duration::from_mins(4),
            settle: Duration::from_secs(5),
            body: 64 * 1024 * 1024,
            rooms_at_once: 100,
        }
    }
}

/// How often a read is tried when the homeserver or the way to it fails.
const READ_TRIES: u32 = 3;

/// Speaks for one user, who has to be a server admin for most calls.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: SecretText,
    limits: Limits,
    me: OnceCell<UserId>,
    default_version: OnceCell<String>,
}

/// One request. `what` says what it is for, as a short imperative.
struct Call<'a> {
    method: Method,
    path: String,
    body: Body<'a>,
    /// Somebody else's token, where the call is theirs.
    token: Option<&'a SecretText>,
    /// How long the homeserver was asked to wait before it answers.
    held: Duration,
    what: String,
}

enum Body<'a> {
    None,
    Json(Json),
    Bytes { mime: &'a str, bytes: &'a [u8] },
}

impl Call<'_> {
    fn new(method: Method, path: String, what: impl Into<String>) -> Self {
        Self { method, path, body: Body::None, token: None, held: Duration::ZERO, what: what.into() }
    }

    fn get(path: String, what: impl Into<String>) -> Self {
        Self::new(Method::GET, path, what)
    }

    fn put(path: String, body: Json, what: impl Into<String>) -> Self {
        Self { body: Body::Json(body), ..Self::new(Method::PUT, path, what) }
    }

    fn post(path: String, body: Json, what: impl Into<String>) -> Self {
        Self { body: Body::Json(body), ..Self::new(Method::POST, path, what) }
    }
}

/// A path with every segment percent-encoded: room ids of version 12 may hold anything.
fn path(segments: &[&str]) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    segments.iter().fold(String::new(), |mut path, segment| {
        path.push('/');
        path.extend(utf8_percent_encode(segment, KEPT));
        path
    })
}

/// The path of a client API call.
fn client_path(segments: &[&str]) -> String {
    format!("/_matrix/client/v3{}", path(segments))
}

/// The path of an admin API call; the first segment is its version.
fn admin_path(segments: &[&str]) -> String {
    format!("/_synapse/admin{}", path(segments))
}

impl Client {
    /// A client of the homeserver at `base`, a URL without a slash at its end.
    ///
    /// # Errors
    /// When no TLS could be set up.
    pub fn new(base: &str, token: SecretText, limits: Limits) -> Result<Self, MatrixError> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(limits.connect)
            // A redirect would carry the admin token to whoever is named there.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("fraktalia/", env!("CARGO_PKG_VERSION")));
        if is_loopback(base) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|source| MatrixError::Unreachable {
            what: "set up an HTTP client".into(),
            url: base.into(),
            source,
        })?;
        Ok(Self {
            http,
            base: base.into(),
            token,
            limits,
            me: OnceCell::new(),
            default_version: OnceCell::new(),
        })
    }

    /// How long we are ready to wait.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Our own user: whose token it is. Asked once.
    pub async fn me(&self) -> Result<&UserId, MatrixError> {
        self.me.get_or_try_init(|| self.whoami(None)).await
    }

    /// The room version that the homeserver gives to new rooms. Asked once.
    pub async fn default_room_version(&self) -> Result<&str, MatrixError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            capabilities: Capabilities,
        }
        #[derive(serde::Deserialize)]
        struct Capabilities {
            #[serde(rename = "m.room_versions")]
            versions: Versions,
        }
        #[derive(serde::Deserialize)]
        struct Versions {
            default: String,
        }
        let version = self.default_version.get_or_try_init(|| async {
            let call = Call::get(client_path(&["capabilities"]), "read the homeserver's capabilities");
            let answer: Answer = self.call(call).await?;
            Ok::<_, MatrixError>(answer.capabilities.versions.default)
        });
        Ok(version.await?)
    }

    /// Uploads a picture; yields its `mxc://` address. Not idempotent: look into
    /// [`own_media`](Self::own_media) first.
    pub async fn upload(&self, mime: &str, bytes: &[u8]) -> Result<String, MatrixError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            content_uri: String,
        }
        let call = Call {
            body: Body::Bytes { mime, bytes },
            ..Call::new(Method::POST, "/_matrix/media/v3/upload".into(), "upload a picture")
        };
        Ok(self.call::<Answer>(call).await?.content_uri)
    }

    /// The `mxc://` address of an upload of our own with this SHA-256 (hex), if there is one.
    pub async fn own_media(&self, server_name: &str, sha256: &str) -> Result<Option<String>, MatrixError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            media: Vec<Media>,
            next_token: Option<u64>,
        }
        #[derive(serde::Deserialize)]
        struct Media {
            media_id: String,
            sha256: Option<String>,
        }
        let me = self.me().await?;
        let mut from = 0;
        loop {
            let list = admin_path(&["v1", "users", &me.0, "media"]);
            let call = Call::get(format!("{list}?limit=200&from={from}"), "list our own pictures");
            let page: Answer = self.call(call).await?;
            if let Some(found) = page.media.iter().find(|media| media.sha256.as_deref() == Some(sha256)) {
                return Ok(Some(format!("mxc://{server_name}/{}", found.media_id)));
            }
            match page.next_token {
                Some(next) if next > from => from = next,
                _ => return Ok(None),
            }
        }
    }

    async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, MatrixError> {
        let body = self.exchange(&call).await?;
        let what = call.what;
        serde_json::from_slice(&body).map_err(|source| match source.classify() {
            Category::Data => MatrixError::Misunderstood { what, source },
            _ => self.not_matrix(what, StatusCode::OK, &body),
        })
    }

    /// Like [`call`](Self::call), for calls whose answer holds nothing of interest.
    async fn tell(&self, call: Call<'_>) -> Result<(), MatrixError> {
        self.call::<IgnoredAny>(call).await.map(drop)
    }

    /// Like [`call`](Self::call); what is not there is `None`.
    async fn find<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Option<T>, MatrixError> {
        match self.call(call).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is(crate::error::code::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All tries of a call. A refusal for its rate had no effect, so it can be repeated; a failure is repeated for
    /// reads only.
    async fn exchange(&self, call: &Call<'_>) -> Result<Vec<u8>, MatrixError> {
        let deadline = Instant::now() + self.limits.total;
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.once(call).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            let pause = match &error {
                MatrixError::RateLimited { retry_after, .. } => *retry_after,
                MatrixError::Lost { .. } | MatrixError::Failed { .. }
                    if call.method == Method::GET && tries < READ_TRIES =>
                {
                    Duration::from_millis(100) * tries
                }
                _ => return Err(error),
            };
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::debug!(what = call.what, ?pause, "trying again");
            sleep(pause).await;
        }
    }

    async fn once(&self, call: &Call<'_>) -> Result<Vec<u8>, MatrixError> {
        let url = format!("{}{}", self.base, call.path);
        let token = call.token.unwrap_or(&self.token);
        let request = self.http.request(call.method.clone(), url).bearer_auth(token.expose());
        let mut request = request.timeout(self.patience(call));
        request = match &call.body {
            Body::None => request,
            Body::Json(json) => request.json(json),
            Body::Bytes { mime, bytes } => request.header("content-type", *mime).body(bytes.to_vec()),
        };
        let response = request.send().await.map_err(|error| self.transport(call, error))?;
        let status = response.status();
        let patience = retry_after(&response);
        let body = self.read(call, response).await?;
        if status.is_success() { Ok(body) } else { Err(self.refusal(call, status, patience, &body)) }
    }

    /// How long one try of a call may take.
    fn patience(&self, call: &Call<'_>) -> Duration {
        call.held + if call.method == Method::GET { self.limits.read } else { self.limits.request }
    }

    async fn read(&self, call: &Call<'_>, mut response: Response) -> Result<Vec<u8>, MatrixError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(call, error))? {
            if body.len() + chunk.len() > self.limits.body {
                return Err(MatrixError::TooLarge { what: call.what.clone(), limit: self.limits.body });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn transport(&self, call: &Call<'_>, error: reqwest::Error) -> MatrixError {
        let what = call.what.clone();
        // The URL stands in our own text already, and shorter.
        let source = error.without_url();
        if source.is_connect() {
            let url = self.base.clone();
            MatrixError::Unreachable { what, url, source }
        } else if source.is_timeout() {
            let after = self.patience(call);
            MatrixError::TimedOut { what, after }
        } else {
            MatrixError::Lost { what, source }
        }
    }

    fn refusal(
        &self,
        call: &Call<'_>,
        status: StatusCode,
        patience: Option<Duration>,
        body: &[u8],
    ) -> MatrixError {
        let what = call.what.clone();
        let Ok(json) = serde_json::from_slice::<Json>(body) else {
            return self.not_matrix(what, status, body);
        };
        let text = |key: &str| json.get(key).and_then(Json::as_str).map(ToOwned::to_owned);
        let (errcode, message) =
            (text("errcode").unwrap_or_else(|| "without a code".into()), text("error").unwrap_or_default());
        match status.as_u16() {
            429 => MatrixError::RateLimited {
                what,
                retry_after: json
                    .get("retry_after_ms")
                    .and_then(Json::as_u64)
                    .map(Duration::from_millis)
                    .or(patience)
                    .unwrap_or(Duration::from_secs(1)),
            },
            status @ 500.. => MatrixError::Failed { what, status, errcode, message },
            status => MatrixError::Refused { what, status, errcode, message },
        }
    }

    fn not_matrix(&self, what: String, status: StatusCode, body: &[u8]) -> MatrixError {
        let url = self.base.clone();
        MatrixError::NotMatrix { what, url, status: status.as_u16(), excerpt: excerpt(body) }
    }
}

/// The standard header, in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// How a strange answer begins, in one line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() {
        "nothing at all".into()
    } else {
        words.chars().take(80).filter(|c| !c.is_control()).collect()
    }
}

fn is_loopback(base: &str) -> bool {
    let host = base.split("://").nth(1).unwrap_or(base);
    ["127.", "localhost", "[::1]"].iter().any(|loopback| host.starts_with(loopback))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_of_a_path_is_encoded() {
        assert_eq!(
            client_path(&["rooms", "!-a/b?#:c.d", "state"]),
            "/_matrix/client/v3/rooms/%21-a%2Fb%3F%23%3Ac.d/state"
        );
    }

    #[test]
    fn a_strange_answer_is_shown_by_its_first_words() {
        assert_eq!(excerpt(b"<html>\n  <body>Bad\x07 gateway"), "<html> <body>Bad gateway");
        assert_eq!(excerpt(b""), "nothing at all");
    }
}
