//! What a plan shows and what it leaves away, on a real homeserver.

use fraktalia_tests::{SERVER, Stage, With};

const SHORT: &str = "\
users: { ana: {}, ben: {} }
rooms:
  lounge: { name: The lounge, members: [ana] }
fractals:
  gardener:
    members: [ana, ben]
    workspace: { files: { USER.md: { content: \"Ana and Ben.\" } } }
";

/// The same, with every default written out.
const LONG: &str = "\
users:
  ana: { bot: false, on_remove: keep }
  ben: { bot: false }
rooms:
  lounge: { name: The lounge, alias: lounge, members: [ana], members_policy: at-least, space: false, on_remove: retire }
fractals:
  gardener:
    name: Gardener
    members: [ana, ben]
    account: shared
    auto_reply: true
    on_remove: delete
    workspace:
      on_remove: keep
      files: { USER.md: { content: \"Ana and Ben.\", keep: seed, mode: \"0664\" } }
";

#[tokio::test]
async fn what_is_the_default_is_no_difference_whether_it_is_written_or_not() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    for (first, second) in [(SHORT, LONG), (LONG, SHORT)] {
        stage.manifest(first);
        let _ = stage.run(&["apply", "--yes"]).await.expect(0);
        stage.manifest(second);
        let plan = stage.run(&["plan", "--exit-code"]).await.expect(0);
        assert!(plan.stdout.contains("Nothing to do."), "{}", plan.stdout);
    }
}

#[tokio::test]
async fn what_is_protected_stays_when_it_vanishes_and_the_plan_says_so() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    let protect = "policy: { protect: [matrix/room/lounge] }\n";
    stage.manifest(&format!("{SHORT}{protect}"));
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    stage.manifest(&format!("users: {{ ana: {{}}, ben: {{}} }}\n{protect}"));
    let plan = stage.run(&["plan"]).await.expect(0);
    assert!(plan.stdout.contains("matrix/room/lounge left the manifest and stays"), "{}", plan.stdout);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert!(stage.room("lounge").await.is_some(), "it is protected");
    assert!(stage.room("gardener").await.is_none(), "and nothing else is");
}

#[tokio::test]
async fn what_is_excluded_is_left_for_the_next_apply_and_what_needs_it_too() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(SHORT);
    let room = "matrix/room/gardener";
    let plan = stage.run(&["plan", "--exclude", room]).await.expect(0);
    assert!(plan.stdout.contains(&format!("{room} is excluded, and so is what cannot")), "{}", plan.stdout);
    let _ = stage.run(&["apply", "--yes", "--exclude", room]).await.expect(0);
    assert!(stage.room("lounge").await.is_some());
    assert!(stage.room("gardener").await.is_none());
    assert!(!stage.read("gateway/openclaw.json").contains('!'), "no binding without its room");
    let unknown = stage.run(&["plan", "--exclude", "nobody"]).await.expect(15);
    assert!(unknown.stdout.contains("`nobody` names nothing in this plan"), "{}", unknown.stdout);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert!(stage.room("gardener").await.is_some());
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn a_text_that_changed_is_shown_by_its_words_and_each_change_says_why() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    let topic = "For everybody in the house who likes to talk about the garden and the beds";
    let with = |topic: &str, name: &str| {
        format!(
            "users: {{ ana: {{ display_name: {name} }} }}\nrooms:\n  lounge: {{ topic: {topic}, members: [ana] }}\n"
        )
    };
    stage.manifest(&with(topic, "Ana"));
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    stage.manifest(&with(&topic.replace("likes", "loves"), "Ana"));
    let path = format!("/_matrix/client/v3/profile/@ana:{SERVER}/displayname");
    let body = serde_json::json!({ "displayname": "By hand" });
    stage.synapse.admin().put(&path, &body).await.expect("set");
    let plan = stage.run(&["plan"]).await.expect(0).stdout;
    assert!(plan.contains("[likes -> loves]"), "{plan}");
    assert!(plan.contains("manifest changed"), "{plan}");
    assert!(plan.contains("changed by hand, back to the manifest"), "{plan}");
}
