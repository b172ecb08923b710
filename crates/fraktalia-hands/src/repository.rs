//! The repository that the manifest lies in. It is the operator's: what is staged there stays staged, nothing is committed
//! but what we wrote, and nothing of theirs is pushed.
//!
//! Hooks of the repository are not run, as [`Git`] has it for all calls: one that asks, or waits, would stop the desk, and
//! what a hook could find was found by `check` before anybody was asked. Hooks of the remote run, and may refuse.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fraktalia_desk::Key;
use fraktalia_engine::git::GitError;
use fraktalia_engine::git::program::{Config, Git, Ran};

/// The line of a commit that says which act made it.
pub const ACT: &str = "Fraktalia-Act";
/// The line of a commit that says which act it takes back.
pub const TAKEN_BACK: &str = "Fraktalia-Taken-Back";
/// Most bytes of an answer.
const ANSWER: u64 = 4 << 20;
/// A push takes no longer.
const PUSH: Duration = Duration::from_mins(1);

/// A work tree.
pub struct Repository {
    top: PathBuf,
    /// Who commits, where git does not know.
    fallback: Option<(String, String)>,
}

/// What became of an act, by its last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was committed.
    Committed(String),
    /// That was taken back.
    TakenBack,
}

/// Where a branch comes from.
pub struct Upstream {
    remote: String,
    branch: String,
    tracking: String,
}

impl Repository {
    /// The one that holds a directory.
    pub async fn of(dir: &Path, server: &str) -> Result<Self, String> {
        let existing = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(dir);
        let git = Git::new(existing, Config::Operators, "find the repository");
        let top = git.args(["rev-parse", "--show-toplevel"]).run(ANSWER).await.map_err(|error| {
            format!(
                "{} lies in no repository of git: {error}; or set `admin_room.commit: false`",
                dir.display()
            )
        })?;
        let top = PathBuf::from(line(&top));
        let mut repository = Self { top, fallback: None };
        let git = repository.git("ask who commits").set("user.useConfigOnly=true");
        let known = git.args(["var", "GIT_COMMITTER_IDENT"]).start(ANSWER).await.map_err(said)?;
        if known.code != Some(0) {
            repository.fallback = Some(("fraktalia".into(), format!("fraktalia@{server}")));
        }
        Ok(repository)
    }

    fn git(&self, what: &str) -> Git {
        let mut git = Git::new(&self.top, Config::Operators, what).env("GIT_LITERAL_PATHSPECS", "1");
        if let Some((name, mail)) = &self.fallback {
            for (variable, value) in [("NAME", name), ("EMAIL", mail)] {
                git = git.env(&format!("GIT_AUTHOR_{variable}"), value);
                git = git.env(&format!("GIT_COMMITTER_{variable}"), value);
            }
        }
        git
    }

    async fn line(&self, what: &str, args: &[&str]) -> Result<String, String> {
        Ok(line(&self.git(what).args(args).run(ANSWER).await.map_err(said)?))
    }

    async fn code(&self, what: &str, args: Vec<OsString>) -> Result<Ran, String> {
        self.git(what).args(args).start(ANSWER).await.map_err(said)
    }

    /// What became of an act. No line of ours holds what an agent wrote, so that none can be forged.
    pub async fn done(&self, key: &Key) -> Result<Option<Done>, String> {
        if self.code("look for commits", words(["rev-parse", "--verify", "--quiet", "HEAD"])).await?.code
            != Some(0)
        {
            return Ok(None);
        }
        Ok(self.traces("HEAD", key).await?.into_iter().next())
    }

    /// What commits that lead to `tip` say of an act, the newest first.
    async fn traces(&self, tip: &str, key: &Key) -> Result<Vec<Done>, String> {
        let (act, back) = (format!("{ACT}: {key}"), format!("{TAKEN_BACK}: {key}"));
        let (of_act, of_back) = (format!("--grep={act}"), format!("--grep={back}"));
        let form = "--format=%x00%H%n%(trailers:only=true,unfold=true)";
        let args = ["log", "--max-count=50", "--fixed-strings", &of_act, &of_back, form, tip, "--"];
        let log = self.git("look for the commit").args(args).run(ANSWER).await.map_err(said)?;
        let log = String::from_utf8_lossy(&log);
        let mut traces = Vec::new();
        for commit in log.split('\0') {
            let mut lines = commit.lines();
            let Some(id) = lines.next() else { continue };
            // The same key may be the beginning of another's.
            traces.extend(lines.find_map(|trailer| match trailer {
                trailer if trailer == act => Some(Done::Committed(id.to_owned())),
                trailer if trailer == back => Some(Done::TakenBack),
                _ => None,
            }));
        }
        Ok(traces)
    }

    /// Whether a file has changes that were not committed.
    pub async fn is_dirty(&self, path: &Path) -> Result<bool, String> {
        let status = self.git("look at the file").args(["status", "--porcelain", "--"]).args([path]);
        Ok(!status.run(ANSWER).await.map_err(said)?.is_empty())
    }

    /// Commits these files as they are, and nothing else; what else is staged stays staged.
    pub async fn commit(&self, paths: &[PathBuf], message: &str) -> Result<(), String> {
        let there: Vec<&PathBuf> = paths.iter().filter(|path| path.symlink_metadata().is_ok()).collect();
        if !there.is_empty() {
            self.git("stage the file").args(["add", "--"]).args(there).run(ANSWER).await.map_err(said)?;
        }
        let commit = self.git("commit the file").args(["commit", "--quiet", "--only", "--no-verify"]);
        let commit = commit.args([format!("--message={message}")]).args(["--"]).args(paths);
        commit.run(ANSWER).await.map(drop).map_err(said)
    }

    /// A file that was staged and not committed is not staged any more.
    pub async fn unstage(&self, path: &Path) -> Result<(), String> {
        let reset = self.git("unstage the file").args(["reset", "--quiet", "--"]).args([path]);
        reset.run(ANSWER).await.map(drop).map_err(said)
    }

    /// Where the branch comes from.
    pub async fn upstream(&self) -> Result<Upstream, String> {
        let none = |why: String| {
            format!(
                "there is nowhere to push to ({why}); `git push --set-upstream` at a terminal says where, or set \
                     `admin_room.push: false`"
            )
        };
        let branch =
            self.line("find the branch", &["symbolic-ref", "--short", "HEAD"]).await.map_err(none)?;
        let of = |name: &str| format!("branch.{branch}.{name}");
        let remote = self.line("find its remote", &["config", "--get", &of("remote")]).await.map_err(none)?;
        let merge =
            self.line("find its remote branch", &["config", "--get", &of("merge")]).await.map_err(none)?;
        let args = ["rev-parse", "--symbolic-full-name", "@{upstream}"];
        let tracking = self.line("find its remote branch", &args).await.map_err(none)?;
        Ok(Upstream { remote, branch: merge, tracking })
    }

    /// Refuses where a push would take along commits that are not ours: publishing those was not asked.
    pub async fn only_ours(&self, upstream: &Upstream) -> Result<(), String> {
        let range = format!("{}..HEAD", upstream.tracking);
        let ours = format!("--grep=^({ACT}|{TAKEN_BACK}): ");
        let args = ["rev-list", "--count", "--extended-regexp", "--invert-grep", &ours, &range];
        let others = self.line("look for commits that are not pushed", &args).await?;
        if others == "0" {
            return Ok(());
        }
        Err(format!(
            "{others} commits of the branch are not pushed, and are not ours to push; push them first"
        ))
    }

    /// Pushes what is committed.
    pub async fn push(&self, upstream: &Upstream) -> Result<(), String> {
        self.only_ours(upstream).await?;
        let to = format!("HEAD:{}", upstream.branch);
        let push = self.git("push the commit").within(PUSH);
        let push = push.args(["push", "--quiet", "--no-follow-tags", "--", &upstream.remote, &to]);
        push.run(ANSWER).await.map(drop).map_err(said)
    }

    /// Whether the remote has it, as far as we know.
    pub async fn is_pushed(&self, upstream: &Upstream, commit: &str) -> Result<bool, String> {
        let args = words(["merge-base", "--is-ancestor", commit, &upstream.tracking]);
        Ok(self.code("look whether it is pushed", args).await?.code == Some(0))
    }

    /// Pushes the commit that takes an act back, if the remote has what it takes back and not yet the way back.
    pub async fn push_the_way_back(&self, upstream: &Upstream, key: &Key) -> Result<(), String> {
        let there = self.traces(&upstream.tracking, key).await?;
        match there.first() {
            Some(Done::Committed(_)) => self.push(upstream).await,
            _ => Ok(()),
        }
    }

    /// Takes a commit back by another one. Not by `git revert`, which refuses as soon as anything is staged.
    pub async fn take_back(&self, commit: &str, key: &Key) -> Result<(), String> {
        let parent = self.parent(commit).await?;
        let args = ["diff-tree", "--no-commit-id", "--name-only", "--root", "-r", "-z", commit];
        let names = self.git("read the commit").args(args).run(ANSWER).await.map_err(said)?;
        let names = String::from_utf8_lossy(&names).into_owned();
        let names: Vec<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
        for name in &names {
            self.is_as_committed(commit, &parent, name).await?;
        }
        let mut paths = Vec::new();
        for name in names {
            let path = self.top.join(name);
            let had = words(["cat-file", "-e", &format!("{parent}:{name}")]);
            if self.code("look at the file", had).await?.code == Some(0) {
                let back = self.git("restore the file").args(["checkout", "--quiet", &parent, "--", name]);
                back.run(ANSWER).await.map_err(said)?;
            } else if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(format!("cannot remove {}: {error}", path.display()));
            }
            paths.push(path);
        }
        let subject = self.line("read the commit", &["log", "-1", "--format=%s", commit]).await?;
        let message =
            format!("Revert \"{subject}\"\n\nThis reverts commit {commit}.\n\n{TAKEN_BACK}: {key}\n");
        self.commit(&paths, &message).await
    }

    async fn parent(&self, commit: &str) -> Result<String, String> {
        let first = format!("{commit}^");
        let parent =
            self.code("find its parent", words(["rev-parse", "--verify", "--quiet", &first])).await?;
        if parent.code == Some(0) {
            return Ok(line(&parent.printed));
        }
        // The first commit comes after the empty tree.
        self.line("find its parent", &["hash-object", "-t", "tree", "/dev/null"]).await
    }

    /// What somebody else made of it since stays theirs.
    async fn is_as_committed(&self, commit: &str, parent: &str, name: &str) -> Result<(), String> {
        let changed = || format!("{name} was changed since; `git revert {commit}` at a terminal, and merge");
        let same = words(["diff", "--quiet", commit, "HEAD", "--", name]);
        if self.code("compare the file", same).await?.code != Some(0) {
            return Err(changed());
        }
        // As it was committed, or already taken back by an attempt that did not come to its end.
        for tree in [commit, parent] {
            let same = words(["diff", "--quiet", tree, "--", name]);
            if self.code("compare the file", same).await?.code == Some(0) {
                return self.is_not_there_anew(commit, parent, name).await;
            }
        }
        Err(changed())
    }

    /// What a commit removed may have been written again since, without anything of it being staged: a comparison does not
    /// see that, and to restore the old file would be to write over the new one.
    async fn is_not_there_anew(&self, commit: &str, parent: &str, name: &str) -> Result<(), String> {
        let kept = words(["cat-file", "-e", &format!("{commit}:{name}")]);
        if self.top.join(name).symlink_metadata().is_err()
            || self.code("look at the file", kept).await?.code == Some(0)
        {
            return Ok(());
        }
        let old = self.line("read the commit", &["rev-parse", &format!("{parent}:{name}")]).await?;
        if self.line("read the file", &["hash-object", "--", name]).await? == old {
            return Ok(());
        }
        Err(format!("{name} was written anew since; `git revert {commit}` at a terminal, and merge"))
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.into_iter().map(OsString::from).collect()
}

fn line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned()
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn said(error: GitError) -> String {
    let text = match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    crate::text::plain(&text)
}
