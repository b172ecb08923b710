//! Nothing to do: what it takes to find that out, in an installation of a given size, in turn with the others.

use std::path::Path;

use super::ansible::{Ansible, Played};
use super::manifest::Fleet;
use super::measure::Taken;
use super::reads::{self, Read, Way};
use super::server::{Asked, Server};
use super::terraform::Terraform;
use super::world::{Applied, World};
use super::{Setting, engine, or_stopped};
use crate::error::TaskError;
use crate::say;

/// What a plan shows of a fractal: room, workspace, agent, replies, binding. What all share is not counted: it would
/// make the figure for each smaller.
pub const SHOWN: usize = 5;

/// A plan, with what the homeserver had to do for it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Of the program.
    pub taken: Taken,
    /// Of the homeserver.
    pub asked: Asked,
}

/// One round: everybody in turn.
#[derive(Clone, Debug)]
pub struct Round {
    /// `fraktalia plan`, as people run it.
    pub warm: Planned,
    /// The same after the cache was lost.
    pub cold: Planned,
    /// `fraktalia plan --refresh`, which asks for everything.
    pub refreshed: Planned,
    /// One sliding sync by a bare client.
    pub sliding: Read,
    /// The state of each room by a bare client.
    pub each_room: Read,
    /// `terraform plan`.
    pub terraform: Option<Taken>,
}

/// An installation of one size.
#[derive(Clone, Debug)]
pub struct Idle {
    /// Fractals in the manifest.
    pub fractals: usize,
    /// Resources that they make, as a plan shows them: see [`SHOWN`].
    pub resources: usize,
    /// Resources that they make, as the program counts them, with each member and each file for itself.
    pub counted: usize,
    /// Whether a sandbox on a closed network is among them.
    pub docker: bool,
    /// The apply that made them.
    pub populated: Applied,
    /// Nothing to do, over and over.
    pub rounds: Vec<Round>,
    /// Ansible, at the smallest size only.
    pub ansible: Option<Played>,
}

/// Makes an installation of `fractals` on a fresh homeserver and measures what finding nothing to do takes.
pub async fn run(setting: &Setting, fractals: usize, with_ansible: bool) -> Result<Idle, TaskError> {
    let folder = setting.folder.join(format!("idle-{fractals}"));
    let server = Server::start(&setting.cache, &folder.join("synapse")).await?;
    let realm = format!("bench-{}-{fractals}", std::process::id());
    let world = World::new(folder.join("world"), &setting.program, &server, &realm, 0)?;
    let fleet = Fleet { image: setting.image.clone(), ..Fleet::of(fractals) };
    world.want(&fleet)?;
    let measuring = measure(setting, &folder, &server, &world, fractals, with_ansible);
    let outcome = or_stopped(measuring).await;
    if fleet.image.is_some() {
        engine::take_back(&world, &fleet).await;
    }
    let outcome = outcome?;
    server.stop().await?;
    Ok(outcome)
}

async fn measure(
    setting: &Setting,
    folder: &Path,
    server: &Server,
    world: &World,
    fractals: usize,
    with_ansible: bool,
) -> Result<Idle, TaskError> {
    let (resources, counted) = (fractals * SHOWN, world.resources().await?);
    say::begun(&format!("applying {fractals} fractals, {counted} resources"));
    let populated = world.apply(server).await?;
    say::tick(&format!("{fractals} fractals, {counted} resources applied"), Some(populated.taken.duration()));
    let terraform = match &setting.terraform {
        Some((program, _)) => {
            say::begun(&format!("terraform: setting up {resources} resources"));
            Some(Terraform::set_up(program, &folder.join("terraform"), resources).await?)
        }
        None => None,
    };
    // The first plan after an apply may have to fill what the next ones rest on.
    world.no_op(false).run().await?;
    let mut rounds = Vec::new();
    for number in 1..=setting.rounds {
        say::begun(&format!("nothing to do, {fractals} fractals: round {number} of {}", setting.rounds));
        let round = round(server, world, terraform.as_ref(), number).await?;
        all_read(&round, fractals)?;
        say::faint(&line(&round));
        rounds.push(round);
    }
    let ansible = match &setting.ansible {
        Some(program) if with_ansible => Some(play(program, folder, server, world, fractals).await?),
        _ => None,
    };
    let docker = setting.image.is_some();
    Ok(Idle { fractals, resources, counted, docker, populated, rounds, ansible })
}

async fn round(
    server: &Server,
    world: &World,
    terraform: Option<&Terraform>,
    number: usize,
) -> Result<Round, TaskError> {
    let refreshed = plan(server, world, true).await?;
    world.lose_cache()?;
    let cold = plan(server, world, false).await?;
    let warm = plan(server, world, false).await?;
    let sliding = reads::read(server, Way::Sliding, number).await?;
    let each_room = reads::read(server, Way::EachRoom, number).await?;
    let terraform = match terraform {
        Some(terraform) => Some(terraform.no_op().await?),
        None => None,
    };
    Ok(Round { warm, cold, refreshed, sliding, each_room, terraform })
}

/// A bare read that misses rooms would be a cheap one.
fn all_read(round: &Round, fractals: usize) -> Result<(), TaskError> {
    match round.sliding.rooms.min(round.each_room.rooms) {
        rooms if rooms >= fractals => Ok(()),
        rooms => Err(TaskError::Found(format!("a bare client read {rooms} rooms of {fractals}"))),
    }
}

async fn plan(server: &Server, world: &World, refresh: bool) -> Result<Planned, TaskError> {
    let mark = server.mark().await?;
    let taken = world.no_op(refresh).run().await?;
    Ok(Planned { taken, asked: server.since(mark).await? })
}

async fn play(
    program: &Path,
    folder: &Path,
    server: &Server,
    world: &World,
    fractals: usize,
) -> Result<Played, TaskError> {
    let fractals = fractals.min(super::ANSIBLE_FRACTALS);
    say::begun(&format!("ansible: nothing to do, {fractals} fractals"));
    let workspaces = world.folder().join("workspaces");
    let ansible = Ansible::set_up(program, &folder.join("ansible"), server, &workspaces, fractals)?;
    let played = ansible.no_op(server, fractals).await?;
    say::tick(&format!("ansible, {fractals} fractals"), Some(played.taken.duration()));
    Ok(played)
}

fn line(round: &Round) -> String {
    let ours = |name: &str, planned: &Planned| {
        let Taken { wall, cpu, megabytes, .. } = planned.taken;
        let calls = planned.asked.calls.total();
        format!("{name} {wall:.3} s, {cpu:.3} s CPU, {megabytes:.0} MB, {calls} calls")
    };
    let terraform = round.terraform.map_or(String::new(), |taken| format!("; terraform {:.2} s", taken.wall));
    format!(
        "{}; {}; {}; sliding sync {:.3} s; each room {:.3} s{terraform}",
        ours("warm", &round.warm),
        ours("cold", &round.cold),
        ours("refreshed", &round.refreshed),
        round.sliding.wall,
        round.each_room.wall,
    )
}
