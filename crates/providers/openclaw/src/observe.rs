//! What stands in the file.

use std::collections::{BTreeMap, HashMap, HashSet};

use fraktalia_engine::{Ask, ObserveError};
use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{AccountId, Note, Outputs, ResourceId, RoomId, UserId, Value};
use fraktalia_plan::{Observed, Owner, Record, Resource, Seen, Spec};

use crate::dialect::{self, Config, Detected, Key, Peer};
use crate::document::Document;
use crate::error::FileError;
use crate::op::{Account, enabled, field_of, key_of};
use crate::spec::{BindingSpec, Field, OpenClawSpec, OpenClawState, PeerSpec};
use crate::system::OpenClaw;
use crate::write;

impl From<FileError> for ObserveError {
    fn from(error: FileError) -> Self {
        let hint = error.hint();
        Self::new("openclaw.json cannot be used").with_hint(hint).because(error)
    }
}

/// Reads the file, and finds in it what is asked for and what is ours.
pub(crate) async fn observe(
    openclaw: &OpenClaw,
    ask: &Ask<'_, OpenClawSpec>,
) -> Result<Observed<OpenClawState>, FileError> {
    let original = write::read(&openclaw.config)?;
    let (document, value) = Document::parse_with_value(&original.text)?;
    dialect::check(&document)?;
    drop(document);
    let config = Config::read(&value);
    let look = Look::new(&config, ask);
    let mut observed = Observed {
        how: format!("{}, {} KB", count(config.agents.len(), "agent"), original.text.len().div_ceil(1024)),
        strangers: look.strangers(),
        ..Observed::default()
    };
    for want in ask.wanted {
        look.wanted(want, &mut observed);
    }
    for (id, record) in ask.owned.iter() {
        look.owned(id, record, &mut observed);
    }
    for (id, seen) in &observed.found {
        if let OpenClawState::Account { name, .. } = &seen.state {
            observed.outputs.set(id, &AccountId(name.clone()));
        }
    }
    let asks_for_agents = ask.wanted.iter().any(|want| matches!(want.spec, OpenClawSpec::Agent { .. }));
    if asks_for_agents && openclaw.dialect_for(&value).await.is_none() {
        let error = FileError::NoDialect;
        observed.notes.push(Note::error("openclaw.no-dialect", error.to_string()).hint(error.hint()));
    }
    if let Err(error) = original.writable() {
        observed.notes.push(Note::warning("openclaw.read-only", error.to_string()).hint(error.hint()));
    }
    if dialect::detect(&value) == Detected::Both {
        observed.notes.push(
            Note::warning(
                "openclaw.two-tables",
                "openclaw.json has both `agents.list` and `agents.entries`; OpenClaw goes by the entries",
            )
            .hint("`openclaw doctor --fix` brings them together"),
        );
    }
    Ok(observed)
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// The file, and what is asked of it.
struct Look<'a> {
    config: &'a Config<'a>,
    ask: &'a Ask<'a, OpenClawSpec>,
    /// What we last asked for, with late values filled in where they are known by now.
    last: BTreeMap<&'a ResourceId, OpenClawSpec>,
    /// Bindings that are ours.
    ours: HashSet<Key>,
    wanted: HashSet<&'a ResourceId>,
    /// How many bindings that are not ours lead to each agent.
    strange: HashMap<String, usize>,
}

impl<'a> Look<'a> {
    fn new(config: &'a Config<'a>, ask: &'a Ask<'a, OpenClawSpec>) -> Self {
        let settled = |record: &Record| {
            let mut spec: OpenClawSpec = record.spec.read()?;
            spec.settle(ask.known);
            Some(spec)
        };
        let last: BTreeMap<_, _> =
            ask.owned.iter().filter_map(|(id, record)| Some((id, settled(record)?))).collect();
        let ours: HashSet<Key> = last.values().filter_map(key).collect();
        let mut strange: HashMap<String, usize> = HashMap::new();
        for (key, binding) in config.routes.iter().zip(dialect::bindings(config.value)) {
            if let Some(agent) = binding["agentId"].as_str()
                && !key.as_ref().is_some_and(|key| ours.contains(key))
            {
                *strange.entry(agent.to_ascii_lowercase()).or_default() += 1;
            }
        }
        let wanted = ask.wanted.iter().map(|want| &want.id).collect();
        Self { config, ask, last, ours, wanted, strange }
    }

    /// A wanted resource, if it is there: as it is wanted, or as we last wrote it.
    fn wanted(&self, want: &Resource<OpenClawSpec>, observed: &mut Observed<OpenClawState>) {
        let mut spec = want.spec.clone();
        spec.settle(self.ask.known);
        let last = self.last.get(&want.id);
        let found = match &spec {
            OpenClawSpec::Binding(binding) => self.binding(binding, last),
            OpenClawSpec::Group(group) => {
                let room = |spec: &OpenClawSpec| match spec {
                    OpenClawSpec::Group(group) => group.room.known().cloned(),
                    _ => None,
                };
                let now = group.room.known().and_then(|room| self.group(&room.0));
                now.or_else(|| self.group(&last.and_then(room)?.0)).map(unmarked)
            }
            spec => self.by_name(&want.id, Some(spec), last).map(unmarked),
        };
        observed.found.extend(found.map(|seen| (want.id.clone(), seen)));
    }

    /// Something of ours that may have left the manifest.
    fn owned(&self, id: &ResourceId, record: &Record, observed: &mut Observed<OpenClawState>) {
        if self.wanted.contains(id) {
            return;
        }
        let Some(last) = self.last.get(id) else {
            observed.notes.push(
                Note::warning("openclaw.unknown-record", format!("our record of {id} cannot be read"))
                    .about(id)
                    .hint("it is left alone; remove it by hand if it is in the way"),
            );
            return;
        };
        if !last.pending().is_empty() {
            observed.notes.push(
                Note::warning(
                    "openclaw.unknown-room",
                    format!("{id} cannot be found: its room is not known any more"),
                )
                .about(id)
                .hint("it is left alone; remove it by hand if it is still there"),
            );
            return;
        }
        let found = match last {
            OpenClawSpec::Binding(binding) => {
                self.key(binding).and_then(|key| self.binding_state(&key, binding))
            }
            OpenClawSpec::Group(group) => group.room.known().and_then(|room| self.group(&room.0)),
            spec => self.by_name(id, None, Some(spec)),
        };
        let Some(state) = found else { return };
        if matches!(last, OpenClawSpec::Agent { .. }) && record.on_remove != OnRemove::Keep {
            observed.notes.extend(self.still_bound(id));
        }
        observed.found.insert(id.clone(), unmarked(state));
    }

    /// Without this agent the file would be invalid: a binding that is not ours routes to it.
    fn still_bound(&self, id: &ResourceId) -> Option<Note> {
        let many = self.strange.get(&id.name.to_ascii_lowercase()).copied().unwrap_or_default();
        (many > 0).then(|| {
            let text = format!(
                "the agent `{}` left the manifest, but {} that we did not make still route to it",
                id.name,
                count(many, "binding")
            );
            Note::error("openclaw.still-bound", text)
                .about(id)
                .hint("remove those bindings or route them to another agent, or name the agent in the manifest again")
        })
    }

    fn binding(&self, want: &BindingSpec, last: Option<&OpenClawSpec>) -> Option<Seen<OpenClawState>> {
        let key = self.key(want);
        let at = key.as_ref().and_then(|key| self.config.binding(key));
        if let Some(other) = key.as_ref().and_then(|key| self.in_the_way(key, at)) {
            let state = self.binding_state(other, want)?;
            let owner = Owner::Foreign(format!("routed to `{}` by a binding that is not ours", other.agent));
            return Some(Seen { state, owner });
        }
        let now = key.and_then(|key| self.binding_state(&key, want));
        let before = || match last {
            Some(OpenClawSpec::Binding(last)) => self.binding_state(&self.key(last)?, last),
            _ => None,
        };
        now.or_else(before).map(unmarked)
    }

    /// The binding, if its values are known.
    fn key(&self, spec: &BindingSpec) -> Option<Key> {
        let key = key_of(spec, &Outputs::new()).ok()?;
        Some(self.for_all_accounts(&key).unwrap_or(key))
    }

    /// A catch-all that is there for all accounts serves as well as one for the default account.
    fn for_all_accounts(&self, key: &Key) -> Option<Key> {
        let wide = Key::new(&key.agent, Some("*"), Peer::Any);
        let wanted = key.is_catch_all() && key.route.account.is_none() && self.config.binding(key).is_none();
        (wanted && self.config.binding(&wide).is_some()).then_some(wide)
    }

    /// A binding of somebody else that would win over ours: it hears the same and stands before it.
    fn in_the_way(&self, key: &Key, at: Option<usize>) -> Option<&Key> {
        let mut rivals = self.config.on_route(&key.route);
        rivals.find_map(|index| {
            let other = self.config.routes[index].as_ref()?;
            let first = at.is_none_or(|at| index < at);
            (first && other.agent != key.agent && !self.ours.contains(other)).then_some(other)
        })
    }

    fn binding_state(&self, key: &Key, spec: &BindingSpec) -> Option<OpenClawState> {
        let at = self.config.binding(key)?;
        let behind_catch_all =
            !key.is_catch_all() && self.config.catch_all.is_some_and(|catch_all| catch_all < at);
        let peer = match &key.route.peer {
            Peer::Room(id) => PeerSpec::Room(Value::Known(RoomId(id.clone()))),
            Peer::Direct(id) => PeerSpec::Direct(UserId(id.clone())),
            Peer::Any => PeerSpec::CatchAll,
        };
        let binding = BindingSpec {
            agent: key.agent.clone(),
            account: key.route.account.clone(),
            peer,
            shown: spec.shown.clone(),
        };
        Some(OpenClawState::Binding { binding, behind_catch_all })
    }

    fn group(&self, room: &str) -> Option<OpenClawState> {
        let group = self.config.group(room)?;
        Some(OpenClawState::Group {
            room: room.into(),
            enabled: enabled(group),
            auto_reply: group["autoReply"].as_bool(),
        })
    }

    /// Agents and accounts are called in the file what they are called in the manifest.
    fn by_name(
        &self,
        id: &ResourceId,
        want: Option<&OpenClawSpec>,
        last: Option<&OpenClawSpec>,
    ) -> Option<OpenClawState> {
        if id.kind == "account" {
            let account = self.config.account(&id.name)?;
            let text = |key: &str| account[key].as_str().map(ToOwned::to_owned);
            let token = self.ask.paths.account_token(&id.name);
            return Some(OpenClawState::Account {
                name: id.name.to_string(),
                user_id: text("userId"),
                homeserver: text("homeserver"),
                our_token: Account::token_is_ours(self.config, &id.name, &token),
            });
        }
        let entry = self.config.agents.get(&id.name.to_ascii_lowercase())?;
        let mut fields: Vec<Field> = Vec::new();
        let managed = [want, last].into_iter().flatten().filter_map(|spec| match spec {
            OpenClawSpec::Agent { fields, .. } => Some(fields),
            _ => None,
        });
        for field in managed.flatten() {
            if let Some(value) = field_of(entry, &field.path)
                && !fields.iter().any(|known| known.path == field.path)
            {
                fields.push(Field { path: field.path.clone(), value: value.clone() });
            }
        }
        Some(OpenClawState::Agent { fields })
    }

    /// What is there, is not ours and is not asked for.
    fn strangers(&self) -> BTreeMap<String, usize> {
        let mut specs: Vec<OpenClawSpec> = self.ask.wanted.iter().map(|want| want.spec.clone()).collect();
        for spec in &mut specs {
            spec.settle(self.ask.known);
        }
        specs.extend(self.last.values().cloned());
        let mut agents = HashSet::new();
        let mut rooms = HashSet::new();
        for spec in &specs {
            match spec {
                OpenClawSpec::Agent { id, .. } => agents.extend([id.as_str()]),
                OpenClawSpec::Group(group) => rooms.extend(group.room.known().map(|room| room.0.as_str())),
                _ => {}
            }
        }
        let mut keys: HashSet<Key> = specs.iter().filter_map(key).collect();
        let wide: Vec<Key> = keys.iter().filter_map(|key| self.for_all_accounts(key)).collect();
        keys.extend(wide);
        let not_ours = |key: &&Option<Key>| !key.as_ref().is_some_and(|key| keys.contains(key));
        let counts = [
            ("agents", self.config.agents.keys().filter(|id| !agents.contains(id.as_str())).count()),
            ("bindings", self.config.routes.iter().filter(not_ours).count()),
            ("groups", self.config.groups().filter(|room| !rooms.contains(room)).count()),
        ];
        counts.into_iter().filter(|(_, many)| *many > 0).map(|(kind, many)| (kind.to_owned(), many)).collect()
    }
}

fn unmarked(state: OpenClawState) -> Seen<OpenClawState> {
    Seen { state, owner: Owner::Unmarked }
}

/// The binding that a spec with known values is about.
fn key(spec: &OpenClawSpec) -> Option<Key> {
    match spec {
        OpenClawSpec::Binding(binding) => key_of(binding, &Outputs::new()).ok(),
        _ => None,
    }
}
