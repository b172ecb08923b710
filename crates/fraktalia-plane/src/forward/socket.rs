//! One end of a connection, and what is known about it since the kernel last said something.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{Shutdown, sockopt};

/// Edges only: we are told once that something changed, and remember it.
const WATCHED: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

/// A connected, non-blocking stream socket.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// A read may give something.
    pub readable: bool,
    /// A write may be taken.
    pub writable: bool,
    peer: Peer,
    watched: Watched,
}

/// What has become of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Talks,
    /// The end of the stream has arrived, though there may be bytes before it.
    Ended,
    /// It was reset.
    Failed,
}

/// What we are told about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Not,
    /// When there is something to read. Most connections never need to know more.
    Reading,
    /// When there is room to write, too.
    Both,
}

impl Socket {
    /// The socket of a client: what it has to say is often there already when it is accepted.
    pub fn accepted(fd: OwnedFd) -> Self {
        Self { fd, readable: true, writable: true, peer: Peer::Talks, watched: Watched::Not }
    }

    /// A socket that has reached its peer, or has not yet.
    pub fn to_container(fd: OwnedFd, connected: bool) -> Self {
        Self { fd, readable: false, writable: connected, peer: Peer::Talks, watched: Watched::Not }
    }

    /// The end of the stream is not announced a second time.
    pub fn has_ended(&self) -> bool {
        self.peer >= Peer::Ended
    }

    /// Whether it was reset.
    pub fn has_failed(&self) -> bool {
        self.peer == Peer::Failed
    }

    /// Asks to be told about it from now on.
    pub fn watch(&mut self, epoll: &OwnedFd, token: u64) -> Result<(), Errno> {
        let (watched, flags) = if self.writable {
            (Watched::Reading, WATCHED)
        } else {
            (Watched::Both, WATCHED | EventFlags::OUT)
        };
        self.watched = watched;
        epoll::add(epoll, &self.fd, EventData::new_u64(token), flags)
    }

    /// Asks to be told about writing too, if it is watched and that is what it waits for.
    pub fn watch_writing(&mut self, epoll: &OwnedFd, token: u64) -> Result<(), Errno> {
        if self.writable || self.watched != Watched::Reading {
            return Ok(());
        }
        self.watched = Watched::Both;
        epoll::modify(epoll, &self.fd, EventData::new_u64(token), WATCHED | EventFlags::OUT)
    }

    /// Remembers what the kernel said.
    pub fn notice(&mut self, flags: EventFlags) {
        self.readable |=
            flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.writable |= flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR);
        let peer = if flags.contains(EventFlags::ERR) {
            Peer::Failed
        } else if flags.intersects(EventFlags::RDHUP | EventFlags::HUP) {
            Peer::Ended
        } else {
            Peer::Talks
        };
        self.peer = self.peer.max(peer);
    }

    /// Ends the stream in the direction of the peer. A peer that is gone already will tell us by itself.
    pub fn end(&self) {
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Write);
    }

    /// Closes it with a reset instead of an end of stream.
    pub fn reset(self) {
        reset(&self.fd);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes the closing of a socket a reset.
pub(super) fn reset(fd: &OwnedFd) {
    let _ = sockopt::set_socket_linger(fd, Some(Duration::ZERO));
}
