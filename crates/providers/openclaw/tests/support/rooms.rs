//! Rooms, made by a system that is as small as can be: it stands for Matrix, and yields room ids.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use fraktalia_engine::{Ask, Landed, ObserveError, Observed, Provider, StepCx, StepError};
use fraktalia_model::{Manifest, Notes, Outputs, ResourceId, RoomId, Span, SystemId, id};
use fraktalia_plan::{
    Delta, Described, Impact, Owner, Resource, ResourceIds, Seen, Spec, StepDraft, System, Verb, Work,
};
use serde::{Deserialize, Serialize};

/// Rooms that exist: their ids by key.
#[derive(Clone, Default)]
pub struct Made(Arc<Mutex<BTreeMap<String, String>>>);

impl Made {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A room that is there already.
    pub fn put(&self, key: &str, id: &str) {
        self.lock().insert(key.into(), id.into());
    }

    /// The id of a room that is there.
    pub fn id(&self, key: &str) -> String {
        self.lock().get(key).cloned().expect("it is there")
    }

    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }
}

/// The system.
pub struct Rooms(Made);

impl Rooms {
    pub fn new(made: &Made) -> Self {
        Self(made.clone())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomSpec {
    key: String,
}

impl Spec for RoomSpec {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomOp {
    key: String,
    there: bool,
}

impl System for Rooms {
    type Spec = RoomSpec;
    type State = String;
    type Op = RoomOp;
    const FORMAT: u16 = 1;

    fn id(&self) -> SystemId {
        SystemId::matrix()
    }
    fn lower(&self, manifest: &Manifest) -> Result<Vec<Resource<RoomSpec>>, Notes> {
        let room = |room: &fraktalia_model::manifest::Room| Resource {
            id: id::room(&room.key),
            spec: RoomSpec { key: room.key.clone() },
            subject: room.key.clone(),
            requires: ResourceIds::new(),
            on_remove: room.on_remove,
            at: Span::default(),
        };
        Ok(manifest.rooms.values().map(room).collect())
    }
    fn describe(&self, spec: &RoomSpec) -> Described {
        Described { title: spec.key.clone(), summary: String::new() }
    }
    fn describe_seen(&self, _: &ResourceId, have: &String) -> Described {
        Described { title: have.clone(), summary: String::new() }
    }
    fn diff(&self, _: &Resource<RoomSpec>, _: &Seen<String>, _: Option<&RoomSpec>) -> Delta {
        Delta::default()
    }
    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<RoomOp>> {
        let draft = |item: &Work<'_, Self>| StepDraft {
            realises: vec![item.id.clone()],
            op: RoomOp { key: item.id.name.to_string(), there: item.verb == Verb::Create },
            impact: Impact::Quiet,
            title: format!("{:?} {}", item.verb, item.id),
        };
        work.iter().filter(|item| matches!(item.verb, Verb::Create | Verb::Delete)).map(draft).collect()
    }
}

#[async_trait]
impl Provider for Rooms {
    type Undo = Option<String>;

    async fn observe(&self, _: &Ask<'_, RoomSpec>) -> Result<Observed<String>, ObserveError> {
        let mut observed = Observed::default();
        for (key, room) in self.0.lock().iter() {
            observed.outputs.set(&id::room(key), &RoomId(room.clone()));
            observed.found.insert(id::room(key), Seen { state: room.clone(), owner: Owner::Ours });
        }
        Ok(observed)
    }
    async fn prepare(&self, op: &RoomOp, _: &StepCx<'_>) -> Result<Option<String>, StepError> {
        Ok(self.0.lock().get(&op.key).cloned())
    }
    async fn perform(&self, op: &RoomOp, _: &StepCx<'_>) -> Result<Outputs, StepError> {
        if op.there {
            let room = format!("!{}:test", op.key);
            self.0.put(&op.key, &room);
            return Ok(Outputs::of(&id::room(&op.key), &RoomId(room)));
        }
        self.0.lock().remove(&op.key);
        Ok(Outputs::new())
    }
    async fn landed(&self, op: &RoomOp, _: &Option<String>, _: &StepCx<'_>) -> Result<Landed, StepError> {
        let there = self.0.lock().get(&op.key).cloned();
        Ok(match (op.there, there) {
            (true, Some(room)) => Landed::Yes(Outputs::of(&id::room(&op.key), &RoomId(room))),
            (false, None) => Landed::Yes(Outputs::new()),
            _ => Landed::No,
        })
    }
    async fn revert(&self, op: &RoomOp, undo: &Option<String>, _: &StepCx<'_>) -> Result<(), StepError> {
        let mut made = self.0.lock();
        match undo {
            Some(room) => made.insert(op.key.clone(), room.clone()),
            None => made.remove(&op.key),
        };
        Ok(())
    }
    fn by_hand(&self, _: &RoomOp, _: &Option<String>) -> Vec<String> {
        Vec::new()
    }
}
