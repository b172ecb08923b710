//! What is asked of `openclaw.json`, and what is seen in it.

use fraktalia_model::{Outputs, ResourceId, RoomId, UserId, Value};
use fraktalia_plan::Spec;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// One managed field of an agent entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Keys from the entry down: `["sandbox", "docker", "memory"]`.
    pub path: Vec<String>,
    /// What it is to be. Objects are split into their fields; an array is one value.
    pub value: Json,
}

impl Field {
    /// A field by its dotted path, for keys without dots.
    pub(crate) fn new(path: &str, value: impl Into<Json>) -> Self {
        Self { path: path.split('.').map(ToOwned::to_owned).collect(), value: value.into() }
    }

    /// `sandbox.docker.memory`
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }
}

/// What a binding routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerSpec {
    /// A room.
    Room(Value<RoomId>),
    /// Direct messages of a user.
    Direct(UserId),
    /// Everything that nothing else routes.
    CatchAll,
}

/// A binding of an agent to something that is said on the Matrix channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BindingSpec {
    /// The agent's id.
    pub agent: String,
    /// The account under `channels.matrix.accounts` that hears it; the default account when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What is routed.
    pub peer: PeerSpec,
    /// What people call the peer: `#lounge`, `direct messages of @ana:chat.home`.
    pub shown: String,
}

/// The settings of a room under `channels.matrix.groups`. It is always to be enabled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// The room.
    pub room: Value<RoomId>,
    /// What people call it: `#lounge`.
    pub shown: String,
    /// Whether the agent answers without being mentioned; not managed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_reply: Option<bool>,
}

/// A Matrix account of a fractal. Its access token is a reference to the file that we keep it in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountSpec {
    /// The key under `channels.matrix.accounts`: the fractal's.
    pub name: String,
    /// Whose account it is.
    pub user_id: UserId,
    /// Base URL of the homeserver.
    pub homeserver: String,
}

/// What is asked of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenClawSpec {
    /// An agent entry; other fields of it are left as they are.
    Agent {
        /// The agent's id.
        id: String,
        /// The fields that the manifest names.
        fields: Vec<Field>,
    },
    /// A binding.
    Binding(BindingSpec),
    /// A room's settings.
    Group(GroupSpec),
    /// A Matrix account.
    Account(AccountSpec),
}

impl OpenClawSpec {
    fn room(&self) -> Option<&Value<RoomId>> {
        match self {
            Self::Binding(BindingSpec { peer: PeerSpec::Room(room), .. })
            | Self::Group(GroupSpec { room, .. }) => Some(room),
            _ => None,
        }
    }
}

impl Spec for OpenClawSpec {
    fn pending(&self) -> Vec<ResourceId> {
        self.room().and_then(Value::pending).cloned().into_iter().collect()
    }

    fn settle(&mut self, known: &Outputs) {
        match self {
            Self::Binding(BindingSpec { peer: PeerSpec::Room(room), .. })
            | Self::Group(GroupSpec { room, .. }) => {
                room.settle(known);
            }
            _ => {}
        }
    }
}

/// What is seen of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenClawState {
    /// An agent entry: those of its fields that are managed, or were.
    Agent {
        /// Fields that are there.
        fields: Vec<Field>,
    },
    /// A binding.
    Binding {
        /// What it routes, with the ids that stand in the file.
        binding: BindingSpec,
        /// Whether a catch-all of the channel stands before it.
        behind_catch_all: bool,
    },
    /// A room's settings.
    Group {
        /// The room.
        room: String,
        /// Whether it is not switched off.
        enabled: bool,
        /// Whether the agent answers without being mentioned.
        auto_reply: Option<bool>,
    },
    /// A Matrix account.
    Account {
        /// Its key.
        name: String,
        /// Whose it is.
        user_id: Option<String>,
        /// Base URL of the homeserver.
        homeserver: Option<String>,
        /// Whether its access token is a reference to our file.
        our_token: bool,
    },
}
