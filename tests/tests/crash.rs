//! The real program, killed with SIGKILL at every record of its journal, on a real homeserver.

use fraktalia_tests::{Stage, With};
use serde_json::Value;

const WISHES: &str = "\
users:
  ana: { display_name: Ana }
  ben: {}
rooms:
  lounge: { name: The lounge, members: [ana] }
fractals:
  gardener:
    purpose: Looks after the garden plan.
    members: [ana, ben]
    auto_reply: true
";

/// `before:3`, `after:3`: where the program kills itself, counting the records of one process.
fn places(record: u32) -> [String; 2] {
    [format!("before:{record}"), format!("after:{record}")]
}

async fn killed(stage: &Stage, at: &str) -> bool {
    let ran = stage.run_with(&["apply", "--yes"], &[("FRAKTALIA_TEST_DIE", at)]).await;
    match ran.code {
        None => true,
        Some(0) => false,
        Some(code) => panic!("the apply ended with {code} instead of dying at {at}:\n{}", ran.stderr),
    }
}

async fn unfinished(stage: &Stage) -> bool {
    let status = stage.run(&["status", "--format", "json"]).await.expect(0);
    let status: Value = serde_json::from_str(&status.stdout).expect("the status is JSON");
    status["unfinished"].is_string()
}

/// Takes back whatever runs there are, newest first.
async fn back_to(stage: &Stage, world: &Value, at: &str) {
    let ran = stage.run(&["rollback", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "rollback after {at}:\n{}", ran.stderr);
    assert_eq!(&stage.world().await, world, "killed at {at} and rolled back");
}

async fn empty_plan(stage: &Stage, at: &str) {
    let ran = stage.run(&["plan", "--exit-code"]).await;
    assert_eq!(ran.code, Some(0), "after {at} something is left:\n{}\n{}", ran.stdout, ran.stderr);
}

#[tokio::test]
async fn killed_at_any_record_and_rolled_back_the_world_is_as_before() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(WISHES);
    let before = stage.world().await;
    let mut deaths = 0;
    'records: for record in 1.. {
        for at in places(record) {
            if !killed(&stage, &at).await {
                back_to(&stage, &before, &at).await;
                break 'records;
            }
            deaths += 1;
            if unfinished(&stage).await {
                back_to(&stage, &before, &at).await;
            } else {
                // Killed before its first record, or after its last.
                assert!(record == 1 || stage.world().await != before, "{at}");
                if record > 1 {
                    back_to(&stage, &before, &at).await;
                }
            }
        }
    }
    assert!(deaths > 15, "the program was killed only {deaths} times");
}

#[tokio::test]
async fn killed_at_any_record_and_resumed_it_ends_as_without_dying() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    stage.manifest(WISHES);
    let before = stage.world().await;
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let wanted = stage.world().await;
    back_to(&stage, &before, "nothing").await;
    let mut deaths = 0;
    'records: for record in 1.. {
        for at in places(record) {
            let died = killed(&stage, &at).await;
            if died {
                deaths += 1;
                if unfinished(&stage).await {
                    let _ = stage.run(&["resume"]).await.expect(0);
                }
                let _ = stage.run(&["apply", "--yes"]).await.expect(0);
            }
            empty_plan(&stage, &at).await;
            assert_eq!(stage.world().await, wanted, "killed at {at} and resumed");
            back_to(&stage, &before, &at).await;
            if !died {
                break 'records;
            }
        }
    }
    assert!(deaths > 15, "the program was killed only {deaths} times");
}
