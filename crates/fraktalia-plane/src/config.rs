//! What a helper holds, as it is told and as it is kept on disk.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// All that one helper holds. The same text is its file on disk; what it does not know it refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The networks that it keeps closed, by their name at the engine.
    #[serde(default)]
    pub networks: BTreeMap<String, NetworkRules>,
    /// The ports that it carries, by the address they are reached at.
    #[serde(default, with = "forwards_by_address")]
    pub forwards: BTreeMap<Listen, Forward>,
}

/// A closed network: its containers reach the internet if they may, the openings, each other's replies, and nothing
/// else; and nobody reaches them but through what they published themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRules {
    /// The bridge interface: `fkt-` and at most 11 more of `a-z0-9-`.
    pub bridge: String,
    /// The addresses that its containers may use as their own.
    pub subnet: Subnet,
    /// Whether public addresses are reached.
    pub internet: bool,
    /// What else is reached.
    #[serde(default)]
    pub openings: Vec<Opening>,
}

/// An IPv4 network in CIDR form: `172.30.77.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    /// Its first address.
    pub address: Ipv4Addr,
    /// Bits of the prefix, 1 to 30.
    pub prefix: u8,
}

/// One private address that stays reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Where to.
    pub address: Ipv4Addr,
    /// Which port.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// Where a forwarded port is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listen {
    /// The address of the host; `0.0.0.0` for all of them.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// Where a forwarded port leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// The agent whose container is meant: the one that OpenClaw made last for it and that runs.
    pub agent: String,
    /// The port in the container.
    pub port: u16,
}

/// A text that is no [`Subnet`] or no [`Listen`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct BadText {
    text: String,
    wanted: &'static str,
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}/{}", self.address, self.prefix))
    }
}

impl Subnet {
    /// Whether an address is in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (u32::from(address) ^ u32::from(self.address)) >> (32 - u32::from(self.prefix)) == 0
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl std::str::FromStr for Subnet {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let bad = || BadText { text: text.into(), wanted: "an IPv4 network such as 172.30.77.0/24" };
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let (address, prefix): (Ipv4Addr, u8) =
            (address.parse().map_err(|_| bad())?, prefix.parse().map_err(|_| bad())?);
        let inside =
            (1..=30).contains(&prefix) && u32::from(address).trailing_zeros() >= 32 - u32::from(prefix);
        if inside { Ok(Self { address, prefix }) } else { Err(bad()) }
    }
}

impl TryFrom<String> for Subnet {
    type Error = BadText;

    fn try_from(text: String) -> Result<Self, BadText> {
        text.parse()
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&std::net::SocketAddr::new(self.address, self.port).to_string())
    }
}

impl std::str::FromStr for Listen {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let bad = |_| BadText { text: text.into(), wanted: "an address with a port, such as 127.0.0.1:9000" };
        let at: std::net::SocketAddr = text.parse().map_err(bad)?;
        Ok(Self { address: at.ip(), port: at.port() })
    }
}

/// JSON has texts as keys only.
mod forwards_by_address {
    use super::{BTreeMap, Forward, Listen};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(map: &BTreeMap<Listen, Forward>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(map.iter().map(|(listen, forward)| (listen.to_string(), forward)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Listen, Forward>, D::Error> {
        let texts = BTreeMap::<String, Forward>::deserialize(from)?;
        texts
            .into_iter()
            .map(|(text, forward)| Ok((text.parse().map_err(serde::de::Error::custom)?, forward)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_as_it_is_written() {
        let text = r#"{"networks":{"garden":{"bridge":"fkt-garden","subnet":"172.30.77.0/24","internet":true,
            "openings":[{"address":"192.168.1.40","port":22,"protocol":"tcp"}]}},
            "forwards":{"127.0.0.1:9000":{"agent":"gardener","port":3000}}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let again: Config = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(config, again);
        assert_eq!(config.networks["garden"].subnet.to_string(), "172.30.77.0/24");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"surprise":1}"#).is_err());
        for text in ["172.30.77.1/24", "172.30.77.0", "172.30.77.0/31", "0.0.0.0/0", "::/64", "x/24"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
