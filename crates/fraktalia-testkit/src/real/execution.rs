//! A second Docker host: an engine with a network, processes, mounts and a `/run` of its own, one cable away.
//!
//! All of it hangs on one process, the first of a PID namespace: when that ends, whatever way, the kernel ends all that
//! runs there, and the mounts and the cable go with it.

mod certificates;
mod ssh;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::cache::Cache;
use super::docker::is_installed;
use super::error::{Context, RealError, Result};
use super::install::image_tarball;
use super::process::Process;

pub use certificates::{Authority, Identity};
pub use ssh::Ssh;

/// The port with certificates on both sides.
pub const TLS_PORT: u16 = 2376;
/// The port that asks nobody, where it was wanted.
pub const PLAIN_PORT: u16 = 2375;

/// The table that drops everything while the cable is cut.
const CUT: &str = "cut";

/// How long an engine may take to answer first.
const STARTING: Duration = Duration::from_mins(2);

/// What the host is to be like.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutionOptions {
    /// Whether the engine listens without certificates as well.
    pub plain: bool,
}

/// A running host. Dropping it ends it with all that runs on it.
#[derive(Debug)]
pub struct Execution {
    // The order is that of dropping: the engine, the namespaces, and then its files.
    engine: Option<Process>,
    holder: Process,
    first: u32,
    link: String,
    here: Ipv4Addr,
    there: Ipv4Addr,
    authority: Authority,
    options: ExecutionOptions,
    dir: tempfile::TempDir,
}

impl Execution {
    /// Starts one, with an engine that asks for certificates.
    pub async fn start() -> Result<Self> {
        Self::start_with(ExecutionOptions::default()).await
    }

    /// Starts one. Needs to be root, and `dockerd`, `ip`, `unshare` and `nsenter`.
    pub async fn start_with(options: ExecutionOptions) -> Result<Self> {
        if !rustix::process::geteuid().is_root() || !is_installed() {
            return Err(RealError::Missing {
                what: "a second Docker engine".to_owned(),
                hint: "run as root, with docker.io, iproute2 and util-linux installed".to_owned(),
            });
        }
        let dir = tempfile::Builder::new().prefix("fkx-").tempdir();
        let dir = dir.context(|| "make a folder for a second host".to_owned())?;
        let (holder, first) = hold(dir.path()).await?;
        let (link, here, there) = plug_in(first).await?;
        let authority = Authority::new("the execution host", there.into())?;
        authority.write(dir.path())?;
        let mut host = Self { engine: None, holder, first, link, here, there, authority, options, dir };
        host.start_engine().await?;
        Ok(host)
    }

    /// Starts the engine, where it was stopped or killed.
    pub async fn start_engine(&mut self) -> Result<()> {
        // A killed engine leaves it behind, and another process may have its number by now.
        let _ = std::fs::remove_file(format!("/proc/{}/root/run/docker.pid", self.first));
        let mut command = self.inside("dockerd");
        let dir = self.dir.path();
        command
            .args(["--host", "unix:///var/run/docker.sock", "--pidfile", "/run/docker.pid", "--tlsverify"])
            .arg(format!("--host=tcp://{}:{TLS_PORT}", self.there))
            .arg(format!("--data-root={}", dir.join("data").display()))
            .arg(format!("--tlscacert={}", dir.join("ca.pem").display()))
            .arg(format!("--tlscert={}", dir.join("server.pem").display()))
            .arg(format!("--tlskey={}", dir.join("server-key.pem").display()));
        let mut engine = Process::spawn("the second dockerd", command, &self.log())?;
        engine.wait_until("an answer", STARTING, || self.answers()).await?;
        self.engine = Some(engine);
        if self.options.plain {
            self.open_the_plain_port()?;
        }
        Ok(())
    }

    /// An engine that has TLS has it on all its ports, so the plain one is a relay in front of its socket.
    fn open_the_plain_port(&self) -> Result<()> {
        let listener = std::net::TcpListener::bind((self.here, PLAIN_PORT));
        let listener = listener.context(|| format!("listen on {}:{PLAIN_PORT}", self.here))?;
        listener.set_nonblocking(true).context(|| "listen".to_owned())?;
        let listener = tokio::net::TcpListener::from_std(listener).context(|| "listen".to_owned())?;
        // Not by `/var/run`: that link would lead out of the host and into our own `/run`.
        let socket = PathBuf::from(format!("/proc/{}/root/run/docker.sock", self.first));
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let Ok(mut to) = tokio::net::UnixStream::connect(&socket).await else { break };
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
            }
        });
        Ok(())
    }

    /// Ends the engine in order; its containers end with it.
    pub async fn stop_engine(&mut self) -> Result<()> {
        match self.engine.take() {
            Some(engine) => engine.stop().await,
            None => Ok(()),
        }
    }

    /// Kills the engine without warning; its containers run on.
    pub async fn kill_engine(&mut self) -> Result<()> {
        match self.engine.take() {
            Some(engine) => engine.kill().await,
            None => Ok(()),
        }
    }

    /// Cuts the cable: what is sent, both ways, is lost, and nobody says so. Does not wait for anything, so that an event of
    /// a run can do it.
    ///
    /// A link that is down would not do: its route is gone with it, and packets would take another one.
    pub fn cut(&self) -> Result<()> {
        self.nft(&format!(
            "table inet {CUT} {{\n\
             chain in {{ type filter hook input priority -400; iifname eth0 drop; }}\n\
             chain through {{ type filter hook forward priority -400; iifname eth0 drop; oifname eth0 drop; }}\n\
             chain out {{ type filter hook output priority -400; oifname eth0 drop; }}\n}}"
        ))
    }

    /// Puts the cable back.
    pub fn mend(&self) -> Result<()> {
        self.nft(&format!("delete table inet {CUT}"))
    }

    fn nft(&self, rules: &str) -> Result<()> {
        let first = self.first.to_string();
        let mut command = std::process::Command::new("nsenter");
        command.args(["--target", &first, "--net", "nft", rules]).stdin(Stdio::null());
        let output = command.output().context(|| "start nft".to_owned())?;
        if output.status.success() {
            return Ok(());
        }
        let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(RealError::Died { name: "nft".to_owned(), status: output.status.to_string(), tail })
    }

    /// `tcp://10.213.7.2:2376`
    pub fn endpoint(&self) -> String {
        format!("tcp://{}:{TLS_PORT}", self.there)
    }

    /// The engine without certificates, where [`ExecutionOptions::plain`] asked for it.
    pub fn plain_endpoint(&self) -> String {
        format!("tcp://{}:{PLAIN_PORT}", self.here)
    }

    /// Our end of the cable, as `ip link` calls it.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Our address on the cable.
    pub fn here(&self) -> Ipv4Addr {
        self.here
    }

    /// Its address on the cable.
    pub fn there(&self) -> Ipv4Addr {
        self.there
    }

    /// The authority that signed the engine's certificate and whose clients it takes.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Files of a client that the engine takes: `ca.pem`, `cert.pem` and `key.pem` in this folder.
    pub fn certificates(&self) -> &Path {
        self.dir.path()
    }

    /// The engine's log.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("dockerd.log")
    }

    /// The first process of the host, whose namespaces and `/proc/<pid>/root` are those of the host.
    pub fn first_process(&self) -> u32 {
        self.first
    }

    /// A command that runs on the host.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.first.to_string(),
            "--net",
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            program,
        ]);
        command
    }

    /// Runs the `docker` command line on the host and gives what it printed.
    pub async fn docker(&self, args: &[&str]) -> Result<String> {
        let mut command = self.inside("docker");
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        output_of(command, &format!("docker {} on the second host", args.first().unwrap_or(&""))).await
    }

    /// Makes sure that the engine has [`BUSYBOX`](super::install::BUSYBOX) or [`DEBIAN`](super::install::DEBIAN).
    pub async fn base_image(&self, cache: &Cache, image: &str) -> Result<()> {
        if self.docker(&["image", "inspect", image]).await.is_ok() {
            return Ok(());
        }
        let tarball = image_tarball(cache, image)?;
        self.docker(&["import", "--change", r#"CMD ["/bin/sh"]"#, &tarball.to_string_lossy(), image]).await?;
        Ok(())
    }

    async fn answers(&self) -> bool {
        self.docker(&["version", "--format", "{{.Server.Version}}"]).await.is_ok()
    }

    /// Whether the process that holds all of it still runs.
    pub fn is_up(&mut self) -> bool {
        matches!(self.holder.ended(), Ok(None))
    }
}

/// The first process of a host: it makes its mounts its own, says so, and collects what others leave behind. Packets are
/// not forwarded yet, as on any fresh machine; an engine that has to switch that on lets its filter drop by policy.
const HOLD: &str = r"
    set -e
    mount --make-rprivate /
    mount -t tmpfs tmpfs /run
    [ -L /var/run ] || mount --bind /run /var/run
    ip link set lo up
    echo 0 > /proc/sys/net/ipv4/ip_forward
    echo ready
    while :; do sleep 3600 & wait; done
";

async fn hold(dir: &Path) -> Result<(Process, u32)> {
    let log = dir.join("holder.log");
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL", "--mount-proc"])
        .args(["/bin/sh", "-c", HOLD]);
    let mut holder = Process::spawn("the second host", command, &log)?;
    let ready = || async { std::fs::read_to_string(&log).unwrap_or_default().contains("ready") };
    holder.wait_until("its first word", Duration::from_secs(30), ready).await?;
    let id = holder.id();
    let path = format!("/proc/{id}/task/{id}/children");
    let children = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    let first = children.split_whitespace().next().and_then(|id| id.parse().ok());
    first.map(|first| (holder, first)).ok_or_else(|| RealError::Died {
        name: "the second host".to_owned(),
        status: "without its first process".to_owned(),
        tail: children,
    })
}

/// Lays a cable to the namespace of `first`, on a network that nobody else has.
async fn plug_in(first: u32) -> Result<(String, Ipv4Addr, Ipv4Addr)> {
    let mut last = None;
    // Somebody else may be doing the same at this moment: the name of the link decides who has the number.
    for number in (0..250).map(|step| ((first + step) % 250) as u8) {
        let link = format!("fkx{number}");
        let (here, there) = (Ipv4Addr::new(10, 213, number, 1), Ipv4Addr::new(10, 213, number, 2));
        let namespace = first.to_string();
        if let Err(error) =
            ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &namespace]).await
        {
            last = Some(error);
            continue;
        }
        ip(&["address", "add", &format!("{here}/30"), "dev", &link]).await?;
        ip(&["link", "set", &link, "up"]).await?;
        let mut inside = Command::new("nsenter");
        let script = format!(
            "ip address add {there}/30 dev eth0 && ip link set eth0 up && ip route add default via {here}"
        );
        inside.args(["--target", &namespace, "--net", "/bin/sh", "-c", &script]);
        output_of(inside, "give the second host an address").await?;
        return Ok((link, here, there));
    }
    Err(last.unwrap_or_else(|| RealError::Missing { what: "a free network".to_owned(), hint: String::new() }))
}

async fn ip(args: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(args);
    output_of(command, &format!("ip {}", args.join(" "))).await.map(|_| ())
}

async fn output_of(mut command: Command, what: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().await.context(|| format!("start {what}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(RealError::Died { name: what.to_owned(), status: output.status.to_string(), tail })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of a host can be seen from here: its link, and processes and mounts that name its folder.
    fn traces(link: &str, dir: &str) -> Vec<String> {
        let mut found = Vec::new();
        if Path::new("/sys/class/net").join(link).exists() {
            found.push(format!("the link {link}"));
        }
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(dir) {
                found.push(line);
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        found.extend(mounts.lines().filter(|line| line.contains(dir)).map(str::to_owned));
        found
    }

    async fn is_gone(link: &str, dir: &Path) -> bool {
        for _ in 0..600 {
            if traces(link, &dir.to_string_lossy()).is_empty() && !dir.exists() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_of_a_host_is_left_when_its_test_panics() {
        let Some(cache) = Cache::for_test() else { return };
        let test = tokio::spawn(async move {
            let host = Execution::start().await.expect("it starts");
            host.base_image(&cache, super::super::docker::BUSYBOX).await.expect("an image");
            let run = ["run", "--detach", super::super::docker::BUSYBOX, "sleep", "600"];
            host.docker(&run).await.expect("a container runs");
            let seen = (host.link().to_owned(), host.certificates().to_owned());
            assert!(
                !traces(&seen.0, &seen.1.to_string_lossy()).is_empty(),
                "it can be seen while it is there"
            );
            std::panic::panic_any(seen);
        });
        let panic = test.await.expect_err("it panicked").into_panic();
        let (link, dir) = *panic.downcast::<(String, PathBuf)>().expect("what it said");
        assert!(is_gone(&link, &dir).await, "{:?}", traces(&link, &dir.to_string_lossy()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cut_link_silences_the_host_and_a_mended_one_brings_it_back() {
        if Cache::for_test().is_none() {
            return;
        }
        let host = Execution::start().await.expect("it starts");
        let connects = || tokio::net::TcpStream::connect((host.there(), TLS_PORT));
        let in_time = async || {
            tokio::time::timeout(Duration::from_secs(5), connects()).await.is_ok_and(|it| it.is_ok())
        };
        assert!(in_time().await);
        host.cut().expect("cut");
        assert!(!in_time().await);
        host.mend().expect("mended");
        assert!(in_time().await);
    }
}
