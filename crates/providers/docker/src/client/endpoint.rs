//! Where an engine is, and in what way it is reached.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use fraktalia_model::manifest::{Host, HostTls};

use crate::error::DockerError;

/// An engine as the manifest names it. Prints as `tcp://10.0.0.5:2376 (host mox)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    host: Option<String>,
    url: String,
    tls: Option<HostTls>,
    ssh_config: Option<PathBuf>,
}

/// What an endpoint's address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A port of another machine.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `docker system dial-stdio`, run by an SSH client.
    Ssh(SshTarget),
}

/// `[user@]host[:port]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshTarget {
    /// The user there; without one the client's configuration decides.
    pub user: Option<String>,
    /// A name or an address; an alias of the client's configuration is one as well.
    pub host: String,
    /// The port; without one the client's configuration decides.
    pub port: Option<u16>,
}

/// Ports that engines have by custom: with TLS, and without.
const TLS_PORT: u16 = 2376;
const PLAIN_PORT: u16 = 2375;

impl Endpoint {
    /// The engine at `url`: `unix:///var/run/docker.sock`, `tcp://10.0.0.5:2376` or `ssh://root@mox`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { host: None, url: url.into(), tls: None, ssh_config: None }
    }

    /// The engine of a host of the manifest.
    pub fn of(name: &str, host: &Host) -> Self {
        Self { host: Some(name.into()), tls: host.tls.clone(), ..Self::new(&*host.docker) }
    }

    /// With client certificates.
    #[must_use]
    pub fn with_tls(mut self, tls: HostTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The key of the host in the manifest.
    #[must_use]
    pub fn named(mut self, host: &str) -> Self {
        self.host = Some(host.into());
        self
    }

    /// With another configuration for the SSH client than the user's own.
    #[must_use]
    pub fn with_ssh_config(mut self, file: impl Into<PathBuf>) -> Self {
        self.ssh_config = Some(file.into());
        self
    }

    /// The configuration for the SSH client, if it is not the user's own.
    pub fn ssh_config(&self) -> Option<&Path> {
        self.ssh_config.as_deref()
    }

    /// As written.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The client certificates.
    pub fn tls(&self) -> Option<&HostTls> {
        self.tls.as_ref()
    }

    /// Whether it is a socket of this machine.
    pub fn is_local(&self) -> bool {
        self.url.starts_with("unix://")
    }

    /// Takes the address apart.
    ///
    /// # Errors
    /// When it is none.
    pub fn address(&self) -> Result<Address, DockerError> {
        let bad = |why: &str| DockerError::BadEndpoint { endpoint: self.to_string(), why: why.into() };
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return Err(bad("it has no scheme"));
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Address::Unix(rest.into())),
            "unix" => Err(bad("the path of the socket is not absolute")),
            "tcp" => {
                let (host, port) = host_and_port(rest).map_err(bad)?;
                let port = port.unwrap_or(if self.tls.is_some() { TLS_PORT } else { PLAIN_PORT });
                Ok(Address::Tcp { host, port })
            }
            "ssh" => ssh_target(rest).map(Address::Ssh).map_err(bad),
            _ => Err(bad("the scheme is not known")),
        }
    }

    /// Whether whoever reaches it may do all things there: TCP without certificates.
    pub fn is_open(&self) -> bool {
        self.tls.is_none() && matches!(self.address(), Ok(Address::Tcp { .. }))
    }

    /// Whether it is open, and its address is one of the internet.
    pub fn is_open_to_all(&self) -> bool {
        let Ok(Address::Tcp { host, .. }) = self.address() else { return false };
        self.tls.is_none() && host.parse().is_ok_and(is_public)
    }
}

/// Whether the internet leads there. What is not known to be private counts as public.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // 100.64.0.0/10 is what tailnets and carriers use.
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared)
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), &'static str> {
    let text = text.trim_end_matches('/');
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
            (
                host,
                if rest.is_empty() {
                    None
                } else {
                    Some(rest.strip_prefix(':').ok_or("after `]` comes a port")?)
                },
            )
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || host.starts_with('-') || !host.chars().all(known) {
        return Err("it names no host");
    }
    let port =
        port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or("the port is no number"));
    Ok((host.to_owned(), port.transpose()?))
}

fn ssh_target(text: &str) -> Result<SshTarget, &'static str> {
    let (user, rest) = match text.split_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, text),
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // What begins with a dash would be an option of the SSH client.
    if user.is_some_and(|user| user.is_empty() || user.starts_with('-') || !user.chars().all(known)) {
        return Err("the user has characters that no user has; a password cannot be given");
    }
    if rest.trim_end_matches('/').contains('/') {
        return Err("a path after the host has no meaning here");
    }
    let (host, port) = host_and_port(rest)?;
    Ok(SshTarget { user: user.map(str::to_owned), host, port })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{} (host {host})", self.url),
            None => f.write_str(&self.url),
        }
    }
}

impl From<&str> for Endpoint {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<&String> for Endpoint {
    fn from(url: &String) -> Self {
        Self::new(url)
    }
}

impl From<String> for Endpoint {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl From<&Self> for Endpoint {
    fn from(endpoint: &Self) -> Self {
        endpoint.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(user: Option<&str>, host: &str, port: Option<u16>) -> Address {
        Address::Ssh(SshTarget { user: user.map(Into::into), host: host.into(), port })
    }

    #[test]
    fn every_way_to_write_an_engine_is_read() {
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
        for (url, expected) in [
            ("unix:///var/run/docker.sock", Address::Unix("/var/run/docker.sock".into())),
            ("tcp://10.0.0.5:2376", tcp("10.0.0.5", 2376)),
            ("tcp://mox.home/", tcp("mox.home", 2375)),
            ("tcp://[fd00::5]:99", tcp("fd00::5", 99)),
            ("ssh://mox", ssh(None, "mox", None)),
            ("ssh://root@mox.home:2222", ssh(Some("root"), "mox.home", Some(2222))),
            ("ssh://ops@[fd00::5]:22/", ssh(Some("ops"), "fd00::5", Some(22))),
        ] {
            assert_eq!(Endpoint::new(url).address().unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn what_could_be_an_option_or_a_command_is_no_host() {
        for url in [
            "ssh://-oProxyCommand=id",
            "ssh://-x@mox",
            "ssh://mox;id",
            "ssh://root:secret@mox",
            "ssh://mox/var/run/docker.sock",
            "ssh://",
            "tcp://mox:0",
            "tcp://mox:docker",
            "tcp://[fd00::5",
            "tcp://a b:1",
            "unix://docker.sock",
            "http://mox",
            "mox",
        ] {
            assert!(Endpoint::new(url).address().is_err(), "{url}");
        }
    }

    #[test]
    fn an_open_engine_on_the_internet_is_told_from_one_at_home() {
        for url in ["tcp://8.8.8.8:2375", "tcp://[2001:db8::1]:2375"] {
            assert!(Endpoint::new(url).is_open_to_all(), "{url}");
        }
        for url in [
            "tcp://192.168.1.5:2375",
            "tcp://127.0.0.1:2375",
            "tcp://100.101.102.103:2375",
            "tcp://[fd00::5]:2375",
        ] {
            assert!(Endpoint::new(url).is_open() && !Endpoint::new(url).is_open_to_all(), "{url}");
        }
        assert!(!Endpoint::new("ssh://mox").is_open());
    }
}
