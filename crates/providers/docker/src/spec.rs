//! What is asked of a Docker engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fraktalia_model::manifest::{
    Fractal, Host, Image, Network, OnRemove, Sandbox, SandboxMode, WorkspaceAccess,
};
use fraktalia_model::{ImageId, Manifest, Note, Notes, Outputs, ResourceId, Value, id};
use fraktalia_plan::{Resource, ResourceIds};
use serde::{Deserialize, Serialize};

use crate::client::Endpoint;
use crate::helper::HelperSpec;

/// One resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spec {
    /// An image.
    Image(ImageSpec),
    /// A network.
    Network(NetworkSpec),
    /// The containers that OpenClaw makes for an agent.
    Sandbox(SandboxSpec),
    /// What holds the rules of the host's networks and its forwarded ports.
    Helper(HelperSpec),
}

/// An image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// `name:tag`
    pub tag: String,
    /// How it is built; without it the image has to be there.
    pub build: Option<BuildSpec>,
}

/// How an image is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSpec {
    /// Absolute directory with a `Dockerfile`.
    pub context: PathBuf,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// SHA-256 (hex) over the context and the arguments.
    pub content_hash: String,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its name at the engine.
    pub name: String,
    /// Name of its bridge interface.
    pub bridge: String,
    /// IPv4 subnet.
    pub subnet: String,
    /// Whether its containers reach the internet.
    pub internet: bool,
}

/// The containers that OpenClaw makes for an agent. What is `None` is not managed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The agent's id.
    pub agent: String,
    /// The image.
    pub image: Option<Value<ImageId>>,
    /// The name of the network.
    pub network: Option<String>,
    /// `UID:GID`
    pub user: Option<String>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Billionths of a CPU.
    pub nano_cpus: Option<i64>,
    /// Whether the root file system is read-only.
    pub read_only_root: Option<bool>,
    /// What the container may do with the workspace.
    pub workspace_access: Option<WorkspaceAccess>,
    /// The workspace as this engine sees it.
    pub workspace: PathBuf,
}

impl fraktalia_plan::Spec for Spec {
    fn pending(&self) -> Vec<ResourceId> {
        match self {
            Self::Sandbox(SandboxSpec { image: Some(image), .. }) => {
                image.pending().cloned().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn settle(&mut self, known: &Outputs) {
        if let Self::Sandbox(SandboxSpec { image: Some(image), .. }) = self {
            image.settle(known);
        }
    }
}

/// All that the manifest asks of the engine of `host`.
pub fn lower(manifest: &Manifest, host: &str) -> Result<Vec<Resource<Spec>>, Notes> {
    let networks = manifest.networks.iter().filter(|(_, network)| network.host == host);
    let sandboxes = manifest.sandboxes.iter().filter(|(_, sandbox)| sandbox.host == host);
    let images = sandboxes.filter_map(|(key, sandbox)| Some((key, sandbox.image.as_ref()?)));
    let mut notes = Notes::new();
    let mut all: Vec<_> = networks.map(|(name, network)| network_of(name, network)).collect();
    all.extend(images.map(|(key, image)| image_of(key, image, host)));
    for fractal in manifest.fractals.values() {
        let Some((key, sandbox)) =
            fractal.sandbox.as_ref().and_then(|key| manifest.sandboxes.get_key_value(key))
        else {
            continue;
        };
        if sandbox.host != host || sandbox.mode == Some(SandboxMode::Off) {
            continue;
        }
        match sandbox_of(fractal, key, sandbox, manifest.hosts.get(host)) {
            Ok(resource) => all.push(resource),
            Err(bad) => notes.extend(bad),
        }
    }
    if notes.is_empty() { Ok(all) } else { Err(notes) }
}

fn network_of(name: &str, network: &Network) -> Resource<Spec> {
    let spec = NetworkSpec {
        name: name.into(),
        bridge: network.bridge.clone(),
        subnet: network.subnet.clone(),
        internet: network.internet,
    };
    Resource {
        id: id::network(&network.host, name),
        spec: Spec::Network(spec),
        subject: network.fractal.as_deref().unwrap_or(name).into(),
        // Closed before its first container can be there.
        requires: ResourceIds::from([id::isolation(&network.host, name)]),
        on_remove: OnRemove::Delete,
        at: network.at.clone(),
    }
}

fn image_of(key: &str, image: &Image, host: &str) -> Resource<Spec> {
    let build = image.build.as_ref().map(|build| BuildSpec {
        context: build.context.clone(),
        args: build.args.clone(),
        content_hash: build.content_hash.clone(),
    });
    // What we did not build was there for somebody else's reasons as well.
    let on_remove = if build.is_some() { OnRemove::Delete } else { OnRemove::Keep };
    Resource {
        id: id::image(host, key),
        spec: Spec::Image(ImageSpec { tag: tagged(&image.tag), build }),
        subject: key.into(),
        requires: ResourceIds::new(),
        on_remove,
        at: image.at.clone(),
    }
}

/// `debian` means `debian:latest`, which is how the engine lists it.
fn tagged(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.into() } else { format!("{name}:latest") }
}

fn sandbox_of(
    fractal: &Fractal,
    key: &str,
    sandbox: &Sandbox,
    host: Option<&Host>,
) -> Result<Resource<Spec>, Notes> {
    let memory = match sandbox.memory.as_deref() {
        None => None,
        Some(text) => Some(bytes(text).ok_or_else(|| {
            let text = format!("sandbox `{key}`: `{text}` is no amount of memory");
            vec![
                Note::error("docker.bad-memory", text)
                    .at(&sandbox.at)
                    .hint("write it as Docker does: `512m`, `8g`"),
            ]
        })?),
    };
    let image = sandbox.image.as_ref().map(|_| id::image(&sandbox.host, key));
    let network = fractal.network.as_ref().map(|name| id::network(&sandbox.host, name));
    let spec = SandboxSpec {
        agent: fractal.key.clone(),
        image: image.clone().map(Value::after),
        network: fractal.network.clone(),
        user: sandbox.user.clone(),
        memory,
        nano_cpus: sandbox.cpus.map(nano_cpus),
        read_only_root: sandbox.read_only_root,
        workspace_access: sandbox.workspace_access,
        workspace: as_seen_there(&fractal.workspace.path, host),
    };
    Ok(Resource {
        id: id::sandbox(&sandbox.host, &fractal.key),
        spec: Spec::Sandbox(spec),
        subject: fractal.key.clone(),
        requires: image.into_iter().chain(network).collect(),
        on_remove: if fractal.on_remove == OnRemove::Keep { OnRemove::Keep } else { OnRemove::Delete },
        at: sandbox.at.clone(),
    })
}

/// The workspace under the path by which the engine's host knows it.
fn as_seen_there(path: &Path, host: Option<&Host>) -> PathBuf {
    let mapped = host.and_then(|host| host.workspaces.as_ref()).and_then(|paths| {
        let inside = path.strip_prefix(&paths.here).ok()?;
        Some(paths.there.join(inside))
    });
    mapped.unwrap_or_else(|| path.into())
}

#[expect(clippy::cast_possible_truncation, reason = "no machine has 9 billion CPUs")]
fn nano_cpus(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

/// Bytes of an amount as Docker writes it: a number, and one of b, k, m, g.
pub fn bytes(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix("ib").or_else(|| text.strip_suffix('b')).unwrap_or(&text);
    let (number, unit) = match text.char_indices().last()? {
        (end, 'k') => (&text[..end], 1_i64 << 10),
        (end, 'm') => (&text[..end], 1 << 20),
        (end, 'g') => (&text[..end], 1 << 30),
        (end, 't') => (&text[..end], 1 << 40),
        _ => (text, 1),
    };
    number.trim().parse::<i64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// What there is to say about the wish as a whole. `endpoint` is how the engine of `host` is reached.
pub fn lint(desired: &[Resource<Spec>], endpoint: &Endpoint) -> Notes {
    let mut notes = Notes::new();
    if let Some(first) = desired.first() {
        notes.extend(reach(endpoint).map(|note| note.about(&first.id).at(&first.at)));
    }
    notes.extend(clashing_tags(desired));
    notes
}

/// What is wrong with the way in which an engine is reached.
fn reach(endpoint: &Endpoint) -> Option<Note> {
    if let Err(error) = endpoint.address() {
        return Some(
            Note::error("docker.bad-endpoint", error.to_string()).hint(error.hint().unwrap_or_default()),
        );
    }
    let cure = "let dockerd ask for certificates (`--tlsverify`) and give the host `tls`, or use `ssh://`";
    if endpoint.is_open_to_all() {
        let text = format!(
            "the Docker engine at {endpoint} asks nobody who they are, and its address is one of the internet: whoever \
             finds it is root there"
        );
        return Some(Note::error("docker.open-to-all", text).hint(cure));
    }
    endpoint.is_open().then(|| {
        let text = format!("whoever reaches {endpoint} is root there: the engine asks nobody who they are");
        Note::warning("docker.plain-tcp", text)
            .hint(format!("{cure}; until then, keep it out of reach of every sandbox"))
    })
}

fn clashing_tags(desired: &[Resource<Spec>]) -> Notes {
    let mut tags: BTreeMap<&str, (&ImageSpec, &Resource<Spec>)> = BTreeMap::new();
    let mut notes = Notes::new();
    for resource in desired {
        let Spec::Image(image) = &resource.spec else { continue };
        let (first, other) = *tags.entry(&image.tag).or_insert((image, resource));
        if first != image {
            let text = format!(
                "{} and {} build different images with one tag, {}",
                other.subject, resource.subject, image.tag
            );
            let note =
                Note::error("docker.tag-clash", text).about(&resource.id).at(&resource.at).and_at(&other.at);
            notes.push(note.hint("give each a tag of its own"));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("8g", 8 << 30),
            ("512m", 512 << 20),
            ("64k", 64 << 10),
            ("1000", 1000),
            ("2GiB", 2 << 30),
            ("1gb", 1 << 30),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "g", "8x", "-1g", "1.5g", "0", "99999999999999999g"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        assert_eq!(tagged("debian"), "debian:latest");
        assert_eq!(tagged("localhost:5000/debian"), "localhost:5000/debian:latest");
        assert_eq!(tagged("a/b:c"), "a/b:c");
    }
}
