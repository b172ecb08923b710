//! One agent is changed in an `openclaw.json` of many others: what the others cost.

use super::Setting;
use super::manifest::Fleet;
use super::measure::Taken;
use super::server::Server;
use super::world::World;
use crate::error::TaskError;
use crate::say;

/// Agents of somebody else in the large file.
pub const FOREIGN: usize = 5000;
/// What the one agent is denied, in turn.
const WISHES: [&str; 2] = ["canvas", "browser"];

/// An apply that changes one agent, and a plan that changes nothing, with few and with many agents in the file.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// With one other agent.
    pub small: Taken,
    /// With [`FOREIGN`] others.
    pub large: Taken,
    /// A plan with nothing to do beside one other agent.
    pub small_plan: Taken,
    /// A plan with nothing to do beside the [`FOREIGN`] others.
    pub large_plan: Taken,
}

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Vec<Round>, TaskError> {
    let folder = setting.folder.join("edit");
    let server = Server::start(&setting.cache, &folder.join("synapse")).await?;
    let world =
        |name: &str, foreign| World::new(folder.join(name), &setting.program, &server, "bench-edit", foreign);
    let (small, large) = (world("small", 0)?, world("large", FOREIGN)?);
    // The same rooms for both: the second one finds them there by their markers.
    for world in [&small, &large] {
        world.want(&Fleet::of(1))?;
        world.apply(&server).await?;
    }
    let mut rounds = Vec::new();
    for number in 0..setting.rounds {
        say::begun(&format!("one agent of {FOREIGN} changed: round {} of {}", number + 1, setting.rounds));
        let denied = WISHES[number % WISHES.len()];
        let round = Round {
            small: change(&server, &small, denied).await?,
            large: change(&server, &large, denied).await?,
            small_plan: small.no_op(false).run().await?,
            large_plan: large.no_op(false).run().await?,
        };
        say::faint(&format!("{:.3} s, with few others {:.3} s", round.large.wall, round.small.wall));
        rounds.push(round);
    }
    server.stop().await?;
    Ok(rounds)
}

async fn change(server: &Server, world: &World, denied: &'static str) -> Result<Taken, TaskError> {
    world.want(&Fleet { denied, ..Fleet::of(1) })?;
    let applied = world.apply(server).await?;
    if applied.config_writes == 1 {
        return Ok(applied.taken);
    }
    let writes = applied.config_writes;
    Err(TaskError::Found(format!("changing one agent wrote openclaw.json {writes} times")))
}
