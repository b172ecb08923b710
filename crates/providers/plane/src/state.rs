//! What is seen of a plane.

use std::net::SocketAddr;

use fraktalia_plane::config::{Forward, NetworkRules};
use serde::{Deserialize, Serialize};

/// One thing that the helper holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The isolation of a network.
    Isolation {
        /// As it was told.
        rules: NetworkRules,
        /// Whether the rules are in force.
        closed: bool,
    },
    /// A forwarded port. Where its container is at the moment is no part of this: it comes and goes.
    Forward {
        /// Where it is reached.
        listen: SocketAddr,
        /// Where it leads.
        to: Forward,
        /// Whether it listens.
        listening: bool,
    },
}
