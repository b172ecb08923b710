//! Where our own files live: `STATE/{ledger.json,lock,audit.jsonl,journal/,backup/,secrets/,cache/}`.

use std::path::{Path, PathBuf};

/// Where the programs of this user keep their state: `$XDG_STATE_HOME`, or what stands for it. A relative one is to be
/// ignored, says the XDG specification.
pub fn state_home() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}

/// The state directory of one realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePaths {
    root: PathBuf,
}

impl StatePaths {
    /// The state below `root`, an absolute directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
    /// Makes the directories, readable for us alone.
    ///
    /// # Errors
    /// When the file system says no.
    pub fn create(&self) -> std::io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        for folder in
            [self.root.clone(), self.journals(), self.root.join("backup"), self.secrets(), self.cache()]
        {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(())
    }
    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// What is ours, and what we last asked for.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger.json")
    }
    /// Who proposed, approved and ran what in the admin room.
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit.jsonl")
    }

    /// The end of it, so that one that was cut off is seen.
    pub fn audit_anchor(&self) -> PathBuf {
        self.root.join("audit.anchor")
    }

    /// Held by the one writer.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    /// One file for each run.
    pub fn journals(&self) -> PathBuf {
        self.root.join("journal")
    }
    /// The journal of one run.
    pub fn journal(&self, run: &str) -> PathBuf {
        self.journals().join(format!("{run}.jsonl"))
    }
    /// Before-images of one run.
    pub fn backup(&self, run: &str) -> PathBuf {
        self.root.join("backup").join(run)
    }
    /// Secrets that we made ourselves, mode 0600 in a directory of mode 0700.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }
    /// The access token of a fractal's own Matrix user.
    pub fn account_token(&self, fractal: &str) -> PathBuf {
        self.secrets().join(format!("matrix-{fractal}-token"))
    }
    /// What can be read anew at any time.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
}
