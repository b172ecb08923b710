//! A manifest, a state directory and a homeserver: what a test plays on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use fraktalia_engine::journal::FaultAt;
use fraktalia_engine::session::Options;
use fraktalia_engine::{Ended, Outcome, Planned, Registry, Session, StatePaths};
use fraktalia_matrix::{Limits, Matrix};
use fraktalia_model::manifest::{self, Manifest, Member, MemberRole, MembersPolicy, OnRemove, Room, User};
use fraktalia_model::{SecretSource, Span, UserId};
use fraktalia_plan::Verb;
use fraktalia_testkit::contract::{self, Subject, left, silent};
use fraktalia_testkit::real::Person;
use fraktalia_testkit::real::person::encode;
use fraktalia_testkit::twice::Twice;
use serde_json::{Map, Value as Json, json};

use crate::gateway::Gateway;
use crate::home::Home;

/// A manifest in a folder, our state, and a homeserver.
pub struct Stage {
    pub home: Home,
    pub manifest: Manifest,
    pub gateway: Option<Gateway>,
    dir: tempfile::TempDir,
    limits: Limits,
    state: String,
}

impl Stage {
    /// An empty manifest of the realm `home`.
    pub fn new(home: Home) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("token"), home.admin.token()).expect("the token is written");
        let mut manifest = fraktalia_testkit::manifest::empty("home", dir.path());
        manifest.matrix = Some(manifest::Matrix {
            at: Span::default(),
            homeserver: home.base.clone(),
            server_name: "chat.test".into(),
            admin_token: SecretSource::File("token".into()),
            bot: UserId("@agent:chat.test".into()),
            padding: Vec::new(),
        });
        // On loopback nothing arrives late; tests in which something does say how late.
        let limits = Limits { settle: std::time::Duration::from_millis(40), ..Limits::default() };
        Self { home, manifest, gateway: None, dir, limits, state: "state".into() }
    }

    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn state(&self) -> StatePaths {
        StatePaths::new(self.path(&self.state))
    }

    /// A second state directory with the same record of what is ours; what it keeps of its looks is its own.
    pub fn other_state(&self) -> StatePaths {
        let paths = StatePaths::new(self.path("other-state"));
        paths.create().expect("the folders are made");
        std::fs::copy(self.state().ledger(), paths.ledger()).expect("there is a record");
        paths
    }

    /// Plans from what is kept of earlier looks.
    pub async fn look(&self) -> Planned {
        self.plan_from(self.state(), Limits::default(), false).await
    }

    /// Where one event of a room's state is read and written.
    pub fn state_path(room: &str, kind: &str) -> String {
        format!("/_matrix/client/v3/rooms/{}/state/{kind}/", encode(room))
    }

    /// Looks from another state directory or with other limits.
    pub async fn plan_from(&self, state: StatePaths, limits: Limits, refresh: bool) -> Planned {
        let section = self.manifest.matrix.as_ref().expect("a homeserver");
        let registry = Registry::new().with(Matrix::new(section).with_limits(limits));
        let session = Session::new(self.manifest.clone(), registry, state);
        session.plan(&Options::default(), refresh).await.expect("a plan can be made")
    }

    /// As if our state had been deleted.
    pub fn lose_state(&mut self) {
        self.state.push('x');
    }

    pub fn user(&mut self, localpart: &str) -> &mut User {
        let id = UserId(Home::id(localpart));
        self.manifest.users.entry(localpart.into()).or_insert(User {
            at: Span::default(),
            id,
            display_name: None,
            password: None,
            bot: false,
            on_remove: OnRemove::Keep,
            owned_by: None,
        })
    }

    pub fn room(&mut self, key: &str) -> &mut Room {
        self.manifest.rooms.entry(key.into()).or_insert_with(|| Room {
            at: Span::default(),
            key: key.into(),
            fractal: None,
            bound: false,
            space: false,
            name: None,
            topic: None,
            id: None,
            from_realm: None,
            aliased: true,
            alias: key.into(),
            avatar: None,
            members: Vec::new(),
            members_policy: MembersPolicy::AtLeast,
            join_rule: None,
            history: None,
            encrypted: None,
            power_levels: BTreeMap::new(),
            parent: None,
            on_remove: OnRemove::Retire,
        })
    }

    /// Binds an agent to a room, and no other any more.
    pub fn bind_only(&mut self, agent: &str, room: &str) {
        self.manifest.bindings = vec![manifest::Binding {
            at: Span::default(),
            agent: agent.into(),
            peer: manifest::Peer::Room(room.into()),
            account_of: None,
            fractal: None,
        }];
    }

    pub fn session(&self) -> Session {
        Subject::session(self, None)
    }

    /// Plans from what is kept of earlier looks; a plan that believes nothing has to be the same.
    pub async fn plan(&self) -> Planned {
        let planned = self.session().plan(&Options::default(), false).await.expect("a plan can be made");
        let afresh = self.session().plan(&Options::default(), true).await.expect("a plan can be made");
        assert_eq!(planned.found, afresh.found, "the cache has to be true");
        assert_eq!(planned.plan, afresh.plan, "the cache has to be true");
        planned
    }

    pub async fn try_apply(&self) -> Ended {
        contract::apply(&self.session()).await.expect("the apply runs")
    }

    /// Applies; the result has to be in sync.
    pub async fn apply(&self) -> Ended {
        let ended = self.try_apply().await;
        assert_eq!(left(&self.session()).await, Vec::<String>::new(), "a second plan is empty");
        assert_eq!(ended.outcome, Some(Outcome::Applied), "{:?}", ended.why);
        ended
    }

    pub async fn roll_back(&self, run: &str) {
        let session = self.session();
        let run = session.run(run).expect("the run is on record");
        let lock = session.lock().expect("nobody holds the lock");
        let ended = session.roll_back_run(&lock, &run, &contract::quiet()).await.expect("the rollback runs");
        assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    }

    pub fn alias(key: &str) -> String {
        format!("#{key}:chat.test")
    }

    /// The id of a room by its alias.
    pub async fn room_id(&self, key: &str) -> Option<String> {
        self.home.admin.resolve(&Self::alias(key)).await.expect("the directory answers")
    }

    pub async fn event(&self, room: &str, kind: &str, key: &str) -> Json {
        let path = format!("/_matrix/client/v3/rooms/{}/state/{kind}/{}", encode(room), encode(key));
        self.home.admin.get(&path).await.unwrap_or(Json::Null)
    }

    pub async fn membership(&self, room: &str, localpart: &str) -> String {
        let event = self.event(room, "m.room.member", &Home::id(localpart)).await;
        event["membership"].as_str().unwrap_or("none").to_owned()
    }

    pub async fn joined_rooms(&self) -> usize {
        let answer = self.home.admin.get("/_matrix/client/v3/joined_rooms").await.expect("answers");
        answer["joined_rooms"].as_array().map_or(0, Vec::len)
    }

    async fn room_snapshot(&self, alias: &str) -> Json {
        let Some(room) = self.home.admin.resolve(alias).await.expect("the directory answers") else {
            return Json::Null;
        };
        let path = format!("/_synapse/admin/v1/rooms/{}/state", encode(&room));
        let answer = self.home.admin.get(&path).await.expect("the state can be read");
        let mut events = Map::new();
        for event in answer["state"].as_array().into_iter().flatten() {
            let (kind, key) = (&event["type"], &event["state_key"]);
            let key = key.as_str().filter(|key| !key.starts_with('!')).unwrap_or("(a room)");
            events.insert(format!("{}/{key}", kind.as_str().unwrap_or_default()), settled(&event["content"]));
        }
        Json::Object(events)
    }
}

/// Without what is another in every run.
fn settled(content: &Json) -> Json {
    let mut content = content.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("run");
        fields.remove("step");
        fields.remove("io.fraktalia.owner");
    }
    for entry in content.get_mut("allow").and_then(Json::as_array_mut).into_iter().flatten() {
        entry["room_id"] = json!("(a room)");
    }
    content
}

#[async_trait]
impl Subject for Stage {
    fn session(&self, fault: Option<FaultAt>) -> Session {
        let section = self.manifest.matrix.as_ref().expect("a homeserver");
        let matrix = Twice(Matrix::new(section).with_limits(self.limits));
        let registry = Registry::new().with(matrix);
        let registry = match &self.gateway {
            Some(gateway) => registry.with(Twice(gateway.clone())),
            None => registry,
        };
        Session::new(self.manifest.clone(), registry, self.state()).with_fault(silent(fault))
    }

    async fn snapshot(&self) -> Json {
        let admin: &Person = &self.home.admin;
        let mut rooms = Map::new();
        for room in self.manifest.rooms.values() {
            let alias = Self::alias(&room.alias);
            rooms.insert(alias.clone(), self.room_snapshot(&alias).await);
        }
        let mut users = Map::new();
        for user in self.manifest.users.values() {
            let path = format!("/_synapse/admin/v2/users/{}", encode(&user.id.0));
            let account = admin.get(&path).await.unwrap_or(Json::Null);
            // Matrix lets no user be removed: one that is out of use is as good as none.
            let there = account["deactivated"] == false;
            let seen = there.then(|| json!([account["displayname"], account["user_type"]]));
            users.insert(user.id.0.clone(), json!(seen));
        }
        let path = format!("/_synapse/admin/v1/users/{}/override_ratelimit", encode(admin.user_id()));
        let secrets = std::fs::read_dir(self.state().secrets()).map_or(0, Iterator::count);
        json!({
            "rooms": rooms,
            "in": self.joined_rooms().await,
            "users": users,
            "limit": admin.get(&path).await.expect("the limit can be read"),
            "secrets": secrets,
        })
    }
}

/// An alias as a part of a path.
pub fn encoded_alias(key: &str) -> String {
    encode(&Stage::alias(key))
}

/// A member called by a full id.
pub fn member(user: &str, role: MemberRole) -> Member {
    Member { user: UserId(user.into()), display_name: None, role }
}

/// Id and verb of each change.
pub fn verbs(planned: &Planned) -> Vec<(String, Verb)> {
    planned.plan.changes.iter().map(|change| (change.id.to_string(), change.verb)).collect()
}

/// Codes of the notes that are in the way.
pub fn blockers(planned: &Planned) -> Vec<String> {
    planned.plan.blockers().map(|note| note.code.clone()).collect()
}
