//! Ansible with a playbook of the same job, from `PyPI` into the cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fraktalia_testkit::real::Cache;

use super::manifest;
use super::measure::{Job, Taken};
use super::server::{Asked, SERVER_NAME, Server};
use crate::error::{Context as _, TaskError};

/// The release that is measured.
pub const VERSION: &str = "2.19.14";

/// A folder with the playbook.
pub struct Ansible {
    program: PathBuf,
    folder: PathBuf,
}

/// What a run took that found nothing to do.
#[derive(Clone, Debug)]
pub struct Played {
    /// How many fractals.
    pub fractals: usize,
    /// Of Ansible.
    pub taken: Taken,
    /// Of the homeserver.
    pub asked: Asked,
}

impl Ansible {
    /// Installs it, once.
    pub fn install(cache: &Cache) -> Result<PathBuf, TaskError> {
        let venv = cache.root().join(format!("bench-ansible-{VERSION}"));
        let program = venv.join("bin/ansible-playbook");
        let complete = venv.join("complete");
        if complete.exists() {
            return Ok(program);
        }
        let make = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).output();
        succeeded("python3 -m venv", make)?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.arg(format!("ansible-core=={VERSION}")).stdin(Stdio::null());
        succeeded("pip install ansible-core", pip.output())?;
        std::fs::write(&complete, VERSION).context(|| format!("write {}", complete.display()))?;
        Ok(program)
    }

    /// Writes the playbook for the first `fractals` of a fleet whose workspaces are in `workspaces`.
    pub fn set_up(
        program: &Path,
        folder: &Path,
        server: &Server,
        workspaces: &Path,
        fractals: usize,
    ) -> Result<Self, TaskError> {
        std::fs::create_dir_all(folder).context(|| format!("create {}", folder.display()))?;
        let list: Vec<String> = (0..fractals).map(entry).collect();
        let variables = format!(
            "homeserver: \"{}\"\nserver: {SERVER_NAME}\nbot: \"{}\"\nworkspaces: \"{}\"\nfractals:\n{}",
            server.base_url(),
            server.bot().user_id(),
            workspaces.display(),
            list.concat()
        );
        let token = format!("token: \"{}\"\n", server.admin().token());
        for (name, text) in [
            ("vars.yml", variables.as_str()),
            ("token.yml", token.as_str()),
            (
                "house.md.j2",
                "You work for {{ item.members[0] }} and {{ item.members[1] }}.\nNever promise what you have not checked.\n",
            ),
            ("playbook.yml", PLAYBOOK),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, text).context(|| format!("write {}", path.display()))?;
        }
        Ok(Self { program: program.to_owned(), folder: folder.to_owned() })
    }

    /// Plays it. It fails unless nothing was changed.
    pub async fn no_op(&self, server: &Server, fractals: usize) -> Result<Played, TaskError> {
        let job = Job::new(&self.program, &self.folder)
            .args(["-i", "localhost,", "-c", "local", "playbook.yml"])
            .env("ANSIBLE_LOCALHOST_WARNING", "false")
            .env("ANSIBLE_PYTHON_INTERPRETER", self.program.with_file_name("python"));
        let mark = server.mark().await?;
        let (taken, text) = job.run_and_read().await?;
        let asked = server.since(mark).await?;
        if !text.contains("changed=0") {
            let recap = text.lines().rev().take(5).collect::<Vec<_>>().join("\n");
            return Err(TaskError::Found(format!("the playbook found something to change:\n{recap}")));
        }
        Ok(Played { fractals, taken, asked })
    }
}

fn succeeded(what: &str, output: std::io::Result<std::process::Output>) -> Result<(), TaskError> {
    let output = output.context(|| format!("start {what}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(TaskError::Ended { what: what.to_owned(), status: format!("{}: {said}", output.status) })
}

fn entry(number: usize) -> String {
    let (key, topic) = (manifest::key(number), manifest::topic(number));
    let [first, second] = manifest::members(number);
    format!(
        "  - {{ key: {key}, name: Fractal {number}, topic: \"{topic}\", members: [{first}, {second}] }}\n"
    )
}

/// What one would write by hand: look at each thing, and change it when it is not as it should be. What would change
/// something is skipped where nothing is to be changed.
const PLAYBOOK: &str = include_str!("playbook.yml");
