//! How requests get to an engine: few connections, used again, and what comes back is measured.
//!
//! Bollard's own transports make a connection for each request (45 ms with TLS), trust every authority that the
//! machine trusts, and read bodies without an end. An engine on another machine is not to be believed that far.

mod dial;
mod meter;
mod ssh;
mod tls;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::BollardRequest;
use bollard::errors::Error as Bollard;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use self::dial::Dialer;
use self::meter::Meter;
use self::ssh::LastWords;
use super::endpoint::Endpoint;
use crate::error::DockerError;

pub use self::dial::{Silent, Unreached};
pub use self::meter::TooMuch;
pub use self::ssh::SshFailed;

/// What an answer may weigh. A list of 5,000 containers is about 10 MB.
const REPLY: u64 = 32 << 20;
/// What a build may say.
const BUILD: u64 = 256 << 20;
/// Requests at one time. Each may be a process of its own, and an SSH server takes ten that are not yet known to it.
const AT_ONCE: usize = 4;
/// A connection that was not used for so long may have been forgotten by something on the way.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection that takes no requests may take to end.
const ENDING: Duration = Duration::from_secs(1);
/// Less than a new connection costs.
const SETTLING: Duration = Duration::from_millis(5);

/// How many bytes a request's answer may have, where it is not the usual. Travels with the request.
#[derive(Clone, Copy, Debug)]
pub struct Room(pub u64);

/// The type of bodies is bollard's own and has no public name.
trait Bodied {
    type Body;
}

impl<B> Bodied for Request<B> {
    type Body = B;
}

type Body = <BollardRequest as Bodied>::Body;

/// The connections to one engine.
pub struct Transport {
    dialer: Dialer,
    idle: Mutex<Vec<Link>>,
    at_once: Semaphore,
}

struct Link {
    sender: SendRequest<Body>,
    meter: Meter,
    ended: JoinHandle<hyper::Result<()>>,
    last_words: Option<LastWords>,
    used: Instant,
}

impl Transport {
    /// For the engine at `endpoint`; nothing is connected yet. A connection has to be there `within` that time.
    ///
    /// # Errors
    /// When the address is none, or a certificate cannot be used.
    pub fn new(endpoint: &Endpoint, within: Duration) -> Result<Self, DockerError> {
        let dialer = Dialer::new(endpoint, within)?;
        Ok(Self { dialer, idle: Mutex::default(), at_once: Semaphore::new(AT_ONCE) })
    }

    /// Sends a request and gives its answer, whose body is still to come.
    pub async fn request(self: Arc<Self>, request: BollardRequest) -> Result<Response<Incoming>, Bollard> {
        let (mut request, room) = prepared(request)?;
        // A build answers when its first step is done: it must not keep others waiting.
        let permit = match request.uri().path() {
            "/build" => None,
            _ => self.at_once.acquire().await.ok(),
        };
        loop {
            let used = self.idle().await;
            let fresh = used.is_none();
            let mut link = match used {
                Some(link) => link,
                None => self.connect().await?,
            };
            link.meter.allow(room);
            match link.sender.try_send_request(request).await {
                Ok(response) => {
                    self.put_back(link);
                    drop(permit);
                    return Ok(response);
                }
                // It was closed while it lay idle, and nothing of the request went out.
                Err(mut error) if !fresh && error.message().is_some() => match error.take_message() {
                    Some(back) => request = back,
                    None => return Err(error.into_error().into()),
                },
                Err(error) => return Err(link.explain(error.into_error()).await),
            }
        }
    }

    /// A connection that has nothing to do. Those that ended or got old are let go.
    async fn idle(&self) -> Option<Link> {
        let mut link = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|link| !link.sender.is_closed() && link.used.elapsed() < IDLE);
            match idle.iter().position(|link| link.sender.is_ready()) {
                Some(ready) => return Some(idle.swap_remove(ready)),
                None => idle.pop()?,
            }
        };
        // An answer that was just read leaves its connection ready a moment later.
        if tokio::time::timeout(SETTLING, link.sender.ready()).await.is_ok_and(|ready| ready.is_ok()) {
            return Some(link);
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
        None
    }

    /// Its last answer may still be arriving; until then it is not ready.
    fn put_back(&self, mut link: Link) {
        link.used = Instant::now();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
    }

    async fn connect(&self) -> Result<Link, Bollard> {
        let (stream, last_words) = self.dialer.dial().await?;
        let (stream, meter) = meter::metered(stream);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let ended = tokio::spawn(connection.with_upgrades());
        Ok(Link { sender, meter, ended, last_words, used: Instant::now() })
    }
}

impl Link {
    /// An SSH client that ended has said why. A connection that ended before it was used knows more than the request,
    /// which only hears that there is none: an engine refuses a certificate when the handshake is over for us.
    async fn explain(self, error: hyper::Error) -> Bollard {
        let unused = error.is_canceled() || error.is_closed();
        let ended = async { tokio::time::timeout(ENDING, self.ended).await.ok()?.ok()?.err() };
        let error = if unused { ended.await.unwrap_or(error) } else { error };
        let words = match self.last_words {
            Some(words) => words.wait().await,
            None => None,
        };
        match words {
            Some(failed) => Bollard::IOError { err: io::Error::other(failed) },
            None => error.into(),
        }
    }
}

/// The request as it goes over a connection of its own, and how much may come back.
fn prepared(mut request: BollardRequest) -> Result<(BollardRequest, u64), Bollard> {
    let usual = if request.uri().path() == "/build" { BUILD } else { REPLY };
    let room = request.extensions().get::<Room>().map_or(usual, |room| room.0);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(|error| io::Error::other(error.to_string()))?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    Ok((request, room))
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}
