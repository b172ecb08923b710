//! Schemathesis tries the API by its own document: what the document promises is kept, and what it forbids is refused.

use std::process::Stdio;

use fraktalia_testkit::real::Cache;
use fraktalia_testkit::real::install::{Component, install};
use tokio::process::Command;

use crate::world::{Stage, secret};

/// A body that the schema allows may still ask for what the manifest does not (422), in YAML as well: a text is what the
/// schema can say of that. Everything else is as Schemathesis has it.
const CONFIG: &str = r#"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let Some(cache) = Cache::for_test() else { return };
    install(&cache, &[Component::Schemathesis], &mut |_| {}).expect("it is installed");
    let stage = Stage::new().await;
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("schemathesis.toml"), CONFIG).expect("it is written");
    let mut run = Command::new(cache.schemathesis());
    run.arg("run").arg(format!("http://{}/openapi.json", stage.server.address));
    run.args(["--header", &format!("Authorization: Bearer {}", secret("all"))]);
    run.args(["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--mode", "all"]);
    run.args(["--seed", "20261126", "--generation-database", "none", "--max-examples", "80", "--no-color"]);
    run.args(["--continue-on-failure", "--warnings", "off"]);
    run.current_dir(dir.path()).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", dir.path());
    run.stdin(Stdio::null()).kill_on_drop(true);
    let output = run.output().await.expect("it starts");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    for phase in ["Examples", "Coverage", "Fuzzing", "Stateful"] {
        let ran = said.lines().any(|line| line.contains(phase) && line.contains('✅'));
        assert!(ran, "the phase {phase} has done something: {said}");
    }
    let applied = stage.world.applied();
    let gone = applied.iter().filter(|name| name.starts_with('-')).count();
    assert!(gone >= 3 && applied.len() >= 2 * gone, "it made and removed some: {applied:?}\n{said}");
}
