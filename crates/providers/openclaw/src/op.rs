//! What is done to `openclaw.json`: one step, many edits. Each edit says what is to be, so doing it twice is the
//! same as doing it once.

use std::path::PathBuf;

use fraktalia_model::manifest::Dialect;
use fraktalia_model::output::Unresolved;
use fraktalia_model::{Outputs, RoomId, UserId, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::dialect::{Config, Key, Peer};
use crate::error::FileError;
use crate::spec::{AccountSpec, BindingSpec, Field, GroupSpec, PeerSpec};

/// One write of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenClawOp {
    /// Which agent table to write where the file has none and does not say which version wrote it.
    pub dialect: Option<Dialect>,
    /// In the order in which they are done.
    pub edits: Vec<Edit>,
}

impl OpenClawOp {
    /// The text of a file after all edits; `None` when they change nothing. `token` finds the file of an account's
    /// access token.
    ///
    /// # Errors
    /// When the text is not what it has to be, or a value is not known yet.
    pub fn edited(
        &self,
        text: &str,
        outputs: &Outputs,
        token: &dyn Fn(&str) -> PathBuf,
    ) -> Result<Option<String>, EditError> {
        let known: Vec<Known> =
            self.edits.iter().map(|edit| edit.known(outputs, token)).collect::<Result<_, _>>()?;
        Ok(crate::undo::edited(text, &known, self.dialect)?)
    }
}

/// A text that could not be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A value is not known yet.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// The text is not what it has to be.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A change in the words of OpenClaw, whatever the shape of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// The agent exists and has these fields; others are left as they are.
    PutAgent {
        /// Its id.
        id: String,
        /// What the manifest names.
        fields: Vec<Field>,
    },
    /// There is no such agent.
    DropAgent {
        /// Its id.
        id: String,
    },
    /// The binding exists, before the first catch-all of the channel.
    PutBinding(BindingSpec),
    /// There is no such binding.
    DropBinding(BindingSpec),
    /// The room has these settings.
    PutGroup(GroupSpec),
    /// The room has no settings.
    DropGroup {
        /// The room.
        room: RoomId,
    },
    /// The account exists, with a reference to its token.
    PutAccount(AccountSpec),
    /// There is no such account.
    DropAccount {
        /// Its key.
        name: String,
    },
}

/// An edit with everything known that was not known while planning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known {
    PutAgent { id: String, fields: Vec<Field> },
    DropAgent { id: String },
    PutBinding(Key),
    DropBinding(Key),
    PutGroup { room: String, auto_reply: Option<bool> },
    DropGroup { room: String },
    PutAccount { account: Account },
    DropAccount { name: String },
}

/// An account with the file of its token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    pub name: String,
    pub user_id: UserId,
    pub homeserver: String,
    pub token: PathBuf,
}

impl Account {
    /// The name of the secret provider that reads the token's file.
    pub fn provider(name: &str) -> String {
        format!("fraktalia-{name}")
    }

    /// The entry under `secrets.providers`.
    pub fn provider_entry(&self) -> Json {
        serde_json::json!({"source": "file", "path": self.token.to_string_lossy(), "mode": "singleValue"})
    }

    /// What stands for the token in the account.
    pub fn token_reference(name: &str) -> Json {
        serde_json::json!({"source": "file", "provider": Self::provider(name), "id": "value"})
    }

    /// Whether the file has the token as we write it.
    pub fn token_is_ours(config: &Config<'_>, name: &str, token: &std::path::Path) -> bool {
        let provider = &config.value["secrets"]["providers"][Self::provider(name)];
        let reference = config.account(name).map(|account| &account["accessToken"]);
        reference == Some(&Self::token_reference(name))
            && provider["source"] == "file"
            && provider["mode"] == "singleValue"
            && provider["path"].as_str().is_some_and(|path| std::path::Path::new(path) == token)
    }
}

/// The binding with its room's id.
pub(crate) fn key_of(spec: &BindingSpec, outputs: &Outputs) -> Result<Key, Unresolved> {
    let peer = match &spec.peer {
        PeerSpec::Room(room) => Peer::Room(outputs.resolve(room)?.0),
        PeerSpec::Direct(user) => Peer::Direct(user.0.clone()),
        PeerSpec::CatchAll => Peer::Any,
    };
    Ok(Key::new(&spec.agent, spec.account.as_deref(), peer))
}

impl Edit {
    /// Fills in what became known. `token` finds the file of an account's access token.
    pub(crate) fn known(
        &self,
        outputs: &Outputs,
        token: &dyn Fn(&str) -> PathBuf,
    ) -> Result<Known, Unresolved> {
        let room = |room: &Value<RoomId>| outputs.resolve(room).map(|room| room.0);
        Ok(match self {
            Self::PutAgent { id, fields } => Known::PutAgent { id: id.clone(), fields: fields.clone() },
            Self::DropAgent { id } => Known::DropAgent { id: id.clone() },
            Self::PutBinding(spec) => Known::PutBinding(key_of(spec, outputs)?),
            Self::DropBinding(spec) => Known::DropBinding(key_of(spec, outputs)?),
            Self::PutGroup(group) => {
                Known::PutGroup { room: room(&group.room)?, auto_reply: group.auto_reply }
            }
            Self::DropGroup { room } => Known::DropGroup { room: room.0.clone() },
            Self::PutAccount(account) => Known::PutAccount {
                account: Account {
                    token: token(&account.name),
                    name: account.name.clone(),
                    user_id: account.user_id.clone(),
                    homeserver: account.homeserver.clone(),
                },
            },
            Self::DropAccount { name } => Known::DropAccount { name: name.clone() },
        })
    }

    /// Whether the Matrix channel restarts over it.
    pub(crate) fn restarts_channel(&self) -> bool {
        matches!(
            self,
            Self::PutGroup(_) | Self::DropGroup { .. } | Self::PutAccount(_) | Self::DropAccount { .. }
        )
    }
}

impl Known {
    /// Whether the file says what the edit wants it to say.
    pub fn in_effect(&self, config: &Config<'_>) -> bool {
        match self {
            Self::PutAgent { id, fields } => {
                config.agents.get(&id.to_ascii_lowercase()).is_some_and(|entry| {
                    fields.iter().all(|field| {
                        field_of(entry, &field.path)
                            .is_some_and(|found| same(found, &field.value) || config.hides(found))
                    })
                })
            }
            Self::DropAgent { id } => !config.agents.contains_key(&id.to_ascii_lowercase()),
            Self::PutBinding(key) => config.binding(key).is_some_and(|at| {
                key.is_catch_all() || config.catch_all.is_none_or(|catch_all| at < catch_all)
            }),
            Self::DropBinding(key) => config.binding(key).is_none(),
            Self::PutGroup { room, auto_reply } => config.group(room).is_some_and(|group| {
                enabled(group) && (auto_reply.is_none() || group["autoReply"].as_bool() == *auto_reply)
            }),
            Self::DropGroup { room } => config.group(room).is_none(),
            Self::PutAccount { account } => config.account(&account.name).is_some_and(|found| {
                found["userId"] == account.user_id.0
                    && found["homeserver"] == account.homeserver
                    && found.get("accessToken").is_some()
            }),
            Self::DropAccount { name } => config.account(name).is_none(),
        }
    }
}

/// Whether a group is on: it is, unless it says otherwise.
pub(crate) fn enabled(group: &Json) -> bool {
    let says = |key: &str| group[key].as_bool();
    says("enabled").or(says("allow")).unwrap_or(true)
}

/// A field of an agent entry. A model that is written as a string counts as its `primary`.
pub(crate) fn field_of<'j>(entry: &'j serde_json::Map<String, Json>, path: &[String]) -> Option<&'j Json> {
    let (first, rest) = path.split_first()?;
    let mut value = entry.get(first)?;
    if first == "model" && rest == ["primary"] && value.is_string() {
        return Some(value);
    }
    for key in rest {
        value = value.as_object()?.get(key)?;
    }
    Some(value)
}

/// Whether two values mean the same to OpenClaw: `4` and `4.0` are one number.
pub(crate) fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other,
    }
}
