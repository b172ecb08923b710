//! OpenClaw from npm, each release in a prefix of its own.

use std::path::Path;
use std::process::Command;

use super::{Installer, remove_dir};
use crate::real::cache::create_dir;
use crate::real::error::{Context, Result};
use crate::real::openclaw::Version;

pub fn stamp(version: Version) -> String {
    format!("openclaw-{}", version.number())
}

pub fn recipe(version: Version) -> &'static str {
    match version {
        Version::Entries => "with the Matrix plugin, layout 1",
        Version::List => "alone, layout 1",
    }
}

impl Installer<'_> {
    pub(super) fn openclaw(&self, version: Version) -> Result<()> {
        let prefix = self.cache.openclaw(version.number());
        remove_dir(&prefix)?;
        create_dir(&prefix)?;
        let mut npm = self.node_command("npm");
        npm.current_dir(&prefix).args([
            "install",
            "--no-audit",
            "--no-fund",
            "--omit=dev",
            "--loglevel=error",
        ]);
        // The scripts of OpenClaw's dependencies fetch prebuilt libraries for encryption and media, which we
        // do not use, from places that are not always reachable.
        npm.args(["--ignore-scripts", "--prefix", "."]).arg(format!("openclaw@{}", version.number()));
        self.run(&format!("npm install openclaw@{}", version.number()), npm)?;
        if version == Version::Entries {
            self.matrix_plugin(version, &prefix)?;
        }
        self.cache.set_stamp(&stamp(version), recipe(version))
    }

    /// Installs the plugin with OpenClaw's own installer into a template of a state folder.
    ///
    /// It has to be that way: OpenClaw hands its storage to plugins only if its database says that they were
    /// installed so. The record names the plugin's full path, hence a copy of the database alone, without the
    /// 50 MB beside it, is all that a new gateway needs.
    fn matrix_plugin(&self, version: Version, prefix: &Path) -> Result<()> {
        let template = version.template(self.cache);
        create_dir(&template)?;
        let config = template.join("openclaw.json");
        let log = self.cache.logs().join("openclaw-install.log");
        let text = serde_json::json!({ "gateway": { "mode": "local" }, "logging": { "file": log } });
        std::fs::write(&config, text.to_string()).context(|| format!("write {}", config.display()))?;
        let mut install = self.node_command("node");
        install.arg(prefix.join("node_modules/openclaw/openclaw.mjs"));
        install.args(["plugins", "install", &format!("@openclaw/matrix@{}", version.number())]);
        install.args(["--accept-capabilities", "--force"]);
        install.env("OPENCLAW_STATE_DIR", template.join("state")).env("OPENCLAW_CONFIG_PATH", &config);
        install.env("HOME", template.join("home"));
        self.run("openclaw plugins install @openclaw/matrix", install)
    }

    /// A program of our Node, with npm's cache in ours. `HOME` stays: npm reads its registry and proxy settings
    /// there, and writes nothing.
    fn node_command(&self, program: &str) -> Command {
        let mut command = Command::new(self.cache.node_bin().join(program));
        command.env("PATH", self.cache.path_var());
        command.env("npm_config_cache", self.cache.root().join("npm"));
        command.env("npm_config_update_notifier", "false");
        for name in [
            "OPENCLAW_STATE_DIR",
            "OPENCLAW_CONFIG_PATH",
            "OPENCLAW_HOME",
            "OPENCLAW_PROFILE",
            "NODE_OPTIONS",
        ] {
            command.env_remove(name);
        }
        command
    }
}
