//! The forwarder as others see it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;

use super::counters::{ListenerState, Tally};
use super::error::ForwardError;
use super::listen::{Bound, bind};
use super::routes::{Command, Listener, Mailbox, Route, Routes, Shared};
use super::worker::Worker;
use super::{Addresses, metrics, target};
use crate::config::{Forward, Listen};

/// Open files that we ask the system for, where it lets us.
const WANTED_FILES: u64 = 1 << 20;
/// Descriptors that are not for connections: listeners, pipes, the rest of the program.
const OTHER_FILES: u64 = 512;
/// Threads beyond this have been of no use to a forwarder of one host.
const THREADS: usize = 4;
/// See [`Options::connect_timeout`].
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// What can be set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that carry connections.
    pub threads: usize,
    /// Connections that may be open in all; the next one is refused at once. Never more than the limit of open files
    /// allows.
    pub connections: usize,
    /// How long a container may take to answer. The kernel asks again after one second and after three: where the
    /// queue of a small server is full for a moment, this lets both of these count.
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        Self { threads, connections: 50_000, connect_timeout: CONNECT_TIMEOUT }
    }
}

/// Holds listeners and carries what arrives there into containers. Dropping it closes everything at once.
#[derive(Debug)]
pub struct Forwarder {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<usize>>,
    follower: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    mailboxes: Vec<Arc<Mailbox>>,
    table: Mutex<Table>,
}

/// What is held now.
#[derive(Debug)]
struct Table {
    listeners: BTreeMap<Listen, Entry>,
    addresses: Addresses,
}

#[derive(Debug)]
struct Entry {
    listener: Arc<Listener>,
    socket: Arc<OwnedFd>,
    bound: SocketAddr,
    forward: Forward,
}

impl Forwarder {
    /// A forwarder without listeners, which follows `addresses` from now on. Needs a Tokio runtime around it.
    ///
    /// # Errors
    /// When threads or their descriptors cannot be had.
    pub fn start(addresses: watch::Receiver<Addresses>) -> io::Result<Self> {
        Self::start_with(addresses, &Options::default())
    }

    /// [`Self::start`] with other options.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(mut addresses: watch::Receiver<Addresses>, options: &Options) -> io::Result<Self> {
        let fitting =
            usize::try_from(raise_file_limit().saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared::new(options.connections.min(fitting.max(1)), options.connect_timeout));
        let (mut mailboxes, mut workers) = (Vec::new(), Vec::new());
        for index in 0..options.threads.max(1) {
            let mailbox = Arc::new(Mailbox::new()?);
            workers.push(Worker::new(index, mailbox.clone(), shared.clone())?);
            mailboxes.push(mailbox);
        }
        let known = addresses.borrow_and_update().clone();
        let table = Mutex::new(Table { listeners: BTreeMap::new(), addresses: known });
        let inner = Arc::new(Inner { mailboxes, table });
        let follower = tokio::spawn(follow(inner.clone(), addresses));
        // From here on a failure drops what runs already.
        let mut forwarder = Self { inner, threads: Vec::new(), follower };
        for (index, worker) in workers.into_iter().enumerate() {
            let thread = std::thread::Builder::new().name(format!("forward-{index}"));
            forwarder.threads.push(thread.spawn(move || worker.run())?);
        }
        Ok(forwarder)
    }

    /// Makes the listeners exactly these. All new ones are there before an old one goes; one that stays is not touched,
    /// though where it leads may change for its new connections. The connections of one that goes are reset.
    ///
    /// Waits for the threads, which takes as long as what they are doing just now: less than a millisecond.
    ///
    /// # Errors
    /// When one cannot be made. Nothing has changed then.
    pub fn set(&self, forwards: &BTreeMap<Listen, Forward>) -> Result<(), ForwardError> {
        let mut table = self.inner.table();
        let new = table.bind_missing(forwards)?;
        table.listeners.retain(|listen, _| forwards.contains_key(listen));
        for (listen, bound) in new {
            let tallies = self.inner.mailboxes.iter().map(|_| Tally::default()).collect();
            let entry = Entry {
                listener: Arc::new(Listener { tallies }),
                socket: Arc::new(bound.socket),
                bound: bound.address,
                forward: forwards[&listen].clone(),
            };
            table.listeners.insert(listen, entry);
        }
        for (listen, entry) in &mut table.listeners {
            entry.forward.clone_from(&forwards[listen]);
        }
        let (done, all_done) = mpsc::channel();
        self.inner.publish(&table, Some(&done));
        drop(done);
        // Nobody sends: it fails when the last thread has dropped its end.
        let _ = all_done.recv();
        Ok(())
    }

    /// How each listener is doing.
    pub fn state(&self) -> BTreeMap<Listen, ListenerState> {
        let table = self.inner.table();
        let state = |entry: &Entry| {
            let target = target(&table.addresses, &entry.forward);
            ListenerState::new(entry.bound, &entry.forward.agent, target, &entry.listener.tallies)
        };
        table.listeners.iter().map(|(listen, entry)| (*listen, state(entry))).collect()
    }

    /// The same in the text format of Prometheus.
    pub fn metrics(&self) -> String {
        metrics::render(&self.state())
    }

    /// Stops listening, lets open connections finish for as long as `grace`, and resets the rest. The number of those.
    pub async fn shutdown(mut self, grace: Duration) -> usize {
        self.follower.abort();
        self.drain(grace);
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(|| {
            threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
        });
        joined.await.unwrap_or(0)
    }

    fn drain(&self, grace: Duration) {
        let until = Instant::now() + grace;
        for mailbox in &self.inner.mailboxes {
            mailbox.send(Command::Drain(until));
        }
        self.inner.table().listeners.clear();
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.follower.abort();
        self.drain(Duration::ZERO);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the threads. The table is locked meanwhile, so that they hear of changes in their order.
    fn publish(&self, table: &Table, done: Option<&mpsc::Sender<()>>) {
        let route = |entry: &Entry| Route {
            listener: entry.listener.clone(),
            socket: entry.socket.clone(),
            target: target(&table.addresses, &entry.forward),
        };
        let routes = table.listeners.values().map(route).collect();
        let routes = Arc::new(Routes { routes, alive: table.addresses.clone() });
        for mailbox in &self.mailboxes {
            mailbox.send(Command::Hold(routes.clone(), done.cloned()));
        }
    }
}

impl Table {
    fn bind_missing(
        &self,
        forwards: &BTreeMap<Listen, Forward>,
    ) -> Result<Vec<(Listen, Bound)>, ForwardError> {
        let leaving = self.listeners.iter().filter(|(listen, _)| !forwards.contains_key(listen));
        let leaving: Vec<(Listen, &OwnedFd)> =
            leaving.map(|(listen, entry)| (*listen, &*entry.socket)).collect();
        let wanted: Vec<Listen> = forwards.keys().copied().collect();
        let missing = wanted.iter().filter(|listen| !self.listeners.contains_key(listen));
        missing.map(|listen| Ok((*listen, bind(*listen, &leaving, &wanted)?))).collect()
    }
}

async fn follow(inner: Arc<Inner>, mut addresses: watch::Receiver<Addresses>) {
    while addresses.changed().await.is_ok() {
        let mut table = inner.table();
        table.addresses = addresses.borrow_and_update().clone();
        inner.publish(&table, None);
    }
}

/// As many open files as we may have, up to [`WANTED_FILES`]. How many those are.
fn raise_file_limit() -> u64 {
    let now = getrlimit(Resource::Nofile);
    // Only root may raise the maximum.
    let wanted = Some(now.maximum.map_or(WANTED_FILES, |maximum| maximum.max(WANTED_FILES)));
    let allowed = [wanted, now.maximum];
    let raised = allowed
        .into_iter()
        .find(|most| setrlimit(Resource::Nofile, Rlimit { current: *most, maximum: *most }).is_ok());
    raised.unwrap_or(now.current).unwrap_or(WANTED_FILES)
}
