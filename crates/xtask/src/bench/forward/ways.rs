//! The ways of getting from a port of the host into the container.

use std::path::Path;
use std::process::Command;

use super::stage::{CONTAINER, HOST, KERNEL_PORT, NOBODY, PORT, Stage, output};
use crate::error::{Context as _, TaskError};
use crate::say;

/// A way, and what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Direct,
    Ours,
    Haproxy,
    Nginx,
    Socat,
    DockerProxy,
    Kernel,
}

impl Way {
    /// In the order of the table.
    pub const ALL: [Self; 7] =
        [Self::Direct, Self::Ours, Self::Haproxy, Self::Nginx, Self::Socat, Self::DockerProxy, Self::Kernel];

    /// As the table has it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Ours => "**fraktalia**",
            Self::Haproxy => "HAProxy (tcp, splice-auto)",
            Self::Nginx => "nginx stream",
            Self::Socat => "socat fork",
            Self::DockerProxy => "docker-proxy",
            Self::Kernel => "nft DNAT map",
        }
    }

    /// Connections that are held open to see what one costs. A process for each is a lot of processes.
    pub fn idle(self) -> usize {
        match self {
            Self::Direct | Self::Kernel => 0,
            Self::Socat => 200,
            _ => 1000,
        }
    }

    /// The address that clients connect to.
    pub fn address(self) -> String {
        match self {
            Self::Direct => format!("{CONTAINER}:{PORT}"),
            other => format!("{HOST}:{}", other.port()),
        }
    }

    /// The same for the one without a container.
    pub fn address_without_container(self) -> String {
        format!("{HOST}:{}", self.port() + 100)
    }

    fn port(self) -> u16 {
        9000 + self as u16
    }

    /// Starts it; the process whose time and memory count.
    pub fn start(self, stage: &mut Stage, folder: &Path, fixed: &Path) -> Result<Option<u32>, TaskError> {
        let pid = match self {
            Self::Direct => return Ok(None),
            Self::Kernel => {
                stage.run_on_host(&["nft", "-f", &kernel(folder, self.port())?])?;
                return Ok(None);
            }
            other => other.spawn(stage, folder, fixed, &other.address(), Some(CONTAINER))?,
        };
        stage.wait_for(&self.address())?;
        Ok(Some(pid))
    }

    /// The same with a container that is not there.
    pub fn start_without_container(
        self,
        stage: &mut Stage,
        folder: &Path,
        fixed: &Path,
    ) -> Result<(), TaskError> {
        if matches!(self, Self::Direct | Self::Kernel) {
            return Ok(());
        }
        let address = self.address_without_container();
        self.spawn(stage, folder, fixed, &address, None)?;
        stage.wait_for(&address)
    }

    fn spawn(
        self,
        stage: &mut Stage,
        folder: &Path,
        fixed: &Path,
        listen: &str,
        container: Option<&str>,
    ) -> Result<u32, TaskError> {
        let host = container.unwrap_or(NOBODY);
        let target = format!("{host}:{PORT}");
        let port = listen.rsplit(':').next().unwrap_or_default();
        let mut command;
        match self {
            Self::Haproxy => {
                command = stage.on_host("haproxy");
                command.args(["-q", "-db", "-f", &haproxy(folder, listen, &target)?]);
            }
            Self::Nginx => {
                command = stage.on_host("nginx");
                command.args(["-c", &nginx(folder, listen, &target)?]);
            }
            Self::Socat => {
                command = stage.on_host("socat");
                let from = format!("TCP-LISTEN:{port},bind={HOST},fork,reuseaddr,backlog=4096,nodelay");
                // It says so when a connection is reset, which is what is measured.
                command.args(["-lf", "/dev/null", &from, &format!("TCP:{target},nodelay")]);
            }
            Self::DockerProxy => {
                // It reports to its third descriptor, whatever that is.
                command = stage.on_host("sh");
                command.args(["-c", "exec docker-proxy \"$@\" 3>/dev/null", "sh"]);
                command.args(["-proto", "tcp", "-host-ip", HOST, "-host-port", port]);
                command.args(["-container-ip", host, "-container-port", &PORT.to_string()]);
            }
            _ => {
                command = stage.on_host(fixed);
                command.args([listen, if container.is_some() { &target } else { "none" }]);
            }
        }
        stage.start(command)
    }

    /// What is measured here, with its version.
    pub fn version(self) -> Option<String> {
        let (program, argument) = match self {
            Self::Haproxy => ("haproxy", "-v"),
            Self::Nginx => ("nginx", "-v"),
            Self::Socat => ("socat", "-V"),
            Self::DockerProxy => ("dockerd", "--version"),
            Self::Kernel => ("nft", "--version"),
            Self::Direct | Self::Ours => return None,
        };
        let output = Command::new(program).arg(argument).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines()
            .find(|line| line.contains(|c: char| c.is_ascii_digit()))
            .map(|line| line.trim().to_owned())
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<String, TaskError> {
    let path = folder.join(name);
    std::fs::write(&path, text).context(|| format!("write {}", path.display()))?;
    Ok(path.display().to_string())
}

fn haproxy(folder: &Path, listen: &str, target: &str) -> Result<String, TaskError> {
    let text = format!(
        "global\n  maxconn 7500\ndefaults\n  mode tcp\n  option splice-auto\n  timeout connect 2s\n  timeout client 1h\n  \
         timeout server 1h\n  retries 0\nlisten forward\n  bind {listen} backlog 4096\n  server container {target}\n"
    );
    write(folder, &format!("haproxy-{}.cfg", listen.replace(':', "-")), &text)
}

fn nginx(folder: &Path, listen: &str, target: &str) -> Result<String, TaskError> {
    let name = listen.replace(':', "-");
    let text = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nworker_processes auto;\n\
         pid {folder}/nginx-{name}.pid;\nerror_log {folder}/nginx-{name}.log crit;\n\
         events {{ worker_connections 8000; }}\nstream {{ server {{ listen {listen} backlog=4096; \
         proxy_pass {target}; proxy_connect_timeout 2s; proxy_timeout 1h; }} }}\n",
        folder = folder.display()
    );
    write(folder, &format!("nginx-{name}.conf"), &text)
}

/// For connections that are made on the host itself; those from outside pass `prerouting`.
fn kernel(folder: &Path, port: u16) -> Result<String, TaskError> {
    let rule = format!("ip daddr {HOST} dnat ip to tcp dport map @forwards");
    let text = format!(
        "table ip bench {{
    map forwards {{
        type inet_service : ipv4_addr . inet_service
        elements = {{ {port} : {CONTAINER} . {KERNEL_PORT} }}
    }}
    chain output {{
        type nat hook output priority -100
        {rule}
    }}
    chain prerouting {{
        type nat hook prerouting priority -100
        {rule}
    }}
}}
"
    );
    write(folder, "kernel.nft", &text)
}

/// Installs what is missing, with apt as root. Which ways cannot be measured.
pub fn install() -> Vec<Way> {
    let needs = [
        (Way::Haproxy, "haproxy", "/usr/sbin/haproxy"),
        (Way::Nginx, "nginx-light", "/usr/sbin/nginx"),
        (Way::Nginx, "libnginx-mod-stream", "/usr/lib/nginx/modules/ngx_stream_module.so"),
        (Way::Socat, "socat", "/usr/bin/socat"),
        (Way::DockerProxy, "docker.io", "/usr/sbin/docker-proxy"),
        (Way::Kernel, "nftables", "/usr/sbin/nft"),
    ];
    let is_missing = |path: &str| !Path::new(path).exists();
    let missing: Vec<&str> = needs.iter().filter(|need| is_missing(need.2)).map(|need| need.1).collect();
    if !missing.is_empty() {
        say::begun(&format!("Installing {}", missing.join(", ")));
        // No service is to start: the bench starts its own.
        let script = "apt-get update -q && RUNLEVEL=1 apt-get install -qy --no-install-recommends \"$@\"";
        let installed = output(Command::new("sh").args(["-c", script, "sh"]).args(&missing));
        if let Err(error) = installed {
            say::line(&error.to_string());
        }
    }
    needs.iter().filter(|need| is_missing(need.2)).map(|need| need.0).collect()
}
