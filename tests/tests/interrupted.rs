//! Runs that are stopped, by a person or by a system that breaks: what is left, and the way on and the way back.

use std::process::Stdio;

use fraktalia_testkit::proxy::Break;
use fraktalia_testkit::real::encode;
use fraktalia_tests::{Ran, Stage, With};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

const GARDENER: &str = "\
users: { ana: {}, ben: {} }
rooms:
  lounge: { name: The lounge, topic: For everybody, members: [ana] }
fractals:
  gardener:
    purpose: Looks after the garden plan.
    members: [ana, ben]
";

/// An apply of which we hear each line.
struct Running {
    child: Child,
    talk: Lines<BufReader<ChildStderr>>,
    heard: String,
}

impl Running {
    fn start(stage: &Stage, args: &[&str]) -> Self {
        let mut child = stage.start(args);
        let talk = BufReader::new(child.stderr.take().expect("its talk is ours")).lines();
        Self { child, talk, heard: String::new() }
    }

    /// What Ctrl-C sends.
    async fn interrupt(&self) {
        let id = self.child.id().expect("it still runs").to_string();
        let sent =
            tokio::process::Command::new("kill").args(["-INT", &id]).stdin(Stdio::null()).status().await;
        assert!(sent.expect("kill runs").success());
    }

    async fn until(&mut self, words: &str) {
        while let Some(line) = self.talk.next_line().await.expect("it talks") {
            self.heard += &line;
            self.heard.push('\n');
            if line.contains(words) {
                return;
            }
        }
        panic!("it never said `{words}`:\n{}", self.heard);
    }

    async fn end(mut self) -> Ran {
        while let Some(line) = self.talk.next_line().await.expect("it talks") {
            self.heard += &line;
            self.heard.push('\n');
        }
        let mut stdout = String::new();
        let mut data = self.child.stdout.take().expect("its data are ours");
        data.read_to_string(&mut stdout).await.expect("its data are text");
        let status = self.child.wait().await.expect("it ends");
        Ran { code: status.code(), stdout, stderr: self.heard }
    }
}

/// Starts an apply and returns while the homeserver holds its answer to the first room.
async fn held_at_a_room(stage: &Stage) -> Running {
    stage.proxy.take_calls();
    stage.proxy.break_if(|_, path| path.contains("/createRoom").then_some(Break::Hold));
    let running = Running::start(stage, &["apply", "--yes"]);
    stage.proxy.called(|_, path| path.contains("/createRoom")).await;
    running
}

#[tokio::test]
async fn ctrl_c_once_lets_what_is_in_flight_finish_and_takes_all_back() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let before = stage.world().await;
    let mut running = held_at_a_room(&stage).await;
    running.interrupt().await;
    running.until("Ctrl-C again").await;
    stage.proxy.mend();
    let ran = running.end().await.expect(20);
    assert_eq!(stage.world().await, before, "{}", ran.stderr);
    assert!(
        stage.proxy.take_calls().iter().any(|(method, path)| *method == "DELETE" && path.contains("/rooms/")),
        "the room that was in flight was made, and taken back"
    );
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
}

#[tokio::test]
async fn ctrl_c_twice_stops_at_once_and_the_run_can_be_resumed() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let mut running = held_at_a_room(&stage).await;
    running.interrupt().await;
    running.until("Ctrl-C again").await;
    running.interrupt().await;
    // The homeserver has not answered yet: it does not wait for that.
    let ran = running.end().await.expect(13);
    assert!(ran.stderr.contains("resume"), "it says how to go on:\n{}", ran.stderr);
    stage.proxy.mend();
    let refused = stage.run(&["apply", "--yes"]).await.expect(13);
    assert!(refused.stderr.contains("resume") && refused.stderr.contains("rollback"), "{}", refused.stderr);
    let _ = stage.run(&["resume"]).await.expect(0);
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
    assert_eq!(stage.rooms().await.len(), 2, "no room was made twice");
}

#[tokio::test]
async fn ctrl_c_twice_stops_at_once_and_the_run_can_be_taken_back() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let before = stage.world().await;
    let mut running = held_at_a_room(&stage).await;
    running.interrupt().await;
    running.until("Ctrl-C again").await;
    running.interrupt().await;
    let _ = running.end().await.expect(13);
    stage.proxy.mend();
    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
    assert_eq!(stage.world().await, before);
}

#[tokio::test]
async fn a_saved_plan_is_applied_while_it_is_true_and_refused_when_stale() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let _ = stage.run(&["plan", "--out", "first.plan"]).await.expect(0);
    let _ = stage.run(&["apply", "first.plan", "--yes"]).await.expect(0);
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
    let stale = stage.run(&["apply", "first.plan", "--yes"]).await.expect(12);
    assert!(stale.stderr.contains("hint") && stale.stderr.contains("plan again"), "{}", stale.stderr);

    stage.manifest(&GARDENER.replace("For everybody", "For some"));
    let _ = stage.run(&["plan", "--out", "second.plan"]).await.expect(0);
    // Somebody else is faster.
    let room = encode(&stage.room("lounge").await.expect("the lounge exists"));
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/");
    stage.synapse.admin().put(&path, &json!({ "topic": "By hand" })).await.expect("the topic is set");
    let world = stage.world().await;
    let stale = stage.run(&["apply", "second.plan", "--yes"]).await.expect(12);
    assert!(stale.stderr.contains("lounge"), "it says what has changed:\n{}", stale.stderr);
    let topic = stage.synapse.admin().get(&path).await.expect("a topic");
    assert_eq!((&topic["topic"], stage.world().await), (&json!("By hand"), world));

    // So it is when the manifest is not the one that it was made from.
    let _ = stage.run(&["plan", "--out", "third.plan"]).await.expect(0);
    stage.manifest(&GARDENER.replace("For everybody", "For nobody"));
    let _ = stage.run(&["apply", "third.plan", "--yes"]).await.expect(12);
    stage.manifest(&GARDENER.replace("For everybody", "For some"));
    let _ = stage.run(&["apply", "third.plan", "--yes"]).await.expect(0);
    let topic = stage.synapse.admin().get(&path).await.expect("a topic");
    assert_eq!(topic["topic"], "For some");
}

#[tokio::test]
async fn a_run_that_stops_at_a_failure_goes_on_once_the_cause_is_mended() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    stage.proxy.break_if(|_, path| path.contains("/join/").then_some(Break::ServerError));
    let ran = stage.run(&["apply", "--yes", "--on-failure", "stop"]).await.expect(13);
    assert!(ran.stderr.contains("resume"), "{}", ran.stderr);
    let made = stage.rooms().await.len();
    assert!(made > 0, "what was done stays");
    let _ = stage.run(&["resume", "--on-failure", "stop"]).await.expect(13);
    stage.proxy.mend();
    let _ = stage.run(&["resume"]).await.expect(0);
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
    assert_eq!(stage.rooms().await.len(), 2);
    let members = stage.rooms().await.iter().map(|room| room[2].as_u64()).collect::<Vec<_>>();
    assert!(members.iter().all(|count| *count >= Some(2)), "{members:?}");
    assert_eq!(stage.run(&["resume"]).await.code, Some(0), "nothing is left to resume");
}

#[tokio::test]
async fn a_rollback_that_breaks_says_what_is_left_and_finishes_once_the_cause_is_mended() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(GARDENER);
    let before = stage.world().await;
    stage.proxy.break_if(|method, path| {
        let broken = path.contains("/join/") || *method == "DELETE" && path.contains("/v2/rooms/");
        broken.then_some(Break::ServerError)
    });
    let ran = stage.run(&["apply", "--yes"]).await.expect(21);
    assert!(stage.world().await != before, "something is left");
    let said = &ran.stderr;
    assert!(said.contains("cannot take back: create #gardener"), "it says what is left:\n{said}");
    let by_hand = said.lines().any(|line| line.contains("curl") && line.contains("DELETE"));
    assert!(by_hand, "it says what to do by hand:\n{said}");
    assert!(!ran.stderr.contains(stage.synapse.admin_token()), "without the token");
    stage.proxy.mend();
    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
    assert_eq!(stage.world().await, before);
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
}
