//! What is done: one step, many edits. Each says what is to be, so doing it twice is the same as doing it once.

use std::net::SocketAddr;

use fraktalia_model::ResourceId;
use fraktalia_plan::{Impact, StepDraft, Verb, Work};
use fraktalia_plane::config::{Config, Forward, NetworkRules};
use serde::{Deserialize, Serialize};

use crate::spec::{Spec, listen};
use crate::state::State;
use crate::system::Plane;

/// One change of what the helper holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// In no particular order: no two are about the same thing.
    pub edits: Vec<Edit>,
}

/// One thing as it is to be; absent when it is to go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// The isolation of a network.
    Isolation {
        /// The network's name at the engine.
        network: String,
        /// Its rules.
        rules: Option<NetworkRules>,
    },
    /// A forwarded port.
    Forward {
        /// Where it is reached.
        listen: SocketAddr,
        /// Where it leads.
        to: Option<Forward>,
    },
}

impl Edit {
    /// The same thing as `config` has it.
    #[must_use]
    pub fn of(&self, config: &Config) -> Self {
        match self {
            Self::Isolation { network, .. } => {
                Self::Isolation { network: network.clone(), rules: config.networks.get(network).cloned() }
            }
            Self::Forward { listen: address, .. } => {
                Self::Forward { listen: *address, to: config.forwards.get(&listen(address)).cloned() }
            }
        }
    }

    /// Whether it says that a thing is to go.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Isolation { rules: None, .. } | Self::Forward { to: None, .. })
    }

    /// Does it.
    pub fn apply(&self, config: &mut Config) {
        match self {
            Self::Isolation { network, rules: Some(rules) } => {
                config.networks.insert(network.clone(), rules.clone());
            }
            Self::Isolation { network, rules: None } => {
                config.networks.remove(network);
            }
            Self::Forward { listen: address, to: Some(to) } => {
                config.forwards.insert(listen(address), to.clone());
            }
            Self::Forward { listen: address, to: None } => {
                config.forwards.remove(&listen(address));
            }
        }
    }
}

/// One step, whatever there is to do: the helper takes over all of it at once.
pub fn steps(work: &[Work<'_, Plane>], host: &str) -> Vec<StepDraft<Op>> {
    let mut realises: Vec<ResourceId> = Vec::new();
    let mut edits = Vec::new();
    let mut ends = Vec::new();
    for item in work {
        let edit = match item.verb {
            Verb::Create | Verb::Update | Verb::Replace => item.want.map(|want| put(&want.spec)),
            Verb::Delete => item.have.map(|have| drop(item.id, &have.state)),
            Verb::Adopt | Verb::Forget | Verb::Keep => None,
        };
        if let (Some(State::Forward { listen, .. }), Verb::Update | Verb::Delete) =
            (item.have.map(|have| &have.state), item.verb)
        {
            ends.push(listen.port().to_string());
        }
        realises.extend(edit.is_some().then(|| item.id.clone()));
        edits.extend(edit);
    }
    if edits.is_empty() {
        return Vec::new();
    }
    let impact = if ends.is_empty() {
        Impact::Quiet
    } else {
        Impact::Disruptive(format!("connections through port {} end", ends.join(", ")))
    };
    let title = format!("hold {} on {host}", counted(&realises));
    vec![StepDraft { realises, op: Op { edits }, impact, title }]
}

fn put(spec: &Spec) -> Edit {
    match spec {
        Spec::Isolation { network, rules } => {
            Edit::Isolation { network: network.clone(), rules: Some(rules.clone()) }
        }
        Spec::Forward { listen, to } => Edit::Forward { listen: *listen, to: Some(to.clone()) },
    }
}

fn drop(id: &ResourceId, have: &State) -> Edit {
    match have {
        State::Isolation { .. } => Edit::Isolation { network: id.name.to_string(), rules: None },
        State::Forward { listen, .. } => Edit::Forward { listen: *listen, to: None },
    }
}

/// `2 networks, 1 forward`
fn counted(ids: &[ResourceId]) -> String {
    let count = |kind: &str, word: &str| match ids.iter().filter(|id| id.kind == kind).count() {
        0 => None,
        1 => Some(format!("1 {word}")),
        many => Some(format!("{many} {word}s")),
    };
    let parts = [count("isolation", "network"), count("forward", "forward")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
