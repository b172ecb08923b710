//! How many calls a look takes: a count, which is the same on every machine.

mod common;

use common::{Engine, World};

/// The calls of a plan in which nothing is to be done, with this many networks, and agents that have no container.
async fn calls_of_a_plan(many: u32) -> usize {
    let mut world = World::on(Engine::simulated()).await;
    let first = world.network().clone();
    for index in 1..many {
        let mut network = first.clone();
        network.key = format!("{}-{index}", first.key);
        network.bridge.clone_from(&network.key);
        network.subnet = format!("10.{}.{}.0/26", 64 + index / 256, index % 256);
        world.manifest.networks.insert(network.key.clone(), network);
        let mut fractal = world.manifest.fractals[&world.agent()].clone();
        fractal.key = format!("{}-{index}", fractal.key);
        world.manifest.fractals.insert(fractal.key.clone(), fractal);
    }
    world.converge().await;
    world.engine.sim().take_calls();
    assert!(world.plan().await.plan.is_empty());
    world.engine.sim().take_calls().len()
}

#[tokio::test]
async fn a_plan_asks_the_engine_as_little_for_many_networks_and_agents_as_for_few() {
    let few = calls_of_a_plan(2).await;
    assert_eq!(calls_of_a_plan(40).await, few);
    assert!(few <= 5, "three lists, and the way to the engine: {few} calls");
}
