//! How resources are called: `matrix/room/lab`, `docker@mox/network/garden-net`.
//!
//! There is one constructor per kind, so that a provider can refer to another provider's resource without
//! knowing anything else about it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::shared::SharedText;

/// A system that holds resources: `matrix`, `openclaw`, `workspace`, or one instance of several: `docker@mox`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SystemId(SharedText);

impl SystemId {
    /// The Matrix homeserver.
    pub fn matrix() -> Self {
        Self(SharedText::word("matrix"))
    }
    /// The OpenClaw configuration file and its gateway.
    pub fn openclaw() -> Self {
        Self(SharedText::word("openclaw"))
    }
    /// The workspaces on disk.
    pub fn workspace() -> Self {
        Self(SharedText::word("workspace"))
    }
    /// The Docker engine of one host of the manifest; `local` is always there.
    pub fn docker(host: &str) -> Self {
        Self(SharedText::word(&format!("docker@{host}")))
    }
    /// What runs beside the Docker engine of a host: closed networks and forwarded ports.
    pub fn plane(host: &str) -> Self {
        Self(SharedText::word(&format!("plane@{host}")))
    }
    /// Any other system, for instance a test's.
    pub fn named(name: &str) -> Self {
        Self(SharedText::word(name))
    }
    /// `matrix`, `docker@mox`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The provider that speaks for this system: `docker` for `docker@mox`.
    pub fn provider(&self) -> &str {
        self.0.split('@').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a resource is within its system: `room`, `agent`, `network`.
pub type Kind = SharedText;
/// What a resource is called within its kind. May contain `/`: a member is `room/user`.
pub type Name = SharedText;

/// The name of one resource, unique in a realm. Prints as `system/kind/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// Where it lives.
    pub system: SystemId,
    /// What it is there.
    pub kind: Kind,
    /// What it is called there.
    pub name: Name,
}

impl ResourceId {
    /// The resource `kind/name` of `system`.
    pub fn new(system: SystemId, kind: &str, name: impl Into<Name>) -> Self {
        Self { system, kind: SharedText::word(kind), name: name.into() }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}/{}", self.system, self.kind, self.name))
    }
}

/// A text that is not of the form `system/kind/name`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a resource id: write system/kind/name, for instance matrix/room/lab")]
pub struct BadResourceId(String);

impl FromStr for ResourceId {
    type Err = BadResourceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(system), Some(kind), Some(name))
                if !system.is_empty() && !kind.is_empty() && !name.is_empty() =>
            {
                Ok(Self::new(SystemId::named(system), kind, name))
            }
            _ => Err(BadResourceId(text.into())),
        }
    }
}

impl Serialize for ResourceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A Matrix user of our own homeserver, by localpart.
pub fn user(localpart: &str) -> ResourceId {
    ResourceId::new(SystemId::matrix(), "user", localpart)
}

/// The access token of a fractal's own Matrix user.
pub fn token(fractal: &str) -> ResourceId {
    ResourceId::new(SystemId::matrix(), "token", fractal)
}

/// A Matrix room or space, by its key in the manifest: a fractal's room has the fractal's key.
pub fn room(key: &str) -> ResourceId {
    ResourceId::new(SystemId::matrix(), "room", key)
}

/// A user's membership of a room: the room's key and the full user id.
pub fn member(room: &str, user_id: &str) -> ResourceId {
    ResourceId::new(SystemId::matrix(), "member", format!("{room}/{user_id}"))
}

/// The name that a user has in one room only: the room's key and the full user id.
pub fn room_name(room: &str, user_id: &str) -> ResourceId {
    ResourceId::new(SystemId::matrix(), "name", format!("{room}/{user_id}"))
}

/// A room's place in a space, by the keys of both.
pub fn child(space: &str, room: &str) -> ResourceId {
    ResourceId::new(SystemId::matrix(), "child", format!("{space}/{room}"))
}

/// The lifted rate limits of our own Matrix user, whoever that is.
pub fn rate_limit() -> ResourceId {
    ResourceId::new(SystemId::matrix(), "override", "own")
}

/// An agent entry of `openclaw.json`.
pub fn agent(id: &str) -> ResourceId {
    ResourceId::new(SystemId::openclaw(), "agent", id)
}

/// A binding of `openclaw.json`, by the agent and what is routed to it: `gardener/room/lounge`.
pub fn binding(agent: &str, peer: &str) -> ResourceId {
    ResourceId::new(SystemId::openclaw(), "binding", format!("{agent}/{peer}"))
}

/// The settings of a room under `channels.matrix.groups`, by the room's key.
pub fn group(room: &str) -> ResourceId {
    ResourceId::new(SystemId::openclaw(), "group", room)
}

/// A Matrix account under `channels.matrix.accounts`, by the fractal it belongs to.
pub fn account(fractal: &str) -> ResourceId {
    ResourceId::new(SystemId::openclaw(), "account", fractal)
}

/// A sandbox image on a host, by the sandbox's key.
pub fn image(host: &str, sandbox: &str) -> ResourceId {
    ResourceId::new(SystemId::docker(host), "image", sandbox)
}

/// A sandbox network on a host.
pub fn network(host: &str, name: &str) -> ResourceId {
    ResourceId::new(SystemId::docker(host), "network", name)
}

/// What holds the rules of a host's networks and its forwarded ports.
pub fn helper(host: &str) -> ResourceId {
    ResourceId::new(SystemId::docker(host), "helper", "helper")
}

/// The containers that OpenClaw made for an agent on a host.
pub fn sandbox(host: &str, agent: &str) -> ResourceId {
    ResourceId::new(SystemId::docker(host), "sandbox", agent)
}

/// The isolation of a network on a host.
pub fn isolation(host: &str, network: &str) -> ResourceId {
    ResourceId::new(SystemId::plane(host), "isolation", network)
}

/// A forwarded port of a host, by where it is reached: `127.0.0.1:9000`.
pub fn forward(host: &str, listen: std::net::SocketAddr) -> ResourceId {
    ResourceId::new(SystemId::plane(host), "forward", listen.to_string())
}

/// A fractal's workspace directory.
pub fn tree(fractal: &str) -> ResourceId {
    ResourceId::new(SystemId::workspace(), "tree", fractal)
}

/// A file of a fractal's workspace, by its path inside.
pub fn file(fractal: &str, path: &str) -> ResourceId {
    ResourceId::new(SystemId::workspace(), "file", format!("{fractal}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_it_is_read() {
        for id in [
            room("lab"),
            member("lab", "@ana:chat.home"),
            room_name("lab", "@agent:chat.home"),
            network("mox", "garden-net"),
            file("lab", "a/b.md"),
        ] {
            assert_eq!(id.to_string().parse::<ResourceId>().unwrap(), id);
        }
    }

    #[test]
    fn a_name_without_three_parts_is_refused() {
        for text in ["", "room", "matrix/room", "matrix//lab", "/room/lab"] {
            assert!(text.parse::<ResourceId>().is_err(), "{text}");
        }
    }
}
