//! What a manifest asks of `openclaw.json`.

use std::collections::BTreeSet;

use fraktalia_model::manifest::{self, Account, Binding, Fractal, Manifest, OnRemove, Peer};
use fraktalia_model::{ResourceId, Value, id};
use fraktalia_plan::{Resource, ResourceIds};
use serde_json::{Map, Value as Json};

use crate::spec::{AccountSpec, BindingSpec, Field, GroupSpec, OpenClawSpec, PeerSpec};

/// Agents, accounts, bindings, room settings, and the catch-all.
pub(crate) fn lower(manifest: &Manifest) -> Vec<Resource<OpenClawSpec>> {
    let Some(openclaw) = &manifest.openclaw else { return Vec::new() };
    let mut wanted = Vec::new();
    for fractal in manifest.fractals.values() {
        wanted.push(agent(manifest, fractal));
        if fractal.account == Account::Own {
            wanted.extend(account(manifest, fractal));
        }
    }
    for binding in &manifest.bindings {
        wanted.push(bound(manifest, binding));
    }
    wanted.extend(groups(manifest));
    if let Some(agent) = &openclaw.catch_all {
        wanted.push(catch_all(manifest, openclaw, agent));
    }
    wanted
}

fn resource(
    id: ResourceId,
    subject: &str,
    spec: OpenClawSpec,
    at: &fraktalia_model::Span,
) -> Resource<OpenClawSpec> {
    Resource {
        id,
        spec,
        subject: subject.into(),
        requires: ResourceIds::new(),
        on_remove: OnRemove::Delete,
        at: at.clone(),
    }
}

fn agent(manifest: &Manifest, fractal: &Fractal) -> Resource<OpenClawSpec> {
    let managed = fractal.managed;
    let own = [
        (managed.name, "name", fractal.name.clone()),
        (managed.identity, "identity.name", fractal.name.clone()),
        (managed.workspace, "workspace", fractal.workspace.path.to_string_lossy().into_owned()),
    ];
    let mut fields: Vec<Field> = own
        .into_iter()
        .filter(|(asked, ..)| *asked)
        .map(|(_, path, value)| Field::new(path, value))
        .collect();
    if let Some(model) = &fractal.model {
        fields.push(Field::new("model.primary", model.primary.as_str()));
        if !model.fallbacks.is_empty() {
            fields.push(Field::new("model.fallbacks", model.fallbacks.clone()));
        }
    }
    let mut requires = ResourceIds::new();
    requires.extend(managed.files.then(|| id::tree(&fractal.key)));
    if let Some((key, sandbox)) =
        fractal.sandbox.as_ref().and_then(|key| Some((key, manifest.sandboxes.get(key)?)))
    {
        sandbox_fields(manifest, fractal, sandbox, &mut fields);
        requires.extend(sandbox.image.as_ref().map(|_| id::image(&sandbox.host, key)));
        requires.extend(fractal.network.as_ref().map(|network| id::network(&sandbox.host, network)));
    }
    flatten(&mut Vec::new(), &fractal.openclaw, &mut fields);
    let spec = OpenClawSpec::Agent { id: fractal.key.clone(), fields };
    Resource {
        requires,
        on_remove: fractal.on_remove,
        ..resource(id::agent(&fractal.key), &fractal.key, spec, &fractal.at)
    }
}

fn sandbox_fields(
    manifest: &Manifest,
    fractal: &Fractal,
    sandbox: &manifest::Sandbox,
    fields: &mut Vec<Field>,
) {
    let mut put = |path: &str, value: Option<Json>| fields.extend(value.map(|value| Field::new(path, value)));
    let text = |text: &Option<String>| text.as_deref().map(Json::from);
    // These enums are written in the manifest as OpenClaw writes them.
    put("sandbox.mode", sandbox.mode.and_then(|mode| serde_json::to_value(mode).ok()));
    put(
        "sandbox.workspaceAccess",
        sandbox.workspace_access.and_then(|access| serde_json::to_value(access).ok()),
    );
    put("sandbox.docker.image", sandbox.image.as_ref().map(|image| image.tag.as_str().into()));
    put("sandbox.docker.network", text(&fractal.network));
    put("sandbox.docker.user", text(&sandbox.user));
    put("sandbox.docker.readOnlyRoot", sandbox.read_only_root.map(Json::from));
    put("sandbox.docker.memory", text(&sandbox.memory));
    put("sandbox.docker.cpus", sandbox.cpus.map(number));
    let dns =
        fractal.network.as_ref().and_then(|name| manifest.networks.get(name)).map(|network| &network.dns);
    let dns: Vec<String> = dns.into_iter().flatten().map(ToString::to_string).collect();
    put("sandbox.docker.dns", (!dns.is_empty()).then(|| dns.into()));
}

/// `4` rather than `4.0`.
fn number(value: f64) -> Json {
    let whole = value.fract() == 0.0 && value.abs() < 1e9;
    if whole {
        format!("{value:.0}").parse::<i64>().map_or(Json::Null, Json::from)
    } else {
        Json::from(value)
    }
}

/// Every leaf is a field, so that its neighbours in the file are left alone.
fn flatten(path: &mut Vec<String>, members: &Map<String, Json>, fields: &mut Vec<Field>) {
    for (key, value) in members {
        path.push(key.clone());
        match value {
            Json::Object(inner) if !inner.is_empty() => flatten(path, inner, fields),
            leaf => fields.push(Field { path: path.clone(), value: leaf.clone() }),
        }
        path.pop();
    }
}

fn account(manifest: &Manifest, fractal: &Fractal) -> Option<Resource<OpenClawSpec>> {
    let matrix = manifest.matrix.as_ref()?;
    let own = manifest.users.values().find(|user| user.owned_by.as_deref() == Some(&*fractal.key));
    let spec = AccountSpec {
        name: fractal.key.clone(),
        user_id: own.map_or_else(|| matrix.local(&fractal.key), |user| user.id.clone()),
        homeserver: matrix.homeserver.clone(),
    };
    Some(Resource {
        requires: ResourceIds::from([id::token(&fractal.key)]),
        on_remove: fractal.on_remove,
        ..resource(id::account(&fractal.key), &fractal.key, OpenClawSpec::Account(spec), &fractal.at)
    })
}

fn shown_room(manifest: &Manifest, key: &str) -> String {
    manifest.rooms.get(key).map_or_else(
        || format!("#{key}"),
        |room| match &room.name {
            Some(name) if !room.aliased => name.clone(),
            _ => format!("#{}", room.alias),
        },
    )
}

fn bound(manifest: &Manifest, binding: &Binding) -> Resource<OpenClawSpec> {
    let mut requires = ResourceIds::new();
    let (peer, shown) = match &binding.peer {
        Peer::Room(key) => {
            requires.insert(id::room(key));
            // A room that an agent hears before its people are in it looks like a direct chat to OpenClaw.
            let members = manifest.rooms.get(key).into_iter().flat_map(|room| &room.members);
            requires.extend(members.map(|member| id::member(key, &member.user.0)));
            (PeerSpec::Room(Value::after(id::room(key))), shown_room(manifest, key))
        }
        Peer::Direct(user) => (PeerSpec::Direct(user.clone()), format!("direct messages of {user}")),
    };
    if manifest.fractals.contains_key(&binding.agent) {
        requires.insert(id::agent(&binding.agent));
    }
    requires.extend(binding.account_of.as_deref().map(id::account));
    let spec = BindingSpec { agent: binding.agent.clone(), account: binding.account_of.clone(), peer, shown };
    let room = match &binding.peer {
        Peer::Room(key) => Some(key.as_str()),
        Peer::Direct(_) => None,
    };
    let subject = binding.fractal.as_deref().or(room).unwrap_or(&binding.agent);
    Resource {
        requires,
        on_remove: on_remove(manifest, binding.fractal.as_deref()),
        ..resource(
            id::binding(&binding.agent, &binding.peer.to_string()),
            subject,
            OpenClawSpec::Binding(spec),
            &binding.at,
        )
    }
}

fn on_remove(manifest: &Manifest, fractal: Option<&str>) -> OnRemove {
    fractal.and_then(|key| manifest.fractals.get(key)).map_or(OnRemove::Delete, |fractal| fractal.on_remove)
}

/// Every bound room needs settings: without them the channel does not listen there.
fn groups(manifest: &Manifest) -> impl Iterator<Item = Resource<OpenClawSpec>> {
    let mut seen = BTreeSet::new();
    manifest.bindings.iter().filter_map(move |binding| {
        let Peer::Room(key) = &binding.peer else { return None };
        if !seen.insert(key.clone()) {
            return None;
        }
        let room = manifest.rooms.get(key);
        let fractal = room.and_then(|room| room.fractal.as_deref());
        let auto_reply = fractal
            .and_then(|key| manifest.fractals.get(key))
            .filter(|fractal| fractal.managed.auto_reply)
            .map(|fractal| fractal.auto_reply);
        let spec =
            GroupSpec { room: Value::after(id::room(key)), shown: shown_room(manifest, key), auto_reply };
        Some(Resource {
            requires: ResourceIds::from([id::room(key)]),
            on_remove: on_remove(manifest, fractal),
            ..resource(
                id::group(key),
                fractal.unwrap_or(key),
                OpenClawSpec::Group(spec),
                room.map_or(&binding.at, |room| &room.at),
            )
        })
    })
}

fn catch_all(manifest: &Manifest, openclaw: &manifest::OpenClaw, agent: &str) -> Resource<OpenClawSpec> {
    let spec = BindingSpec {
        agent: agent.into(),
        account: None,
        peer: PeerSpec::CatchAll,
        shown: "all other rooms".into(),
    };
    let known = manifest.fractals.contains_key(agent);
    Resource {
        requires: known.then(|| id::agent(agent)).into_iter().collect(),
        ..resource(id::binding(agent, "catch-all"), agent, OpenClawSpec::Binding(spec), &openclaw.at)
    }
}
