//! A desk with its store, a planner that reads the manifest with what is proposed, and an applier that writes it there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use fraktalia_desk::{
    Act, Case, Do, EventId, Filing, Heard, Key, Lane, Moment, Order, Outcome, Plan, Planned, Policy, Sent,
    Store, What,
};
use fraktalia_door::{Desk, Door, Health, Living, Settings, Token, Tokens, Unavailable};
use fraktalia_model::manifest::ApiScope;
use fraktalia_model::{Manifest, MemoryFiles, Notes, SecretText, UserId, manifest};
use tokio::sync::watch;

use crate::http::Server;

const MANIFEST: &str = "\
version: 1
realm: home
include: [written/*.yaml]
matrix:
  homeserver: http://127.0.0.1:8008
  server_name: chat.home
  admin_token: { file: token }
  bot: '@agent:chat.home'
  padding: ['@warden:chat.home', '@steward:chat.home']
openclaw: { config: /srv/openclaw.json }
users: { ana: , ben: }
networks: { net: { subnet: 172.30.77.0/24 } }
sandboxes: { standard: { image: { tag: 'box:1' }, network: net } }
rooms: { admin: { members: [ana, ben] } }
fractals: { gardener: { members: [ana, ben], purpose: Plans the garden. } }
admin_room:
  room: admin
  operators: [ana]
  write_to: written/
  allow:
    models: [anthropic/claude-haiku-4-5]
    sandboxes: [standard]
    members: [ana, ben]
    forwards: 1
    per_day: 100000
    open: 100000
api:
  tokens:
    all: { token: { env: A }, scopes: [read, propose, apply], expires: 2030-01-01 }
    ci: { token: { env: B }, scopes: [propose], expires: 2030-01-01 }
    eye: { token: { env: C }, scopes: [read], expires: 2030-01-01 }
    old: { token: { env: D }, scopes: [read, propose, apply], expires: 2020-01-01 }
    slow: { token: { env: E }, scopes: [read], expires: 2030-01-01, per_minute: 2 }
";

/// 2026, long before the tokens expire but `old`.
const NOW: u64 = 1_790_000_000_000;

/// A token's text, by its name in the manifest.
pub fn secret(name: &str) -> String {
    format!("secret-of-{name}-{}", "0123456789abcdef")
}

pub struct World {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

struct State {
    store: Store,
    /// What approved proposals wrote.
    written: BTreeMap<String, String>,
    policy: Policy,
    now: u64,
    events: u64,
    /// Lanes that do nothing for now.
    held: Vec<Lane>,
    /// Messages with a plan, by what they say.
    plans: Vec<(EventId, String)>,
    /// What the next runs come to, instead of being done.
    outcomes: Vec<Outcome>,
    applied: Vec<String>,
    healthy: bool,
}

fn load(written: &BTreeMap<String, String>) -> Result<Manifest, Notes> {
    let files =
        written.iter().fold(MemoryFiles::new().with("fraktalia.yaml", MANIFEST), |files, (name, text)| {
            files.with(&format!("written/{name}.yaml"), text.clone())
        });
    let loaded = manifest::load(Path::new("fraktalia.yaml"), &files);
    let errors = loaded.notes.into_iter().filter(|note| note.severity == fraktalia_model::Severity::Error);
    loaded.manifest.ok_or_else(|| errors.collect())
}

fn policy(written: &BTreeMap<String, String>) -> Policy {
    let manifest = load(written).unwrap_or_else(|notes| panic!("{notes:?}"));
    Policy::of(&manifest, UserId("@fraktalia:chat.home".into())).expect("it has an admin room")
}

impl World {
    /// A world with its store in a directory: what was there before is there again.
    pub fn at(dir: &Path, written: BTreeMap<String, String>) -> Arc<Self> {
        let state = State {
            store: Store::open(&dir.join("desk.sqlite")).expect("it opens"),
            policy: policy(&written),
            written,
            now: NOW,
            events: 0,
            held: Vec::new(),
            plans: Vec::new(),
            outcomes: Vec::new(),
            applied: Vec::new(),
            healthy: true,
        };
        Arc::new(Self { state: Mutex::new(state), changes: watch::Sender::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn changed(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// Nobody answers in a lane until it is let go.
    pub fn hold(&self, lane: Lane) {
        self.state().held.push(lane);
    }

    pub fn let_go(&self) {
        let mut state = self.state();
        state.held.clear();
        state.work();
        drop(state);
        self.changed();
    }

    /// What the next run comes to.
    pub fn next_run(&self, outcome: Outcome) {
        self.state().outcomes.push(outcome);
    }

    /// Whether what it needs is there.
    pub fn healthy(&self, healthy: bool) {
        self.state().healthy = healthy;
    }

    /// An operator reacts to the newest plan that says something.
    pub fn react(&self, says: &str, key: &str) {
        let mut state = self.state();
        let plan = state.plans.iter().rev().find(|(_, text)| text.contains(says)).cloned();
        let (on, _) = plan.unwrap_or_else(|| panic!("a plan says {says}"));
        state.events += 1;
        let sent = Sent {
            event: EventId::new(format!("$reaction{}", state.events)).expect("an id"),
            by: UserId("@ana:chat.home".into()),
            at: Moment(state.now),
            joined: true,
            vouched: true,
        };
        state.hear(What::Reaction { sent, on, key: key.into() });
        state.work();
        drop(state);
        self.changed();
    }

    /// All that was applied, in this order.
    pub fn applied(&self) -> Vec<String> {
        self.state().applied.clone()
    }

    pub fn written(&self) -> BTreeMap<String, String> {
        self.state().written.clone()
    }
}

impl State {
    fn hear(&mut self, what: What) {
        self.now += 1;
        self.store.hear(&Heard { at: Moment(self.now), what }, &self.policy).expect("it is heard");
    }

    /// Does all that is to be done.
    fn work(&mut self) {
        loop {
            let lanes = Lane::ALL.into_iter().filter(|lane| !self.held.contains(lane));
            let acts: Vec<Act> =
                lanes.filter_map(|lane| self.store.next(lane).expect("it can be read")).collect();
            if acts.is_empty() {
                return;
            }
            for act in acts {
                self.perform(act);
            }
        }
    }

    fn perform(&mut self, act: Act) {
        let key = act.key;
        let what = match act.what {
            Do::Say { words, .. } => {
                self.events += 1;
                let event = EventId::new(format!("$ours{}", self.events)).expect("an id");
                self.plans.push((event.clone(), words.plain()));
                What::Posted { key, event }
            }
            Do::Plan { order, .. } => What::Planned { key, answer: self.plan(&order) },
            Do::Run { order, .. } => {
                let outcome =
                    if self.outcomes.is_empty() { self.run(&key, order) } else { self.outcomes.remove(0) };
                What::Ran { key, outcome }
            }
            Do::TakeBack { .. } => What::TakenBack { key, failed: None },
            Do::Look(_) => What::Looked { key, text: String::new() },
            Do::Edit { .. } | Do::React { .. } | Do::Stop { .. } | Do::Record(_) => {
                return self.store.done(&key, Moment(self.now)).expect("it is written");
            }
        };
        self.hear(what);
    }

    /// The manifest as it would be.
    fn with(&self, order: &Order) -> BTreeMap<String, String> {
        let mut written = self.written.clone();
        match order {
            Order::Add { name, fragment } => written.insert(name.clone(), fragment.clone()),
            Order::Remove { name } => written.remove(name),
            other => panic!("nothing here asks for {other:?}"),
        };
        written
    }

    fn plan(&self, order: &Order) -> Planned {
        match load(&self.with(order)) {
            Err(notes) => Planned::Findings(notes),
            Ok(manifest) => Planned::Plan(Plan {
                fingerprint: manifest.fingerprint,
                summary: "as asked".into(),
                changes: "+ what was asked for".into(),
                warnings: Vec::new(),
                empty: false,
            }),
        }
    }

    fn run(&mut self, key: &Key, order: Order) -> Outcome {
        self.written = self.with(&order);
        self.policy = policy(&self.written);
        self.applied.push(match order {
            Order::Add { name, .. } => name,
            Order::Remove { name } => format!("-{name}"),
            other => panic!("nothing here asks for {other:?}"),
        });
        Outcome::Applied { run: key.to_string(), commit: None }
    }
}

#[async_trait]
impl Desk for World {
    async fn file(&self, filing: Filing) -> Result<Case, Unavailable> {
        let origin = filing.origin.clone();
        let case = {
            let mut state = self.state();
            state.hear(What::Filed(filing));
            state.work();
            state.store.desk().case_of(&origin).cloned()
        };
        self.changed();
        case.ok_or_else(|| Unavailable("it was not heard".into()))
    }

    async fn case_of(&self, origin: &str) -> Result<Option<Case>, Unavailable> {
        Ok(self.state().store.desk().case_of(origin).cloned())
    }

    async fn cases(&self) -> Result<Vec<Case>, Unavailable> {
        Ok(self.state().store.desk().cases().cloned().collect())
    }

    async fn fractals(&self) -> Result<Vec<Living>, Unavailable> {
        let manifest = load(&self.state().written).map_err(|notes| Unavailable(format!("{notes:?}")))?;
        let living = manifest.fractals.values().map(|fractal| Living {
            key: fractal.key.clone(),
            name: fractal.name.clone(),
            purpose: fractal.purpose.clone(),
            alias: Some(format!("#{}:chat.home", fractal.key)),
            room_id: Some(format!("!{}:chat.home", fractal.key)),
            drifted: false,
        });
        Ok(living.collect())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn health(&self) -> Health {
        Health { checks: BTreeMap::from([("store", true), ("matrix", self.state().healthy)]) }
    }
}

/// The tokens of the manifest.
pub fn tokens() -> Tokens {
    let manifest = load(&BTreeMap::new()).expect("it is in order");
    let tokens = manifest.api.expect("it has an API").tokens.into_iter().map(|(name, token)| Token {
        secret: SecretText::new(secret(&name)),
        name,
        scopes: token.scopes,
        expires: Moment(token.expires_ms),
        // The manifest's own default would end a test of hundreds of requests.
        per_minute: if token.per_minute == 60 { 1_000_000 } else { token.per_minute },
    });
    Tokens::new(tokens.collect()).expect("they are good")
}

/// One token that may read.
pub fn one_token(name: &str) -> Tokens {
    let token = Token {
        name: name.into(),
        secret: SecretText::new(secret(name)),
        scopes: [ApiScope::Read].into(),
        expires: Moment(u64::MAX),
        per_minute: 60,
    };
    Tokens::new(vec![token]).expect("it is good")
}

/// A world, a door to it, and a socket.
pub struct Stage {
    pub world: Arc<World>,
    pub door: Door,
    pub server: Server,
    dir: tempfile::TempDir,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self::begin(settings, dir, BTreeMap::new()).await
    }

    async fn begin(settings: Settings, dir: tempfile::TempDir, written: BTreeMap<String, String>) -> Self {
        let world = World::at(dir.path(), written);
        let desk: Arc<dyn Desk> = Arc::clone(&world) as _;
        let door = Door::new(settings, tokens(), desk, Arc::new(|| Moment(NOW)));
        let server = Server::start(&door).await;
        Self { world, door, server, dir }
    }

    /// Ends the program and starts it anew, over the same store and the same manifest.
    pub async fn restart(self) -> Self {
        let Self { world, door, server, dir } = self;
        server.stop().await;
        drop(door);
        let written = world.written();
        assert_eq!(Arc::strong_count(&world), 1, "nobody holds the store any more");
        drop(world);
        Self::begin(Settings::default(), dir, written).await
    }
}
