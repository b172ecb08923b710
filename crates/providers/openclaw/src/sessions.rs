//! What agents remember of their conversations: the gateway's sessions.
//!
//! They are the gateway's own, in a database or in files by its version, and it holds them in memory while it runs. So it
//! is asked for them, and told to take one away: it stops what runs in it first, and keeps its transcript as an archive.

use std::collections::BTreeSet;
use std::time::Duration;

use fraktalia_engine::{SecretError, Secrets};
use fraktalia_model::RoomId;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::dialect::{Config, Peer};
use crate::error::FileError;
use crate::gateway::{Gateway, GatewayError, Session as Connection};
use crate::provider::value;
use crate::system::OpenClaw;
use crate::write;

/// Rows of one answer.
const PAGE: usize = 200;
/// More sessions than any gateway keeps: what its answers can take of our memory.
const MOST: usize = 20_000;
/// How long one conversation with the gateway may take. A session in use is waited for.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two tries to end a session that is busy.
const AGAIN: Duration = Duration::from_secs(1);

/// A session, as the gateway lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// `agent:gardener:matrix:channel:!room`
    pub key: String,
    /// Counts up whenever it begins anew.
    #[serde(default)]
    pub session_id: Option<String>,
    /// When something last happened in it, in milliseconds since 1970.
    #[serde(default)]
    pub updated_at: Option<u64>,
    /// How much of a model's attention it takes.
    #[serde(default)]
    pub total_tokens: Option<u64>,
}

impl Session {
    /// The agent whose it is.
    pub fn agent(&self) -> Option<&str> {
        self.key.strip_prefix("agent:")?.split(':').next().filter(|agent| !agent.is_empty())
    }

    /// Whether it is the one that an agent always has. The gateway does not let go of it.
    pub fn is_main(&self) -> bool {
        self.agent().is_some_and(|agent| self.key == format!("agent:{agent}:main"))
    }

    /// The Matrix room that it is about, threads in it included. Some releases write it in lower case.
    pub fn room(&self) -> Option<&str> {
        let rest = self.key.strip_prefix("agent:")?.split_once(":matrix:")?.1;
        let (_, room) = rest.split_once('!')?;
        let kind = &rest[..rest.len() - room.len() - 1];
        let is_group = kind.split(':').any(|word| matches!(word, "channel" | "group"));
        let room = &rest[rest.len() - room.len() - 1..];
        is_group.then(|| room.split(":thread:").next().unwrap_or(room))
    }

    /// Whether it is about this room.
    pub fn is_about(&self, room: &RoomId) -> bool {
        self.room().is_some_and(|found| found.eq_ignore_ascii_case(&room.0))
    }
}

/// What `openclaw.json` says of agents and their rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// All agents, in lower case.
    pub agents: BTreeSet<String>,
    /// Agents with the rooms that are bound to them.
    rooms: BTreeSet<(String, String)>,
    /// Agents that hear what is bound to nobody.
    any: BTreeSet<String>,
}

impl Routing {
    fn of(config: &Json) -> Self {
        let config = Config::read(config);
        let mut routing = Self { agents: config.agents.keys().cloned().collect(), ..Self::default() };
        for key in config.routes.iter().flatten() {
            match &key.route.peer {
                Peer::Room(room) => {
                    routing.rooms.insert((key.agent.clone(), room.to_ascii_lowercase()));
                }
                Peer::Any => {
                    routing.any.insert(key.agent.clone());
                }
                Peer::Direct(_) => {}
            }
        }
        routing
    }

    /// Whether an agent may be spoken to in a room.
    pub fn reaches(&self, agent: &str, room: &str) -> bool {
        let agent = agent.to_ascii_lowercase();
        self.any.contains(&agent) || self.rooms.contains(&(agent, room.to_ascii_lowercase()))
    }
}

/// Why sessions could not be listed or taken away.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// The manifest names no gateway.
    #[error("the manifest names no gateway, and only that can be asked for sessions")]
    NoGateway,
    /// Its token could not be had.
    #[error("the gateway's token cannot be had")]
    Token(#[from] SecretError),
    /// It cannot be reached, or did not answer.
    #[error("the gateway cannot be asked: {0}")]
    Away(String),
    /// It said no.
    #[error("the gateway says no: {0}")]
    Refused(String),
    /// `openclaw.json` cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SessionsError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NoGateway => "set `openclaw.gateway` to its url and token".into(),
            Self::Token(_) => "see that `openclaw.gateway.token` leads to the gateway's token".into(),
            Self::Away(_) => "is it running, and is `openclaw.gateway.url` right? then say it again".into(),
            Self::Refused(_) => "does `openclaw.gateway.token` have the rights of an operator?".into(),
            Self::File(error) => error.hint(),
        }
    }
}

impl From<GatewayError> for SessionsError {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::Away(why) => Self::Away(why),
            GatewayError::Refused(why) => Self::Refused(why),
        }
    }
}

impl OpenClaw {
    /// Which agents there are and where they are heard, as the file says it at this moment.
    pub fn routing(&self) -> Result<Routing, SessionsError> {
        let original = write::read(&self.config)?;
        Ok(Routing::of(&value(&original.text)?))
    }

    /// Whether there is a gateway to ask.
    pub fn has_gateway(&self) -> bool {
        self.gateway.is_some()
    }

    /// All sessions, those of agents that are gone too.
    pub async fn sessions(&self, secrets: &Secrets) -> Result<Vec<Session>, SessionsError> {
        let gateway = self.operator(secrets).await?;
        let talk = async {
            let mut connection = Connection::open(&gateway, &["operator.read"]).await?;
            let mut all = Vec::new();
            loop {
                let asked = json!({"limit": PAGE, "offset": all.len()});
                let answer = connection.call("sessions.list", asked).await?;
                let rows = answer["sessions"].as_array().cloned().unwrap_or_default();
                let last = answer["hasMore"] != true || rows.is_empty() || all.len() > MOST;
                all.extend(rows);
                if last {
                    return Ok(all);
                }
            }
        };
        let rows: Vec<Json> = in_time(&gateway, Box::pin(talk)).await?;
        // What has no key cannot be named, and is none of ours.
        let mut sessions: Vec<Session> =
            rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect();
        sessions.sort_by(|one, other| one.key.cmp(&other.key));
        sessions.dedup_by(|one, other| one.key == other.key);
        Ok(sessions)
    }

    /// Takes a session away, and waits for what runs in it. One that is gone already is fine. Gives where the gateway keeps
    /// its transcript.
    pub async fn delete_session(
        &self,
        session: &Session,
        secrets: &Secrets,
    ) -> Result<Vec<String>, SessionsError> {
        let gateway = self.operator(secrets).await?;
        let talk = async {
            loop {
                match delete(&gateway, session).await {
                    // It is busy, or the gateway starts.
                    Err(GatewayError::Away(why)) => {
                        tracing::debug!(session = session.key, why, "trying again");
                        sleep(AGAIN).await;
                    }
                    other => return other,
                }
            }
        };
        in_time(&gateway, Box::pin(talk)).await
    }

    async fn operator(&self, secrets: &Secrets) -> Result<Gateway, SessionsError> {
        let gateway = self.gateway.as_ref().ok_or(SessionsError::NoGateway)?;
        let token = match &gateway.token {
            Some(source) => Some(secrets.resolve(source).await?),
            None => None,
        };
        Ok(Gateway { url: gateway.url.clone(), token })
    }
}

async fn in_time<T>(
    gateway: &Gateway,
    talk: impl Future<Output = Result<T, GatewayError>>,
) -> Result<T, SessionsError> {
    let late =
        |_| SessionsError::Away(format!("{} was not done within {} s", gateway.url, PATIENCE.as_secs()));
    Ok(timeout_at(Instant::now() + PATIENCE, talk).await.map_err(late)??)
}

async fn delete(gateway: &Gateway, session: &Session) -> Result<Vec<String>, GatewayError> {
    let mut connection =
        Connection::open(gateway, &["operator.read", "operator.write", "operator.admin"]).await?;
    // The key says whose it is; the gateway would refuse to be told the name of an agent that is gone.
    let asked = json!({"key": session.key, "deleteTranscript": true});
    let answer = connection.call("sessions.delete", asked).await?;
    let archived = answer["archived"].as_array().into_iter().flatten();
    Ok(archived.filter_map(|path| path.as_str().map(ToOwned::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(key: &str) -> Session {
        serde_json::from_value(json!({ "key": key, "sessionId": "x", "kind": "group" })).expect("a session")
    }

    #[test]
    fn a_key_says_whose_a_session_is_and_about_which_room() {
        for (key, agent, room) in [
            ("agent:gardener:matrix:channel:!oQC-_x", Some("gardener"), Some("!oQC-_x")),
            ("agent:cook:matrix:channel:!a:chat.home:thread:$event", Some("cook"), Some("!a:chat.home")),
            ("agent:cook:matrix:group:!a:chat.home", Some("cook"), Some("!a:chat.home")),
            ("agent:cook:matrix:direct:@ana:chat.home", Some("cook"), None),
            ("agent:cook:main", Some("cook"), None),
            ("agent:cook:telegram:group:!a", Some("cook"), None),
            ("agent:", None, None),
            ("global", None, None),
        ] {
            assert_eq!((session(key).agent(), session(key).room()), (agent, room), "{key}");
        }
        assert!(session("agent:cook:main").is_main() && !session("agent:cook:main:x").is_main());
        assert!(session("agent:a:matrix:channel:!abc").is_about(&RoomId("!aBC".into())));
        assert!(!session("agent:a:matrix:channel:!abcd").is_about(&RoomId("!abc".into())));
    }

    #[test]
    fn an_agent_is_heard_where_it_is_bound_and_everywhere_when_it_catches_all() {
        let routing = Routing::of(&json!({
            "agents": {"entries": {"Gardener": {}, "felix": {}}},
            "bindings": [
                {"agentId": "gardener", "match": {"channel": "matrix", "peer": {"kind": "channel", "id": "!aB"}}},
                {"agentId": "felix", "match": {"channel": "matrix", "accountId": "*"}},
            ],
        }));
        assert_eq!(routing.agents.iter().collect::<Vec<_>>(), ["felix", "gardener"]);
        assert!(routing.reaches("gardener", "!ab") && !routing.reaches("gardener", "!other"));
        assert!(routing.reaches("felix", "!other"));
    }
}
