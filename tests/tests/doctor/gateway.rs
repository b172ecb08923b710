//! The gateway: away, on an invalid file, on another file.

use fraktalia_tests::{Stage, With};

use super::report::{GARDEN, Report, chmod};

/// What doctor says once it ends with `code`. A busy gateway may take longer to notice a file than doctor waits.
async fn settled(stage: &Stage, code: i32) -> Report {
    for _ in 0..20 {
        if stage.run(&["doctor", "--format", "json"]).await.code == Some(code) {
            break;
        }
    }
    Report::of(stage, &[], code).await
}

#[tokio::test]
async fn a_gateway_that_is_away_or_on_another_file_is_said() {
    let Some(mut stage) = Stage::set(With::Gateway).await else { return };
    stage.manifest(GARDEN);
    for secret in ["secrets/admin", "secrets/password", "secrets/gateway"] {
        chmod(&stage, secret, 0o600);
    }
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    let fine = Report::of(&stage, &[], 0).await;
    for code in ["openclaw.gateway", "openclaw.live", "openclaw.version", "openclaw.cli", "openclaw.channel"]
    {
        assert_eq!(fine.standings(code), ["ok"], "{code}");
    }
    assert!(fine.said("openclaw.literal-token", "warning").contains("gateway.auth.token"));

    let file = "gateway/openclaw.json";
    let (text, manifest) = (stage.read(file), stage.read("fraktalia.yaml"));
    stage.write(file, &text.replacen("agents: {", "agents: { nonsense: true,", 1));
    let said = settled(&stage, 16).await.said("openclaw.live", "failure");
    assert!(said.contains("keeps the old one"), "{said}");
    stage.write(file, &text);
    assert_eq!(settled(&stage, 0).await.standings("openclaw.live"), ["ok"]);

    stage.write("elsewhere/openclaw.json", &text.replacen("entries: {", "entries: { spare: {},", 1));
    chmod(&stage, "elsewhere/openclaw.json", 0o600);
    stage.write("fraktalia.yaml", &manifest.replacen("config: gateway/", "config: elsewhere/", 1));
    let said = Report::of(&stage, &[], 16).await.said("openclaw.live", "failure");
    assert!(said.contains("another file") && said.contains("`spare`"), "{said}");
    stage.write("fraktalia.yaml", &manifest);

    let token = stage.read("secrets/gateway");
    stage.write("secrets/gateway", "wrong");
    let said = Report::of(&stage, &[], 16).await.said("openclaw.gateway", "failure");
    assert!(said.contains("refuses"), "{said}");
    stage.write("secrets/gateway", &token);

    stage.gateway.as_mut().expect("a gateway").stop().await.expect("stopped");
    let away = Report::of(&stage, &[], 16).await;
    assert!(away.said("openclaw.gateway", "failure").contains("cannot reach"));
    assert_eq!(away.failures(), ["openclaw.gateway"]);
    assert_eq!(away.standings("matrix.admin"), ["ok"]);
}
