//! All simulated systems at once, and the session of a manifest about them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fraktalia_docker::{DockerHost, HelperBuild};
use fraktalia_engine::journal::FaultAt;
use fraktalia_engine::{Provider, Registry, Session, StatePaths};
use fraktalia_matrix::{Limits, Matrix};
use fraktalia_model::Manifest;
use fraktalia_openclaw::OpenClaw;
use fraktalia_plane::protocol::Link;
use fraktalia_plane_provider::Plane;
use fraktalia_testkit::contract::{Subject, silent};
use fraktalia_testkit::generate::{SERVER, SOMEBODY, yaml};
use fraktalia_testkit::sim::docker::SimDocker;
use fraktalia_testkit::sim::openclaw::GatewaySim;
use fraktalia_testkit::sim::synapse::{Setup, SimSynapse};
use fraktalia_testkit::twice::Twice;
use fraktalia_workspace::Workspaces;
use serde_json::{Value as Json, json};

use crate::helper::Helper;
use crate::snapshot;

/// The systems, a folder with the manifest and the workspaces, and our state.
pub struct Stage {
    pub dir: tempfile::TempDir,
    pub synapse: SimSynapse,
    pub docker: SimDocker,
    pub helper: Arc<Helper>,
    pub gateway: Option<GatewaySim>,
    manifest: Option<Manifest>,
    state: String,
    /// Whether every effect is had twice.
    twice: bool,
}

impl Stage {
    /// The systems with what somebody made in them.
    pub async fn set(world: &Json) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let synapse = SimSynapse::start(Setup { server_name: SERVER.into(), ..Setup::default() }).await;
        let docker = SimDocker::start();
        for folder in ["secrets", "agents", "openclaw"] {
            std::fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        let admin = synapse.admin();
        for (name, text) in
            [("admin", admin.token()), ("password", "correct horse"), ("gateway", "the-gateway's-token")]
        {
            std::fs::write(dir.path().join("secrets").join(name), text).expect("a secret");
        }
        let helper = Arc::default();
        let twice = world["twice"] == true;
        let mut stage = Self {
            dir,
            synapse,
            docker,
            helper,
            gateway: None,
            manifest: None,
            state: "state".into(),
            twice,
        };
        stage.people(world).await;
        stage.engine(world);
        stage.files(world);
        if world["gateway"] == true {
            stage.gateway = Some(GatewaySim::start(&stage.config()).await.expect("a gateway"));
        }
        stage
    }

    async fn people(&self, world: &Json) {
        let admin = self.synapse.admin();
        let zoe = self.synapse.register(SOMEBODY);
        for localpart in ["yan", "agent", "warden"] {
            self.synapse.register(localpart);
        }
        for (localpart, name) in members(&world["users"]) {
            self.synapse.register(localpart);
            let path = format!("/_synapse/admin/v2/users/@{localpart}:{SERVER}");
            admin.put(&path, &json!({ "displayname": name })).await.expect("a name");
        }
        let mut bound = Vec::new();
        for (alias, wanted) in members(&world["rooms"]) {
            let request = json!({ "room_alias_name": alias, "name": alias, "topic": wanted["topic"] });
            let room = zoe.create_room(&request).await.expect("a room");
            if wanted["members"].as_array().is_some_and(|members| members.contains(&json!("yan"))) {
                let path = format!(
                    "/_matrix/client/v3/rooms/{}/invite",
                    fraktalia_testkit::real::person::encode(&room)
                );
                zoe.post(&path, &json!({ "user_id": format!("@yan:{SERVER}") }))
                    .await
                    .expect("an invitation");
            }
            if list(&world["bindings"]).any(|name| name == alias) {
                bound.push(room);
            }
        }
        std::fs::write(self.config(), config(world, &bound)).expect("a configuration");
    }

    fn engine(&self, world: &Json) {
        let mut engine = self.docker.world();
        for tag in list(&world["images"]) {
            engine.add_image(tag, tag.as_bytes(), [("made".to_owned(), "by hand".to_owned())].into());
        }
        let plain = engine.add_image("busybox:latest", b"busybox", [].into());
        for (name, subnet) in members(&world["networks"]) {
            engine.add_network(json!({ "Name": name, "IPAM": { "Config": [{ "Subnet": subnet }] } }));
        }
        for name in list(&world["containers"]) {
            let id = engine.fresh_id();
            let request = json!({ "Image": "busybox:latest", "HostConfig": { "NetworkMode": "bridge" } });
            let container = fraktalia_testkit::sim::docker::Container {
                name: name.into(),
                image: plain.clone(),
                running: true,
                request,
            };
            engine.containers.insert(id, container);
        }
    }

    fn files(&self, world: &Json) {
        for (path, text) in members(&world["files"]) {
            let path = self.agents().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text.as_str().unwrap_or_default()).expect("a file");
        }
    }

    /// `openclaw.json`
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("openclaw/openclaw.json")
    }

    /// Where the workspaces are.
    pub fn agents(&self) -> PathBuf {
        self.dir.path().join("agents")
    }

    /// Writes the manifest with these wishes, and reads it as the program does.
    pub fn want(&mut self, wishes: &Json) {
        let text = self.sections() + &yaml(wishes);
        self.manifest = Some(read(self.dir.path(), &text).expect("it made sense when it was drawn"));
    }

    /// As if our state had been deleted.
    pub fn lose_state(&mut self) {
        self.state.push('x');
    }

    fn sections(&self) -> String {
        let gateway = self.gateway.as_ref().map(|gateway| gateway.url().to_owned());
        sections(&self.synapse.base_url(), &self.docker.endpoint(), gateway.as_deref())
    }

    /// All that the systems hold, in a form in which ids that they made up do not count.
    pub fn world(&self) -> Json {
        snapshot::named(&snapshot::whole(self))
    }
}

#[async_trait]
impl Subject for Stage {
    fn session(&self, fault: Option<FaultAt>) -> Session {
        let manifest = self.manifest.clone().expect("something is wanted");
        let registry = registry(&manifest, &self.helper, self.twice);
        let state = StatePaths::new(self.dir.path().join(&self.state));
        Session::new(manifest, registry, state).with_fault(silent(fault))
    }

    async fn snapshot(&self) -> Json {
        self.world()
    }
}

/// The members of a mapping.
pub fn members(tree: &Json) -> impl Iterator<Item = (&str, &Json)> {
    tree.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The texts of a list.
pub fn list(tree: &Json) -> impl Iterator<Item = &str> {
    tree.as_array().into_iter().flatten().filter_map(Json::as_str)
}

/// The sections of a manifest that say where the systems are.
fn sections(homeserver: &str, docker: &str, gateway: Option<&str>) -> String {
    let mut openclaw = json!({ "config": "openclaw/openclaw.json", "workspaces": "agents" });
    if let Some(url) = gateway {
        openclaw["gateway"] = json!({ "url": url, "token": { "file": "secrets/gateway" } });
    }
    let matrix = json!({
        "homeserver": homeserver,
        "server_name": SERVER,
        "admin_token": { "file": "secrets/admin" },
        "bot": format!("@agent:{SERVER}"),
        "padding": [format!("@warden:{SERVER}")],
    });
    let hosts = json!({ "local": { "docker": docker, "helper": "service" } });
    format!("version: 1\nrealm: home\nmatrix: {matrix}\nopenclaw: {openclaw}\nhosts: {hosts}\n")
}

fn read(dir: &Path, text: &str) -> Result<Manifest, String> {
    let path = dir.join("fraktalia.yaml");
    std::fs::write(&path, text).map_err(|error| error.to_string())?;
    let loaded = fraktalia_engine::load(&path);
    loaded.manifest.ok_or_else(|| format!("{:?}", loaded.notes))
}

/// As the program puts it together, but for the way to the helper.
fn registry(manifest: &Manifest, helper: &Arc<Helper>, twice: bool) -> Registry {
    let limits = Limits { settle: Duration::from_millis(40), ..Limits::default() };
    let matrix = manifest.matrix.as_ref().map(|section| Matrix::new(section).with_limits(limits));
    let engines = DockerHost::all(manifest, HelperBuild::of_this_program);
    let link = || Arc::<Helper>::clone(helper) as Arc<dyn Link>;
    let planes: Vec<Plane> = engines.iter().map(|engine| Plane::new(engine.host(), link())).collect();
    let registry = add(Registry::new(), matrix, twice);
    let registry = add(registry, OpenClaw::of(manifest), twice);
    let registry = add(registry, engines, twice);
    let registry = add(registry, planes, twice);
    add(registry, [Workspaces], twice)
}

fn add<P: Provider>(registry: Registry, providers: impl IntoIterator<Item = P>, twice: bool) -> Registry {
    if twice { registry.with_each(providers.into_iter().map(Twice)) } else { registry.with_each(providers) }
}

/// Whether wishes make sense, as the parser and the systems have it.
pub fn check(dir: &Path, wishes: &Json) -> Result<(), String> {
    let text = sections("http://127.0.0.1:1", "unix:///nowhere", None) + &yaml(wishes);
    let manifest = read(dir, &text)?;
    for system in registry(&manifest, &Arc::default(), false).iter() {
        system.lower(&manifest).map_err(|notes| format!("{notes:?}"))?;
    }
    Ok(())
}

/// A configuration as a person writes it.
fn config(world: &Json, bound: &[String]) -> String {
    let entries = world["dialect"] == "entries";
    let agent = |(id, path): (&str, &Json)| {
        if entries {
            format!("      {id}: {{ workspace: {path} }}, // {id}, by hand\n")
        } else {
            format!("      {{ id: \"{id}\", workspace: {path} }}, // {id}, by hand\n")
        }
    };
    let agents: String = members(&world["agents"]).map(agent).collect();
    let table =
        if entries { format!("entries: {{\n{agents}    }}") } else { format!("list: [\n{agents}    ]") };
    let binding = |room: &String| {
        format!(
            "    {{ agentId: \"felix\", match: {{ channel: \"matrix\", peer: {{ kind: \"channel\", id: {} }} }} }}, // by hand\n",
            json!(room)
        )
    };
    let bindings: String = bound.iter().map(binding).collect();
    let group = |room: &String| format!("        {}: {{ enabled: true }}, // by hand\n", json!(room));
    let groups: String = bound.iter().map(group).collect();
    format!(
        "// Our agents, by hand\n{{\n  gateway: {{ mode: \"local\" }}, // by hand\n  agents: {{\n    {table},\n  }},\n  \
         bindings: [\n{bindings}  ],\n  channels: {{\n    matrix: {{\n      enabled: true, // by hand\n      groups: \
         {{\n{groups}      }},\n    }},\n  }},\n}}\n"
    )
}
