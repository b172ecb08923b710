//! A Docker engine that exists only in memory, behind a real unix socket: images, networks and containers, as far as
//! fraktalia uses them. Shapes, status codes and words are those of Docker Engine 20.10.

mod build;
mod routes;
mod world;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use world::{Container, Image, Network, World};

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status and message, and nothing happens.
    Refuse(u16, &'static str),
    /// The connection breaks before anything happens.
    Lost,
    /// It is done, and the connection breaks before the answer.
    DoneButLost,
    /// It is never answered.
    Hang,
}

struct Planned {
    method: Method,
    part: String,
    fault: Fault,
}

/// A call as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`, `DELETE`
    pub method: String,
    /// The path, without the version of the API.
    pub path: String,
}

#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    faults: Mutex<Vec<Planned>>,
    calls: Mutex<Vec<Call>>,
}

/// A simulated engine. It stops when it is dropped.
pub struct SimDocker {
    dir: tempfile::TempDir,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for SimDocker {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimDocker {
    /// Starts an engine with nothing in it but the networks that every engine has.
    ///
    /// # Panics
    /// When no socket can be bound in a temp directory.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temp directory can be made");
        let listener = UnixListener::bind(dir.path().join("docker.sock")).expect("a socket can be bound");
        let shared = Arc::new(Shared::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { dir, shared, server }
    }

    /// Where its socket is.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// `unix://...`
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// All that it holds, to look at and to change behind the client's back.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared.world)
    }

    /// Lets the next call of `method` whose path contains `part` go wrong.
    pub fn fail_next(&self, method: &Method, part: &str, fault: Fault) {
        lock(&self.shared.faults).push(Planned { method: method.clone(), part: part.into(), fault });
    }

    /// Lets nothing go wrong any more.
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// The calls so far, and forgets them.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.shared.calls))
    }
}

async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, Arc::clone(&shared)));
    }
}

/// Serves one connection until it ends, or until a fault cuts it.
async fn connection(stream: UnixStream, shared: Arc<Shared>) {
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request| answer(request, Arc::clone(&shared), Arc::clone(&cut)));
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        () = cut.notified() => {}
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    cut: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = without_version(parts.uri.path()).to_owned();
    lock(&shared.calls).push(Call { method: parts.method.to_string(), path: path.clone() });
    let fault = take_fault(&shared, &parts.method, &path);
    match fault {
        Some(Fault::Refuse(status, message)) => return Ok(routes::refusal(status, message)),
        Some(Fault::Lost) => return cut_off(&cut).await,
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::DoneButLost) | None => {}
    }
    let Ok(body) = body.collect().await else { return cut_off(&cut).await };
    let call = routes::Call {
        method: &parts.method,
        path: &path,
        query: parts.uri.query().unwrap_or_default(),
        body: &body.to_bytes(),
    };
    let response = routes::route(&mut lock(&shared.world), &call);
    if fault.is_some() {
        return cut_off(&cut).await;
    }
    Ok(response)
}

async fn cut_off<T>(cut: &Notify) -> T {
    cut.notify_one();
    std::future::pending().await
}

fn take_fault(shared: &Shared, method: &Method, path: &str) -> Option<Fault> {
    let mut faults = lock(&shared.faults);
    let hit = faults.iter().position(|fault| fault.method == *method && path.contains(&fault.part))?;
    Some(faults.remove(hit).fault)
}

/// `/v1.41/images/json` and `/images/json` are the same.
fn without_version(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/v1.") else { return path };
    rest.find('/').map_or(path, |slash| &rest[slash..])
}
