//! What a watch does by itself, what it leaves to a person, and how it stops while it is at it.

use fraktalia_testkit::proxy::Break;
use fraktalia_testkit::real::encode;
use fraktalia_tests::{SERVER, Stage, With};
use serde_json::json;

use super::running::Watch;

const GARDEN: &str = "\
users: { ana: {}, ben: {} }
rooms:
  lounge: { name: The lounge, topic: For everybody, members: [ana, ben], members_policy: exact }
fractals:
  gardener:
    members: [ana, ben]
    workspace: { files: { USER.md: { content: \"Ana and Ben.\", keep: sync } } }
";

async fn topic(stage: &Stage) -> String {
    let room = encode(&stage.room("lounge").await.expect("the lounge exists"));
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/");
    let topic = stage.synapse.admin().get(&path).await.expect("a topic");
    topic["topic"].as_str().expect("a text").to_owned()
}

async fn set_topic(stage: &Stage, text: &str) {
    let room = encode(&stage.room("lounge").await.expect("the lounge exists"));
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/");
    stage.synapse.admin().put(&path, &json!({ "topic": text })).await.expect("the topic is set");
}

#[tokio::test]
async fn full_makes_a_new_manifest_so_and_heals_what_is_changed_by_hand() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDEN);
    let mut watch = Watch::start(&stage, &["-v", "--policy", "full", "--every", "1h"]);
    watch.until(|line| line["outcome"] == "applied").await;
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);

    let began = std::time::Instant::now();
    set_topic(&stage, "By hand").await;
    watch.until(|line| line["outcome"] == "applied").await;
    println!("a topic was healed {} ms after it was changed", began.elapsed().as_millis());
    assert_eq!(topic(&stage).await, "For everybody");

    stage.write("workspaces/gardener/USER.md", "Nobody.\n");
    watch.until(|line| line["outcome"] == "applied").await;
    assert_eq!(stage.read("workspaces/gardener/USER.md"), "Ana and Ben.");
    // The events of its own doing find nothing to do.
    watch.until(|line| line["happening"] == "looked" && line["in_sync"] == true).await;
    let (code, said) = watch.end().await;
    assert_eq!(code, Some(0));
    let runs = said.iter().filter(|line| line["happening"] == "applying").count();
    assert_eq!(runs, 3, "one for the manifest, and one for each thing that was changed: {said:#?}");
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn safe_heals_what_nobody_notices_and_leaves_what_is_removed_to_a_person() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDEN);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let lounge =
        "  lounge: { name: The lounge, topic: For everybody, members: [ana, ben], members_policy: exact }\n";
    stage.manifest(&GARDEN.replace(lounge, "  den: { name: The den, members: [ana] }\n"));
    let mut watch = Watch::start(&stage, &["--policy", "safe", "--every", "1h"]);
    let line = watch.until(|line| line["happening"] == "looked").await;
    let waiting = line["waiting"].as_array().expect("a list");
    assert!(!waiting.is_empty(), "{line}");
    watch.until(|line| line["outcome"] == "applied").await;
    assert!(stage.room("den").await.is_some(), "what is new is made");
    assert!(stage.room("lounge").await.is_some(), "what left the manifest stays until a person says so");
    assert_eq!(watch.end().await.0, Some(0));
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(3);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert!(stage.room("lounge").await.is_none());
}

#[tokio::test]
async fn asked_to_end_in_the_middle_of_an_apply_it_leaves_nothing_half_done() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDEN);
    let before = stage.world().await;
    stage.proxy.break_if(|_, path| path.contains("/createRoom").then_some(Break::Hold));
    let mut watch = Watch::start(&stage, &["-v", "--policy", "full"]);
    stage.proxy.called(|_, path| path.contains("/createRoom")).await;
    watch.signal("-TERM").await;
    watch.until(|line| line["event"]["event"] == "stopping").await;
    stage.proxy.mend();
    let (code, said) = watch.wait().await;
    assert_eq!(code, Some(0), "{said:#?}");
    assert_eq!(said.last().expect("it said something")["happening"], "ending");
    assert_eq!(stage.world().await, before);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
}

#[tokio::test]
async fn a_watch_that_is_killed_in_an_apply_finishes_it_when_it_is_started_again() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDEN);
    let mut first = Watch::start_with(&stage, &["--policy", "full"], &[("FRAKTALIA_TEST_DIE", "after:9")]);
    assert_eq!(first.wait().await.0, None, "a signal has ended it");
    let mut watch = Watch::start(&stage, &["--policy", "full"]);
    watch.happening("unfinished").await;
    watch.until(|line| line["outcome"] == "applied").await;
    assert_eq!(watch.end().await.0, Some(0));
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
    assert_eq!(stage.rooms().await.len(), 2, "no room was made twice");
    assert!(stage.room("lounge").await.is_some_and(|room| !room.contains(SERVER)));
}

#[tokio::test]
async fn a_homeserver_that_goes_away_is_said_once_and_looked_at_when_it_is_back() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDEN);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let mut watch = Watch::start(&stage, &["-v", "--every", "1h"]);
    watch.hears(&["matrix"]).await;
    stage.proxy.break_if(|_, _| Some(Break::ServerError));
    // An answer that the stream still waits for comes with this.
    set_topic(&stage, "By hand").await;
    watch.until(|line| line["happening"] == "deaf" && line["system"] == "matrix").await;
    stage.proxy.mend();
    let line = watch.until(|line| line["happening"] == "looked" && line["in_sync"] == false).await;
    assert!(line["changes"][0]["id"].as_str().is_some_and(|id| id.contains("lounge")), "{line}");
    assert_eq!(watch.end().await.0, Some(0));
}
