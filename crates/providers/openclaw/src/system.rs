//! The pure half: what a manifest asks of `openclaw.json`, and the one step that does it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use fraktalia_model::manifest::{self, Account, Binding, Dialect, Fractal, Manifest, OnRemove, Peer};
use fraktalia_model::{Note, Notes, ResourceId, RoomId, SystemId, Value, id};
use fraktalia_plan::{Delta, Described, Impact, Resource, Seen, StepDraft, System, Verb, Work};
use serde_json::{Map, Value as Json};

use crate::op::{Edit, OpenClawOp};
use crate::spec::{AccountSpec, BindingSpec, Field, GroupSpec, OpenClawSpec, OpenClawState, PeerSpec};

/// The configuration file of an OpenClaw gateway, and the gateway itself where there is one.
#[derive(Clone, Debug)]
pub struct OpenClaw {
    pub(crate) config: PathBuf,
    pub(crate) cli: Option<PathBuf>,
    pub(crate) gateway: Option<manifest::Gateway>,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) patience: crate::provider::Patience,
}

impl OpenClaw {
    /// The provider for the `openclaw:` section of a manifest.
    pub fn new(config: &manifest::OpenClaw) -> Self {
        Self {
            config: config.config.clone(),
            cli: config.cli.clone(),
            gateway: config.gateway.clone(),
            dialect: config.dialect,
            patience: crate::provider::Patience::default(),
        }
    }

    /// With other deadlines than those for a real gateway.
    #[must_use]
    pub fn with_patience(mut self, patience: crate::provider::Patience) -> Self {
        self.patience = patience;
        self
    }
}

impl System for OpenClaw {
    type Spec = OpenClawSpec;
    type State = OpenClawState;
    type Op = OpenClawOp;
    const FORMAT: u16 = 1;

    fn id(&self) -> SystemId {
        SystemId::openclaw()
    }

    fn lower(&self, manifest: &Manifest) -> Result<Vec<Resource<OpenClawSpec>>, Notes> {
        let Some(openclaw) = &manifest.openclaw else { return Ok(Vec::new()) };
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
        Ok(wanted)
    }

    fn describe(&self, spec: &OpenClawSpec) -> Described {
        crate::diff::describe(spec)
    }

    fn describe_seen(&self, id: &ResourceId, have: &OpenClawState) -> Described {
        crate::diff::describe_seen(id, have)
    }

    fn diff(
        &self,
        want: &Resource<OpenClawSpec>,
        have: &Seen<OpenClawState>,
        last: Option<&OpenClawSpec>,
    ) -> Delta {
        Delta { fields: crate::diff::fields(&want.spec, &have.state, last), ..Delta::default() }
    }

    /// One step, whatever there is to do: one write, one reload, one undo.
    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<OpenClawOp>> {
        let mut edits = Vec::new();
        let mut realises = Vec::new();
        for item in work {
            let before = edits.len();
            edits_of(item, &mut edits);
            if edits.len() > before {
                realises.push(item.id.clone());
            }
        }
        if edits.is_empty() {
            return Vec::new();
        }
        edits.sort_by_key(rank);
        let impact = if edits.iter().any(Edit::restarts_channel) {
            Impact::Disruptive(
                "openclaw.json is written once; the Matrix channel restarts (about 6 s, messages wait)"
                    .into(),
            )
        } else {
            Impact::Quiet
        };
        let title = format!("write openclaw.json: {}", counted(&realises));
        vec![StepDraft { realises, op: OpenClawOp { dialect: self.dialect, edits }, impact, title }]
    }

    fn lint(&self, desired: &[Resource<OpenClawSpec>]) -> Notes {
        desired.iter().flat_map(|want| said_twice(want).into_iter().chain(literal_secret(want))).collect()
    }

    fn parallel(&self) -> usize {
        1
    }
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
        requires: BTreeSet::new(),
        on_remove: OnRemove::Delete,
        at: at.clone(),
    }
}

fn agent(manifest: &Manifest, fractal: &Fractal) -> Resource<OpenClawSpec> {
    let mut fields = vec![
        Field::new("name", fractal.name.as_str()),
        Field::new("identity.name", fractal.name.as_str()),
        Field::new("workspace", &*fractal.workspace.path.to_string_lossy()),
    ];
    if let Some(model) = &fractal.model {
        fields.push(Field::new("model.primary", model.primary.as_str()));
        if !model.fallbacks.is_empty() {
            fields.push(Field::new("model.fallbacks", model.fallbacks.clone()));
        }
    }
    let mut requires = BTreeSet::from([id::tree(&fractal.key)]);
    if let Some((key, sandbox)) =
        fractal.sandbox.as_ref().and_then(|key| Some((key, manifest.sandboxes.get(key)?)))
    {
        sandbox_fields(manifest, sandbox, &mut fields);
        requires.extend(sandbox.image.as_ref().map(|_| id::image(&sandbox.host, key)));
        requires.extend(sandbox.network.as_ref().map(|network| id::network(&sandbox.host, network)));
    }
    flatten(&mut Vec::new(), &fractal.openclaw, &mut fields);
    let spec = OpenClawSpec::Agent { id: fractal.key.clone(), fields };
    Resource {
        requires,
        on_remove: fractal.on_remove,
        ..resource(id::agent(&fractal.key), &fractal.key, spec, &fractal.at)
    }
}

fn sandbox_fields(manifest: &Manifest, sandbox: &manifest::Sandbox, fields: &mut Vec<Field>) {
    let mut put = |path: &str, value: Option<Json>| fields.extend(value.map(|value| Field::new(path, value)));
    let text = |text: &Option<String>| text.as_deref().map(Json::from);
    // These enums are written in the manifest as OpenClaw writes them.
    put("sandbox.mode", sandbox.mode.and_then(|mode| serde_json::to_value(mode).ok()));
    put(
        "sandbox.workspaceAccess",
        sandbox.workspace_access.and_then(|access| serde_json::to_value(access).ok()),
    );
    put("sandbox.docker.image", sandbox.image.as_ref().map(|image| image.tag.as_str().into()));
    put("sandbox.docker.network", text(&sandbox.network));
    put("sandbox.docker.user", text(&sandbox.user));
    put("sandbox.docker.readOnlyRoot", sandbox.read_only_root.map(Json::from));
    put("sandbox.docker.memory", text(&sandbox.memory));
    put("sandbox.docker.cpus", sandbox.cpus.map(number));
    let dns =
        sandbox.network.as_ref().and_then(|name| manifest.networks.get(name)).map(|network| &network.dns);
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
        requires: BTreeSet::from([id::token(&fractal.key)]),
        on_remove: fractal.on_remove,
        ..resource(id::account(&fractal.key), &fractal.key, OpenClawSpec::Account(spec), &fractal.at)
    })
}

fn shown_room(manifest: &Manifest, key: &str) -> String {
    manifest.rooms.get(key).map_or_else(|| format!("#{key}"), |room| format!("#{}", room.alias))
}

fn bound(manifest: &Manifest, binding: &Binding) -> Resource<OpenClawSpec> {
    let mut requires = BTreeSet::new();
    let (peer, shown) = match &binding.peer {
        Peer::Room(key) => {
            requires.insert(id::room(key));
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
        let auto_reply = fractal.and_then(|key| manifest.fractals.get(key)).map(|fractal| fractal.auto_reply);
        let spec =
            GroupSpec { room: Value::after(id::room(key)), shown: shown_room(manifest, key), auto_reply };
        Some(Resource {
            requires: BTreeSet::from([id::room(key)]),
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
        shown: "every unbound room".into(),
    };
    let known = manifest.fractals.contains_key(agent);
    Resource {
        requires: known.then(|| id::agent(agent)).into_iter().collect(),
        ..resource(id::binding(agent, "catch-all"), agent, OpenClawSpec::Binding(spec), &openclaw.at)
    }
}

/// The edits for one resource, in an order that [`rank`] refines.
fn edits_of(item: &Work<'_, OpenClaw>, edits: &mut Vec<Edit>) {
    match item.verb {
        Verb::Create => edits.extend(item.want.map(|want| put(&want.spec))),
        Verb::Update | Verb::Replace => {
            if let (Some(want), Some(have)) = (item.want, item.have) {
                if moves(&want.spec, &have.state) {
                    edits.push(drop_seen(item.id, &have.state));
                }
                edits.push(put(&want.spec));
            }
        }
        Verb::Delete => edits.extend(item.have.map(|have| drop_seen(item.id, &have.state))),
        Verb::Adopt | Verb::Forget | Verb::Keep => {}
    }
}

fn put(spec: &OpenClawSpec) -> Edit {
    match spec {
        OpenClawSpec::Agent { id, fields } => Edit::PutAgent { id: id.clone(), fields: fields.clone() },
        OpenClawSpec::Binding(binding) => Edit::PutBinding(binding.clone()),
        OpenClawSpec::Group(group) => Edit::PutGroup(group.clone()),
        OpenClawSpec::Account(account) => Edit::PutAccount(account.clone()),
    }
}

fn drop_seen(id: &ResourceId, state: &OpenClawState) -> Edit {
    match state {
        OpenClawState::Agent { .. } => Edit::DropAgent { id: id.name.clone() },
        OpenClawState::Binding { binding, .. } => Edit::DropBinding(binding.clone()),
        OpenClawState::Group { room, .. } => Edit::DropGroup { room: RoomId(room.clone()) },
        OpenClawState::Account { name, .. } => Edit::DropAccount { name: name.clone() },
    }
}

/// Whether the living thing is about another room or account than the wanted one, so that it cannot be changed in
/// its place.
fn moves(want: &OpenClawSpec, have: &OpenClawState) -> bool {
    match (want, have) {
        (OpenClawSpec::Binding(want), OpenClawState::Binding { binding, .. }) => {
            !same_account(want, binding) || want.peer != binding.peer
        }
        (OpenClawSpec::Group(want), OpenClawState::Group { room, .. }) => {
            want.room.known().is_none_or(|wanted| wanted.0 != *room)
        }
        _ => false,
    }
}

/// A catch-all that is there for all accounts serves as well as one for the default account.
pub(crate) fn same_account(want: &BindingSpec, have: &BindingSpec) -> bool {
    want.account == have.account
        || (want.peer == PeerSpec::CatchAll && want.account.is_none() && have.account.as_deref() == Some("*"))
}

/// What goes, goes first: a binding that moves to another agent must not meet itself.
fn rank(edit: &Edit) -> u8 {
    match edit {
        Edit::DropBinding(_) => 0,
        Edit::DropGroup { .. } => 1,
        Edit::DropAccount { .. } => 2,
        Edit::DropAgent { .. } => 3,
        Edit::PutAgent { .. } => 4,
        Edit::PutAccount(_) => 5,
        Edit::PutGroup(_) => 6,
        Edit::PutBinding(BindingSpec { peer: PeerSpec::CatchAll, .. }) => 8,
        Edit::PutBinding(_) => 7,
    }
}

/// `2 agents, 1 binding`
fn counted(ids: &[ResourceId]) -> String {
    let count = |kind: &str| ids.iter().filter(|id| id.kind == kind).count();
    let kinds = ["agent", "binding", "group", "account"].into_iter().filter_map(|kind| match count(kind) {
        0 => None,
        1 => Some(format!("1 {kind}")),
        many => Some(format!("{many} {kind}s")),
    });
    kinds.collect::<Vec<_>>().join(", ")
}

/// A field that the manifest says in its own words and again under `openclaw:`.
fn said_twice(want: &Resource<OpenClawSpec>) -> Option<Note> {
    let OpenClawSpec::Agent { fields, .. } = &want.spec else { return None };
    let twice = fields.iter().enumerate().find_map(|(index, field)| {
        let clash =
            |other: &&Field| other.path.starts_with(&field.path) || field.path.starts_with(&other.path);
        fields[..index].iter().find(clash).map(|_| field.dotted())
    })?;
    Some(
        Note::error(
            "openclaw.said-twice",
            format!("`openclaw: {twice}` says again what the manifest says elsewhere"),
        )
        .about(&want.id)
        .at(&want.at)
        .hint("leave it out of `openclaw:`; name, model, workspace and sandbox have keys of their own"),
    )
}

/// A secret in so many words. It would go from the manifest into plans and journals.
fn literal_secret(want: &Resource<OpenClawSpec>) -> Option<Note> {
    let OpenClawSpec::Agent { fields, .. } = &want.spec else { return None };
    let literal = fields.iter().find(|field| {
        let named = field.path.last().is_some_and(|key| crate::diff::names_a_secret(key));
        named && field.value.as_str().is_some_and(|text| !text.starts_with('$'))
    })?;
    let path = literal.dotted();
    Some(
        Note::error(
            "openclaw.literal-secret",
            format!("`openclaw: {path}` looks like a secret in so many words"),
        )
        .about(&want.id)
        .at(&want.at)
        .hint("write ${NAME}, and give the gateway that variable; or refer to a secret provider of OpenClaw"),
    )
}
