//! The systems of the demonstration, in a folder of their own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use fraktalia_testkit::real::docker::BUSYBOX;
use fraktalia_testkit::real::{
    BaseConfig, Cache, Docker, Gateway, ModelStandIn, Person, Synapse, SynapseOptions,
};
use tokio::process::Command;

use super::manifest::{self, Addresses};
use crate::error::{Context as _, TaskError};
use crate::say;

const SERVER_NAME: &str = "chat.demo";
const CATCH_ALL: &str = "felix";
const PASSWORD: &str = "correct horse";

/// What is to be seen of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Both streams.
    All,
    /// Its talk, without its data.
    Progress,
}

/// Everything that runs.
pub struct Bench {
    dir: PathBuf,
    program: PathBuf,
    synapse: Synapse,
    gateway: Gateway,
    bot: Person,
    docker: Docker,
    /// Answers as long as it lives.
    _model: ModelStandIn,
}

impl Bench {
    /// Starts homeserver, model and gateway, and writes the manifest.
    pub async fn start(cache: &Cache, program: PathBuf) -> Result<Self, TaskError> {
        let dir = cache.root().join("demo").join(std::process::id().to_string());
        make_folder(&dir)?;
        let clock = Instant::now();
        let options = SynapseOptions { server_name: SERVER_NAME.to_owned(), ..SynapseOptions::default() };
        let synapse = Synapse::start_with(cache, &dir.join("synapse"), options).await?;
        say::done(
            "homeserver",
            &format!("Synapse, {SERVER_NAME}, {}", synapse.base_url()),
            Some(clock.elapsed()),
        );
        let model = ModelStandIn::start().await?;
        model.run_command_on(manifest::TRIGGER, manifest::COMMAND);
        say::done("model", "a stand-in that answers by rules; no key, no network", None);
        let clock = Instant::now();
        let docker = Docker::ensure(cache).await?;
        docker.base_image(cache, BUSYBOX).await?;
        let whose = if docker.is_ours() {
            "Docker Engine, started for this"
        } else {
            "Docker Engine, running already"
        };
        say::done("containers", whose, Some(clock.elapsed()));
        let clock = Instant::now();
        let bot = synapse.register("agent", PASSWORD, false).await?;
        let base = BaseConfig {
            model_base_url: model.base_url().to_owned(),
            homeserver: synapse.base_url(),
            bot: bot.clone(),
            catch_all: CATCH_ALL.to_owned(),
        };
        say::begun("OpenClaw takes about ten seconds to start");
        let gateway = Gateway::start(cache, &dir.join("gateway"), &base).await?;
        say::done("gateway", &format!("OpenClaw, {}", gateway.url()), Some(clock.elapsed()));
        let bench = Self { dir, program, synapse, gateway, bot, docker, _model: model };
        bench.write_files()?;
        Ok(bench)
    }

    /// The folder of the demonstration.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The Matrix id of the gateway's user.
    pub fn bot(&self) -> &str {
        self.bot.user_id()
    }

    /// A room alias on this homeserver.
    pub fn alias(name: &str) -> String {
        format!("#{name}:{SERVER_NAME}")
    }

    /// Ana, whom fraktalia has made.
    pub async fn ana(&self) -> Result<Person, TaskError> {
        Ok(Person::log_in(&self.synapse.base_url(), "ana", PASSWORD).await?)
    }

    /// What somebody needs to look at it by other means.
    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Matrix", format!("{}, user ana, password \"{PASSWORD}\"; any client", self.synapse.base_url())),
            ("OpenClaw", format!("{} (token in secrets/gateway-token)", self.gateway.http_url())),
            ("config", self.gateway.openclaw().config_path().display().to_string()),
        ]
    }

    /// Runs fraktalia as one would by hand, on our terminal.
    pub async fn fraktalia(&self, args: &[&str], shown: Shown) -> Result<(), TaskError> {
        let what = format!("fraktalia {}", args.join(" "));
        say::command(&what);
        let mut command = Command::new(&self.program);
        command.args(args).args(["--state", "state"]).current_dir(&self.dir).kill_on_drop(true);
        if shown == Shown::Progress {
            command.stdout(Stdio::null());
        }
        let status = command.status().await.context(|| format!("start {what}"))?;
        if status.success() {
            return Ok(());
        }
        Err(TaskError::Ended { what, status: status.to_string() })
    }

    /// Ends everything and removes the folder.
    pub async fn end(self) -> Result<(), TaskError> {
        let dir = self.dir.clone();
        self.stop().await?;
        std::fs::remove_dir_all(&dir).context(|| format!("remove {}", dir.display()))
    }

    /// Ends everything and leaves the folder.
    pub async fn stop(mut self) -> Result<(), TaskError> {
        self.gateway.stop().await?;
        // It takes the containers along that OpenClaw made, for which the engine has to be there still.
        drop(self.gateway);
        self.synapse.stop().await?;
        self.docker.stop().await?;
        Ok(())
    }

    fn write_files(&self) -> Result<(), TaskError> {
        let secrets = self.dir.join("secrets");
        make_folder(&secrets)?;
        for (name, text) in [
            ("matrix-admin-token", self.synapse.admin_token()),
            ("gateway-token", self.gateway.token()),
            ("ana-password", PASSWORD),
        ] {
            write(&secrets.join(name), text)?;
        }
        let addresses = Addresses {
            homeserver: &self.synapse.base_url(),
            server_name: SERVER_NAME,
            bot: self.bot.user_id(),
            gateway: &self.gateway.url(),
            catch_all: CATCH_ALL,
        };
        write(&self.dir.join("fraktalia.yaml"), &manifest::text(&addresses))
    }
}

/// A folder that only we may look into: it holds tokens.
fn make_folder(path: &Path) -> Result<(), TaskError> {
    std::fs::create_dir_all(path).context(|| format!("create {}", path.display()))?;
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(path, mode).context(|| format!("close {} to others", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), TaskError> {
    std::fs::write(path, text).context(|| format!("write {}", path.display()))?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).context(|| format!("close {} to others", path.display()))
}
