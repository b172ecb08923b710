//! A world for tests: a configuration file, a gateway double, rooms that somebody else makes.

#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

pub mod rooms;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use fraktalia_engine::journal::FaultAt;
use fraktalia_engine::session::Options;
use fraktalia_engine::{Registry, Session, SessionError, StatePaths};
use fraktalia_model::manifest::{
    Account, Binding, Dialect, Fractal, Gateway, Manifest, Matrix, Model, OnRemove, OpenClaw as Section,
    Peer, Room, Workspace,
};
use fraktalia_model::{SecretSource, Span, UserId};
use fraktalia_openclaw::{OpenClaw, Patience};
use fraktalia_plan::Verb;
use fraktalia_testkit::contract::{Subject, apply, silent};
use fraktalia_testkit::sim::openclaw::GatewaySim;
use fraktalia_testkit::twice::Twice;

use rooms::{Made, Rooms};

/// A file of the older shape, written by a person.
pub const LIST: &str = r#"// Our agents.
{
  gateway: { mode: "local", auth: { mode: "token", token: "the-gateway's-token" } },
  agents: {
    defaults: { sandbox: { mode: "off" } },
    list: [
      { id: "felix", default: true, workspace: "/srv/felix" }, // the first
      {
        id: "mox",
        name: "Mox",
        workspace: "/srv/mox", // on the big disk
      },
    ],
  },
  bindings: [
    { agentId: "mox", match: { channel: "matrix", peer: { kind: "channel", id: "!mox:test" } } },
    // everything else
    { agentId: "felix", match: { channel: "matrix" } },
  ],
  channels: {
    matrix: {
      enabled: true,
      groups: {
        "!mox:test": { enabled: true, autoReply: true },
      },
    },
  },
}
"#;

/// The same file in the newer shape.
pub const ENTRIES: &str = r#"// Our agents.
{
  gateway: { mode: "local", auth: { mode: "token", token: "the-gateway's-token" } },
  agents: {
    ownership: "explicit",
    defaults: { sandbox: { mode: "off" } },
    entries: {
      felix: { workspace: "/srv/felix" }, // the first
      mox: {
        name: "Mox",
        workspace: "/srv/mox", // on the big disk
      },
    },
  },
  bindings: [
    { agentId: "mox", match: { channel: "matrix", peer: { kind: "channel", id: "!mox:test" } } },
    // everything else
    { agentId: "felix", match: { channel: "matrix" } },
  ],
  channels: {
    matrix: {
      enabled: true,
      groups: {
        "!mox:test": { enabled: true, autoReply: true },
      },
    },
  },
}
"#;

/// Everything that one test is about.
pub struct World {
    pub dir: tempfile::TempDir,
    pub manifest: Manifest,
    pub made: Made,
    pub gateway: Option<GatewaySim>,
    pub patience: Patience,
    pub twice: bool,
}

impl World {
    /// A world with this file, and no gateway.
    pub fn new(file: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("openclaw.json"), file).expect("written");
        Self::around(dir)
    }

    /// A world with a file that is there already.
    pub fn around(dir: tempfile::TempDir) -> Self {
        std::fs::write(dir.path().join("token"), "the-gateway's-token\n").expect("written");
        let mut manifest = fraktalia_testkit::manifest::empty("home", dir.path());
        manifest.matrix = Some(Matrix {
            at: Span::default(),
            homeserver: "http://127.0.0.1:8008".into(),
            server_name: "test".into(),
            admin_token: SecretSource::File("token".into()),
            bot: UserId("@bot:test".into()),
            padding: Vec::new(),
        });
        manifest.openclaw = Some(Section {
            at: Span::default(),
            config: dir.path().join("openclaw.json"),
            cli: None,
            gateway: None,
            catch_all: None,
            workspaces: "/srv".into(),
            dialect: None,
        });
        let patience = Patience {
            validate: Duration::from_mins(1),
            reachable: Duration::from_secs(20),
            applied: Duration::from_secs(20),
        };
        Self { dir, manifest, made: Made::default(), gateway: None, patience, twice: false }
    }

    /// With a gateway double that runs on the file.
    pub async fn with_gateway(mut self) -> Self {
        let gateway = GatewaySim::start(&self.config()).await.expect("a gateway");
        self.section().gateway =
            Some(Gateway { url: gateway.url().into(), token: Some(SecretSource::File("token".into())) });
        self.gateway = Some(gateway);
        self
    }

    pub fn section(&mut self) -> &mut Section {
        self.manifest.openclaw.as_mut().expect("there is one")
    }

    /// With a fractal and its room.
    pub fn fractal(&mut self, key: &str) -> &mut Fractal {
        let fractal = Fractal {
            at: Span::default(),
            key: key.into(),
            name: key.into(),
            managed: fraktalia_model::manifest::Managed::ALL,
            purpose: None,
            persona: None,
            model: Some(Model { primary: "a/b".into(), fallbacks: Vec::new() }),
            account: Account::Shared,
            auto_reply: true,
            sandbox: None,
            network: None,
            workspace: Workspace {
                path: format!("/srv/{key}").into(),
                owner: None,
                files: BTreeMap::new(),
                on_remove: OnRemove::Keep,
            },
            openclaw: serde_json::Map::new(),
            on_remove: OnRemove::Delete,
        };
        self.room(key, Some(key));
        self.bind(key, Peer::Room(key.into()), Some(key));
        self.manifest.fractals.entry(key.into()).or_insert(fractal)
    }

    pub fn room(&mut self, key: &str, fractal: Option<&str>) {
        self.manifest.rooms.insert(key.into(), a_room(key, fractal));
    }

    pub fn bind(&mut self, agent: &str, peer: Peer, fractal: Option<&str>) {
        self.manifest.bindings.push(Binding {
            at: Span::default(),
            agent: agent.into(),
            peer,
            account_of: None,
            fractal: fractal.map(Into::into),
        });
    }

    /// Takes a fractal, its room and its bindings out of the manifest.
    pub fn without(&mut self, key: &str) {
        self.manifest.fractals.remove(key);
        self.manifest.rooms.remove(key);
        self.manifest.bindings.retain(|binding| binding.agent != key);
    }

    /// A program in the place of the OpenClaw command line.
    pub fn cli(&mut self, body: &str) {
        let path = self.dir.path().join("openclaw");
        // Written by another process: a file that was open for writing here cannot be run while a thread forks.
        let made = std::process::Command::new("/bin/sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\"; chmod 755 \"$2\"", "sh", body])
            .arg(&path)
            .status();
        assert!(made.expect("a shell").success());
        self.section().cli = Some(path);
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("openclaw.json")
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(self.config()).expect("a file")
    }

    pub fn write(&self, text: &str) {
        std::fs::write(self.config(), text).expect("written");
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn open(&self, fault: Option<FaultAt>) -> Session {
        let section = self.manifest.openclaw.as_ref().expect("there is one");
        let openclaw = OpenClaw::new(section).with_patience(self.patience);
        let rooms = Rooms::new(&self.made);
        let registry = if self.twice {
            Registry::new().with(Twice(rooms)).with(Twice(openclaw))
        } else {
            Registry::new().with(openclaw).with(rooms)
        };
        Session::new(self.manifest.clone(), registry, StatePaths::new(self.state())).with_fault(silent(fault))
    }

    /// Plans, applies, and makes sure that nothing is left to do.
    pub async fn apply(&self) -> fraktalia_engine::Ended {
        apply(&self.open(None)).await.expect("the apply runs")
    }

    pub async fn applied(&self) {
        let ended = self.apply().await;
        assert_eq!(ended.outcome, Some(fraktalia_engine::Outcome::Applied), "{:?}", ended.why);
        assert_eq!(self.planned().await, Vec::<String>::new(), "a second plan is empty");
    }

    /// Why an apply failed.
    pub async fn failed(&self) -> String {
        let ended = self.apply().await;
        assert!(
            matches!(ended.outcome, Some(fraktalia_engine::Outcome::RolledBack { .. })),
            "{:?}",
            ended.outcome
        );
        ended.why.expect("a reason")
    }

    /// The OpenClaw part of a plan, `Verb id`.
    pub async fn planned(&self) -> Vec<String> {
        let planned = self.open(None).plan(&Options::default(), true).await.expect("a plan");
        let changes = planned.plan.changes.iter().filter(|change| change.id.system.as_str() == "openclaw");
        let text = |verb: Verb| format!("{verb:?}").to_lowercase();
        changes.map(|change| format!("{} {}/{}", text(change.verb), change.id.kind, change.id.name)).collect()
    }

    /// Codes of the findings that keep the plan from being applied.
    pub async fn blockers(&self) -> Vec<String> {
        let planned = self.open(None).plan(&Options::default(), true).await.expect("a plan");
        planned.plan.blockers().map(|note| format!("{}: {}", note.code, note.text)).collect()
    }

    /// Why the file cannot be looked at, with the cure.
    pub async fn unreadable(&self) -> (String, String) {
        match self.open(None).plan(&Options::default(), true).await {
            Err(SessionError::Observe(failed)) => {
                let error = &failed[0].1;
                let mut text = error.to_string();
                let mut cause = std::error::Error::source(error);
                while let Some(deeper) = cause {
                    text = format!("{text}: {deeper}");
                    cause = deeper.source();
                }
                (text, error.hint.clone().unwrap_or_default())
            }
            other => panic!("it can be looked at: {other:?}"),
        }
    }

    /// Takes the last run back.
    pub async fn roll_back(&self, run: &str) -> fraktalia_engine::Ended {
        let session = self.open(None);
        let record = session.run(run).expect("on record");
        let lock = session.lock().expect("free");
        session.roll_back_run(&lock, &record, &fraktalia_testkit::contract::quiet()).await.expect("runs")
    }

    /// Files beside the configuration that a write left there.
    pub fn leftovers(&self) -> Vec<String> {
        names(self.dir.path()).into_iter().filter(|name| name.contains("fraktalia-")).collect()
    }
}

pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[async_trait]
impl Subject for World {
    fn session(&self, fault: Option<FaultAt>) -> Session {
        self.open(fault)
    }

    async fn snapshot(&self) -> serde_json::Value {
        let masked = |text: String| text.replace(&*self.dir.path().to_string_lossy(), "DIR");
        let runs_on = self.gateway.as_ref().map(|gateway| masked(gateway.applied()));
        serde_json::json!({"file": masked(self.text()), "runs on": runs_on, "rooms": self.made.names()})
    }
}

fn a_room(key: &str, fractal: Option<&str>) -> Room {
    Room {
        at: Span::default(),
        key: key.into(),
        fractal: fractal.map(Into::into),
        bound: true,
        space: false,
        name: None,
        topic: None,
        id: None,
        from_realm: None,
        aliased: true,
        alias: key.into(),
        avatar: None,
        members: Vec::new(),
        members_policy: fraktalia_model::manifest::MembersPolicy::AtLeast,
        join_rule: None,
        history: None,
        encrypted: None,
        power_levels: BTreeMap::new(),
        parent: None,
        on_remove: OnRemove::Retire,
    }
}

/// The dialect's name, for messages.
pub fn both() -> [(Dialect, &'static str); 2] {
    [(Dialect::List, LIST), (Dialect::Entries, ENTRIES)]
}

/// Two fractals, one with an account of its own, a binding for direct messages, and a catch-all.
pub async fn full(file: &str) -> World {
    let mut world = World::new(file).with_gateway().await;
    world.fractal("gardener").openclaw =
        serde_json::json!({"tools": {"deny": ["browser"]}}).as_object().cloned().expect("a map");
    world.fractal("cook").account = Account::Own;
    world.manifest.bindings[1].account_of = Some("cook".into());
    world.bind("felix", Peer::Direct(UserId("@ana:test".into())), None);
    world.bind("gardener", Peer::Room("lounge".into()), None);
    world.room("lounge", None);
    world.section().catch_all = Some("felix".into());
    world
}
