//! The systems of the demonstration, in a folder of their own.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fraktalia_testkit::real::docker::{self, BUSYBOX, docker};
use fraktalia_testkit::real::{
    BaseConfig, Cache, Docker, Gateway, ModelStandIn, Person, Synapse, SynapseOptions,
};
use tokio::process::Command;

use super::folder::{Folder, make_folder, write};
use super::manifest::{self, Addresses};
use crate::error::{Context as _, TaskError};
use crate::say;

const SERVER_NAME: &str = "chat.demo";
const CATCH_ALL: &str = "felix";
/// Everybody's.
pub const PASSWORD: &str = "correct horse";
/// Characters of a container's id that Docker makes its host name.
const SHORT_ID: usize = 12;

/// Everything that runs.
pub struct Bench {
    folder: Folder,
    program: PathBuf,
    synapse: Synapse,
    gateway: Gateway,
    bot: Person,
    containers: Containers,
    model: ModelStandIn,
}

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    /// What is wanted.
    pub wishes: &'static str,
    /// Whether the gateway's user encrypts where a room is encrypted.
    pub encrypts: bool,
}

impl Bench {
    /// Starts homeserver, model, containers and gateway, what can at the same time, and writes the manifest.
    pub async fn start(cache: &Cache, program: PathBuf, show: Show) -> Result<Self, TaskError> {
        let folder = Folder::new(&cache.root().join("demo"))?;
        let model = ModelStandIn::start().await?;
        model.run_command_on(manifest::TRIGGER, manifest::COMMAND);
        say::done("model", "a stand-in that answers by rules; no key, no network", None);
        let chat = async {
            let synapse = start_synapse(cache, folder.path()).await?;
            let bot = synapse.register("agent", PASSWORD, false).await?;
            let gateway = start_gateway(cache, folder.path(), &synapse, &bot, &model, show).await?;
            Ok::<_, TaskError>((synapse, bot, gateway))
        };
        let ((synapse, bot, gateway), containers) = tokio::try_join!(chat, Containers::start(cache))?;
        let bench = Self { folder, program, synapse, gateway, bot, containers, model };
        bench.write_files(show.wishes)?;
        Ok(bench)
    }

    /// The folder of the demonstration.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The base URL of the homeserver.
    pub fn homeserver(&self) -> String {
        self.synapse.base_url()
    }

    /// What stands for a language model.
    pub fn model(&self) -> &ModelStandIn {
        &self.model
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
            ("Matrix", format!("{}, user ana, password \"{PASSWORD}\"", self.synapse.base_url())),
            ("OpenClaw", format!("{} (token in secrets/gateway-token)", self.gateway.http_url())),
            ("config", self.gateway.openclaw().config_path().display().to_string()),
        ]
    }

    /// Runs fraktalia as one would by hand, on our terminal.
    pub async fn fraktalia(&self, args: &[&str]) -> Result<(), TaskError> {
        let what = format!("fraktalia {}", args.join(" "));
        say::command(&what);
        let status = self.command(args).status().await.context(|| format!("start {what}"))?;
        if status.success() {
            return Ok(());
        }
        Err(TaskError::Ended { what, status: status.to_string() })
    }

    /// Takes back what was applied, if anything was, without a word. Whatever happens, nothing of ours stays at the engine:
    /// it may be somebody's own.
    pub async fn take_back(&self) {
        let quiet = || std::process::Stdio::null();
        let mut rollback = self.command(&["rollback", "--yes"]);
        let _ = rollback.stdout(quiet()).stderr(quiet()).stdin(quiet()).status().await;
        let realm = "label=io.fraktalia.realm=demo";
        for (list, remove) in [
            (&["ps", "--all", "--quiet", "--filter", realm][..], &["rm", "--force", "--volumes"][..]),
            (&["network", "ls", "--quiet", "--filter", realm], &["network", "rm"]),
            (&["volume", "ls", "--quiet", "--filter", realm], &["volume", "rm"]),
        ] {
            let found = docker(list).await.unwrap_or_default();
            for id in found.split_whitespace() {
                let _ = docker(&[remove, &[id]].concat()).await;
            }
        }
    }

    /// Draws the steps of a kept plan into `file`.
    pub async fn draw(&self, plan: &str, file: &Path) -> Result<(), TaskError> {
        let what = || "fraktalia graph".to_owned();
        let output = self.command(&["graph", "--plan", plan]).output().await.context(what)?;
        if !output.status.success() {
            return Err(TaskError::Ended { what: what(), status: output.status.to_string() });
        }
        std::fs::write(file, output.stdout).context(|| format!("write {}", file.display()))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("FRAKTALIA_STATE", "state").current_dir(self.dir()).kill_on_drop(true);
        command
    }

    /// The short id in `text` of a container that the gateway made, if there is one.
    pub fn container_in(&self, text: &str) -> Option<String> {
        let ids = docker::sandboxes_of(self.gateway.openclaw().home());
        let short = ids.iter().filter_map(|id| id.get(..SHORT_ID));
        short.filter(|id| text.contains(id)).map(str::to_owned).next()
    }

    /// Ends everything and removes the folder.
    pub async fn end(self) -> Result<(), TaskError> {
        let folder = self.close().await?;
        folder.remove()
    }

    /// Ends everything and leaves the folder, until the next demonstration tidies up.
    pub async fn stop(self) -> Result<(), TaskError> {
        self.close().await.map(drop)
    }

    async fn close(mut self) -> Result<Folder, TaskError> {
        self.gateway.stop().await?;
        // It takes the containers along that OpenClaw made, for which the engine has to be there still.
        drop(self.gateway);
        self.synapse.stop().await?;
        self.containers.stop().await?;
        Ok(self.folder)
    }

    fn write_files(&self, wishes: &str) -> Result<(), TaskError> {
        let secrets = self.dir().join("secrets");
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
        write(&self.dir().join("fraktalia.yaml"), &manifest::text(&addresses, wishes))
    }
}

async fn start_synapse(cache: &Cache, dir: &Path) -> Result<Synapse, TaskError> {
    let clock = Instant::now();
    let options = SynapseOptions { server_name: SERVER_NAME.to_owned(), ..SynapseOptions::default() };
    let synapse = Synapse::start_with(cache, &dir.join("synapse"), options).await?;
    let what = format!("Synapse, {SERVER_NAME}, {}", synapse.base_url());
    say::done("homeserver", &what, Some(clock.elapsed()));
    Ok(synapse)
}

async fn start_gateway(
    cache: &Cache,
    dir: &Path,
    synapse: &Synapse,
    bot: &Person,
    model: &ModelStandIn,
    show: Show,
) -> Result<Gateway, TaskError> {
    let clock = Instant::now();
    let base = BaseConfig {
        model_base_url: model.base_url().to_owned(),
        homeserver: synapse.base_url(),
        bot: bot.clone(),
        catch_all: CATCH_ALL.to_owned(),
        encrypts_as: if show.encrypts { Some(bot.device().await?) } else { None },
    };
    say::begun("OpenClaw takes about ten seconds to start");
    let gateway = Gateway::start(cache, &dir.join("gateway"), &base).await?;
    say::done("gateway", &format!("OpenClaw, {}", gateway.url()), Some(clock.elapsed()));
    Ok(gateway)
}

/// The engine, and whether the image of the sandbox is here only because of us.
struct Containers {
    docker: Docker,
    imported: bool,
}

impl Containers {
    async fn start(cache: &Cache) -> Result<Self, TaskError> {
        let clock = Instant::now();
        let docker = Docker::ensure(cache).await?;
        let imported = self::docker(&["image", "inspect", BUSYBOX]).await.is_err();
        docker.base_image(cache, BUSYBOX).await?;
        let whose = if docker.is_ours() { "started for this" } else { "running already" };
        say::done("containers", &format!("Docker Engine, {whose}"), Some(clock.elapsed()));
        Ok(Self { docker, imported })
    }

    async fn stop(self) -> Result<(), TaskError> {
        if self.imported {
            // Not by force: another demonstration may have a container of it, and then it stays.
            let _ = docker(&["image", "rm", BUSYBOX]).await;
        }
        Ok(self.docker.stop().await?)
    }
}
