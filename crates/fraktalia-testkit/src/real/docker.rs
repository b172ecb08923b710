//! A Docker engine that answers: the one that runs already, or one that we start and end.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::cache::{Cache, create_dir};
use super::error::{Context, RealError, Result};
use super::install::image_tarball;
use super::process::Process;

pub use super::install::{BUSYBOX, DEBIAN};

/// Where an engine is expected.
pub const SOCKET: &str = "/var/run/docker.sock";

/// A running engine. Dropping it ends the engine only if we started it.
#[derive(Debug)]
pub struct Docker {
    started: Option<Process>,
}

impl Docker {
    /// Makes sure that an engine answers on [`SOCKET`], starting `dockerd` (as root) if none does.
    pub async fn ensure(cache: &Cache) -> Result<Self> {
        if is_answering() {
            return Ok(Self { started: None });
        }
        if !rustix::process::geteuid().is_root() || !is_installed() {
            return Err(RealError::Missing {
                what: format!("a Docker engine on {SOCKET}"),
                hint: "start Docker, or run `cargo xtask install` as root".to_owned(),
            });
        }
        create_dir(&cache.logs())?;
        let mut command = Command::new("dockerd");
        command.arg("--host").arg(format!("unix://{SOCKET}"));
        let mut process = Process::spawn("dockerd", command, &cache.logs().join("dockerd.log"))?;
        process.wait_until("an answer", Duration::from_mins(2), || async { is_answering() }).await?;
        Ok(Self { started: Some(process) })
    }

    /// Whether this is an engine that we started.
    pub fn is_ours(&self) -> bool {
        self.started.is_some()
    }

    /// Makes sure that the engine has [`BUSYBOX`] or [`DEBIAN`], from the tarball in the cache.
    pub async fn base_image(&self, cache: &Cache, image: &str) -> Result<()> {
        if docker(&["image", "inspect", image]).await.is_ok() {
            return Ok(());
        }
        let tarball = image_tarball(cache, image)?;
        let tarball = tarball.to_string_lossy();
        let label = "LABEL io.fraktalia.test=1";
        docker(&["import", "--change", r#"CMD ["/bin/sh"]"#, "--change", label, &tarball, image]).await?;
        Ok(())
    }

    /// Ends the engine if we started it, and lets its containers end in order.
    pub async fn stop(self) -> Result<()> {
        match self.started {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Leaves an engine that we started running after us.
    pub fn keep(self) {
        if let Some(process) = self.started {
            process.keep();
        }
    }
}

/// Runs the `docker` command line and gives what it printed.
pub async fn docker(args: &[&str]) -> Result<String> {
    let what = format!("docker {}", args.first().unwrap_or(&""));
    let output = Command::new("docker").args(args).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.context(|| format!("start {what}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(RealError::Died { name: what, status: output.status.to_string(), tail })
}

/// The ids of the containers that the OpenClaw in `home` made: those that mount something out of it.
pub fn sandboxes_of(home: &Path) -> Vec<String> {
    let run = |args: &[&str]| {
        let output = std::process::Command::new("docker").args(args).stdin(Stdio::null()).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    if !Path::new(SOCKET).exists() {
        return Vec::new();
    }
    let all = run(&["ps", "--all", "--quiet", "--filter", "label=openclaw.sandbox=1"]);
    let format = ["inspect", "--format", "{{.Id}} {{json .HostConfig.Binds}}"];
    let ids: Vec<&str> = all.split_whitespace().collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let inside = format!("\"{}/", home.display());
    let lines = run(&[&format[..], &ids[..]].concat());
    let mine = lines.lines().filter(|line| line.contains(&inside));
    mine.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Removes them, as far as that goes: it is a tidying up, and nothing depends on it.
pub fn remove_sandboxes_of(home: &Path) {
    let ids = sandboxes_of(home);
    if !ids.is_empty() {
        let mut remove = std::process::Command::new("docker");
        remove.args(["rm", "--force", "--volumes"]).args(ids);
        let _ = remove.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Whether an engine answers on [`SOCKET`].
pub fn is_answering() -> bool {
    ping(Path::new(SOCKET)).unwrap_or(false)
}

/// Whether the engine and its command line are on this machine, running or not.
pub fn is_installed() -> bool {
    are_on_path(&["dockerd", "docker"])
}

/// Whether all of these programs are on this machine.
pub(crate) fn are_on_path(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    programs.iter().all(is_there)
}

fn ping(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer.ends_with(b"200"))
}
