//! A manifest that is saved is planned; one with errors disturbs nothing; a storm is one look a second.

use std::time::Instant;

use fraktalia_tests::{Stage, With};

use super::running::{Watch, woken_by};

const LOUNGE: &str = "\
users: { ana: {}, ben: {} }
rooms:
  lounge: { name: The lounge, topic: For everybody, members: [ana] }
fractals:
  gardener:
    members: [ana, ben]
    workspace: { files: { AGENTS.md: { source: personas/gardener.md, keep: sync } } }
";

async fn applied() -> Option<Stage> {
    let stage = Stage::set(With::FileOnly).await?;
    stage.manifest(LOUNGE);
    stage.write("personas/gardener.md", "You are patient.\n");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    Some(stage)
}

#[tokio::test]
async fn a_saved_manifest_and_a_file_that_it_names_are_planned_after_the_last_write() {
    let Some(stage) = applied().await else { return };
    let mut watch = Watch::start(&stage, &["-v", "--every", "1h"]);
    watch.hears(&["matrix", "openclaw", "workspace"]).await;

    for round in 0..5 {
        // As an editor does it that writes beside and renames into place.
        let text = stage.read("fraktalia.yaml");
        let changed = text.replace("For everybody", &format!("Number {round}"));
        stage.write(".fraktalia.yaml.swp", &changed);
        std::fs::rename(stage.path(".fraktalia.yaml.swp"), stage.path("fraktalia.yaml")).expect("renamed");
        let began = Instant::now();
        let line = watch.finds("matrix/room/lounge", began).await;
        assert!(woken_by(&line).contains(&"manifest".to_owned()), "{line}");
        stage.write("fraktalia.yaml", &text);
        watch.in_sync().await;
    }

    stage.write("personas/gardener.md", "You are impatient.\n");
    let began = Instant::now();
    let line = watch.finds("workspace/file/gardener/AGENTS.md", began).await;
    assert_eq!(woken_by(&line), ["manifest"], "{line}");
    assert_eq!(watch.end().await.0, Some(0));
}

#[tokio::test]
async fn a_manifest_with_errors_is_said_once_with_its_place_and_the_last_good_one_stays() {
    let Some(stage) = applied().await else { return };
    let mut watch = Watch::start(&stage, &["-v", "--every", "1h"]);
    watch.in_sync().await;
    let good = stage.read("fraktalia.yaml");
    stage.write("fraktalia.yaml", &good.replace("fractals:", "fractal:"));
    let line = watch.happening("bad_manifest").await;
    assert_eq!(line["kept"], true);
    assert!(line["notes"][0]["at"]["line"].as_u64().is_some_and(|line| line > 0), "{line}");
    // Drift is still seen, by the last good one.
    stage.write("workspaces/gardener/AGENTS.md", "Nobody.\n");
    watch.finds("workspace/file/gardener/AGENTS.md", Instant::now()).await;
    watch.asked_to_look().await;
    let bad = watch.said.iter().filter(|line| line["happening"] == "bad_manifest").count();
    // Who asks with SIGHUP is told again.
    assert!(bad <= 2, "{:?}", watch.said);
    stage.write("fraktalia.yaml", &good);
    watch.happening("good_manifest").await;
    assert_eq!(watch.end().await.0, Some(0));
}

#[tokio::test]
async fn a_storm_of_events_is_a_look_a_second_at_most() {
    let Some(stage) = applied().await else { return };
    let mut watch = Watch::start(&stage, &["-v", "--every", "1h"]);
    watch.in_sync().await;
    let before = watch.said.len();
    let began = Instant::now();
    for round in 0..400 {
        stage.write("workspaces/gardener/AGENTS.md", &format!("Number {round}\n"));
        stage.write("gateway/openclaw.json.bak", "not ours\n");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let storm = began.elapsed();
    stage.write("workspaces/gardener/AGENTS.md", "You are patient.\n");
    watch.in_sync().await;
    let looks = watch.said[before..].iter().filter(|line| line["happening"] == "looked").count() as u64;
    println!("a storm of {storm:?}, 800 writes: {looks} looks");
    assert!(looks <= storm.as_secs() + 3, "{looks} looks in {storm:?}");
    assert_eq!(watch.end().await.0, Some(0));
}
