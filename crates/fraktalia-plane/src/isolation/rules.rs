//! What is asked of the table, and what is refused before it becomes text.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use sha2::{Digest as _, Sha256};

use super::text;
use crate::config::{Listen, NetworkRules, Subnet};

/// With this begins the name of each bridge of a sandbox network. What is named so and is not known is closed.
pub const BRIDGE_PREFIX: &str = "fkt-";

/// The kernel's limit for the name of an interface.
const LONGEST_BRIDGE: usize = 15;

/// So much of a realm's name stands readable in the name of its table; the hash behind it tells realms apart.
const READABLE: usize = 24;

/// All that one table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The networks that are kept closed, by their name at the engine.
    pub networks: BTreeMap<String, NetworkRules>,
    /// The forwards that the kernel carries.
    pub forwards: Vec<Dnat>,
    /// Bridges that another realm's table on this host takes care of. All others that are called
    /// [`BRIDGE_PREFIX`]`*` and stand in no network are closed altogether.
    pub elsewhere: BTreeSet<String>,
}

/// A forwarded TCP port that the kernel carries: what is addressed to `listen` goes to `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dnat {
    /// An address of the host that is not on its loopback, or `0.0.0.0` for all of those.
    pub listen: Listen,
    /// The container.
    pub to: SocketAddrV4,
    /// The bridge that the container is on.
    pub bridge: String,
}

/// The name of the table of a realm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table(String);

/// The text of one transaction that makes a table what it should be, whatever it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    table: Table,
    text: String,
    renewal: String,
    hash: String,
}

/// Rules that cannot be put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    /// The name of a bridge is not one of ours.
    #[error(
        "`{0}` cannot be the bridge of a closed network: it must be `fkt-` and 1 to 11 of a-z, 0-9 and `-`; choose \
         another name"
    )]
    Bridge(String),
    /// Two networks have the same bridge.
    #[error("networks `{0}` and `{1}` have the same bridge; give each its own")]
    SharedBridge(String, String),
    /// The addresses of two networks overlap, so that one could pass as the other.
    #[error("the subnets of the networks `{0}` and `{1}` overlap; give each its own")]
    Overlap(String, String),
    /// The kernel cannot carry a forward from there.
    #[error("a forward from {listen} cannot be carried by the kernel: {why}; let user space carry it")]
    Listen {
        /// Where it would be reached.
        listen: Listen,
        /// Why not.
        why: &'static str,
    },
    /// The container's address is not in the subnet of its network.
    #[error(
        "the forward from {listen} leads to {to}, which is not in the subnet of a network on {bridge}; inspect the \
         container's address"
    )]
    Target {
        /// Where it would be reached.
        listen: Listen,
        /// Where it would lead.
        to: SocketAddrV4,
        /// Where that should be.
        bridge: String,
    },
    /// One address is forwarded twice.
    #[error("{0} is forwarded twice; remove one of the two")]
    Twice(Listen),
}

impl Table {
    /// The table of a realm: `fraktalia`, or `fraktalia_<name>_<hash>`. Whatever the name is, what comes out consists
    /// of letters, digits and `_`, and two realms never get the same.
    pub fn of(realm: Option<&str>) -> Self {
        let Some(realm) = realm else { return Self(text::TABLE.to_owned()) };
        let readable: String = realm
            .chars()
            .take(READABLE)
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect();
        Self(format!("{}_{readable}_{}", text::TABLE, &hex(realm.as_bytes())[..8]))
    }

    /// Its name in the family `inet`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The table of this name, if it could be one of ours, in any realm.
    pub(super) fn named(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(text::TABLE)?;
        let plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (plain && (rest.is_empty() || rest.starts_with('_'))).then(|| Self(name.to_owned()))
    }
}

impl Ruleset {
    /// What `nft -f` is given, whatever there is before.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is given when the table is there and as we left it: the same rules, without a packet that passes
    /// between the old hooks and new ones.
    pub fn renewal(&self) -> &str {
        &self.renewal
    }

    /// The table it makes.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// A hash of the text; it is also found in the table.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Turns rules into the text of one nft transaction. Loading it twice is loading it once, and at any moment either
/// what was in force before is, or this.
pub fn ruleset(table: &Table, rules: &Rules) -> Result<Ruleset, BadRules> {
    check(rules)?;
    let body = text::body(table, rules);
    let hash = hex(body.as_bytes())[..32].to_owned();
    let text = text::replace(table, &hash, &body);
    let renewal = text::renew(table, &hash, &body);
    Ok(Ruleset { table: table.clone(), text, renewal, hash })
}

fn check(rules: &Rules) -> Result<(), BadRules> {
    let mut bridges = BTreeMap::new();
    for (name, network) in &rules.networks {
        check_bridge(&network.bridge)?;
        if let Some(other) = bridges.insert(&network.bridge, name) {
            return Err(BadRules::SharedBridge(other.clone(), name.clone()));
        }
    }
    if let Some((one, other)) = overlaps(&rules.networks).into_iter().next() {
        return Err(BadRules::Overlap(one.to_owned(), other.to_owned()));
    }
    for bridge in &rules.elsewhere {
        check_bridge(bridge)?;
    }
    let mut listens = BTreeSet::new();
    for forward in &rules.forwards {
        check_forward(rules, forward)?;
        if !listens.insert(forward.listen) {
            return Err(BadRules::Twice(forward.listen));
        }
    }
    Ok(())
}

/// The address of a container comes from an engine that is not to be trusted: it must not be able to lead a port of
/// the host into the LAN.
fn check_forward(rules: &Rules, forward: &Dnat) -> Result<(), BadRules> {
    let listen = forward.listen;
    let refuse = |why| Err(BadRules::Listen { listen, why });
    match listen.address {
        IpAddr::V6(_) => return refuse("only IPv4 reaches a sandbox that way"),
        IpAddr::V4(address) if address.is_loopback() => {
            return refuse("what comes from the loopback never passes it");
        }
        IpAddr::V4(address) if address.is_multicast() || address.is_broadcast() => {
            return refuse("it is no address of one host");
        }
        IpAddr::V4(_) if listen.port == 0 => return refuse("port 0 is none"),
        IpAddr::V4(_) => {}
    }
    let network = rules.networks.values().find(|network| network.bridge == forward.bridge);
    let inside = network.is_some_and(|network| is_host_of(*forward.to.ip(), network.subnet));
    if inside && forward.to.port() != 0 {
        return Ok(());
    }
    Err(BadRules::Target { listen, to: forward.to, bridge: forward.bridge.clone() })
}

/// Whether it is the name of a bridge of ours, which the kernel takes as well.
pub fn check_bridge(name: &str) -> Result<(), BadRules> {
    let rest = name.strip_prefix(BRIDGE_PREFIX).unwrap_or_default();
    let plain = rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !rest.is_empty() && plain && name.len() <= LONGEST_BRIDGE {
        return Ok(());
    }
    Err(BadRules::Bridge(name.to_owned()))
}

/// The pairs of networks that share addresses, by name. The engine refuses such a pair only if it knows both.
pub fn overlaps(networks: &BTreeMap<String, NetworkRules>) -> Vec<(&str, &str)> {
    let mut sorted: Vec<(u32, u32, &str)> = networks
        .iter()
        .map(|(name, network)| (first(network.subnet), last(network.subnet), &**name))
        .collect();
    sorted.sort_unstable();
    let mut found = Vec::new();
    for (index, (_, end, name)) in sorted.iter().enumerate() {
        let beyond = sorted[index + 1..].iter().take_while(|(start, ..)| start <= end);
        found.extend(beyond.map(|(.., other)| (*name.min(other), *name.max(other))));
    }
    found.sort_unstable();
    found
}

fn first(subnet: Subnet) -> u32 {
    u32::from(subnet.address)
}

fn last(subnet: Subnet) -> u32 {
    first(subnet) | u32::MAX.checked_shr(u32::from(subnet.prefix)).unwrap_or(0)
}

fn is_host_of(address: Ipv4Addr, subnet: Subnet) -> bool {
    let address = u32::from(address);
    first(subnet) < address && address < last(subnet)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(bridge: &str, subnet: &str) -> NetworkRules {
        NetworkRules {
            bridge: bridge.into(),
            subnet: subnet.parse().unwrap(),
            internet: true,
            openings: Vec::new(),
        }
    }

    fn rules(networks: &[(&str, &str, &str)]) -> Rules {
        let networks =
            networks.iter().map(|(name, bridge, subnet)| ((*name).into(), network(bridge, subnet)));
        Rules { networks: networks.collect(), ..Rules::default() }
    }

    fn dnat(listen: &str, to: &str, bridge: &str) -> Dnat {
        Dnat { listen: listen.parse().unwrap(), to: to.parse().unwrap(), bridge: bridge.into() }
    }

    fn table() -> Table {
        Table::of(None)
    }

    #[test]
    fn realms_get_tables_of_their_own_whose_names_hold_nothing_but_letters_digits_and_underlines() {
        let names = [
            None,
            Some(""),
            Some("home"),
            Some("Home"),
            Some("ho-me"),
            Some("ho_me"),
            Some("x; flush ruleset"),
        ];
        let tables: BTreeSet<Table> = names.iter().map(|name| Table::of(*name)).collect();
        assert_eq!(tables.len(), names.len());
        assert!(tables.iter().all(|table| Table::named(table.name()).is_some()), "{tables:?}");
        assert!(["fraktalia x", "fraktaliax", "filter"].iter().all(|name| Table::named(name).is_none()));
    }

    #[test]
    fn a_bridge_is_named_as_the_kernel_and_the_rules_can_take_it() {
        for good in ["fkt-a", "fkt-garden-01", "fkt-abcdefghijk"] {
            assert_eq!(check_bridge(good), Ok(()));
        }
        for bad in
            ["", "fkt-", "docker0", "fkt-abcdefghijkl", "fkt-A", "fkt-a\"", "fkt-*", "fkt-a b", "fkt-ä"]
        {
            assert_eq!(check_bridge(bad), Err(BadRules::Bridge(bad.into())));
            let rules = Rules { elsewhere: [bad.to_owned()].into(), ..Rules::default() };
            assert!(ruleset(&table(), &rules).is_err(), "{bad}");
            assert!(ruleset(&table(), &self::rules(&[("n", bad, "10.1.0.0/24")])).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_that_share_addresses_or_a_bridge_are_found() {
        let apart = rules(&[("a", "fkt-a", "10.1.0.0/24"), ("b", "fkt-b", "10.1.1.0/24")]);
        assert!(overlaps(&apart.networks).is_empty());
        let three = rules(&[
            ("wide", "fkt-a", "10.0.0.0/8"),
            ("b", "fkt-b", "10.1.1.0/24"),
            ("c", "fkt-c", "10.1.2.0/30"),
        ]);
        assert_eq!(overlaps(&three.networks), [("b", "wide"), ("c", "wide")]);
        assert!(matches!(ruleset(&table(), &three), Err(BadRules::Overlap(..))));
        let shared = rules(&[("a", "fkt-a", "10.1.0.0/24"), ("b", "fkt-a", "10.1.1.0/24")]);
        assert_eq!(ruleset(&table(), &shared), Err(BadRules::SharedBridge("a".into(), "b".into())));
    }

    #[test]
    fn a_forward_leads_only_to_a_container_of_its_own_network() {
        let networks = rules(&[("a", "fkt-a", "10.1.0.0/24"), ("b", "fkt-b", "10.1.1.0/24")]);
        let with = |forward: Dnat| ruleset(&table(), &Rules { forwards: vec![forward], ..networks.clone() });
        assert!(with(dnat("0.0.0.0:9000", "10.1.0.2:80", "fkt-a")).is_ok());
        for to in ["192.168.1.1:80", "10.1.1.2:80", "10.1.0.0:80", "10.1.0.255:80", "10.1.0.2:0"] {
            let refused = with(dnat("0.0.0.0:9000", to, "fkt-a"));
            assert!(matches!(refused, Err(BadRules::Target { .. })), "{to}: {refused:?}");
        }
        assert!(with(dnat("0.0.0.0:9000", "10.1.0.2:80", "fkt-c")).is_err());
        for listen in ["127.0.0.1:9000", "[::1]:9000", "[::]:9000", "224.0.0.1:9000", "0.0.0.0:0"] {
            let refused = with(dnat(listen, "10.1.0.2:80", "fkt-a"));
            assert!(matches!(refused, Err(BadRules::Listen { .. })), "{listen}: {refused:?}");
        }
        let twice = dnat("0.0.0.0:9000", "10.1.0.2:80", "fkt-a");
        let rules = Rules { forwards: vec![twice.clone(), twice.clone()], ..networks };
        assert_eq!(ruleset(&table(), &rules), Err(BadRules::Twice(twice.listen)));
    }

    #[test]
    fn the_same_rules_make_the_same_text_and_other_rules_another_hash() {
        let one = rules(&[("a", "fkt-a", "10.1.0.0/24")]);
        let mut other = one.clone();
        other.networks.get_mut("a").unwrap().internet = false;
        let [one, again, other] = [&one, &one, &other].map(|rules| ruleset(&table(), rules).unwrap());
        assert_eq!(one, again);
        assert_ne!(one.hash(), other.hash());
        assert!([one.text(), one.renewal()].iter().all(|text| text.contains(&one.hash()[..8])));
    }
}
