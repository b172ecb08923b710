//! A listener in the hands of one thread.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::routes::{Listener, Route};

/// For how long a listener rests when the kernel has no descriptors or memory for a new connection.
const REST: Duration = Duration::from_millis(50);
/// Set in the token of a listener; the rest is its place.
pub(super) const LISTENER: u64 = 1 << 63;

/// See the module.
#[derive(Debug)]
pub(super) struct Held {
    pub listener: Arc<Listener>,
    /// `None`: nothing is accepted any more.
    socket: Option<Arc<OwnedFd>>,
    pub target: Option<SocketAddr>,
    /// Not before this time.
    pub rests_until: Option<Instant>,
}

impl Held {
    pub fn new(route: &Route) -> Self {
        let (listener, socket) = (route.listener.clone(), Some(route.socket.clone()));
        Self { listener, socket, target: route.target, rests_until: None }
    }

    /// The socket, while connections may be taken from it.
    pub fn accepting(&self) -> Option<&OwnedFd> {
        self.socket.as_deref().filter(|_| self.rests_until.is_none())
    }

    /// One queue for all threads, and one of them is woken for each that arrives: a connection is never stuck behind a
    /// busy thread while another one is idle.
    pub fn listen(&mut self, epoll: &OwnedFd, key: usize) {
        let Some(socket) = &self.socket else { return };
        let token = EventData::new_u64(LISTENER | key as u64);
        let added = epoll::add(epoll, &**socket, token, EventFlags::IN | EventFlags::EXCLUSIVE);
        self.rests_until = added.err().map(|errno| {
            tracing::warn!(%errno, "a listener cannot be watched at the moment");
            Instant::now() + REST
        });
    }

    /// The listener stays readable while nothing can be taken from it: to be told so again and again would only keep
    /// us busy.
    pub fn rest(&mut self, epoll: &OwnedFd) {
        self.unlisten(epoll);
        self.rests_until = Some(Instant::now() + REST);
    }

    /// Accepts nothing more.
    pub fn end(&mut self, epoll: &OwnedFd) {
        self.unlisten(epoll);
        self.socket = None;
        self.rests_until = None;
    }

    /// Others hold the socket too, so that letting go of it here would not be enough.
    fn unlisten(&self, epoll: &OwnedFd) {
        if let Some(socket) = &self.socket {
            let _ = epoll::delete(epoll, &**socket);
        }
    }
}
