//! `cargo xtask bench watch`: how soon a watch plans what was saved, and says what somebody changed by hand.

mod page;
mod running;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use fraktalia_testkit::real::Cache;
use fraktalia_testkit::real::docker::{BUSYBOX, docker};
use fraktalia_testkit::real::encode;
use fraktalia_testkit::real::install::Component;
use serde_json::json;

use super::fleet::manifest::{self, Fleet};
use super::fleet::server::{SERVER_NAME, Server};
use super::fleet::world::World;
use super::fleet::{engine, remove};
use crate::error::{Context as _, TaskError};
use crate::{install, say};
use running::Watch;

/// What is measured.
#[derive(Clone, Debug, Args)]
pub struct Ask {
    /// How many fractals the installation has
    #[arg(long, default_value_t = 20)]
    fractals: usize,
    /// How often each is measured; the middle one counts
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Where the page goes, instead of docs/bench
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// What is done while somebody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    SaveManifest,
    RemoveBinding,
    KickMember,
    DeleteNetwork,
    ChangeFile,
}

/// What came of it, in milliseconds from the end of the deed to the line that says so.
#[derive(Clone, Debug)]
struct Figure {
    deed: Deed,
    /// For each round.
    milliseconds: Vec<f64>,
}

impl Deed {
    const ALL: [Self; 5] =
        [Self::SaveManifest, Self::RemoveBinding, Self::KickMember, Self::DeleteNetwork, Self::ChangeFile];

    const fn name(self) -> &'static str {
        match self {
            Self::SaveManifest => "the manifest is saved: planned",
            Self::RemoveBinding => "`openclaw.json` is written without our bindings: said",
            Self::KickMember => "a member is kicked from a room: said",
            Self::DeleteNetwork => "a Docker network is deleted: said",
            Self::ChangeFile => "a file in a workspace is changed: said",
        }
    }

    /// A part of the id of what the watch has to find.
    const fn shows_in(self) -> &'static str {
        match self {
            Self::SaveManifest => "openclaw/agent/",
            Self::RemoveBinding => "openclaw/binding/",
            Self::KickMember => "matrix/member/",
            Self::DeleteNetwork => "/network/",
            Self::ChangeFile => "workspace/file/",
        }
    }

    /// At most so many milliseconds.
    const fn allowed(self) -> f64 {
        match self {
            Self::SaveManifest => 300.0,
            _ => 1000.0,
        }
    }
}

/// Measures, and writes `docs/bench/watch.md`.
pub async fn run(ask: &Ask) -> Result<(), TaskError> {
    say::title("How soon a watch notices");
    let cache = Cache::locate();
    install::components(&cache, &[Component::Runtime, Component::Busybox])?;
    say::begun("building fraktalia as it ships");
    let program = super::build_release(&["--package", "fraktalia"])?;
    let folder = std::env::temp_dir().join(format!("fkt-watch-{}", std::process::id()));
    let engine = engine::find(&cache).await;
    let stage = Stage::set(&cache, &folder, &program, ask.fractals, engine.is_some()).await;
    let figures = match stage {
        Ok(mut stage) => {
            let figures = stage.measure(ask.rounds.max(1)).await;
            stage.end().await?;
            figures
        }
        Err(error) => Err(error),
    };
    if let Some(engine) = engine {
        engine.stop().await?;
    }
    page::write(ask.to.as_deref(), ask.fractals, &figures?)?;
    remove(&folder)
}

/// An installation that is in sync.
struct Stage {
    server: Server,
    world: World,
    fleet: Fleet,
    /// `openclaw.json` as it was before anything was ours, and with ours.
    bare: String,
    ours: String,
}

impl Stage {
    async fn set(
        cache: &Cache,
        folder: &Path,
        program: &Path,
        fractals: usize,
        docker: bool,
    ) -> Result<Self, TaskError> {
        let server = Server::start(cache, &folder.join("synapse")).await?;
        let realm = format!("bench-watch-{}", std::process::id());
        let world = World::new(folder.join("world"), program, &server, &realm, 50)?;
        let image = docker.then(|| BUSYBOX.to_owned());
        let fleet = Fleet { image, members: "exact", ..Fleet::of(fractals) };
        let bare = read(&world.folder().join("gateway/openclaw.json"))?;
        world.want(&fleet)?;
        say::begun(&format!("applying {fractals} fractals"));
        world.apply(&server).await?;
        let ours = read(&world.folder().join("gateway/openclaw.json"))?;
        Ok(Self { server, world, fleet, bare, ours })
    }

    async fn measure(&mut self, rounds: usize) -> Result<Vec<Figure>, TaskError> {
        let mut watch = Watch::start(&self.world)?;
        let mut systems = vec!["matrix", "openclaw", "workspace"];
        systems.extend(self.fleet.image.as_ref().map(|_| "docker@local"));
        watch.hears(&systems).await?;
        let mut figures: Vec<Figure> = Deed::ALL
            .into_iter()
            .filter(|deed| *deed != Deed::DeleteNetwork || self.fleet.image.is_some())
            .map(|deed| Figure { deed, milliseconds: Vec::new() })
            .collect();
        for round in 1..=rounds {
            say::begun(&format!("round {round} of {rounds}"));
            for figure in &mut figures {
                self.commit(figure.deed).await?;
                let done = Instant::now();
                watch.finds(figure.deed.shows_in()).await?;
                figure.milliseconds.push(done.elapsed().as_secs_f64() * 1e3);
                self.take_back(figure.deed).await?;
                watch.is_in_sync().await?;
            }
        }
        watch.end().await?;
        Ok(figures)
    }

    async fn commit(&self, deed: Deed) -> Result<(), TaskError> {
        match deed {
            Deed::SaveManifest => self.world.want(&Fleet { denied: "canvas", ..self.fleet.clone() }),
            Deed::RemoveBinding => self.put("gateway/openclaw.json", &self.bare),
            Deed::KickMember => self.member("kick").await,
            Deed::DeleteNetwork => {
                docker(&["network", "rm", self.world.realm()]).await?;
                Ok(())
            }
            Deed::ChangeFile => self.put(&rules(), "Promise whatever you like.\n"),
        }
    }

    async fn take_back(&self, deed: Deed) -> Result<(), TaskError> {
        match deed {
            Deed::SaveManifest => self.world.want(&self.fleet),
            Deed::RemoveBinding => self.put("gateway/openclaw.json", &self.ours),
            Deed::KickMember => self.member("join").await,
            Deed::DeleteNetwork => self.world.apply(&self.server).await.map(drop),
            Deed::ChangeFile => self.put(&rules(), &manifest::house_rules(0)),
        }
    }

    /// Puts the first member of the first room out, or in again.
    async fn member(&self, what: &str) -> Result<(), TaskError> {
        let admin = self.server.admin();
        let alias = format!("#{}:{SERVER_NAME}", manifest::key(0));
        let room = admin.resolve(&alias).await?;
        let room = room.ok_or_else(|| TaskError::Found(format!("{alias} leads nowhere")))?;
        let user = format!("@{}:{SERVER_NAME}", manifest::members(0)[0]);
        if what == "join" {
            return Ok(admin.force_join(&room, &user).await?);
        }
        let path = format!("/_matrix/client/v3/rooms/{}/{what}", encode(&room));
        admin.post(&path, &json!({ "user_id": user })).await?;
        Ok(())
    }

    fn put(&self, name: &str, text: &str) -> Result<(), TaskError> {
        let path = self.world.folder().join(name);
        std::fs::write(&path, text).context(|| format!("write {}", path.display()))
    }

    async fn end(self) -> Result<(), TaskError> {
        if self.fleet.image.is_some() {
            engine::take_back(&self.world, &self.fleet).await;
        }
        self.server.stop().await
    }
}

fn rules() -> String {
    format!("workspaces/{}/HOUSE.md", manifest::key(0))
}

fn read(path: &Path) -> Result<String, TaskError> {
    std::fs::read_to_string(path).context(|| format!("read {}", path.display()))
}
