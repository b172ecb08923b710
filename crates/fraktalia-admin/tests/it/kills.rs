//! A kill at any moment, a homeserver that is away, a crypto store that is lost: nothing is lost but time, and nothing is
//! done twice.

use fraktalia_tests::With;

use crate::scene::{ALLOW, Scene, proposal, said};

/// Steps on the way from a proposal to its end, at which the program is killed and started again.
#[tokio::test]
async fn killed_at_every_stage_it_goes_on_and_does_everything_once() {
    let Some(mut scene) = Scene::open(With::FileOnly, ALLOW).await else { return };
    let (mut ana, mut agent) = (scene.person("ana").await, scene.agent().await);

    // Before it hears of the proposal.
    scene.kill().await;
    agent.say(&proposal("herbalist")).await.expect("said");
    // While it plans.
    scene.spawn();
    scene.stage.proxy.take_calls();
    scene.stage.proxy.called(|_, path| path.contains("/_synapse/admin/")).await;
    scene.kill().await;
    scene.start().await;
    let plan = said(&mut ana, "Plan for").await;
    // After the plan, before the answer.
    scene.kill().await;
    ana.react(&plan.event, "✅").await.expect("a reaction");
    // In the middle of the run.
    scene
        .stage
        .proxy
        .break_once(fraktalia_testkit::proxy::Break::Hold, |_, path| path.contains("/createRoom"));
    scene.start().await;
    scene.stage.proxy.called(|_, path| path.contains("/createRoom")).await;
    scene.kill().await;
    scene.stage.proxy.mend();
    scene.start().await;
    said(&mut ana, "Done:").await;
    // After its end.
    scene.kill().await;
    scene.start().await;
    ana.say("!help").await.expect("said");
    said(&mut ana, "Operators can ask here").await;

    assert_eq!(scene.runs().await, 2, "the realm, and one run");
    assert_eq!(scene.subjects().len(), 2, "one commit");
    let rooms = scene.stage.rooms().await;
    let herbal = rooms.iter().filter(|room| room.to_string().contains("herbalist")).count();
    assert_eq!(herbal, 1, "one room: {rooms:?}");
    let _ = scene.fraktalia(&["plan", "--exit-code"]).await.expect(0);
    let _ = scene.fraktalia(&["history", "--verify"]).await.expect(0);
}

#[tokio::test]
async fn a_homeserver_that_is_away_is_waited_for() {
    let Some(mut scene) = Scene::open(With::FileOnly, ALLOW).await else { return };
    let (mut ana, mut agent) = (scene.person("ana").await, scene.agent().await);
    agent.say(&proposal("herbalist")).await.expect("said");
    let plan = said(&mut ana, "Plan for").await;
    scene.stage.synapse.stop().await.expect("stopped");
    scene.until_log("again").await;
    scene.stage.synapse.restart().await.expect("started");
    ana.react(&plan.event, "✅").await.expect("a reaction");
    said(&mut ana, "Done:").await;
}

#[tokio::test]
async fn with_a_lost_crypto_store_it_gets_a_new_device_and_open_plans_still_count() {
    let Some(mut scene) = Scene::open(With::FileOnly, ALLOW).await else { return };
    let (mut ana, mut agent) = (scene.person("ana").await, scene.agent().await);
    agent.say(&proposal("herbalist")).await.expect("said");
    let plan = said(&mut ana, "Plan for").await;
    scene.kill().await;
    std::fs::remove_dir_all(scene.stage.path("state/admin/room")).expect("lost");
    scene.start().await;
    said(&mut ana, "new device").await;
    ana.react(&plan.event, "✅").await.expect("a reaction");
    said(&mut ana, "Done:").await;
    // It reads what is said from now on.
    agent.say(&proposal("baker")).await.expect("said");
    said(&mut ana, "Plan for `baker`").await;
}

#[tokio::test]
async fn what_was_cut_off_or_changed_in_the_audit_is_seen() {
    let Some(mut scene) = Scene::open(With::FileOnly, ALLOW).await else { return };
    let (mut ana, mut agent) = (scene.person("ana").await, scene.agent().await);
    agent.say(&proposal("herbalist")).await.expect("said");
    let plan = said(&mut ana, "Plan for").await;
    ana.react(&plan.event, "✅").await.expect("a reaction");
    said(&mut ana, "Done:").await;
    assert_eq!(scene.stop().await, Some(0));
    let _ = scene.fraktalia(&["history", "--verify"]).await.expect(0);
    let path = scene.stage.path("state/audit.jsonl");
    let audit = std::fs::read_to_string(&path).expect("the audit");
    std::fs::write(&path, audit.replacen("@ana:", "@ben:", 1)).expect("changed");
    let seen = scene.fraktalia(&["history", "--verify"]).await;
    assert_ne!(seen.code, Some(0), "{}", seen.stdout);
    let lines: Vec<&str> = audit.lines().collect();
    std::fs::write(&path, format!("{}\n", lines[..lines.len() - 1].join("\n"))).expect("cut off");
    let seen = scene.fraktalia(&["history", "--verify"]).await;
    assert_ne!(seen.code, Some(0), "{}", seen.stdout);
}
