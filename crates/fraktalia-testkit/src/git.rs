//! A bare repository and a person who works in a clone of it, by the real `git`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A remote and a work tree. Nothing of the configuration of whoever runs the test holds.
pub struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// Makes both below `dir`, with nothing in them but the branch `main`.
    ///
    /// # Panics
    /// When git cannot do it.
    pub fn new(dir: &Path) -> Self {
        let repository = Self { dir: dir.to_path_buf() };
        std::fs::create_dir_all(dir).expect("a folder");
        repository.git_in(dir, &["init", "--quiet", "--bare", "--initial-branch=main", "remote.git"]);
        repository.git_in(dir, &["init", "--quiet", "--initial-branch=main", "work"]);
        repository.git(&["remote", "add", "origin", &repository.url()]);
        repository
    }

    /// The address of the remote.
    pub fn url(&self) -> String {
        self.remote().display().to_string()
    }

    /// The directory of the remote.
    pub fn remote(&self) -> PathBuf {
        self.dir.join("remote.git")
    }

    /// A path in the work tree.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join("work").join(name)
    }

    /// Writes a file of the work tree.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        std::fs::write(path, text).expect("the file is written");
    }

    /// Commits all of the work tree; its id.
    ///
    /// # Panics
    /// When git cannot do it.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// Commits all of the work tree and pushes it to `main`; its id.
    ///
    /// # Panics
    /// When git cannot do it.
    pub fn push(&self, message: &str) -> String {
        let commit = self.commit(message);
        self.git(&["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
        commit
    }

    /// The commit of the work tree.
    ///
    /// # Panics
    /// When there is none.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the work tree; what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn git(&self, args: &[&str]) -> String {
        self.git_in(&self.path(""), args)
    }

    fn git_in(&self, dir: &Path, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(dir).args(["-c", "user.name=Ana", "-c", "user.email=ana@chat.home"]).args(args);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", &self.dir);
        let output = command.output().expect("git is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}
