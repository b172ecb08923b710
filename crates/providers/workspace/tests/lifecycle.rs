//! Workspaces from their making to their end, through the real planner and the real engine.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use common::World;
use fraktalia_engine::journal::Outcome;
use fraktalia_model::id;
use fraktalia_model::manifest::{KeepFile, OnRemove, Owner};
use fraktalia_plan::Verb;
use fraktalia_testkit::contract;

#[tokio::test]
async fn a_new_workspace_has_the_files_that_openclaw_reads_and_a_second_plan_is_empty() {
    let world = World::new();
    world.converge().await;
    for file in ["AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md"] {
        assert!(!world.text(file).is_empty(), "{file}");
        assert_eq!(world.mode(file), 0o664, "{file}");
    }
    assert_eq!(world.mode(""), 0o775);
    assert!(world.text("SOUL.md").contains("You are patient and practical."));
}

#[tokio::test]
async fn a_declared_file_takes_the_place_of_a_generated_one() {
    let mut world = World::new();
    world.declare("AGENTS.md", "Mine.\n", KeepFile::Seed);
    world.declare("notes/garden/beds.md", "Two.\n", KeepFile::Seed);
    world.converge().await;
    assert_eq!(
        (world.text("AGENTS.md").as_str(), world.text("notes/garden/beds.md").as_str()),
        ("Mine.\n", "Two.\n")
    );
    assert_eq!(world.mode("notes/garden"), 0o775);
}

#[tokio::test]
async fn a_seeded_file_is_the_agents_own_once_it_is_written() {
    let mut world = World::new();
    world.declare("SOUL.md", "First.\n", KeepFile::Seed);
    world.converge().await;
    world.write("SOUL.md", "I have grown.\n");
    world.declare("SOUL.md", "Second.\n", KeepFile::Seed);
    assert_eq!(world.plan().await.plan.changes, []);
    world.converge().await;
    assert_eq!(world.text("SOUL.md"), "I have grown.\n");
}

#[tokio::test]
async fn a_seeded_file_that_the_agent_deleted_stays_deleted() {
    let world = World::new();
    world.converge().await;
    std::fs::remove_file(world.path("IDENTITY.md")).unwrap();
    assert_eq!(world.plan().await.plan.changes, []);
    world.converge().await;
    assert!(!world.path("IDENTITY.md").exists());
}

#[tokio::test]
async fn a_workspace_that_is_gone_as_a_whole_is_made_again_with_its_seeds() {
    let world = World::new();
    world.converge().await;
    std::fs::remove_dir_all(world.tree()).unwrap();
    world.converge().await;
    assert!(world.path("AGENTS.md").exists());
}

#[tokio::test]
async fn a_synced_file_goes_back_to_what_the_manifest_says() {
    let mut world = World::new();
    world.declare("USER.md", "Ana and Ben.\n", KeepFile::Sync);
    world.converge().await;
    world.write("USER.md", "Nobody.\n");
    let plan = world.plan().await.plan;
    assert_eq!(plan.changes.len(), 1);
    assert_eq!((plan.changes[0].verb, plan.changes[0].fields[0].field.as_str()), (Verb::Update, "content"));
    world.converge().await;
    assert_eq!(world.text("USER.md"), "Ana and Ben.\n");
}

#[tokio::test]
async fn a_file_that_the_write_tool_left_private_gets_its_mode_back() {
    let world = World::new();
    world.converge().await;
    std::fs::set_permissions(world.path("AGENTS.md"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let plan = world.plan().await.plan;
    assert_eq!(plan.changes[0].fields[0].from.as_deref(), Some("0600"));
    world.converge().await;
    assert_eq!(world.mode("AGENTS.md"), 0o664);
}

#[tokio::test]
async fn an_existing_workspace_is_adopted_with_all_that_is_in_it() {
    let world = World::new();
    world.write("AGENTS.md", "Written by the agent.\n");
    world.write("memory/2026-01-01.md", "It rained.\n");
    world.converge().await;
    assert_eq!(world.text("AGENTS.md"), "Written by the agent.\n");
    assert_eq!(world.text("memory/2026-01-01.md"), "It rained.\n");
    assert!(world.path("SOUL.md").exists(), "what was missing is added");
}

#[tokio::test]
async fn another_content_under_a_synced_name_is_in_the_way_and_stays() {
    let mut world = World::new();
    world.write("USER.md", "Written by hand.\n");
    world.declare("USER.md", "Ana and Ben.\n", KeepFile::Sync);
    let plan = world.plan().await.plan;
    assert!(plan.is_blocked());
    assert!(world.apply().await.is_err());
    assert_eq!(world.text("USER.md"), "Written by hand.\n");
    assert!(!world.path("AGENTS.md").exists(), "nothing else of the plan ran");
}

#[tokio::test]
async fn removing_a_fractal_leaves_its_workspace_and_a_new_one_of_that_name_finds_it() {
    let mut world = World::new();
    world.converge().await;
    world.write("memory/lasting.md", "The well is dry.\n");
    world.write("SOUL.md", "I have grown.\n");
    let before = world.everything();
    let gardener = world.manifest.fractals.remove("gardener").unwrap();
    world.converge().await;
    assert_eq!(world.everything(), before);
    world.manifest.fractals.insert("gardener".into(), gardener);
    world.converge().await;
    assert_eq!(world.everything(), before);
}

#[tokio::test]
async fn purge_deletes_the_workspace_that_we_made_and_says_that_it_cannot_be_undone() {
    let mut world = World::new();
    world.add("cook");
    world.gardener().on_remove = OnRemove::Purge;
    world.converge().await;
    world.write("deep/er/and/deeper.md", "x");
    std::os::unix::fs::symlink("/etc", world.path("etc")).unwrap();
    world.manifest.fractals.remove("gardener");
    let plan = world.plan().await.plan;
    assert!(plan.steps.iter().any(|step| step.impact.is_irreversible()));
    world.converge().await;
    assert!(!world.tree().exists());
    assert!(world.root.path().join("agents/cook/AGENTS.md").exists());
    assert!(std::path::Path::new("/etc/passwd").exists());
}

#[tokio::test]
async fn purge_spares_a_workspace_that_was_there_before_us() {
    let mut world = World::new();
    world.gardener().on_remove = OnRemove::Purge;
    world.write("memory/lasting.md", "The well is dry.\n");
    world.converge().await;
    world.manifest.fractals.remove("gardener");
    let planned = world.plan().await;
    assert!(planned.plan.notes.iter().any(|note| note.code == "workspace.not-made-by-us"));
    world.apply().await.unwrap();
    assert_eq!(world.text("memory/lasting.md"), "The well is dry.\n");
}

#[tokio::test]
async fn purge_spares_a_directory_that_took_the_place_of_ours() {
    let mut world = World::new();
    world.gardener().on_remove = OnRemove::Purge;
    world.converge().await;
    std::fs::rename(world.tree(), world.root.path().join("elsewhere")).unwrap();
    world.write("AGENTS.md", "Somebody else's.\n");
    world.manifest.fractals.remove("gardener");
    world.apply().await.unwrap();
    assert_eq!(world.text("AGENTS.md"), "Somebody else's.\n");
}

#[tokio::test]
async fn taking_a_run_back_leaves_no_trace_of_it() {
    let world = World::new();
    let before = world.everything();
    let ended = world.converge().await;
    roll_back(&world, &ended.run).await;
    assert_eq!(world.everything(), before, "the directory above, which we made as well, is gone too");
}

#[tokio::test]
async fn taking_a_run_back_restores_a_synced_file_and_its_mode() {
    let mut world = World::new();
    world.declare("USER.md", "One.\n", KeepFile::Sync);
    world.converge().await;
    let before = world.everything();
    world.declare("USER.md", "Two.\n", KeepFile::Sync);
    let ended = world.converge().await;
    roll_back(&world, &ended.run).await;
    assert_eq!(world.everything(), before);
}

#[tokio::test]
async fn taking_a_run_back_never_deletes_what_appeared_since_or_was_there_before() {
    let world = World::new();
    world.write("memory/lasting.md", "The well is dry.\n");
    let ended = world.converge().await;
    world.write("memory/today.md", "It rained.\n");
    world.write("SOUL.md", "I have grown.\n");
    roll_back(&world, &ended.run).await;
    assert_eq!(world.text("memory/lasting.md"), "The well is dry.\n");
    assert_eq!(world.text("memory/today.md"), "It rained.\n");
    assert_eq!(world.text("SOUL.md"), "I have grown.\n");
    assert!(!world.path("AGENTS.md").exists());
}

async fn roll_back(world: &World, run: &str) {
    let session = world.session();
    let lock = session.lock().unwrap();
    let run = session.run(run).unwrap();
    let ended = session.roll_back_run(&lock, &run, &contract::quiet()).await.unwrap();
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
}

/// A workspace with each sort of change in it: files to make, to replace, and to set the mode of.
async fn half_made() -> World {
    let mut world = World::new();
    world.declare("USER.md", "Ana.\n", KeepFile::Sync);
    world.converge().await;
    std::fs::set_permissions(world.path("SOUL.md"), std::fs::Permissions::from_mode(0o600)).unwrap();
    world.declare("USER.md", "Ana and Ben.\n", KeepFile::Sync);
    world.declare("notes/beds.md", "Two.\n", KeepFile::Seed);
    world.add("cook");
    world
}

#[tokio::test]
async fn an_apply_can_be_taken_back() {
    contract::apply_then_roll_back(&World::new()).await;
    contract::apply_then_roll_back(&half_made().await).await;
}

#[tokio::test]
async fn a_death_at_any_journal_entry_and_a_resume_end_as_without_dying() {
    contract::die_then_resume(async || World::new()).await;
    contract::die_then_resume(half_made).await;
}

#[tokio::test]
async fn a_death_at_any_journal_entry_and_a_rollback_leave_the_first_world() {
    contract::die_then_roll_back(async || World::new()).await;
    contract::die_then_roll_back(half_made).await;
}

#[tokio::test]
async fn the_state_directory_lost_is_no_workspace_lost() {
    let mut world = World::new();
    world.declare("USER.md", "Ana.\n", KeepFile::Sync);
    world.converge().await;
    world.write("SOUL.md", "I have grown.\n");
    let before = world.everything();
    std::fs::remove_dir_all(world.root.path().join("state")).unwrap();
    world.converge().await;
    assert_eq!(world.everything(), before);
}

#[tokio::test]
async fn a_file_that_leaves_the_manifest_stays() {
    let mut world = World::new();
    world.declare("notes.md", "x\n", KeepFile::Sync);
    world.converge().await;
    world.gardener().files.clear();
    let plan = world.plan().await.plan;
    assert_eq!(
        plan.changes.iter().map(|c| (&c.id, c.verb)).collect::<Vec<_>>(),
        [(&id::file("gardener", "notes.md"), Verb::Forget)]
    );
    world.converge().await;
    assert_eq!(world.text("notes.md"), "x\n");
}

#[tokio::test]
async fn an_owner_is_given_where_we_may_and_refused_clearly_where_not() {
    let mut world = World::new();
    world.gardener().owner = Some(Owner { uid: 4242, gid: 4243 });
    if rustix::process::geteuid().is_root() {
        world.converge().await;
        let stat = std::fs::metadata(world.path("AGENTS.md")).unwrap();
        assert_eq!((stat.uid(), stat.gid()), (4242, 4243));
        return;
    }
    let ended = world.apply().await.unwrap();
    let why = ended.why.unwrap();
    assert!(why.contains("set mode and owner of") && why.contains("root"), "{why}");
    assert!(!world.tree().exists());
}

#[tokio::test]
async fn two_fractals_in_one_directory_are_refused() {
    let mut world = World::new();
    world.add("cook");
    let shared = world.tree();
    world.manifest.fractals.get_mut("cook").unwrap().workspace.path = shared;
    assert!(world.plan().await.plan.notes.iter().any(|note| note.code == "workspace.shared"));
}

#[tokio::test]
async fn a_file_that_openclaw_would_cut_off_is_pointed_out() {
    let mut world = World::new();
    world.declare("USER.md", &"x".repeat(4_001), KeepFile::Sync);
    world.declare("AGENTS.md", &"é".repeat(20_000), KeepFile::Sync);
    let notes = world.plan().await.plan.notes;
    let long: Vec<_> = notes.iter().filter(|note| note.code == "workspace.file-too-long").collect();
    assert_eq!(long.len(), 1);
    assert!(long[0].text.contains("4001") && long[0].text.contains("USER.md"));
}
