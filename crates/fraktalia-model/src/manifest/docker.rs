//! Where sandboxes run, and what they are made of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::note::Span;

/// A Docker host.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Where it was declared; the default span for `local` when it was not.
    pub at: Span,
    /// `unix://`, `tcp://` or `ssh://`; `unix:///var/run/docker.sock` for `local` by default.
    pub docker: String,
    /// Client certificates, absolute paths.
    pub tls: Option<HostTls>,
    /// The same workspaces as the gateway (`here`) and as Docker (`there`) see them.
    pub workspaces: Option<HostPaths>,
    /// Who holds its networks' rules and its forwarded ports.
    pub helper: HelperKind,
}

/// `hosts.*.helper`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HelperKind {
    /// A container that fraktalia brings.
    #[default]
    Container,
    /// A service that somebody runs on the host.
    Service,
}

/// `hosts.*.tls`: absolute paths of PEM files.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTls {
    /// The authority that signed the engine's certificate.
    pub ca: PathBuf,
    /// Our certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// `hosts.*.workspaces`
#[derive(Clone, Debug, PartialEq)]
pub struct HostPaths {
    /// As the gateway sees them.
    pub here: PathBuf,
    /// As the Docker engine of the host sees them.
    pub there: PathBuf,
}

/// A sandbox network.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Place of the declaration.
    pub at: Span,
    /// The key in the manifest. Networks that each belong to one fractal share it.
    pub key: String,
    /// The fractal that it is for; all whose sandbox names it when absent.
    pub fractal: Option<String>,
    /// The key of the host.
    pub host: String,
    /// The name of the bridge interface: `fkt-` and at most 11 more characters.
    pub bridge: String,
    /// IPv4 subnet in CIDR form: it has to be known before the network is made, so that nobody in it can use an
    /// address from outside of it.
    pub subnet: String,
    /// Whether containers reach the internet.
    pub internet: bool,
    /// What else they reach, as written: `192.168.1.40:22/tcp`.
    pub allow: Vec<Opening>,
    /// Resolvers for the containers.
    pub dns: Vec<std::net::IpAddr>,
}

/// An opening of a network's isolation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Place of the entry.
    pub at: Span,
    /// Destination address.
    pub address: std::net::IpAddr,
    /// Destination port.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

/// Transport protocol of an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// How an agent's shell runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sandbox {
    /// Place of the declaration.
    pub at: Span,
    /// The key of the host.
    pub host: String,
    /// The image.
    pub image: Option<Image>,
    /// The key of the network.
    pub network: Option<String>,
    /// `UID:GID`
    pub user: Option<String>,
    /// Which sessions are sandboxed.
    pub mode: Option<SandboxMode>,
    /// What the container may do with the workspace.
    pub workspace_access: Option<WorkspaceAccess>,
    /// Whether its root file system is read-only.
    pub read_only_root: Option<bool>,
    /// Memory limit as Docker writes it: `8g`.
    pub memory: Option<String>,
    /// CPU limit.
    pub cpus: Option<f64>,
}

/// A sandbox image.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Place of the declaration.
    pub at: Span,
    /// `name:tag`
    pub tag: String,
    /// How it is built; without it the image has to be there.
    pub build: Option<Build>,
}

/// How an image is built.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// Absolute directory of the context; its `Dockerfile` is used.
    pub context: PathBuf,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// SHA-256 (hex) over the paths, modes and contents of the context, and over `args`.
    pub content_hash: String,
}

/// `mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// None.
    Off,
    /// All but the main session.
    NonMain,
    /// Every session.
    All,
}

/// `workspace_access`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceAccess {
    /// The workspace is not mounted.
    None,
    /// Read-only.
    Ro,
    /// Read and write.
    Rw,
}
