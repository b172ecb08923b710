//! Our own files, secrets, and `openclaw.json`.

use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, SystemTime};

use fraktalia_tests::Stage;

use super::report::{GARDEN, Report, chmod, garden, mode};

fn old(stage: &Stage, name: &str) {
    stage.write(name, "half");
    let file = File::options().write(true).open(stage.path(name)).expect("it is there");
    file.set_modified(SystemTime::now() - Duration::from_hours(1)).expect("its time is set");
}

#[tokio::test]
async fn secrets_that_others_can_read_and_what_killed_runs_left_are_found_and_mended() {
    let Some(stage) = garden().await else { return };
    let fine = Report::of(&stage, &[], 0).await;
    assert_eq!(fine.standings("secrets.kept"), ["ok"]);
    assert_eq!(fine.standings("state.directory"), ["ok"]);
    assert_eq!(fine.standings("state.leftovers"), [""; 0]);

    chmod(&stage, "secrets/admin", 0o644);
    chmod(&stage, "state", 0o755);
    old(&stage, "state/secrets/.tmpAbCdEf");
    old(&stage, "gateway/.openclaw.json.fraktalia-AbCdEf");
    stage.write("gateway/.openclaw.json.fraktalia-young", "of a run that is at work");
    fs::create_dir(stage.path("state/backup/20200101-000000-none")).expect("made");
    let broken = Report::of(&stage, &[], 16).await;
    assert!(broken.said("secrets.kept", "failure").contains("mode 0644"));
    assert!(broken.said("state.directory", "failure").contains("mode 0755"));
    assert!(broken.said("state.leftovers", "warning").contains("and 1 more"));
    assert!(broken.said("openclaw.leftovers", "warning").contains("fraktalia-AbCdEf"));
    assert_eq!(mode(&stage, "secrets/admin"), 0o644, "without --fix nothing changes");

    let asked = stage.run(&["doctor", "--fix"]).await.expect(2);
    assert!(asked.stderr.contains("--yes"), "nobody is there to be asked: {}", asked.stderr);
    assert_eq!(mode(&stage, "secrets/admin"), 0o644);

    let mended = stage.run(&["doctor", "--fix", "--yes"]).await.expect(0);
    assert!(mended.stderr.contains("done  chmod 600"), "it says what it does: {}", mended.stderr);
    assert_eq!((mode(&stage, "secrets/admin"), mode(&stage, "state")), (0o600, 0o700));
    let left = |name: &str| stage.path(name).exists();
    assert!(!left("state/secrets/.tmpAbCdEf") && !left("gateway/.openclaw.json.fraktalia-AbCdEf"));
    assert!(!left("state/backup/20200101-000000-none"));
    assert!(left("gateway/.openclaw.json.fraktalia-young"), "it may be at work");
    let _ = stage.run(&["plan", "--exit-code"]).await.expect(0);
}

#[tokio::test]
async fn a_run_that_was_not_finished_an_empty_secret_and_one_in_git_are_said() {
    let Some(stage) = garden().await else { return };
    stage.manifest(&format!("{GARDEN}rooms: {{ lounge: {{ members: [ana, ben] }} }}\n"));
    let died = stage.run_with(&["apply", "--yes"], &[("FRAKTALIA_TEST_DIE", "after:3")]).await;
    assert_eq!(died.code, None, "it was killed: {}", died.stderr);
    let broken = Report::of(&stage, &[], 16).await;
    assert!(broken.said("state.run", "failure").contains("was not finished"));
    let fix = stage.run(&["doctor", "--fix", "--yes"]).await.expect(16);
    assert!(fix.stdout.contains("fraktalia resume"), "a person decides: {}", fix.stdout);
    let _ = stage.run(&["rollback", "--yes"]).await.expect(0);
    assert_eq!(Report::of(&stage, &[], 0).await.standings("state.run"), ["ok"]);

    let git = |words: &[&str]| {
        let done =
            Command::new("git").args(words).current_dir(stage.dir()).output().expect("git is installed");
        assert!(done.status.success(), "{words:?}");
    };
    git(&["init", "--quiet"]);
    assert!(Report::of(&stage, &[], 0).await.said("secrets.git", "warning").contains("secrets/admin"));
    git(&["add", "secrets/admin"]);
    assert!(Report::of(&stage, &[], 16).await.said("secrets.git", "failure").contains("is in git"));
    git(&["rm", "--quiet", "--cached", "secrets/admin"]);
    stage.write(".gitignore", "/secrets/\n");
    assert_eq!(Report::of(&stage, &[], 0).await.standings("secrets.git"), [""; 0]);

    let token = stage.read("secrets/admin");
    stage.write("secrets/admin", "");
    let broken = Report::of(&stage, &[], 16).await;
    assert!(broken.said("secrets.kept", "failure").contains("is empty"));
    assert_eq!(broken.standings("matrix.token"), ["failure"]);
    stage.write("secrets/admin", &token);
    let _ = Report::of(&stage, &[], 0).await;
}

#[tokio::test]
async fn openclaw_json_that_is_open_misrouted_or_broken_is_said() {
    let Some(stage) = garden().await else { return };
    let file = "gateway/openclaw.json";
    let fine = stage.read(file);
    let report = Report::of(&stage, &[], 0).await;
    for code in
        ["openclaw.file", "openclaw.writable", "openclaw.readers", "openclaw.order", "openclaw.catch-all"]
    {
        assert_eq!(report.standings(code), ["ok"], "{code}");
    }

    stage.write(file, &fine.replace("enabled: true,", "enabled: true, accessToken: 'syt_do-not-show',"));
    let open = Report::of(&stage, &[], 0).await;
    assert!(open.said("openclaw.literal-token", "warning").contains("channels.matrix.accessToken"));
    chmod(&stage, file, 0o644);
    let open = Report::of(&stage, &[], 16).await;
    assert!(open.said("openclaw.readers", "failure").contains("0644"));
    let shown = stage.run(&["doctor", "-v"]).await.expect(16);
    assert!(!format!("{}{}", shown.stdout, shown.stderr).contains("do-not-show"));
    chmod(&stage, file, 0o600);

    let catch_all = "{ agentId: 'felix', match: { channel: 'matrix', accountId: '*' } }, // stays last";
    assert!(fine.contains(catch_all), "{fine}");
    let without = fine.replacen(catch_all, "", 1);
    stage.write(file, &without);
    assert!(
        Report::of(&stage, &[], 0).await.said("openclaw.catch-all", "warning").contains("nobody answers")
    );
    let first = format!("bindings: [ {}", catch_all.replace(" // stays last", ""));
    stage.write(file, &without.replacen("bindings: [", &first, 1));
    assert!(
        Report::of(&stage, &[], 0).await.said("openclaw.order", "warning").contains("catch-all of `felix`")
    );

    let stranger = "bindings: [ { agentId: 'nobody', match: { channel: 'matrix' } },";
    stage.write(file, &fine.replacen("bindings: [", stranger, 1));
    assert!(Report::of(&stage, &[], 16).await.said("openclaw.unknown-agent", "failure").contains("`nobody`"));
    let outlet = "felix: { sandbox: { docker: { binds: ['/var/run/docker.sock:/var/run/docker.sock'] } },";
    stage.write(file, &fine.replacen("felix: {", outlet, 1));
    assert!(
        Report::of(&stage, &[], 16).await.said("openclaw.sandboxes", "failure").contains("Docker socket")
    );
    stage.write(file, &fine.replacen("enabled: true", "enabled: true, userId: '@other:chat.stage'", 1));
    assert!(
        Report::of(&stage, &[], 16).await.said("openclaw.channel", "failure").contains("@other:chat.stage")
    );

    stage.write(file, "{ agents: ");
    let broken = Report::of(&stage, &[], 16).await;
    broken.said("openclaw.file", "failure");
    assert_eq!(broken.standings("matrix.admin"), ["ok"], "what is broken hides nothing else");
    stage.write(file, &fine);
    let _ = Report::of(&stage, &[], 0).await;
}
