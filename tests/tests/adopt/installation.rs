//! The installation: what a person with a script and too little time would have.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fraktalia_testkit::real::docker::docker;
use fraktalia_testkit::real::person::encode;
use fraktalia_testkit::real::{Cache, Docker, OpenClaw, Person, Version};
use fraktalia_tests::{SERVER, Stage, With};
use serde_json::{Map, Value, json};

/// A secret that stands in `openclaw.json` in so many words.
pub const SECRET: &str = "hunter2-in-so-many-words";

const HEAD: &str = r#"# Our house. Written by hand, and read by hand.
version: 1
realm: stage   # the only one

matrix:
  homeserver: HOMESERVER
  server_name: SERVER
  admin_token: { file: secrets/admin }   # never the token itself
  bot: "BOT"

openclaw:
  config: gateway/openclaw.json
  workspaces: workspaces
  # catch_all: somebody
# more to come
"#;

/// All of it.
pub struct Installation {
    pub stage: Stage,
    /// A Docker network that somebody made.
    pub network: String,
    /// Rooms by what they are for.
    rooms: BTreeMap<String, String>,
}

impl Drop for Installation {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker").args(["network", "rm", &self.network]).output();
    }
}

impl Installation {
    pub async fn by_hand(version: Version) -> Option<Self> {
        let stage = Stage::set(With::FileOnly).await?;
        let cache = Cache::for_test()?;
        let engine = Docker::ensure(&cache).await.expect("an engine");
        engine.keep();
        let network = format!("adopt-{}-{version:?}", std::process::id()).to_lowercase();
        docker(&["network", "create", &network]).await.expect("a network");
        let mut house = Self { stage, network, rooms: BTreeMap::new() };
        let head = HEAD.replace("HOMESERVER", house.stage.proxy.url()).replace("SERVER", SERVER);
        house.stage.write("fraktalia.yaml", &head.replace("BOT", house.stage.bot.user_id()));
        house.people_and_rooms().await;
        house.workspaces();
        let config = house.config(version);
        let openclaw = OpenClaw::new(&cache, version, &house.stage.path("gateway")).expect("the release");
        let verdict = openclaw.validate(&config).await.expect("the release can be asked");
        assert!(verdict.valid, "{verdict:?}\n{config}");
        house.stage.write("gateway/openclaw.json", &config);
        Some(house)
    }

    fn admin(&self) -> &Person {
        self.stage.synapse.admin()
    }

    async fn people_and_rooms(&mut self) {
        let me = encode(self.admin().user_id());
        let limits = json!({"messages_per_second": 0, "burst_count": 0});
        let path = format!("/_synapse/admin/v1/users/{me}/override_ratelimit");
        self.admin().post(&path, &limits).await.expect("limits are lifted, as one does");
        let ana = self.stage.synapse.register("ana", "ana-password", false).await.expect("Ana");
        for name in ["ben", "cleo"] {
            self.stage.synapse.register(name, "a-password", false).await.expect("somebody");
        }
        for number in 0..16 {
            let id = format!("a{number:02}");
            let alias = (number % 2 == 0).then_some(id.as_str());
            let request = room(&format!("Room of {id}"), alias, number % 3 == 0);
            self.make(&id, &request, &["ana", "ben", "agent"]).await;
        }
        for number in 0..6 {
            let request = room(&format!("Work {number}"), None, false);
            self.make(&format!("work{number}"), &request, &["ana", "agent"]).await;
        }
        self.make("lounge", &room("The lounge", Some("lounge"), true), &["ana", "ben", "cleo"]).await;
        self.space().await;
        for number in [16, 17] {
            let request = json!({"name": format!("Ana's own {number}"), "preset": "private_chat"});
            let id = ana.create_room(&request).await.expect("a room of Ana's");
            let bot = json!({"user_id": self.stage.bot.user_id()});
            ana.post(&format!("/_matrix/client/v3/rooms/{}/invite", encode(&id)), &bot)
                .await
                .expect("an invitation");
            let join = format!("/_matrix/client/v3/join/{}", encode(&id));
            self.stage.bot.post(&join, &json!({})).await.expect("the bot comes");
            self.rooms.insert(format!("a{number}"), id);
        }
        let chat = json!({"is_direct": true, "preset": "trusted_private_chat", "invite": [format!("@ben:{SERVER}")]});
        ana.create_room(&chat).await.expect("a direct chat");
    }

    async fn make(&mut self, key: &str, request: &Value, people: &[&str]) {
        let id = self.admin().create_room(request).await.expect("a room");
        for name in people {
            self.admin().force_join(&id, &format!("@{name}:{SERVER}")).await.expect("somebody comes");
        }
        self.rooms.insert(key.to_owned(), id);
    }

    async fn space(&mut self) {
        let space =
            json!({"name": "Our house", "creation_content": {"type": "m.space"}, "preset": "private_chat"});
        self.make("house", &space, &["ana"]).await;
        for child in ["garden", "cellar"] {
            self.make(child, &room(child, None, false), &["ana", "ben"]).await;
            let (space, room) = (self.rooms["house"].clone(), self.rooms[child].clone());
            let via = json!({"via": [SERVER]});
            self.state(&space, "m.space.child", &room, &via).await;
            // The one knows where it belongs; the other was only listed.
            if child == "garden" {
                self.state(&room, "m.space.parent", &space, &via).await;
            }
        }
    }

    async fn state(&self, room: &str, kind: &str, key: &str, content: &Value) {
        let path = format!("/_matrix/client/v3/rooms/{}/state/{kind}/{}", encode(room), encode(key));
        self.admin().put(&path, content).await.expect("an event of the state");
    }

    fn workspaces(&self) {
        for number in 0..20 {
            self.stage
                .write(&format!("workspaces/a{number:02}/AGENTS.md"), &format!("You are number {number}.\n"));
        }
        self.stage.write("workspaces/old/notes.md", "Nobody knows whose.\n");
    }

    /// As a person writes it, with comments, in the shape of its time.
    fn config(&self, version: Version) -> String {
        let list = version == Version::List;
        let mut agents = String::new();
        for number in 0..20 {
            let id = format!("a{number:02}");
            let place = self.stage.path(&format!("workspaces/{id}"));
            let head = if list { format!("{{ id: '{id}', ") } else { format!("'{id}': {{ ") };
            let more = match number {
                0 => "identity: { name: 'Zero', emoji: '0' }, ",
                1 => "tools: { deny: ['browser'] }, // too slow\n        ",
                2 => "model: 'model/two', ",
                3 => "model: { primary: 'model/three', fallbacks: ['model/spare'] }, ",
                4 => "sandbox: { mode: 'all', docker: { env: { TOKEN: 'SECRET' } } }, ",
                _ => "",
            };
            let name = if number % 2 == 0 { format!("name: 'Agent {number}', ") } else { String::new() };
            let _ = writeln!(agents, "      {head}{name}{more}workspace: '{}' }},", place.display());
        }
        let felix =
            if list { "{ id: 'felix', default: true }, // everybody's" } else { "felix: {}, // everybody's" };
        let table = if list {
            format!("    list: [\n      {felix}\n{agents}    ],")
        } else {
            format!("    ownership: 'explicit',\n    entries: {{\n      {felix}\n{agents}    }},")
        };
        let table = table.replace("SECRET", SECRET);
        format!(
            "// The agents of the house.\n{{\n  agents: {{\n{table}\n  }},\n  bindings: [\n{}  ],\n  channels: {{ matrix: {{\n    \
             enabled: true, /* for us alone */\n    groups: {{\n{}    }},\n  }} }},\n}}\n",
            self.bindings(version),
            self.groups(),
        )
    }

    fn bindings(&self, version: Version) -> String {
        let mut lines = Vec::new();
        let mut bind = |agent: &str, more: &str, comment: &str| {
            lines.push(format!(
                "    {{ agentId: '{agent}', match: {{ channel: 'matrix'{more} }} }},{comment}\n"
            ));
        };
        let to = |room: &str| format!(", peer: {{ kind: 'channel', id: '{}' }}", self.rooms[room]);
        for number in 0..18 {
            let id = format!("a{number:02}");
            bind(&id, &to(&id), if number == 7 { " // the seventh" } else { "" });
        }
        for number in 0..6 {
            bind(&format!("a{number:02}"), &to(&format!("work{number}")), "");
        }
        bind("a09", &to("a08"), " // never used");
        for agent in ["a00", "a18"] {
            let user = if agent == "a00" { "ana" } else { "ben" };
            bind(agent, &format!(", peer: {{ kind: 'direct', id: '@{user}:{SERVER}' }}"), "");
        }
        bind("a19", ", accountId: 'work'", "");
        lines.push(
            "    { agentId: 'a03', match: { channel: 'telegram', peer: { kind: 'group', id: '-100' } } },\n"
                .into(),
        );
        let any = if version == Version::List { "" } else { ", accountId: '*'" };
        lines.push(format!(
            "    {{ agentId: 'felix', match: {{ channel: 'matrix'{any} }} }}, // everything else\n"
        ));
        assert_eq!(lines.len(), 30, "thirty bindings");
        lines.concat()
    }

    fn groups(&self) -> String {
        // The fifteenth was forgotten: it works without, and fraktalia would write it.
        let is_bound = |key: &str| (key.starts_with('a') && key != "a15") || key.starts_with("work");
        let bound = self.rooms.iter().filter(|(key, _)| is_bound(key));
        let lines = bound.map(|(key, room)| {
            let more = if key.starts_with('a') { ", autoReply: true" } else { "" };
            format!("      '{room}': {{ enabled: true{more} }}, // {key}\n")
        });
        lines.collect()
    }

    /// What is there: the state of all rooms, the file, the workspaces with their modes.
    pub async fn world(&self) -> Value {
        let mut rooms = Map::new();
        let listed = self.admin().get("/_synapse/admin/v1/rooms?limit=500").await.expect("a list of rooms");
        for room in
            listed["rooms"].as_array().into_iter().flatten().filter_map(|room| room["room_id"].as_str())
        {
            let path = format!("/_synapse/admin/v1/rooms/{}/state", encode(room));
            let state = self.admin().get(&path).await.expect("the state of a room");
            let events = state["state"].as_array().into_iter().flatten();
            let keyed = events.map(|event| {
                let text = |key: &str| event[key].as_str().unwrap_or_default();
                (format!("{} {}", text("type"), text("state_key")), event["event_id"].clone())
            });
            rooms.insert(room.to_owned(), Value::Object(keyed.collect()));
        }
        json!({
            "rooms": rooms,
            "openclaw": self.stage.read("gateway/openclaw.json"),
            "files": modes_below(&self.stage.path("workspaces")),
        })
    }

    pub async fn plan(&self) -> Value {
        let ran = self.stage.run(&["plan", "--format", "json"]).await.expect(0);
        serde_json::from_str(&ran.stdout).expect("a plan as JSON")
    }

    pub async fn set_topic(&self, key: &str, topic: &str) {
        self.state(&self.rooms[key], "m.room.topic", "", &json!({"topic": topic})).await;
    }

    /// Somebody writes.
    pub async fn say(&self, key: &str, text: &str) {
        self.admin().say(&self.rooms[key], text).await.expect("said");
    }

    pub async fn kick(&self, key: &str, name: &str) {
        let path = format!("/_matrix/client/v3/rooms/{}/kick", encode(&self.rooms[key]));
        self.admin()
            .post(&path, &json!({"user_id": format!("@{name}:{SERVER}")}))
            .await
            .expect("somebody goes");
    }

    /// A room that another realm marked, by our own user.
    pub async fn marked_by(&mut self, realm: &str) -> String {
        self.make("theirs", &room("Theirs", Some("theirs"), false), &["ana", "ben"]).await;
        let room = self.rooms["theirs"].clone();
        let marker = json!({"realm": realm, "resource": "matrix/room/theirs", "run": "r", "step": 1});
        self.state(&room, "io.fraktalia.owner", "", &marker).await;
        "theirs".to_owned()
    }

    pub async fn realm_of(&self, key: &str) -> String {
        let room = encode(&self.rooms[key]);
        let path = format!("/_matrix/client/v3/rooms/{room}/state/io.fraktalia.owner/");
        let marker = self.admin().get(&path).await.expect("a marker");
        marker["realm"].as_str().unwrap_or_default().to_owned()
    }
}

fn room(name: &str, alias: Option<&str>, with_topic: bool) -> Value {
    let mut request = json!({"name": name, "preset": "private_chat"});
    if let Some(alias) = alias {
        request["room_alias_name"] = json!(alias);
    }
    if with_topic {
        request["topic"] = json!(format!("All about \"{name}\": yes"));
    }
    request
}

/// Path, mode and content of each file.
fn modes_below(folder: &std::path::Path) -> Value {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = Map::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let about = std::fs::symlink_metadata(&path).expect("it is there");
        let text =
            if about.is_dir() { String::new() } else { std::fs::read_to_string(&path).unwrap_or_default() };
        let times = (about.mode(), about.mtime(), about.mtime_nsec());
        found.insert(path.display().to_string(), json!([times, text]));
        if about.is_dir() {
            open.extend(std::fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path()));
        }
    }
    Value::Object(found)
}
