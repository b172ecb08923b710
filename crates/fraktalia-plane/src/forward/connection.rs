//! A client, a container, and the two directions between them.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::counters::Tally;
use super::half::{Half, Progress};
use super::pool::Pool;
use super::socket::Socket;

/// Which end of a connection an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Container,
}

/// What becomes of a connection after it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    /// Lives, and there is more to do at once.
    Again,
    /// Both directions have ended: the sockets are closed, and the kernel sends what is left.
    Ended,
    /// Something broke, and both sides hear of it as a reset.
    Broken,
}

/// One forwarded connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Never used again by another one, unlike its place.
    pub id: u64,
    /// The place of its listener.
    pub listener: usize,
    /// The container's address.
    pub address: SocketAddr,
    pub connected: bool,
    /// No container has this address any more.
    pub orphaned: bool,
    client: Socket,
    container: Socket,
    up: Half,
    down: Half,
}

impl Connection {
    /// Begins to connect. To a bridge of this host that is finished at once, as a rule.
    ///
    /// # Errors
    /// When the container refuses; the client comes back, so that it can be told.
    pub fn open(
        id: u64,
        listener: usize,
        client: OwnedFd,
        address: SocketAddr,
    ) -> Result<Self, (OwnedFd, Errno)> {
        match connect(address) {
            Ok((container, connected)) => Ok(Self {
                id,
                listener,
                address,
                connected,
                orphaned: false,
                client: Socket::accepted(client),
                container: Socket::to_container(container, connected),
                up: Half::default(),
                down: Half::default(),
            }),
            Err(errno) => Err((client, errno)),
        }
    }

    /// Asks to be told about both sides.
    pub fn watch(&mut self, epoll: &OwnedFd, token: impl Fn(Side) -> u64) -> Result<(), Errno> {
        self.container.watch(epoll, token(Side::Container))?;
        self.client.watch(epoll, token(Side::Client))
    }

    /// Asks to be told when a side that is full has room again.
    pub fn watch_writing(&mut self, epoll: &OwnedFd, token: impl Fn(Side) -> u64) -> Result<(), Errno> {
        self.container.watch_writing(epoll, token(Side::Container))?;
        self.client.watch_writing(epoll, token(Side::Client))
    }

    /// Remembers what the kernel said about one side.
    pub fn notice(&mut self, side: Side, flags: EventFlags) {
        match side {
            Side::Client => self.client.notice(flags),
            Side::Container => self.container.notice(flags),
        }
    }

    /// Whether the container has answered by now.
    ///
    /// # Errors
    /// When it refused.
    pub fn is_connected(&mut self) -> Result<bool, Errno> {
        if !self.connected && self.container.writable {
            sockopt::socket_error(&self.container)??;
            self.connected = is_established(&self.container, self.address)?;
            self.container.writable = self.connected;
        }
        Ok(self.connected)
    }

    /// Moves what can be moved.
    pub fn serve(&mut self, pool: &mut Pool, tally: &Tally) -> Fate {
        let (mut sent, mut received) = (0, 0);
        let up = self.up.pump(&mut self.client, &mut self.container, pool, &mut sent);
        let down = self.down.pump(&mut self.container, &mut self.client, pool, &mut received);
        if sent > 0 {
            tally.up.add(sent);
        }
        if received > 0 {
            tally.down.add(received);
        }
        // An error of one direction waits until the other has been served: an answer that came with the reset counts.
        let (Ok(up), Ok(down)) = (up, down) else { return Fate::Broken };
        self.pass_ends_on(up, down);
        if self.up.is_over() && self.down.is_over() {
            Fate::Ended
        } else if up == Progress::Again || down == Progress::Again {
            Fate::Again
        } else if self.client.has_failed() || self.container.has_failed() {
            Fate::Broken
        } else if self.orphaned {
            self.fate_of_an_orphan()
        } else {
            Fate::Lives
        }
    }

    /// When both ends have been reached, closing says the same with one call less.
    fn pass_ends_on(&self, up: Progress, down: Progress) {
        if up == Progress::Ends && !self.down.is_over() {
            self.container.end();
        }
        if down == Progress::Ends && !self.up.is_over() {
            self.client.end();
        }
    }

    /// The container is gone, whether or not it could say so. What it sent before still reaches the client.
    fn fate_of_an_orphan(&self) -> Fate {
        if self.down.is_over() {
            Fate::Ended
        } else if self.down.is_pending() {
            Fate::Lives
        } else {
            Fate::Broken
        }
    }

    /// Whether it leads to one of `alive`.
    pub fn leads_to(&self, alive: impl Fn(&IpAddr) -> bool) -> bool {
        alive(&self.address.ip())
    }

    /// Resets both sides.
    pub fn reset(self) {
        self.client.reset();
        self.container.reset();
    }
}

/// A socket on its way to `address`, and whether it has arrived.
fn connect(address: SocketAddr) -> Result<(OwnedFd, bool), Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => Ok((socket, true)),
        Err(Errno::INPROGRESS | Errno::INTR) => {
            let connected = is_established(&socket, address)?;
            Ok((socket, connected))
        }
        Err(errno) => Err(errno),
    }
}

/// To ask again is the one way to hear without waiting that it has arrived: over a bridge of this host the answer is
/// there before the first call returns, which nevertheless says "in progress".
fn is_established(socket: &impl std::os::fd::AsFd, address: SocketAddr) -> Result<bool, Errno> {
    match rustix::net::connect(socket, &address) {
        Ok(()) | Err(Errno::ISCONN) => Ok(true),
        Err(Errno::ALREADY | Errno::INPROGRESS | Errno::INTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}
