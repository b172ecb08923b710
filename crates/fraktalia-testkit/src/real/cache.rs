//! The cache folder: one per checkout, or wherever `FRAKTALIA_CACHE` points.

use std::path::{Path, PathBuf};

use super::error::{Context, RealError, Result};

/// Where the installed systems lie. Cheap to clone; creating one touches no disk.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$FRAKTALIA_CACHE`, else `.cache` in the workspace root.
    pub fn locate() -> Self {
        let root = std::env::var_os("FRAKTALIA_CACHE")
            .map_or_else(|| workspace_root().join(".cache"), PathBuf::from);
        Self::at(std::path::absolute(&root).unwrap_or(root))
    }

    /// A cache at a given folder, which must be absolute: OpenClaw records the plugin's full path.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The cache, if tests of real systems are wanted (`FRAKTALIA_REAL` is set), else `None` after saying so.
    ///
    /// The first line of a test of a real system:
    /// `let Some(cache) = Cache::for_test() else { return };`
    #[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
    pub fn for_test() -> Option<Self> {
        if std::env::var_os("FRAKTALIA_REAL").is_some_and(|value| !value.is_empty() && value != "0") {
            return Some(Self::locate());
        }
        eprintln!("skipped: needs the real systems; run it with `cargo xtask test`");
        None
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Python with Synapse.
    pub fn python(&self) -> PathBuf {
        self.root.join("venv/bin/python")
    }

    /// The program `schemathesis`.
    pub fn schemathesis(&self) -> PathBuf {
        self.root.join("schemathesis/bin/schemathesis")
    }

    /// The folder that holds `node` and `npm`, for `PATH`.
    pub fn node_bin(&self) -> PathBuf {
        self.root.join("node/bin")
    }

    /// Everything of one OpenClaw release.
    pub fn openclaw(&self, version: &str) -> PathBuf {
        self.root.join("openclaw").join(version)
    }

    /// Logs of the installing and of what outlives a single test.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// `PATH` for what we start: our Node first, then the system's folders and nothing of the user's.
    pub fn path_var(&self) -> String {
        format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.node_bin().display())
    }

    pub(crate) fn is_stamped(&self, component: &str, recipe: &str) -> bool {
        std::fs::read_to_string(self.stamp(component)).is_ok_and(|text| text == recipe)
    }

    pub(crate) fn set_stamp(&self, component: &str, recipe: &str) -> Result<()> {
        let stamp = self.stamp(component);
        create_dir(&self.root.join("stamps"))?;
        std::fs::write(&stamp, recipe).context(|| format!("write {}", stamp.display()))
    }

    pub(crate) fn require(&self, component: &str, recipe: &str) -> Result<()> {
        if self.is_stamped(component, recipe) {
            return Ok(());
        }
        Err(RealError::NotInstalled { component: component.to_owned(), cache: self.root.clone() })
    }

    fn stamp(&self, component: &str) -> PathBuf {
        self.root.join("stamps").join(component)
    }
}

/// `mkdir -p` with an error that names the folder.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).context(|| format!("create {}", path.display()))
}

/// The built `fraktalia` program: `$FRAKTALIA_BIN` (set by `cargo xtask test`), else the one beside the running test.
pub fn fraktalia_bin() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("FRAKTALIA_BIN") {
        return Ok(PathBuf::from(path));
    }
    let test = std::env::current_exe().context(|| "find the running program".to_owned())?;
    let built = test.ancestors().skip(1).take(2).map(|folder| folder.join("fraktalia"));
    built.into_iter().find(|path| path.is_file()).ok_or_else(|| RealError::Missing {
        what: "the program `fraktalia`".to_owned(),
        hint: "run `cargo build`, or run the tests with `cargo xtask test`".to_owned(),
    })
}

/// The workspace that this crate was built in.
pub fn workspace_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}
