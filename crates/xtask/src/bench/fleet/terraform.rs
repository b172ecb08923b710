//! Terraform with as many resources that are nothing but a record in its state: no network, no provider to start.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::manifest;
use super::measure::{Job, Taken};
use crate::error::{Context as _, TaskError};

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

    /// Writes a configuration of `resources` resources and applies it.
    pub async fn set_up(program: &Path, folder: &Path, resources: usize) -> Result<Self, TaskError> {
        std::fs::create_dir_all(folder).context(|| format!("create {}", folder.display()))?;
        let terraform = Self { program: program.to_owned(), folder: folder.to_owned() };
        for (name, text) in [("main.tf", configuration(resources)), ("terraformrc", String::new())] {
            let path = folder.join(name);
            std::fs::write(&path, text).context(|| format!("write {}", path.display()))?;
        }
        terraform.job(&["init", "-input=false", "-no-color"]).run().await?;
        terraform.job(&["apply", "-auto-approve", "-input=false", "-no-color"]).run().await?;
        Ok(terraform)
    }

    /// A plan that finds nothing to do.
    pub async fn no_op(&self) -> Result<Taken, TaskError> {
        self.job(&["plan", "-detailed-exitcode", "-input=false", "-no-color"]).run().await
    }

    fn job(&self, arguments: &[&str]) -> Job {
        Job::new(&self.program, &self.folder)
            .args(arguments.iter().copied())
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_CLI_CONFIG_FILE", self.folder.join("terraformrc"))
    }
}

/// As one would write it: a block for each kind of thing, and an instance in it for each fractal.
fn configuration(resources: usize) -> String {
    const KINDS: [&str; 5] = ["room", "workspace", "agent", "replies", "binding"];
    let blocks = KINDS.iter().enumerate().map(|(place, kind)| {
        // What does not divide by five is in the first blocks.
        let count = resources / KINDS.len() + usize::from(place < resources % KINDS.len());
        let keys: Vec<String> = (0..count).map(|number| format!("\"{}\"", manifest::key(number))).collect();
        format!(
            "resource \"terraform_data\" \"{kind}\" {{\n  for_each = toset([{}])\n  input = {{\n    kind    = \"{kind}\"\n    \
             name    = each.key\n    topic   = \"All about ${{each.key}}\"\n    members = [\"ana\", \"ben\", \"agent\"]\n  }}\n}}\n",
            keys.join(", ")
        )
    });
    blocks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_instances_as_resources_are_asked_for() {
        for resources in [5, 12, 508] {
            let text = configuration(resources);
            assert_eq!(text.matches("\"f0").count(), resources);
        }
    }
}
