//! Rules about the manifest as a whole: names, ports, limits, and what clashes with what.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::finding::{Findings, Mark};
use super::lower::FORWARD_PORTS;
use super::raw::{Root, Text};
use super::read::Entries;
use super::{Manifest, Network, text};

/// Names that Docker keeps for itself.
const DOCKERS_NETWORKS: [&str; 4] = ["bridge", "host", "none", "default"];

/// Every name that the manifest gives has to be one that the systems take.
pub(crate) fn names(root: &Root, findings: &mut Findings) {
    if let Some(realm) = root.realm.as_ref().filter(|realm| !text::is_key(&realm.value)) {
        bad_key("realm", realm, findings);
    }
    for (what, keys) in [
        ("host", keys(&root.hosts)),
        ("room", keys(&root.rooms)),
        ("network", keys(&root.networks)),
        ("sandbox", keys(&root.sandboxes)),
    ] {
        for key in keys.into_iter().filter(|key| !text::is_key(&key.value)) {
            bad_key(what, key, findings);
        }
    }
    for key in root.networks.keys() {
        if DOCKERS_NETWORKS.contains(&key.value.as_str()) {
            let message = format!("Docker has a network `{}` of its own", key.value);
            findings.error("manifest.bad-name", key.at, message, "choose another name");
        }
    }
    for key in root.fractals.keys().filter(|key| !text::is_agent_id(&key.value)) {
        let message = format!("`{}` cannot be the id of an agent", key.value);
        let hint = format!(
            "use small letters, digits, `_` and `-`, at most 64: `{}`; people see `name`",
            text::slug(&key.value)
        );
        findings.error("manifest.bad-agent-id", key.at, message, hint);
    }
    for key in root.users.keys().filter(|key| !text::is_localpart(&key.value)) {
        let message = format!("`{}` cannot be the name of a Matrix user", key.value);
        let hint = "write the part of the id between `@` and `:`: small letters, digits and `._=-/+`";
        findings.error("manifest.bad-localpart", key.at, message, hint);
    }
    aliases(root, findings);
}

fn keys<T>(entries: &Entries<T>) -> Vec<&Text> {
    entries.keys().collect()
}

fn bad_key(what: &str, key: &Text, findings: &mut Findings) {
    let message = format!("`{}` cannot be the name of a {what}", key.value);
    let hint = format!("use letters, digits, `_`, `-` and `.`, at most 64: `{}`", text::slug(&key.value));
    findings.error("manifest.bad-name", key.at, message, hint);
}

/// Rooms and fractals share keys, since a fractal's room has its key; and no two rooms share an alias.
fn aliases(root: &Root, findings: &mut Findings) {
    let mut keys: HashMap<&str, Mark> = root.rooms.keys().map(|key| (key.value.as_str(), key.at)).collect();
    for key in root.fractals.keys() {
        if let Some(other) = keys.insert(&key.value, key.at) {
            let message = format!("`{}` is both a room and a fractal", key.value);
            let hint = "a fractal brings its own room: put the room's keys under the fractal's `room`";
            findings.clash("manifest.duplicate-key", key.at, other, message, hint);
        }
    }
    let rooms = root.rooms.iter().map(|(key, room)| (key, Some(room)));
    let own = root.fractals.iter().map(|(key, fractal)| (key, fractal.room.as_ref()));
    let mut taken: HashMap<&str, &Text> = HashMap::new();
    let mut ids: HashMap<&str, Mark> = HashMap::new();
    for (key, room) in rooms.chain(own) {
        let (alias, id) = (room.and_then(|room| room.alias.as_ref()), room.and_then(|room| room.id.as_ref()));
        if let Some(id) = id
            && let Some(other) = ids.insert(&id.value, id.at)
        {
            let message = format!("the room `{}` is named twice", id.value);
            findings.clash("manifest.duplicate-room", id.at, other, message, "keep one of the two");
        }
        // A key that makes a bad alias makes a bad key, which was reported.
        if let Some(alias) = alias.filter(|alias| !text::is_alias(&alias.value)) {
            let message = format!("`{}` cannot be an alias", alias.value);
            let hint = "write the part between `#` and `:`, without spaces";
            findings.error("manifest.bad-alias", alias.at, message, hint);
        }
        // A room that is named by its id has the alias that it has.
        let Some(alias) = alias.or(Some(key).filter(|_| id.is_none())) else { continue };
        match taken.insert(&alias.value, alias) {
            // The same key twice was reported as such.
            Some(other) if other.value != key.value || alias.at != key.at => {
                let message = format!("the alias `{}` is used twice", alias.value);
                let hint = "give one of the two rooms another `alias`";
                findings.clash("manifest.duplicate-alias", alias.at, other.at, message, hint);
            }
            _ => {}
        }
    }
}

/// Host ports are within the allowed range, and each is used once.
pub(crate) fn ports(root: &Root, findings: &mut Findings) {
    let written = root.policy.as_ref().and_then(|policy| policy.forward_ports.as_ref());
    let range = written.map_or(Some(FORWARD_PORTS), |text| text::port_range(&text.value));
    if let (None, Some(text)) = (range, written) {
        let message = format!("`{}` is not a range of ports", text.value);
        let hint = "write first and last: `9000-9099`";
        findings.error("manifest.bad-port-range", text.at, message, hint);
    }
    let at_fractals = root
        .fractals
        .iter()
        .flat_map(|(_, fractal)| fractal.forwards.iter().map(|forward| &forward.0.host_port));
    let listed = root.forwards.iter().map(|forward| &forward.host_port);
    let mut taken: HashMap<u16, Mark> = HashMap::new();
    for port in at_fractals.chain(listed) {
        if let Some((first, last)) = range
            && !(first..=last).contains(&port.value)
        {
            let message = format!("port {} is outside of {first}-{last}", port.value);
            let hint = "choose another, or widen `policy.forward_ports`";
            findings.error("manifest.port-range", port.at, message, hint);
        }
        if let Some(other) = taken.get(&port.value) {
            let message = format!("port {} is forwarded twice", port.value);
            let hint = "choose another port for one of the two";
            findings.clash("manifest.duplicate-port", port.at, *other, message, hint);
        } else {
            taken.insert(port.value, port.at);
        }
    }
}

/// No more fractals than the policy allows.
pub(crate) fn limits(root: &Root, findings: &mut Findings) {
    let Some(max) = root.policy.as_ref().and_then(|policy| policy.max_fractals.as_ref()) else {
        return;
    };
    let count = root.fractals.0.len();
    if count > usize::try_from(max.value).unwrap_or(usize::MAX) {
        let message = format!("there are {count} fractals, and the policy allows {}", max.value);
        let hint = "remove some, or raise `policy.max_fractals`";
        findings.error("manifest.too-many-fractals", max.at, message, hint);
    }
}

/// Rules that need names to be resolved.
pub(crate) fn whole(manifest: &Manifest, root: &Root, findings: &mut Findings) {
    networks(manifest, root, findings);
    spaces(root, findings);
}

/// On one host, bridges have different names and subnets do not overlap.
fn networks(manifest: &Manifest, root: &Root, findings: &mut Findings) {
    let mut bridges: HashMap<(&str, &str), Mark> = HashMap::new();
    let mut subnets: BTreeMap<&str, Vec<Placed<'_>>> = BTreeMap::new();
    for (key, raw) in root.networks.iter() {
        let at = raw.subnet.as_ref().map_or(key.at, |written| written.at);
        for (name, network) in manifest.networks.iter().filter(|(_, network)| network.key == key.value) {
            let Network { host, bridge, subnet, .. } = network;
            if let Some(other) = bridges.insert((host, bridge), key.at) {
                let message =
                    format!("the network `{name}` would get a bridge `{bridge}` that another one has");
                let hint = "rename one of the two: the names of bridges have at most 15 characters";
                findings.clash("manifest.duplicate-bridge", key.at, other, message, hint);
            }
            match text::subnet(subnet) {
                Ok(range) => subnets.entry(host).or_default().push((range, subnet, at)),
                Err(hint) => {
                    let message = format!("`{subnet}` is not a subnet");
                    findings.error("manifest.bad-subnet", at, message, hint);
                }
            }
        }
    }
    for on_host in subnets.values_mut() {
        overlaps(on_host, findings);
    }
}

/// Sorted by first address, a subnet overlaps another only if it begins before the furthest end so far.
fn overlaps(subnets: &mut [Placed<'_>], findings: &mut Findings) {
    subnets.sort_by_key(|(subnet, _, at)| (subnet.range, *at));
    let mut furthest: Option<(u32, (&str, Mark))> = None;
    for &mut (subnet, written, at) in subnets {
        let this = (written, at);
        if let Some((end, other)) = furthest
            && subnet.range.0 <= end
        {
            // Point at the one that comes later in the file.
            let (first, second) = if other.1 < at { (other, this) } else { (this, other) };
            let message = format!("`{}` overlaps with `{}`", second.0, first.0);
            let hint = "choose a `subnet` that no other network of this host has";
            findings.clash("manifest.subnet-overlap", second.1, first.1, message, hint);
        }
        if furthest.is_none_or(|(end, _)| subnet.range.1 > end) {
            furthest = Some((subnet.range.1, this));
        }
    }
}

/// A subnet with its text, and where that stands or follows from.
type Placed<'a> = (text::Subnet, &'a str, Mark);

/// What a room is in has to be a space, and no space is in itself.
fn spaces(root: &Root, findings: &mut Findings) {
    let spaces: HashSet<&str> = root
        .rooms
        .iter()
        .filter(|(_, room)| room.space.as_ref().is_some_and(|space| space.value))
        .map(|(key, _)| key.value.as_str())
        .collect();
    let broken: HashSet<&str> =
        root.rooms.0.iter().filter(|(_, room)| room.is_none()).map(|(key, _)| key.value.as_str()).collect();
    let rooms = root.rooms.iter().map(|(key, room)| (key, Some(room)));
    let own = root.fractals.iter().map(|(key, fractal)| (key, fractal.room.as_ref()));
    let mut parents: HashMap<&str, &Text> = HashMap::new();
    let declared: HashSet<&str> =
        root.rooms.keys().chain(root.fractals.keys()).map(|key| key.value.as_str()).collect();
    for (key, room) in rooms.chain(own) {
        let Some(parent) = room.and_then(|room| room.r#in.as_ref()) else {
            continue;
        };
        let name = parent.value.as_str();
        if declared.contains(name) && !spaces.contains(name) && !broken.contains(name) {
            let message = format!("`{name}` is not a space");
            let hint = format!("add `space: true` to `{name}`, or name a space");
            findings.error("manifest.not-a-space", parent.at, message, hint);
        }
        parents.insert(&key.value, parent);
    }
    cycles(&parents, findings);
}

/// Follows each room upwards once; whoever comes back to the way just taken has found a cycle.
fn cycles(parents: &HashMap<&str, &Text>, findings: &mut Findings) {
    let mut done: HashSet<&str> = HashSet::new();
    let mut starts: Vec<&&str> = parents.keys().collect();
    starts.sort_unstable();
    for start in starts {
        let mut way: Vec<&str> = Vec::new();
        let mut on_way: HashSet<&str> = HashSet::new();
        let mut at = *start;
        while let Some(parent) = parents.get(at) {
            if !on_way.insert(at) {
                let from = way.iter().position(|key| *key == at).unwrap_or(0);
                let cycle = [&way[from..], &[at]].concat().join(" -> ");
                let message = format!("these spaces are in each other: {cycle}");
                let hint = "leave one `in` away";
                findings.error("manifest.space-cycle", parent.at, message, hint);
                break;
            }
            if done.contains(at) {
                break;
            }
            way.push(at);
            at = parent.value.as_str();
        }
        done.extend(way);
    }
}
