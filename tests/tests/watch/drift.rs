//! What somebody changes by hand is said, and who told us of it.

use std::time::Instant;

use fraktalia_testkit::real::docker::{BUSYBOX, docker};
use fraktalia_testkit::real::{Cache, Docker, encode};
use fraktalia_tests::{SERVER, Stage, With};
use serde_json::json;

use super::running::{Watch, changes, woken_by};

const GARDEN: &str = "\
users: { ana: {}, ben: {} }
rooms:
  lounge: { name: The lounge, topic: For everybody, members: [ana, ben], members_policy: exact }
fractals:
  gardener:
    purpose: Looks after the garden plan.
    members: [ana, ben]
    workspace: { files: { USER.md: { content: \"Ana and Ben.\", keep: sync } } }
";

/// One that an engine has a part in. No other story has this realm, this network and this subnet.
const CLOSED: &str = "\
networks:
  watch-story: { subnet: 10.239.19.0/27 }
sandboxes:
  standard: { image: { tag: \"BUSYBOX\" }, network: watch-story }
fractals:
  watcher: { members: [ana, ben], sandbox: standard }
users: { ana: {}, ben: {} }
";

async fn kick(stage: &Stage, alias: &str, user: &str) {
    let room = encode(&stage.room(alias).await.expect("the room exists"));
    let path = format!("/_matrix/client/v3/rooms/{room}/kick");
    let body = json!({ "user_id": format!("@{user}:{SERVER}") });
    stage.synapse.admin().post(&path, &body).await.expect("kicked");
}

/// The one change of a look, and who told of it.
fn assert_drift(line: &serde_json::Value, change: &str, standing: &str, who: &str) {
    let found = changes(line);
    let found = found.iter().find(|(id, _)| id.contains(change)).expect("it was waited for");
    assert_eq!(found.1, standing, "{line}");
    // What came before may still be told of.
    assert!(woken_by(line).contains(&who.to_owned()), "{line}");
}

#[tokio::test]
async fn a_kicked_member_a_removed_binding_and_a_changed_file_are_each_said_with_who_told_us() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDEN);
    let untouched = stage.read("gateway/openclaw.json");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let ours = stage.read("gateway/openclaw.json");
    let mut watch = Watch::start(&stage, &["-v", "--every", "1h"]);
    watch.hears(&["matrix", "openclaw", "workspace"]).await;

    let began = Instant::now();
    kick(&stage, "lounge", "ana").await;
    let line = watch.finds("lounge/", began).await;
    assert_eq!(woken_by(&line), ["matrix"], "{line}");

    let room = encode(&stage.room("lounge").await.expect("the room exists"));
    let path = format!("/_synapse/admin/v1/join/{room}");
    stage.synapse.admin().post(&path, &json!({ "user_id": format!("@ana:{SERVER}") })).await.expect("joined");
    watch.in_sync().await;

    let began = Instant::now();
    stage.write("gateway/openclaw.json", &untouched);
    let line = watch.finds("openclaw/binding/", began).await;
    assert_drift(&line, "openclaw/binding/", "missing", "openclaw");
    stage.write("gateway/openclaw.json", &ours);
    watch.in_sync().await;

    let began = Instant::now();
    stage.write("workspaces/gardener/USER.md", "Nobody.\n");
    let line = watch.finds("workspace/file/", began).await;
    assert_drift(&line, "workspace/file/", "drifted", "workspace");
    let world = stage.world().await;
    let (code, _) = watch.end().await;
    assert_eq!(code, Some(0));
    assert_eq!(stage.world().await, world, "report does nothing");
}

#[tokio::test]
async fn a_network_that_is_deleted_is_said_and_the_engine_told_us() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    let cache = Cache::for_test().expect("wanted");
    let engine = Docker::ensure(&cache).await.expect("an engine");
    engine.base_image(&cache, BUSYBOX).await.expect("an image");
    stage.manifest(&CLOSED.replace("BUSYBOX", BUSYBOX));
    stage.set_realm("watch-story");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let mut watch = Watch::start(&stage, &["-v", "--every", "1h"]);
    watch.hears(&["matrix", "openclaw", "docker@local"]).await;

    let began = Instant::now();
    docker(&["network", "rm", "watch-story"]).await.expect("removed");
    let line = watch.finds("network/watch-story", began).await;
    assert_drift(&line, "network/watch-story", "missing", "docker@local");
    assert!(line["causes"][0]["what"].as_str().is_some_and(|what| what.contains("watch-story")), "{line}");

    // What the watch asks of the engine must not wake it: every look here runs a command in the helper.
    for _ in 0..3 {
        let line = watch.asked_to_look().await;
        assert_eq!(woken_by(&line), ["SIGHUP"], "{line}");
    }
    watch.end().await;

    let mut watch = Watch::start(&stage, &["--policy", "full"]);
    watch.until(|line| line["happening"] == "ended" && line["outcome"] == "applied").await;
    watch.end().await;
    let found = docker(&["network", "ls", "--quiet", "--filter", "name=watch-story"]).await.expect("a list");
    assert_ne!(found, "", "full makes it anew");
    stage.manifest("");
    stage.set_realm("watch-story");
    let _ = stage.run(&["apply", "--yes", "--allow-removals"]).await;
    engine.stop().await.expect("ends");
}
