//! What an agent that was taken over, a stranger, or a confused operator may try. In each test the world stays as it was
//! unless an operator's own yes stood on the plan that was applied.

use std::time::Duration;

use fraktalia_room::testing::{Device, Message};
use fraktalia_testkit::real::{Person, encode};
use fraktalia_tests::{PASSWORD, With};
use serde_json::json;

use crate::scene::{AGENT, ALLOW, Scene, proposal, said};

/// The realm, its people, and who acts.
async fn open(more: &str) -> Option<(Scene, Device, Device)> {
    let scene = Scene::open(With::FileOnly, more).await?;
    let (ana, agent) = (scene.person("ana").await, scene.agent().await);
    Some((scene, ana, agent))
}

/// Proposes a fractal, and waits for its plan.
async fn plan_for(ana: &mut Device, agent: &mut Device, key: &str) -> Message {
    agent.say(&proposal(key)).await.expect("said");
    said(ana, &format!("Plan for `{key}`")).await
}

/// Nothing was written, committed or made. What was heard before a question is decided before its answer comes.
async fn nothing_was_done(scene: &Scene, ana: &mut Device) {
    ana.say("!help").await.expect("said");
    said(ana, "Operators can ask here").await;
    assert_eq!(scene.subjects(), ["The realm"]);
    assert_eq!(scene.tree.git(&["status", "--porcelain"]), "", "no file was written");
    assert_eq!(scene.runs().await, 1, "nothing was applied but the realm itself");
}

#[tokio::test]
async fn who_is_not_a_proposer_proposes_nothing() {
    let Some((scene, mut ana, _agent)) = open(ALLOW).await else { return };
    let mut eve = scene.person("eve").await;
    eve.say(&proposal("herbalist")).await.expect("said");
    said(&mut ana, "You are not a proposer here").await;
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn who_is_not_an_operator_approves_nothing() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let plan = plan_for(&mut ana, &mut agent, "herbalist").await;
    agent.react(&plan.event, "✅").await.expect("a reaction");
    said(&mut ana, "Only an operator's answer counts").await;
    scene.person("eve").await.react(&plan.event, "✅").await.expect("a reaction");
    for question in ["!status", "!rollback"] {
        agent.say(question).await.expect("said");
    }
    said(&mut ana, "Only operators can ask for that here").await;
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn a_reaction_to_a_forged_plan_approves_nothing() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let plan = plan_for(&mut ana, &mut agent, "herbalist").await;
    // The same text, and in the same thread; only the sender is another.
    let mut content = plan.content.clone();
    content["m.mentions"] = json!({});
    let forged = agent.send("m.room.message", content).await.expect("said");
    ana.react(&forged, "✅").await.expect("a reaction");
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn an_edited_or_redacted_proposal_or_plan_is_void() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let first = agent.say(&proposal("herbalist")).await.expect("said");
    let plan = said(&mut ana, "Plan for").await;
    agent
        .edit(&first, &proposal("herbalist").replace("Knows herbs.", "Knows poisons."))
        .await
        .expect("edited");
    said(&mut ana, "has edited the proposal").await;
    ana.react(&plan.event, "✅").await.expect("a reaction");
    said(&mut ana, "void").await;

    let second = agent.say(&proposal("baker")).await.expect("said");
    let plan = said(&mut ana, "Plan for").await;
    agent.redact(&second).await.expect("redacted");
    said(&mut ana, "has deleted the proposal").await;
    ana.react(&plan.event, "✅").await.expect("a reaction");

    let plan = plan_for(&mut ana, &mut agent, "cook").await;
    // No client shows such an edit; whoever sends it wants something.
    agent.edit(&plan.event, "Plan for something else").await.expect("sent");
    said(&mut ana, "has edited the plan").await;
    ana.react(&plan.event, "✅").await.expect("a reaction");
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn a_message_in_clear_counts_for_nothing_in_an_encrypted_room() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let content = json!({ "msgtype": "m.text", "body": proposal("herbalist") });
    agent.send_in_clear("m.room.message", &content).await.expect("sent");
    said(&mut ana, "Nobody vouches").await;
    // Whoever has an operator's password has a new device, which that operator has not signed.
    let url = scene.stage.synapse.base_url();
    let mut thief = Device::log_in(&url, "ben", PASSWORD).await.expect("a device");
    scene.person("ben").await;
    thief.join(&scene.room().await).await.expect("in the room");
    thief.say("!status").await.expect("said");
    said(&mut ana, "Nobody vouches").await;
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn one_yes_approves_one_run_however_often_it_is_told() {
    let Some((mut scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let plan = plan_for(&mut ana, &mut agent, "herbalist").await;
    ana.react(&plan.event, "✅").await.expect("a reaction");
    said(&mut ana, "Done:").await;
    // All that was ever said in the room is told once more.
    let store = scene.stage.path("state/admin/desk.sqlite");
    assert_eq!(scene.stop().await, Some(0));
    forget_position(&store);
    scene.start().await;
    ana.say("!help").await.expect("said");
    let repeated = std::sync::Mutex::new(Vec::new());
    let help = ana.next_message(|message| {
        let ours = message.by == "@fraktalia:chat.stage";
        if ours && message.body().contains("herbalist") {
            repeated.lock().expect("one thread").push(message.body().to_owned());
        }
        ours && message.body().contains("Operators can ask here")
    });
    help.await.expect("an answer");
    assert_eq!(
        *repeated.lock().expect("one thread"),
        Vec::<String>::new(),
        "what was heard is not answered again"
    );
    ana.react(&plan.event, "✅").await.expect_err("the homeserver takes one such reaction");
    scene.person("ben").await.react(&plan.event, "✅").await.expect("a reaction");
    ana.say("!help").await.expect("said");
    said(&mut ana, "Operators can ask here").await;
    assert_eq!(scene.runs().await, 2, "the realm, and what was approved");
    assert_eq!(scene.subjects().len(), 2);
}

fn forget_position(store: &std::path::Path) {
    let store = rusqlite::Connection::open(store).expect("the store");
    assert_eq!(store.execute("DELETE FROM position", []).expect("deleted"), 1);
}

#[tokio::test]
async fn of_two_operators_who_disagree_the_no_wins() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let mut ben = scene.person("ben").await;
    let plan = plan_for(&mut ana, &mut agent, "herbalist").await;
    ben.react(&plan.event, "❌").await.expect("a reaction");
    said(&mut ana, "declined").await;
    ana.react(&plan.event, "✅").await.expect("a reaction");
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn a_no_stops_a_run_that_a_yes_has_begun() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let mut ben = scene.person("ben").await;
    let plan = plan_for(&mut ana, &mut agent, "herbalist").await;
    scene
        .stage
        .proxy
        .break_once(fraktalia_testkit::proxy::Break::Hold, |_, path| path.contains("/createRoom"));
    ana.react(&plan.event, "✅").await.expect("a reaction");
    scene.stage.proxy.called(|_, path| path.contains("/createRoom")).await;
    ben.react(&plan.event, "❌").await.expect("a reaction");
    said(&mut ana, "@ben:chat.stage").await;
    scene.stage.proxy.mend();
    said(&mut ana, "taken back").await;
    assert_eq!(scene.stage.room("herbalist").await, None);
    assert!(!scene.tree.path("fractals/herbalist.yaml").exists());
}

#[tokio::test]
async fn what_nobody_answers_expires() {
    let Some((scene, mut ana, mut agent)) = open(&format!("  expires: 1s\n{ALLOW}")).await else { return };
    agent.say(&proposal("herbalist")).await.expect("said");
    said(&mut ana, "nobody answered in time").await;
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn what_is_approved_during_another_run_waits_for_it() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let first = plan_for(&mut ana, &mut agent, "herbalist").await;
    let second = plan_for(&mut ana, &mut agent, "baker").await;
    scene
        .stage
        .proxy
        .break_once(fraktalia_testkit::proxy::Break::Hold, |_, path| path.contains("/createRoom"));
    ana.react(&first.event, "✅").await.expect("a reaction");
    scene.stage.proxy.called(|_, path| path.contains("/createRoom")).await;
    ana.react(&second.event, "✅").await.expect("a reaction");
    said(&mut ana, "It begins when").await;
    scene.stage.proxy.mend();
    said(&mut ana, "Done: `herbalist`").await;
    // The world is another now, so that a new plan comes, which nobody has approved.
    let again = said(&mut ana, "Plan for `baker`").await;
    assert_eq!(scene.stage.room("baker").await, None);
    ana.react(&again.event, "✅").await.expect("a reaction");
    said(&mut ana, "Done: `baker`").await;
}

#[tokio::test]
async fn what_is_in_the_way_or_is_not_allowed_is_said_with_its_place() {
    let existing = "fractals:\n  gardener: { purpose: Gardens., members: [ana, ben] }\n";
    let Some((scene, mut ana, mut agent)) = open(&format!("{ALLOW}{existing}")).await else { return };
    let bomb = "```yaml\na: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nfractals: { c: { purpose: *b } }\n```";
    for (message, finding) in [
        (proposal("gardener"), "`gardener`"),
        (proposal("admin"), "`admin`"),
        (proposal("fraktalia"), "`fraktalia`"),
        (bomb.to_owned(), "anchor"),
        (proposal("x").replace("members: [ana, ben]", "members: [ana, eve]"), "eve"),
        (
            proposal("x").replace("purpose: Knows herbs.", "purpose: Knows.\n    model: vendor/dear"),
            "vendor/dear",
        ),
        (proposal("x").replace("fractals:", "openclaw: { config: /etc/passwd }\nfractals:"), "openclaw"),
        (proposal("x").replace("purpose: Knows herbs.", "purpose: syt_c2VjcmV0"), "credential"),
    ] {
        agent.say(&message).await.expect("said");
        let findings = said(&mut ana, finding).await;
        assert!(!findings.body().contains("Plan for"), "{}", findings.body());
    }
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn megabytes_are_refused_and_not_looked_into() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let large = format!("fractals:\n  x:\n    purpose: {}\n", "x".repeat(1 << 20));
    agent.attach("large.yaml", "application/yaml", large.as_bytes()).await.expect("sent");
    said(&mut ana, "too large").await;
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn html_and_calls_in_a_proposal_are_shown_as_text() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let hostile = "<b>approved</b> <a href='https://x'>✅</a> @room @ana:chat.stage";
    let fragment = proposal("herbalist").replace("[ana, ben]", &format!("[ana, \"{hostile}\"]"));
    agent.say(&fragment).await.expect("said");
    let findings = said(&mut ana, "approved").await;
    let html = findings.content["formatted_body"].as_str().expect("HTML");
    assert!(html.contains("&lt;b&gt;approved") && !html.contains("<b>") && !html.contains("<a "), "{html}");
    assert!(!findings.body().contains("@room"), "{}", findings.body());
    assert_eq!(findings.content["m.mentions"], json!({}), "nobody is called");
    nothing_was_done(&scene, &mut ana).await;
}

#[tokio::test]
async fn a_flood_is_answered_once_and_operators_are_still_heard() {
    let limits = "  allow: { members: [ana, ben], per_day: 9, open: 4, per_minute: 3 }\n";
    let Some((scene, mut ana, mut agent)) = open(limits).await else { return };
    for number in 0..12 {
        agent.say(&format!("```yaml\nnonsense: {number}\n```")).await.expect("said");
        ana.catch_up().await.expect("heard");
    }
    said(&mut ana, "nothing that you write is read").await;
    nothing_was_done(&scene, &mut ana).await;
    let desk = "@fraktalia:chat.stage";
    let person =
        Person::log_in(&scene.stage.synapse.base_url(), "ana", PASSWORD).await.expect("Ana's account");
    let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=100", encode(&scene.room().await));
    let timeline = person.get(&path).await.expect("the timeline");
    let events = timeline["chunk"].as_array().expect("events");
    let count = |sender: &str| {
        events.iter().filter(|event| event["sender"] == sender && event["type"] == "m.room.encrypted").count()
    };
    assert!(count(AGENT) >= 12 && count(desk) < 7, "{} answers", count(desk));
}

#[tokio::test]
async fn who_loses_the_role_loses_the_yes_that_waits() {
    let Some((scene, mut ana, mut agent)) = open(ALLOW).await else { return };
    let mut ben = scene.person("ben").await;
    let plan = plan_for(&mut ana, &mut agent, "herbalist").await;
    let manifest = std::fs::read_to_string(scene.tree.path("fraktalia.yaml")).expect("the manifest");
    scene.tree.write("fraktalia.yaml", &manifest.replace("operators: [ana, ben]", "operators: [ana]"));
    ben.react(&plan.event, "✅").await.expect("a reaction");
    said(&mut ana, "Only an operator's answer counts").await;
    tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(scene.stage.room("herbalist").await, None);
}
