//! Ports of the host that lead into containers.
//!
//! A [`Forwarder`] holds a listening socket for each forward and carries what arrives there to wherever the agent's
//! container is at that moment. It needs no right and no Docker: somebody else follows the engine's events and hands
//! it the [`Addresses`]. A container that is made anew changes an address, never a listener.
//!
//! Each direction of a connection is on its own: an end of stream on one side becomes an end of stream on the other
//! and nothing else; a reset stays a reset. The first bytes are copied through one buffer of the thread; what goes on
//! is spliced in the kernel through pipes that are lent while bytes are in them, so that a connection which is quiet
//! holds two sockets and some two hundred bytes.
//!
//! The threads wait on epoll by themselves rather than through a runtime. A short connection is some twenty system
//! calls, and what a task, two registrations and their wakers cost on top of it can be measured
//! (`cargo xtask bench forward`).

mod connection;
mod counters;
mod error;
mod forwarder;
mod half;
mod held;
mod listen;
mod metrics;
mod pool;
mod routes;
mod socket;
mod worker;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub use counters::{ListenerState, Refused};
pub use error::{ForwardError, ListenFailure};
pub use forwarder::{Forwarder, Options};

/// Where an agent's container is at this moment: agent -> address. Replaced as a whole on each change.
pub type Addresses = Arc<BTreeMap<String, IpAddr>>;

/// The address and port that a forward leads to now, if its container runs.
pub fn target(addresses: &Addresses, forward: &crate::config::Forward) -> Option<SocketAddr> {
    addresses.get(&forward.agent).map(|address| SocketAddr::new(*address, forward.port))
}
