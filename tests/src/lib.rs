//! A stage for whole stories: a real homeserver, a real `openclaw.json`, a real gateway where one is asked for, and the
//! built program on a manifest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fraktalia_testkit::proxy::Proxy;
use fraktalia_testkit::real::{BaseConfig, Cache, Gateway, ModelStandIn, Person, Synapse, SynapseOptions};
use serde_json::{Value, json};

/// The server name of the stage.
pub const SERVER: &str = "chat.stage";

/// What runs besides the homeserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// Nothing: `openclaw.json` is a file that nobody reads.
    FileOnly,
    /// A gateway, with a model that answers.
    Gateway,
    /// The same, and what its user says in encrypted rooms is encrypted.
    EncryptingGateway,
}

/// Everything that a story needs. Dropping it ends what was started.
pub struct Stage {
    dir: tempfile::TempDir,
    /// The homeserver.
    pub synapse: Synapse,
    /// The door through which the program reaches it.
    pub proxy: Proxy,
    /// The gateway's user.
    pub bot: Person,
    /// The gateway, where one was asked for.
    pub gateway: Option<Gateway>,
    /// The gateway's model.
    pub model: Option<ModelStandIn>,
    program: PathBuf,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The data.
    pub stdout: String,
    /// The talk.
    pub stderr: String,
}

impl Ran {
    /// Fails the test unless the program ended with `code`.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }
}

/// A secret text that must never turn up anywhere but in its own file.
pub const PASSWORD: &str = "correct-horse-battery";

/// An `openclaw.json` in a person's style: the shape of a gateway's, without one.
const FILE_ONLY: &str = r"// Written by hand; comments have to survive.
{
  agents: {
    ownership: 'explicit',
    entries: {
      felix: { name: 'Felix' }, // everybody's favourite
    },
  },
  bindings: [
    { agentId: 'felix', match: { channel: 'matrix', accountId: '*' } }, // stays last
  ],
  channels: {
    matrix: {
      enabled: true,
      groupPolicy: 'open', // who is in a room may talk
    },
  },
}
";

impl Stage {
    /// Starts everything. `None` when tests of real systems are not wanted here.
    ///
    /// # Panics
    /// When a system does not start.
    pub async fn set(with: With) -> Option<Self> {
        Self::set_in(with, &[]).await
    }

    /// The same, with more in the gateway's environment.
    ///
    /// # Panics
    /// When a system does not start.
    pub async fn set_in(with: With, environment: &[(String, String)]) -> Option<Self> {
        Self::set_whole(with, environment, "").await
    }

    /// The same, with more lines in `homeserver.yaml`.
    ///
    /// # Panics
    /// When a system does not start.
    pub async fn set_whole(with: With, environment: &[(String, String)], extra_yaml: &str) -> Option<Self> {
        let cache = Cache::for_test()?;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (server_name, extra_yaml) = (SERVER.to_owned(), extra_yaml.to_owned());
        let options = SynapseOptions { server_name, extra_yaml, ..SynapseOptions::default() };
        let synapse =
            Synapse::start_with(&cache, &dir.path().join("synapse"), options).await.expect("Synapse");
        let bot = synapse.register("agent", "bot-password", false).await.expect("the gateway's user");
        let proxy = Proxy::start(&synapse.base_url()).await.expect("the proxy");
        let program = fraktalia_testkit::real::fraktalia_bin().expect("the built program");
        let mut stage = Self { dir, synapse, proxy, bot, gateway: None, model: None, program };
        stage.write("secrets/admin", stage.synapse.admin_token());
        stage.write("secrets/password", PASSWORD);
        match with {
            With::FileOnly => stage.write("gateway/openclaw.json", FILE_ONLY),
            With::Gateway => stage.start_gateway(&cache, environment, None).await,
            With::EncryptingGateway => {
                let device = stage.bot.device().await.expect("the bot's device");
                stage.start_gateway(&cache, environment, Some(device)).await;
            }
        }
        Some(stage)
    }

    async fn start_gateway(
        &mut self,
        cache: &Cache,
        environment: &[(String, String)],
        encrypts_as: Option<String>,
    ) {
        let model = ModelStandIn::start().await.expect("the model");
        let base = BaseConfig {
            model_base_url: model.base_url().to_owned(),
            homeserver: self.synapse.base_url(),
            bot: self.bot.clone(),
            catch_all: "felix".to_owned(),
            encrypts_as,
        };
        let gateway = Gateway::start_in(cache, &self.path("gateway"), &base, environment).await;
        let gateway = gateway.expect("the gateway");
        self.write("secrets/gateway", gateway.token());
        self.gateway = Some(gateway);
        self.model = Some(model);
    }

    /// A path on the stage.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The folder of everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder is made");
        std::fs::write(path, text).expect("the file is written");
    }

    /// The keys of the sessions that the gateway has.
    ///
    /// # Panics
    /// Without a gateway, or when it does not answer.
    pub async fn sessions(&self) -> Vec<String> {
        let gateway = self.gateway.as_ref().expect("a gateway");
        let mut list = tokio::process::Command::new(gateway.openclaw().cli_path());
        list.args(["gateway", "call", "sessions.list", "--params", "{}", "--json"]);
        list.env("OPENCLAW_CONFIG_PATH", self.path("gateway/openclaw.json"));
        let output = list.output().await.expect("it runs");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let sessions = answer["sessions"].as_array().expect("a list").iter();
        sessions.map(|session| session["key"].as_str().expect("a key").to_owned()).collect()
    }

    /// Reads a file.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("the file is read")
    }

    /// Writes the manifest: where the systems are, and `wishes`.
    pub fn manifest(&self, wishes: &str) {
        let gateway = self.gateway.as_ref().map_or(String::new(), |gateway| {
            let url = gateway.url();
            format!("  cli: gateway/openclaw\n  gateway: {{ url: \"{url}\", token: {{ file: secrets/gateway }} }}\n")
        });
        let text = format!(
            "version: 1\nrealm: stage\n\
             matrix:\n  homeserver: {}\n  server_name: {SERVER}\n  \
             admin_token: {{ file: secrets/admin }}\n  bot: \"{}\"\n\
             openclaw:\n  config: gateway/openclaw.json\n  catch_all: felix\n  workspaces: workspaces\n{gateway}{wishes}",
            self.proxy.url(),
            self.bot.user_id(),
        );
        self.write("fraktalia.yaml", &text);
    }

    /// The text of a manifest that may lie anywhere: its paths are absolute.
    pub fn manifest_for_anywhere(&self, wishes: &str) -> String {
        self.manifest(wishes);
        let dir = self.dir().display();
        self.read("fraktalia.yaml")
            .replace("file: secrets/", &format!("file: {dir}/secrets/"))
            .replace("config: gateway/", &format!("config: {dir}/gateway/"))
            .replace("cli: gateway/", &format!("cli: {dir}/gateway/"))
            .replace("workspaces: workspaces\n", &format!("workspaces: {dir}/workspaces\n"))
    }

    /// Gives the manifest a realm of its own, for stories that share an engine with others.
    ///
    /// # Panics
    /// When there is no manifest.
    pub fn set_realm(&self, realm: &str) {
        let text = self.read("fraktalia.yaml").replacen("realm: stage\n", &format!("realm: {realm}\n"), 1);
        self.write("fraktalia.yaml", &text);
    }

    /// The built program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).args(["--state", "state"]).current_dir(self.dir());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[]).await
    }

    /// Runs the program to its end, with additional environment variables.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Ran {
        let mut command = self.command(args);
        command.envs(environment.iter().copied());
        let mut command = tokio::process::Command::from(command);
        let output = command.kill_on_drop(true).output().await.expect("the program starts");
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts the program and lets it run.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, args: &[&str]) -> tokio::process::Child {
        self.start_with(args, &[])
    }

    /// The same, with additional environment variables.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with(&self, args: &[&str], environment: &[(&str, &str)]) -> tokio::process::Child {
        let mut command = self.command(args);
        command.envs(environment.iter().copied());
        let mut command = tokio::process::Command::from(command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().expect("the program starts")
    }

    /// The id of the room with this alias.
    ///
    /// # Panics
    /// When the homeserver does not answer.
    pub async fn room(&self, alias: &str) -> Option<String> {
        self.synapse.admin().resolve(&format!("#{alias}:{SERVER}")).await.expect("the homeserver answers")
    }

    /// All rooms that the server knows: name, alias, joined local members.
    ///
    /// # Panics
    /// When the homeserver does not answer.
    pub async fn rooms(&self) -> Vec<Value> {
        let answer =
            self.synapse.admin().get("/_synapse/admin/v1/rooms?limit=500").await.expect("a list of rooms");
        let rooms = answer["rooms"].as_array().cloned().unwrap_or_default();
        let mut rooms: Vec<Value> = rooms
            .iter()
            .map(|room| json!([room["canonical_alias"], room["name"], room["joined_local_members"]]))
            .collect();
        rooms.sort_by_key(ToString::to_string);
        rooms
    }

    async fn with_aliases(&self, text: &str) -> String {
        let answer =
            self.synapse.admin().get("/_synapse/admin/v1/rooms?limit=500").await.expect("a list of rooms");
        let rooms = answer["rooms"].as_array().cloned().unwrap_or_default();
        rooms.iter().fold(text.to_owned(), |text, room| {
            match (room["room_id"].as_str(), &room["canonical_alias"]) {
                (Some(id), Value::String(alias)) => text.replace(id, alias),
                _ => text,
            }
        })
    }

    /// What a rollback has to bring back, in one value: rooms, active users, `openclaw.json`, files. Room ids, which
    /// the homeserver makes up, are replaced by aliases.
    ///
    /// # Panics
    /// When something of it cannot be read.
    pub async fn world(&self) -> Value {
        let users = self.synapse.admin().get("/_synapse/admin/v2/users?deactivated=false&limit=500").await;
        let users = users.expect("a list of users");
        let mut names: Vec<String> = users["users"]
            .as_array()
            .map(|users| users.iter().map(|user| user["name"].to_string()).collect())
            .unwrap_or_default();
        names.sort();
        json!({
            "rooms": self.rooms().await,
            "users": names,
            "openclaw": self.with_aliases(&self.read("gateway/openclaw.json")).await,
            "files": files_below(&self.path("workspaces")),
        })
    }
}

/// Path and content of each file below a folder.
fn files_below(folder: &Path) -> Value {
    let mut files = serde_json::Map::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            if path.is_dir() {
                files.insert(format!("{name}/"), Value::Null);
                open.push(path);
            } else {
                files.insert(name, json!(std::fs::read_to_string(&path).unwrap_or_default()));
            }
        }
    }
    Value::Object(files)
}
