//! A door in front of a real homeserver: counts what passes, and breaks it on demand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Larger bodies do not occur in tests.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// What happens to a request instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It is done, and the connection ends without an answer.
    DoneButLost,
    /// It is not done, and the connection ends.
    Lost,
    /// No answer ever comes.
    Hang,
    /// It waits until [`Proxy::mend`], and is done then.
    Hold,
    /// It is answered with an empty object at once, and done after [`Proxy::mend`].
    Later,
    /// 500 with a Matrix error.
    ServerError,
    /// 200 with a page of HTML, as a misdirected reverse proxy gives it.
    Html,
}

type Rule = Arc<dyn Fn(&Method, &str) -> Option<Break> + Send + Sync>;

#[derive(Default)]
struct Inside {
    calls: Vec<(Method, String)>,
    rule: Option<Rule>,
}

#[derive(Clone)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    inside: Arc<Mutex<Inside>>,
    called: Arc<Notify>,
    mended: Arc<Notify>,
}

/// A running proxy. Dropping it closes the door.
pub struct Proxy {
    url: String,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Starts a door to `upstream`, a base URL, on a free port of loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let client = reqwest::Client::builder().build().map_err(std::io::Error::other)?;
        let shared = Shared {
            upstream: upstream.into(),
            client,
            inside: Arc::default(),
            called: Arc::default(),
            mended: Arc::default(),
        };
        let router = Router::new().fallback(pass).with_state(shared.clone());
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { url, shared, server })
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Breaks the requests for which `rule` says how.
    pub fn break_if(&self, rule: impl Fn(&Method, &str) -> Option<Break> + Send + Sync + 'static) {
        lock(&self.shared).rule = Some(Arc::new(rule));
    }

    /// Breaks the first request for which `rule` says how, and no other.
    pub fn break_once(&self, how: Break, rule: impl Fn(&Method, &str) -> bool + Send + Sync + 'static) {
        let open = std::sync::atomic::AtomicBool::new(true);
        self.break_if(move |method, path| {
            let hit = rule(method, path) && open.swap(false, std::sync::atomic::Ordering::SeqCst);
            hit.then_some(how)
        });
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        lock(&self.shared).rule = None;
        self.shared.mended.notify_waiters();
    }

    /// Waits until a call has come in for which `which` holds, now or since the calls were last taken.
    pub async fn called(&self, which: impl Fn(&Method, &str) -> bool) {
        loop {
            let next = self.shared.called.notified();
            if lock(&self.shared).calls.iter().any(|(method, path)| which(method, path)) {
                return;
            }
            next.await;
        }
    }

    /// Method and path of each call so far, and forgets them.
    pub fn take_calls(&self) -> Vec<(Method, String)> {
        std::mem::take(&mut lock(&self.shared).calls)
    }

    /// The calls that change something, and forgets all.
    pub fn take_writes(&self) -> Vec<(Method, String)> {
        // Sliding sync asks by POST.
        let asks =
            |path: &str| path.starts_with("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync");
        self.take_calls().into_iter().filter(|(method, path)| *method != Method::GET && !asks(path)).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Inside> {
    shared.inside.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(State(shared): State<Shared>, request: Request) -> Response {
    let method = request.method().clone();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    // Asked for before the rule is, so that a mending in between is not missed.
    let mended = shared.mended.clone();
    let mended = mended.notified();
    let broken = {
        let mut inside = lock(&shared);
        inside.calls.push((method.clone(), path.clone()));
        inside.rule.clone().and_then(|rule| rule(&method, &path))
    };
    shared.called.notify_waiters();
    match broken {
        Some(Break::Lost) => return cut_off(),
        Some(Break::Hang) => std::future::pending().await,
        Some(Break::ServerError) => {
            let error = r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#;
            return (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "application/json")], error)
                .into_response();
        }
        Some(Break::Html) => return axum::response::Html("<html><h1>It works!</h1></html>").into_response(),
        Some(Break::Hold) => mended.await,
        Some(Break::Later) => return later(shared, method, path, request),
        Some(Break::DoneButLost) | None => {}
    }
    match forward(&shared, method, &path, request).await {
        Ok(_) if broken == Some(Break::DoneButLost) => cut_off(),
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// Keeps a request until the door is mended, and answers as if it were done.
fn later(shared: Shared, method: Method, path: String, request: Request) -> Response {
    // The request waits from here on, and not from when its task first runs.
    let mended = shared.mended.clone().notified_owned();
    tokio::spawn(async move {
        mended.await;
        let _ = forward(&shared, method, &path, request).await;
    });
    ([(header::CONTENT_TYPE, "application/json")], "{}").into_response()
}

/// An answer whose body fails: the client sees the connection end before the answer is complete.
fn cut_off() -> Response {
    let broken = futures_util::stream::once(async {
        Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    Response::new(Body::from_stream(broken))
}

async fn forward(
    shared: &Shared,
    method: Method,
    path: &str,
    request: Request,
) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
    let mut headers = request.headers().clone();
    headers.remove(header::HOST);
    let body = to_bytes(request.into_body(), MAX_BODY).await?;
    let url = format!("{}{path}", shared.upstream);
    let answer = shared.client.request(method, url).headers(headers).body(body).send().await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    if let Some(kind) = answer.headers().get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    *response.body_mut() = Body::from(answer.bytes().await?);
    Ok(response)
}
