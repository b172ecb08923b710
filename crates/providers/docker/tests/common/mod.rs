//! An engine, simulated or real, and a realm on it whose names nobody else uses.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests, which say what they skip")]
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptions, ListNetworksOptions,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder, StartContainerOptions,
};
use fraktalia_docker::DockerHost;
use fraktalia_docker::client::{Client, Endpoint};
use fraktalia_engine::journal::{FaultAt, Outcome};
use fraktalia_engine::load::context;
use fraktalia_engine::session::{Ended, Options, Planned, Session, SessionError};
use fraktalia_engine::{Registry, StatePaths};
use fraktalia_model::Span;
use fraktalia_model::manifest::{
    Account, Build, Fractal, HelperKind, Host, HostTls, Image, Manifest, Network, OnRemove, Sandbox,
    SandboxMode, Workspace, WorkspaceAccess, content_hash,
};
use fraktalia_testkit::contract::{self, Subject};
use fraktalia_testkit::real::docker::BUSYBOX;
use fraktalia_testkit::real::{Cache, Execution};
use fraktalia_testkit::sim::docker::SimDocker;
use fraktalia_testkit::twice::Twice;
use serde_json::json;

/// Marks all that tests make on a real engine.
const TEST: &str = "io.fraktalia.test";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A hundred of numbers that no other test process has now: the kernel gives the lock back when this one ends.
fn hundred() -> u32 {
    static TAKEN: OnceLock<(u32, File)> = OnceLock::new();
    let take = || {
        let dir = std::env::temp_dir().join("fraktalia-test-worlds");
        std::fs::create_dir_all(&dir).unwrap();
        let first = std::process::id() % 100;
        let lock = |number: u32| {
            let file = File::create(dir.join(number.to_string())).unwrap();
            file.try_lock().ok().map(|()| (number, file))
        };
        (first..100).chain(0..first).find_map(lock).expect("fewer than a hundred tests at a time")
    };
    TAKEN.get_or_init(take).0
}

#[derive(Clone)]
pub enum Engine {
    Simulated(Arc<SimDocker>),
    Real,
    /// On a host of its own, reached by TLS.
    Remote(Arc<Execution>),
}

impl Engine {
    pub fn simulated() -> Self {
        Self::Simulated(Arc::new(SimDocker::start()))
    }

    /// The engine of this machine, if `FRAKTALIA_REAL` says that it may be used.
    pub fn real() -> Option<Self> {
        let allowed = std::env::var_os("FRAKTALIA_REAL").is_some();
        if !allowed {
            eprintln!("skipped on the real engine: FRAKTALIA_REAL is not set");
        }
        allowed.then_some(Self::Real)
    }

    /// An engine on a second host, if `FRAKTALIA_REAL` says that one may be started.
    pub async fn remote() -> Option<Self> {
        if std::env::var_os("FRAKTALIA_REAL").is_none() {
            eprintln!("skipped on a second host: FRAKTALIA_REAL is not set");
            return None;
        }
        Some(Self::Remote(Arc::new(Execution::start().await.unwrap())))
    }

    pub fn host(&self) -> Host {
        let (docker, tls) = match self {
            Self::Simulated(sim) => (sim.endpoint(), None),
            Self::Real => ("unix:///var/run/docker.sock".into(), None),
            Self::Remote(host) => (host.endpoint(), Some(tls(host.certificates()))),
        };
        Host { at: Span::default(), docker, tls, workspaces: None, helper: HelperKind::default() }
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::of("local", &self.host())
    }

    pub fn sim(&self) -> &SimDocker {
        match self {
            Self::Simulated(sim) => sim,
            _ => panic!("only the simulated engine can be told to fail"),
        }
    }
}

/// The files that [`Execution`] and its authority write.
pub fn tls(dir: &Path) -> HostTls {
    HostTls { ca: dir.join("ca.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem") }
}

pub struct World {
    pub root: tempfile::TempDir,
    pub engine: Engine,
    pub manifest: Manifest,
    pub docker: Docker,
    /// In every name of this world.
    pub mark: String,
    number: u32,
}

impl World {
    /// A realm with a network, an image to build, and one fractal, `gardener`, in a sandbox of both.
    pub async fn on(engine: Engine) -> Self {
        let number = hundred() * 100 + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        let mark = format!("fkt-t{number}");
        let root = tempfile::tempdir().unwrap();
        let docker = Client::connect(engine.endpoint()).await.unwrap().docker().clone();
        let manifest = fraktalia_testkit::manifest::empty(&mark, root.path());
        let mut world = Self { root, engine, manifest, docker, mark, number };
        world.dockerfile("COPY greeting /greeting\n");
        world.write("greeting", "Good morning.\n");
        world.declare();
        world
    }

    fn declare(&mut self) {
        self.manifest.hosts.insert("local".into(), self.engine.host());
        let network = Network {
            at: Span::default(),
            key: self.mark.clone(),
            fractal: None,
            host: "local".into(),
            bridge: self.mark.clone(),
            subnet: self.subnet(0),
            internet: true,
            allow: Vec::new(),
            dns: Vec::new(),
        };
        self.manifest.networks.insert(self.mark.clone(), network);
        let build = Build { context: self.context(), args: BTreeMap::new(), content_hash: String::new() };
        let sandbox = Sandbox {
            at: Span::default(),
            host: "local".into(),
            image: Some(Image { at: Span::default(), tag: self.tag(), build: Some(build) }),
            network: Some(self.mark.clone()),
            user: Some("996:1100".into()),
            mode: Some(SandboxMode::All),
            workspace_access: Some(WorkspaceAccess::Rw),
            read_only_root: Some(true),
            memory: Some("64m".into()),
            cpus: Some(1.0),
        };
        self.manifest.sandboxes.insert("standard".into(), sandbox);
        let mut gardener = fractal(&self.agent(), self.workspace());
        gardener.network = Some(self.mark.clone());
        self.manifest.fractals.insert(self.agent(), gardener);
        self.hash();
    }

    /// A subnet of this world's own.
    pub fn subnet(&self, offset: u32) -> String {
        format!("10.{}.{}.{}/26", 128 + self.number / 256, self.number % 256, offset * 64)
    }

    pub fn agent(&self) -> String {
        format!("gardener-{}", self.number)
    }

    pub fn workspace(&self) -> PathBuf {
        self.root.path().join("agents/gardener")
    }

    pub fn tag(&self) -> String {
        format!("{}:latest", self.mark)
    }

    pub fn context(&self) -> PathBuf {
        self.root.path().join("context")
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.context()).unwrap();
        std::fs::write(self.context().join(name), text).unwrap();
    }

    /// No two worlds share a layer: the engine takes a layer away with the last image that has a name, even while
    /// another build rests on it.
    pub fn dockerfile(&self, rest: &str) {
        let mark = &self.mark;
        self.write("Dockerfile", &format!("FROM scratch\nLABEL {TEST}=1 {TEST}.world={mark}\n{rest}"));
    }

    /// Lets the manifest say what the context holds now, as reading it anew would.
    pub fn hash(&mut self) {
        let context = context::hash(&self.context()).unwrap();
        let image = self.manifest.sandboxes.get_mut("standard").and_then(|sandbox| sandbox.image.as_mut());
        if let Some(build) = image.and_then(|image| image.build.as_mut()) {
            build.content_hash = content_hash(&context, &build.args);
        }
    }

    pub fn network(&mut self) -> &mut Network {
        self.manifest.networks.get_mut(&self.mark).unwrap()
    }

    pub fn sandbox(&mut self) -> &mut Sandbox {
        self.manifest.sandboxes.get_mut("standard").unwrap()
    }

    /// Takes everything out of the manifest.
    pub fn ask_for_nothing(&mut self) {
        self.manifest.networks.clear();
        self.manifest.sandboxes.clear();
        self.manifest.fractals.clear();
    }

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
        assert!(matches!(ended.outcome, Some(Outcome::Applied)), "{ended:?}");
        assert_eq!(contract::left(&self.session()).await, Vec::<String>::new(), "a second plan is empty");
        ended
    }

    pub async fn roll_back(&self, ended: &Ended) {
        let session = self.session();
        let lock = session.lock().unwrap();
        let run = session.run(&ended.run).unwrap();
        let ended = session.roll_back_run(&lock, &run, &contract::quiet()).await.unwrap();
        assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    }

    /// A container as OpenClaw makes one for `agent`, of the image and on the network of this world.
    pub async fn openclaw_container(
        &self,
        name: &str,
        agent: &str,
        change: impl FnOnce(&mut ContainerCreateBody),
    ) -> String {
        let labels = [("openclaw.sandbox", "1"), ("openclaw.sessionKey", &format!("agent:{agent}:main"))];
        self.container(name, &labels, |body| {
            body.user = Some("996:1100".into());
            body.host_config = Some(HostConfig {
                network_mode: Some(self.mark.clone()),
                memory: Some(64 << 20),
                nano_cpus: Some(1_000_000_000),
                readonly_rootfs: Some(true),
                binds: Some(vec![format!("{}:/workspace", self.workspace().display())]),
                ..HostConfig::default()
            });
            change(body);
        })
        .await
    }

    pub async fn container(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        change: impl FnOnce(&mut ContainerCreateBody),
    ) -> String {
        let mut labels: HashMap<String, String> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        labels.insert(TEST.into(), "1".into());
        let mut body = ContainerCreateBody {
            image: Some(self.tag()),
            cmd: Some(vec!["/greeting".into()]),
            labels: Some(labels),
            ..ContainerCreateBody::default()
        };
        change(&mut body);
        let options = CreateContainerOptionsBuilder::new().name(&format!("{}-{name}", self.mark)).build();
        self.docker.create_container(Some(options), body).await.unwrap().id
    }

    /// A running container of the busybox image, which is brought to a second host when it is not there.
    pub async fn busybox(&self, name: &str, command: &[&str]) -> String {
        if let Engine::Remote(host) = &self.engine {
            host.base_image(&Cache::locate(), BUSYBOX).await.unwrap();
        }
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        let id = self
            .container(name, &[], |body| {
                body.image = Some(BUSYBOX.into());
                body.cmd = Some(command);
            })
            .await;
        self.docker.start_container(&id, None::<StartContainerOptions>).await.unwrap();
        id
    }

    /// A network that somebody made by hand under our name.
    pub async fn network_by_hand(&self, change: impl FnOnce(&mut NetworkCreateRequest)) {
        let mut request: NetworkCreateRequest = serde_json::from_value(json!({
            "Name": self.mark,
            "Driver": "bridge",
            "Options": { "com.docker.network.bridge.name": self.mark },
            "IPAM": { "Config": [{ "Subnet": self.subnet(0) }] },
            "Labels": { TEST: "1" },
        }))
        .unwrap();
        change(&mut request);
        self.docker.create_network(request).await.unwrap();
    }

    pub async fn has_container(&self, id: &str) -> bool {
        self.docker.inspect_container(id, None).await.is_ok()
    }

    pub async fn image_id(&self) -> Option<String> {
        self.docker.inspect_image(&self.tag()).await.ok().and_then(|image| image.id)
    }

    pub async fn has_network(&self) -> bool {
        self.docker.inspect_network(&self.mark, None).await.is_ok()
    }

    /// Lets [`clear`] of the world `parent` remove this one as well.
    pub fn clear_with(&self, parent: &Self) {
        lock().push((parent.mark.clone(), self.mark.clone()));
    }

    fn is_ours(&self, name: &str) -> bool {
        is_of(name, &self.mark)
    }
}

/// Worlds that a test made besides its own, to be cleared with it: the mark of its own, and theirs.
static MORE: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

fn lock() -> MutexGuard<'static, Vec<(String, String)>> {
    MORE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_of(name: &str, mark: &str) -> bool {
    let rest = name.trim_start_matches('/').strip_prefix(mark);
    rest.is_some_and(|rest| rest.starts_with(['-', ':']))
}

/// Removes from a real engine what the world `mark` made, and those worlds that asked for it.
pub async fn clear(docker: &Docker, mark: &str) {
    let more: Vec<_> =
        lock().iter().filter(|(parent, _)| parent == mark).map(|(_, mark)| mark.clone()).collect();
    for mark in more.iter().map(String::as_str).chain([mark]) {
        clear_one(docker, mark).await;
    }
}

async fn clear_one(docker: &Docker, mark: &str) {
    let all = ListContainersOptionsBuilder::new().all(true).build();
    for container in docker.list_containers(Some(all)).await.unwrap() {
        if container.names.unwrap_or_default().iter().any(|name| is_of(name, mark)) {
            let force = RemoveContainerOptionsBuilder::new().force(true).build();
            let _ = docker.remove_container(&container.id.unwrap(), Some(force)).await;
        }
    }
    let _ = docker.remove_network(mark).await;
    for image in docker.list_images(None::<ListImagesOptions>).await.unwrap() {
        let ours = image.labels.get("io.fraktalia.realm").map(String::as_str) == Some(mark);
        if ours || image.repo_tags.iter().any(|tag| is_of(tag, mark)) {
            let force = RemoveImageOptionsBuilder::new().force(true).build();
            let _ = docker.remove_image(&image.id, Some(force), None).await;
        }
    }
}

#[async_trait::async_trait]
impl Subject for World {
    fn session(&self, fault: Option<FaultAt>) -> Session {
        let registry = Registry::new().with(Twice(DockerHost::new("local", self.engine.endpoint())));
        let paths = StatePaths::new(self.root.path().join("state"));
        Session::new(self.manifest.clone(), registry, paths).with_fault(contract::silent(fault))
    }

    async fn snapshot(&self) -> serde_json::Value {
        let images = self.docker.list_images(None::<ListImagesOptions>).await.unwrap();
        let standard = self.manifest.sandboxes["standard"].image.as_ref();
        let wanted = standard.and_then(|image| image.build.as_ref()).map(|build| &build.content_hash);
        let images: BTreeMap<String, Option<String>> = images
            .into_iter()
            .filter_map(|image| {
                let tag = image.repo_tags.iter().find(|tag| self.is_ours(tag))?;
                // No two worlds have the same context, and so the same hash.
                let built = image.labels.get("io.fraktalia.spec");
                let built = if built == wanted { Some("as wanted".into()) } else { built.cloned() };
                Some((tag.replace(&self.mark, "mark"), built))
            })
            .collect();
        let networks = self.docker.list_networks(None::<ListNetworksOptions>).await.unwrap();
        let networks: Vec<_> = networks
            .into_iter()
            .filter(|network| network.name.as_deref() == Some(&self.mark))
            .map(|network| {
                let pools = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
                let subnets: Vec<_> = pools.into_iter().map(|pool| pool.subnet == Some(self.subnet(0))).collect();
                json!({ "internal": network.internal, "subnets": subnets, "labelled": network.labels.map(|l| l.len()) })
            })
            .collect();
        json!({ "images": images, "networks": networks })
    }
}

fn fractal(key: &str, path: PathBuf) -> Fractal {
    Fractal {
        at: Span::default(),
        key: key.into(),
        name: "Gardener".into(),
        managed: fraktalia_model::manifest::Managed::ALL,
        purpose: None,
        persona: None,
        model: None,
        account: Account::Shared,
        auto_reply: true,
        sandbox: Some("standard".into()),
        network: None,
        workspace: Workspace { path, owner: None, files: BTreeMap::new(), on_remove: OnRemove::Keep },
        openclaw: serde_json::Map::new(),
        on_remove: OnRemove::Delete,
    }
}
