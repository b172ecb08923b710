//! How many files a look holds open. One test alone in its process, for the limit is the process's.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::World;
use rustix::process::{Resource, getrlimit, setrlimit};

#[tokio::test]
async fn workspaces_may_be_more_than_a_process_may_have_files_open() {
    let mut world = World::new();
    for index in 0..100 {
        world.add(&format!("gardener{index}"));
    }
    world.converge().await;
    let limit = getrlimit(Resource::Nofile);
    let few = rustix::process::Rlimit { current: Some(60), ..limit };
    setrlimit(Resource::Nofile, few).unwrap();
    let plan = world.plan().await.plan;
    assert!(plan.changes.is_empty() && !plan.is_blocked(), "{:?}", plan.notes.first());
}
