//! The running gateway, asked over its WebSocket (protocol 4) which configuration it runs on.
//!
//! A written file is not an active one: the gateway keeps its last good configuration when it does not like a new
//! one. Its `config.get` has a hash of the file and a hash of what it runs on; only when the two are equal and our
//! content is in it has the gateway taken it over.

use std::path::PathBuf;
use std::time::Duration;

use fraktalia_model::SecretText;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

const PROTOCOL: u64 = 4;
/// The gateway's own limit is 25 MiB.
const MAX_MESSAGE: usize = 32 << 20;
/// Between two looks. A gateway notices a new file within half a second to three seconds.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long one connection or one answer may take.
const CALL: Duration = Duration::from_secs(20);

/// Why the gateway did not confirm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GatewayError {
    /// It could not be reached, or did not answer in time. Worth another try.
    #[error("{0}")]
    Away(String),
    /// It does not let us in, or does not know what we ask. Another try would end the same.
    #[error("{0}")]
    Refused(String),
}

/// Where the gateway is, and how to be let in.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub url: String,
    pub token: Option<SecretText>,
}

/// What `config.get` says, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Applied {
    /// The file as the gateway reads it, with secrets made unreadable.
    pub parsed: Json,
    /// Whether it accepts that.
    pub valid: bool,
    /// What it says against it.
    pub issues: Json,
    /// Whether it runs on it; `None` from older gateways, which cannot say.
    pub runs_on_it: Option<bool>,
    /// Which file it reads, as it sees it.
    pub path: Option<PathBuf>,
    /// Its version.
    pub version: Option<String>,
}

/// What it means when the gateway sees an invalid file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The file before was valid, so it is the new one.
    OursIsInvalid,
    /// It may be the one before.
    WaitForMore,
}

/// How the gateway took a file over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// It runs on it.
    Applied,
    /// It reads it and finds it valid; this version cannot say more.
    Read,
}

impl Gateway {
    /// Asks once.
    pub async fn config(&self, deadline: Instant) -> Result<Applied, GatewayError> {
        let deadline = deadline.min(Instant::now() + CALL);
        let talk = async {
            let mut session = Session::open(self, &["operator.read"]).await?;
            let answer = session.call("config.get", json!({})).await?;
            Ok((answer, session.version))
        };
        let (answer, version) = timeout_at(deadline, talk)
            .await
            .map_err(|_| GatewayError::Away(format!("{} gave no answer in time", self.url)))??;
        let text = |key: &str| answer[key].as_str();
        Ok(Applied {
            valid: answer["valid"].as_bool().unwrap_or(false),
            runs_on_it: text("configRevisionHash")
                .zip(text("appliedConfigHash"))
                .map(|(file, runs)| file == runs),
            issues: answer["issues"].clone(),
            path: text("path").map(PathBuf::from),
            version,
            parsed: answer["parsed"].clone(),
        })
    }

    /// Waits until the gateway is there at all.
    pub async fn reachable(&self, patience: Duration) -> Result<Applied, GatewayError> {
        let deadline = Instant::now() + patience;
        loop {
            match self.config(deadline).await {
                Err(GatewayError::Away(why)) if Instant::now() + INTERVAL >= deadline => {
                    return Err(GatewayError::Away(why));
                }
                Err(GatewayError::Away(_)) => sleep(INTERVAL).await,
                answer => return answer,
            }
        }
    }

    /// Waits until the gateway runs on a file for which `is_ours` holds. It may be away meanwhile: some changes
    /// restart it.
    pub async fn confirm(
        &self,
        patience: Duration,
        doubt: Doubt,
        is_ours: impl Fn(&Json) -> bool,
    ) -> Result<Confirmed, GatewayError> {
        let deadline = Instant::now() + patience;
        let mut last;
        loop {
            match self.config(deadline).await {
                Ok(seen) => {
                    if let Some(confirmed) = judge(&seen, doubt, &is_ours)? {
                        return Ok(confirmed);
                    }
                    last = if is_ours(&seen.parsed) {
                        "it has read the new file but still runs on the old configuration".to_owned()
                    } else {
                        "it has not read the new file; does it run on another one?".to_owned()
                    };
                }
                Err(GatewayError::Away(why)) => last = why,
                Err(refused) => return Err(refused),
            }
            if Instant::now() + INTERVAL >= deadline {
                return Err(GatewayError::Away(format!("{last} (after {} s)", patience.as_secs())));
            }
            sleep(INTERVAL).await;
        }
    }
}

/// Whether the question is settled by this answer. Of an invalid file the gateway does not always say what is in it.
fn judge(
    seen: &Applied,
    doubt: Doubt,
    is_ours: &impl Fn(&Json) -> bool,
) -> Result<Option<Confirmed>, GatewayError> {
    let ours = is_ours(&seen.parsed);
    if !seen.valid && (ours || doubt == Doubt::OursIsInvalid) {
        let issues = crate::validate::issues(&seen.issues).join("; ");
        return Err(GatewayError::Refused(format!("it finds it invalid: {issues}")));
    }
    Ok(match seen.runs_on_it {
        Some(true) if ours => Some(Confirmed::Applied),
        None if ours => Some(Confirmed::Read),
        _ => None,
    })
}

/// A conversation with the gateway.
pub(crate) struct Session {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    version: Option<String>,
}

impl Session {
    /// Introduces us, with the rights that are needed.
    pub async fn open(gateway: &Gateway, scopes: &[&str]) -> Result<Self, GatewayError> {
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let (socket, _) = connect_async_with_config(&gateway.url, Some(config), true)
            .await
            .map_err(|error| GatewayError::Away(format!("cannot reach {}: {error}", gateway.url)))?;
        let mut session = Self { socket, last_id: 0, version: None };
        while session.frame().await?["event"] != "connect.challenge" {}
        let mut hello = json!({
            "minProtocol": PROTOCOL,
            "maxProtocol": PROTOCOL,
            "client": {
                "id": "gateway-client",
                "version": env!("CARGO_PKG_VERSION"),
                "platform": std::env::consts::OS,
                "mode": "backend",
            },
            "role": "operator",
            "scopes": scopes,
        });
        if let Some(token) = &gateway.token {
            hello["auth"] = json!({"token": token.expose()});
        }
        let welcome = session.call("connect", hello).await?;
        session.version = welcome["server"]["version"].as_str().map(|text| text.chars().take(40).collect());
        Ok(session)
    }

    /// Asks, and waits for the answer.
    pub async fn call(&mut self, method: &str, params: Json) -> Result<Json, GatewayError> {
        self.last_id += 1;
        let id = self.last_id.to_string();
        let request = json!({"type": "req", "id": id, "method": method, "params": params});
        let sent = self.socket.send(Message::text(request.to_string())).await;
        sent.map_err(|error| GatewayError::Away(format!("the connection broke: {error}")))?;
        loop {
            let frame = self.frame().await?;
            if frame["type"] == "res" && frame["id"] == id.as_str() {
                return if frame["ok"] == true {
                    Ok(frame["payload"].clone())
                } else {
                    Err(refusal(method, &frame["error"]))
                };
            }
        }
    }

    /// The next JSON frame; what is no JSON is passed over.
    async fn frame(&mut self) -> Result<Json, GatewayError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    if let Ok(frame) = serde_json::from_str(&text) {
                        return Ok(frame);
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return Err(GatewayError::Away(format!("it closed the connection: {why}")));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(GatewayError::Away(format!("the connection broke: {error}"))),
                None => return Err(GatewayError::Away("it closed the connection".into())),
            }
        }
    }
}

fn refusal(method: &str, error: &Json) -> GatewayError {
    let message = error["message"].as_str().unwrap_or("no reason given");
    if error["retryable"] == true || error["code"] == "UNAVAILABLE" {
        GatewayError::Away(message.to_owned())
    } else {
        GatewayError::Refused(format!("it refuses `{method}`: {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(parsed: i32, valid: bool, runs_on_it: Option<bool>) -> Applied {
        let issues = json!([{"path": "a", "message": "b"}]);
        Applied { parsed: json!(parsed), valid, issues, runs_on_it, path: None, version: None }
    }

    #[test]
    fn only_our_content_running_is_a_confirmation() {
        let ours = |value: &Json| *value == json!(2);
        for (answer, want) in [
            (seen(1, true, Some(true)), Ok(None)),
            (seen(1, false, Some(false)), Ok(None)),
            (seen(2, true, Some(false)), Ok(None)),
            (seen(2, true, Some(true)), Ok(Some(Confirmed::Applied))),
            (seen(2, true, None), Ok(Some(Confirmed::Read))),
            (seen(2, false, Some(false)), Err(GatewayError::Refused("it finds it invalid: a: b".into()))),
        ] {
            assert_eq!(judge(&answer, Doubt::WaitForMore, &ours), want, "{answer:?}");
        }
        let invalid = seen(1, false, Some(false));
        assert!(judge(&invalid, Doubt::OursIsInvalid, &ours).is_err());
    }

    #[test]
    fn a_gateway_that_starts_is_asked_again_and_one_that_refuses_is_not() {
        let starting = json!({"code": "UNAVAILABLE", "message": "gateway starting"});
        assert!(matches!(refusal("connect", &starting), GatewayError::Away(_)));
        let stranger = json!({"code": "INVALID_REQUEST", "message": "unauthorized: token mismatch"});
        let GatewayError::Refused(text) = refusal("connect", &stranger) else { panic!("a refusal") };
        assert_eq!(text, "it refuses `connect`: unauthorized: token mismatch");
    }
}
