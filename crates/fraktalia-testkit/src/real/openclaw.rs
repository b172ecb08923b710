//! The OpenClaw command line: two releases, one for each shape that `openclaw.json` can have.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use super::cache::{Cache, create_dir};
use super::error::{Context, RealError, Result};
use super::install::require_openclaw;

/// An OpenClaw release, named by the shape of its agent table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `agents.list`, an array; for validating files only, without the Matrix plugin.
    List,
    /// `agents.entries`, a map; with the Matrix plugin.
    Entries,
}

impl Version {
    /// The number of the npm release.
    pub fn number(self) -> &'static str {
        match self {
            Self::List => "2026.6.11",
            Self::Entries => "2026.9.6",
        }
    }

    pub(crate) fn template(self, cache: &Cache) -> PathBuf {
        cache.openclaw(self.number()).join("template")
    }
}

/// One OpenClaw release with a home of its own, so that nobody's own installation is seen or touched.
#[derive(Clone, Debug)]
pub struct OpenClaw {
    cache: Cache,
    version: Version,
    home: PathBuf,
}

/// What `openclaw config validate` says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// Whether the gateway would take the file.
    pub valid: bool,
    /// Why not.
    #[serde(default)]
    pub issues: Vec<Issue>,
}

/// One finding of the validation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Issue {
    /// Where in the file, as dotted keys.
    #[serde(default)]
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl OpenClaw {
    /// The release, with `home` for whatever it writes: `openclaw.json`, `state/`, `home/`, and its wrapper script.
    pub fn new(cache: &Cache, version: Version, home: &Path) -> Result<Self> {
        require_openclaw(cache, version)?;
        let home = std::path::absolute(home).context(|| format!("find {}", home.display()))?;
        create_dir(&home.join("home"))?;
        let openclaw = Self { cache: cache.clone(), version, home };
        openclaw.seed_state()?;
        openclaw.write_wrapper()?;
        Ok(openclaw)
    }

    /// Which release it is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where it keeps everything.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its configuration, unless `OPENCLAW_CONFIG_PATH` says otherwise.
    pub fn config_path(&self) -> PathBuf {
        self.home.join("openclaw.json")
    }

    /// An executable script that behaves like a plain `openclaw` on the `PATH` of somebody who has only this one.
    /// It honours `OPENCLAW_CONFIG_PATH`, so a candidate file can be validated with it.
    pub fn cli_path(&self) -> PathBuf {
        self.home.join("openclaw")
    }

    /// Asks OpenClaw whether it would take this text as its configuration.
    pub async fn validate(&self, config: &str) -> Result<Verdict> {
        let folder = tempfile::tempdir_in(&self.home)
            .context(|| format!("make a folder in {}", self.home.display()))?;
        let candidate = folder.path().join("openclaw.json");
        std::fs::write(&candidate, config).context(|| format!("write {}", candidate.display()))?;
        let mut command = Command::new(self.cli_path());
        command.args(["config", "validate", "--json"]).env("OPENCLAW_CONFIG_PATH", &candidate);
        let what = "openclaw config validate";
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.context(|| format!("start {what}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let start = text.find('{').unwrap_or(0);
        serde_json::from_str(&text[start..]).map_err(|_| RealError::Died {
            name: what.to_owned(),
            status: output.status.to_string(),
            tail: format!("{text}{}", String::from_utf8_lossy(&output.stderr)),
        })
    }

    /// A command that runs OpenClaw in this home, with nothing of the user's environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.cache.node_bin().join("node"));
        command.arg(self.entry_point()).env_clear().current_dir(&self.home);
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command.env("OPENCLAW_CONFIG_PATH", self.config_path());
        command
    }

    fn entry_point(&self) -> PathBuf {
        self.cache.openclaw(self.version.number()).join("node_modules/openclaw/openclaw.mjs")
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        vec![
            ("PATH", self.cache.path_var()),
            ("HOME", text(self.home.join("home"))),
            ("OPENCLAW_STATE_DIR", text(self.home.join("state"))),
            ("LANG", "C.UTF-8".to_owned()),
            ("NO_COLOR", "1".to_owned()),
            ("NODE_OPTIONS", format!("--require={}", self.home.join(SHIM_NAME).display())),
        ]
    }

    /// A copy of the database in which the Matrix plugin is recorded as installed (see `install/npm.rs`), and of
    /// the key that belongs to it.
    fn seed_state(&self) -> Result<()> {
        let (from, to) = (self.version.template(&self.cache).join("state"), self.home.join("state"));
        for name in ["state/openclaw.sqlite", "config-journal-fingerprint.key"] {
            let (from, to) = (from.join(name), to.join(name));
            if !from.exists() || to.exists() {
                continue;
            }
            create_dir(to.parent().unwrap_or(&to))?;
            std::fs::copy(&from, &to).context(|| format!("copy {}", from.display()))?;
        }
        Ok(())
    }

    fn write_wrapper(&self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let shim = self.home.join(SHIM_NAME);
        std::fs::write(&shim, SHIM).context(|| format!("write {}", shim.display()))?;
        let exports = self.environment().into_iter();
        let exports = exports.map(|(name, value)| format!("export {name}={}\n", quote(&value)));
        let exports = exports.collect::<Vec<_>>().concat();
        let text = |path: PathBuf| quote(&path.to_string_lossy());
        let script = format!(
            "#!/bin/sh\n{exports}\
             [ -n \"$OPENCLAW_CONFIG_PATH\" ] || OPENCLAW_CONFIG_PATH={config}\n\
             export OPENCLAW_CONFIG_PATH\n\
             exec {node} {entry} \"$@\"\n",
            config = text(self.config_path()),
            node = text(self.cache.node_bin().join("node")),
            entry = text(self.entry_point()),
        );
        let path = self.cli_path();
        std::fs::write(&path, script).context(|| format!("write {}", path.display()))?;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).context(|| format!("make {} executable", path.display()))
    }
}

const SHIM_NAME: &str = "machine.cjs";

/// What a machine for tests is not, and OpenClaw takes for granted.
///
/// 1. Some virtual machines are made from container images and carry a left-over `/.dockerenv`. OpenClaw would then look
///    for itself among the engine's containers and refuse to start sandboxes.
/// 2. The Matrix plugin encrypts attachments by a native library that npm does not bring: it is downloaded from elsewhere
///    when the plugin starts, and without it nothing is encrypted. Messages are encrypted by another library, which npm does
///    bring. Where the native one is not there, attachments fail here, and all else is real.
const SHIM: &str = r#"
const fs = require("node:fs");
const Module = require("node:module");
const hidden = "/.dockerenv";
const { accessSync, existsSync } = fs;
fs.existsSync = (path) => path !== hidden && existsSync(path);
fs.accessSync = (path, mode) => {
  if (path === hidden) throw Object.assign(new Error(`ENOENT: ${hidden}`), { code: "ENOENT" });
  return accessSync(path, mode);
};
Module.syncBuiltinESMExports();

const native = "@matrix-org/matrix-sdk-crypto-nodejs";
const load = Module._load;
Module._load = function (request, ...rest) {
  if (request !== native) return load.call(this, request, ...rest);
  try {
    return load.call(this, request, ...rest);
  } catch {
    const missing = class { static encrypt() { throw new Error(`${native} is not installed`); } };
    missing.decrypt = missing.encrypt;
    return { Attachment: missing, EncryptedAttachment: missing };
  }
};
"#;

/// Single quotes for the shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "{ agents: { list: [{ id: 'a' }] } } // the older shape";
    const ENTRIES: &str = "{ agents: { entries: { a: {} } } } // the newer shape";

    #[tokio::test]
    async fn each_release_takes_its_own_shape_and_says_what_it_does_not_know() {
        let Some(cache) = Cache::for_test() else { return };
        let dir = tempfile::tempdir().expect("a folder");
        let list = OpenClaw::new(&cache, Version::List, &dir.path().join("list")).expect("installed");
        let entries =
            OpenClaw::new(&cache, Version::Entries, &dir.path().join("entries")).expect("installed");
        assert!(list.validate(LIST).await.expect("runs").valid);
        assert!(entries.validate(ENTRIES).await.expect("runs").valid);
        let verdict = list.validate(ENTRIES).await.expect("runs");
        assert!(
            !verdict.valid && verdict.issues.iter().any(|issue| issue.path.starts_with("agents")),
            "{verdict:?}"
        );
    }

    #[test]
    fn quoting_survives_a_quote() {
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
