//! A child process that never outlives us.
//!
//! It runs in a process group of its own, so that killing it takes its own children along. When we end without
//! dropping it (a killed test run), a small guard does the killing: a shell that waits on a pipe whose other end
//! is ours, and which therefore closes whatever way we go.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::error::{Context, RealError, Result, tail};

/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(50);
/// How long a process may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(30);
const LINES_OF_LOG_IN_ERRORS: usize = 30;

/// A running child process with its log file.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    group: Pid,
    guard: Child,
}

impl Process {
    /// Starts `command` with both its output streams appended to `log`.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = std::fs::File::options().create(true).append(true).open(log);
        let file = file.context(|| format!("open {}", log.display()))?;
        let errors = file.try_clone().context(|| format!("open {}", log.display()))?;
        command.process_group(0).stdin(Stdio::null()).stdout(file).stderr(errors);
        let mut child = command.spawn().context(|| format!("start {name}"))?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let Some(group) = group else {
            return Err(RealError::Died {
                name: name.to_owned(),
                status: "at once".to_owned(),
                tail: String::new(),
            });
        };
        let guard = match guard_of(group) {
            Ok(guard) => guard,
            Err(error) => {
                // The group would be left without a guard; better none at all.
                let _ = child.start_kill();
                return Err(error);
            }
        };
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child, group, guard })
    }

    /// The process id, which is the id of its process group as well.
    pub fn id(&self) -> u32 {
        self.group.as_raw_nonzero().get().cast_unsigned()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Asks `probe` until it says yes. Fails when the process ends first or `limit` passes.
    pub async fn wait_until<F, Fut>(&mut self, what: &str, limit: Duration, mut probe: F) -> Result<()>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                let tail = tail(&self.log, LINES_OF_LOG_IN_ERRORS);
                return Err(RealError::Died { name: self.name.clone(), status: status.to_string(), tail });
            }
            if probe().await {
                return Ok(());
            }
            if start.elapsed() > limit {
                let tail = tail(&self.log, LINES_OF_LOG_IN_ERRORS);
                let what = format!("{what} of {}", self.name);
                return Err(RealError::TimedOut { what, after: limit, tail });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context(|| format!("ask whether {} still runs", self.name))
    }

    /// Asks it to end (SIGTERM), waits, and kills it if it does not.
    pub async fn stop(mut self) -> Result<()> {
        let _ = kill_process_group(self.group, Signal::TERM);
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
        self.child.wait().await.context(|| format!("wait for {} to end", self.name))?;
        Ok(())
    }

    /// Kills it without warning (SIGKILL) and waits until it is gone.
    pub async fn kill(mut self) -> Result<()> {
        let _ = kill_process_group(self.group, Signal::KILL);
        self.child.wait().await.context(|| format!("wait for {} to end", self.name))?;
        Ok(())
    }

    /// Lets it live on after us: neither the drop nor the guard ends it any more. Returns its process id.
    pub fn keep(mut self) -> u32 {
        let _ = self.guard.start_kill();
        let id = self.id();
        std::mem::forget(self);
        id
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also after the leader has ended, since members of its group may still run.
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.guard.start_kill();
    }
}

/// `read` ends when the pipe closes, which happens when we end, however we end.
fn guard_of(group: Pid) -> Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", "read -r _; kill -s KILL -- \"-$1\" 2>/dev/null", "guard"])
        .arg(group.as_raw_nonzero().to_string())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context(|| "start the guard of a child process".to_owned())
}

/// A port on loopback that nobody listens on right now. Somebody may take it before we do: callers try again.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    let address =
        listener.and_then(|listener| listener.local_addr()).context(|| "find a free port".to_owned())?;
    Ok(address.port())
}

/// Whether `url` answers with a success.
pub async fn answers(client: &reqwest::Client, url: &str) -> bool {
    match client.get(url).timeout(Duration::from_secs(5)).send().await {
        Ok(response) => response.status().is_success(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(log: &Path) -> Process {
        let mut command = Command::new("/bin/sh");
        // A grandchild in the same group: what a gateway's own helpers are to us.
        command.args(["-c", "sleep 600 & echo started $!; wait"]);
        Process::spawn("sleeper", command, log).expect("starts")
    }

    async fn grandchild(process: &mut Process) -> Pid {
        let log = process.log().to_owned();
        let line = || std::fs::read_to_string(&log).unwrap_or_default();
        let probe = || async { line().contains('\n') };
        process.wait_until("its first line", Duration::from_mins(1), probe).await.expect("writes");
        let id = line().split_whitespace().nth(1).expect("an id").parse().expect("a number");
        Pid::from_raw(id).expect("not zero")
    }

    async fn is_gone(pid: Pid) -> bool {
        for _ in 0..600 {
            let status =
                std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            // A zombie that init has not collected yet counts as gone.
            if status.is_empty() || status.contains(") Z ") {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }

    #[tokio::test]
    async fn dropping_a_process_takes_its_children_along() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut process = sleeper(&dir.path().join("log"));
        let grandchild = grandchild(&mut process).await;
        drop(process);
        assert!(is_gone(grandchild).await);
    }

    #[tokio::test]
    async fn the_guard_kills_when_we_end_without_a_drop() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut process = sleeper(&dir.path().join("log"));
        let grandchild = grandchild(&mut process).await;
        // What our own death does: the pipe closes, and nothing else happens.
        drop(process.guard.stdin.take());
        assert!(is_gone(grandchild).await);
    }

    #[tokio::test]
    async fn a_process_that_ends_early_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo out of luck; exit 7"]);
        let mut process = Process::spawn("unlucky", command, &dir.path().join("log")).expect("starts");
        let error = process.wait_until("readiness", Duration::from_mins(1), || async { false }).await;
        let text = error.expect_err("never ready").to_string();
        assert!(text.contains("exit status: 7") && text.contains("out of luck"), "{text}");
    }
}
