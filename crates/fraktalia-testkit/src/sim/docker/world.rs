//! What a simulated engine holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

/// All of it.
#[derive(Debug)]
pub struct World {
    /// The version of the API that it says.
    pub api: String,
    /// What its machine is, in the engine's words.
    pub arch: String,
    /// Images by id.
    pub images: BTreeMap<String, Image>,
    /// Networks by id.
    pub networks: BTreeMap<String, Network>,
    /// Containers by id.
    pub containers: BTreeMap<String, Container>,
    made: u64,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Its tags; none for one that lost its last.
    pub tags: BTreeSet<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The lines of the Dockerfile that it was built from.
    pub built_from: String,
}

/// A network.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Driver, options, address pools, labels: as it was asked for.
    pub request: Json,
}

/// A container.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The id of its image.
    pub image: String,
    /// Whether it runs.
    pub running: bool,
    /// As it was asked for.
    pub request: Json,
}

impl Container {
    /// The name of its network.
    pub fn network(&self) -> &str {
        self.request["HostConfig"]["NetworkMode"].as_str().unwrap_or("bridge")
    }
}

impl Default for World {
    fn default() -> Self {
        let mut world = Self {
            api: "1.41".into(),
            arch: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }.into(),
            images: BTreeMap::new(),
            networks: BTreeMap::new(),
            containers: BTreeMap::new(),
            made: 0,
        };
        for name in ["bridge", "host", "none"] {
            world.add_network(json!({ "Name": name, "Driver": if name == "none" { "null" } else { name } }));
        }
        world
    }
}

impl World {
    /// An id that was not given before.
    pub fn fresh_id(&mut self) -> String {
        self.made += 1;
        hex(&Sha256::digest(self.made.to_le_bytes()))
    }

    /// Puts an image there, taking its tag from whichever had it.
    pub fn add_image(&mut self, tag: &str, content: &[u8], labels: BTreeMap<String, String>) -> String {
        let mut hash = Sha256::new();
        hash.update(content);
        hash.update(format!("{labels:?}"));
        let id = format!("sha256:{}", hex(&hash.finalize()));
        let image = self.images.entry(id.clone()).or_default();
        image.labels = labels;
        self.tag(&id, tag);
        id
    }

    /// Gives an image a tag, taking it from whichever had it.
    pub fn tag(&mut self, id: &str, tag: &str) {
        for image in self.images.values_mut() {
            image.tags.remove(tag);
        }
        if let Some(image) = self.images.get_mut(id) {
            image.tags.insert(tag.into());
        }
    }

    /// The id of an image by tag or id.
    pub fn image_id(&self, name: &str) -> Option<String> {
        let tagged = if name.contains(':') { name.to_owned() } else { format!("{name}:latest") };
        self.images
            .iter()
            .find(|(id, image)| *id == name || image.tags.contains(&tagged))
            .map(|(id, _)| id.clone())
    }

    /// Puts a network there, as a request asks for it.
    pub fn add_network(&mut self, request: Json) -> String {
        let id = self.fresh_id();
        let name = request["Name"].as_str().unwrap_or_default().to_owned();
        self.networks.insert(id.clone(), Network { name, request });
        id
    }

    /// The id of a network by name or id.
    pub fn network_id(&self, name: &str) -> Option<String> {
        self.networks
            .iter()
            .find(|(id, network)| *id == name || network.name == name)
            .map(|(id, _)| id.clone())
    }

    /// The id of a container by name or id.
    pub fn container_id(&self, name: &str) -> Option<String> {
        self.containers.iter().find(|(id, one)| *id == name || one.name == name).map(|(id, _)| id.clone())
    }

    /// Whether a subnet has addresses of another network.
    pub fn overlaps(&self, subnet: &str) -> bool {
        let Some(wanted) = range(subnet) else { return false };
        self.networks
            .values()
            .flat_map(|network| subnets(&network.request))
            .filter_map(|taken| range(&taken))
            .any(|taken| taken.0 <= wanted.1 && wanted.0 <= taken.1)
    }
}

/// The subnets that a network asks for.
pub fn subnets(request: &Json) -> Vec<String> {
    let pools = request["IPAM"]["Config"].as_array();
    pools.into_iter().flatten().filter_map(|pool| pool["Subnet"].as_str().map(String::from)).collect()
}

/// First and last address of a subnet.
fn range(subnet: &str) -> Option<(u32, u32)> {
    let (address, length) = subnet.split_once('/')?;
    let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
    let hosts = u32::MAX.checked_shr(length.parse().ok()?).unwrap_or(0);
    Some((address & !hosts, address | hosts))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_overlap_when_they_share_an_address() {
        let mut world = World::default();
        world.add_network(json!({ "Name": "a", "IPAM": { "Config": [{ "Subnet": "172.30.0.0/16" }] } }));
        assert!(world.overlaps("172.30.77.0/24") && world.overlaps("172.0.0.0/8"));
        assert!(!world.overlaps("172.31.0.0/16"));
    }
}
