//! The frames of protocol 4 that we use: the challenge, `connect`, `config.get`.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::{Mood, State, lock};

type Socket = WebSocketStream<TcpStream>;

/// Serves until dropped; the connections end with it.
pub(super) async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // A client that goes away in the middle is no matter of ours.
            let _ = talk(stream, &state).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn talk(stream: TcpStream, state: &Mutex<State>) -> Result<(), Error> {
    let mut socket = accept_async(stream).await?;
    let challenge =
        json!({"type": "event", "event": "connect.challenge", "payload": {"nonce": "n", "ts": 1}});
    socket.send(Message::text(challenge.to_string())).await?;
    let mut connected = false;
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let request: Value = serde_json::from_str(&text).unwrap_or_default();
        let answer = match request["method"].as_str() {
            Some("connect") => {
                let answer = connect(&request["params"], state);
                connected = answer.is_ok();
                answer
            }
            Some("config.get") if connected => match config_get(&mut socket, state).await? {
                Some(payload) => Ok(payload),
                None => return Ok(()),
            },
            _ => Err(json!({"code": "INVALID_REQUEST", "message": "unknown method, or not connected"})),
        };
        respond(&mut socket, &request["id"], &answer).await?;
        if answer.is_err() && !connected {
            let close = CloseFrame { code: CloseCode::Again, reason: "goodbye".into() };
            return socket.close(Some(close)).await;
        }
    }
    Ok(())
}

async fn respond(socket: &mut Socket, id: &Value, answer: &Result<Value, Value>) -> Result<(), Error> {
    let frame = match answer {
        Ok(payload) => json!({"type": "res", "id": id, "ok": true, "payload": payload}),
        Err(error) => json!({"type": "res", "id": id, "ok": false, "error": error}),
    };
    // Events of other things come in between, as on the real one.
    let tick = json!({"type": "event", "event": "tick", "payload": {"ts": 1}});
    socket.send(Message::text(tick.to_string())).await?;
    socket.send(Message::text(frame.to_string())).await
}

fn connect(params: &Value, state: &Mutex<State>) -> Result<Value, Value> {
    let mut state = lock(state);
    if state.starting > 0 {
        state.starting -= 1;
        return Err(json!({
            "code": "UNAVAILABLE", "message": "gateway starting; retry shortly", "retryable": true, "retryAfterMs": 1,
        }));
    }
    if params["minProtocol"] != 4 || params["maxProtocol"] != 4 {
        return Err(json!({"code": "INVALID_REQUEST", "message": "protocol mismatch"}));
    }
    let known_client = params["client"]["id"] == "gateway-client" && params["client"]["mode"] == "backend";
    if !known_client || params["role"] != "operator" {
        return Err(json!({"code": "INVALID_REQUEST", "message": "invalid connect params"}));
    }
    if params["auth"]["token"] != state.token.as_str() {
        return Err(json!({"code": "INVALID_REQUEST", "message": "unauthorized: gateway token mismatch"}));
    }
    Ok(json!({"type": "hello-ok", "protocol": 4, "server": {"version": "2026.9.6"}}))
}

/// `None` when the connection was closed instead.
async fn config_get(socket: &mut Socket, state: &Mutex<State>) -> Result<Option<Value>, Error> {
    let answer = {
        let mut state = lock(state);
        let changed = std::fs::read_to_string(&state.path).unwrap_or_default() != state.applied;
        match state.mood {
            Mood::Hang | Mood::Drop if changed => Err(state.mood.clone()),
            _ => Ok(state.look()),
        }
    };
    match answer {
        Ok(payload) => Ok(Some(payload)),
        Err(Mood::Drop) => {
            socket.close(None).await?;
            Ok(None)
        }
        Err(_) => std::future::pending().await,
    }
}
