//! The provider against real OpenClaw: what it writes is valid in both shapes, and a running gateway takes it over.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use fraktalia_engine::Outcome;
use fraktalia_model::manifest::{
    Account, Gateway as GatewaySection, Image, Model, Network, Peer, Sandbox, SandboxMode, WorkspaceAccess,
};
use fraktalia_model::{SecretSource, Span, UserId};
use fraktalia_openclaw::Patience;
use fraktalia_testkit::contract;
use fraktalia_testkit::real::{BaseConfig, Cache, Gateway, ModelStandIn, OpenClaw, Person, Synapse, Version};
use serde_json::json;
use support::{ENTRIES, LIST, World};

/// A manifest that uses every key that ends up in `openclaw.json`.
fn everything(world: &mut World) {
    world.manifest.networks.insert(
        "net".into(),
        Network {
            at: Span::default(),
            key: "net".into(),
            fractal: None,
            host: "local".into(),
            bridge: "fkt-net".into(),
            subnet: "10.208.0.0/27".into(),
            internet: true,
            allow: Vec::new(),
            dns: vec!["9.9.9.9".parse().expect("an address")],
        },
    );
    world.manifest.sandboxes.insert(
        "standard".into(),
        Sandbox {
            at: Span::default(),
            host: "local".into(),
            image: Some(Image { at: Span::default(), tag: "agent-sandbox:latest".into(), build: None }),
            network: Some("net".into()),
            user: Some("996:1100".into()),
            mode: Some(SandboxMode::NonMain),
            workspace_access: Some(WorkspaceAccess::Rw),
            read_only_root: Some(true),
            memory: Some("8g".into()),
            cpus: Some(1.5),
        },
    );
    let gardener = world.fractal("gardener");
    gardener.sandbox = Some("standard".into());
    gardener.network = Some("net".into());
    gardener.model = Some(Model { primary: "a/b".into(), fallbacks: vec!["c/d".into(), "e/f".into()] });
    gardener.openclaw = json!({"tools": {"deny": ["browser"]}, "identity": {"emoji": "x"}})
        .as_object()
        .cloned()
        .expect("a map");
    world.fractal("cook").account = Account::Own;
    world.manifest.bindings[1].account_of = Some("cook".into());
    world.bind("felix", Peer::Direct(UserId("@ana:test".into())), None);
    world.bind("gardener", Peer::Room("lounge".into()), None);
    world.room("lounge", None);
    world.section().catch_all = Some("felix".into());
}

fn releases(cache: &Cache, world: &World) -> [(Version, OpenClaw); 2] {
    [Version::List, Version::Entries].map(|version| {
        let home = world.dir.path().join(version.number());
        (version, OpenClaw::new(cache, version, &home).expect("installed"))
    })
}

#[tokio::test]
async fn what_is_written_is_valid_for_the_release_that_has_the_shape() {
    let Some(cache) = Cache::for_test() else { return };
    // The newer release still reads the older shape.
    for (version, file) in [(Version::List, LIST), (Version::Entries, ENTRIES), (Version::Entries, LIST)] {
        let mut world = World::new(file);
        everything(&mut world);
        let [(_, list), (_, entries)] = releases(&cache, &world);
        let openclaw = if version == Version::List { list } else { entries };
        world.section().cli = Some(openclaw.cli_path());
        contract::apply_then_roll_back(&world).await;
        assert_eq!(world.text(), file);
        world.applied().await;
        let verdict = openclaw.validate(&world.text()).await.expect("runs");
        assert!(verdict.valid, "{version:?}: {verdict:?}\n{}", world.text());
    }
}

#[tokio::test]
async fn a_file_without_agents_gets_the_shape_that_the_installed_release_wants() {
    let Some(cache) = Cache::for_test() else { return };
    for version in [Version::List, Version::Entries] {
        let mut world = World::new("{\n  gateway: { mode: 'local' },\n}\n");
        world.fractal("lab");
        let home = world.dir.path().join("openclaw-home");
        let openclaw = OpenClaw::new(&cache, version, &home).expect("installed");
        world.section().cli = Some(openclaw.cli_path());
        world.applied().await;
        let shape = if version == Version::List { "list: [" } else { "entries: {" };
        assert!(world.text().contains(shape), "{version:?}: {}", world.text());
    }
}

#[tokio::test]
async fn what_openclaw_does_not_know_is_refused_in_its_own_words() {
    let Some(cache) = Cache::for_test() else { return };
    let mut world = World::new(ENTRIES);
    world.fractal("lab").openclaw = json!({"wings": 2}).as_object().cloned().expect("a map");
    let openclaw =
        OpenClaw::new(&cache, Version::Entries, &world.dir.path().join("home")).expect("installed");
    world.section().cli = Some(openclaw.cli_path());
    let why = world.failed().await;
    assert!(why.contains("OpenClaw does not accept the new openclaw.json") && why.contains("wings"), "{why}");
    assert_eq!(world.text(), ENTRIES);
}

#[tokio::test]
async fn a_file_that_openclaw_wrote_to_is_no_difference_and_can_be_taken_back() {
    let Some(cache) = Cache::for_test() else { return };
    let mut world = World::new(LIST);
    everything(&mut world);
    let openclaw =
        OpenClaw::new(&cache, Version::Entries, &world.dir.path().join("home")).expect("installed");
    let ended = world.apply().await;
    assert_eq!(ended.outcome, Some(Outcome::Applied), "{:?}", ended.why);
    // Its own writers strip the comments and add keys of theirs.
    let set = Command::new(openclaw.cli_path())
        .args(["config", "set", "messages.ackReactionScope", "direct"])
        .env("OPENCLAW_CONFIG_PATH", world.config())
        .output()
        .expect("runs");
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    assert!(
        world.text().contains("lastTouchedVersion") && !world.text().contains("// the first"),
        "{}",
        world.text()
    );
    assert_eq!(world.planned().await, Vec::<String>::new(), "{}", world.text());

    let ended = world.roll_back(&ended.run).await;
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    let left: serde_json::Value = serde_json::from_str(&world.text()).expect("plain JSON");
    let agents = left["agents"].to_string();
    assert!(agents.contains("felix") && agents.contains("mox"), "{agents}");
    assert!(!agents.contains("cook") && !agents.contains("gardener"), "{agents}");
    // It also adds a catch-all of its own in the place of `default: true`; that is not ours to remove.
    let bindings = left["bindings"].to_string();
    assert!(bindings.contains("mox") && bindings.contains("felix"), "{bindings}");
    assert!(["cook", "gardener", "direct"].iter().all(|word| !bindings.contains(word)), "{bindings}");
    assert_eq!(left["messages"]["ackReactionScope"], "direct");
    assert!(openclaw.validate(&world.text()).await.expect("runs").valid);
}

/// A homeserver, a model, a gateway, and a world around the gateway's file.
struct Live {
    world: World,
    gateway: Gateway,
    synapse: Synapse,
    #[expect(dead_code, reason = "it answers as long as it is there")]
    model: ModelStandIn,
    bot: Person,
    ana: Person,
    cook: Person,
    before: String,
}

const LIMIT: Duration = Duration::from_mins(3);

impl Live {
    async fn start(cache: &Cache) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let synapse = Synapse::start(cache, &dir.path().join("synapse")).await.expect("Synapse starts");
        let model = ModelStandIn::start().await.expect("the model starts");
        let mut people = Vec::new();
        for name in ["agent", "ana", "cook"] {
            people.push(synapse.register(name, "a password", false).await.expect("registers"));
        }
        let [bot, ana, cook] = <[Person; 3]>::try_from(people).expect("three");
        let base = BaseConfig {
            model_base_url: model.base_url().to_owned(),
            homeserver: synapse.base_url(),
            bot: bot.clone(),
            catch_all: "felix".to_owned(),
            encrypts_as: None,
        };
        let gateway =
            Gateway::start(cache, &dir.path().join("gateway"), &base).await.expect("the gateway starts");
        let mut world = World::around(dir);
        world.section().config = gateway.openclaw().config_path();
        world.section().cli = Some(gateway.openclaw().cli_path());
        std::fs::write(world.dir.path().join("token"), gateway.token()).expect("written");
        world.section().gateway =
            Some(GatewaySection { url: gateway.url(), token: Some(SecretSource::File("token".into())) });
        world.section().catch_all = Some("felix".into());
        let matrix = world.manifest.matrix.as_mut().expect("there is one");
        matrix.homeserver = synapse.base_url();
        matrix.server_name = synapse.server_name().into();
        world.patience = Patience::default();
        let before = std::fs::read_to_string(gateway.openclaw().config_path()).expect("a file");
        let mut live = Self { world, gateway, synapse, model, bot, ana, cook, before };
        live.with_fractals().await;
        live
    }

    /// The gardener speaks through the gateway's bot, the cook has a user of its own.
    async fn with_fractals(&mut self) {
        for name in ["gardener", "cook"] {
            let workspace = self.world.dir.path().join(name);
            std::fs::create_dir_all(&workspace).expect("created");
            std::fs::write(workspace.join("IDENTITY.md"), format!("- Name: The {name}\n")).expect("written");
            let fractal = self.world.fractal(name);
            fractal.workspace.path = workspace;
            fractal.model = None;
            let speaker = if name == "cook" { self.cook.clone() } else { self.bot.clone() };
            let room =
                self.synapse.admin().create_room(&json!({"preset": "private_chat"})).await.expect("a room");
            for person in [&speaker, &self.ana] {
                self.synapse.admin().force_join(&room, person.user_id()).await.expect("joins");
            }
            self.world.made.put(name, &room);
        }
        self.world.manifest.fractals.get_mut("cook").expect("there").account = Account::Own;
        self.world.manifest.bindings[1].account_of = Some("cook".into());
        let token = self.world.state().join("secrets/matrix-cook-token");
        std::fs::create_dir_all(token.parent().expect("a folder")).expect("created");
        std::fs::write(&token, self.cook.token()).expect("written");
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("mode");
    }

    async fn answer(&self, name: &str, speaker: &Person) -> String {
        let room = self.world.made.id(name);
        let answer = self.ana.ask(&room, speaker.user_id(), "Who are you?", LIMIT).await;
        answer.unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.text(), self.gateway.log())).body
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.gateway.openclaw().config_path()).expect("a file")
    }
}

#[tokio::test]
async fn a_running_gateway_takes_it_over_and_the_agents_answer_each_with_its_own_voice() {
    let Some(cache) = Cache::for_test() else { return };
    let mut live = Live::start(&cache).await;
    let ended = live.world.apply().await;
    assert_eq!(ended.outcome, Some(Outcome::Applied), "{:?}\n{}", ended.why, live.gateway.log());
    assert_eq!(live.world.planned().await, Vec::<String>::new(), "a second plan is empty");
    for (name, speaker) in [("gardener", &live.bot), ("cook", &live.cook)] {
        let answer = live.answer(name, speaker).await;
        assert!(answer.starts_with(&format!("I am The {name}.")), "{answer}");
    }
    assert!(!live.text().contains(live.cook.token()), "the token stays in its file");

    // The file is as it was, and the gateway runs on it.
    let ended = live.world.roll_back(&ended.run).await;
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    assert_eq!(live.text(), live.before);
    live.gateway.stop().await.expect("ends in order");
}

#[tokio::test]
async fn what_a_running_gateway_does_not_take_over_is_taken_back() {
    let Some(cache) = Cache::for_test() else { return };
    let mut live = Live::start(&cache).await;
    live.world.section().cli = None;
    live.world.manifest.fractals.get_mut("cook").expect("there").openclaw =
        json!({"wings": 2}).as_object().cloned().expect("a map");
    let why = live.world.failed().await;
    assert!(
        why.contains("the gateway did not take the new openclaw.json over: it finds it invalid"),
        "{why}"
    );
    assert_eq!(live.text(), live.before);
    live.gateway.stop().await.expect("ends in order");
}
