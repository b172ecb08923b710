//! What is asked of a plane.

use std::net::{IpAddr, SocketAddr};

use fraktalia_model::manifest::{self, HelperKind, Host, Network, OnRemove, SandboxMode};
use fraktalia_model::{Manifest, Note, Notes, id};
use fraktalia_plan::{Resource, ResourceIds};
use fraktalia_plane::config::{Forward, Listen, NetworkRules, Opening, Protocol};
use serde::{Deserialize, Serialize};

/// One resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spec {
    /// The isolation of a network.
    Isolation {
        /// The network's name at the engine.
        network: String,
        /// Its rules.
        rules: NetworkRules,
    },
    /// A forwarded port.
    Forward {
        /// Where it is reached.
        listen: SocketAddr,
        /// Where it leads.
        to: Forward,
    },
}

impl fraktalia_plan::Spec for Spec {}

/// All that the manifest asks of the plane of `host`.
pub fn lower(manifest: &Manifest, host: &str) -> Result<Vec<Resource<Spec>>, Notes> {
    let mut notes = Notes::new();
    let mut all = Vec::new();
    for (name, network) in manifest.networks.iter().filter(|(_, network)| network.host == host) {
        match rules(name, network) {
            Ok(rules) => all.push(isolation(name, network, rules)),
            Err(bad) => notes.extend(bad),
        }
    }
    for forward in &manifest.forwards {
        match place(manifest, forward) {
            Ok(found) if found == host => all.push(port(forward, host)),
            // One plane is enough to say so.
            Err(bad) if host == "local" => notes.extend(bad),
            _ => {}
        }
    }
    match manifest.hosts.get(host) {
        Some(declared) if declared.helper == HelperKind::Service && !all.is_empty() => {
            notes.extend(unreachable_service(host, declared));
        }
        // Before it is asked anything it has to be there.
        _ => all.iter_mut().for_each(|one| one.requires = ResourceIds::from([id::helper(host)])),
    }
    if notes.is_empty() { Ok(all) } else { Err(notes) }
}

/// A service is asked over a socket of this machine, which one of another machine does not have.
fn unreachable_service(host: &str, declared: &Host) -> Option<Note> {
    let text =
        format!("the helper of `{host}` is a service of another machine, where nobody here can ask it");
    let hint = "leave `helper` away: as a container it is brought there and asked through Docker";
    (!declared.docker.starts_with("unix://"))
        .then(|| Note::error("plane.remote-service", text).at(&declared.at).hint(hint))
}

fn isolation(name: &str, network: &Network, rules: NetworkRules) -> Resource<Spec> {
    Resource {
        id: id::isolation(&network.host, name),
        spec: Spec::Isolation { network: name.into(), rules },
        subject: network.fractal.as_deref().unwrap_or(name).into(),
        requires: ResourceIds::new(),
        on_remove: OnRemove::Delete,
        at: network.at.clone(),
    }
}

fn rules(name: &str, network: &Network) -> Result<NetworkRules, Notes> {
    let bad = |text: String, hint: &str, at: &fraktalia_model::Span| {
        Note::error("plane.bad-network", format!("the network `{name}` {text}")).at(at).hint(hint)
    };
    let subnet = network.subnet.parse().map_err(|error| {
        vec![bad(format!("cannot be isolated: {error}"), "write it as 172.30.77.0/24", &network.at)]
    })?;
    let mut openings = Vec::new();
    let mut notes = Notes::new();
    for opening in &network.allow {
        let IpAddr::V4(address) = opening.address else {
            let text = format!("cannot be opened towards {}: it speaks IPv4 only", opening.address);
            notes.push(bad(text, "give the IPv4 address of that machine", &opening.at));
            continue;
        };
        let protocol = match opening.protocol {
            manifest::Protocol::Tcp => Protocol::Tcp,
            manifest::Protocol::Udp => Protocol::Udp,
        };
        openings.push(Opening { address, port: opening.port, protocol });
    }
    openings.sort();
    openings.dedup();
    if !notes.is_empty() {
        return Err(notes);
    }
    Ok(NetworkRules { bridge: network.bridge.clone(), subnet, internet: network.internet, openings })
}

/// The host on which the containers of a forward's fractal run.
fn place<'a>(manifest: &'a Manifest, forward: &manifest::Forward) -> Result<&'a str, Notes> {
    let fractal = manifest.fractals.get(&forward.fractal);
    let sandbox = fractal.and_then(|fractal| manifest.sandboxes.get(fractal.sandbox.as_ref()?));
    let bad = |why: &str, hint: &str| {
        let text = format!("port {} cannot lead into `{}`, which {why}", forward.host_port, forward.fractal);
        vec![Note::error("plane.forward-without-container", text).at(&forward.at).hint(hint)]
    };
    let sandbox =
        sandbox.ok_or_else(|| bad("has no sandbox", "give the fractal a `sandbox` with a network"))?;
    if sandbox.mode == Some(SandboxMode::Off) {
        return Err(bad("runs on the gateway's own host", "set its sandbox's `mode` to `all`"));
    }
    if fractal.is_none_or(|fractal| fractal.network.is_none()) {
        return Err(bad("is on no network", "name one of `networks` in its sandbox"));
    }
    Ok(&sandbox.host)
}

fn port(forward: &manifest::Forward, host: &str) -> Resource<Spec> {
    let listen = SocketAddr::new(forward.listen, forward.host_port);
    let to = Forward { agent: forward.fractal.clone(), port: forward.port };
    Resource {
        id: id::forward(host, listen),
        spec: Spec::Forward { listen, to },
        subject: forward.fractal.clone(),
        requires: ResourceIds::new(),
        on_remove: OnRemove::Delete,
        at: forward.at.clone(),
    }
}

/// The same address in the words of the plane.
pub fn listen(address: &SocketAddr) -> Listen {
    Listen { address: address.ip(), port: address.port() }
}
