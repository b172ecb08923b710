//! What doctor says, for questions about it.

use std::os::unix::fs::PermissionsExt as _;

use fraktalia_tests::{Stage, With};
use serde_json::Value;

/// A manifest whose one fractal needs no engine.
pub const GARDEN: &str = "\
users: { ana: {}, ben: {} }
fractals:
  gardener:
    purpose: Looks after the garden plan.
    members: [ana, ben]
";

/// The answer of one run.
#[derive(Debug)]
pub struct Report(Value);

impl Report {
    /// Runs doctor, and expects it to end with `code`.
    pub async fn of(stage: &Stage, args: &[&str], code: i32) -> Self {
        let args = [&["doctor", "--format", "json"], args].concat();
        let ran = stage.run(&args).await.expect(code);
        Self(serde_json::from_str(&ran.stdout).expect("a document"))
    }

    fn checks(&self) -> impl Iterator<Item = &Value> {
        self.0["checks"].as_array().into_iter().flatten()
    }

    /// How the checks of this code came out.
    pub fn standings(&self, code: &str) -> Vec<&str> {
        let of = self.checks().filter(|check| check["code"] == code);
        of.filter_map(|check| check["standing"].as_str()).collect()
    }

    /// The first check of this code that came out so.
    ///
    /// # Panics
    /// When there is none.
    pub fn find(&self, code: &str, standing: &str) -> &Value {
        let found = self.checks().find(|check| check["code"] == code && check["standing"] == standing);
        found.unwrap_or_else(|| panic!("no {standing} of {code} in {:#}", self.0))
    }

    /// What it says, and that it says what to do.
    pub fn said(&self, code: &str, standing: &str) -> String {
        let check = self.find(code, standing);
        assert_ne!(check["cures"].as_array().map(Vec::len), Some(0), "without a cure: {check}");
        check["found"].as_str().expect("a text").to_owned()
    }

    /// The codes of all failures.
    pub fn failures(&self) -> Vec<&str> {
        let failed = self.checks().filter(|check| check["standing"] == "failure");
        failed.filter_map(|check| check["code"].as_str()).collect()
    }
}

/// Sets the permissions of a file on the stage.
pub fn chmod(stage: &Stage, name: &str, mode: u32) {
    std::fs::set_permissions(stage.path(name), std::fs::Permissions::from_mode(mode))
        .expect("the mode is set");
}

/// The permissions of a file on the stage.
pub fn mode(stage: &Stage, name: &str) -> u32 {
    std::fs::metadata(stage.path(name)).expect("it is there").permissions().mode() & 0o7777
}

/// A stage on which all is well, with the garden applied.
pub async fn garden() -> Option<Stage> {
    let stage = Stage::set(With::FileOnly).await?;
    stage.manifest(GARDEN);
    for secret in ["secrets/admin", "secrets/password", "gateway/openclaw.json"] {
        chmod(&stage, secret, 0o600);
    }
    let _ = stage.run(&["apply", "--yes"]).await.expect(0);
    Some(stage)
}
