//! What the threads are told.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::Addresses;
use super::counters::Tally;

/// A listener for as long as it exists.
#[derive(Debug)]
pub(super) struct Listener {
    /// One for each thread.
    pub tallies: Box<[Tally]>,
}

/// A listener, its socket, and where it leads at the moment.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub listener: Arc<Listener>,
    pub socket: Arc<OwnedFd>,
    pub target: Option<SocketAddr>,
}

/// Everything that is to be held; it replaces what was.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    pub routes: Vec<Route>,
    /// Where containers live: a connection to any other address has lost its peer.
    pub alive: Addresses,
}

/// A message to a thread.
#[derive(Debug)]
pub(super) enum Command {
    /// Hold these. The sender is dropped when that is done.
    Hold(Arc<Routes>, Option<mpsc::Sender<()>>),
    /// Accept nothing more, and end when the connections have, or at this time.
    Drain(Instant),
}

/// Where a thread finds its messages.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// `None`: nobody reads them any more.
    commands: Mutex<Option<Vec<Command>>>,
    /// Readable while there are any.
    bell: OwnedFd,
}

impl Mailbox {
    pub fn new() -> Result<Self, Errno> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { commands: Mutex::new(Some(Vec::new())), bell })
    }

    pub fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    pub fn send(&self, command: Command) {
        if let Some(commands) = &mut *self.commands() {
            commands.push(command);
        }
        // It can only be full, and then it is readable all the same.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    pub fn take(&self) -> Vec<Command> {
        let _ = rustix::io::read(&self.bell, &mut [0_u8; 8][..]);
        self.commands().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Drops what is in it and whatever comes, so that nobody waits for a thread that has ended.
    pub fn close(&self) {
        *self.commands() = None;
    }

    fn commands(&self) -> MutexGuard<'_, Option<Vec<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all threads have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub connect_timeout: Duration,
    limit: usize,
    open: AtomicUsize,
}

impl Shared {
    pub fn new(limit: usize, connect_timeout: Duration) -> Self {
        Self { connect_timeout, limit, open: AtomicUsize::new(0) }
    }

    /// A place for one more connection, if there is one.
    pub fn enter(&self) -> bool {
        let free = self.open.fetch_add(1, Relaxed) < self.limit;
        if !free {
            self.leave();
        }
        free
    }

    pub fn leave(&self) {
        self.open.fetch_sub(1, Relaxed);
    }
}
