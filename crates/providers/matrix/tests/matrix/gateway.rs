//! A gateway as far as a homeserver notices one: it takes up all its routes in one write, and by the end of that has
//! answered each invitation of its bot with a join of its own, though the bot was joined long before.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use fraktalia_engine::{Ask, Landed, ObserveError, Provider, StepCx, StepError};
use fraktalia_model::manifest::{Manifest, OnRemove, Peer};
use fraktalia_model::{Notes, Outputs, ResourceId, RoomId, SystemId, Value, id};
use fraktalia_plan::{
    Delta, Described, Impact, Observed, Owner, Resource, Seen, Spec, StepDraft, System, Verb, Work,
};
use fraktalia_testkit::real::Person;
use fraktalia_testkit::real::person::encode;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Its bot, and the names of the bindings that it holds. Clones share them.
#[derive(Clone)]
pub struct Gateway {
    bot: Person,
    routes: Arc<Mutex<BTreeSet<String>>>,
    /// Rooms whose invitation it has answered.
    answered: Arc<Mutex<BTreeSet<RoomId>>>,
}

/// A room that is routed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route(Value<RoomId>);

impl Spec for Route {
    fn pending(&self) -> Vec<ResourceId> {
        self.0.pending().cloned().into_iter().collect()
    }
    fn settle(&mut self, known: &Outputs) {
        self.0.settle(known);
    }
}

/// One write of the whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    add: BTreeSet<String>,
    drop: BTreeSet<String>,
    rooms: Vec<Value<RoomId>>,
}

impl Gateway {
    pub fn of(bot: Person) -> Self {
        Self { bot, routes: Arc::default(), answered: Arc::default() }
    }

    /// Whether it heard of this room for the first time.
    fn is_news(&self, room: &RoomId) -> bool {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(room.clone())
    }

    fn routes(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl System for Gateway {
    type Spec = Route;
    type State = bool;
    type Op = Write;
    const FORMAT: u16 = 1;

    fn id(&self) -> SystemId {
        SystemId::openclaw()
    }

    fn lower(&self, manifest: &Manifest) -> Result<Vec<Resource<Route>>, Notes> {
        let route = |binding: &fraktalia_model::manifest::Binding| {
            let Peer::Room(key) = &binding.peer else { return None };
            let members = manifest.rooms.get(key).into_iter().flat_map(|room| &room.members);
            Some(Resource {
                id: id::binding(&binding.agent, &binding.peer.to_string()),
                spec: Route(Value::after(id::room(key))),
                subject: key.clone(),
                requires: members.map(|member| id::member(key, &member.user.0)).collect(),
                on_remove: OnRemove::Delete,
                at: binding.at.clone(),
            })
        };
        Ok(manifest.bindings.iter().filter_map(route).collect())
    }

    fn describe(&self, _spec: &Route) -> Described {
        Described::default()
    }

    fn describe_seen(&self, id: &ResourceId, _have: &bool) -> Described {
        Described { title: id.name.to_string(), summary: String::new() }
    }

    fn diff(&self, _want: &Resource<Route>, _have: &Seen<bool>, _last: Option<&Route>) -> Delta {
        Delta::default()
    }

    fn steps(&self, work: &[Work<'_, Self>]) -> Vec<StepDraft<Write>> {
        let of = |verb: Verb| {
            work.iter().filter(move |item| item.verb == verb).map(|item| item.id.name.to_string())
        };
        let rooms = work.iter().filter_map(|item| Some(item.want?.spec.0.clone())).collect();
        let op = Write { add: of(Verb::Create).collect(), drop: of(Verb::Delete).collect(), rooms };
        let realises = work.iter().map(|item| item.id.clone()).collect();
        vec![StepDraft { realises, op, impact: Impact::Quiet, title: "write the file".into() }]
    }
}

#[async_trait]
impl Provider for Gateway {
    type Undo = BTreeSet<String>;

    async fn observe(&self, _ask: &Ask<'_, Route>) -> Result<Observed<bool>, ObserveError> {
        let seen = |name: &String| {
            let id = ResourceId::new(SystemId::openclaw(), "binding", name.clone());
            (id, Seen { state: true, owner: Owner::Ours })
        };
        Ok(Observed { found: self.routes().iter().map(seen).collect(), ..Observed::default() })
    }

    async fn prepare(&self, _op: &Write, _cx: &StepCx<'_>) -> Result<BTreeSet<String>, StepError> {
        Ok(self.routes().clone())
    }

    async fn perform(&self, op: &Write, cx: &StepCx<'_>) -> Result<Outputs, StepError> {
        for room in &op.rooms {
            let room = cx.outputs.resolve(room).map_err(|error| StepError::refused(error.to_string()))?;
            if !self.is_news(&room) {
                continue;
            }
            let path = format!("/_matrix/client/v3/join/{}", encode(&room.0));
            self.bot
                .post(&path, &json!({}))
                .await
                .map_err(|error| StepError::refused(format!("the bot cannot join: {error}")))?;
        }
        let mut routes = self.routes();
        routes.retain(|name| !op.drop.contains(name));
        routes.extend(op.add.iter().cloned());
        Ok(Outputs::new())
    }

    async fn landed(&self, op: &Write, _: &BTreeSet<String>, _: &StepCx<'_>) -> Result<Landed, StepError> {
        let routes = self.routes();
        let done = op.add.is_subset(&routes) && op.drop.is_disjoint(&routes);
        Ok(if done { Landed::Yes(Outputs::new()) } else { Landed::No })
    }

    async fn revert(&self, _: &Write, before: &BTreeSet<String>, _: &StepCx<'_>) -> Result<(), StepError> {
        self.routes().clone_from(before);
        Ok(())
    }

    fn by_hand(&self, _: &Write, _: &BTreeSet<String>) -> Vec<String> {
        Vec::new()
    }
}
