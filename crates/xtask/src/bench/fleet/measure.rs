//! What one run of a program takes: time, processor, memory.
//!
//! The kernel hands the largest memory of a process on to the program that it becomes, so that a child of a large
//! process seems large. Hence a small process in between, which is this program again with a hidden task: it starts
//! what is measured, waits for it, and prints the figures.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use wait4::Wait4 as _;

use crate::error::{Context as _, TaskError};

/// Much more than anything here takes; what hangs must not hang the whole run.
const DEADLINE: Duration = Duration::from_mins(40);
/// How much of what a failed program said is shown.
const LAST_WORDS: usize = 2000;

/// What one run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// From its start to its end, in seconds.
    pub wall: f64,
    /// Processor time of it and its children, user and system, in seconds.
    pub cpu: f64,
    /// The most memory of any of them, in megabytes of 10^6 bytes.
    pub megabytes: f64,
    /// The exit code.
    pub code: i32,
}

impl Taken {
    /// From its start to its end.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.wall)
    }
}

/// The hidden task: runs a program, and writes what it took into a file.
#[derive(Debug, Args)]
pub struct MeasureOne {
    /// Where the figures go.
    #[arg(long)]
    to: PathBuf,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    line: Vec<OsString>,
}

/// The small process in between.
pub fn one(ask: &MeasureOne) -> Result<(), TaskError> {
    let Some((program, arguments)) = ask.line.split_first() else {
        return Err(TaskError::Found("nothing to measure was named".to_owned()));
    };
    let what = || format!("run {}", program.display());
    let mut command = std::process::Command::new(program);
    command.args(arguments);
    let start = Instant::now();
    let child = command.spawn().context(what)?;
    let used = child.wait4().context(what)?;
    let wall = start.elapsed().as_secs_f64();
    let taken = Taken {
        wall,
        cpu: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        // The kernel counts in KiB, which wait4 makes bytes of.
        megabytes: megabytes(used.rusage.maxrss),
        code: used.status.code().unwrap_or(-1),
    };
    let text = serde_json::to_string(&taken).unwrap_or_default();
    std::fs::write(&ask.to, text).context(|| format!("write {}", ask.to.display()))
}

/// Bytes as megabytes of 10^6.
#[expect(clippy::cast_precision_loss, reason = "no memory here has 2^52 bytes")]
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Job {
    program: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Job {
    /// `program` in `folder`, with the little environment that programs need.
    pub fn new(program: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let home = folder.join("home").into_os_string();
        let environment =
            [("PATH", path), ("HOME", home), ("NO_COLOR", "1".into()), ("LC_ALL", "C.UTF-8".into())];
        let environment = environment.map(|(name, value)| (name.into(), value)).into();
        Self { program: program.into(), arguments: Vec::new(), folder, environment }
    }

    /// With these arguments.
    pub fn args<I: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = I>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With this in its environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The same job under another program, as in `strace ... program arguments`.
    pub fn under(mut self, program: impl Into<PathBuf>, arguments: Vec<OsString>) -> Self {
        let inner = std::mem::replace(&mut self.program, program.into());
        self.arguments.splice(0..0, arguments.into_iter().chain([inner.into_os_string()]));
        self
    }

    fn name(&self) -> String {
        let words = self.arguments.iter().take(4).map(|word| word.to_string_lossy().into_owned());
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// To be started without being measured.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.folder).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end, which has to be a good one, and gives what it took.
    pub async fn run(&self) -> Result<Taken, TaskError> {
        self.run_and_read().await.map(|(taken, _)| taken)
    }

    /// The same, with what it printed.
    pub async fn run_and_read(&self) -> Result<(Taken, String), TaskError> {
        let name = self.name();
        let files = Files::new()?;
        let mut command = Command::new(own_program()?);
        command.args(["bench", "measure-one", "--to"]).arg(files.path("taken")).arg("--");
        command.arg(&self.program).args(&self.arguments);
        command.current_dir(&self.folder).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(files.create("stdout")?).stderr(files.create("stderr")?);
        command.process_group(0).kill_on_drop(true);
        let mut group = Group::of(command.spawn().context(|| format!("start {name}"))?);
        let Ok(status) = tokio::time::timeout(DEADLINE, group.child.wait()).await else {
            let tail = tail(&files.read("stderr")).to_owned();
            return Err(TaskError::Found(format!("{name} did not end within {DEADLINE:?}\n{tail}")));
        };
        status.context(|| format!("wait for {name}"))?;
        group.ended();
        let (stdout, stderr) = (files.read("stdout"), files.read("stderr"));
        let taken: Taken = serde_json::from_str(&files.read("taken"))
            .map_err(|_| TaskError::Found(format!("{name} could not be run\n{}", tail(&stderr))))?;
        if taken.code == 0 {
            return Ok((taken, stdout));
        }
        let (status, said) = (taken.code, tail(&format!("{stdout}\n{stderr}")).to_owned());
        Err(TaskError::Ended { what: name, status: format!("exit code {status}:\n{said}") })
    }
}

fn own_program() -> Result<PathBuf, TaskError> {
    std::env::current_exe().context(|| "find our own program".to_owned())
}

fn tail(text: &str) -> &str {
    let text = text.trim();
    &text[text.ceil_char_boundary(text.len().saturating_sub(LAST_WORDS))..]
}

/// The files of one run, gone when it is over.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new() -> Result<Self, TaskError> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("fkt-measured-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).context(|| format!("create {}", folder.display()))?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn create(&self, name: &str) -> Result<std::fs::File, TaskError> {
        let path = self.path(name);
        std::fs::File::create(&path).context(|| format!("create {}", path.display()))
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A process group that is killed whole unless it has ended by itself.
struct Group {
    child: Child,
    group: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Self { child, group }
    }

    fn ended(&mut self) {
        self.group = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
