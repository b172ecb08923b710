//! One manifest with every key, on a real homeserver, a real gateway and a real Docker engine: planned, applied, changed,
//! disturbed by hand, emptied and taken back.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use fraktalia_testkit::proxy::Break;
use fraktalia_testkit::real::docker::{BUSYBOX, docker};
use fraktalia_testkit::real::{Cache, Docker, encode};
use fraktalia_tests::{PASSWORD, Ran, SERVER, Stage, With};
use serde_json::{Value, json};

/// A stage with a Docker engine, and names at that engine which no other story uses.
struct Everything {
    stage: Stage,
    docker: Docker,
    realm: &'static str,
    manifest: String,
}

const FRACTALS: &str = "\
fractals:
  cook:
    name: The cook
    purpose: Knows what is in the larder.
    model: standin/echo
    members: [ana, ben]
    room: { name: The kitchen, alias: kitchen, in: house, on_remove: purge }
    account: own
    auto_reply: true
    sandbox: closed
    openclaw: { tools: { deny: [browser] } }
    on_remove: delete
";

const MANIFEST: &str = r#"version: 1
realm: REALM
include: [fractals/*.yaml]
matrix:
  homeserver: HOMESERVER
  server_name: chat.stage
  admin_token: { file: secrets/admin }
  bot: "@agent:chat.stage"
  padding: ["@warden:chat.stage"]
openclaw:
  config: gateway/openclaw.json
  cli: gateway/openclaw
  gateway: { url: "GATEWAY", token: { env: GATEWAY_TOKEN } }
  catch_all: felix
  workspaces: workspaces
  dialect: entries
hosts:
  local: { docker: "unix:///var/run/docker.sock" }
users:
  ana: { display_name: Ana, password: { command: [cat, secrets/password] } }
  ben: {}
  eve: { on_remove: deactivate }
  warden: { bot: true, on_remove: keep }
rooms:
  house: { space: true, name: Our house, members: [ana] }
  lounge:
    name: The lounge
    topic: For everybody
    alias: living-room
    avatar: pictures/lounge.png
    members: [ana, ben]
    members_policy: at-least
    join_rule: invite
    history: shared
    encrypted: false
    power_levels: { ana: 60 }
    in: house
    on_remove: retire
  board: { members: [ana, ben], members_policy: exact, encrypted: true, on_remove: purge }
  archive: { name: The archive, members: [ana], on_remove: keep }
networks:
  REALM-open: { host: local, subnet: SUBNET.0/24, internet: true, dns: [9.9.9.9] }
  REALM-closed: { internet: false }
sandboxes:
  standard:
    host: local
    image: { tag: "REALM-image:latest", build: { context: image, args: { UID: 996, GID: 1100 } } }
    network: REALM-open
    user: "996:1100"
    mode: all
    workspace_access: rw
    read_only_root: false
    memory: 512m
    cpus: 1.5
  closed: { image: { tag: "BUSYBOX" }, network: REALM-closed, mode: non-main, workspace_access: ro, read_only_root: true }
fractals:
  gardener:
    name: The gardener
    purpose: Looks after the garden plan.
    persona: |
      You are patient and practical.
    model: { primary: standin/echo, fallbacks: [standin/spare] }
    members: [ana]
    room: { topic: Beds and seeds, in: house }
    account: shared
    auto_reply: true
    sandbox: standard
    workspace:
      path: workspaces/garden
      owner: "OWNER"
      files:
        AGENTS.md: { source: personas/gardener.md, keep: seed, mode: "0640" }
        USER.md: { content: "Ana and Ben.", keep: sync }
      on_remove: keep
    openclaw: { tools: { deny: [browser] } }
    on_remove: delete
bindings:
  - { agent: felix, direct: ana }
  - { agent: gardener, room: lounge }
policy:
  max_fractals: 5
  forward_ports: 9000-9099
  protect: [matrix/room/archive]
  max_removals: 40
"#;

/// What a second version of the manifest says instead, and words by which the plan shows it.
const CHANGES: &[(&str, &str, &str)] = &[
    ("display_name: Ana,", "display_name: Anna,", "Anna"),
    ("name: The lounge", "name: The parlour", "The parlour"),
    ("topic: For everybody", "topic: For all of us", "For all of us"),
    ("alias: living-room", "alias: parlour", "#parlour"),
    ("avatar: pictures/lounge.png", "avatar: pictures/parlour.png", "avatar"),
    ("members: [ana, ben]\n    members_policy", "members: [ana, ben, eve]\n    members_policy", "eve"),
    ("join_rule: invite", "join_rule: knock", "knock"),
    ("history: shared", "history: joined", "joined"),
    ("encrypted: false", "encrypted: true", "encrypted"),
    ("power_levels: { ana: 60 }", "power_levels: { ana: 70 }", "70"),
    ("archive: { name: The archive,", "archive: { name: The archive, in: house,", "archive"),
    ("SUBNET.0/24", "SUBNET.0/25", "/25"),
    ("args: { UID: 996", "args: { UID: 995", "content"),
    ("user: \"996:1100\"\n    mode", "user: \"995:1100\"\n    mode", "995:1100"),
    ("memory: 512m", "memory: 256m", "256m"),
    ("cpus: 1.5", "cpus: 0.5", "0.5"),
    ("workspace_access: rw", "workspace_access: ro", "ro"),
    ("dns: [9.9.9.9]", "dns: [1.1.1.1]", "1.1.1.1"),
    ("mode: non-main", "mode: all", "all"),
    ("name: The gardener", "name: The head gardener", "The head gardener"),
    ("fallbacks: [standin/spare]", "fallbacks: [standin/other]", "standin/other"),
    ("topic: Beds and seeds", "topic: Beds and bulbs", "Beds and bulbs"),
    ("mode: \"0640\"", "mode: \"0644\"", "0644"),
    ("content: \"Ana and Ben.\"", "content: \"Anna and Ben.\"", "USER.md"),
    ("account: shared\n    auto_reply: true", "account: shared\n    auto_reply: false", "autoReply"),
    (
        "deny: [browser] } }\n    on_remove: delete\nbindings",
        "deny: [canvas] } }\n    on_remove: delete\nbindings",
        "canvas",
    ),
    ("direct: ana", "direct: ben", "ben"),
];

impl Everything {
    async fn set(realm: &'static str, subnet: &str) -> Option<Self> {
        let cache = Cache::for_test()?;
        let docker = Docker::ensure(&cache).await.expect("an engine");
        docker.base_image(&cache, BUSYBOX).await.expect("an image");
        clean(realm);
        let stage = Stage::set(With::Gateway).await?;
        let owner = std::fs::metadata(stage.dir()).expect("the stage is there");
        let gateway = stage.gateway.as_ref().expect("a gateway was asked for").url();
        let manifest = MANIFEST
            .replace("REALM", realm)
            .replace("HOMESERVER", stage.proxy.url())
            .replace("GATEWAY\"", &format!("{gateway}\""))
            .replace("BUSYBOX", BUSYBOX)
            .replace("SUBNET", subnet)
            .replace("OWNER", &format!("{}:{}", owner.uid(), owner.gid()));
        stage.write("fractals/cook.yaml", FRACTALS);
        stage.write("personas/gardener.md", "# Rules\n\nAsk before you dig.\n");
        stage.write(
            "image/Dockerfile",
            &format!("FROM {BUSYBOX}\nARG UID\nARG GID\nENV IDS=$UID:$GID\nCOPY motd /motd\n"),
        );
        stage.write("image/motd", "Welcome to the shed.\n");
        stage.write("pictures/lounge.png", "not much of a picture");
        stage.write("pictures/parlour.png", "another picture");
        stage.write("fraktalia.yaml", &manifest);
        Some(Self { stage, docker, realm, manifest })
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let token = self.stage.gateway.as_ref().expect("a gateway was asked for").token();
        self.stage.run_with(args, &[("GATEWAY_TOKEN", token)]).await
    }

    async fn apply(&self) {
        let _ = self.run(&["apply", "--yes"]).await.expect(0);
        self.is_in_sync().await;
    }

    async fn is_in_sync(&self) {
        let _ = self.run(&["plan", "--exit-code"]).await.expect(0);
    }

    /// The second version of the manifest.
    fn changed(&self) -> String {
        CHANGES.iter().fold(self.manifest.clone(), |text, (from, to, _)| {
            let subnet = self.manifest.split("subnet: ").nth(1).and_then(|rest| rest.split(".0/24").next());
            let fill = |part: &str| part.replace("SUBNET", subnet.unwrap_or_default());
            let (from, to) = (fill(from), fill(to));
            assert!(text.contains(&from), "nothing in the manifest reads `{from}`");
            text.replacen(&from, &to, 1)
        })
    }

    /// The networks and images of ours at the engine.
    async fn engine(&self) -> Value {
        let label = format!("label=io.fraktalia.realm={}", self.realm);
        let networks = docker(&["network", "ls", "--filter", &label, "--format", "{{.Name}}"]).await;
        // An image that a newer one took the name of stays for the way back, without a name.
        let named = ["--filter", "dangling=false", "--format", "{{.Repository}}:{{.Tag}}"];
        let images = docker(&[&["image", "ls", "--filter", &label][..], &named].concat()).await;
        let sorted = |text: String| {
            // The helper's image is made for whatever the manifest asks for.
            let asked = |line: &&str| !line.starts_with("fraktalia-helper:");
            let mut lines: Vec<String> = text.lines().filter(asked).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        json!({ "networks": sorted(networks.expect("Docker answers")), "images": sorted(images.expect("Docker answers")) })
    }

    async fn world(&self) -> Value {
        json!({ "stage": self.stage.world().await, "engine": self.engine().await })
    }

    async fn admin_put(&self, path: &str, body: Value) {
        self.stage.synapse.admin().put(path, &body).await.expect("the homeserver takes it");
    }

    async fn room(&self, alias: &str) -> String {
        self.stage.room(alias).await.unwrap_or_else(|| panic!("there is no room #{alias}"))
    }

    async fn members(&self, room: &str) -> Vec<String> {
        let path = format!("/_synapse/admin/v1/rooms/{}/members", encode(room));
        let answer = self.stage.synapse.admin().get(&path).await.expect("the homeserver answers");
        let members = answer["members"].as_array().cloned().unwrap_or_default();
        members.iter().filter_map(|member| member.as_str().map(str::to_owned)).collect()
    }

    async fn state(&self, room: &str, kind: &str) -> Value {
        let path = format!("/_synapse/admin/v1/rooms/{}/state", encode(room));
        let answer = self.stage.synapse.admin().get(&path).await.expect("the homeserver answers");
        let events = answer["state"].as_array().cloned().unwrap_or_default();
        events
            .iter()
            .find(|event| event["type"] == kind)
            .map_or(Value::Null, |event| event["content"].clone())
    }

    fn edit_openclaw(&self, from: &str, to: &str) {
        let text = self.stage.read("gateway/openclaw.json");
        assert!(text.contains(from), "openclaw.json does not contain `{from}`:\n{text}");
        self.stage.write("gateway/openclaw.json", &text.replacen(from, to, 1));
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        clean(self.realm);
        let _ = self.docker.is_ours();
    }
}

/// Removes what a story leaves at the engine, its helper first: that would put its rules back.
fn clean(realm: &str) {
    let run = |program: &str, args: &[&str]| {
        let output = std::process::Command::new(program).args(args).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    let [open, closed, image] = ["open", "closed", "image:latest"].map(|part| format!("{realm}-{part}"));
    let helper = format!("fraktalia-helper-{realm}");
    run("docker", &["rm", "--force", &helper]);
    run("docker", &["volume", "rm", &helper]);
    run("docker", &["network", "rm", &open, &closed]);
    run("docker", &["image", "rm", "--force", &image]);
    run("docker", &["image", "prune", "--force", "--filter", &format!("label=io.fraktalia.realm={realm}")]);
    let table = format!("fraktalia_{}_", realm.replace('-', "_"));
    let tables = run("nft", &["list", "tables"]);
    for name in tables.split_whitespace().filter(|word| word.starts_with(&table)) {
        run("nft", &["delete", "table", "inet", name]);
    }
}

/// Identity, content and times of a file: what any write would change.
fn stamp(stage: &Stage, name: &str) -> (u64, i64, i64, String) {
    let meta = std::fs::metadata(stage.path(name)).expect("the file is there");
    (meta.ino(), meta.mtime_nsec(), meta.ctime_nsec(), stage.read(name))
}

#[tokio::test]
async fn a_manifest_with_every_key_is_applied_and_taken_back() {
    let Some(all) = Everything::set("every-key-a", "172.29.71").await else { return };
    let before = all.world().await;
    let _ = all.run(&["plan", "--exit-code"]).await.expect(3);
    assert_eq!(all.world().await, before, "a plan changes nothing");
    all.apply().await;
    assert_eq!(
        all.engine().await,
        json!({ "networks": ["every-key-a-closed", "every-key-a-open"], "images": ["every-key-a-image:latest"] })
    );
    let after = all.world().await;
    let _ = all.run(&["rollback", "--yes"]).await.expect(0);
    assert_eq!(all.world().await, before);
    // And there again, from the users that an apply before has left deactivated.
    all.apply().await;
    assert_eq!(all.world().await, after);
    // A failure near the end takes all of it back as well.
    all.stage.write("fraktalia.yaml", &all.changed());
    all.stage.proxy.break_if(|method, path| {
        (*method == "PUT" && path.contains("m.space.child")).then_some(Break::ServerError)
    });
    let _ = all.run(&["apply", "--yes"]).await.expect(20);
    all.stage.proxy.mend();
    assert_eq!(all.world().await, after);
}

#[tokio::test]
async fn every_field_can_change_drift_and_go() {
    let Some(all) = Everything::set("every-key-b", "172.29.72").await else { return };
    all.apply().await;
    nothing_pending_means_no_write(&all).await;
    changes_are_shown_and_made(&all).await;
    hand_edits_are_named_and_healed(&all).await;
    what_leaves_the_manifest_goes_as_documented(&all).await;
}

async fn nothing_pending_means_no_write(all: &Everything) {
    let stage = &all.stage;
    let since = now();
    stage.proxy.take_calls();
    let files = ["gateway/openclaw.json", "workspaces/garden/USER.md", "workspaces/garden/AGENTS.md"];
    let stamps = files.map(|name| stamp(stage, name));
    let _ = all.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(stage.proxy.take_writes(), [], "an apply with nothing to do writes nothing to the homeserver");
    assert_eq!(files.map(|name| stamp(stage, name)), stamps);
    let format = "{{.Type}} {{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}";
    let events = docker(&["events", "--since", &since, "--until", &now(), "--format", format]).await;
    let events = events.expect("Docker tells what happened");
    // A helper is asked by a command in its container.
    let asked = |line: &&str| line.starts_with("container exec_");
    let ours: Vec<&str> = events.lines().filter(|line| line.contains(all.realm) && !asked(line)).collect();
    assert_eq!(ours, [""; 0], "nothing happened to anything of ours at the engine");
}

/// Seconds and nanoseconds since 1970, as `docker events` takes them.
fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

async fn changes_are_shown_and_made(all: &Everything) {
    all.stage.write("fraktalia.yaml", &all.changed());
    let plan = all.run(&["plan", "--exit-code"]).await.expect(3);
    let missing: Vec<&str> = CHANGES
        .iter()
        .map(|(_, to, shown)| (to, shown))
        .filter(|(_, shown)| !plan.stdout.contains(**shown))
        .map(|(to, _)| *to)
        .collect();
    assert_eq!(missing, [""; 0], "the plan does not show these:\n{}", plan.stdout);
    assert!(!plan.stdout.contains("changed by hand"), "{}", plan.stdout);
    all.apply().await;
    let parlour = all.room("parlour").await;
    assert_eq!(all.stage.room("living-room").await, None);
    assert_eq!(all.state(&parlour, "m.room.topic").await["topic"], "For all of us");
    assert_eq!(all.state(&parlour, "m.room.join_rules").await["join_rule"], "knock");
    assert_eq!(all.stage.read("workspaces/garden/USER.md").trim(), "Anna and Ben.");
    let network = format!("{}-open", all.realm);
    let format = "{{(index .IPAM.Config 0).Subnet}}";
    let subnet = docker(&["network", "inspect", "--format", format, &network]).await;
    assert_eq!(subnet.expect("the network is there"), "172.29.72.0/25");
}

async fn hand_edits_are_named_and_healed(all: &Everything) {
    let stage = &all.stage;
    let parlour = all.room("parlour").await;
    let room = encode(&parlour);
    all.admin_put(
        &format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/"),
        json!({ "topic": "Nonsense" }),
    )
    .await;
    let kick = json!({ "user_id": format!("@ben:{SERVER}"), "reason": "by hand" });
    let board = all.room("board").await;
    let path = format!("/_matrix/client/v3/rooms/{}/kick", encode(&board));
    stage.synapse.admin().post(&path, &kick).await.expect("Ben is put out");
    all.edit_openclaw("256m", "999m");
    remove_binding(all, &format!("@ben:{SERVER}"));
    stage.write("workspaces/garden/USER.md", "Nobody.");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(stage.path("workspaces/garden/AGENTS.md"), mode).expect("the mode is set");
    docker(&["network", "rm", &format!("{}-closed", all.realm)]).await.expect("nobody is on it");

    let plan = all.run(&["plan", "--exit-code"]).await.expect(3);
    for thing in [
        "#parlour",
        "@ben:chat.stage  ",
        "agent    gardener",
        "binding",
        "USER.md",
        "AGENTS.md",
        "every-key-b-closed",
    ] {
        let named = plan.stdout.lines().any(|line| line.contains(thing) && line.contains("by hand"));
        assert!(named, "{thing} is not said to be changed by hand:\n{}", plan.stdout);
    }
    for from in ["Nonsense", "put out", "999m", "0600"] {
        assert!(plan.stdout.contains(from), "it does not say what was found, {from}:\n{}", plan.stdout);
    }
    assert!(plan.stdout.contains("2 to create, 5 to change"), "and nothing else:\n{}", plan.stdout);
    all.apply().await;
    assert_eq!(all.state(&parlour, "m.room.topic").await["topic"], "For all of us");
    assert!(all.members(&board).await.contains(&format!("@ben:{SERVER}")));
    assert_eq!(stage.read("workspaces/garden/USER.md").trim(), "Anna and Ben.");
    assert_eq!(all.engine().await["networks"], json!(["every-key-b-closed", "every-key-b-open"]));
}

/// Takes the binding out whose match names `peer`, as somebody with an editor would.
fn remove_binding(all: &Everything, peer: &str) {
    let text = all.stage.read("gateway/openclaw.json");
    let bindings = text.find("bindings:").expect("there are bindings");
    let at = bindings + text[bindings..].find(peer).expect("a binding names the peer");
    let (mut start, mut depth) = (at, 0);
    // Out of `peer: { }` and `match: { }` to the brace of the binding.
    for (place, letter) in text[..at].char_indices().rev() {
        match letter {
            '}' => depth += 1,
            '{' if depth > 0 => depth -= 1,
            '{' => {
                start = place;
                if text[place..at].contains("agentId") {
                    break;
                }
            }
            _ => {}
        }
    }
    let mut end = start;
    for (place, letter) in text[start..].char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            end = start + place + 1;
            break;
        }
    }
    let rest = text[end..].strip_prefix(',').unwrap_or(&text[end..]);
    all.stage.write("gateway/openclaw.json", &format!("{}{rest}", &text[..start]));
}

async fn what_leaves_the_manifest_goes_as_documented(all: &Everything) {
    let [parlour, board, archive, kitchen] = [
        all.room("parlour").await,
        all.room("board").await,
        all.room("archive").await,
        all.room("kitchen").await,
    ];
    let manifest = all.changed();
    let head = manifest.split("users:\n").next().expect("there are users");
    let policy = manifest.split("policy:\n").nth(1).expect("there is a policy");
    std::fs::remove_file(all.stage.path("fractals/cook.yaml")).expect("the cook leaves");
    let head = head.replace("include: [fractals/*.yaml]\n", "");
    all.stage.write("fraktalia.yaml", &format!("{head}users: {{ ana: {{}}, ben: {{}} }}\npolicy:\n{policy}"));
    all.apply().await;

    assert_eq!(all.stage.room("parlour").await, None, "a retired room frees its alias");
    let left = all.members(&parlour).await;
    assert_eq!(left, [format!("@admin:{SERVER}")], "only our own user stays, to clean up one day");
    assert_eq!(all.room("archive").await, archive, "a room that is kept is as it was");
    let rooms =
        all.stage.synapse.admin().get("/_synapse/admin/v1/rooms?limit=500").await.expect("rooms").to_string();
    for gone in [&board, &kitchen] {
        assert!(!rooms.contains(gone.as_str()), "a purged room is gone");
    }
    let openclaw = all.stage.read("gateway/openclaw.json");
    for gone in ["gardener", "cook", &parlour, &board, &kitchen] {
        assert!(!openclaw.contains(gone), "{gone} is still in\n{openclaw}");
    }
    assert!(openclaw.contains("felix") && openclaw.contains("// stays last"), "{openclaw}");
    assert_eq!(all.engine().await, json!({ "networks": [], "images": [] }));
    assert_eq!(all.stage.read("workspaces/garden/USER.md").trim(), "Anna and Ben.", "workspaces stay");
    let world = all.stage.world().await;
    let users = world["users"].to_string();
    assert!(users.contains("@warden:") && users.contains("@ana:"), "{users}");
    assert!(!users.contains("@eve:"), "deactivated as it was asked for: {users}");
    assert!(!openclaw.contains(PASSWORD));
}
