//! Where sandboxes run, and what they are made of.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Declared, Lowering};
use crate::manifest::finding::Mark;
use crate::manifest::raw::{self, Text};
use crate::manifest::{
    Build, HelperKind, Host, HostPaths, HostTls, Image, Network, Opening, Sandbox, SandboxMode, text,
};
use crate::note::Span;

/// The host that needs no declaration.
const LOCAL: &str = "local";

impl Lowering<'_> {
    pub(super) fn hosts(&mut self) -> BTreeMap<String, Host> {
        let root = self.root;
        let mut hosts = BTreeMap::new();
        for (key, raw) in root.hosts.iter() {
            let host = self.host(key, raw);
            hosts.insert(key.value.clone(), host);
        }
        hosts.entry(LOCAL.into()).or_insert_with(|| Host {
            at: Span::default(),
            docker: "unix:///var/run/docker.sock".into(),
            tls: None,
            workspaces: None,
            helper: HelperKind::default(),
        });
        hosts
    }

    fn host(&mut self, key: &Text, raw: &raw::Host) -> Host {
        let docker = &raw.docker;
        let known = ["unix://", "tcp://", "ssh://"];
        if !known.iter().any(|scheme| docker.value.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
        {
            let message = format!("`{}` is not the address of a Docker engine", docker.value);
            let hint = "write `unix:///path`, `tcp://address:port` or `ssh://name`";
            self.findings.error("manifest.bad-url", docker.at, message, hint);
        }
        if let Some(tls) = raw.tls.as_ref().filter(|_| !docker.value.starts_with("tcp://")) {
            let message = "certificates are used with `tcp://` only";
            let hint = "leave `tls` away, or give the engine's `tcp://` address";
            self.findings.error("manifest.tls", tls.at, message, hint);
        }
        Host {
            at: self.span(key.at),
            docker: docker.value.clone(),
            tls: raw.tls.as_ref().map(|tls| HostTls {
                ca: self.path(&tls.ca),
                cert: self.path(&tls.cert),
                key: self.path(&tls.key),
            }),
            workspaces: raw
                .workspaces
                .as_ref()
                .map(|paths| HostPaths { here: self.path(&paths.here), there: self.there(&paths.there) }),
            helper: raw.helper.map(|word| word.0).unwrap_or_default(),
        }
    }

    /// A path on another machine: ours do not help to complete it.
    fn there(&mut self, text: &Text) -> std::path::PathBuf {
        if !text.value.starts_with('/') {
            let message = format!("`{}` is not an absolute path", text.value);
            let hint = "write the whole path as the Docker engine sees it";
            self.findings.error("manifest.bad-path", text.at, message, hint);
        }
        text.value.clone().into()
    }

    fn on_host(&mut self, named: Option<&Text>) -> String {
        named.and_then(|named| self.declared(named, Declared::Host)).unwrap_or_else(|| LOCAL.into())
    }

    pub(super) fn networks(&mut self) -> BTreeMap<String, Network> {
        let root = self.root;
        let mut networks = BTreeMap::new();
        for (key, raw) in root.networks.iter() {
            if !raw.is_each_fractals() {
                networks.insert(key.value.clone(), self.network(key, raw, None));
                continue;
            }
            if let Some(subnet) = &raw.subnet {
                let message = "several networks cannot have one subnet";
                let hint = "leave `subnet` away: each fractal's network gets one that follows from its name";
                self.findings.error("manifest.subnet-of-many", subnet.at, message, hint);
            }
            let on_it = root.fractals.iter().filter(|(_, raw)| root.network_key(raw) == Some(&key.value));
            for (fractal, _) in on_it {
                let name = own_network(&key.value, &fractal.value);
                if let Some(other) = root.networks.keys().find(|other| other.value == name) {
                    let message =
                        format!("the network of `{}` would be called `{name}`, as another is", fractal.value);
                    self.findings.clash(
                        "manifest.duplicate-network",
                        key.at,
                        other.at,
                        message,
                        "rename one of the two",
                    );
                }
                networks.insert(name, self.network(key, raw, Some(&fractal.value)));
            }
        }
        networks
    }

    fn network(&mut self, key: &Text, raw: &raw::Network, fractal: Option<&str>) -> Network {
        let name = fractal.map_or_else(|| key.value.clone(), |fractal| own_network(&key.value, fractal));
        Network {
            at: self.span(key.at),
            key: key.value.clone(),
            fractal: fractal.map(String::from),
            host: self.on_host(raw.host.as_ref()),
            bridge: text::bridge(&name),
            subnet: raw
                .subnet
                .as_ref()
                .map_or_else(|| text::subnet_for(&name), |subnet| subnet.value.clone()),
            internet: raw.internet.unwrap_or(true),
            allow: raw.allow.iter().filter_map(|text| self.opening(text)).collect(),
            dns: raw.dns.iter().filter_map(|text| self.address(text)).collect(),
        }
    }

    /// The name of the network that the containers of a fractal are on.
    pub(super) fn network_name(&self, fractal: &Text, of: &raw::Fractal) -> Option<String> {
        let key = self.root.network_key(of)?;
        let raw = self.root.networks.iter().find(|(declared, _)| declared.value == key)?.1;
        Some(if raw.is_each_fractals() { own_network(key, &fractal.value) } else { key.into() })
    }

    fn opening(&mut self, text: &Text) -> Option<Opening> {
        let opening = text::opening(&text.value, self.span(text.at));
        if opening.is_none() {
            let message = format!("`{}` is not an opening", text.value);
            let hint = "write address, port and protocol: `192.168.1.40:22/tcp`";
            self.findings.error("manifest.bad-opening", text.at, message, hint);
        }
        opening
    }

    pub(super) fn address(&mut self, text: &Text) -> Option<std::net::IpAddr> {
        let address = text::address(&text.value);
        if address.is_none() {
            let message = format!("`{}` is not an IP address", text.value);
            let hint = "write an address such as `127.0.0.1`";
            self.findings.error("manifest.bad-address", text.at, message, hint);
        }
        address
    }

    pub(super) fn sandboxes(&mut self) -> BTreeMap<String, Sandbox> {
        let root = self.root;
        let mut sandboxes = BTreeMap::new();
        for (key, raw) in root.sandboxes.iter() {
            let sandbox = self.sandbox(key, raw);
            sandboxes.insert(key.value.clone(), sandbox);
        }
        sandboxes
    }

    fn sandbox(&mut self, key: &Text, raw: &raw::Sandbox) -> Sandbox {
        let host = self.on_host(raw.host.as_ref());
        let network = raw.network.as_ref().and_then(|named| self.network_of(named, &host));
        if let Some(writable) = raw.read_only_root.as_ref().filter(|root| !root.value)
            && raw.network.is_none()
            && !self.findings.damaged
        {
            let message =
                format!("the sandbox `{}` has a writable root, and no network of its own", key.value);
            let hint = "name one of `networks`, so that its isolation is under control";
            self.findings.error("manifest.writable-without-network", writable.at, message, hint);
        }
        if let Some(user) = raw.user.as_ref().filter(|user| text::owner(&user.value).is_none()) {
            self.bad_owner(user);
        }
        if let Some(memory) = raw.memory.as_ref().filter(|memory| !text::is_memory(&memory.value)) {
            let message = format!("`{}` is not an amount of memory", memory.value);
            let hint = "write a whole number with `k`, `m` or `g`: `8g`";
            self.findings.error("manifest.bad-memory", memory.at, message, hint);
        }
        if let Some(cpus) = raw.cpus.as_ref().filter(|cpus| cpus.value <= 0.0) {
            let hint = "write how many CPUs may be used: `4`, `0.5`";
            self.findings.error("manifest.bad-cpus", cpus.at, "there have to be some CPUs", hint);
        }
        Sandbox {
            at: self.span(key.at),
            image: raw.image.as_ref().map(|image| self.image(image)),
            user: raw.user.as_ref().map(|user| user.value.clone()),
            // OpenClaw's own default is none: an agent with a sandbox would run its commands on the host.
            mode: Some(raw.mode.map_or(SandboxMode::All, |word| word.0)),
            workspace_access: raw.workspace_access.map(|word| word.0),
            read_only_root: raw.read_only_root.as_ref().map(|root| root.value),
            memory: raw.memory.as_ref().map(|memory| memory.value.clone()),
            cpus: raw.cpus.as_ref().map(|cpus| cpus.value),
            host,
            network,
        }
    }

    /// A network of the same host: a container cannot be on another host's.
    fn network_of(&mut self, named: &Text, host: &str) -> Option<String> {
        let name = self.declared(named, Declared::Network)?;
        let root = self.root;
        let declared = root.networks.iter().find(|(key, _)| key.value == name);
        if let Some((key, network)) = declared {
            let of = network.host.as_ref().map_or(LOCAL, |text| &text.value);
            if of != host {
                let message = format!("the network `{name}` is on host `{of}`, and this sandbox on `{host}`");
                let hint = "give both the same `host`";
                self.findings.clash("manifest.other-host", named.at, key.at, message, hint);
            }
        }
        Some(name)
    }

    pub(super) fn bad_owner(&mut self, text: &Text) {
        let message = format!("`{}` is not a numeric user and group", text.value);
        let hint = "write both as numbers, in quotes: `\"996:1100\"`";
        self.findings.error("manifest.bad-owner", text.at, message, hint);
    }

    fn image(&mut self, raw: &raw::Image) -> Image {
        let tag = &raw.tag;
        let fine = !tag.value.is_empty()
            && !tag.value.starts_with([':', '-', '/'])
            && tag.value.bytes().all(|c| {
                matches!(c, b'.' | b'_' | b'-' | b'/' | b':' | b'@')
                    || c.is_ascii_lowercase()
                    || c.is_ascii_digit()
            });
        // Only the repository has to be in small letters.
        let tagged = tag.value.rsplit_once(':').is_some_and(|(name, tag)| {
            !name.is_empty() && name.to_ascii_lowercase() == name && !tag.is_empty() && !tag.contains(' ')
        });
        if !fine && !tagged {
            let message = format!("`{}` is not the name of an image", tag.value);
            let hint = "write a name in small letters and a tag: `agent-sandbox:latest`";
            self.findings.error("manifest.bad-image", tag.at, message, hint);
        }
        Image {
            at: self.span(raw.at),
            tag: tag.value.clone(),
            build: raw.build.as_ref().and_then(|build| self.build(build)),
        }
    }

    fn build(&mut self, raw: &raw::Build) -> Option<Build> {
        let context = self.path(&raw.context);
        let args: BTreeMap<String, String> =
            raw.args.iter().map(|(key, word)| (key.value.clone(), word.0.value.clone())).collect();
        match self.files.hash_context(&context) {
            Ok(hash) => {
                self.hashes.insert(self.seen_from_base(&context), hash.clone());
                Some(Build { content_hash: content_hash(&hash, &args), context, args })
            }
            Err(error) => {
                let message = format!("the build context `{}` {}", context.display(), error.text);
                self.findings.error("manifest.file", raw.context.at, message, error.hint);
                None
            }
        }
    }

    /// The place of a fractal's sandbox, for messages.
    pub(super) fn at_of(named: Option<&Text>, otherwise: Mark) -> Mark {
        named.map_or(otherwise, |text| text.at)
    }
}

/// How the network is called that one fractal has for itself.
fn own_network(key: &str, fractal: &str) -> String {
    format!("{key}-{fractal}")
}

/// The hash of an image: of its context (see [`crate::files::Files::hash_context`]) together with what it is built
/// with. Hex.
pub fn content_hash(context: &str, args: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    hash.update(context);
    for (name, value) in args {
        hash.update([0]);
        hash.update(name);
        hash.update([1]);
        hash.update(value);
    }
    crate::files::hex(&hash.finalize())
}
