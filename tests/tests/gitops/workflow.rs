//! Reads the jobs of a workflow, and runs their steps as a runner of the forge does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use fraktalia_testkit::git::Repository;
use fraktalia_tests::Stage;
use serde_json::Value as Json;
use tokio::process::Command;

use super::forge::{Forge, TOKEN};

type Variables = BTreeMap<String, String>;

/// One script, run by a shell of its own.
#[derive(Clone, Debug)]
pub struct Step {
    env: Variables,
    script: String,
}

/// The scripts of the three things that a workflow is for.
pub struct Workflow {
    check: Vec<Step>,
    on_request: Vec<Step>,
    on_main: Vec<Step>,
}

fn variables(env: &Json) -> Variables {
    let all = env.as_object().into_iter().flatten();
    all.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect()
}

impl Workflow {
    pub fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(path).expect("the workflow is there");
        let yaml: Json = serde_saphyr::from_str(&text).expect("it is YAML");
        if path.ends_with(".gitlab-ci.yml") { Self::of_gitlab(&yaml) } else { Self::of_actions(&yaml) }
    }

    fn of_actions(yaml: &Json) -> Self {
        let steps = |job: &str| {
            let job = &yaml["jobs"][job];
            let steps = job["steps"].as_array().expect("steps").iter();
            let scripts = steps.filter_map(|step| {
                let mut env = variables(&job["env"]);
                env.extend(variables(&step["env"]));
                Some(Step { env, script: step["run"].as_str()?.to_owned() })
            });
            scripts.collect()
        };
        Self { check: steps("check"), on_request: steps("plan"), on_main: steps("apply") }
    }

    /// All of a job is one script there.
    fn of_gitlab(yaml: &Json) -> Self {
        let step = |job: &str| {
            let lines = yaml[job]["script"].as_array().expect("a script").iter();
            let lines: Vec<&str> = lines.map(|line| line.as_str().expect("a text")).collect();
            Step { env: variables(&yaml["variables"]), script: lines.join("\n") }
        };
        Self {
            check: vec![step("check")],
            on_request: vec![step("plan")],
            on_main: vec![step("plan-main"), step("apply")],
        }
    }

    pub fn check(&self) -> &[Step] {
        &self.check
    }

    pub fn on_request(&self) -> &[Step] {
        &self.on_request
    }

    pub fn on_main(&self) -> &[Step] {
        &self.on_main
    }
}

/// A job on a checkout of its own.
pub struct Runner<'a> {
    stage: &'a Stage,
    forge: &'a Forge,
    temp: tempfile::TempDir,
    checkout: PathBuf,
}

impl<'a> Runner<'a> {
    pub fn new(stage: &'a Stage, forge: &'a Forge, repository: &Repository) -> Self {
        let temp = tempfile::tempdir().expect("a folder");
        let checkout = temp.path().join("checkout");
        repository.git(&["push", "--quiet", "--force", "origin", "HEAD:refs/heads/request"]);
        let (url, to) = (repository.url(), checkout.display().to_string());
        repository.git(&["clone", "--quiet", "--branch", "request", &url, &to]);
        let bin = temp.path().join("runner-bin");
        std::fs::create_dir(&bin).expect("made");
        std::os::unix::fs::symlink(stage.program(), bin.join("fraktalia")).expect("linked");
        Self { stage, forge, temp, checkout }
    }

    /// Runs one after the other, until one fails; the exit code of the last.
    pub async fn run_all(&self, steps: &[Step]) -> i32 {
        for step in steps {
            let code = self.run(step).await;
            if code != 0 {
                return code;
            }
        }
        0
    }

    async fn run(&self, step: &Step) -> i32 {
        let temp = self.temp.path();
        let added = std::fs::read_to_string(temp.join("path")).unwrap_or_default();
        let added: Vec<&str> = added.lines().rev().collect();
        let here = temp.join("runner-bin").display().to_string();
        let system = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        // As both kinds of runners do.
        command.args(["-e", "-o", "pipefail", "-c", &step.script]).current_dir(&self.checkout);
        command.env_clear().env("PATH", [added, vec![&here, &system]].concat().join(":"));
        command.env("HOME", temp).env("RUNNER_TEMP", temp).env("GITHUB_PATH", temp.join("path"));
        for (name, value) in [
            ("GITHUB_API_URL", self.forge.url()),
            ("GITHUB_REPOSITORY", "ops/chat"),
            ("CI_API_V4_URL", self.forge.url()),
            ("CI_PROJECT_ID", "3"),
            ("CI_MERGE_REQUEST_IID", "7"),
            ("COMMENT_TOKEN", TOKEN),
            ("MATRIX_ADMIN_TOKEN", self.stage.synapse.admin_token()),
        ] {
            command.env(name, value);
        }
        for (name, value) in &step.env {
            command.env(name, self.resolved(value));
        }
        // A runner has a state directory that stays.
        command.env("FRAKTALIA_STATE", self.stage.path("state"));
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.expect("bash runs");
        let (said, talk) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // For whoever reads why a story failed.
        println!("--- {}\n{said}{talk}", step.script);
        output.status.code().unwrap_or(-1)
    }

    /// What the forge puts in the place of an expression.
    fn resolved(&self, value: &str) -> String {
        match value {
            "${{ secrets.MATRIX_ADMIN_TOKEN }}" => self.stage.synapse.admin_token().to_owned(),
            "${{ github.token }}" => TOKEN.to_owned(),
            "${{ github.event.number }}" => "7".to_owned(),
            "${{ vars.FRAKTALIA_URL }}" => format!("file://{}", self.stage.program().display()),
            "${{ vars.FRAKTALIA_SHA256 }}" => {
                let sum = std::process::Command::new("sha256sum").arg(self.stage.program()).output();
                let sum = String::from_utf8(sum.expect("sha256sum runs").stdout).expect("text");
                sum.split(' ').next().unwrap_or_default().to_owned()
            }
            plain if !plain.contains("${{") => plain.to_owned(),
            other => panic!("the test does not know {other}"),
        }
    }
}
