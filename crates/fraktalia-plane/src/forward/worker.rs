//! A thread that carries connections: those that it accepted itself, from the first byte to the last.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use slab::Slab;

use super::connection::{Connection, Fate, Side};
use super::counters::{Count, Tally};
use super::held::{Held, LISTENER};
use super::pool::Pool;
use super::routes::{Command, Mailbox, Route, Routes, Shared};
use super::socket;

/// Events that are taken at once.
const EVENTS: usize = 256;
/// Connections that are accepted at once.
const ACCEPTS: usize = 64;

const BELL: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Worker {
    index: usize,
    epoll: OwnedFd,
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    held: Slab<Held>,
    connections: Slab<Connection>,
    next_id: u64,
    pool: Pool,
    /// Those that have more to do than one turn allows.
    again: Vec<(usize, u64)>,
    /// Those whose container has not answered yet, the oldest first.
    connecting: VecDeque<(Instant, usize, u64)>,
    /// Whether a listener rests.
    resting: bool,
    drain: Option<Instant>,
}

impl Worker {
    pub fn new(index: usize, mailbox: Arc<Mailbox>, shared: Arc<Shared>) -> Result<Self, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, mailbox.bell(), EventData::new_u64(BELL), EventFlags::IN)?;
        Ok(Self {
            index,
            epoll,
            mailbox,
            shared,
            held: Slab::new(),
            connections: Slab::new(),
            next_id: 0,
            pool: Pool::new(),
            again: Vec::new(),
            connecting: VecDeque::new(),
            resting: false,
            drain: None,
        })
    }

    /// Works until it is told to end. The number of connections that it had to cut off then.
    pub fn run(mut self) -> usize {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        let mut arrivals = Vec::new();
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), self.timeout().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => {
                    tracing::error!(%errno, "a forwarding thread cannot wait for events, and ends");
                    return self.cut_all();
                }
            }
            let again = std::mem::take(&mut self.again);
            let mut told = false;
            for event in &events {
                match event.data.u64() {
                    BELL => told = true,
                    token if token & LISTENER != 0 => arrivals.push(place(token & !LISTENER)),
                    token => self.on_event(place(token >> 1), side(token), event.flags),
                }
            }
            for (key, id) in again {
                self.serve_if_there(key, id);
            }
            // A place that was given up above may be taken again only now: until here an event could still mean the
            // connection that was there before.
            for listener in arrivals.drain(..) {
                self.accept(listener, events.len().clamp(1, ACCEPTS));
            }
            self.on_time();
            if told {
                self.obey();
            }
            if self.drain.is_some_and(|until| self.connections.is_empty() || Instant::now() >= until) {
                return self.cut_all();
            }
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        if !self.again.is_empty() {
            return Some(Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        let rest =
            if self.resting { self.held.iter().filter_map(|(_, held)| held.rests_until).min() } else { None };
        let next =
            [self.connecting.front().map(|(at, ..)| *at), rest, self.drain].into_iter().flatten().min()?;
        // The kernel counts whole milliseconds: a little late rather than a little early, and again, and again.
        let left = next.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        Timespec::try_from(left).ok()
    }

    fn on_event(&mut self, key: usize, side: Side, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.notice(side, flags);
        if connection.connected {
            self.serve(key);
        } else {
            self.on_answer(key);
        }
    }

    /// Something happened before the container has answered: as a rule, that it did.
    fn on_answer(&mut self, key: usize) {
        match self.connections[key].is_connected() {
            Ok(true) => self.serve(key),
            Ok(false) => {}
            Err(errno) => self.refuse(key, errno),
        }
    }

    fn serve_if_there(&mut self, key: usize, id: u64) {
        if self.connections.get(key).is_some_and(|connection| connection.id == id) {
            self.serve(key);
        }
    }

    fn serve(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        let tally = &self.held[connection.listener].listener.tallies[self.index];
        match connection.serve(&mut self.pool, tally) {
            Fate::Ended => drop(self.remove(key)),
            Fate::Broken => self.remove(key).reset(),
            fate => {
                if fate == Fate::Again {
                    self.again.push((key, connection.id));
                }
                if connection.watch_writing(&self.epoll, token(key)).is_err() {
                    // Never to be told of room again is to hang: better an end that both sides see.
                    self.remove(key).reset();
                }
            }
        }
    }

    fn remove(&mut self, key: usize) -> Connection {
        let connection = self.connections.remove(key);
        self.tally(connection.listener).open.subtract(1);
        self.shared.leave();
        connection
    }

    fn refuse(&mut self, key: usize, errno: Errno) {
        let connection = self.remove(key);
        tracing::debug!(container = %connection.address, %errno, "a container did not take a connection");
        self.tally(connection.listener).unreachable.add(1);
        connection.reset();
    }

    fn tally(&self, listener: usize) -> &Tally {
        &self.held[listener].listener.tallies[self.index]
    }

    fn accept(&mut self, listener: usize, budget: usize) {
        for _ in 0..budget {
            let Some(socket) = self.held.get(listener).and_then(Held::accepting) else { return };
            match accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(client) => self.admit(listener, client),
                Err(Errno::AGAIN) => return,
                // The client left while it waited, or the network has something to say about it: accept(2).
                Err(
                    Errno::INTR
                    | Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::PERM
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NONET
                    | Errno::NOPROTOOPT
                    | Errno::OPNOTSUPP,
                ) => {}
                Err(errno) => {
                    tracing::warn!(%errno, "no connection can be accepted at the moment");
                    self.tally(listener).accept_errors.add(1);
                    return self.rest(listener);
                }
            }
        }
    }

    /// The listener stays readable while nothing can be taken from it: to be told so again and again would only keep
    /// us busy.
    fn rest(&mut self, listener: usize) {
        let held = &mut self.held[listener];
        held.rest(&self.epoll);
        self.resting = true;
    }

    /// Takes a client in, or turns it away at once.
    fn admit(&mut self, listener: usize, client: OwnedFd) {
        self.next_id += 1;
        let tally = self.tally(listener);
        tally.accepted.add(1);
        let Some(address) = self.held[listener].target else { return refuse(&client, &tally.absent) };
        if !self.shared.enter() {
            return refuse(&client, &tally.full);
        }
        let connection = match Connection::open(self.next_id, listener, client, address) {
            Ok(connection) => connection,
            Err((client, errno)) => {
                tracing::debug!(container = %address, %errno, "a container did not take a connection");
                self.shared.leave();
                let count = if matches!(errno, Errno::MFILE | Errno::NFILE) {
                    &tally.full
                } else {
                    &tally.unreachable
                };
                return refuse(&client, count);
            }
        };
        tally.open.add(1);
        self.begin(connection);
    }

    fn begin(&mut self, connection: Connection) {
        let (id, connected) = (connection.id, connection.connected);
        let key = self.connections.insert(connection);
        if connected {
            // Before anything is asked of epoll: the request is often there already.
            self.serve(key);
        } else {
            self.connecting.push_back((Instant::now() + self.shared.connect_timeout, key, id));
        }
        if self.connections.contains(key) {
            self.watch(key);
        }
    }

    fn watch(&mut self, key: usize) {
        if let Err(errno) = self.connections[key].watch(&self.epoll, token(key)) {
            tracing::warn!(%errno, "a connection cannot be watched and is refused");
            self.refuse(key, errno);
        }
    }

    /// What is due.
    fn on_time(&mut self) {
        while let Some((at, key, id)) = self.connecting.front().copied() {
            let waits = self.connections.get(key).is_some_and(|c| c.id == id && !c.connected);
            if waits && at > Instant::now() {
                break;
            }
            self.connecting.pop_front();
            if waits {
                self.refuse(key, Errno::TIMEDOUT);
            }
        }
        if self.resting {
            self.wake_the_rested();
        }
    }

    fn wake_the_rested(&mut self) {
        let now = Instant::now();
        for (key, held) in &mut self.held {
            if held.rests_until.is_some_and(|until| until <= now) {
                held.listen(&self.epoll, key);
            }
        }
        self.resting = self.held.iter().any(|(_, held)| held.rests_until.is_some());
    }

    fn obey(&mut self) {
        for command in self.mailbox.take() {
            match command {
                Command::Hold(routes, done) => {
                    self.hold(&routes);
                    // In this order: who hears that it is done may count on the sockets being closed.
                    drop(routes);
                    drop(done);
                }
                Command::Drain(until) => {
                    self.drain = Some(until);
                    for (_, held) in &mut self.held {
                        held.end(&self.epoll);
                    }
                }
            }
        }
    }

    fn hold(&mut self, routes: &Routes) {
        let is_same = |held: &Held, route: &Route| Arc::ptr_eq(&held.listener, &route.listener);
        let gone =
            self.held.iter().filter(|(_, held)| !routes.routes.iter().any(|route| is_same(held, route)));
        let gone: Vec<usize> = gone.map(|(key, _)| key).collect();
        for key in gone {
            self.let_go(key);
        }
        for route in &routes.routes {
            match self.held.iter_mut().find(|(_, held)| is_same(held, route)) {
                Some((_, held)) => held.target = route.target,
                None => self.take_up(route),
            }
        }
        self.orphan(routes);
    }

    fn take_up(&mut self, route: &Route) {
        let entry = self.held.vacant_entry();
        let mut held = Held::new(route);
        held.listen(&self.epoll, entry.key());
        self.resting |= held.rests_until.is_some();
        entry.insert(held);
    }

    /// A forward that is withdrawn takes its connections along.
    fn let_go(&mut self, listener: usize) {
        for key in self.keys(|connection| connection.listener == listener) {
            self.remove(key).reset();
        }
        self.held.remove(listener).end(&self.epoll);
    }

    /// Connections to an address where nobody lives any more: their peer may be gone without a word.
    fn orphan(&mut self, routes: &Routes) {
        let alive: std::collections::BTreeSet<_> = routes.alive.values().collect();
        for key in self.keys(|connection| !connection.leads_to(|address| alive.contains(address))) {
            let connection = &mut self.connections[key];
            connection.orphaned = true;
            connection.notice(Side::Container, EventFlags::IN);
            if connection.connected {
                self.serve(key);
            } else {
                self.refuse(key, Errno::HOSTUNREACH);
            }
        }
    }

    fn keys(&self, which: impl Fn(&Connection) -> bool) -> Vec<usize> {
        self.connections.iter().filter(|(_, connection)| which(connection)).map(|(key, _)| key).collect()
    }

    fn cut_all(&mut self) -> usize {
        let keys = self.keys(|_| true);
        let cut = keys.len();
        for key in keys {
            self.remove(key).reset();
        }
        cut
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

fn refuse(client: &OwnedFd, count: &Count) {
    count.add(1);
    socket::reset(client);
}

fn token(key: usize) -> impl Fn(Side) -> u64 {
    move |side| (key as u64) << 1 | u64::from(side == Side::Container)
}

fn side(token: u64) -> Side {
    if token & 1 == 0 { Side::Client } else { Side::Container }
}

fn place(bits: u64) -> usize {
    usize::try_from(bits).unwrap_or(usize::MAX)
}
