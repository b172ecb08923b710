//! What can be done to an engine.

use std::collections::BTreeMap;

use fraktalia_model::ResourceId;
use fraktalia_model::manifest::OnRemove;
use fraktalia_plan::{Impact, StepDraft, Verb, Work, fingerprint};
use serde::{Deserialize, Serialize};

use crate::diff::is_outdated;
use crate::helper::{self, HelperSpec, HelperState};
use crate::spec::{BuildSpec, ImageSpec, NetworkSpec, SandboxSpec, Spec};
use crate::state::{Attached, ContainerState, ImageState, NetworkState, SandboxState, State};
use crate::system::DockerHost;

/// One effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Builds an image and gives it its tag.
    Build {
        /// `name:tag`
        tag: String,
        /// From what.
        build: BuildSpec,
        /// The images that it is; several sandboxes may share one.
        images: Vec<ResourceId>,
    },
    /// Takes the tag of an image away, and with it the image.
    RemoveImage {
        /// `name:tag`
        tag: String,
        /// The image that has to have it.
        image: String,
    },
    /// Makes a network, in place of the one of that name where there is one.
    MakeNetwork {
        /// The network.
        network: NetworkSpec,
        /// Its resource.
        resource: ResourceId,
        /// The id of the network that goes first.
        replaces: Option<String>,
        /// Sandboxes of OpenClaw that are on it and go as well.
        evicts: Vec<Attached>,
    },
    /// Removes a network.
    RemoveNetwork {
        /// Its name.
        name: String,
        /// Its id.
        network: String,
    },
    /// Brings a helper, in place of the one that is there.
    StartHelper {
        /// The helper.
        helper: HelperSpec,
        /// Its resource.
        resource: ResourceId,
        /// The id of the container that goes first.
        replaces: Option<String>,
    },
    /// Takes a helper away, with what it kept.
    RemoveHelper {
        /// As it was made.
        helper: HelperSpec,
        /// Its resource.
        resource: ResourceId,
        /// The id of its container.
        container: String,
    },
    /// Removes containers; OpenClaw makes new ones when it needs them.
    Recycle {
        /// The agent they were made for.
        agent: String,
        /// Which.
        containers: Vec<ContainerRef>,
    },
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRef {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl From<&ContainerState> for ContainerRef {
    fn from(container: &ContainerState) -> Self {
        Self { id: container.id.clone(), name: container.name.clone() }
    }
}

/// The fingerprint of a network's definition, as it goes into its label.
pub fn network_fingerprint(network: &NetworkSpec) -> String {
    fingerprint(network)
}

/// The steps for all work on one engine.
pub fn steps(work: &[Work<'_, DockerHost>]) -> Vec<StepDraft<Op>> {
    let mut builds: BTreeMap<String, StepDraft<Op>> = BTreeMap::new();
    let mut steps = Vec::new();
    for item in work {
        let have = item.have.map(|have| &have.state);
        match (item.verb, item.want.map(|want| &want.spec), have) {
            (Verb::Create | Verb::Update | Verb::Replace, Some(Spec::Image(image)), _) => {
                build(item.id, image, &mut builds);
            }
            (Verb::Create | Verb::Update | Verb::Replace, Some(Spec::Network(network)), have) => {
                steps.push(make_network(item.id, network, have));
            }
            (Verb::Update | Verb::Replace, Some(Spec::Sandbox(want)), Some(State::Sandbox(have))) => {
                steps.push(recycle_outdated(item.id, want, have));
            }
            (Verb::Create | Verb::Update | Verb::Replace, Some(Spec::Helper(helper)), have) => {
                steps.push(start_helper(item.id, helper, have));
            }
            (Verb::Delete, _, Some(State::Helper(helper))) => steps.push(remove_helper(item.id, helper)),
            (Verb::Delete, _, Some(State::Image(image))) => steps.push(remove_image(item.id, image)),
            (Verb::Delete, _, Some(State::Network(network))) => steps.push(remove_network(item.id, network)),
            (Verb::Delete, _, Some(State::Sandbox(sandbox))) if item.on_remove != OnRemove::Keep => {
                steps.push(recycle(item.id, &sandbox.agent, &sandbox.containers));
            }
            _ => {}
        }
    }
    builds.into_values().chain(steps).collect()
}

/// Images with one tag are one build.
fn build(id: &ResourceId, image: &ImageSpec, builds: &mut BTreeMap<String, StepDraft<Op>>) {
    let Some(build) = &image.build else { return };
    let step = builds.entry(image.tag.clone()).or_insert_with(|| StepDraft {
        realises: Vec::new(),
        op: Op::Build { tag: image.tag.clone(), build: build.clone(), images: Vec::new() },
        impact: Impact::Quiet,
        title: format!("build image {}", image.tag),
    });
    step.realises.push(id.clone());
    if let Op::Build { images, .. } = &mut step.op {
        images.push(id.clone());
    }
}

fn make_network(id: &ResourceId, network: &NetworkSpec, have: Option<&State>) -> StepDraft<Op> {
    let old = match have {
        Some(State::Network(old)) => Some(old),
        _ => None,
    };
    let evicts = old.map(|old| old.attached.clone()).unwrap_or_default();
    let impact = match old {
        None => Impact::Quiet,
        Some(_) if evicts.is_empty() => Impact::Disruptive(format!("{} is gone for a moment", network.name)),
        Some(_) => Impact::Disruptive(format!("ends what runs on {}: {}", network.name, names(&evicts))),
    };
    let verb = if old.is_some() { "make anew" } else { "make" };
    StepDraft {
        realises: vec![id.clone()],
        op: Op::MakeNetwork {
            network: network.clone(),
            resource: id.clone(),
            replaces: old.map(|old| old.id.clone()),
            evicts,
        },
        impact,
        title: format!("{verb} network {}", network.name),
    }
}

fn names(attached: &[Attached]) -> String {
    attached.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn remove_network(id: &ResourceId, network: &NetworkState) -> StepDraft<Op> {
    StepDraft {
        realises: vec![id.clone()],
        op: Op::RemoveNetwork { name: network.name.clone(), network: network.id.clone() },
        impact: Impact::Quiet,
        title: format!("remove network {}", network.name),
    }
}

fn remove_image(id: &ResourceId, image: &ImageState) -> StepDraft<Op> {
    StepDraft {
        realises: vec![id.clone()],
        op: Op::RemoveImage { tag: image.tag.clone(), image: image.id.clone().unwrap_or_default() },
        impact: Impact::Irreversible(format!("deletes the image {}; it can be built again", image.tag)),
        title: format!("remove image {}", image.tag),
    }
}

fn start_helper(id: &ResourceId, helper: &HelperSpec, have: Option<&State>) -> StepDraft<Op> {
    let old = match have {
        Some(State::Helper(old)) => Some(old),
        _ => None,
    };
    let impact = match old {
        Some(old) if old.running => {
            Impact::Disruptive("forwarded connections end, and are taken again a moment later".into())
        }
        _ => Impact::Quiet,
    };
    let verb = if old.is_some() { "make anew" } else { "start" };
    StepDraft {
        realises: vec![id.clone()],
        op: Op::StartHelper {
            helper: helper.clone(),
            resource: id.clone(),
            replaces: old.map(|old| old.id.clone()),
        },
        impact,
        title: format!("{verb} {}", helper.name()),
    }
}

fn remove_helper(id: &ResourceId, helper: &HelperState) -> StepDraft<Op> {
    let realm = helper.name.strip_prefix(&helper::name("")).unwrap_or(&helper.name);
    let as_made = HelperSpec {
        realm: realm.into(),
        version: helper.version.clone().unwrap_or_default(),
        socket: helper.socket.clone(),
    };
    StepDraft {
        realises: vec![id.clone()],
        op: Op::RemoveHelper { helper: as_made, resource: id.clone(), container: helper.id.clone() },
        impact: Impact::Quiet,
        title: format!("remove {}", helper.name),
    }
}

fn recycle_outdated(id: &ResourceId, want: &SandboxSpec, have: &SandboxState) -> StepDraft<Op> {
    let outdated: Vec<ContainerState> =
        have.containers.iter().filter(|container| is_outdated(want, container)).cloned().collect();
    recycle(id, &have.agent, &outdated)
}

fn recycle(id: &ResourceId, agent: &str, containers: &[ContainerState]) -> StepDraft<Op> {
    let count = match containers.len() {
        1 => "1 container".into(),
        many => format!("{many} containers"),
    };
    let containers: Vec<ContainerRef> = containers.iter().map(ContainerRef::from).collect();
    StepDraft {
        realises: vec![id.clone()],
        op: Op::Recycle { agent: agent.into(), containers },
        impact: Impact::Disruptive(format!("ends what {agent} runs at the moment, in {count}")),
        title: format!("remove {count} of {agent}"),
    }
}
