//! What is counted for each listener. Every thread counts for itself, so that counting costs no more than an addition.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// A number that one thread writes and everybody reads.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Only ever called by the one thread that owns it; that is why no atomic addition is needed.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// As [`Self::add`].
    pub fn subtract(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less), Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one thread has seen at one listener. On cache lines of its own: two threads that count side by side would
/// otherwise wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally {
    pub open: Count,
    pub accepted: Count,
    pub absent: Count,
    pub unreachable: Count,
    pub full: Count,
    pub accept_errors: Count,
    /// Bytes to the container.
    pub up: Count,
    /// Bytes from the container.
    pub down: Count,
}

/// How a listener is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerState {
    /// The address that the socket is bound to.
    pub bound: SocketAddr,
    /// The agent whose container is meant.
    pub agent: String,
    /// Where new connections lead; `None`: there is no container, they are refused.
    pub target: Option<SocketAddr>,
    /// Connections that are open now.
    pub open: u64,
    /// Connections that came so far, the refused ones included.
    pub connections: u64,
    /// Connections that were reset at once.
    pub refused: Refused,
    /// How often the kernel could not hand over a connection, for want of descriptors or memory.
    pub accept_errors: u64,
    /// Bytes carried to the container.
    pub bytes_up: u64,
    /// Bytes carried from the container.
    pub bytes_down: u64,
}

/// Connections that were reset without having reached a container, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// No container ran.
    pub absent: u64,
    /// The container did not answer, or said no.
    pub unreachable: u64,
    /// There were as many connections as may be.
    pub full: u64,
}

impl Refused {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.absent + self.unreachable + self.full
    }
}

impl ListenerState {
    pub(super) fn new(bound: SocketAddr, agent: &str, target: Option<SocketAddr>, tallies: &[Tally]) -> Self {
        let sum =
            |of: fn(&Tally) -> &Count| tallies.iter().map(|tally| of(tally).get()).fold(0, u64::wrapping_add);
        Self {
            bound,
            agent: agent.into(),
            target,
            open: sum(|tally| &tally.open),
            connections: sum(|tally| &tally.accepted),
            refused: Refused {
                absent: sum(|tally| &tally.absent),
                unreachable: sum(|tally| &tally.unreachable),
                full: sum(|tally| &tally.full),
            },
            accept_errors: sum(|tally| &tally.accept_errors),
            bytes_up: sum(|tally| &tally.up),
            bytes_down: sum(|tally| &tally.down),
        }
    }
}
