//! A system as small as can be: boxes with a label, some of which stand on others, and
//! some of which are too heavy to be labelled anew where they stand. It tests planner and engine
//! without any outside system, and shows how a provider is built.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use fraktalia_engine::{Ask, Landed, ObserveError, Observed, Provider, StepCx, StepError};
use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{Manifest, Notes, Outputs, ResourceId, RoomId, Span, SystemId, Value};
use fraktalia_plan::{
    Delta, Described, Impact, Owner, Resource, Seen, Spec, StepDraft, System, Verb, Work, diff,
};
use serde::{Deserialize, Serialize};

/// What is asked of a box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxSpec {
    /// What stands on it.
    pub label: String,
    /// The boxes it stands on.
    pub on: BTreeMap<String, Value<RoomId>>,
    /// Whether its removal can be taken back.
    pub precious: bool,
}

impl Spec for BoxSpec {
    fn pending(&self) -> Vec<ResourceId> {
        self.on.values().filter_map(|value| value.pending().cloned()).collect()
    }
    fn settle(&mut self, known: &Outputs) {
        self.on.values_mut().for_each(|value| value.settle(known));
    }
}

/// A box that is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxState {
    /// Its number: what it yields, made up by the shelf.
    pub number: u64,
    /// What stands on it.
    pub label: String,
    /// The numbers of the boxes it stands on.
    pub on: BTreeMap<String, String>,
    /// Whose it is: a realm.
    pub realm: Option<String>,
    /// Whether its removal can be taken back.
    pub precious: bool,
    /// The run and step that put it there.
    pub stamp: String,
}

/// What can be done to a box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum BoxOp {
    /// Put it there, or change it.
    Put {
        /// Its name.
        name: String,
        /// As it is to be.
        spec: BoxSpec,
        /// Whether another box is put in its place, with another number.
        anew: bool,
    },
    /// Take it away.
    Take {
        /// Its name.
        name: String,
    },
}

impl BoxOp {
    fn name(&self) -> &str {
        match self {
            Self::Put { name, .. } | Self::Take { name } => name,
        }
    }
}

/// What goes wrong, by box; each entry once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The shelf says no.
    Refuse,
    /// It is done, but the answer gets lost.
    DoneButLost,
    /// It is not done, and no answer comes.
    Lost,
    /// It is done, and cannot be taken back when asked the first time.
    Glued,
    /// It is said to be done, and is not.
    Lied,
}

/// The shelf and all on it.
#[derive(Debug, Default)]
pub struct World {
    /// Boxes by name.
    pub boxes: BTreeMap<String, BoxState>,
    /// What goes wrong next.
    pub trouble: BTreeMap<String, Trouble>,
    /// Whether a look sees all.
    pub blind: bool,
    /// Whether boxes protect those that stand on them.
    pub protects: bool,
    /// How many effects the shelf had.
    pub writes: usize,
    last_number: u64,
}

/// A wish: what the manifest would ask for.
pub type Wishes = Vec<Resource<BoxSpec>>;

/// The system. Clones share the world.
#[derive(Clone)]
pub struct Shelf {
    system: SystemId,
    wishes: Arc<Wishes>,
    world: Arc<Mutex<World>>,
}

impl Shelf {
    /// A shelf called `name` that is to hold `wishes`.
    pub fn new(name: &str, wishes: Wishes, world: Arc<Mutex<World>>) -> Self {
        Self { system: SystemId::named(name), wishes: Arc::new(wishes), world }
    }

    /// The world.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of a box.
pub fn id(shelf: &str, name: &str) -> ResourceId {
    ResourceId::new(SystemId::named(shelf), "box", name)
}

/// A wish for a box that stands on others.
pub fn wish(shelf: &str, name: &str, label: &str, on: &[ResourceId]) -> Resource<BoxSpec> {
    Resource {
        id: id(shelf, name),
        spec: BoxSpec {
            label: label.into(),
            on: on.iter().map(|other| (other.to_string(), Value::after(other.clone()))).collect(),
            precious: false,
        },
        subject: name.into(),
        requires: on.iter().cloned().collect(),
        on_remove: OnRemove::Delete,
        at: Span::default(),
    }
}

impl System for Shelf {
    type Spec = BoxSpec;
    type State = BoxState;
    type Op = BoxOp;
    const FORMAT: u16 = 1;

    fn id(&self) -> SystemId {
        self.system.clone()
    }
    fn lower(&self, _manifest: &Manifest) -> Result<Vec<Resource<BoxSpec>>, Notes> {
        Ok(self.wishes.as_ref().clone())
    }
    fn describe(&self, spec: &BoxSpec) -> Described {
        Described { title: spec.label.clone(), summary: String::new() }
    }
    fn describe_seen(&self, id: &ResourceId, have: &BoxState) -> Described {
        Described { title: have.label.clone(), summary: id.name.to_string() }
    }
    fn diff(&self, want: &Resource<BoxSpec>, have: &Seen<BoxState>, last: Option<&BoxSpec>) -> Delta {
        let label = diff::compare(
            "label",
            &want.spec.label,
            &have.state.label,
            last.map(|last| &last.label),
            |label| Some(label.clone()),
        );
        let mut fields = Vec::from_iter(label);
        for (other, value) in &want.spec.on {
            let seen = have.state.on.get(other).map(|number| RoomId(number.clone()));
            let last = last.and_then(|last| last.on.get(other)).and_then(Value::known);
            fields.extend(match value.known() {
                Some(known) => diff::optional("on", Some(known), seen.as_ref(), last),
                None => {
                    diff::optional("on", Some(&RoomId("(known after apply)".into())), seen.as_ref(), last)
                }
            });
        }
        // A heavy box cannot be labelled anew where it stands.
        let heavy = have.state.label.starts_with("heavy") && want.spec.label != have.state.label;
        Delta { fields, replace: heavy.then(|| "it is heavy".into()), ..Delta::default() }
    }
    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<BoxOp>> {
        work.iter()
            .filter_map(|item| {
                let (op, impact) = match (item.verb, item.want, item.have) {
                    (Verb::Create | Verb::Update | Verb::Replace, Some(want), _) => {
                        let (name, spec) = (want.id.name.to_string(), want.spec.clone());
                        (BoxOp::Put { name, spec, anew: item.verb == Verb::Replace }, Impact::Quiet)
                    }
                    (Verb::Delete, _, Some(have)) if have.state.precious => {
                        let impact = Impact::Irreversible("it is precious".into());
                        (BoxOp::Take { name: item.id.name.to_string() }, impact)
                    }
                    (Verb::Delete, ..) => (BoxOp::Take { name: item.id.name.to_string() }, Impact::Quiet),
                    _ => return None,
                };
                let title = format!("{:?} {}", item.verb, item.id.name);
                Some(StepDraft { realises: vec![item.id.clone()], op, impact, title })
            })
            .collect()
    }
}

#[async_trait]
impl Provider for Shelf {
    type Undo = Option<BoxState>;

    fn protects(&self) -> bool {
        self.world().protects
    }

    async fn observe(&self, ask: &Ask<'_, BoxSpec>) -> Result<Observed<BoxState>, ObserveError> {
        let world = self.world();
        let mut seen = Observed { complete: !world.blind, ..Observed::default() };
        for (name, state) in &world.boxes {
            let id = id(self.system.as_str(), name);
            let owner = match &state.realm {
                Some(realm) if realm == ask.realm => Owner::Ours,
                Some(realm) => Owner::Foreign(format!("of the realm {realm}")),
                None => Owner::Unmarked,
            };
            seen.outputs.set(&id, &RoomId(state.number.to_string()));
            seen.found.insert(id, Seen { state: state.clone(), owner });
        }
        if world.blind {
            seen.found.clear();
        }
        Ok(seen)
    }

    async fn prepare(&self, op: &BoxOp, _cx: &StepCx<'_>) -> Result<Option<BoxState>, StepError> {
        Ok(self.world().boxes.get(op.name()).cloned())
    }

    async fn perform(&self, op: &BoxOp, cx: &StepCx<'_>) -> Result<Outputs, StepError> {
        // Lets other steps of the same wave come in between.
        tokio::task::yield_now().await;
        let mut world = self.world();
        let trouble = world.trouble.get(op.name()).copied();
        match trouble {
            Some(Trouble::Refuse) => {
                world.trouble.remove(op.name());
                return Err(StepError::refused("the shelf says no"));
            }
            Some(Trouble::Lost) => {
                world.trouble.remove(op.name());
                return Err(StepError::in_doubt("no answer"));
            }
            _ => {}
        }
        if trouble == Some(Trouble::Lied) {
            return Ok(Outputs::of(&id(self.system.as_str(), op.name()), &RoomId("0".into())));
        }
        let outputs = world.put(op, cx, &self.system)?;
        world.writes += 1;
        if trouble == Some(Trouble::DoneButLost) {
            world.trouble.remove(op.name());
            return Err(StepError::in_doubt("the answer got lost"));
        }
        Ok(outputs)
    }

    async fn landed(
        &self,
        op: &BoxOp,
        undo: &Option<BoxState>,
        _cx: &StepCx<'_>,
    ) -> Result<Landed, StepError> {
        let world = self.world();
        let now = world.boxes.get(op.name());
        Ok(match (op, now) {
            (BoxOp::Take { .. }, None) => Landed::Yes(Outputs::new()),
            (BoxOp::Take { .. }, Some(_)) => Landed::No,
            (BoxOp::Put { .. }, now) if now == undo.as_ref() => Landed::No,
            (BoxOp::Put { spec, name, .. }, Some(now)) if now.label == spec.label => {
                Landed::Yes(Outputs::of(&id(self.system.as_str(), name), &RoomId(now.number.to_string())))
            }
            (BoxOp::Put { .. }, _) => Landed::Torn { why: "another label stands on it".into() },
        })
    }

    async fn revert(&self, op: &BoxOp, undo: &Option<BoxState>, _cx: &StepCx<'_>) -> Result<(), StepError> {
        let mut world = self.world();
        if world.trouble.get(op.name()) == Some(&Trouble::Glued) {
            world.trouble.remove(op.name());
            return Err(StepError::refused("it is glued to the shelf"));
        }
        match undo {
            Some(before) => world.boxes.insert(op.name().into(), before.clone()),
            None => world.boxes.remove(op.name()),
        };
        Ok(())
    }

    fn by_hand(&self, op: &BoxOp, _undo: &Option<BoxState>) -> Vec<String> {
        vec![format!("put {} back as it was", op.name())]
    }
}

impl World {
    fn put(&mut self, op: &BoxOp, cx: &StepCx<'_>, system: &SystemId) -> Result<Outputs, StepError> {
        let (name, spec, anew) = match op {
            BoxOp::Take { name } => {
                self.boxes.remove(name);
                return Ok(Outputs::new());
            }
            BoxOp::Put { name, spec, anew } => (name, spec, *anew),
        };
        let stamp = format!("{}/{}", cx.run, cx.step);
        let mut on = BTreeMap::new();
        for (other, value) in &spec.on {
            let number = cx.outputs.resolve(value).map_err(|error| StepError::refused(error.to_string()))?;
            on.insert(other.clone(), number.0);
        }
        let number = match self.boxes.get(name) {
            Some(there) if !anew || there.stamp == stamp => there.number,
            _ => {
                self.last_number += 1;
                self.last_number
            }
        };
        let state = BoxState {
            number,
            label: spec.label.clone(),
            on,
            realm: Some(cx.realm.into()),
            precious: spec.precious,
            stamp,
        };
        self.boxes.insert(name.clone(), state);
        Ok(Outputs::of(&id(system.as_str(), name), &RoomId(number.to_string())))
    }
}
