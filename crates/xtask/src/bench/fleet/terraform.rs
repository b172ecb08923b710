//! Terraform with as many resources that are nothing but a record in its state: no network, no provider to start.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::manifest;
use super::measure::{Job, Taken};
use crate::error::{Context as _, TaskError};

/// What a fractal is made of, as a plan shows it.
const KINDS: [&str; super::idle::SHOWN] = ["room", "workspace", "agent", "replies", "binding"];

/// A folder with a configuration that is applied.
pub struct Terraform {
    program: PathBuf,
    folder: PathBuf,
}

impl Terraform {
    /// Where it is, and which one; `None` where it is not installed.
    pub fn find() -> Option<(PathBuf, String)> {
        let path = std::env::var_os("PATH")?;
        let program = std::env::split_paths(&path)
            .map(|folder| folder.join("terraform"))
            .find(|path| path.is_file())?;
        let mut version = Command::new(&program);
        version.arg("version").env("CHECKPOINT_DISABLE", "1").stdin(Stdio::null()).stderr(Stdio::null());
        let output = version.output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Some((program, text.lines().next()?.trim().to_owned()))
    }

    /// A configuration of `resources` resources, and a state in which they are all there.
    ///
    /// Terraform itself applies one of each kind only, and the others are written into its state as copies: it writes
    /// the whole state anew for each resource, which for thousands takes longer than all else that is measured here.
    pub async fn set_up(program: &Path, folder: &Path, resources: usize) -> Result<Self, TaskError> {
        std::fs::create_dir_all(folder).context(|| format!("create {}", folder.display()))?;
        let terraform = Self { program: program.to_owned(), folder: folder.to_owned() };
        terraform.write("terraformrc", "")?;
        terraform.write("main.tf", &configuration(KINDS.len()))?;
        terraform.job(&["init", "-input=false", "-no-color"]).run().await?;
        terraform.job(&["apply", "-auto-approve", "-input=false", "-no-color"]).run().await?;
        let state = folder.join("terraform.tfstate");
        let text = std::fs::read_to_string(&state).context(|| format!("read {}", state.display()))?;
        terraform.write("terraform.tfstate", &spread(&text, resources)?)?;
        terraform.write("main.tf", &configuration(resources))?;
        Ok(terraform)
    }

    /// A plan that finds nothing to do.
    pub async fn no_op(&self) -> Result<Taken, TaskError> {
        self.job(&["plan", "-detailed-exitcode", "-input=false", "-no-color"]).run().await
    }

    fn write(&self, name: &str, text: &str) -> Result<(), TaskError> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).context(|| format!("write {}", path.display()))
    }

    fn job(&self, arguments: &[&str]) -> Job {
        Job::new(&self.program, &self.folder)
            .args(arguments.iter().copied())
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_CLI_CONFIG_FILE", self.folder.join("terraformrc"))
    }
}

/// How many of the kind at `place`. What does not divide is in the first ones.
fn share(resources: usize, place: usize) -> usize {
    resources / KINDS.len() + usize::from(place < resources % KINDS.len())
}

/// A block for each resource: with `for_each`, the time that Terraform takes grows with the square of the instances.
fn configuration(resources: usize) -> String {
    let block = |kind: &str, key: &str| {
        format!(
            "resource \"terraform_data\" \"{kind}_{key}\" {{\n  input = {{\n    kind    = \"{kind}\"\n    name    = \"{key}\"\n    \
             topic   = \"All about {key}\"\n    members = [\"ana\", \"ben\", \"agent\"]\n  }}\n}}\n"
        )
    };
    let numbered = |(place, kind): (usize, &'static str)| {
        (0..share(resources, place)).map(move |number| block(kind, &manifest::key(number)))
    };
    KINDS.into_iter().enumerate().flat_map(numbered).collect()
}

/// A state with one resource of each kind, made into one with as many as there shall be.
fn spread(state: &str, resources: usize) -> Result<String, TaskError> {
    let broken = |what: &str| TaskError::Found(format!("the state of Terraform is not as expected: {what}"));
    let mut state: Value = serde_json::from_str(state).map_err(|error| broken(&error.to_string()))?;
    let first = state["resources"].as_array().ok_or_else(|| broken("no resources"))?;
    let mut copies = Vec::with_capacity(resources);
    for one in first {
        let name = one["name"].as_str().unwrap_or_default();
        let place = KINDS.iter().position(|kind| name == format!("{kind}_{}", manifest::key(0)));
        let place = place.ok_or_else(|| broken("a resource of another name"))?;
        let text = one.to_string();
        for number in 0..share(resources, place) {
            let text = text.replace(&manifest::key(0), &manifest::key(number));
            let mut copy: Value = serde_json::from_str(&text).map_err(|error| broken(&error.to_string()))?;
            copy["instances"][0]["attributes"]["id"] =
                format!("00000000-0000-4000-8{place:03}-{number:012}").into();
            copies.push(copy);
        }
    }
    state["resources"] = Value::Array(copies);
    Ok(state.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_as_many_blocks_as_resources_are_asked_for() {
        for resources in [5, 12, 508] {
            let text = configuration(resources);
            assert_eq!(text.matches("resource ").count(), resources);
        }
    }

    #[test]
    fn a_state_is_spread_over_all_resources_each_with_an_id_of_its_own() {
        let one = |kind: &str| {
            let attributes = json!({ "id": "x", "input": { "value": { "name": "f00000" } } });
            json!({ "name": format!("{kind}_f00000"), "instances": [{ "attributes": attributes }] })
        };
        let state = json!({ "version": 4, "resources": KINDS.map(one) }).to_string();
        let state: Value = serde_json::from_str(&spread(&state, 12).expect("spread")).expect("JSON");
        let resources = state["resources"].as_array().expect("resources");
        assert_eq!(resources.len(), 12);
        let attributes = |one: &Value| one["instances"][0]["attributes"].clone();
        let ids: BTreeSet<String> = resources.iter().map(|one| attributes(one)["id"].to_string()).collect();
        assert_eq!(ids.len(), 12);
        let ends_with_its_key = |one: &Value| {
            let key = attributes(one)["input"]["value"]["name"].as_str().map(str::to_owned);
            key.is_some_and(|key| one["name"].as_str().is_some_and(|name| name.ends_with(&key)))
        };
        assert!(resources.iter().all(ends_with_its_key));
    }
}
