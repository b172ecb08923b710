//! How a Docker engine is: whether it answers, has what sandboxes need, and keeps them in.

mod containers;
mod images;
mod ports;

use std::net::IpAddr;

use fraktalia_engine::health::{Check, Checklist, Cure, chain, word};
use fraktalia_model::Manifest;
use fraktalia_model::manifest::{Network, Protocol, Sandbox};

use crate::client::{Address, Client, Endpoint};
use crate::error::{DockerError, bounded};
use crate::system::DockerHost;

/// The release that all tests run against.
const TESTED: &str = "20.10";

/// What is known of one engine.
struct Look<'a> {
    list: &'a Checklist,
    client: &'a Client,
    manifest: &'a Manifest,
    host: &'a str,
}

impl DockerHost {
    /// Notes down how the engine is, as far as the manifest asks something of it.
    pub async fn examine(&self, list: &Checklist, manifest: &Manifest) {
        let host = self.host();
        if !is_asked(manifest, host) {
            return list.note(list.unknown(
                "docker.reach",
                "reachable",
                "nothing in the manifest runs on it",
            ));
        }
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => return list.note(failed(list, "docker.reach", "reachable", &error)),
        };
        list.ok("docker.reach", "reachable", client.endpoint().url());
        let look = Look { list, client, manifest, host };
        look.version().await;
        look.open_engine();
        images::examine(&look).await;
        containers::examine(&look, self.version_of_helper()).await;
        if client.endpoint().is_local() {
            ports::examine(list);
        }
    }
}

/// Whether the manifest has anything on an engine.
fn is_asked(manifest: &Manifest, host: &str) -> bool {
    manifest.networks.values().any(|network| network.host == host)
        || manifest.sandboxes.values().any(|sandbox| sandbox.host == host)
}

/// A question that brought nothing.
fn failed(list: &Checklist, code: &str, title: &str, error: &DockerError) -> Check {
    list.failure(code, title, chain(error)).hint(error.hint())
}

/// `docker`, for this engine.
fn program(endpoint: &Endpoint) -> String {
    match endpoint.address() {
        Ok(Address::Unix(path)) if path.as_os_str() == "/var/run/docker.sock" => "docker".into(),
        _ => format!("docker -H {}", word(endpoint.url())),
    }
}

impl Look<'_> {
    fn sandboxes(&self) -> impl Iterator<Item = (&String, &Sandbox)> {
        self.manifest.sandboxes.iter().filter(|(_, sandbox)| sandbox.host == self.host)
    }

    /// `docker ...`, to be pasted.
    fn run(&self, words: &str) -> Cure {
        Cure::run(format!("{} {words}", program(self.client.endpoint())))
    }

    async fn version(&self) {
        let (code, title) = ("docker.version", "version");
        let found = match self.client.docker().version().await {
            Ok(found) => found,
            Err(error) => {
                return self.list.note(self.list.unknown(code, title, bounded(&error.to_string(), 200)));
            }
        };
        let (version, api) = (found.version.unwrap_or_default(), found.api_version.unwrap_or_default());
        let version = bounded(&version, 40);
        let tested = if version.starts_with(TESTED) {
            String::new()
        } else {
            format!("; all is tested with {TESTED}")
        };
        let text = format!("Docker {version}, API {}, {}{tested}", bounded(&api, 20), self.client.arch());
        self.list.ok(code, title, text);
    }

    /// An engine that asks nobody who they are must not be reached from a sandbox.
    fn open_engine(&self) {
        if !self.client.endpoint().is_open() {
            return;
        }
        let Ok(Address::Tcp { host, port }) = self.client.endpoint().address() else { return };
        let address: Option<IpAddr> = host.parse().ok();
        let opens = |(_, network): &(&String, &Network)| {
            network.allow.iter().any(|opening| {
                opening.protocol == Protocol::Tcp && opening.port == port && Some(opening.address) == address
            })
        };
        for (name, _) in self.manifest.networks.iter().filter(opens) {
            let text = format!(
                "the network `{name}` opens {host}:{port}, where the engine asks nobody who they are: its agents are root there"
            );
            let cure = Cure::edit(format!("take \"{host}:{port}/tcp\" out of its `allow`"));
            self.list.note(self.list.failure("docker.open", "open engine", text).cure(cure));
        }
    }
}
