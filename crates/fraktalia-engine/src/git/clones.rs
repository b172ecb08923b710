//! The commits of a branch as directories, each whole or not there.
//!
//! `DIR/<commit>/tree` holds the files of a commit, `DIR/<commit>/repo` the little of the repository that its signature
//! is checked with, `DIR/current` leads to the commit in force, and `DIR/part-*` is what is not complete yet. A commit
//! is fetched into a directory of its own and alone: so nothing grows, no lock of a killed `git` is left where the next
//! one trips over it, and a branch that was rewritten is one like any other.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use fraktalia_model::files::sha256_hex;

use super::error::GitError;
use super::program::{Config, Git, joined};
use super::remote::{Remote, Signers};
use super::{Origin, checkout, is_id};

/// How long the remote may take to say where a branch is.
const ASKING: Duration = Duration::from_secs(30);
/// How long a commit may take to arrive.
const FETCHING: Duration = Duration::from_mins(3);
/// Most bytes that a commit may take on its way.
const LARGEST: u64 = 256 << 20;
/// The link to the commit in force.
const CURRENT: &str = "current";
/// What is not complete yet.
const PART: &str = "part-";

/// The commits of one branch.
#[derive(Debug)]
pub struct Clones {
    remote: Remote,
    dir: PathBuf,
    /// Those that somebody still uses.
    used: Mutex<Vec<Weak<Checkout>>>,
    _lock: File,
}

/// The files of one commit. They go once nobody uses them any more, unless they are the ones in force.
#[derive(Debug)]
pub struct Checkout {
    /// Which commit.
    pub origin: Origin,
    clones: PathBuf,
}

impl Clones {
    /// The commits of `remote` below `parent`. What a process that was killed has left is removed.
    ///
    /// # Errors
    /// When another process uses them, or the file system says no.
    pub fn open(parent: &Path, remote: Remote) -> Result<Self, GitError> {
        let name = sha256_hex(format!("{}\0{}", remote.url(), remote.branch()).as_bytes());
        let dir = parent.join(&name[..16]);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(GitError::file("make", &dir))?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(GitError::file("make", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(GitError::InUse(dir)),
            Err(TryLockError::Error(error)) => return Err(GitError::file("lock", path)(error)),
        }
        let clones = Self { remote, dir, used: Mutex::default(), _lock: lock };
        clones.sweep();
        Ok(clones)
    }

    /// The branch.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// The directory in which the files in force are to be seen, whichever commit they are of.
    pub fn current(&self) -> PathBuf {
        self.dir.join(CURRENT)
    }

    /// Where the branch is now.
    ///
    /// # Errors
    /// When the remote does not say, or has no such branch.
    pub async fn ask(&self) -> Result<String, GitError> {
        let reference = self.remote.reference();
        let what = format!("ask {} for `{}`", self.remote.url(), self.remote.branch());
        // No repository that the state directory may lie in has a say here.
        let above = self.dir.parent().unwrap_or(&self.dir);
        let git = self.remotely(&self.dir, what).env("GIT_CEILING_DIRECTORIES", above);
        let git = git.args(["ls-remote", "--exit-code", "--"]);
        let ran = git.args([self.remote.url(), &reference]).within(ASKING).start(64 << 10).await?;
        let printed = String::from_utf8_lossy(&ran.printed);
        let mut lines = printed.lines().filter_map(|line| line.split_once('\t'));
        let found = lines.find(|(id, name)| *name == reference && is_id(id));
        match (found, ran.code) {
            (Some((id, _)), Some(0)) => Ok(id.to_owned()),
            (None, Some(0 | 2)) => Err(GitError::NoBranch {
                branch: self.remote.branch().into(),
                remote: self.remote.url().into(),
            }),
            _ => Err(GitError::Failed {
                what: format!("ask {} for `{}`", self.remote.url(), self.remote.branch()),
                said: ran.said,
            }),
        }
    }

    /// The files of the commit where the branch is; `at` is where it was a moment ago.
    ///
    /// # Errors
    /// When they do not arrive, or must not be used.
    pub async fn fetch(&self, at: &str) -> Result<Arc<Checkout>, GitError> {
        if let Some(there) = self.find(at).await? {
            return Ok(there);
        }
        let part = tempfile::Builder::new().prefix(PART).tempdir_in(&self.dir);
        let part = part.map_err(GitError::file("make a directory in", &self.dir))?;
        let repo = part.path().join("repo");
        let format = if at.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        let init =
            Git::new(part.path(), Config::None, "make a repository").args(["init", "--quiet", "--bare"]);
        let init = init.args([format, "--template=", "--", "repo"]);
        init.run(4 << 10).await?;
        let what = format!("fetch `{}` from {}", self.remote.branch(), self.remote.url());
        let fetch =
            self.remotely(&repo, what).repo(&repo).args(["fetch", "--quiet", "--no-tags", "--depth=1", "--"]);
        let refspec = format!("+{}:refs/heads/tip", self.remote.reference());
        let fetch = fetch.args([self.remote.url(), &refspec]).within(FETCHING).writing_at_most(LARGEST);
        fetch.run(4 << 10).await?;
        let origin = self.describe(&repo).await?;
        // The branch may have moved since it was asked for.
        if let Some(there) = self.find(&origin.commit).await? {
            return Ok(there);
        }
        self.verify(&repo, &origin.commit).await?;
        checkout::check_out(&repo, &part.path().join("tree"), &origin.commit).await?;
        let whole = self.dir.join(&origin.commit);
        fs::rename(part.path(), &whole).map_err(GitError::file("rename", &whole))?;
        // It is no part any more.
        let _ = part.keep();
        let _ = File::open(&self.dir).and_then(|dir| dir.sync_all());
        Ok(self.used(origin))
    }

    /// The commit that was in force last, as far as it may still be used.
    ///
    /// # Errors
    /// When it may not.
    pub async fn good(&self) -> Result<Option<Arc<Checkout>>, GitError> {
        match self.in_force() {
            Some(commit) => self.find(&commit).await,
            None => Ok(None),
        }
    }

    /// Puts a commit in force.
    ///
    /// # Errors
    /// When the file system says no.
    pub fn put_in_force(&self, checkout: &Checkout) -> Result<(), GitError> {
        if self.in_force().as_deref() == Some(checkout.origin.commit.as_str()) {
            return Ok(());
        }
        let (link, beside) = (self.current(), self.dir.join("current.new"));
        let _ = fs::remove_file(&beside);
        // Renamed over the old one: a reader sees the one commit or the other.
        symlink(Path::new(&checkout.origin.commit).join("tree"), &beside)
            .and_then(|()| fs::rename(&beside, &link))
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(GitError::file("link", link))
    }

    /// The commit that is in force, or was when the last watch ended.
    pub fn in_force(&self) -> Option<String> {
        let target = fs::read_link(self.current()).ok()?;
        let commit = target.parent()?.to_str()?.to_owned();
        is_id(&commit).then_some(commit)
    }

    /// A commit that is there already. Its signature is checked again: the keys may have changed.
    async fn find(&self, commit: &str) -> Result<Option<Arc<Checkout>>, GitError> {
        let repo = self.dir.join(commit).join("repo");
        if !is_id(commit) || !repo.is_dir() {
            return Ok(None);
        }
        let origin = self.describe(&repo).await?;
        self.verify(&repo, commit).await?;
        Ok(Some(self.used(origin)))
    }

    /// One and the same for all who use it.
    fn used(&self, origin: Origin) -> Arc<Checkout> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|one| one.strong_count() > 0);
        let there = used.iter().filter_map(Weak::upgrade).find(|one| one.origin.commit == origin.commit);
        there.unwrap_or_else(|| {
            let checkout = Arc::new(Checkout { origin, clones: self.dir.clone() });
            used.push(Arc::downgrade(&checkout));
            checkout
        })
    }

    async fn describe(&self, repo: &Path) -> Result<Origin, GitError> {
        let log = Git::new(repo, Config::None, "read the commit").repo(repo).args([
            "log",
            "-1",
            "--no-show-signature",
        ]);
        let log = log.args(["--format=%H%x00%an%x00%s", "refs/heads/tip", "--"]);
        let printed = log.run(1 << 20).await?;
        let text = String::from_utf8_lossy(&printed);
        let mut parts = text.trim_end_matches('\n').splitn(3, '\0');
        let commit = parts.next().unwrap_or_default().to_owned();
        let mut short = |limit| parts.next().map(|part| part.chars().take(limit).collect::<String>());
        let (author, subject) = (short(60), short(120));
        if !is_id(&commit) {
            return Err(GitError::Failed { what: "read the commit".into(), said: "it has no id".into() });
        }
        Ok(Origin { commit, changed: false, branch: Some(self.remote.branch().into()), subject, author })
    }

    async fn verify(&self, repo: &Path, commit: &str) -> Result<(), GitError> {
        let Some(signers) = self.remote.signers() else { return Ok(()) };
        // Of the two kinds of signatures only the one that was asked for counts: keys of the other kind may be around.
        let git = Git::new(repo, Config::None, "check the signature").repo(repo);
        let git = match signers {
            Signers::Ssh(file) => git
                .set(joined("gpg.ssh.allowedSignersFile=", file))
                .set("gpg.program=/bin/false")
                .set("gpg.x509.program=/bin/false"),
            Signers::Gpg(home) => git
                .env("GNUPGHOME", home)
                .set("gpg.ssh.program=/bin/false")
                .set("gpg.x509.program=/bin/false"),
        };
        let ran = git.args(["verify-commit", "--", commit]).start(64 << 10).await?;
        if ran.code == Some(0) {
            return Ok(());
        }
        let why = match ran.said.as_str() {
            "" => "it is not signed".to_owned(),
            said => format!("its signature does not count: {said}"),
        };
        let hint =
            "sign it with a key that --verify-signatures names (`git commit --amend -S`), and push it again";
        Err(GitError::refused(commit, why, hint))
    }

    /// A call that goes to the remote, with the operator's keys.
    fn remotely(&self, at: &Path, what: String) -> Git {
        Git::new(at, Config::Operators, what).env("GIT_ALLOW_PROTOCOL", self.remote.protocols())
    }

    /// Removes what nobody uses. Only for the one who fetches, and not meanwhile. What cannot be removed now is tried
    /// again the next time.
    pub fn sweep(&self) {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used: Vec<Arc<Checkout>> = used.iter().filter_map(Weak::upgrade).collect();
        let in_force = self.in_force();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stays = in_force.as_ref() == Some(&name) || used.iter().any(|one| one.origin.commit == name);
            let fetched = is_id(&name) && !stays;
            if fetched || name.starts_with(PART) {
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
    }
}

impl Checkout {
    /// The directory with its files.
    pub fn tree(&self) -> PathBuf {
        self.clones.join(&self.origin.commit).join("tree")
    }
}
