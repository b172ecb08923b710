//! The helper of a host: brought to a second engine by TLS, kept as it should be, and taken away.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests, which say what they skip")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{InspectContainerOptions, ListImagesOptions};
use common::{Engine, World};
use fraktalia_docker::client::Client;
use fraktalia_docker::{DockerHost, HelperBuild};
use fraktalia_engine::journal::{FaultAt, Outcome};
use fraktalia_engine::session::{Options, Session};
use fraktalia_engine::{Registry, StatePaths};
use fraktalia_plan::{System as _, Verb};
use fraktalia_testkit::contract::{self, Subject};
use fraktalia_testkit::real::Execution;
use fraktalia_testkit::twice::Twice;
use serde_json::json;

/// A stand-in for the program: it looks at its arguments and runs until it is ended, or dies at once.
const PROGRAM: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    assert_eq!(arguments[1..3], ["forward", "--realm"]);
    assert_eq!(arguments[4..], ["--dir", "/var/lib/fraktalia", "--control", "/run/fraktalia.sock"]);
    std::fs::write("/run/fraktalia.sock", "VERSION").expect("/run can be written");
    std::fs::write("/var/lib/fraktalia/state", "VERSION").expect("the volume can be written");
    assert!(std::fs::write("/etc/passwd", "").is_err(), "the root is read-only");
    if "VERSION" == "dies" {
        eprintln!("nothing to hold on to");
        std::process::exit(3);
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}
"#;

fn program(dir: &Path, version: &str) -> PathBuf {
    let (source, program) = (dir.join(format!("{version}.rs")), dir.join(version));
    std::fs::write(&source, PROGRAM.replace("VERSION", version)).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let made =
        Command::new(rustc).args(["-C", "panic=abort", "-o"]).arg(&program).arg(&source).status().unwrap();
    assert!(made.success());
    program
}

/// A world whose network wants a helper, made of `program`.
struct Helped {
    world: World,
    programs: Arc<tempfile::TempDir>,
    program: PathBuf,
}

impl Helped {
    async fn start() -> Option<Self> {
        let engine = Engine::remote().await?;
        let programs = Arc::new(tempfile::tempdir().unwrap());
        let program = program(programs.path(), "one");
        Some(Self { world: World::on(engine).await, programs, program })
    }

    fn version(&self) -> String {
        HelperBuild::of(&self.program).unwrap().version().to_owned()
    }

    fn name(&self) -> String {
        format!("fraktalia-helper-{}", self.world.mark)
    }

    async fn converge(&self) -> fraktalia_engine::session::Ended {
        let ended = contract::apply(&self.session(None)).await.unwrap();
        assert!(matches!(ended.outcome, Some(Outcome::Applied)), "{ended:?}");
        assert_eq!(contract::left(&self.session(None)).await, Vec::<String>::new(), "a second plan is empty");
        ended
    }

    async fn plan(&self) -> fraktalia_plan::Plan {
        self.session(None).plan(&Options::default(), false).await.unwrap().plan
    }

    async fn container(&self) -> Option<ContainerInspectResponse> {
        self.world.docker.inspect_container(&self.name(), None::<InspectContainerOptions>).await.ok()
    }

    async fn has_volume(&self) -> bool {
        self.world.docker.inspect_volume(&self.name()).await.is_ok()
    }

    async fn images(&self) -> Vec<String> {
        let images = self.world.docker.list_images(None::<ListImagesOptions>).await.unwrap();
        images.into_iter().flat_map(|image| image.repo_tags).filter(|tag| tag.contains("helper")).collect()
    }

    async fn run(&self, argv: &[&str]) -> String {
        let client = Client::connect(self.world.engine.endpoint()).await.unwrap();
        let output = client.exec(&self.name(), argv, b"", 100_000).await.unwrap();
        format!(
            "{} {}{}",
            output.code,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }
}

#[async_trait]
impl Subject for Helped {
    fn session(&self, fault: Option<FaultAt>) -> Session {
        let host = DockerHost::new("local", self.world.engine.endpoint())
            .with_helper(HelperBuild::of(&self.program));
        let paths = StatePaths::new(self.world.root.path().join("state"));
        let registry = Registry::new().with(Twice(host));
        Session::new(self.world.manifest.clone(), registry, paths).with_fault(contract::silent(fault))
    }

    async fn snapshot(&self) -> serde_json::Value {
        let container = self.container().await;
        let version = container
            .as_ref()
            .and_then(|one| one.config.as_ref()?.labels.as_ref()?.get("io.fraktalia.spec").cloned());
        json!({
            "world": self.world.snapshot().await,
            "version": version,
            "runs": container.and_then(|one| one.state?.running),
            "volume": self.has_volume().await,
            "images": self.images().await.iter().map(|tag| tag.replace(&self.world.mark, "mark")).collect::<Vec<_>>(),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_is_brought_confined_kept_and_taken_back() {
    let Some(mut helped) = Helped::start().await else { return };
    contract::apply_then_roll_back(&helped).await;
    assert_eq!((helped.has_volume().await, helped.images().await), (false, vec![]), "nothing of it stays");
    helped.converge().await;

    let container = helped.container().await.unwrap();
    assert_eq!(container.state.unwrap().running, Some(true));
    // What it may, as the kernel sees it: CAP_NET_ADMIN is bit 12.
    let Engine::Remote(host) = &helped.world.engine else { unreachable!() };
    let status = status_of(host, "fraktalia").await;
    for line in ["CapEff:\t0000000000001000", "CapBnd:\t0000000000001000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    // `nft` works there, with its libraries, on the host's own tables.
    assert_eq!(helped.run(&["nft", "add table inet fraktalia_probe"]).await, "0 ");
    let rules = host.inside("nft").args(["list", "tables"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&rules.stdout).contains("fraktalia_probe"), "{rules:?}");
    let by_name = "add chain inet fraktalia_probe c; add rule inet fraktalia_probe c ip protocol tcp tcp dport ssh drop";
    assert_eq!(helped.run(&["nft", by_name]).await, "0 ", "names of protocols and services are known");

    helped.world.ask_for_nothing();
    let plan = helped.plan().await;
    assert!(plan.changes.iter().any(|change| change.verb == Verb::Delete && change.id.kind == "helper"));
    helped.converge().await;
    assert!(
        helped.container().await.is_none() && !helped.has_volume().await && helped.images().await.is_empty()
    );
}

/// `/proc/<pid>/status` of the process with this name on the host.
async fn status_of(host: &Execution, name: &str) -> String {
    let script = format!("cat /proc/$(pidof {name} || pgrep -x {name})/status");
    let output = host.inside("sh").args(["-c", &script]).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_program_is_a_new_helper_and_a_rollback_brings_the_old_one_back() {
    let Some(mut helped) = Helped::start().await else { return };
    helped.converge().await;
    let (before, old) = (helped.snapshot().await, helped.version());
    helped.program = program(helped.programs.path(), "two");
    assert_ne!(helped.version(), old);
    let plan = helped.plan().await;
    let fields: Vec<_> =
        plan.changes.iter().flat_map(|change| &change.fields).map(|field| &*field.field).collect();
    assert_eq!(fields, ["version"]);
    let ended = helped.converge().await;
    let now = helped.container().await.unwrap().config.unwrap().labels.unwrap();
    assert_eq!(now["io.fraktalia.spec"], helped.version());

    let session = helped.session(None);
    let (lock, run) = (session.lock().unwrap(), session.run(&ended.run).unwrap());
    let ended = session.roll_back_run(&lock, &run, &contract::quiet()).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    drop(lock);
    assert_eq!(helped.snapshot().await, before);

    // Of three versions the newest and the one before it stay.
    helped.converge().await;
    helped.program = program(helped.programs.path(), "three");
    helped.converge().await;
    let images = helped.images().await;
    assert!(images.len() == 2 && !images.iter().any(|tag| tag.contains(&old[..12])), "{images:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_was_altered_or_stopped_is_made_anew() {
    let Some(helped) = Helped::start().await else { return };
    helped.converge().await;
    let Engine::Remote(host) = &helped.world.engine else { unreachable!() };
    let name = helped.name();
    host.docker(&["stop", "--time", "0", &name]).await.unwrap();
    let field = async || helped.plan().await.changes[0].fields[0].clone();
    let stopped = field().await;
    assert_eq!((&*stopped.field, stopped.to.as_deref()), ("running", Some("true")));
    helped.converge().await;

    let tag = format!("fraktalia-helper:{}-{}", helped.world.mark, &helped.version()[..12]);
    let labels = helped.container().await.unwrap().config.unwrap().labels.unwrap();
    host.docker(&["rm", "--force", &name]).await.unwrap();
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("--label={key}={value}")).collect();
    let mut run = vec!["create", "--name", &name, "--privileged", "--network=host", "--volume=/:/host"];
    run.extend(labels.iter().map(String::as_str));
    run.push(&tag);
    run.extend(["/fraktalia", "forward", "--dir", "/var/lib/fraktalia", "--control", "/run/fraktalia.sock"]);
    host.docker(&run).await.unwrap();
    let plan = helped.plan().await;
    let settings = plan.changes[0].fields.iter().find(|field| field.field == "settings").unwrap();
    let from = settings.from.as_deref().unwrap();
    assert!(from.contains("privileged true") && from.contains("/:/host"), "{from}");
    assert!(!from.contains("network"), "what is as it should be is not named: {from}");
    helped.converge().await;
    assert_eq!(helped.container().await.unwrap().host_config.unwrap().privileged, Some(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_dies_at_once_says_why_and_leaves_nothing_or_the_one_before() {
    let Some(mut helped) = Helped::start().await else { return };
    let (good, bad) = (helped.program.clone(), program(helped.programs.path(), "dies"));
    let before = helped.snapshot().await;
    helped.program.clone_from(&bad);
    let ended = contract::apply(&helped.session(None)).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    let why = ended.why.unwrap();
    assert!(why.contains("with code 3") && why.contains("nothing to hold on to"), "{why}");
    assert_eq!(helped.snapshot().await, before);

    helped.program = good;
    helped.converge().await;
    let before = helped.snapshot().await;
    helped.program = bad;
    let ended = contract::apply(&helped.session(None)).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert!(ended.why.unwrap().contains("nothing to hold on to"));
    assert_eq!(helped.snapshot().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_at_any_moment_and_a_resume_or_a_rollback_end_as_they_should() {
    let Some(engine) = Engine::remote().await else { return };
    let programs = Arc::new(tempfile::tempdir().unwrap());
    let program = program(programs.path(), "one");
    // Each in a realm of its own, so that one engine serves all; what the one before left is removed.
    let fresh = async || {
        let Engine::Remote(host) = &engine else { unreachable!() };
        let everything = "docker ps -aq | xargs -r docker rm -f; docker images -q fraktalia-helper | xargs -r docker rmi -f";
        host.inside("sh").args(["-c", everything]).output().await.unwrap();
        Helped {
            world: World::on(engine.clone()).await,
            programs: Arc::clone(&programs),
            program: program.clone(),
        }
    };
    contract::die_then_resume(fresh).await;
    contract::die_then_roll_back(fresh).await;
}

#[tokio::test]
async fn nothing_is_asked_of_a_helper_where_there_is_nothing_to_hold_or_a_service_does() {
    if !Path::new("/usr/sbin/nft").exists() {
        eprintln!("skipped: a helper is made with nft, which is not installed");
        return;
    }
    let mut world = World::on(Engine::simulated()).await;
    let host = |world: &World| {
        let build = || HelperBuild::of("/bin/sh");
        DockerHost::all(&world.manifest, build).into_iter().next().unwrap().lower(&world.manifest).unwrap()
    };
    let has_helper = |world: &World| host(world).iter().any(|resource| resource.id.kind == "helper");
    assert!(has_helper(&world));
    world.manifest.hosts.get_mut("local").unwrap().helper = fraktalia_model::manifest::HelperKind::Service;
    assert!(!has_helper(&world));
    world.manifest.hosts.get_mut("local").unwrap().helper = fraktalia_model::manifest::HelperKind::Container;
    world.manifest.networks.clear();
    world.sandbox().network = None;
    assert!(!has_helper(&world));
    world.manifest.forwards.push(fraktalia_model::manifest::Forward {
        at: fraktalia_model::Span::default(),
        host_port: 9000,
        fractal: world.agent(),
        port: 3000,
        listen: "127.0.0.1".parse().unwrap(),
    });
    assert!(has_helper(&world), "a forward alone is enough");
}

#[tokio::test]
async fn an_engine_on_a_machine_of_another_kind_is_refused_before_anything_is_done() {
    if !Path::new("/usr/sbin/nft").exists() {
        eprintln!("skipped: a helper is made with nft, which is not installed");
        return;
    }
    let world = World::on(Engine::simulated()).await;
    let helped =
        Helped { world, programs: Arc::new(tempfile::tempdir().unwrap()), program: "/bin/sh".into() };
    assert!(!helped.plan().await.is_blocked());
    helped.world.engine.sim().world().arch = "riscv64".into();
    let plan = helped.plan().await;
    let note = plan.notes.iter().find(|note| note.code == "docker.other-machine").unwrap();
    assert!(plan.is_blocked() && note.text.contains("riscv64") && note.hint.is_some(), "{note:?}");
    contract::apply(&helped.session(None)).await.unwrap_err();
    assert!(!helped.world.has_network().await && helped.world.image_id().await.is_none());
}
