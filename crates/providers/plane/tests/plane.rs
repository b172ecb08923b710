//! The provider on a helper that is simulated, and on a real one that runs in a network namespace of its own: the same
//! suite for both.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command as Plain;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fraktalia_engine::journal::FaultAt;
use fraktalia_engine::session::Options;
use fraktalia_engine::{Outcome, Registry, Session, StatePaths};
use fraktalia_model::manifest::{HelperKind, Host, Network, Opening, Protocol};
use fraktalia_model::{Manifest, Span};
use fraktalia_plan::Verb;
use fraktalia_plane::config::Config;
use fraktalia_plane::protocol::{Answer, Carried, Link, LinkError, Request, Socket, View, fingerprint};
use fraktalia_plane_provider::Plane;
use fraktalia_testkit::contract::{self, Subject, apply, left};
use fraktalia_testkit::real::process::Process;
use fraktalia_testkit::real::{Cache, fraktalia_bin};
use fraktalia_testkit::twice::Twice;

/// A helper in memory. What goes wrong next can be told to it.
#[derive(Debug, Default)]
struct Simulated(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    config: Config,
    trouble: Option<Trouble>,
    absent: bool,
    flushed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Refuse,
    DoneButLost,
    Lost,
}

impl Simulated {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn view(&self) -> View {
        let listening = Carried { listening: true, ..Carried::default() };
        View {
            config: self.config.clone(),
            closed: !self.flushed,
            forwards: self.config.forwards.keys().map(|at| (at.to_string(), listening.clone())).collect(),
            ..View::default()
        }
    }
}

fn lost() -> LinkError {
    LinkError::Failed { what: "the answer got lost".into(), hint: "ask again".into() }
}

#[async_trait]
impl Link for Simulated {
    async fn ask(&self, request: &Request) -> Result<Answer, LinkError> {
        let mut memory = self.memory();
        if memory.absent {
            return Err(LinkError::Absent { what: "nobody is there".into() });
        }
        let Request::Set { was, config } = request else { return Ok(Answer::Holding(memory.view())) };
        let trouble = memory.trouble.take();
        match trouble {
            Some(Trouble::Refuse) => {
                let hint = Some("choose another port".into());
                return Ok(Answer::Refused { what: "port 9000 is in use".into(), hint });
            }
            Some(Trouble::Lost) => return Err(lost()),
            _ => {}
        }
        if *was != fingerprint(&memory.config) {
            return Ok(Answer::Refused { what: "changed meanwhile".into(), hint: None });
        }
        memory.config = config.clone();
        memory.flushed = false;
        if trouble == Some(Trouble::DoneButLost) { Err(lost()) } else { Ok(Answer::Holding(memory.view())) }
    }
}

/// A real helper, in a network namespace.
#[derive(Debug)]
struct Real {
    netns: String,
    dir: tempfile::TempDir,
    _process: Process,
}

impl Real {
    async fn start() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let netns = format!("fkt-plane-{}-{number}", std::process::id());
        let made = Plain::new("ip").args(["netns", "add", &netns]).status().unwrap();
        assert!(made.success(), "iproute2 and root are needed: `cargo xtask install`");
        assert!(Plain::new("ip").args(["-n", &netns, "link", "set", "lo", "up"]).status().unwrap().success());
        let dir = tempfile::tempdir().unwrap();
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", &netns]).arg(fraktalia_bin().unwrap());
        command.args(["forward", "--realm", "test", "--dir"]).arg(dir.path().join("state"));
        command.arg("--control").arg(dir.path().join("control"));
        command.arg("--docker").arg(dir.path().join("no-engine"));
        let mut process = Process::spawn("helper", command, &dir.path().join("log")).unwrap();
        let socket = Socket(dir.path().join("control"));
        let answers = || async { socket.ask(&Request::Look).await.is_ok() };
        process.wait_until("an answer", Duration::from_mins(1), answers).await.unwrap();
        Self { netns, dir, _process: process }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("control")
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = Plain::new("ip").args(["netns", "del", &self.netns]).status();
    }
}

/// A realm with a network, and a forward into the container of a fractal on it.
struct World {
    state: tempfile::TempDir,
    manifest: Manifest,
    link: Arc<dyn Link>,
    /// What the link leads to, as far as it has to be kept.
    _real: Option<Real>,
    simulated: Option<Arc<Simulated>>,
}

impl World {
    fn new(link: Arc<dyn Link>, simulated: Option<Arc<Simulated>>, real: Option<Real>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut manifest = fraktalia_testkit::manifest::empty("test", state.path());
        let host = Host {
            at: Span::default(),
            docker: "unix:///var/run/docker.sock".into(),
            tls: None,
            workspaces: None,
            // No container has to be there first.
            helper: HelperKind::Service,
        };
        manifest.hosts.insert("local".into(), host);
        let network = Network {
            at: Span::default(),
            key: "garden".into(),
            fractal: None,
            host: "local".into(),
            bridge: "fkt-garden".into(),
            subnet: "10.208.0.0/27".into(),
            internet: true,
            allow: Vec::new(),
            dns: Vec::new(),
        };
        manifest.networks.insert("garden".into(), network);
        Self { state, manifest, link, _real: real, simulated }
    }

    fn simulated() -> Self {
        let helper = Arc::new(Simulated::default());
        Self::new(Arc::<Simulated>::clone(&helper), Some(helper), None)
    }

    async fn real() -> Self {
        let real = Real::start().await;
        Self::new(Arc::new(Socket(real.socket())), None, Some(real))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.simulated.as_ref().unwrap().memory()
    }

    fn garden(&mut self) -> &mut Network {
        self.manifest.networks.get_mut("garden").unwrap()
    }

    async fn view(&self) -> View {
        match self.link.ask(&Request::Look).await.unwrap() {
            Answer::Holding(view) => view,
            refused @ Answer::Refused { .. } => panic!("{refused:?}"),
        }
    }
}

fn opening(address: &str) -> Opening {
    let address: IpAddr = address.parse().unwrap();
    Opening { at: Span::default(), address, port: 22, protocol: Protocol::Tcp }
}

#[async_trait]
impl Subject for World {
    fn session(&self, fault: Option<FaultAt>) -> Session {
        let registry = Registry::new().with(Twice(Plane::new("local", Arc::clone(&self.link))));
        let paths = StatePaths::new(self.state.path().join("state"));
        Session::new(self.manifest.clone(), registry, paths).with_fault(contract::silent(fault))
    }

    async fn snapshot(&self) -> serde_json::Value {
        serde_json::to_value(self.view().await.config).unwrap()
    }
}

/// A world that holds something already, and wants something else.
async fn changing(mut world: World) -> World {
    assert_eq!(apply(&world.session(None)).await.unwrap().outcome, Some(Outcome::Applied));
    world.garden().allow.push(opening("192.168.1.40"));
    let mut other = world.garden().clone();
    other.key = "meadow".into();
    other.bridge = "fkt-meadow".into();
    other.subnet = "10.208.0.32/27".into();
    other.internet = false;
    world.manifest.networks.insert("meadow".into(), other);
    world
}

#[tokio::test]
async fn simulated_an_apply_can_be_taken_back() {
    contract::apply_then_roll_back(&World::simulated()).await;
    contract::apply_then_roll_back(&changing(World::simulated()).await).await;
}

#[tokio::test]
async fn simulated_a_death_at_any_journal_entry_costs_nothing() {
    contract::die_then_resume(async || World::simulated()).await;
    Box::pin(contract::die_then_resume(async || changing(World::simulated()).await)).await;
    contract::die_then_roll_back(async || changing(World::simulated()).await).await;
}

#[tokio::test]
async fn real_an_apply_can_be_taken_back() {
    if Cache::for_test().is_none() {
        return;
    }
    contract::apply_then_roll_back(&World::real().await).await;
    contract::apply_then_roll_back(&changing(World::real().await).await).await;
}

#[tokio::test]
async fn real_a_death_at_any_journal_entry_costs_nothing() {
    if Cache::for_test().is_none() {
        return;
    }
    Box::pin(contract::die_then_resume(async || changing(World::real().await).await)).await;
    contract::die_then_roll_back(async || changing(World::real().await).await).await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for() {
    let world = World::simulated();
    world.memory().trouble = Some(Trouble::DoneButLost);
    assert_eq!(apply(&world.session(None)).await.unwrap().outcome, Some(Outcome::Applied));
}

#[tokio::test]
async fn a_lost_question_changes_nothing() {
    let world = World::simulated();
    world.memory().trouble = Some(Trouble::Lost);
    let ended = apply(&world.session(None)).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert_eq!(world.view().await.config, Config::default());
}

#[tokio::test]
async fn a_refusal_says_why_and_what_to_do() {
    let world = World::simulated();
    world.memory().trouble = Some(Trouble::Refuse);
    let why = apply(&world.session(None)).await.unwrap().why.unwrap();
    assert!(why.contains("port 9000 is in use"), "{why}");
}

#[tokio::test]
async fn rules_that_are_not_in_force_are_drift_and_healed() {
    let world = World::simulated();
    apply(&world.session(None)).await.unwrap();
    world.memory().flushed = true;
    let said = left(&world.session(None)).await;
    assert!(said[0].contains("in force") && said[0].starts_with("Update"), "{said:?}");
    apply(&world.session(None)).await.unwrap();
    assert!(world.view().await.closed);
}

#[tokio::test]
async fn a_helper_that_went_takes_all_with_it_and_all_is_planned_again() {
    let world = World::simulated();
    apply(&world.session(None)).await.unwrap();
    *world.memory() = Memory { absent: true, ..Memory::default() };
    let plan = world.session(None).plan(&Options::default(), true).await.unwrap().plan;
    assert_eq!(plan.changes.iter().map(|change| change.verb).collect::<Vec<_>>(), [Verb::Create]);
}

#[tokio::test]
async fn an_address_of_the_other_family_is_refused_with_its_place() {
    let mut world = World::simulated();
    world.garden().allow.push(opening("fd00::1"));
    let error = world.session(None).plan(&Options::default(), true).await.err().unwrap();
    assert!(
        error.to_string().contains("IPv4 only") || format!("{error:?}").contains("IPv4 only"),
        "{error:?}"
    );
}
