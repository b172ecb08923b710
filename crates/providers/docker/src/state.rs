//! What is seen of a Docker engine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::helper::HelperState;

/// One living resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// An image.
    Image(ImageState),
    /// A network.
    Network(NetworkState),
    /// The containers of an agent; none is a state as good as any.
    Sandbox(SandboxState),
    /// What holds the rules of the host's networks and its forwarded ports.
    Helper(HelperState),
}

/// An image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageState {
    /// `name:tag`
    pub tag: String,
    /// `sha256:...`; absent when nothing has that tag.
    pub id: Option<String>,
    /// The content hash that it was built from, if it was built by us.
    pub content_hash: Option<String>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkState {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// `bridge`
    pub driver: String,
    /// Name of its bridge interface, where it is fixed.
    pub bridge: Option<String>,
    /// Its subnets.
    pub subnets: Vec<String>,
    /// Whether its containers are kept from the internet.
    pub internal: bool,
    /// Who is on it, by name. OpenClaw's sandboxes come and go with what is said in the chat: a plan that was made, or a run
    /// that is taken back, is no other for that.
    #[serde(serialize_with = "lasting")]
    pub attached: Vec<Attached>,
}

fn lasting<S: serde::Serializer>(attached: &[Attached], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(attached.iter().filter(|one| !one.sandbox))
}

/// A container on a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attached {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Whether OpenClaw made it as a sandbox, and will make another one when it is gone.
    pub sandbox: bool,
}

/// The containers of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxState {
    /// The agent's id.
    pub agent: String,
    /// By name.
    pub containers: Vec<ContainerState>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id of its image.
    pub image: String,
    /// The name of its network.
    pub network: String,
    /// `UID:GID`
    pub user: String,
    /// Bytes; 0: no limit.
    pub memory: i64,
    /// Billionths of a CPU; 0: no limit.
    pub nano_cpus: i64,
    /// Whether its root file system is read-only.
    pub read_only_root: bool,
    /// What of the host is mounted, and whether it may be written.
    pub mounts: Vec<MountState>,
}

/// Something of the host that a container sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MountState {
    /// Path on the host.
    pub source: PathBuf,
    /// Path in the container.
    pub target: PathBuf,
    /// Whether it may be written.
    pub writable: bool,
}
