//! Ports of the host that lead into containers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Where an agent's container is at this moment: agent -> address. Replaced as a whole on each change.
pub type Addresses = Arc<BTreeMap<String, IpAddr>>;

/// The address and port that a forward leads to now, if its container runs.
pub fn target(addresses: &Addresses, forward: &crate::config::Forward) -> Option<SocketAddr> {
    addresses.get(&forward.agent).map(|address| SocketAddr::new(*address, forward.port))
}
