//! Looks at an engine: one list of each kind, and a closer look at what concerns us.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use bollard::models::{ContainerInspectResponse, ContainerSummary, ImageSummary, Network};
use fraktalia_engine::{Ask, ObserveError};
use fraktalia_model::{BridgeName, ImageId, Note, ResourceId, SystemId};
use fraktalia_plan::{Observed, Owner, Seen};
use futures_util::future::try_join_all;

use crate::client::{BRIDGE_NAME, Client};
use crate::error::DockerError;
use crate::helper::{self, HelperState};
use crate::labels::{self, Labels};
use crate::spec::{SandboxSpec, Spec};
use crate::state::{Attached, ContainerState, ImageState, MountState, NetworkState, SandboxState, State};

/// Networks that every engine has.
pub const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// Looks at all that is wanted, on record, or labelled as ours.
pub async fn observe(
    client: &Client,
    host: &str,
    ask: &Ask<'_, Spec>,
) -> Result<Observed<State>, ObserveError> {
    let (images, networks, containers) =
        futures_util::try_join!(client.images(), client.networks(), client.containers())?;
    let mut look = Look {
        system: SystemId::docker(host),
        client,
        realm: ask.realm,
        specs: specs(ask),
        wanted: ask.wanted.iter().map(|resource| &resource.id).collect(),
        observed: Observed { how: "three lists".into(), ..Observed::default() },
    };
    look.images(&images, &containers);
    look.networks(networks, &containers);
    look.sandboxes(&containers).await?;
    look.helper(&containers).await?;
    Ok(look.observed)
}

/// What is wanted, and of what left the manifest what was last asked for.
fn specs(ask: &Ask<'_, Spec>) -> BTreeMap<ResourceId, Spec> {
    let recorded = ask.owned.iter().filter_map(|(id, record)| Some((id.clone(), record.spec.read()?)));
    let wanted = ask.wanted.iter().map(|resource| (resource.id.clone(), resource.spec.clone()));
    recorded.chain(wanted).collect()
}

struct Look<'a> {
    system: SystemId,
    client: &'a Client,
    realm: &'a str,
    specs: BTreeMap<ResourceId, Spec>,
    wanted: std::collections::BTreeSet<&'a ResourceId>,
    observed: Observed<State>,
}

impl Look<'_> {
    fn found(&mut self, id: ResourceId, state: State, owner: Owner) {
        self.observed.found.insert(id, Seen { state, owner });
    }

    /// The resource that a label of ours names, if it is one of this engine.
    fn labelled(&self, labels: &Labels, kind: &str) -> Option<ResourceId> {
        if labels.get(labels::REALM).map(String::as_str) != Some(self.realm) {
            return None;
        }
        let id: ResourceId = labels.get(labels::RESOURCE)?.parse().ok()?;
        (id.system == self.system && id.kind == kind).then_some(id)
    }

    fn images(&mut self, images: &[ImageSummary], containers: &[ContainerSummary]) {
        let mut tags: HashMap<&str, &ImageSummary> = HashMap::new();
        for image in images {
            tags.extend(image.repo_tags.iter().map(|tag| (tag.as_str(), image)));
        }
        let mut asked: BTreeMap<ResourceId, String> = BTreeMap::new();
        for (tag, image) in &tags {
            if let Some(id) = self.labelled(&image.labels, "image") {
                asked.insert(id, (*tag).to_owned());
            }
        }
        asked.extend(self.specs.iter().filter_map(|(id, spec)| match spec {
            Spec::Image(image) => Some((id.clone(), image.tag.clone())),
            _ => None,
        }));
        for (id, tag) in asked {
            match tags.get(tag.as_str()) {
                Some(image) => self.image(id, tag, image, containers),
                None => self.no_image(id, tag),
            }
        }
    }

    fn image(&mut self, id: ResourceId, tag: String, image: &ImageSummary, containers: &[ContainerSummary]) {
        let owner = labels::owner(&image.labels, self.realm, "an image");
        let ours = owner == Owner::Ours;
        let state = ImageState {
            content_hash: image.labels.get(labels::SPEC).filter(|_| ours).cloned(),
            id: Some(image.id.clone()),
            tag,
        };
        self.observed.outputs.set(&id, &ImageId(image.id.clone()));
        let users: Vec<String> = containers
            .iter()
            .filter(|one| one.image_id.as_deref() == Some(&image.id) && !is_sandbox(one))
            .map(name)
            .collect();
        let owner = if self.wanted.contains(&id) { owner } else { self.unless_used(&id, owner, &users) };
        self.found(id, State::Image(state), owner);
    }

    /// An image that we do not build has to be there: its absence is a finding, not something to make good.
    fn no_image(&mut self, id: ResourceId, tag: String) {
        let built = matches!(self.specs.get(&id), Some(Spec::Image(image)) if image.build.is_some());
        if !built && self.wanted.contains(&id) {
            let state = ImageState { tag, id: None, content_hash: None };
            self.found(id, State::Image(state), Owner::Unmarked);
        }
    }

    /// What left the manifest and is still in use stays until it is not.
    fn unless_used(&mut self, id: &ResourceId, owner: Owner, users: &[String]) -> Owner {
        if users.is_empty() {
            return owner;
        }
        let text = format!("{id} left the manifest, but is in use by {}", users.join(", "));
        let note = Note::warning("docker.in-use", text).about(id);
        self.observed.notes.push(note.hint("it is removed by the first apply after nobody uses it any more"));
        Owner::Foreign("still in use".into())
    }

    /// The list says all of a network but what is on it, and that the containers say.
    fn networks(&mut self, networks: Vec<Network>, containers: &[ContainerSummary]) {
        let mut attached = attached(containers);
        for network in networks {
            let name = network.name.as_deref().unwrap_or_default();
            let labelled = network.labels.as_ref().and_then(|labels| self.labelled(labels, "network"));
            if let Some(id) = labelled.or_else(|| self.named(name)) {
                let attached = attached.remove(name).unwrap_or_default();
                self.network(id, network, attached);
            } else if !BUILT_IN.contains(&name) {
                *self.observed.strangers.entry("Docker networks".into()).or_default() += 1;
            }
        }
    }

    fn named(&self, name: &str) -> Option<ResourceId> {
        let id = ResourceId::new(self.system.clone(), "network", name);
        self.specs.contains_key(&id).then_some(id)
    }

    fn network(&mut self, id: ResourceId, network: Network, mut attached: Vec<Attached>) {
        attached.sort();
        let labels = network.labels.unwrap_or_default();
        let owner = labels::owner(&labels, self.realm, "a network");
        let name = network.name.unwrap_or_default();
        let bridge = network.options.unwrap_or_default().remove(BRIDGE_NAME);
        let pools = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let state = NetworkState {
            id: network.id.unwrap_or_default(),
            driver: network.driver.unwrap_or_default(),
            subnets: pools.into_iter().filter_map(|pool| pool.subnet).collect(),
            internal: network.internal.unwrap_or_default(),
            attached,
            bridge,
            name,
        };
        if let Some(bridge) = &state.bridge {
            self.observed.outputs.set(&id, &BridgeName(bridge.clone()));
        }
        let users: Vec<String> =
            state.attached.iter().filter(|one| !one.sandbox).map(|one| one.name.clone()).collect();
        let owner = if self.wanted.contains(&id) { owner } else { self.unless_used(&id, owner, &users) };
        self.found(id, State::Network(state), owner);
    }

    async fn sandboxes(&mut self, containers: &[ContainerSummary]) -> Result<(), DockerError> {
        let mut agents: BTreeMap<&str, Vec<&ContainerSummary>> = BTreeMap::new();
        for container in containers {
            if let Some(agent) = container.labels.as_ref().and_then(labels::agent) {
                agents.entry(agent).or_default().push(container);
            }
        }
        let specs: Vec<(ResourceId, SandboxSpec)> = self
            .specs
            .iter()
            .filter_map(|(id, spec)| match spec {
                Spec::Sandbox(sandbox) => Some((id.clone(), sandbox.clone())),
                _ => None,
            })
            .collect();
        for (id, spec) in specs {
            let theirs = agents.remove(spec.agent.as_str()).unwrap_or_default();
            let containers = self.closer(&theirs).await?;
            // Wanted and none there is as wanted: OpenClaw makes them when it needs them.
            if self.wanted.contains(&id) || !containers.is_empty() {
                let state = SandboxState { agent: spec.agent, containers };
                self.found(id, State::Sandbox(state), Owner::Ours);
            }
        }
        let strangers: usize = agents.values().map(Vec::len).sum();
        if strangers > 0 {
            self.observed.strangers.insert("sandbox containers".into(), strangers);
        }
        Ok(())
    }

    /// The helper, by its label or by its name.
    async fn helper(&mut self, containers: &[ContainerSummary]) -> Result<(), DockerError> {
        let id = ResourceId::new(self.system.clone(), "helper", "helper");
        let wanted = self.specs.get(&id).and_then(|spec| match spec {
            Spec::Helper(helper) => Some(helper.name()),
            _ => None,
        });
        if self.wanted.contains(&id)
            && let Some((text, hint)) = helper::foreign(self.client.arch())
        {
            let text = format!("the engine at {} {text}", self.client.endpoint());
            self.observed.notes.push(Note::error("docker.other-machine", text).about(&id).hint(hint));
        }
        let is_it = |one: &&ContainerSummary| {
            let labels = one.labels.clone().unwrap_or_default();
            self.labelled(&labels, "helper").as_ref() == Some(&id) || wanted.as_ref() == Some(&name(one))
        };
        let Some(there) = containers.iter().find(is_it).and_then(|one| one.id.as_deref()) else {
            return Ok(());
        };
        let Some(there) = self.client.container(there).await? else { return Ok(()) };
        let labels = there.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
        let owner = labels::owner(&labels, self.realm, "a container");
        let state = helper_state(there, labels.get(labels::SPEC).filter(|_| owner == Owner::Ours).cloned());
        self.found(id, State::Helper(state), owner);
        Ok(())
    }

    async fn closer(&self, containers: &[&ContainerSummary]) -> Result<Vec<ContainerState>, DockerError> {
        let client = self.client;
        let looks = containers.iter().filter_map(|one| one.id.as_deref()).map(|id| client.container(id));
        let found = try_join_all(looks).await?;
        let mut states: Vec<_> = found.into_iter().flatten().map(container).collect();
        states.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(states)
    }
}

fn helper_state(container: ContainerInspectResponse, version: Option<String>) -> HelperState {
    let binds = container.host_config.as_ref().and_then(|host| host.binds.clone()).unwrap_or_default();
    let socket =
        binds.iter().filter_map(|bind| bind.split(':').next()).find(|source| source.starts_with('/'));
    HelperState {
        socket: socket.map(PathBuf::from).unwrap_or_default(),
        settings: helper::settings::found(&container),
        running: helper::run::is_running(&container),
        id: container.id.unwrap_or_default(),
        name: container.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        version,
    }
}

fn is_sandbox(container: &ContainerSummary) -> bool {
    container.labels.as_ref().and_then(|labels| labels.get(labels::SANDBOX)).is_some_and(|one| one == "1")
}

fn name(container: &ContainerSummary) -> String {
    let name =
        container.names.as_ref().and_then(|names| names.first()).map(|name| name.trim_start_matches('/'));
    name.or(container.id.as_deref()).unwrap_or_default().to_owned()
}

/// Who is on each network, stopped containers included: they hold on to it as well once they start again.
fn attached(containers: &[ContainerSummary]) -> HashMap<&str, Vec<Attached>> {
    let mut attached: HashMap<&str, Vec<Attached>> = HashMap::new();
    for one in containers {
        let networks = one.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        for network in networks.into_iter().flat_map(HashMap::keys) {
            attached.entry(network).or_default().push(Attached {
                name: name(one),
                id: one.id.clone().unwrap_or_default(),
                sandbox: is_sandbox(one),
            });
        }
    }
    attached
}

fn container(container: ContainerInspectResponse) -> ContainerState {
    let host = container.host_config.unwrap_or_default();
    let mounts = container.mounts.unwrap_or_default();
    ContainerState {
        id: container.id.unwrap_or_default(),
        name: container.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: container.image.unwrap_or_default(),
        network: host.network_mode.unwrap_or_default(),
        user: container.config.and_then(|config| config.user).unwrap_or_default(),
        memory: host.memory.unwrap_or_default(),
        nano_cpus: host.nano_cpus.unwrap_or_default(),
        read_only_root: host.readonly_rootfs.unwrap_or_default(),
        mounts: mounts
            .into_iter()
            .filter_map(|mount| {
                Some(MountState {
                    source: PathBuf::from(mount.source?),
                    target: PathBuf::from(mount.destination?),
                    writable: mount.rw.unwrap_or_default(),
                })
            })
            .collect(),
    }
}
