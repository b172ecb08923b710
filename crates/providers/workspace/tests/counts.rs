//! How much of the disk a look reads: a count, which is the same on every machine. One test alone in its process, for the
//! process is what the kernel counts for.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::World;
use fraktalia_model::manifest::KeepFile;

/// Bytes that this process has read so far, files and all else.
fn bytes_read() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_plan_reads_files_that_are_kept_once_and_those_of_the_agent_not_at_all() {
    let mut world = World::new();
    world.declare("AGENTS.md", "Be kind.", KeepFile::Seed);
    world.declare("LARGE.md", &"x".repeat(2 * MIB), KeepFile::Sync);
    world.converge().await;
    world.write("AGENTS.md", &"What I have learned.".repeat(MIB / 4));
    let before = bytes_read();
    assert_eq!(world.plan().await.plan.changes, []);
    let read = usize::try_from(bytes_read() - before).unwrap();
    assert!((2 * MIB..3 * MIB).contains(&read), "{read} bytes were read");
}
