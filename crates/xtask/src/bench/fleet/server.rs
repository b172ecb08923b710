//! The homeserver, with what it is asked and what that costs it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fraktalia_testkit::real::{Cache, Person, Synapse, SynapseOptions};

use super::calls::Calls;
use crate::bench::process;
use crate::error::{Context as _, TaskError};

/// The part of ids after the colon.
pub const SERVER_NAME: &str = "chat.bench";
/// In the path of a call of our own that marks a place in the log.
const PROBE: &str = "probe=";
const DEADLINE: Duration = Duration::from_secs(30);

/// A running Synapse.
pub struct Server {
    synapse: Synapse,
    bot: Person,
    pid: u32,
    probes: std::cell::Cell<usize>,
}

/// A moment, from which on calls and processor time count.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    offset: u64,
    cpu: f64,
}

/// What the homeserver had to do since a [`Mark`].
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Each call.
    pub calls: Calls,
    /// Its processor time, in seconds.
    pub cpu: f64,
}

impl Server {
    /// A fresh one with the limits that a real installation has, its data in `folder`.
    pub async fn start(cache: &Cache, folder: &Path) -> Result<Self, TaskError> {
        let options = SynapseOptions { server_name: SERVER_NAME.to_owned(), ..SynapseOptions::default() };
        let synapse = Synapse::start_with(cache, folder, options).await?;
        let bot = synapse.register("agent", "bot-password", false).await?;
        let pid = process_with(&synapse.dir().join("homeserver.yaml"))?;
        Ok(Self { synapse, bot, pid, probes: std::cell::Cell::new(0) })
    }

    /// Base URL.
    pub fn base_url(&self) -> String {
        self.synapse.base_url()
    }

    /// Its administrator, as whom the program works.
    pub fn admin(&self) -> &Person {
        self.synapse.admin()
    }

    /// The user of the gateway.
    pub fn bot(&self) -> &Person {
        &self.bot
    }

    /// From now on.
    pub async fn mark(&self) -> Result<Mark, TaskError> {
        self.settle().await?;
        let offset = std::fs::metadata(self.log()).context(|| "look at the log of Synapse".to_owned())?.len();
        Ok(Mark { offset, cpu: process::seconds(self.pid) })
    }

    /// What was asked since then.
    pub async fn since(&self, mark: Mark) -> Result<Asked, TaskError> {
        let cpu = process::seconds(self.pid) - mark.cpu;
        self.settle().await?;
        Ok(Asked { calls: Calls::read(&self.log(), mark.offset, PROBE)?, cpu })
    }

    /// Ends it in order.
    pub async fn stop(mut self) -> Result<(), TaskError> {
        Ok(self.synapse.stop().await?)
    }

    fn log(&self) -> PathBuf {
        self.synapse.dir().join("homeserver.log")
    }

    /// A request is logged after it was answered; the log has all of them when it has a later one.
    async fn settle(&self) -> Result<(), TaskError> {
        self.probes.set(self.probes.get() + 1);
        let probe = format!("{PROBE}{}z", self.probes.get());
        let before = std::fs::metadata(self.log()).map_or(0, |data| data.len());
        self.admin().get(&format!("/_matrix/client/versions?{probe}")).await?;
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            if read_from(&self.log(), before).contains(&probe) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(TaskError::Found(format!("{} has no line about {probe}", self.log().display())))
    }
}

fn read_from(path: &Path, offset: u64) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut text = Vec::new();
    if let Ok(mut file) = std::fs::File::open(path)
        && file.seek(SeekFrom::Start(offset)).is_ok()
    {
        let _ = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The process that has `path` among its arguments.
fn process_with(path: &Path) -> Result<u32, TaskError> {
    let path = path.to_string_lossy();
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == path.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").context(|| "list processes".to_owned())?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.filter(has).min();
    found.ok_or_else(|| TaskError::Found(format!("no process runs on {path}")))
}
