//! From a sentence in an agent's room to a new agent that answers, and back.

use std::time::Duration;

use fraktalia_room::testing::Device;
use fraktalia_testkit::proxy::Break;
use fraktalia_testkit::real::Person;
use fraktalia_tests::{PASSWORD, Stage, With};
use serde_json::json;

use crate::scene::{ALLOW, Scene, proposal, said};

const LIMIT: Duration = Duration::from_mins(3);

const GARDENER: &str = "\
fractals:
  gardener:
    purpose: Looks after the garden plan.
    members: [ana, ben]
    auto_reply: true
    workspace:
      files:
        skills/propose-a-fractal/SKILL.md: { source: SKILL.md, keep: sync }
";

const FRAGMENT: &str = "\
fractals:
  herbalist:
    purpose: Knows which herbs grow where.
    persona: |
      You are careful.
    members: [ana, ben]
    auto_reply: true
";

/// Asks the gateway's agent in a room.
async fn ask(stage: &Stage, who: &Person, room: &str, text: &str) -> String {
    let bot = stage.bot.user_id().to_owned();
    let id = stage.room(room).await.expect("the room is there");
    let answer = who.ask(&id, &bot, &format!("{bot}: {text}"), LIMIT).await;
    answer.unwrap_or_else(|error| panic!("{room}: {error}")).body
}

#[tokio::test]
async fn an_agent_proposes_an_operator_approves_and_the_new_agent_answers() {
    let more = format!("{ALLOW}{GARDENER}");
    let Some(mut scene) = Scene::set(With::EncryptingGateway, &more).await else { return };
    scene.start().await;
    let mut ana = scene.person("ana").await;
    let model = scene.stage.model.as_ref().expect("a model");
    let message = format!("Ana and Ben want to know about herbs.\n```yaml\n{FRAGMENT}```\n");
    // As a model does it that has read the skill: the tool `message` stands behind another tool.
    model.call_tool_on(
        "should know herbs",
        "tool_call",
        json!({ "id": "message", "args": {
            "action": "send", "channel": "matrix", "target": "#admin:chat.stage", "message": message,
        }}),
    );
    let person =
        Person::log_in(&scene.stage.synapse.base_url(), "ana", PASSWORD).await.expect("Ana's account");
    ask(&scene.stage, &person, "gardener", "somebody should know herbs, please propose it").await;
    let asked = model.asked();
    assert!(
        asked.iter().any(|asked| asked.system.contains("propose-a-fractal")),
        "the agent is told of the skill"
    );

    let plan = said(&mut ana, "Plan for").await;
    assert!(plan.body().contains("herbalist") && plan.body().contains("✅"), "{}", plan.body());
    assert_eq!(scene.subjects(), ["The realm"], "a plan changes nothing");
    assert_eq!(scene.stage.room("herbalist").await, None);
    ana.react(&plan.event, "✅").await.expect("a reaction");
    let done = said(&mut ana, "Done:").await;
    assert!(done.body().contains("approved by @ana:chat.stage"), "{}", done.body());

    let answer = ask(&scene.stage, &person, "herbalist", "who are you?").await;
    assert!(answer.contains("Knows which herbs grow where."), "{answer}");
    let head = scene.tree.git(&["log", "-1", "--format=%B"]);
    for part in ["@agent:chat.stage", "@ana:chat.stage", plan.event.as_str()] {
        assert!(head.contains(part), "{part} is not in {head}");
    }
    let file = std::fs::read_to_string(scene.tree.path("fractals/herbalist.yaml")).expect("the file");
    assert!(file.ends_with(FRAGMENT), "the fragment as it was proposed: {file}");
    let remote = scene.tree.git(&["ls-remote", "origin", "refs/heads/main"]);
    assert!(remote.starts_with(&scene.tree.head()), "it is pushed");
    let _ = scene.fraktalia(&["plan", "--exit-code"]).await.expect(0);
    let _ = scene.fraktalia(&["history", "--verify"]).await.expect(0);
    let history = scene.fraktalia(&["history"]).await.expect(0);
    assert!(history.stdout.contains("@ana:chat.stage"), "{}", history.stdout);

    take_back(&mut scene, &mut ana).await;
    assert_eq!(scene.stop().await, Some(0));
}

/// Ana asks for the last run to be taken back.
async fn take_back(scene: &mut Scene, ana: &mut Device) {
    ana.say("!rollback").await.expect("said");
    let plan = said(ana, "Plan for taking back").await;
    ana.react(&plan.event, "✅").await.expect("a reaction");
    said(ana, "Done:").await;
    assert_eq!(scene.stage.room("herbalist").await, None, "its room is gone");
    assert!(!scene.tree.path("fractals/herbalist.yaml").exists(), "and so is its file");
    assert!(scene.subjects()[0].contains("Revert"), "{:?}", scene.subjects());
    let _ = scene.fraktalia(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn operators_ask_and_drift_is_put_back_or_taken_in() {
    let Some(mut scene) = Scene::open(With::FileOnly, ALLOW).await else { return };
    let mut ana = scene.person("ana").await;
    ana.say("!status").await.expect("said");
    said(&mut ana, "in sync").await;
    ana.say("!history").await.expect("said");
    said(&mut ana, "applied").await;

    scene.tree.write("fractals/lounge.yaml", "rooms:\n  lounge: { name: The lounge, members: [ana, ben] }\n");
    scene.tree.push("A lounge");
    let _ = scene.fraktalia(&["apply", "--yes"]).await.expect(0);
    let lounge = scene.stage.room("lounge").await.expect("a lounge");
    let path =
        format!("/_matrix/client/v3/rooms/{}/state/m.room.name", fraktalia_testkit::real::encode(&lounge));
    let name = async |name: &str| {
        scene.stage.synapse.admin().put(&path, &json!({ "name": name })).await.expect("renamed");
    };
    name("Somebody's").await;
    let drift = said(&mut ana, "not as the manifest says").await;
    ana.react(&drift.event, "↩️").await.expect("a reaction");
    said(&mut ana, "Done:").await;
    let now = scene.stage.synapse.admin().get(&path).await.expect("its name");
    assert_eq!(now["name"], "The lounge");

    name("Our place").await;
    let drift = said(&mut ana, "not as the manifest says").await;
    ana.react(&drift.event, "📥").await.expect("a reaction");
    said(&mut ana, "Done:").await;
    let text = std::fs::read_to_string(scene.tree.path("fractals/lounge.yaml")).expect("the file");
    assert!(text.contains("Our place"), "{text}");
    let _ = scene.fraktalia(&["plan", "--exit-code"]).await.expect(0);
    assert_eq!(scene.stop().await, Some(0));
}

#[tokio::test]
async fn a_fragment_may_come_as_a_file_and_its_findings_have_their_places() {
    let Some(scene) = Scene::open(With::FileOnly, ALLOW).await else { return };
    let (mut ana, mut agent) = (scene.person("ana").await, scene.agent().await);
    let wrong = "fractals:\n  herbalist:\n    purpose: Knows herbs.\n    members: [ana, eve]\n    openclaw: { tools: {} }\n";
    agent.attach("herbalist.yaml", "application/yaml", wrong.as_bytes()).await.expect("sent");
    let findings = said(&mut ana, "line 5").await;
    assert!(findings.body().contains("eve") && findings.body().contains("openclaw"), "{}", findings.body());

    agent.say(&proposal("herbalist")).await.expect("said");
    let first = said(&mut ana, "Plan for").await;
    let body = proposal("herbalist").replace("Knows herbs.", "Knows all herbs.");
    let relation = json!({ "rel_type": "m.thread", "event_id": thread_of(&first) });
    ana.send("m.room.message", json!({ "msgtype": "m.text", "body": body, "m.relates_to": relation }))
        .await
        .expect("said");
    let second = said(&mut ana, "Plan for").await;
    assert!(second.body().contains("(plan 2)"), "{}", second.body());
    ana.react(&first.event, "✅").await.expect("a reaction");
    ana.react(&second.event, "❌").await.expect("a reaction");
    said(&mut ana, "declined").await;
    assert_eq!(scene.subjects(), ["The realm"]);
}

/// The first message of the thread in which a message stands.
fn thread_of(message: &fraktalia_room::testing::Message) -> String {
    message.content["m.relates_to"]["event_id"].as_str().expect("a thread").to_owned()
}

#[tokio::test]
async fn what_fails_is_taken_back_with_its_commit_and_says_why() {
    let Some(scene) = Scene::open(With::FileOnly, ALLOW).await else { return };
    let (mut ana, mut agent) = (scene.person("ana").await, scene.agent().await);
    agent.say(&proposal("herbalist")).await.expect("said");
    let plan = said(&mut ana, "Plan for").await;
    // Whatever makes the room fails.
    scene.stage.proxy.break_if(|_, path| path.contains("/createRoom").then_some(Break::ServerError));
    ana.react(&plan.event, "✅").await.expect("a reaction");
    let end = said(&mut ana, "Its commit was taken back").await;
    assert!(end.body().contains("all is as it was"), "{}", end.body());
    assert!(!scene.tree.path("fractals/herbalist.yaml").exists());
    assert_eq!(scene.stage.room("herbalist").await, None);
}
