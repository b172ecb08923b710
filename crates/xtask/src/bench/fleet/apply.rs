//! An apply of new fractals, held against the very calls that it makes by a bare client.

use super::Setting;
use super::journal::{self, Syncs};
use super::manifest::Fleet;
use super::measure::Taken;
use super::record::Recorder;
use super::replay::{Replayed, replay};
use super::server::Server;
use super::world::{Applied, World};
use crate::error::TaskError;
use crate::say;

/// All about an apply of one size.
#[derive(Clone, Debug)]
pub struct Applies {
    /// New fractals.
    pub fractals: usize,
    /// Calls of one apply.
    pub calls: usize,
    /// Ours and the bare client in turn, each on a fresh homeserver.
    pub rounds: Vec<(Applied, Replayed)>,
    /// Waiting for the disk, in an apply of its own; `None` without strace.
    pub syncs: Option<(Taken, Syncs)>,
}

/// Measures it.
pub async fn run(setting: &Setting, fractals: usize) -> Result<Applies, TaskError> {
    let fleet = Fleet::of(fractals);
    say::begun(&format!("apply of {fractals} new fractals: writing down its calls"));
    let calls = {
        let server = fresh(setting, "recorded").await?;
        let recorder = Recorder::start(&server.base_url()).await?;
        let world = world(setting, "recorded", &server)?.behind(recorder.url());
        world.want(&fleet)?;
        world.apply(&server).await?;
        server.stop().await?;
        recorder.calls()
    };
    let mut rounds = Vec::new();
    for number in 1..=setting.rounds {
        say::begun(&format!("apply of {fractals} new fractals: round {number} of {}", setting.rounds));
        let server = fresh(setting, "ours").await?;
        let world = world(setting, "ours", &server)?;
        world.want(&fleet)?;
        let ours = world.apply(&server).await?;
        server.stop().await?;
        let server = fresh(setting, "bare").await?;
        let bare = replay(&server, &calls).await?;
        server.stop().await?;
        say::faint(&format!(
            "{:.2} s; the same {} calls by a bare client {:.2} s",
            ours.taken.wall,
            calls.len(),
            bare.wall
        ));
        rounds.push((ours, bare));
    }
    let syncs = syncs(setting, &fleet).await?;
    Ok(Applies { fractals, calls: calls.len(), rounds, syncs })
}

async fn syncs(setting: &Setting, fleet: &Fleet) -> Result<Option<(Taken, Syncs)>, TaskError> {
    let Some(strace) = journal::strace() else {
        say::faint("strace is not installed: how long the journal waits for the disk is not measured");
        return Ok(None);
    };
    say::begun("an apply whose waiting for the disk is written down");
    let server = fresh(setting, "traced").await?;
    let world = world(setting, "traced", &server)?;
    world.want(fleet)?;
    let trace = world.folder().join("trace");
    let applied =
        world.apply_by(&server, journal::traced(world.job(&["apply", "--yes"]), &strace, &trace)).await?;
    server.stop().await?;
    let syncs = journal::read(&trace, &world.folder().join("state"))?;
    if syncs.journal.count == 0 {
        return Err(TaskError::Found("strace saw no fsync of the journal".to_owned()));
    }
    Ok(Some((applied.taken, syncs)))
}

/// A homeserver that nobody has used. The one before it under this name is gone.
async fn fresh(setting: &Setting, name: &str) -> Result<Server, TaskError> {
    let folder = setting.folder.join(format!("apply-{name}"));
    super::remove(&folder)?;
    Server::start(&setting.cache, &folder.join("synapse")).await
}

fn world(setting: &Setting, name: &str, server: &Server) -> Result<World, TaskError> {
    let folder = setting.folder.join(format!("apply-{name}/world"));
    World::new(folder, &setting.program, server, "bench-apply", 0)
}
