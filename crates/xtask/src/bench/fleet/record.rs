//! A door in front of the homeserver that writes down each call, so that a bare client can make the same ones.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::{Context as _, TaskError};

/// Larger bodies do not occur.
const MAX_BODY: usize = 16 << 20;

/// A call as it was made, and what came of it. It holds tokens, and is not to be printed.
#[derive(Clone)]
pub struct Call {
    /// GET, PUT and so on.
    pub method: Method,
    /// Path and query, encoded.
    pub path: String,
    /// What was sent.
    pub body: Bytes,
    /// As whom.
    pub token: String,
    /// How it was answered.
    pub status: u16,
    /// The id of the room, or the token, that it made.
    pub made: Option<String>,
    /// Its place in the order of all beginnings and ends.
    pub began: usize,
    /// See `began`.
    pub ended: usize,
}

#[derive(Clone)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    calls: Arc<Mutex<Vec<Call>>>,
    clock: Arc<AtomicUsize>,
}

/// The door. Dropping it closes it.
pub struct Recorder {
    url: String,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Recorder {
    /// Opens a door to `upstream` on a free port of loopback.
    pub async fn start(upstream: &str) -> Result<Self, TaskError> {
        let what = || "open the recording door".to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.context(what)?;
        let url = format!("http://{}", listener.local_addr().context(what)?);
        let client = reqwest::Client::builder().build().map_err(std::io::Error::other).context(what)?;
        let shared =
            Shared { upstream: upstream.to_owned(), client, calls: Arc::default(), clock: Arc::default() };
        let router = Router::new().fallback(pass).with_state(shared.clone());
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { url, shared, server })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All calls, in the order in which they began.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        calls.sort_by_key(|call| call.began);
        calls
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(State(shared): State<Shared>, request: Request) -> Response {
    match forward(&shared, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn forward(
    shared: &Shared,
    request: Request,
) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
    let began = shared.clock.fetch_add(1, Ordering::SeqCst);
    let method = request.method().clone();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut headers = request.headers().clone();
    headers.remove(header::HOST);
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    let body = to_bytes(request.into_body(), MAX_BODY).await?;
    let url = format!("{}{path}", shared.upstream);
    let answer =
        shared.client.request(method.clone(), url).headers(headers).body(body.clone()).send().await?;
    let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let bytes = answer.bytes().await?;
    let ended = shared.clock.fetch_add(1, Ordering::SeqCst);
    let made = made_by(&path, &bytes);
    let call = Call { method, path, body, token, status: status.as_u16(), made, began, ended };
    shared.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

/// What the answer to a call has in it that is another one on another homeserver.
pub fn made_by(path: &str, answer: &[u8]) -> Option<String> {
    let field = match path {
        path if path.ends_with("/createRoom") => "room_id",
        path if path.ends_with("/login") => "access_token",
        _ => return None,
    };
    let answer: Value = serde_json::from_slice(answer).ok()?;
    Some(answer[field].as_str()?.to_owned())
}
