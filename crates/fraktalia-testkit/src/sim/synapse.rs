//! A homeserver on a loopback port, as far as fraktalia calls one: what it answers, and whom it refuses, is taken
//! from a real Synapse 1.163, and the same tests run against both.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::real::Person;

mod admin;
pub mod fault;
mod rooms;
mod routes;
mod sync;
mod world;

pub use fault::Fault;
use fault::Faults;
use routes::{Call, Refusal};
use world::World;

/// How the simulated homeserver is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The part after the colon in its ids.
    pub server_name: String,
    /// The version of new rooms.
    pub room_version: String,
    /// How many rooms a user may make before being slowed down; `None`: any number.
    pub room_limit: Option<usize>,
    /// Whether accounts live in a service of their own.
    pub delegated: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            server_name: "chat.test".into(),
            room_version: "12".into(),
            room_limit: None,
            delegated: false,
        }
    }
}

/// A running simulated homeserver. Dropping it stops it.
#[derive(Debug)]
pub struct SimSynapse {
    base: String,
    inner: Arc<Inner>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    world: Mutex<World>,
    faults: Mutex<Faults>,
    calls: Mutex<Vec<(String, String)>>,
}

/// A poisoned lock means that a test failed already; what it guards is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimSynapse {
    /// Starts one with an administrator called `admin`.
    ///
    /// # Panics
    /// When no loopback port can be had.
    pub async fn start(setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let mut world = World::new(setup);
        world.register("admin", true);
        let inner =
            Arc::new(Inner { world: Mutex::new(world), faults: Mutex::default(), calls: Mutex::default() });
        let server = tokio::spawn(serve(listener, Arc::clone(&inner)));
        Self { base, inner, server }
    }

    /// Where it answers, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.base.clone()
    }

    /// Its administrator.
    pub fn admin(&self) -> Person {
        self.person("admin", true)
    }

    /// A user with a token, made where there is none.
    pub fn register(&self, localpart: &str) -> Person {
        self.person(localpart, false)
    }

    fn person(&self, localpart: &str, admin: bool) -> Person {
        let (user, token) = lock(&self.inner.world).register(localpart, admin);
        Person::new(&self.base, &user, &token)
    }

    /// Lets the next call of this method whose path contains `path` go wrong.
    pub fn next(&self, method: &str, path: &str, fault: Fault) {
        lock(&self.inner.faults).once(method, path, fault);
    }

    /// Lets every call of this method whose path contains `path` go wrong; an empty method stands for any.
    pub fn always(&self, method: &str, path: &str, fault: Fault) {
        lock(&self.inner.faults).always(method, path, fault);
    }

    /// Lets nothing go wrong any more.
    pub fn heal(&self) {
        *lock(&self.inner.faults) = Faults::default();
    }

    /// Method and path of each call so far.
    pub fn calls(&self) -> Vec<(String, String)> {
        lock(&self.inner.calls).clone()
    }

    /// How many calls so far were to change something.
    pub fn writes(&self) -> usize {
        // Sliding sync asks by POST.
        let writes = |(method, path): &&(String, String)| method != "GET" && !path.ends_with("/sync");
        self.calls().iter().filter(writes).count()
    }

    /// Accounts live elsewhere from now on.
    pub fn delegate_accounts(&self) {
        lock(&self.inner.world).setup.delegated = true;
    }

    /// All that it holds: users, rooms by id with their state, aliases.
    pub fn snapshot(&self) -> Json {
        lock(&self.inner.world).snapshot()
    }

    /// Whether a token is valid, by its text.
    pub fn accepts(&self, token: &str) -> bool {
        lock(&self.inner.world).tokens.contains_key(token)
    }
}

impl Drop for SimSynapse {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    while let Ok((stream, _)) = listener.accept().await {
        let inner = Arc::clone(&inner);
        // Small answers would wait for an acknowledgement otherwise.
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&inner)));
            // An error of the service is a fault that was asked for: the connection drops without an answer.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The connection drops.
#[derive(Debug, thiserror::Error)]
#[error("the connection drops, as asked for")]
struct Dropped;

async fn answer(request: Request<Incoming>, inner: Arc<Inner>) -> Result<Response<Full<Bytes>>, Dropped> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let call = Call::new(&head, body);
    lock(&inner.calls).push((call.method.clone(), head.uri.path().to_owned()));
    let fault = lock(&inner.faults).take(&call.method, head.uri.path());
    let handle = || lock(&inner.world).handle(&call);
    match fault {
        None => Ok(respond(handle())),
        Some(Fault::Refuse(status)) => Ok(respond(Err(Refusal::new(status, "M_UNKNOWN", "as asked for")))),
        Some(Fault::RateLimit { retry_after_ms }) => Ok(limited(retry_after_ms)),
        Some(Fault::Html(status)) => Ok(page(status)),
        Some(Fault::Slow(pause)) => {
            tokio::time::sleep(pause).await;
            Ok(respond(handle()))
        }
        Some(Fault::Timeout) => Ok(never().await),
        Some(Fault::DoneThenTimeout) => {
            let _ = handle();
            Ok(never().await)
        }
        Some(Fault::DoneLater(pause)) => {
            let inner = Arc::clone(&inner);
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                let _ = lock(&inner.world).handle(&call);
            });
            Err(Dropped)
        }
        Some(Fault::DoneButLost) => {
            let _ = handle();
            Err(Dropped)
        }
        Some(Fault::Half) => {
            let half = lock(&inner.world).handle_half(&call);
            Ok(respond(half))
        }
    }
}

async fn never() -> Response<Full<Bytes>> {
    let never: Infallible = std::future::pending().await;
    match never {}
}

fn respond(result: Result<Json, Refusal>) -> Response<Full<Bytes>> {
    match result {
        Ok(json) => reply(200, "application/json", json.to_string()),
        Err(refusal) => {
            if refusal.status == 429 {
                // What a real one says; nobody waits for it in a test.
                return limited(60_000);
            }
            let body = json!({"errcode": refusal.errcode, "error": refusal.message});
            reply(refusal.status, "application/json", body.to_string())
        }
    }
}

fn limited(retry_after_ms: u64) -> Response<Full<Bytes>> {
    let body = json!({"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": retry_after_ms});
    reply(429, "application/json", body.to_string())
}

fn page(status: u16) -> Response<Full<Bytes>> {
    reply(status, "text/html", "<html><body><h1>Bad gateway</h1></body></html>".into())
}

fn reply(status: u16, mime: &str, body: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", mime)
        .body(Full::new(Bytes::from(body)))
        .expect("a response of constant parts")
}
