//! The engine, the helper, and who may write to a workspace.

use std::os::unix::fs::chown;

use fraktalia_testkit::real::docker::{BUSYBOX, docker};
use fraktalia_testkit::real::{Cache, Docker};
use fraktalia_tests::{Stage, With};

use super::report::{Report, chmod};

/// No other story has this realm, this network and this subnet.
const REALM: &str = "doctor-story";
const OTHER: &str = "fraktalia-helper-doctor-other";
const SPARE: &str = "doctor-story-spare";
const WISHES: &str = "\
users: { ana: {}, ben: {} }
networks:
  doctor-story: { subnet: 10.239.23.0/27 }
sandboxes:
  standard: { image: { tag: \"BUSYBOX\" }, network: doctor-story, user: \"996:1100\", workspace_access: rw }
fractals:
  patient: { members: [ana, ben], sandbox: standard, workspace: { owner: \"996:1100\" } }
";

fn manifest(stage: &Stage, wishes: &str) {
    stage.manifest(&wishes.replace("BUSYBOX", BUSYBOX));
    stage.set_realm(REALM);
}

#[tokio::test]
async fn a_helper_that_is_gone_a_user_that_an_image_does_not_know_and_a_workspace_of_another_are_said() {
    let Some(stage) = Stage::set(With::FileOnly).await else { return };
    let cache = Cache::for_test().expect("wanted");
    let engine = Docker::ensure(&cache).await.expect("an engine");
    engine.base_image(&cache, BUSYBOX).await.expect("an image");
    for secret in ["secrets/admin", "secrets/password", "gateway/openclaw.json"] {
        chmod(&stage, secret, 0o600);
    }
    manifest(&stage, WISHES);
    let before = Report::of(&stage, &[], 0).await;
    assert_eq!(before.standings("docker.reach"), ["ok"]);
    assert_eq!(before.standings("docker.helper"), ["not_checked"], "it comes with the first apply");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let fine = Report::of(&stage, &[], 0).await;
    for code in ["docker.helper", "docker.version", "plane.helper", "plane.rules"] {
        assert_eq!(fine.standings(code), ["ok"], "{code}");
    }

    // Whether the image knows its user can be seen in a container of it.
    docker(&["create", "--name", SPARE, BUSYBOX, "true"]).await.expect("made");
    let said = Report::of(&stage, &[], 0).await.said("docker.image", "warning");
    assert!(said.contains("knows no user 996"), "{said}");
    docker(&["rm", SPARE]).await.expect("removed");

    chown(stage.path("workspaces/patient"), Some(0), Some(0)).expect("its owner is changed");
    chmod(&stage, "workspaces/patient", 0o755);
    let said = Report::of(&stage, &[], 16).await.said("workspace.writers", "failure");
    assert!(said.contains("belongs to 0:0") && said.contains("996:1100"), "{said}");
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    assert_eq!(Report::of(&stage, &[], 0).await.standings("workspace.writers"), [""; 0]);

    docker(&["create", "--name", OTHER, BUSYBOX, "true"]).await.expect("made");
    let said = Report::of(&stage, &[], 0).await.said("docker.other-helper", "not_checked");
    assert!(said.contains("`doctor-other`"), "{said}");
    docker(&["rm", OTHER]).await.expect("removed");

    docker(&["stop", &format!("fraktalia-helper-{REALM}")]).await.expect("stopped");
    let gone = Report::of(&stage, &[], 16).await;
    assert!(gone.said("docker.helper", "failure").contains("is exited"));
    assert!(gone.said("plane.helper", "failure").contains("no helper runs"));
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);

    let missing = WISHES.replace("\"BUSYBOX\"", "\"fraktalia-test/none:1\"");
    manifest(&stage, &missing);
    let said = Report::of(&stage, &[], 16).await.said("docker.image", "failure");
    assert!(said.contains("fraktalia-test/none:1 is not there"), "{said}");

    let elsewhere = "hosts: { local: { docker: \"unix:///nowhere/docker.sock\" } }\n";
    manifest(&stage, &format!("{elsewhere}{WISHES}"));
    let away = Report::of(&stage, &[], 16).await;
    away.said("docker.reach", "failure");
    assert_eq!(away.standings("matrix.admin"), ["ok"]);

    manifest(&stage, "");
    let _ = stage.run(&["apply", "--yes", "--allow-removals"]).await;
    engine.stop().await.expect("ends");
}
