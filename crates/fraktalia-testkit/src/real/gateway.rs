//! A running OpenClaw gateway, with a complete configuration to begin from.

use std::path::Path;
use std::time::Duration;

use super::cache::{Cache, create_dir};
use super::docker;
use super::error::{Context, RealError, Result, tail};
use super::model::{MODEL, PROVIDER};
use super::openclaw::{OpenClaw, Version};
use super::person::Person;
use super::process::{Process, answers, free_port};
use super::synapse::random_hex;
use serde_json::json;

const START_LIMIT: Duration = Duration::from_mins(5);
/// Somebody may take the free port before the gateway does.
const TRIES: usize = 3;

/// What a base configuration needs to know.
#[derive(Clone, Debug)]
pub struct BaseConfig {
    /// Where the stand-in model answers, with `/v1`.
    pub model_base_url: String,
    /// The homeserver.
    pub homeserver: String,
    /// The gateway's Matrix user.
    pub bot: Person,
    /// The agent for every room that nothing else is bound to.
    pub catch_all: String,
    /// The bot's device, where it is to encrypt: OpenClaw does not ask the homeserver for it, and without one it encrypts
    /// nothing and does not say so.
    pub encrypts_as: Option<String>,
}

impl BaseConfig {
    /// The text of an `openclaw.json` that works, in the style of one that a person has written and commented.
    ///
    /// `dir` is the gateway's folder: the catch-all's workspace lies in it.
    pub fn to_json5(&self, dir: &Path, port: u16, token: &str) -> String {
        let quoted = |text: &str| json!(text).to_string();
        let path = |name: &str| json!(dir.join(name)).to_string();
        let encryption = self.encrypts_as.as_ref().map_or_else(String::new, |device| {
            format!("      encryption: true,\n      deviceId: {},\n", quoted(device))
        });
        format!(
            r"// The gateway of a test. Whatever is not about fractals has to survive fraktalia unchanged,
// these comments included.
{{
  gateway: {{
    mode: 'local',
    bind: 'loopback',
    port: {port},
    auth: {{ mode: 'token', token: {token} }},
  }},
  logging: {{ file: {log} }},

  // No key of a provider is needed: the model is a small program on this machine.
  models: {{
    mode: 'replace',
    providers: {{
      {PROVIDER}: {{
        baseUrl: {model},
        apiKey: 'none',
        api: 'openai-completions',
        models: [{{ id: 'echo', name: 'Stand-in', contextWindow: 128000, maxTokens: 4096 }}],
      }},
    }},
  }},

  agents: {{
    ownership: 'explicit',
    defaults: {{
      model: {{ primary: '{MODEL}' }},
      skipBootstrap: true, // the workspaces come with their files
    }},
    entries: {{
      // answers wherever nobody else does
      {catch_all}: {{ name: 'Catch-all', workspace: {workspace} }},
    }},
  }},

  bindings: [
    {{ agentId: {catch_all}, match: {{ channel: 'matrix', accountId: '*' }} }}, // stays last
  ],

  channels: {{
    matrix: {{
      enabled: true,
      homeserver: {homeserver},
      network: {{ dangerouslyAllowPrivateNetwork: true }}, // the homeserver is on loopback
      userId: {bot},
      accessToken: {bot_token},
      autoJoin: 'always',
      groupPolicy: 'open',
      joinIntro: false,
{encryption}    }},
  }},

  browser: {{ enabled: false }},
  discovery: {{ mdns: {{ mode: 'off' }} }},
  plugins: {{ allow: ['matrix'], entries: {{ matrix: {{ enabled: true }} }} }},
}}
",
            token = quoted(token),
            log = path("gateway.log"),
            model = quoted(&self.model_base_url),
            catch_all = quoted(&self.catch_all),
            workspace = json!(dir.join("workspaces").join(&self.catch_all)),
            homeserver = quoted(&self.homeserver),
            bot = quoted(self.bot.user_id()),
            bot_token = quoted(self.bot.token()),
        )
    }
}

/// A running gateway. Dropping it kills it and its children; its files stay.
#[derive(Debug)]
pub struct Gateway {
    openclaw: OpenClaw,
    port: u16,
    token: String,
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

impl Gateway {
    /// Writes a base configuration into `dir` and starts a gateway on it.
    pub async fn start(cache: &Cache, dir: &Path, base: &BaseConfig) -> Result<Self> {
        Self::start_in(cache, dir, base, &[]).await
    }

    /// The same with more in its environment: where its Docker engine is, for instance.
    pub async fn start_in(
        cache: &Cache,
        dir: &Path,
        base: &BaseConfig,
        environment: &[(String, String)],
    ) -> Result<Self> {
        create_dir(&dir.join("workspaces").join(&base.catch_all))?;
        let prepare = || -> Result<Self> {
            let mut gateway = Self::prepare(cache, dir, base)?;
            gateway.environment = environment.to_vec();
            Ok(gateway)
        };
        let mut gateway = prepare()?;
        for _ in 1..TRIES {
            match gateway.restart().await {
                Err(RealError::Died { tail, .. })
                    if tail.contains("EADDRINUSE") || tail.contains("in use") =>
                {
                    gateway = prepare()?;
                }
                other => return other.map(|()| gateway),
            }
        }
        gateway.restart().await.map(|()| gateway)
    }

    /// Writes everything that a gateway needs, without starting it: [`Gateway::restart`] does.
    pub fn prepare(cache: &Cache, dir: &Path, base: &BaseConfig) -> Result<Self> {
        let openclaw = OpenClaw::new(cache, Version::Entries, dir)?;
        let (port, token) = (free_port()?, random_hex()?);
        let (path, text) = (openclaw.config_path(), base.to_json5(openclaw.home(), port, &token));
        write_private(&path, &text)?;
        Ok(Self { openclaw, port, token, environment: Vec::new(), process: None })
    }

    /// Stops it if it runs, and starts it again on the same folder and port.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        let mut command = self.openclaw.command();
        command.args(["gateway", "run", "--port", &self.port.to_string()]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = self.openclaw.home().join("output.log");
        let mut process = Process::spawn("the OpenClaw gateway", command, &log)?;
        let client = reqwest::Client::new();
        let ready = format!("{}/readyz", self.http_url());
        process.wait_until("readiness", START_LIMIT, || answers(&client, &ready)).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it in order.
    pub async fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Kills it without warning.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Where its WebSocket is.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Where its HTTP probes are: `/healthz`, `/readyz`.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The token that its WebSocket asks for.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The command line and folder that belong to it.
    pub fn openclaw(&self) -> &OpenClaw {
        &self.openclaw
    }

    /// Everything that it has logged so far.
    pub fn log(&self) -> String {
        let name = self.openclaw.home().join("output.log");
        tail(&name, usize::MAX)
    }
}

impl Drop for Gateway {
    /// The containers that OpenClaw made for its agents outlive it; those of a test must not.
    fn drop(&mut self) {
        self.process = None;
        docker::remove_sandboxes_of(self.openclaw.home());
    }
}

/// It holds tokens, so only its owner may read it.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::docker::BUSYBOX;
    use super::super::{Docker, ModelStandIn, Synapse};
    use super::*;

    const LIMIT: Duration = Duration::from_mins(2);

    struct Bench {
        dir: tempfile::TempDir,
        synapse: Synapse,
        model: ModelStandIn,
        bot: Person,
        ana: Person,
    }

    impl Bench {
        async fn start(cache: &Cache) -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let synapse = Synapse::start(cache, &dir.path().join("synapse")).await.expect("Synapse starts");
            let model = ModelStandIn::start().await.expect("the model starts");
            let bot = synapse.register("agent", "a password", false).await.expect("registers");
            let ana = synapse.register("ana", "a password", false).await.expect("registers");
            Self { dir, synapse, model, bot, ana }
        }

        fn base(&self) -> BaseConfig {
            BaseConfig {
                model_base_url: self.model.base_url().to_owned(),
                homeserver: self.synapse.base_url(),
                bot: self.bot.clone(),
                catch_all: "felix".to_owned(),
                encrypts_as: None,
            }
        }

        fn gateway_dir(&self) -> std::path::PathBuf {
            self.dir.path().join("gateway")
        }

        /// A room with three members, as OpenClaw wants it for a group.
        async fn room(&self, alias: &str) -> String {
            let request = json!({ "room_alias_name": alias, "preset": "private_chat" });
            let room = self.synapse.admin().create_room(&request).await.expect("makes a room");
            for person in [&self.bot, &self.ana] {
                self.synapse.admin().force_join(&room, person.user_id()).await.expect("joins");
            }
            room
        }
    }

    #[tokio::test]
    async fn the_base_configuration_is_valid_for_openclaw() {
        let Some(cache) = Cache::for_test() else { return };
        let dir = tempfile::tempdir().expect("a folder");
        let openclaw = OpenClaw::new(&cache, Version::Entries, dir.path()).expect("installed");
        let base = BaseConfig {
            model_base_url: "http://127.0.0.1:1/v1".to_owned(),
            homeserver: "http://127.0.0.1:2".to_owned(),
            bot: Person::new("http://127.0.0.1:2", "@agent:chat.test", "token"),
            catch_all: "felix".to_owned(),
            encrypts_as: None,
        };
        let verdict = openclaw.validate(&base.to_json5(dir.path(), 1, "token")).await.expect("runs");
        assert!(verdict.valid, "{verdict:?}");
    }

    /// Writes agents into the configuration as a person would: an entry, a binding and a group each.
    /// `extra` is added to each entry.
    fn add_agents(gateway: &Gateway, rooms: &[(&str, String)], extra: &str) {
        let (mut entries, mut bindings, mut groups) = (String::new(), String::new(), String::new());
        for (agent, room) in rooms {
            let workspace = gateway.openclaw().home().join("workspaces").join(agent);
            create_dir(&workspace).expect("creates");
            std::fs::write(workspace.join("IDENTITY.md"), format!("- Name: The {agent}\n")).expect("writes");
            let _ = write!(entries, "{agent}: {{ workspace: {}, {extra} }},", json!(workspace));
            let peer = format!("{{ kind: 'channel', id: '{room}' }}");
            let _ =
                write!(bindings, "{{ agentId: '{agent}', match: {{ channel: 'matrix', peer: {peer} }} }},");
            let _ = write!(groups, "'{room}': {{ autoReply: true }},");
        }
        let path = gateway.openclaw().config_path();
        let text = std::fs::read_to_string(&path).expect("reads");
        let text = text.replacen("entries: {", &format!("entries: {{ {entries}"), 1);
        let text = text.replacen("bindings: [", &format!("bindings: [ {bindings}"), 1);
        let text = text.replacen("autoJoin:", &format!("groups: {{ {groups} }}, autoJoin:"), 1);
        std::fs::write(&path, text).expect("writes");
    }

    /// The whole chain without fraktalia: what an end-to-end test may rely on.
    #[tokio::test]
    async fn two_agents_answer_each_in_its_own_room_and_in_its_own_name() {
        let Some(cache) = Cache::for_test() else { return };
        let bench = Bench::start(&cache).await;
        let mut gateway = Gateway::prepare(&cache, &bench.gateway_dir(), &bench.base()).expect("installed");
        let rooms = [("gardener", bench.room("gardener").await), ("cook", bench.room("cook").await)];
        add_agents(&gateway, &rooms, "");
        gateway.restart().await.expect("starts");
        for (agent, room) in &rooms {
            let answer = bench.ana.ask(room, bench.bot.user_id(), "Who are you?", LIMIT).await;
            let answer = answer.unwrap_or_else(|error| panic!("{error}\n{}", gateway.log()));
            assert_eq!(answer.body, format!("I am The {agent}."));
        }
        gateway.stop().await.expect("ends in order");
    }

    #[tokio::test]
    async fn a_command_of_a_sandboxed_agent_runs_in_a_container_of_its_image() {
        let Some(cache) = Cache::for_test() else { return };
        let docker = Docker::ensure(&cache).await.expect("an engine");
        docker.base_image(&cache, BUSYBOX).await.expect("an image");
        let bench = Bench::start(&cache).await;
        let mut gateway = Gateway::prepare(&cache, &bench.gateway_dir(), &bench.base()).expect("installed");
        let rooms = [("cook", bench.room("cook").await)];
        let image = format!("docker: {{ image: '{BUSYBOX}' }}");
        let sandbox = format!("sandbox: {{ mode: 'all', scope: 'agent', workspaceAccess: 'rw', {image} }}");
        add_agents(&gateway, &rooms, &sandbox);
        gateway.restart().await.expect("starts");
        // Only in the container does `ls` lead to busybox.
        bench.model.run_command_on("which", "readlink /bin/ls");
        let (_, room) = &rooms[0];
        let answer = bench.ana.ask(room, bench.bot.user_id(), "To which program does ls lead?", LIMIT).await;
        let answer = answer.unwrap_or_else(|error| panic!("{error}\n{}", gateway.log()));
        assert_eq!(answer.body, "I am The cook. I ran `readlink /bin/ls`:\nbusybox");
        let home = gateway.openclaw().home().to_owned();
        assert_eq!(docker::sandboxes_of(&home).len(), 1);
        drop(gateway);
        assert_eq!(docker::sandboxes_of(&home), [""; 0]);
    }
}
