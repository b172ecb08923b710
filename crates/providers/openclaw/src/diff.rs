//! Wanted against seen, and how each is shown.

use fraktalia_model::ResourceId;
use fraktalia_plan::{Described, FieldChange, diff};
use serde_json::Value as Json;

use crate::op::same;
use crate::spec::{BindingSpec, Field, OpenClawSpec, OpenClawState, PeerSpec};
use crate::system::same_account;

/// What differs.
pub(crate) fn fields(
    want: &OpenClawSpec,
    have: &OpenClawState,
    last: Option<&OpenClawSpec>,
) -> Vec<FieldChange> {
    match (want, have) {
        (OpenClawSpec::Agent { fields: want, .. }, OpenClawState::Agent { fields: have }) => {
            let last = match last {
                Some(OpenClawSpec::Agent { fields, .. }) => Some(fields.as_slice()),
                _ => None,
            };
            agent(want, have, last)
        }
        (OpenClawSpec::Binding(want), OpenClawState::Binding { binding, behind_catch_all }) => {
            let last = match last {
                Some(OpenClawSpec::Binding(last)) => Some(last),
                _ => None,
            };
            self::binding(want, binding, *behind_catch_all, last)
        }
        (OpenClawSpec::Group(want), OpenClawState::Group { room, enabled, auto_reply }) => {
            let last = match last {
                Some(OpenClawSpec::Group(last)) => Some(last),
                _ => None,
            };
            let wanted_room = want.room.to_string();
            let last_room = last.map(|last| last.room.to_string());
            let changes = [
                diff::optional("room", Some(&wanted_room), Some(room), last_room.as_ref()),
                diff::optional("enabled", Some(&true), Some(enabled), last.map(|_| &true)),
                diff::optional(
                    "autoReply",
                    want.auto_reply.as_ref(),
                    auto_reply.as_ref(),
                    last.and_then(|last| last.auto_reply.as_ref()),
                ),
            ];
            changes.into_iter().flatten().collect()
        }
        (OpenClawSpec::Account(want), OpenClawState::Account { user_id, homeserver, our_token, .. }) => {
            let last = match last {
                Some(OpenClawSpec::Account(last)) => Some(last),
                _ => None,
            };
            let token = |ours: bool| if ours { "our file" } else { "something else" }.to_owned();
            let changes = [
                diff::optional(
                    "userId",
                    Some(&want.user_id.0),
                    user_id.as_ref(),
                    last.map(|last| &last.user_id.0),
                ),
                diff::optional(
                    "homeserver",
                    Some(&want.homeserver),
                    homeserver.as_ref(),
                    last.map(|last| &last.homeserver),
                ),
                diff::optional(
                    "accessToken",
                    Some(&token(true)),
                    Some(&token(*our_token)),
                    last.map(|_| token(true)).as_ref(),
                ),
            ];
            changes.into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

fn agent(want: &[Field], have: &[Field], last: Option<&[Field]>) -> Vec<FieldChange> {
    let of = |fields: &[Field], path: &[String]| {
        fields.iter().find(|field| field.path == path).map(|field| Shown(field.clone()))
    };
    let changed = want.iter().filter_map(|field| {
        let have = of(have, &field.path);
        let last = last.and_then(|last| of(last, &field.path));
        diff::optional(&field.dotted(), Some(&Shown(field.clone())), have.as_ref(), last.as_ref())
    });
    changed.collect()
}

fn binding(
    want: &BindingSpec,
    have: &BindingSpec,
    behind_catch_all: bool,
    last: Option<&BindingSpec>,
) -> Vec<FieldChange> {
    let account = |binding: &BindingSpec| {
        let meant = if same_account(want, binding) { want } else { binding };
        meant.account.clone().unwrap_or_else(|| "default".into())
    };
    let position = |behind| if behind { "after the catch-all" } else { "before the catch-all" }.to_owned();
    let changes = [
        diff::optional("peer", Some(&peer(want)), Some(&peer(have)), last.map(peer).as_ref()),
        diff::optional("account", Some(&account(want)), Some(&account(have)), last.map(account).as_ref()),
        diff::optional(
            "position",
            Some(&position(false)),
            Some(&position(behind_catch_all)),
            last.map(|_| position(false)).as_ref(),
        ),
    ];
    changes.into_iter().flatten().collect()
}

fn peer(binding: &BindingSpec) -> String {
    match &binding.peer {
        PeerSpec::Room(room) => room.to_string(),
        PeerSpec::Direct(user) => user.to_string(),
        PeerSpec::CatchAll => "everything else".into(),
    }
}

/// A value as people read it. Equal when it means the same to OpenClaw: `4` and `4.0` do.
struct Shown(Field);

impl PartialEq for Shown {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0.value, &other.0.value)
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.path.iter().any(|key| is_secret(key)) {
            return f.write_str("(secret)");
        }
        match &self.0.value {
            Json::String(text) => f.write_str(text),
            Json::Array(items) if items.iter().all(Json::is_string) => {
                let items: Vec<&str> = items.iter().filter_map(Json::as_str).collect();
                f.write_str(&items.join(", "))
            }
            other => write!(f, "{other}"),
        }
    }
}

/// Keys whose values may be secrets. Environment variables count whole.
fn is_secret(key: &str) -> bool {
    key == "env" || names_a_secret(key)
}

/// Keys that say by their name that a secret is behind them.
pub(crate) fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["token", "secret", "password", "apikey", "api_key"].iter().any(|word| key.contains(word))
}

/// How a wanted resource is shown when it comes.
pub(crate) fn describe(spec: &OpenClawSpec) -> Described {
    match spec {
        OpenClawSpec::Agent { id, fields } => Described { title: id.clone(), summary: agent_summary(fields) },
        OpenClawSpec::Binding(binding) => {
            let place = match &binding.peer {
                PeerSpec::CatchAll => "after all others",
                PeerSpec::Room(room) if room.known().is_none() => {
                    "before the catch-all; room id known after apply"
                }
                _ => "before the catch-all",
            };
            Described { title: routed(binding), summary: place.into() }
        }
        OpenClawSpec::Group(group) => {
            Described { title: group.shown.clone(), summary: group_summary(group.auto_reply).into() }
        }
        OpenClawSpec::Account(account) => Described {
            title: account.user_id.to_string(),
            summary: format!("account {}, token in a file of ours", account.name),
        },
    }
}

/// How a living resource is shown when it goes.
pub(crate) fn describe_seen(id: &ResourceId, state: &OpenClawState) -> Described {
    match state {
        OpenClawState::Agent { fields } => {
            Described { title: id.name.to_string(), summary: agent_summary(fields) }
        }
        OpenClawState::Binding { binding, .. } => {
            Described { title: routed(binding), summary: String::new() }
        }
        OpenClawState::Group { room, auto_reply, .. } => Described {
            title: format!("#{}", id.name),
            summary: format!("{room}, {}", group_summary(*auto_reply)),
        },
        OpenClawState::Account { name, user_id, .. } => Described {
            title: user_id.clone().unwrap_or_else(|| name.clone()),
            summary: format!("account {name}"),
        },
    }
}

fn routed(binding: &BindingSpec) -> String {
    format!("{} -> {}", binding.shown, binding.agent)
}

fn group_summary(auto_reply: Option<bool>) -> &'static str {
    match auto_reply {
        Some(true) => "answers without being mentioned",
        Some(false) => "answers when mentioned",
        None => "heard by its agent",
    }
}

fn agent_summary(fields: &[Field]) -> String {
    let text = |path: &str| {
        fields.iter().find(|field| field.dotted() == path).map(|field| Shown(field.clone()).to_string())
    };
    let model = text("model.primary");
    let sandbox =
        text("sandbox.docker.image").or(text("sandbox.mode")).map(|image| format!("sandbox {image}"));
    let network = text("sandbox.docker.network").map(|network| format!("network {network}"));
    [model, sandbox, network].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
