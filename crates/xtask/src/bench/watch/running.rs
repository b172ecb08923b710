//! A watch that runs, of which each line is read when it comes.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::bench::fleet::world::World;
use crate::error::{Context as _, TaskError};

/// Much longer than anything takes that is noticed at all.
const PATIENCE: Duration = Duration::from_mins(1);

/// `fraktalia watch --log-format json`, which changes nothing.
pub struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    /// Starts it. It looks when it is woken, and not by the clock.
    pub fn start(world: &World) -> Result<Self, TaskError> {
        let mut command = world.job(&["watch", "-v", "--log-format", "json", "--every", "1h"]).command();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = child.context(|| "start the watch".to_owned())?;
        let stdout = child.stdout.take().ok_or_else(|| TaskError::Found("the watch is mute".to_owned()))?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    async fn until(&mut self, which: impl Fn(&Value) -> bool) -> Result<(), TaskError> {
        tokio::time::timeout(PATIENCE, self.waits_for(which)).await.unwrap_or_else(|_| {
            Err(TaskError::Found(format!("the watch said nothing of it for {PATIENCE:?}")))
        })
    }

    async fn waits_for(&mut self, which: impl Fn(&Value) -> bool) -> Result<(), TaskError> {
        while let Some(line) =
            self.lines.next_line().await.context(|| "read what the watch says".to_owned())?
        {
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if which(&said) {
                return Ok(());
            }
        }
        Err(TaskError::Found("the watch ended early".to_owned()))
    }

    /// Waits until it hears all of these systems.
    pub async fn hears(&mut self, systems: &[&str]) -> Result<(), TaskError> {
        let mut open = systems.to_vec();
        while !open.is_empty() {
            let heard = std::cell::RefCell::new(String::new());
            self.until(|line| {
                line["system"].as_str().unwrap_or_default().clone_into(&mut heard.borrow_mut());
                line["happening"] == "heard"
            })
            .await?;
            open.retain(|system| *system != *heard.borrow());
        }
        self.is_in_sync().await
    }

    /// Waits for a look that finds a change whose id has this in it.
    pub async fn finds(&mut self, part: &str) -> Result<(), TaskError> {
        let is_there = |change: &Value| change["id"].as_str().is_some_and(|id| id.contains(part));
        self.until(|line| line["changes"].as_array().is_some_and(|all| all.iter().any(is_there))).await
    }

    /// Asks for a look, until one finds all as it should be: whatever was done before is behind us then.
    pub async fn is_in_sync(&mut self) -> Result<(), TaskError> {
        self.signal(Signal::HUP)?;
        let by_signal = |line: &Value| {
            line["causes"].as_array().is_some_and(|all| all.iter().any(|cause| cause["who"] == "SIGHUP"))
        };
        self.until(|line| line["happening"] == "looked" && line["in_sync"] == true && by_signal(line)).await
    }

    /// Asks it to end.
    pub async fn end(mut self) -> Result<(), TaskError> {
        self.signal(Signal::TERM)?;
        self.child.wait().await.context(|| "wait for the watch".to_owned())?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), TaskError> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| TaskError::Found("the watch ended early".to_owned()))?;
        kill_process(pid, signal).map_err(std::io::Error::from).context(|| "signal the watch".to_owned())
    }
}
