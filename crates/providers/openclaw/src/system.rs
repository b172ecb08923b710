//! The pure half: what is compared, and the one step that does all the work.

use std::path::PathBuf;

use fraktalia_model::manifest::{self, Dialect, Manifest};
use fraktalia_model::{Note, Notes, ResourceId, RoomId, SystemId};
use fraktalia_plan::{Delta, Described, Impact, Resource, Seen, StepDraft, System, Verb, Work};

use crate::op::{Edit, OpenClawOp};
use crate::spec::{BindingSpec, Field, OpenClawSpec, OpenClawState, PeerSpec};

/// The configuration file of an OpenClaw gateway, and the gateway itself where there is one.
#[derive(Clone, Debug)]
pub struct OpenClaw {
    pub(crate) config: PathBuf,
    pub(crate) cli: Option<PathBuf>,
    pub(crate) gateway: Option<manifest::Gateway>,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) patience: crate::provider::Patience,
    /// What there is to say of the engines that sandboxes are on.
    engines: Notes,
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
            engines: Notes::new(),
        }
    }

    /// The provider for a manifest, if it has an `openclaw:` section.
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let openclaw = manifest.openclaw.as_ref()?;
        Some(Self { engines: crate::engines::notes(manifest), ..Self::new(openclaw) })
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
        Ok(crate::lower::lower(manifest))
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
        let of_agents =
            desired.iter().flat_map(|want| said_twice(want).into_iter().chain(literal_secret(want)));
        of_agents.chain(self.engines.iter().cloned()).collect()
    }

    fn parallel(&self) -> usize {
        1
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
        OpenClawState::Agent { .. } => Edit::DropAgent { id: id.name.to_string() },
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
