//! The `fraktalia` command as a child: no shell, nothing on its stdin, what it prints is bounded, and it ends.
//!
//! A child that only looks ends with us. One that writes does not: when we die it finishes what it began, the lock keeps
//! others away meanwhile, and who asks again under the same key finds its journal.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use fraktalia_engine::git::program::bounded;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::Hands;
use crate::text::reason;

/// Most bytes of an answer.
const ANSWER: u64 = 16 << 20;
/// Most bytes of what is said besides: of its end, where the errors are.
const TALK: usize = 64 << 10;
/// Longest line of an event.
const LINE: u64 = 256 << 10;
/// A look takes no longer.
const LOOK: Duration = Duration::from_mins(3);

/// How a child ended.
pub struct Said {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its data.
    pub data: Vec<u8>,
    /// Its talk.
    pub talk: String,
}

impl Said {
    /// Why it failed, in its own words.
    pub fn reason(&self) -> String {
        match (self.code, reason(&self.talk)) {
            (None, said) if said.is_empty() => "the `fraktalia` command was killed".into(),
            (Some(code), said) if said.is_empty() => {
                format!("the `fraktalia` command ended with {code}: {}", meaning(code))
            }
            (_, said) => said,
        }
    }

    /// Its data as text.
    pub fn text(&self) -> String {
        crate::text::plain(&String::from_utf8_lossy(&self.data))
    }
}

/// What an exit code of the `fraktalia` command means.
pub fn meaning(code: i32) -> &'static str {
    match code {
        0 => "done",
        3 => "changes are pending",
        10 => "the manifest is invalid",
        11 => "a system could not be observed",
        12 => "the plan is stale",
        13 => "an unfinished run exists",
        14 => "another run is at work",
        15 => "something is in the way",
        17 => "the audit was changed",
        20 => "it failed, and all was taken back",
        21 => "it failed, and not all could be taken back",
        22 => "applied, but a second plan is not empty",
        _ => "it failed",
    }
}

/// The arguments of a call.
pub fn args<const N: usize>(args: [&str; N]) -> Vec<OsString> {
    args.into_iter().map(OsString::from).collect()
}

impl Hands {
    fn command(&self, args: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        // Before the command: behind it there may be a `--`.
        command.arg("--manifest").arg(&self.manifest).arg("--state").arg(self.state.root()).args(args);
        command.env("NO_COLOR", "1").env_remove("CLICOLOR_FORCE").env_remove("JOURNAL_STREAM");
        // The words to systemd are those of the program that we are in.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C at our terminal is for us to pass on.
        command.process_group(0);
        command
    }

    /// A call that changes nothing. It is ended when it takes too long.
    pub(crate) async fn ask(&self, args: &[OsString]) -> Result<Said, String> {
        let mut command = self.command(args);
        command.kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| self.cannot_start(&error))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let all = async {
            let (data, talk) = tokio::join!(bounded(stdout, ANSWER), tail(stderr));
            (data, talk, child.wait().await)
        };
        let Ok((data, talk, status)) = tokio::time::timeout(LOOK, all).await else {
            return Err(format!(
                "the `fraktalia` command did not answer within {} s; a system may hang: `fraktalia doctor`",
                LOOK.as_secs()
            ));
        };
        let status = status.map_err(|error| self.cannot_start(&error))?;
        if data.len() as u64 > ANSWER {
            return Err(format!("the answer is larger than {} MiB", ANSWER >> 20));
        }
        Ok(Said { code: status.code(), data, talk: String::from_utf8_lossy(&talk).into_owned() })
    }

    /// A child that stays, with its events on stdout.
    pub(crate) fn stay(&self, args: &[OsString]) -> Result<Child, String> {
        self.command(args).kill_on_drop(true).spawn().map_err(|error| self.cannot_start(&error))
    }

    /// A call that writes: each event is told as it comes, and `stop` turned true asks it to take back.
    pub(crate) async fn work(
        &self,
        args: &[OsString],
        begun: impl FnOnce(u32),
        mut tell: impl FnMut(&str),
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Said, String> {
        let mut child = self.command(args).spawn().map_err(|error| self.cannot_start(&error))?;
        let pid = child.id();
        if let Some(pid) = pid {
            begun(pid);
        }
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let talk = tail(stderr);
        let mut all = std::pin::pin!(async {
            let (talk, ()) = tokio::join!(talk, lines(stdout, &mut tell));
            (talk, child.wait().await)
        });
        let mut asked = false;
        let (talk, status) = loop {
            tokio::select! {
                ended = &mut all => break ended,
                () = turned(stop), if !asked => {
                    asked = true;
                    interrupt(pid);
                }
            }
        };
        let status = status.map_err(|error| self.cannot_start(&error))?;
        Ok(Said { code: status.code(), data: Vec::new(), talk: String::from_utf8_lossy(&talk).into_owned() })
    }

    fn cannot_start(&self, error: &std::io::Error) -> String {
        format!("cannot run {}: {error}; is fraktalia installed there?", self.program.display())
    }
}

/// What Ctrl-C sends.
fn interrupt(pid: Option<u32>) {
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
        // It has not been waited for, so the number is still its own.
        let _ = kill_process(pid, Signal::INT);
    }
}

/// Waits until somebody wants it stopped; for ever when nobody can any more.
async fn turned(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The end of what is said.
async fn tail(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut part = vec![0; 8 << 10];
    while let Ok(read @ 1..) = from.read(&mut part).await {
        kept.extend_from_slice(&part[..read]);
        if kept.len() > 2 * TALK {
            kept.drain(..kept.len() - TALK);
        }
    }
    kept
}

/// Each line that is not too long.
pub async fn lines(from: Option<impl AsyncRead + Unpin>, tell: &mut impl FnMut(&str)) {
    let Some(from) = from else { return };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    let mut whole = true;
    loop {
        line.clear();
        match (&mut from).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let ended = line.last() == Some(&b'\n');
                if let (true, true, Ok(text)) = (whole, ended, std::str::from_utf8(&line)) {
                    tell(text.trim_end());
                }
                whole = ended;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_long_does_not_fill_the_memory_and_the_end_of_talk_is_kept() {
        let long = [vec![b'x'; 1 << 20], b"\nerror: the end\n".to_vec()].concat();
        assert_eq!(bounded(Some(&long[..]), 100).await.len(), 101);
        let kept = tail(Some(&long[..])).await;
        assert!(kept.len() <= 2 * TALK && kept.ends_with(b"error: the end\n"));
        let mut told = Vec::new();
        lines(Some(&long[..]), &mut |line| told.push(line.to_owned())).await;
        assert_eq!(told, ["error: the end"], "and a line that is too long is none");
    }
}
