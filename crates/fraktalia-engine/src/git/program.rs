//! Runs `git` so that it asks nobody, runs nothing that a repository names, and ends.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::error::GitError;

/// What of its complaints is kept.
const WORDS: u64 = 2 << 10;
/// Variables of git's own that are the operator's to set: ways to a remote, and to the keys for it.
const KEPT: [&str; 6] =
    ["GIT_SSH_COMMAND", "GIT_SSH", "GIT_ASKPASS", "GIT_SSL_CAINFO", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"];
/// What holds for every call. No configuration of a repository can say otherwise: it comes before all files.
const ALWAYS: [&str; 10] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    // What is broken or made to deceive is refused when it arrives.
    "transfer.fsckObjects=true",
    "transfer.bundleURI=false",
    // One file for all that arrives, so that its size can be bounded.
    "fetch.unpackLimit=1",
    "core.bigFileThreshold=1m",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Whose configuration holds besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Config {
    /// The operator's: credentials, proxies, keys.
    Operators,
    /// Nobody's.
    None,
}

/// One call of the program.
pub struct Git {
    command: Command,
    what: String,
    within: Duration,
    largest_file: Option<u64>,
}

impl Git {
    /// In the directory `at`; `what` is what it is for, as a short imperative.
    pub fn new(at: &Path, config: Config, what: impl Into<String>) -> Self {
        let mut command = Command::new("git");
        let ours = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with("GIT_"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
            if !KEPT.iter().any(|kept| name == *kept) {
                command.env_remove(name);
            }
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
        // Without it, ssh would ask on the terminal: for a passphrase, or whether a host key is right.
        command.env("SSH_ASKPASS", "/bin/false").env("SSH_ASKPASS_REQUIRE", "force");
        if config == Config::None {
            command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        }
        command.arg("--no-pager").arg("-C").arg(at);
        for setting in ALWAYS {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: its helpers end with it.
        command.process_group(0).kill_on_drop(true);
        Self { command, what: what.into(), within: Duration::from_secs(30), largest_file: None }
    }

    /// With a setting of its own.
    #[must_use]
    pub fn set(mut self, setting: impl AsRef<OsStr>) -> Self {
        self.command.arg("-c").arg(setting);
        self
    }

    /// In this repository, and none that is found on the way up.
    #[must_use]
    pub fn repo(self, repo: &Path) -> Self {
        self.env("GIT_DIR", repo)
    }

    /// With a variable of its own.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With these arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args.into_iter().map(Into::into));
        self
    }

    /// Killed when it takes longer.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Killed when it writes a larger file.
    #[must_use]
    pub fn writing_at_most(mut self, bytes: u64) -> Self {
        self.largest_file = Some(bytes);
        self
    }

    /// What it printed, of which there may be so many bytes.
    ///
    /// # Errors
    /// When it cannot be started, fails, prints more, or does not end.
    pub async fn run(self, limit: u64) -> Result<Vec<u8>, GitError> {
        let what = self.what.clone();
        let ran = self.start(limit).await?;
        if ran.code == Some(0) {
            return Ok(ran.printed);
        }
        let said = match (ran.code, ran.said.as_str()) {
            (None, "") => "it was killed, perhaps since something was too large".into(),
            (Some(code), "") => format!("it ended with {code}"),
            (_, said) => said.to_owned(),
        };
        Err(GitError::Failed { what, said })
    }

    /// The same, whatever code it ended with.
    ///
    /// # Errors
    /// When it cannot be started, prints more, or does not end.
    pub async fn start(mut self, limit: u64) -> Result<Ran, GitError> {
        let mut child = self.command.spawn().map_err(GitError::Program)?;
        let mut group = Group::of(&child);
        if let (Some(bytes), Some(pid)) = (self.largest_file, group.0) {
            let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
            // It may have ended already; then it has written nothing that is too large.
            let _ = prlimit(Some(pid), Resource::Fsize, limit);
        }
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let all = async {
            let (printed, said) = tokio::join!(bounded(stdout, limit), bounded(stderr, WORDS));
            (printed, said, child.wait().await)
        };
        let Ok((printed, said, status)) = tokio::time::timeout(self.within, all).await else {
            return Err(GitError::TimedOut { what: self.what, after: self.within });
        };
        group.ended();
        let status = status.map_err(GitError::Program)?;
        if printed.len() as u64 > limit {
            let said = format!("it printed more than {limit} bytes");
            return Err(GitError::Failed { what: self.what, said });
        }
        Ok(Ran { code: status.code(), printed, said: words(&said) })
    }
}

/// How a call ended.
pub struct Ran {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its data.
    pub printed: Vec<u8>,
    /// Its complaints.
    pub said: String,
}

/// At most `limit` bytes and one more; the rest is read and dropped, so that the other side is not stuck.
pub async fn bounded(from: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let mut first = from.take(limit + 1);
        let _ = first.read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut first.into_inner(), &mut tokio::io::sink()).await;
    }
    bytes
}

/// Complaints on one line, without what git says before each.
fn words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines =
        said.lines().map(|line| line.trim().trim_start_matches("fatal: ").trim_start_matches("error: "));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).take(6).collect();
    lines.join("; ")
}

/// The processes of a call. All of them are killed when it is dropped before it ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It has not been waited for, so the number is still its own.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A path as an argument that is none of git's options.
pub fn joined(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(PathBuf::from(path));
    argument
}
