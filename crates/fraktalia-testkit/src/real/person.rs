//! A Matrix user as tests need one: writes into rooms, waits for answers, and makes any other call by hand.

use std::fmt;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::error::{Context, RealError, Result};

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const LONG_POLL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_mins(1);

/// A logged-in Matrix user.
#[derive(Clone)]
pub struct Person {
    base_url: String,
    user_id: String,
    token: String,
    http: reqwest::Client,
}

/// A text message in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its event id.
    pub event_id: String,
    /// Who wrote it.
    pub sender: String,
    /// Its plain text.
    pub body: String,
}

impl fmt::Debug for Person {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Person").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl Person {
    /// A user whose access token is known.
    pub fn new(base_url: &str, user_id: &str, token: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            user_id: user_id.to_owned(),
            token: token.to_owned(),
            http: reqwest::Client::new(),
        }
    }

    /// Logs in with a password, as a new device.
    pub async fn log_in(base_url: &str, user: &str, password: &str) -> Result<Self> {
        let nobody = Self::new(base_url, "", "");
        let body = json!({
            "type": "m.login.password", "password": password,
            "identifier": { "type": "m.id.user", "user": user },
        });
        let request = nobody.http.post(format!("{base_url}/_matrix/client/v3/login")).json(&body);
        let answer = expect_json(request, format!("log in as {user}")).await?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default();
        Ok(Self::new(base_url, text("user_id"), text("access_token")))
    }

    /// The full id, `@name:server`.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The access token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The id of the device that the token belongs to.
    pub async fn device(&self) -> Result<String> {
        let answer = self.get("/_matrix/client/v3/account/whoami").await?;
        Ok(answer["device_id"].as_str().unwrap_or_default().to_owned())
    }

    /// The HTTP client, for calls without a token.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// GET with the user's token. `path` begins with a slash and is already percent-encoded.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(reqwest::Method::GET, path, None).await
    }

    /// POST with the user's token.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(reqwest::Method::POST, path, Some(body)).await
    }

    /// PUT with the user's token.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(reqwest::Method::PUT, path, Some(body)).await
    }

    /// Makes a room and gives its id.
    pub async fn create_room(&self, request: &Value) -> Result<String> {
        let answer = self.post("/_matrix/client/v3/createRoom", request).await?;
        Ok(answer["room_id"].as_str().unwrap_or_default().to_owned())
    }

    /// The id of the room that `alias` (`#name:server`) points to; `None` when there is none.
    pub async fn resolve(&self, alias: &str) -> Result<Option<String>> {
        match self.get(&format!("/_matrix/client/v3/directory/room/{}", encode(alias))).await {
            Ok(answer) => Ok(answer["room_id"].as_str().map(str::to_owned)),
            Err(RealError::Answer { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As an administrator: makes a local user a member of a room that we are in.
    pub async fn force_join(&self, room: &str, user_id: &str) -> Result<()> {
        let path = format!("/_synapse/admin/v1/join/{}", encode(room));
        self.post(&path, &json!({ "user_id": user_id })).await.map(|_| ())
    }

    /// The ids of those who are really in the room.
    pub async fn joined_members(&self, room: &str) -> Result<Vec<String>> {
        let answer = self.get(&format!("/_matrix/client/v3/rooms/{}/joined_members", encode(room))).await?;
        Ok(answer["joined"].as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default())
    }

    /// What `user_id` is called in the room.
    pub async fn display_name_in(&self, room: &str, user_id: &str) -> Result<Option<String>> {
        let path =
            format!("/_matrix/client/v3/rooms/{}/state/m.room.member/{}", encode(room), encode(user_id));
        Ok(self.get(&path).await?["displayname"].as_str().map(str::to_owned))
    }

    /// Writes a text message and gives its event id. User ids in it are mentions, as they are in what clients send.
    pub async fn say(&self, room: &str, text: &str) -> Result<String> {
        let transaction = super::synapse::random_hex()?;
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/{transaction}", encode(room));
        let mentions = json!({ "user_ids": mentioned(text).collect::<Vec<_>>() });
        let message = json!({ "msgtype": "m.text", "body": text, "m.mentions": mentions });
        let answer = self.put(&path, &message).await?;
        Ok(answer["event_id"].as_str().unwrap_or_default().to_owned())
    }

    /// Writes a message and waits until `answerer` has written something after it that is not an edit.
    pub async fn ask(&self, room: &str, answerer: &str, text: &str, limit: Duration) -> Result<Message> {
        let since = self.sync(None, Duration::ZERO, room).await?["next_batch"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        self.say(room, text).await?;
        self.wait_for_message(room, answerer, since, limit).await
    }

    /// Waits for a message of `sender` that comes after the sync token `since`.
    pub async fn wait_for_message(
        &self,
        room: &str,
        sender: &str,
        since: String,
        limit: Duration,
    ) -> Result<Message> {
        let start = Instant::now();
        let mut since = since;
        while start.elapsed() < limit {
            let answer = self.sync(Some(&since), LONG_POLL, room).await?;
            if let Some(message) =
                messages(&answer, room).into_iter().find(|message| message.sender == sender)
            {
                return Ok(message);
            }
            answer["next_batch"].as_str().unwrap_or_default().clone_into(&mut since);
        }
        let what = format!("a message of {sender} in {room}");
        Err(RealError::TimedOut { what, after: limit, tail: String::new() })
    }

    async fn sync(&self, since: Option<&str>, wait: Duration, room: &str) -> Result<Value> {
        let filter = json!({ "presence": { "types": [] }, "account_data": { "types": [] }, "room": {
            "rooms": [room], "ephemeral": { "types": [] }, "state": { "types": [] },
            "timeline": { "types": ["m.room.message"], "limit": 50 },
        }});
        let mut path = format!("/_matrix/client/v3/sync?timeout={}", wait.as_millis());
        path.push_str("&filter=");
        path.push_str(&encode(&filter.to_string()));
        if let Some(since) = since {
            path.push_str("&since=");
            path.push_str(&encode(since));
        }
        self.get(&path).await
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let mut request =
            self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        expect_json(request, what).await
    }
}

/// The user ids among the words of a text.
fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split_whitespace().map(|word| word.trim_end_matches([':', ',', '.', '?', '!']));
    words.filter(|word| word.starts_with('@') && word.contains(':'))
}

/// Percent-encodes one segment of a path, or a query value.
pub fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, UNRESERVED).to_string()
}

fn messages(sync: &Value, room: &str) -> Vec<Message> {
    let events = sync["rooms"]["join"][room]["timeline"]["events"].as_array();
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let to_message = |event: &Value| Message {
        event_id: text(event, "event_id"),
        sender: text(event, "sender"),
        body: text(&event["content"], "body"),
    };
    let is_edit = |event: &Value| event["content"]["m.relates_to"]["rel_type"] == "m.replace";
    events.into_iter().flatten().filter(|event| !is_edit(event)).map(to_message).collect()
}

pub(crate) async fn expect_json(request: RequestBuilder, what: String) -> Result<Value> {
    let response = request.timeout(TIMEOUT).send().await.context(|| what.clone())?;
    let status = response.status();
    if !status.is_success() {
        let mut body = response.text().await.unwrap_or_default();
        body.truncate(body.floor_char_boundary(500));
        return Err(RealError::Answer { what, status: status.as_u16(), body });
    }
    response.json().await.context(|| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_print_of_a_person_holds_no_token() {
        let person = Person::new("http://127.0.0.1:1", "@ana:chat.test", "syt_very_secret");
        assert!(!format!("{person:?}").contains("syt_very_secret"));
    }

    #[test]
    fn an_edit_is_not_a_new_message() {
        let event = |id: &str, relation: Value| json!({ "event_id": id, "sender": "@a:b", "content": { "body": id, "m.relates_to": relation } });
        let events = json!([event("$1", json!({ "rel_type": "m.replace" })), event("$2", Value::Null)]);
        let sync = json!({ "rooms": { "join": { "!r": { "timeline": { "events": events } } } } });
        let found: Vec<String> = messages(&sync, "!r").into_iter().map(|message| message.event_id).collect();
        assert_eq!(found, ["$2"]);
    }
}
