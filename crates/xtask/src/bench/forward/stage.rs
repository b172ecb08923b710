//! Two network namespaces with a cable between them: the host, and "the container".

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::{Context as _, TaskError};

/// The host's end, where ports are forwarded from.
pub const HOST: &str = "10.98.0.1";
/// The container's end, where the server listens.
pub const CONTAINER: &str = "10.98.0.2";
/// An address of the same network where nobody is.
pub const NOBODY: &str = "10.98.0.77";
/// The server's port.
pub const PORT: u16 = 3000;
/// The one for connections that the kernel forwards: to the server they come from the same address as those of the
/// forwarders, but with the time stamps of another connection, and where one has just ended it would take the other
/// for a late packet.
pub const KERNEL_PORT: u16 = 3001;

/// The namespaces and what runs in them. Dropping it takes all of it away.
#[derive(Debug)]
pub struct Stage {
    host: String,
    container: String,
    children: Vec<Child>,
}

impl Stage {
    /// Makes them, with the server (`program`) running.
    pub fn set_up(program: &Path) -> Result<Self, TaskError> {
        let name = |side: &str| format!("fkt-bench-{side}-{}", std::process::id());
        let mut stage = Self { host: name("host"), container: name("box"), children: Vec::new() };
        for namespace in [&stage.host, &stage.container] {
            run("ip", &["netns", "add", namespace])?;
            run("ip", &["-n", namespace, "link", "set", "lo", "up"])?;
            // So that a storm of connections does not run out of ports.
            inside(
                namespace,
                &[
                    "sysctl",
                    "-q",
                    "-w",
                    "net.ipv4.ip_local_port_range=10240 65000",
                    "net.ipv4.tcp_tw_reuse=1",
                ],
            )?;
        }
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", &stage.container];
        run("ip", &[&["-n", &stage.host, "link", "add", "box"][..], &peer[..]].concat())?;
        for (namespace, link, address) in [(&stage.host, "box", HOST), (&stage.container, "eth0", CONTAINER)]
        {
            run("ip", &["-n", namespace, "address", "add", &format!("{address}/24"), "dev", link])?;
            run("ip", &["-n", namespace, "link", "set", link, "up"])?;
        }
        for port in [PORT, KERNEL_PORT] {
            let listen = format!("{CONTAINER}:{port}");
            let mut server = command(&stage.container, program);
            server.args(["bench", "forward-server", &listen]);
            stage.start(server)?;
            stage.wait_for(&listen)?;
        }
        Ok(stage)
    }

    /// `program` on the host.
    pub fn on_host(&self, program: impl AsRef<Path>) -> Command {
        command(&self.host, program.as_ref())
    }

    /// Starts what runs beside; its process id.
    pub fn start(&mut self, mut command: Command) -> Result<u32, TaskError> {
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        let what = format!("start {}", arguments.join(" "));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context(|| what)?;
        let id = child.id();
        self.children.push(child);
        Ok(id)
    }

    /// Waits until something listens at `address`, on either side.
    pub fn wait_for(&self, address: &str) -> Result<(), TaskError> {
        for _ in 0..500 {
            for namespace in [&self.host, &self.container] {
                let found = output(
                    Command::new("ip").args(["netns", "exec", namespace, "ss", "-Hltn", "src", address]),
                )?;
                if !found.trim().is_empty() {
                    return Ok(());
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Err(TaskError::Found(format!("nothing listens at {address} after ten seconds")))
    }

    /// Runs to the end on the host.
    pub fn run_on_host(&self, line: &[&str]) -> Result<(), TaskError> {
        inside(&self.host, line)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for namespace in [&self.host, &self.container] {
            // Children of children: nginx and socat have some.
            if let Ok(pids) = output(Command::new("ip").args(["netns", "pids", namespace])) {
                let _ = Command::new("kill")
                    .arg("-9")
                    .args(pids.split_whitespace())
                    .stderr(Stdio::null())
                    .status();
            }
            let _ = run("ip", &["netns", "delete", namespace]);
        }
    }
}

/// `program` in a namespace. `ip` becomes the program, so that the process id is the program's.
fn command(namespace: &str, program: &Path) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

fn inside(namespace: &str, line: &[&str]) -> Result<(), TaskError> {
    run("ip", &[&["netns", "exec", namespace][..], line].concat())
}

fn run(program: &str, arguments: &[&str]) -> Result<(), TaskError> {
    output(Command::new(program).args(arguments)).map(|_| ())
}

/// What a command prints, if it ends well.
pub fn output(command: &mut Command) -> Result<String, TaskError> {
    let what = format!("{command:?}").replace('"', "");
    let output = command.stdin(Stdio::null()).output().context(|| format!("start {what}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(TaskError::Ended { what, status: format!("{}: {}", output.status, errors.trim()) })
}
