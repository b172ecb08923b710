//! A temp directory with workspaces, a state directory, and a session over both.
#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fraktalia_engine::journal::FaultAt;
use fraktalia_engine::session::{Ended, Options, Planned, Session, SessionError};
use fraktalia_engine::{Registry, StatePaths};
use fraktalia_model::manifest::{Account, Fractal, KeepFile, OnRemove, Owner, Workspace, WorkspaceFile};
use fraktalia_model::{Manifest, Span};
use fraktalia_testkit::contract::{self, Subject};
use fraktalia_testkit::twice::Twice;
use fraktalia_workspace::Workspaces;

pub struct World {
    pub root: tempfile::TempDir,
    pub manifest: Manifest,
}

impl World {
    /// A realm with one fractal, `gardener`, whose workspace does not exist yet.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut world = Self { manifest: fraktalia_testkit::manifest::empty("test", root.path()), root };
        world.add("gardener");
        world
    }

    pub fn add(&mut self, key: &str) {
        let path = self.root.path().join("agents").join(key);
        self.manifest.fractals.insert(key.into(), fractal(key, path));
    }

    pub fn gardener(&mut self) -> &mut Workspace {
        &mut self.manifest.fractals.get_mut("gardener").unwrap().workspace
    }

    pub fn declare(&mut self, path: &str, content: &str, keep: KeepFile) {
        let file = WorkspaceFile { at: Span::default(), content: content.into(), keep, mode: 0o664 };
        self.gardener().files.insert(path.into(), file);
    }

    pub fn tree(&self) -> PathBuf {
        self.root.path().join("agents/gardener")
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.tree().join(file)
    }

    pub fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn mode(&self, file: &str) -> u32 {
        std::fs::metadata(self.path(file)).unwrap().permissions().mode() & 0o7777
    }

    /// A session whose every effect happens twice.
    pub fn session(&self) -> Session {
        Subject::session(self, None)
    }

    pub async fn plan(&self) -> Planned {
        self.session().plan(&Options::default(), false).await.unwrap()
    }

    pub async fn apply(&self) -> Result<Ended, SessionError> {
        contract::apply(&self.session()).await
    }

    /// Applies, and insists that all went well and that nothing is left to do.
    pub async fn converge(&self) -> Ended {
        let ended = self.apply().await.unwrap();
        assert!(matches!(ended.outcome, Some(fraktalia_engine::journal::Outcome::Applied)), "{ended:?}");
        assert_eq!(self.plan().await.plan.changes, [], "a second plan is empty");
        ended
    }

    /// Every path below the workspaces, with its mode and content.
    pub fn everything(&self) -> BTreeMap<PathBuf, (u32, String)> {
        let mut all = BTreeMap::new();
        snapshot(self.root.path(), &self.root.path().join("agents"), &mut all);
        all
    }
}

fn snapshot(root: &Path, path: &Path, all: &mut BTreeMap<PathBuf, (u32, String)>) {
    let Ok(stat) = std::fs::symlink_metadata(path) else { return };
    let content = if stat.is_file() { std::fs::read_to_string(path).unwrap() } else { String::new() };
    all.insert(path.strip_prefix(root).unwrap().into(), (stat.permissions().mode(), content));
    if stat.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            snapshot(root, &entry.unwrap().path(), all);
        }
    }
}

fn fractal(key: &str, path: PathBuf) -> Fractal {
    Fractal {
        at: Span::default(),
        key: key.into(),
        name: "Gardener".into(),
        managed: fraktalia_model::manifest::Managed::ALL,
        purpose: Some("Looks after the garden plan.".into()),
        persona: Some("You are patient and practical.".into()),
        model: None,
        account: Account::Shared,
        auto_reply: true,
        sandbox: None,
        network: None,
        workspace: Workspace {
            path,
            owner: None::<Owner>,
            files: BTreeMap::new(),
            on_remove: OnRemove::Keep,
        },
        openclaw: serde_json::Map::new(),
        on_remove: OnRemove::Delete,
    }
}

#[async_trait::async_trait]
impl Subject for World {
    fn session(&self, fault: Option<FaultAt>) -> Session {
        let paths = StatePaths::new(self.root.path().join("state"));
        let registry = Registry::new().with(Twice(Workspaces));
        Session::new(self.manifest.clone(), registry, paths).with_fault(contract::silent(fault))
    }

    async fn snapshot(&self) -> serde_json::Value {
        let all: Vec<_> = self.everything().into_iter().collect();
        serde_json::to_value(all).unwrap()
    }
}
