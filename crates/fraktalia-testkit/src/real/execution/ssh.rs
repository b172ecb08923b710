//! An SSH server on the second host, with keys that only the test knows.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{Execution, output_of};
use crate::real::error::{Context, RealError, Result};
use crate::real::process::Process;

/// The port that it listens on.
pub const PORT: u16 = 2222;
const SERVER: &str = "/usr/sbin/sshd";

/// A running server.
#[derive(Debug)]
pub struct Ssh {
    _server: Process,
    dir: PathBuf,
    host: String,
}

impl Execution {
    /// Starts an SSH server on the host that lets root in with a key of the test. Needs openssh-server.
    pub async fn serve_ssh(&self) -> Result<Ssh> {
        if !Path::new(SERVER).exists() {
            return Err(RealError::Missing {
                what: format!("an SSH server ({SERVER})"),
                hint: "apt install openssh-server".to_owned(),
            });
        }
        let dir = self.dir.path().join("ssh");
        std::fs::create_dir_all(&dir).context(|| format!("make {}", dir.display()))?;
        for key in ["host", "client", "stranger"] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key));
            output_of(make, "ssh-keygen").await?;
        }
        let config = format!(
            "Port {PORT}\nHostKey {0}/host\nAuthorizedKeysFile {0}/client.pub\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             PidFile none\n",
            dir.display()
        );
        let file = dir.join("sshd_config");
        std::fs::write(&file, config).context(|| format!("write {}", file.display()))?;
        let run = PathBuf::from(format!("/proc/{}/root/run/sshd", self.first));
        std::fs::create_dir_all(&run).context(|| format!("make {}", run.display()))?;
        let mut command = self.inside(SERVER);
        command.args(["-D", "-e", "-f"]).arg(&file);
        let mut server = Process::spawn("sshd", command, &dir.join("log"))?;
        let address = (self.there, PORT);
        let answers = || async move { tokio::net::TcpStream::connect(address).await.is_ok() };
        server.wait_until("an answer", Duration::from_secs(30), answers).await?;
        let ssh = Ssh { _server: server, dir, host: self.there.to_string() };
        ssh.trust("host")?;
        ssh.use_key("client")?;
        Ok(ssh)
    }
}

impl Ssh {
    /// `ssh://root@10.213.7.2:2222`
    pub fn url(&self) -> String {
        format!("ssh://root@{}:{PORT}", self.host)
    }

    /// A configuration for the client, with its key and known hosts.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config")
    }

    /// Lets the client know the host by the key `host`, or by the wrong one, `stranger`.
    pub fn trust(&self, key: &str) -> Result<()> {
        let public = self.dir.join(format!("{key}.pub"));
        let public = std::fs::read_to_string(&public).context(|| format!("read {}", public.display()))?;
        self.write("known_hosts", &format!("[{}]:{PORT} {public}", self.host))
    }

    /// Lets the client forget all hosts.
    pub fn forget(&self) -> Result<()> {
        self.write("known_hosts", "")
    }

    /// Gives the client the key `client`, which is let in, or `stranger`, which is not.
    pub fn use_key(&self, key: &str) -> Result<()> {
        let dir = self.dir.display();
        let config = format!(
            "IdentityFile {dir}/{key}\nIdentitiesOnly yes\nUserKnownHostsFile {dir}/known_hosts\n\
             GlobalKnownHostsFile /dev/null\n"
        );
        self.write("config", &config)
    }

    /// How many clients are logged in, as the server's processes tell.
    pub async fn sessions(&self, host: &Execution) -> Result<usize> {
        let mut list = host.inside("sh");
        list.args(["-c", "pgrep -fc '^docker system dial-stdio' || true"]).stdin(Stdio::null());
        let count = output_of(list, "count sessions").await?;
        Ok(count.parse().unwrap_or_default())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.dir.join(name);
        std::fs::write(&file, text).context(|| format!("write {}", file.display()))
    }
}
