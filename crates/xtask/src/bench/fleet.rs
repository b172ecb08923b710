//! `cargo xtask bench fleet`: a hundred fractals, a thousand, on a real homeserver; ours, others, and the floor, in turn.

mod ansible;
mod apply;
mod calls;
mod edit;
pub mod engine;
mod idle;
mod journal;
pub mod manifest;
pub mod measure;
mod page;
mod planner;
mod plot;
mod reads;
mod record;
mod replay;
pub mod server;
mod startup;
pub mod stats;
mod table;
mod terraform;
pub mod world;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use fraktalia_testkit::real::Cache;
use fraktalia_testkit::real::docker::BUSYBOX;
use fraktalia_testkit::real::install::Component;

use crate::error::{Context as _, TaskError};
use crate::{install, say};
use ansible::Ansible;
use apply::Applies;
use idle::Idle;
use planner::Planner;
use startup::Startup;
use terraform::Terraform;

/// Ansible takes seconds for each fractal: so many, and the figure is for one.
const ANSIBLE_FRACTALS: usize = 20;

/// What is measured.
#[derive(Clone, Debug, Args)]
pub struct Ask {
    /// Sizes of installations in which nothing is to be done
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    fractals: Vec<usize>,
    /// How many new fractals are applied on a fresh homeserver, over and over
    #[arg(long, default_value_t = 100)]
    apply: usize,
    /// How often each is measured; the middle one counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How often an apply is measured, which takes longest
    #[arg(long, default_value_t = 3)]
    apply_rounds: usize,
    /// Without a sandbox on a closed network, though Docker is there
    #[arg(long)]
    without_docker: bool,
    /// Without Ansible, which takes a minute
    #[arg(long)]
    without_ansible: bool,
    /// Where page and plots go, instead of docs/bench
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// What all parts of the run share.
#[derive(Clone, Debug)]
struct Setting {
    cache: Cache,
    folder: PathBuf,
    program: PathBuf,
    rounds: usize,
    image: Option<String>,
    terraform: Option<(PathBuf, String)>,
    ansible: Option<PathBuf>,
}

/// All that was measured.
#[derive(Clone, Debug)]
struct Figures {
    startup: Startup,
    planner: Planner,
    idle: Vec<Idle>,
    applies: Applies,
    edits: Vec<edit::Round>,
    machine: Vec<(String, String)>,
    /// What was not measured, and why.
    absent: Vec<String>,
}

/// Measures everything and writes page and plots.
pub async fn run(ask: &Ask) -> Result<(), TaskError> {
    let start = Instant::now();
    say::title("A thousand fractals");
    let cache = Cache::locate();
    install::components(&cache, &[Component::Runtime, Component::Busybox])?;
    say::begun("building fraktalia as it ships");
    let program = super::build_release(&["--package", "fraktalia"])?;
    let folder = std::env::temp_dir().join(format!("fkt-fleet-{}", std::process::id()));
    // It holds tokens, though of homeservers that are gone soon.
    let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
    made.context(|| format!("create {}", folder.display()))?;
    let engine = if ask.without_docker { None } else { engine::find(&cache).await };
    let setting = Setting {
        image: engine.as_ref().map(|_| BUSYBOX.to_owned()),
        terraform: Terraform::find(),
        ansible: ansible(&cache, ask),
        rounds: ask.rounds.max(1),
        cache,
        folder: folder.clone(),
        program,
    };
    let outcome = measure(&setting, ask).await;
    if let Some(engine) = engine {
        engine.stop().await?;
    }
    let written = outcome.and_then(|figures| page::write(ask.to.as_deref(), &figures));
    if written.is_err() {
        say::faint(&format!("What was set up is in {}.", folder.display()));
        return written;
    }
    remove(&folder)?;
    say::title(&format!("Done after {:.0} s.", start.elapsed().as_secs_f64()));
    Ok(())
}

async fn measure(setting: &Setting, ask: &Ask) -> Result<Figures, TaskError> {
    let startup = or_stopped(startup::run(&setting.program, &setting.folder)).await?;
    let planner = planner::run()?;
    let mut sizes = ask.fractals.clone();
    sizes.sort_unstable();
    let mut idle = Vec::new();
    for (place, fractals) in sizes.into_iter().enumerate() {
        idle.push(idle::run(setting, fractals, place == 0).await?);
        // A thousand rooms are some gigabytes.
        remove(&setting.folder.join(format!("idle-{fractals}")))?;
    }
    let short = Setting { rounds: ask.apply_rounds.max(1), ..setting.clone() };
    let applies = or_stopped(apply::run(&short, ask.apply)).await?;
    let edits = or_stopped(edit::run(setting)).await?;
    let (machine, absent) = (machine(setting).await, absent(setting, &applies));
    Ok(Figures { startup, planner, idle, applies, edits, machine, absent })
}

fn ansible(cache: &Cache, ask: &Ask) -> Option<PathBuf> {
    if ask.without_ansible {
        return None;
    }
    say::begun("installing Ansible, once");
    match Ansible::install(cache) {
        Ok(program) => Some(program),
        Err(error) => {
            say::faint(&format!("without Ansible: {error}"));
            None
        }
    }
}

async fn machine(setting: &Setting) -> Vec<(String, String)> {
    let mut lines = super::machine();
    let mut add = |what: &str, version: String| lines.push((what.to_owned(), version));
    let runtime = Component::Runtime.title();
    let synapse = runtime.split(" and ").next().unwrap_or_default();
    add("homeserver", format!("{synapse} with SQLite, on loopback, its rate limits as they are by default"));
    if let Some((_, version)) = &setting.terraform {
        add("Terraform", version.clone());
    }
    if setting.ansible.is_some() {
        add("Ansible", format!("ansible-core {}", ansible::VERSION));
    }
    if let Some(version) = engine::version().await.filter(|_| setting.image.is_some()) {
        add("Docker", version);
    }
    lines
}

fn absent(setting: &Setting, applies: &Applies) -> Vec<String> {
    let reasons = [
        (setting.terraform.is_none(), "Terraform: not installed"),
        (setting.ansible.is_none(), "Ansible: not asked for, or not to be had"),
        (setting.image.is_none(), "a sandbox on a closed network: no Docker"),
        (applies.syncs.is_none(), "waiting for the disk: strace is not installed"),
    ];
    reasons.into_iter().filter(|(is, _)| *is).map(|(_, reason)| reason.to_owned()).collect()
}

/// What is measured ends early on Ctrl-C, so that what was made for it can be taken back.
async fn or_stopped<T>(work: impl Future<Output = Result<T, TaskError>>) -> Result<T, TaskError> {
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Err(TaskError::Found("stopped by Ctrl-C".to_owned())),
    }
}

/// `rm -rf`
pub fn remove(folder: &Path) -> Result<(), TaskError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
