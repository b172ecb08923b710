//! The provider against files, a stand-in for the command line, and the gateway double.

mod support;

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;

use fraktalia_engine::Outcome;
use fraktalia_engine::session::Options;
use fraktalia_model::manifest::{OnRemove, Peer};
use fraktalia_testkit::contract;
use fraktalia_testkit::sim::openclaw::Mood;
use support::{ENTRIES, LIST, World, both, full};

#[tokio::test]
async fn an_apply_is_followed_by_an_empty_plan_and_its_rollback_gives_every_byte_back() {
    for (dialect, file) in both() {
        let world = full(file).await;
        contract::apply_then_roll_back(&world).await;
        assert_eq!(world.text(), file, "{dialect:?}");
        assert_eq!(world.leftovers(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_was_there_before_stays_byte_for_byte() {
    for (dialect, file) in both() {
        let world = full(file).await;
        world.applied().await;
        let text = world.text();
        // Every line of the old file is still there, in its order.
        let mut lines = text.lines();
        for line in file.lines() {
            assert!(lines.any(|new| new == line), "{dialect:?}: `{line}` is gone or has moved:\n{text}");
        }
    }
}

#[tokio::test]
async fn the_written_file_reads_like_one_that_a_person_wrote() {
    let world = full(ENTRIES).await;
    world.applied().await;
    let text = world.text();
    let added: Vec<&str> = text.lines().filter(|line| !ENTRIES.lines().any(|old| old == *line)).collect();
    let token = world.state().join("secrets/matrix-cook-token");
    let want = format!(
        r#"      cook: {{
        name: "cook",
        identity: {{
          name: "cook"
        }},
        workspace: "/srv/cook",
        model: "a/b"
      gardener: {{
        name: "gardener",
        identity: {{
          name: "gardener"
        }},
        workspace: "/srv/gardener",
        model: "a/b",
        tools: {{
          deny: ["browser"]
        }}
    {{ agentId: "cook", match: {{ channel: "matrix", accountId: "cook", peer: {{ kind: "channel", id: "!cook:test" }} }} }},
    {{ agentId: "felix", match: {{ channel: "matrix", peer: {{ kind: "direct", id: "@ana:test" }} }} }},
    {{ agentId: "gardener", match: {{ channel: "matrix", peer: {{ kind: "channel", id: "!gardener:test" }} }} }},
    {{ agentId: "gardener", match: {{ channel: "matrix", peer: {{ kind: "channel", id: "!lounge:test" }} }} }},
        "!cook:test": {{ enabled: true, autoReply: true }},
        "!gardener:test": {{ enabled: true, autoReply: true }},
        "!lounge:test": {{ enabled: true }},
      accounts: {{
        cook: {{
          userId: "@cook:test",
          homeserver: "http://127.0.0.1:8008",
          accessToken: {{
            source: "file",
            provider: "fraktalia-cook",
            id: "value"
          }}
        }}
  secrets: {{
    providers: {{
      "fraktalia-cook": {{
        source: "file",
        path: "{}",
        mode: "singleValue"
      }}
    }}
"#,
        token.display()
    );
    let want: Vec<&str> = want.lines().collect();
    // Closing brackets also stand in the old file.
    assert_eq!(added, want, "{text}");
}

#[tokio::test]
async fn effects_may_be_had_twice() {
    for (_, file) in both() {
        let mut world = full(file).await;
        world.twice = true;
        contract::apply_then_roll_back(&world).await;
    }
}

#[tokio::test]
async fn killed_at_any_entry_and_resumed_it_ends_as_without_dying() {
    contract::die_then_resume(async || full(LIST).await).await;
}

#[tokio::test]
async fn killed_at_any_entry_and_rolled_back_every_byte_is_as_before() {
    contract::die_then_roll_back(async || full(ENTRIES).await).await;
}

#[tokio::test]
async fn nothing_to_do_means_no_write() {
    let world = full(LIST).await;
    world.applied().await;
    let before = std::fs::metadata(world.config()).expect("meta");
    world.applied().await;
    let after = std::fs::metadata(world.config()).expect("meta");
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}

#[tokio::test]
async fn what_is_there_and_equal_is_adopted_silently() {
    let mut world = World::new(ENTRIES);
    world.fractal("mox").model = None;
    world.manifest.fractals.get_mut("mox").expect("there").name = "Mox".into();
    world.made.put("mox", "!mox:test");
    world.write(&ENTRIES.replace(r#"name: "Mox","#, r#"name: "Mox", identity: { name: "Mox" },"#));
    let text = world.text();
    assert_eq!(world.planned().await, ["adopt agent/mox", "adopt binding/mox/room/mox", "adopt group/mox"]);
    world.applied().await;
    assert_eq!(world.text(), text);
}

#[tokio::test]
async fn what_is_there_and_different_is_in_the_way() {
    let mut world = World::new(LIST);
    world.fractal("mox");
    let blockers = world.blockers().await;
    assert_eq!(blockers.len(), 1, "{blockers:?}");
    assert!(blockers[0].starts_with("plan.in-the-way: openclaw/agent/mox is there already"), "{blockers:?}");
    assert_eq!(world.text(), LIST);
}

#[tokio::test]
async fn a_room_that_somebody_else_routes_is_not_taken_over() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    world.made.put("lab", "!mox:test");
    let blockers = world.blockers().await;
    assert!(
        blockers.iter().any(|text| text.contains("routed to `mox` by a binding that is not ours")),
        "{blockers:?}"
    );
}

#[tokio::test]
async fn what_leaves_the_manifest_goes_and_nothing_else() {
    for (dialect, file) in both() {
        let mut world = full(file).await;
        world.applied().await;
        world.without("cook");
        assert_eq!(
            world.planned().await,
            [
                "delete account/cook",
                "delete agent/cook",
                "delete binding/cook/room/cook",
                "delete group/cook"
            ]
        );
        world.applied().await;
        let text = world.text();
        assert!(!text.contains("cook"), "{dialect:?}: {text}");
        world.without("gardener");
        world.manifest.rooms.clear();
        world.manifest.bindings.clear();
        world.section().catch_all = None;
        world.applied().await;
        let text = world.text();
        for line in
            file.lines().filter(|line| !line.contains("agentId: \"felix\", match: { channel: \"matrix\" }"))
        {
            assert!(text.lines().any(|new| new == line), "{dialect:?}: `{line}` is gone:\n{text}");
        }
    }
}

#[tokio::test]
async fn what_leaves_the_manifest_with_keep_stays() {
    let mut world = World::new(LIST);
    world.fractal("lab").on_remove = OnRemove::Keep;
    world.applied().await;
    let text = world.text();
    world.without("lab");
    assert_eq!(
        world.planned().await,
        ["forget agent/lab", "forget binding/lab/room/lab", "forget group/lab"]
    );
    world.applied().await;
    assert_eq!(world.text(), text);
}

#[tokio::test]
async fn a_binding_made_by_hand_to_our_agent_is_never_removed_with_it() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    world.applied().await;
    let by_hand = r#"    { agentId: "lab", match: { channel: "telegram" } },"#;
    world.write(
        &world.text().replace("    // everything else", &format!("{by_hand}\n    // everything else")),
    );
    let text = world.text();
    world.without("lab");
    let blockers = world.blockers().await;
    assert_eq!(blockers.len(), 1, "{blockers:?}");
    assert!(blockers[0].contains("1 binding that we did not make still route"), "{blockers:?}");
    assert_eq!(world.text(), text);
}

#[tokio::test]
async fn a_field_changed_by_hand_is_shown_as_such_and_set_back_alone() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    world.applied().await;
    let ours = world.text();
    world.write(&ours.replace("model: \"a/b\"", "model: \"x/y\", // by hand\n        thinking: \"high\""));
    let planned = world.open(None).plan(&Options::default(), true).await.expect("a plan");
    let change = &planned.plan.changes[0];
    assert_eq!(change.why, "changed by hand, back to the manifest");
    let fields: Vec<_> = change
        .fields
        .iter()
        .map(|field| (&*field.field, field.from.as_deref(), field.to.as_deref()))
        .collect();
    assert_eq!(fields, [("model.primary", Some("x/y"), Some("a/b"))]);
    world.applied().await;
    assert_eq!(
        world.text(),
        ours.replace("model: \"a/b\"", "model: \"a/b\", // by hand\n        thinking: \"high\"")
    );
}

#[tokio::test]
async fn a_binding_that_stands_behind_the_catch_all_moves_before_it() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    world.applied().await;
    let ours = world.text();
    let line = "    { agentId: \"lab\", match: { channel: \"matrix\", peer: { kind: \"channel\", id: \"!lab:test\" } } },\n";
    let catch_all = "    { agentId: \"felix\", match: { channel: \"matrix\" } },\n";
    assert!(ours.contains(line), "{ours}");
    world.write(&ours.replace(line, "").replace(catch_all, &format!("{catch_all}{line}")));
    assert_eq!(world.planned().await, ["update binding/lab/room/lab"]);
    world.applied().await;
    assert_eq!(world.text(), ours);
}

#[tokio::test]
async fn a_binding_follows_its_room_to_a_new_id() {
    let mut world = World::new(LIST);
    world.fractal("lab");
    world.applied().await;
    world.made.put("lab", "!other:test");
    assert_eq!(world.planned().await, ["update binding/lab/room/lab", "update group/lab"]);
    world.applied().await;
    assert!(!world.text().contains("!lab:test") && world.text().contains("!other:test"), "{}", world.text());
}

#[tokio::test]
async fn openclaw_may_rewrite_the_file_between_two_runs() {
    let mut world = full(LIST).await;
    world.applied().await;
    world.gateway.as_ref().expect("there is one").be(Mood::Rewrite);
    world.fractal("third");
    world.apply().await;
    assert!(
        world.text().contains("\"entries\"") && !world.text().contains("// the first"),
        "{}",
        world.text()
    );
    world.gateway.as_ref().expect("there is one").be(Mood::Prompt);
    assert_eq!(world.planned().await, Vec::<String>::new(), "another shape is not a difference");
    // And what follows goes on in the new shape.
    world.without("cook");
    world.applied().await;
    assert!(!world.text().contains("cook"), "{}", world.text());
}

#[tokio::test]
async fn a_rollback_takes_back_what_is_ours_also_from_a_file_that_others_wrote_to() {
    let world = full(LIST).await;
    world.gateway.as_ref().expect("there is one").be(Mood::Rewrite);
    let ended = world.apply().await;
    assert_eq!(ended.outcome, Some(Outcome::Applied), "{:?}", ended.why);
    assert!(world.text().contains("lastTouchedVersion"), "{}", world.text());
    world.gateway.as_ref().expect("there is one").be(Mood::Prompt);
    let with_mine =
        world.text().replacen("\"bindings\"", "\"messages\": {\"mine\": true},\n  \"bindings\"", 1);
    world.write(&with_mine);
    let ended = world.roll_back(&ended.run).await;
    assert!(matches!(ended.outcome, Some(Outcome::RolledBack { .. })), "{ended:?}");
    let left: serde_json::Value = serde_json::from_str(&world.text()).expect("plain JSON");
    assert_eq!(left["messages"]["mine"], true);
    let agents: Vec<_> = left["agents"]["entries"].as_object().expect("entries").keys().cloned().collect();
    assert_eq!(agents, ["felix", "mox"]);
    assert_eq!(left["bindings"].as_array().expect("bindings").len(), 2);
    assert_eq!(left["channels"]["matrix"]["groups"].as_object().expect("groups").len(), 1);
    assert!(!world.text().contains("fraktalia-cook"), "{}", world.text());
}

#[tokio::test]
async fn a_configuration_of_thousands_of_agents_works() {
    let mut file = "{\n  agents: {\n    list: [\n".to_owned();
    for n in 0..5000 {
        let _ = writeln!(file, "      {{ id: \"a{n}\", workspace: \"/srv/a{n}\" }}, // number {n}");
    }
    file += "    ],\n  },\n  bindings: [\n";
    for n in 0..5000 {
        let _ = writeln!(
            file,
            "    {{ agentId: \"a{n}\", match: {{ channel: \"matrix\", peer: {{ kind: \"channel\", id: \"!{n}:x\" }} }} }},"
        );
    }
    file += "  ],\n}\n";
    let mut world = World::new(&file).with_gateway().await;
    for n in 0..50 {
        world.fractal(&format!("new{n}"));
    }
    world.applied().await;
    let text = world.text();
    assert!(file.lines().all(|line| text.contains(line)));
}

#[tokio::test]
async fn a_room_of_ours_can_be_given_to_another_agent() {
    let mut world = World::new(LIST);
    world.room("lounge", None);
    world.bind("mox", Peer::Room("lounge".into()), None);
    world.applied().await;
    world.manifest.bindings[0].agent = "felix".into();
    assert_eq!(world.planned().await, ["create binding/felix/room/lounge", "delete binding/mox/room/lounge"]);
    world.applied().await;
    let lounge: Vec<String> = world
        .text()
        .lines()
        .filter(|line| line.contains("!lounge:test") && line.contains("agentId"))
        .map(Into::into)
        .collect();
    assert_eq!(lounge.len(), 1, "{lounge:?}");
    assert!(lounge[0].contains("felix"), "{lounge:?}");
}
